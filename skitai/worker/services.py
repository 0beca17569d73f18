"""What the connections and apps of one worker share."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from math import inf
from typing import Any, Protocol

from skitai.cachefs.cache import Cache
from skitai.config.tree import Config
from skitai.http.forwarded import Trusted
from skitai.ipc.buckets import Buckets
from skitai.log.requests import RequestLog
from skitai.protocols.http1.request import HeadParser
from skitai.protocols.http1.response import ResponseHeads
from skitai.protocols.http2 import heads as http2
from skitai.protocols.http2.budget import Limits
from skitai.worker.clock import Clock
from skitai.worker.coding import NEVER
from skitai.worker.sending import make_send
from skitai.worker.threads import Inline, ThreadPool


class Tended(Protocol):
    """A connection as the server tends it. All methods belong to the loop's thread.

    :ivar due: on the monotonic clock: when `overdue` has something to decide; `inf` for never.
    :ivar spilled: bytes wait for the client.
    """

    due: float
    spilled: bool

    def overdue(self, now: float) -> None:
        """`due` has passed."""

    def check_flow(self, now: float) -> None:
        """A client that takes too little of what waits for it, for too long, is let go."""

    def check(self, now: float) -> None:
        """Once a second: refuse a body that comes too slowly, see that the connection ends at its age."""

    def retire(self) -> None:
        """No further request after the one that is being answered; an idle client may linger."""

    def stop(self) -> None:
        """Like `retire`, but an idle connection closes at once."""

    def abort(self) -> None:
        """Cut the connection."""


class Dispatcher(Protocol):
    """The way of a request to its app (`worker.pipeline`).

    :ivar site: where requests go; a reload replaces it.
    """

    site: Any

    def dispatch(self, exchange: Any) -> None: ...


class Services:
    """What the connections and apps of one worker share. Made after the fork, in the worker.

    :ivar connections: all open ones.
    :ivar retiring: no connection is kept alive any more.
    :ivar stopping: idle ones close at once, too.
    :ivar leave_by: on the monotonic clock: when this worker has to be gone; `inf` while it serves.
    :ivar flushing: the request log will be written at the end of this turn of the loop.
    :ivar hoards: connections whose clients let much wait for them; see `worker.http2.gate`.
    :ivar body_bytes: request bodies held in memory.
    :ivar served: requests begun.
    :ivar run_in_thread: queues a job for the threads of apps; runs it at once where there are none. Belongs to the loop.
    :ivar cache: the HTTP cache; None where none is configured.
    :ivar buckets: how much clients may still ask for of all workers; None for this process alone.
    """

    def __init__(self, config: Config, loop: asyncio.AbstractEventLoop, request_log: RequestLog, number: int = 0) -> None:
        self.config = config
        self.loop = loop
        self.number = number
        self.request_log = request_log
        self.transactions = request_log.transactions
        self.next_serial = self.transactions.next
        self.clock = Clock()
        hsts_s = config.tls.hsts_s  # RFC 6797, section 7.2: never over plain HTTP
        self.secure_clock = Clock(f"Strict-Transport-Security: max-age={hsts_s}\r\n") if hsts_s else self.clock
        self.heads = HeadParser(config.http1)
        self.responses = ResponseHeads(config.server.server_name)
        self.dated_responses = ResponseHeads(config.server.server_name, dated=True)
        self.http2_limits = http2_limits(config)
        self.http2_heads = http2.RequestHeads(config.http1)
        self.http2_proxy_heads = http2.RequestHeads(config.http1, self._is_elsewhere)
        self.http2_responses = http2.ResponseHeads(config.server.server_name)
        self.http2_dated_responses = http2.ResponseHeads(config.server.server_name, dated=True)
        self.connections: set[Tended] = set()
        self.hoards: set[Any] = set()
        request_log.connections = lambda: len(self.connections)
        self.pool: ThreadPool | Inline = (
            ThreadPool(config.server.threads, loop.call_later) if config.server.threads else Inline(loop)
        )
        self.run_in_thread = self.pool.submit  # itself, for a call in between would be one for every request
        self.disk = ThreadPoolExecutor(2, "disk")
        self.send = make_send()
        self.pipeline: Dispatcher
        self.trusted = Trusted(config.proxies.trusted_proxies)
        self.retiring = False
        self.stopping = False
        self.leave_by = inf
        self.flushing = False
        self.body_bytes = 0
        self.buckets: Buckets | None = None
        self.served = 0
        self.cache: Cache | None = None
        self.spool_folder: str | None = None
        self.compress_from = config.responses.compress_bytes if config.responses.compress else NEVER
        self.keep_alive_s = config.timeouts.keep_alive
        self.keep_alive_requests = config.http1.keep_alive_requests if self.keep_alive_s else 0
        self.keep_alive_age_s = config.http1.connection_age_s
        self.thread_wait_s = config.timeouts.thread_wait_s
        self._loop_thread = threading.get_ident()

    def _is_elsewhere(self, authority: str) -> bool:
        elsewhere: bool = self.pipeline.site.is_elsewhere(authority)
        return elsewhere

    def tick(self) -> None:
        """Once a second: the texts that change with the time."""
        self.clock.tick()
        if self.secure_clock is not self.clock:
            self.secure_clock.tick()

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

    def waiting(self) -> AbstractContextManager[None]:
        """Around what a thread waits for: another thread may take requests meanwhile."""
        return self.pool.waiting()

    def run_for(self, app: Any, job: Callable[[], None]) -> None:
        """Run `job` where `app` runs. Belongs to the loop."""
        if app.in_threads:
            self.pool.submit(job)
        else:
            job()

    def flush_soon(self) -> None:
        """Have the request log written at the end of this turn of the loop, or in a turn of its own; from any thread."""
        if not self.flushing:
            self.flushing = True  # at once, so that a thread that answers many requests in a row asks once
            if self.in_loop():
                self.loop.call_soon(self._flush)
            else:
                self.on_loop(self._flush)

    def _flush(self) -> None:
        self.flushing = False  # first, so that a line queued meanwhile asks for another turn
        self.request_log.flush()


def http2_limits(config: Config) -> Limits:
    """What the configuration lets a client of HTTP/2 do."""
    options = config.http2
    return Limits(
        streams=options.http2_streams,
        stream_window=options.http2_window_bytes,
        connection_window=options.http2_total_window_bytes,
        frame_bytes=options.http2_frame_bytes,
        most_requests=options.http2_requests,
        pushed=options.http2_pushes,
        head_bytes=config.http1.head_bytes,
        block_bytes=2 * config.http1.head_bytes,
        continuations=options.http2_continuations,
        table_bytes=options.http2_table_bytes,
        period_s=options.http2_period_s,
        resets=options.http2_resets,
        controls=options.http2_controls,
        updates=options.http2_window_updates,
    )
