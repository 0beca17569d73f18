"""The forward proxy of one worker: what clients ask of other servers (RFC 9110, section 7.6; RFC 9112, section 3.2)."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterable
from functools import partial
from math import inf
from typing import Any

from skitai.backend.dial import Dialler
from skitai.backend.errors import BackendError, Code
from skitai.errors import Answerable, BadRequest, Unavailable
from skitai.exchange import BodyMode, Head
from skitai.http.reach import plain_name
from skitai.worker.proxy.access import Access, Target
from skitai.worker.proxy.listening import PORTS, Listening
from skitai.worker.services import Services
from skitai.worker.splice import Splice

log = logging.getLogger("skitai.server")

NOBODY = 1 << 62
LATE = (Code.SLOW, Code.TIMEOUT)


class ForwardProxy:
    """What a site sends requests to that are for others.

    :param sockets: that this server listens on.
    :ivar tunnels: answers CONNECT; what `worker.site` takes for an answer of the server itself.
    """

    def __init__(self, services: Services, sockets: Iterable[socket.socket]) -> None:
        options = services.config.forward_proxy
        self.listening = Listening(each.getsockname() for each in sockets)
        access = Access(options, self.listening)
        diallers = {
            local: Dialler(services.loop, options.proxy_connect_s, partial(access.among, local)) for local in (False, True)
        }
        self._diallers = diallers.values()
        self.tunnels = Tunnels(services, access, diallers)

    def means_us(self, head: Head, named: bool) -> bool:
        """Whether a request in absolute-form is for this server (RFC 9112, section 3.2.2).

        :param named: something is mounted for its host.
        """
        scheme, _, rest = head.target.partition("://")
        digits = rest.partition("/")[0].partition("?")[0].rpartition("]")[2].partition(":")[2]
        port = int(digits) if digits else PORTS[scheme.lower()]
        if named and port in (*self.listening.ports, *PORTS.values()):
            return True
        return self.listening.is_called(plain_name(head.host), port)

    def close(self) -> None:
        """Nothing is asked any more."""
        for dialler in self._diallers:
            dialler.close()


class Tunnels:
    """CONNECT (RFC 9110, section 9.3.6; RFC 9113, section 8.5): stands for an app.

    :ivar open: the tunnels that there are, and those that are being opened.
    """

    body_mode = BodyMode.STREAM
    in_threads = False
    looks_first = None
    debug = False

    def __init__(self, services: Services, access: Access, diallers: dict[bool, Dialler]) -> None:
        options = services.config.forward_proxy
        self._loop = services.loop
        self._access = access
        self._diallers = diallers
        self._idle_s = options.proxy_tunnel_s
        self._most = options.proxy_connections
        self.open: set[Splice | asyncio.Task[None]] = set()

    def limit(self, head: Head) -> int:
        return NOBODY

    def handle(self, exchange: Any) -> None:
        exchange.take()
        exchange.hold_body()  # what the client has sent ahead is no request, whatever the answer: it ends the connection
        head = exchange.head
        try:
            if head.length:
                raise BadRequest("CONNECT has no content")
            target = self._access.admit(head, exchange.peer.client, head.target)
            if len(self.open) >= self._most:
                raise Unavailable(f"{len(self.open)} tunnels are open already")
        except Answerable as error:
            refuse(exchange, error)
            return
        exchange.user = target.user
        exchange.task = task = self._loop.create_task(self._begin(exchange, target))
        self.open.add(task)
        task.add_done_callback(self.open.discard)
        exchange.when_gone(partial(give_up, exchange, task))

    async def _begin(self, exchange: Any, target: Target) -> None:
        dialler = self._diallers[target.local]
        try:
            opened = await dialler.open(target.host, target.port, None, None, inf)
        except Answerable as error:
            refuse(exchange, error)
            return
        except BackendError as error:
            exchange.fail(Answerable(error.message, status=504 if error.code in LATE else 502))
            return
        splice = Splice(
            self._loop, f"{exchange.peer.client or 'a client'}: tunnel to {target}", self._idle_s, self.open.discard
        )
        try:
            await dialler.attach(opened, splice)
        except BaseException:
            opened.close()
            raise
        tunnel = exchange.tunnel(200, ())
        if tunnel is None:
            splice.drop()
            return
        self.open.add(splice)
        splice.begin(tunnel)


def give_up(exchange: Any, task: asyncio.Task[None]) -> None:
    """The client has left, or has ended its side, before there was a tunnel that could end it."""
    if task.cancel():
        exchange.fail(BadRequest("nothing was to come any more"))


def refuse(exchange: Any, error: Answerable) -> None:
    """Answer, and log why."""
    if error.status < 500:
        head = exchange.head
        log.info("%s: %s %s: %s", exchange.peer.client or "a client", head.method, head.target, error.message)
    exchange.fail(error)


def make(services: Services, sockets: Iterable[socket.socket]) -> ForwardProxy | None:
    """The forward proxy of a worker; None when it has none."""
    return ForwardProxy(services, sockets) if services.config.forward_proxy.forward_proxy else None
