"""One server, over the connections to it: which protocol it speaks, and asking it once more where that is safe."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any
from weakref import WeakSet

from skitai.backend.dial import Dialler, Proxy, Tls
from skitai.backend.drivers.http import http2
from skitai.backend.drivers.http.bodies import Stream
from skitai.backend.drivers.http.http1 import Http1Connection
from skitai.backend.drivers.http.http2 import Http2Connection, request_pairs
from skitai.backend.drivers.http.incoming import Answer, Broken, Incoming, Watch
from skitai.backend.drivers.http.multiplex import Multiplex
from skitai.backend.drivers.http.request import Field, HttpRequest
from skitai.backend.errors import BackendError, Code
from skitai.backend.pool import Pool
from skitai.backend.room import Room
from skitai.config.sections.reaching import Backends
from skitai.protocols.http1.answer import AnswerHead, AnswerHeads, request_head
from skitai.protocols.http2.events import Pair

WITH_LENGTH = frozenset(("post", "put", "patch"))
"""Requests that say so when their body is empty (RFC 9110, section 8.6)."""

ATTEMPTS = 3
"""For requests that the server has not begun to work on."""

H1, H2 = "http/1.1", "h2"

Connection = Http1Connection | Http2Connection

_numbers = count()


@dataclass(frozen=True, slots=True)
class Server:
    """A server, and how to reach it.

    :ivar http2: None: as TLS agrees, without TLS HTTP/1.1. True: HTTP/2, without TLS by prior knowledge. False: HTTP/1.1.
    :ivar connections: at most.
    """

    host: str
    port: int
    secure: bool
    verify: bool
    proxy: Proxy | None
    http2: bool | None
    connections: int


class Heads:
    """What remembers the heads of answers, for all servers."""

    def __init__(self) -> None:
        self.http1 = AnswerHeads()
        self.http2 = http2.Heads()


class Origin:
    """A server, by one way of reaching it.

    :ivar authority: value of the Host field.
    :ivar name: for people.
    :ivar number: another one for each, also after this is gone.
    """

    def __init__(self, dialler: Dialler, watch: Watch, options: Backends, heads: Heads, room: Room, server: Server) -> None:
        self._dialler = dialler
        self._watch = watch
        self._options = options
        self._loop = dialler.loop
        self._heads = heads
        self._server = server
        self.number = next(_numbers)
        host = f"[{server.host}]" if ":" in server.host else server.host
        self._scheme = "https" if server.secure else "http"
        self.authority = host if server.port == (443 if server.secure else 80) else f"{host}:{server.port}"
        self.name = f"{self._scheme}://{host}:{server.port}"
        self._prefix = ""
        self._for_proxy: list[Field] = []
        if server.proxy is not None and not server.secure:
            self._prefix = f"http://{self.authority}"
            self._for_proxy = server.proxy.fields
        self._speaks = ""
        if server.http2 is False or not (server.secure or server.http2):
            self._speaks = H1
        elif not server.secure:
            self._speaks = H2
        most, keep_s = server.connections, options.backend_keep_alive
        self._pool: Pool[Http1Connection] = Pool(self._loop, self._open1, most, keep_s, room)
        self._multiplex = Multiplex(self._loop, self._open2, most, keep_s, room)
        self._spare: Any = None
        self._open: WeakSet[Http1Connection] = WeakSet()
        self._closing = False

    # Connections

    async def _dial(self, deadline: float, *protocols: str, through: bool = False) -> Any:
        server = self._server
        tls = Tls(server.verify, protocols) if server.secure else None
        opened = await self._dialler.open(server.host, server.port, tls, server.proxy, deadline, through)
        if self._closing:
            close(opened)
            raise shutdown()
        return opened

    async def _open1(self, deadline: float) -> Http1Connection:
        opened, self._spare = self._spare, None
        if opened is None or opened.is_closing():
            opened = await self._dial(deadline, H1)
        connection = Http1Connection(self._loop, self._heads.http1, self._pool.give)
        self._open.add(connection)
        await self._dialler.attach(opened, connection)
        return connection

    async def _open2(self, deadline: float) -> Http2Connection | None:
        """A connection that speaks HTTP/2; None when the server prefers HTTP/1.1, whose connection is kept for that."""
        server = self._server
        opened = await self._dial(deadline, H2, H1)
        if server.secure:
            secured: ssl.SSLObject = opened.get_extra_info("ssl_object")
            if secured.selected_alpn_protocol() != H2:
                if server.http2:
                    close(opened)
                    raise BackendError(Code.PROTOCOL, f"{self.name} does not speak HTTP/2")
                self._speaks = H1
                if self._spare is not None:
                    close(self._spare)
                self._spare = opened
                return None
        self._speaks = H2
        connection = Http2Connection(self._loop, self._heads.http2, self._options.backend_streams, self._multiplex.changed)
        await self._dialler.attach(opened, connection)
        return connection

    # Asking

    async def ask(
        self,
        request: HttpRequest,
        target: str,
        fields: Sequence[Field],
        check: Callable[[AnswerHead], None],
        most_bytes: int,
        deadline: float,
    ) -> Incoming:
        """Send a request.

        :param target: path and query, as this server wants them.
        :param fields: all but those of the framing.
        :returns: the answer, complete or, of a streaming request, with its head.
        :raises BackendError:
        """
        attempts, fresh = 0, False
        while True:
            connection = None if fresh else self.free()
            if connection is None:
                connection = await self.reach(deadline, fresh)
            used = connection.asked > 0
            if used and not request.repeatable and isinstance(connection, Http1Connection) and not connection.silent:
                self.drop(connection)
                fresh = True
                continue
            attempts += 1
            incoming = Incoming(self._watch, check, most_bytes, deadline, request.stream)
            try:
                self.begin(connection, request, target, fields, incoming)
                await incoming.ready
            except Broken as error:
                incoming.leave()
                if attempts == ATTEMPTS or not again(error, request, used):
                    del incoming  # it holds the error, whose traceback holds this frame
                    raise
                fresh = True
            except BaseException:
                incoming.leave()
                del incoming
                raise
            else:
                if not request.stream:
                    incoming.leave()
                return incoming

    def begin(
        self, connection: Connection, request: HttpRequest, target: str, fields: Sequence[Field], answer: Answer
    ) -> None:
        """Send a request on a connection of `free` or `reach`, in its version's words."""
        if isinstance(connection, Http1Connection):
            connection.ask(request.verb, self.head(request, target, fields), request.body, answer)
        else:
            connection.ask(self.pairs(request, target, fields), request.body, answer)

    def head(self, request: HttpRequest, target: str, fields: Sequence[Field]) -> bytes:
        """The head of a request in HTTP/1.1."""
        host = request.host or self.authority
        return request_head(request.verb, self._prefix + target, host, [*fields, *framing(request), *self._for_proxy])

    def pairs(self, request: HttpRequest, target: str, fields: Sequence[Field]) -> list[Pair]:
        """The head of a request in HTTP/2."""
        body = request.body
        length = body.length if isinstance(body, Stream) else len(body) if body else -1
        if body is None and request.method in WITH_LENGTH:
            length = 0
        return request_pairs(request.verb, self._scheme, request.host or self.authority, target, fields, length)

    # For who hands answers on as they come

    def free(self) -> Connection | None:
        """A connection that can be asked now, before anything else happens; None where one has to be waited for."""
        if self._speaks == H1:
            return self._pool.take_idle()
        return self._multiplex.free() if self._speaks == H2 else None

    async def reach(self, deadline: float, fresh: bool = False) -> Connection:
        """A connection that can be asked, before anything else happens.

        :param fresh: of HTTP/1.1, one that nobody has used before.
        :raises BackendError: there is none to be had; TimedOut when none was free in time.
        """
        if self._speaks != H1:
            shared = await self._multiplex.take(deadline)
            if shared is not None:
                return shared
        connection, _ = await self._pool.take(deadline, fresh)
        if self._closing:
            self._pool.drop(connection)
            raise shutdown()
        return connection

    async def lend(self, protocol: asyncio.Protocol, deadline: float) -> None:
        """Have a protocol speak on a connection of its own, which is none of ours any more.

        :raises BackendError: there is none to be had.
        """
        opened = await self._dial(deadline, H1, through=True)
        try:
            await self._dialler.attach(opened, protocol)
        except BaseException:
            close(opened)
            raise

    def drop(self, connection: Http1Connection) -> None:
        """Close a connection of `free` or `reach` that is not asked after all."""
        self._pool.drop(connection)

    @property
    def waiting(self) -> int:
        """So many requests wait for a connection."""
        return self._pool.waiting + self._multiplex.waiting

    # The rest

    @property
    def unused(self) -> bool:
        """There is no connection, and nobody wants one."""
        stats = self._pool.stats()
        return self._multiplex.unused and not (stats["busy"] or stats["idle"] or stats["waiting"])

    def tick(self, now: float) -> None:
        self._pool.tick(now)
        self._multiplex.tick(now)

    @property
    def size(self) -> int:
        """Connections that are open, or being opened."""
        return self._pool.size + self._multiplex.size

    def stats(self) -> dict[str, Any]:
        return self._multiplex.stats() if self._speaks == H2 else self._pool.stats()

    def close(self) -> None:
        """End what runs."""
        self._closing = True
        for connection in tuple(self._open):
            connection.end(BackendError(Code.SHUTDOWN, "the worker leaves", sent=True))
        self._pool.close()
        self._multiplex.close()
        if self._spare is not None:
            close(self._spare)


def shutdown() -> BackendError:
    return BackendError(Code.SHUTDOWN, "the worker leaves")


def close(opened: Any) -> None:
    """Close what `Dialler.open` has given: a socket or a transport."""
    if hasattr(opened, "abort"):
        opened.abort()
    else:
        opened.close()


def again(error: Broken, request: HttpRequest, used: bool) -> bool:
    """Whether a request is made once more whose connection has ended.

    :param used: that had carried others before, so that it may have ended long ago.
    """
    if error.sent:
        return used and request.repeatable
    return not (isinstance(request.body, Stream) and not request.body.repeatable)


def framing(request: HttpRequest) -> list[Field]:
    """The fields that say how long the body is."""
    body = request.body
    if isinstance(body, Stream):
        return [("Content-Length", str(body.length)) if body.length >= 0 else ("Transfer-Encoding", "chunked")]
    if body is not None:
        return [("Content-Length", str(len(body)))]
    return [("Content-Length", "0")] if request.method in WITH_LENGTH else []
