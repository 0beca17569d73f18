"""A worker's shared services, and the server that accepts connections for it."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import inf
from typing import TYPE_CHECKING, Any

from skitai.config.tree import Config
from skitai.http.forwarded import Trusted
from skitai.log.requests import RequestLog
from skitai.protocols.http1.request import HeadParser
from skitai.protocols.http1.response import ResponseHeads
from skitai.worker.clock import Clock
from skitai.worker.coding import NEVER
from skitai.worker.http1.connection import Http1Connection
from skitai.worker.sending import make_send
from skitai.worker.threads import Inline, ThreadPool

if TYPE_CHECKING:
    from skitai.worker.connection import Connection
    from skitai.worker.engines import Closable, Engine
    from skitai.worker.pipeline import Pipeline

log = logging.getLogger("skitai.server")

EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Services:
    """What the connections and apps of one worker share. Made after the fork, in the worker.

    :ivar connections: all open ones.
    :ivar retiring: no connection is kept alive any more.
    :ivar stopping: idle ones close at once, too.
    :ivar leave_by: on the monotonic clock: when this worker has to be gone; `inf` while it serves.
    :ivar flushing: the request log will be written at the end of this turn of the loop.
    :ivar body_bytes: request bodies held in memory.
    :ivar served: requests begun.
    """

    def __init__(self, config: Config, loop: asyncio.AbstractEventLoop, request_log: RequestLog, number: int = 0) -> None:
        self.config = config
        self.loop = loop
        self.number = number
        self.request_log = request_log
        self.transactions = request_log.transactions
        self.next_serial = self.transactions.next
        self.clock = Clock()
        self.heads = HeadParser(config.http1)
        self.responses = ResponseHeads(config.server.server_name)
        self.connections: set[Connection] = set()
        request_log.connections = lambda: len(self.connections)
        self.pool: ThreadPool | Inline = (
            ThreadPool(config.server.threads, loop.call_later) if config.server.threads else Inline(loop)
        )
        self.disk = ThreadPoolExecutor(2, "disk")
        self.send = make_send()
        self.pipeline: Pipeline
        self.trusted = Trusted(config.proxies.trusted_proxies)
        self.retiring = False
        self.stopping = False
        self.leave_by = inf
        self.flushing = False
        self.body_bytes = 0
        self.served = 0
        self.spool_folder: str | None = None
        self.compress_from = config.responses.compress_bytes if config.responses.compress else NEVER
        self.keep_alive_s = config.timeouts.keep_alive
        self.keep_alive_requests = config.http1.keep_alive_requests if self.keep_alive_s else 0
        self.keep_alive_age_s = config.http1.connection_age_s
        self.thread_wait_s = config.timeouts.thread_wait_s
        self._loop_thread = threading.get_ident()

    def on_loop(self, job: Callable[..., Any], *args: Any) -> None:
        """Call `job` in the loop's thread, soon and in order; from any thread."""
        try:
            self.loop.call_soon_threadsafe(job, *args)
        except RuntimeError:
            if not self.loop.is_closed():
                raise
            # A thread that outlived the worker's loop has nobody left to answer.

    def in_loop(self) -> bool:
        """Whether the caller is the loop's thread."""
        return threading.get_ident() == self._loop_thread

    def run_in_thread(self, job: Callable[..., None], *args: Any) -> None:
        """Queue `job` for the threads of apps; runs it at once where there are none."""
        self.pool.submit((lambda: job(*args)) if args else job)

    def run_for(self, app: Any, job: Callable[[], None]) -> None:
        """Run `job` where `app` runs. Belongs to the loop."""
        if app.in_threads:
            self.pool.submit(job)
        else:
            job()

    def flush_soon(self) -> None:
        """Have the request log written at the end of this turn of the loop."""
        if not self.flushing:
            self.flushing = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self.flushing = False  # first, so that a line queued meanwhile asks for another turn
        self.request_log.flush()


class Server:
    """Accepts connections on inherited sockets, up to the worker's limit."""

    def __init__(self, services: Services, engine: Engine, sockets: list[socket.socket], limit: int) -> None:
        self.services = services
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
        backlog = self.services.config.server.backlog
        try:
            for sock in self._sockets:
                # A duplicate: closing the server must leave the inherited socket open, for it may start again.
                self._servers.append(await self._engine.listen(self._make_connection, sock.dup(), backlog, self.exhausted))
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

    def _make_connection(self) -> Http1Connection:
        connections = self.services.connections
        if len(connections) >= self._limit and not self._full:
            self._full = True
            log.warning("%d connections: nothing more is accepted until some close", len(connections))
            self._pause()
        return Http1Connection(self.services)

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
        """Once a second: time-outs, and whether to accept again.

        :param now: monotonic time in seconds.
        """
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
