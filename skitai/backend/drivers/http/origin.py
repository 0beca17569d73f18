"""One server, over the connections to it: which protocol it speaks, and asking it once more where that is safe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from skitai.backend.drivers.http.bodies import Stream
from skitai.backend.drivers.http.dial import Dialler, Proxy, Tls
from skitai.backend.drivers.http.http1 import Http1Connection
from skitai.backend.drivers.http.incoming import Broken, Incoming
from skitai.backend.drivers.http.request import Field, HttpRequest
from skitai.backend.errors import BackendError, Code
from skitai.backend.pool import Pool
from skitai.config.tree import Backends
from skitai.protocols.http1.answer import AnswerHead, AnswerHeads, request_head

WITH_LENGTH = frozenset(("post", "put", "patch"))
"""Requests that say so when their body is empty (RFC 9110, section 8.6)."""


class Origin:
    """A server, by one way of reaching it.

    :ivar authority: value of the Host field.
    :ivar name: for people.
    """

    def __init__(
        self,
        dialler: Dialler,
        options: Backends,
        heads: AnswerHeads,
        host: str,
        port: int,
        tls: Tls | None,
        proxy: Proxy | None,
    ) -> None:
        self._dialler = dialler
        self._loop = dialler.loop
        self._heads = heads
        self._host = host
        self._port = port
        self._tls = tls
        self._proxy = proxy
        self._idle_s = options.backend_idle_s
        name = f"[{host}]" if ":" in host else host
        self.authority = name if port == (443 if tls is not None else 80) else f"{name}:{port}"
        self.name = f"{'http' if tls is None else 'https'}://{name}:{port}"
        self._prefix = f"http://{self.authority}" if proxy is not None and tls is None else ""
        self._pool: Pool[Http1Connection] = Pool(
            self._loop, self._open, options.backend_connections, options.backend_keep_alive
        )
        self._running: dict[Http1Connection, Incoming] = {}
        self._closing = False

    async def _open(self, deadline: float) -> Http1Connection:
        opened = await self._dialler.open(self._host, self._port, self._tls, self._proxy, deadline)
        connection = Http1Connection(self._loop, self._heads)
        await self._dialler.attach(opened, connection)
        return connection

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
        head = request_head(
            request.verb, self._prefix + target, request.host or self.authority, [*fields, *framing(request)]
        )
        fresh = False
        while True:
            connection, used = await self._pool.take(deadline, fresh)
            if self._closing or (used and not request.repeatable and not connection.silent):
                self._pool.drop(connection)
                if self._closing:
                    raise BackendError(Code.SHUTDOWN, "the worker leaves")
                fresh = True
                continue
            incoming = Incoming(self._loop, check, most_bytes, self._idle_s, deadline, request.stream)
            self._running[connection] = incoming
            try:
                connection.ask(request.verb, head, request.body, incoming, self._give)
                await incoming.ready
            except Broken as error:
                incoming.leave()
                if not used or (error.sent and not request.repeatable):
                    raise
                fresh = True
            except BaseException:
                incoming.leave()
                raise
            else:
                if not request.stream:
                    incoming.leave()
                return incoming

    def _give(self, connection: Http1Connection) -> None:
        """A connection is not needed any more."""
        del self._running[connection]
        self._pool.give(connection)

    @property
    def unused(self) -> bool:
        """There is no connection, and nobody wants one."""
        return not any(self.stats()[each] for each in ("busy", "idle", "waiting"))

    def tick(self, now: float) -> None:
        self._pool.tick(now)

    def stats(self) -> dict[str, Any]:
        return self._pool.stats()

    def close(self) -> None:
        """End what runs."""
        self._closing = True
        for incoming in tuple(self._running.values()):
            incoming.fail(BackendError(Code.SHUTDOWN, "the worker leaves", sent=True))
        self._pool.close()


def framing(request: HttpRequest) -> list[Field]:
    """The fields that say how long the body is."""
    body = request.body
    if isinstance(body, Stream):
        return [("Content-Length", str(body.length)) if body.length >= 0 else ("Transfer-Encoding", "chunked")]
    if body is not None:
        return [("Content-Length", str(len(body)))]
    return [("Content-Length", "0")] if request.method in WITH_LENGTH else []
