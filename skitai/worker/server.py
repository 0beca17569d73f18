"""The server of one worker: accepts connections within its limits, and tends them."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from functools import partial

from skitai.net.tls import Certificates
from skitai.worker.engines import Closable, Engine, Secure
from skitai.worker.forwarder import Forwarder
from skitai.worker.negotiation import ClientConnection
from skitai.worker.services import Dispatcher, Services

log = logging.getLogger("skitai.server")

EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Server:
    """Accepts connections on inherited sockets, up to the worker's limit.

    :param certificates: what TCP sockets speak TLS with, but the one that only forwards to them.
    """

    def __init__(
        self,
        services: Services,
        engine: Engine,
        sockets: list[socket.socket],
        limit: int,
        certificates: Certificates | None = None,
    ) -> None:
        self.services = services
        self._certificates = certificates
        self.accepting = False
        self._engine = engine
        self._sockets = sockets
        self._limit = limit
        self._servers: list[Closable] = []
        self._full = False
        self._closed = False
        self._resuming: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to accept.

        :raises OSError: a listener cannot be used; nothing is accepted then.
        """
        backlog, tls = self.services.config.server.backlog, self.services.config.tls
        try:
            for sock in self._sockets:
                factory, secure = self._make_connection, None
                if self._certificates is not None and sock.family != socket.AF_UNIX:
                    if tls.forward_port and sock.getsockname()[1] == tls.forward_port:
                        factory = partial(self._make_connection, Forwarder(tls.forward_to))
                    else:
                        most = min(tls.tls_handshakes, self._limit // 4)
                        secure = Secure(self._certificates.context, tls.tls_handshake_s, most)
                # A duplicate: closing the server must leave the inherited socket open, for it may start again.
                listening = self._engine.listen(factory, sock.dup(), backlog, self.exhausted, secure)
                self._servers.append(await listening)
        except OSError:
            self._pause()
            raise
        self.accepting = True

    async def _resume(self) -> None:
        """Accept again; where there are still no descriptors for it, try again later."""
        try:
            await self.start()
        except OSError as error:
            self._full = True
            log.error("cannot accept again: %s", error.strerror)
            return
        if self._closed:
            self._pause()

    def _make_connection(self, dispatcher: Dispatcher | None = None) -> ClientConnection:
        connections = self.services.connections
        if len(connections) >= self._limit and not self._full:
            self._full = True
            log.warning("%d connections: nothing more is accepted until some close", len(connections))
            self._pause()
        return ClientConnection(self.services, dispatcher)

    def _pause(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()
        self.accepting = False

    def exhausted(self, error: OSError) -> bool:
        """Whether `error`, met while accepting, means that descriptors ran out; then accepting pauses for a moment."""
        if error.errno not in EXHAUSTED:
            return False
        if self.accepting:
            log.error("cannot accept: %s; trying again in a moment", error.strerror)
            self.services.loop.call_soon(self._pause)  # not here, within the loop's own handling of its sockets
            self.accepting = False
            self._full = True
        return True

    def tick(self, now: float) -> None:
        """Once a second: time-outs, certificates that were renewed, and whether to accept again.

        :param now: monotonic time in seconds.
        """
        if self._certificates is not None:
            self._renew(self._certificates)
        for connection in tuple(self.services.connections):
            try:
                if connection.spilled:
                    connection.check_flow(now)
                if now >= connection.due:
                    connection.overdue(now)
                else:
                    connection.check(now)
            except Exception:
                log.exception("a connection could not be looked after, and is cut")
                connection.abort()
        if self._full and not self._closed and len(self.services.connections) < self._limit * 0.98:
            self._full = False
            self._resuming = self.services.loop.create_task(self._resume())

    @staticmethod
    def _renew(certificates: Certificates) -> None:
        """Serve new certificates once their files have changed."""
        for file, trouble in certificates.renew():
            if trouble:
                log.error("%s; the old certificate goes on", trouble)
            else:
                log.info("TLS: %s is served anew", file)

    def stop_accepting(self) -> None:
        """For good: the sockets are closed in this process."""
        self._closed = True
        self._pause()
        for sock in self._sockets:
            sock.close()

    def retire(self) -> None:
        """Running requests finish, idle connections linger for at most the keep-alive time."""
        self.services.retiring = True
        for connection in tuple(self.services.connections):
            connection.retire()

    def stop(self) -> None:
        """Running requests finish, idle connections close."""
        self.services.retiring = self.services.stopping = True
        for connection in tuple(self.services.connections):
            connection.stop()

    def abort(self) -> None:
        """Cut what is left."""
        for connection in tuple(self.services.connections):
            connection.abort()
