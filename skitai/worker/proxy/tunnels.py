"""CONNECT: tunnels to the servers that clients name (RFC 9110, section 9.3.6; RFC 9113, section 8.5)."""

from __future__ import annotations

import asyncio
from functools import partial
from math import inf
from typing import Any

from skitai.backend.dial import Dialler
from skitai.backend.errors import BackendError, Code
from skitai.errors import Answerable, BadRequest, Unavailable
from skitai.exchange import BodyMode, Head
from skitai.worker.proxy.access import Access, Target, refuse
from skitai.worker.services import Services
from skitai.worker.splice import Splice

ANY_SIZE = 1 << 62
LATE = (Code.SLOW, Code.TIMEOUT)


class Tunnels:
    """Stands for an app where CONNECT is asked.

    :ivar open: the tunnels that there are, and those that are being opened: whose they are.
    """

    body_mode = BodyMode.STREAM
    in_threads = False
    looks_first = None
    debug = False

    def __init__(self, services: Services, access: Access, diallers: dict[bool, Dialler]) -> None:
        options = services.config.forward_proxy
        self._services = services
        self._access = access
        self._diallers = diallers
        self._idle_s = options.proxy_tunnel_s
        self._most = options.proxy_connections
        self._most_of_one = options.proxy_client_tunnels
        self.open: dict[Splice | asyncio.Task[None], str] = {}

    def limit(self, head: Head) -> int:
        return ANY_SIZE

    def handle(self, exchange: Any) -> None:
        if not exchange.take():
            return
        exchange.hold_body()  # what the client has sent ahead is no request, whatever the answer: it ends the connection
        head = exchange.head
        try:
            if head.length:
                raise BadRequest("CONNECT has no content")
            target = self._access.admit(head, exchange.peer, head.target)
            self._see_whether_there_is_room(exchange.peer.client)
        except Answerable as error:
            refuse(exchange, error)
            return
        exchange.user = target.user
        exchange.task = task = self._services.loop.create_task(self._begin(exchange, target))
        self.open[task] = exchange.peer.client
        task.add_done_callback(self._over)
        exchange.when_gone(partial(give_up, exchange, task))

    def _see_whether_there_is_room(self, client: str) -> None:
        """:raises Unavailable: there is none for another tunnel, or not for this client, lest it have them all."""
        if len(self.open) >= self._most:
            raise Unavailable(f"{len(self.open)} tunnels are open already")
        if len(self.open) >= self._most_of_one and list(self.open.values()).count(client) >= self._most_of_one:
            raise Unavailable(f"{self._most_of_one} tunnels of this client are open already")

    def _over(self, one: Splice | asyncio.Task[None]) -> None:
        self.open.pop(one, None)

    async def _begin(self, exchange: Any, target: Target) -> None:
        dialler = self._diallers[target.local]
        try:
            opened = await dialler.open(target.host, target.port, None, None, inf)
        except BackendError as error:
            if isinstance(error.__cause__, Answerable):
                refuse(exchange, error.__cause__)
            else:
                exchange.fail(Answerable(error.message, status=504 if error.code in LATE else 502))
            return
        splice = Splice(
            self._services, f"{exchange.peer.client or 'a client'}: tunnel to {target}", self._idle_s, self._over
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
        self._over(exchange.task)
        self.open[splice] = exchange.peer.client
        splice.begin(tunnel)


def give_up(exchange: Any, task: asyncio.Task[None]) -> None:
    """The client has left, or has ended its side, before there was a tunnel that could end it."""
    if task.cancel():
        exchange.fail(BadRequest("nothing was to come any more"))
