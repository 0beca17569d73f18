"""A worker's life: load the apps, serve, reload, drain, leave."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import logging
import os
import resource
import signal
from time import monotonic

from skitai.backend.backends import Backends
from skitai.cachefs.cache import Cache
from skitai.errors import LoadError
from skitai.ipc.link import Child
from skitai.ipc.scoreboard import State
from skitai.loading.importer import load_object
from skitai.log import journal
from skitai.log.requests import RequestLog
from skitai.net.tls import Certificates
from skitai.was import host as was
from skitai.was import process
from skitai.worker import engines
from skitai.worker.allocator import keep_freed_memory
from skitai.worker.mounts import Mounts
from skitai.worker.pipeline import Pipeline
from skitai.worker.proxy import forward
from skitai.worker.server import Server
from skitai.worker.services import Services

log = logging.getLogger("skitai.server")

RESERVED_DESCRIPTORS = 256
TICK_S = 1.0
BEATS = 4
"""A worker beats at least so often within the time after which it would be taken for stuck."""

FROZEN_THRESHOLDS = (50_000, 20, 20)
"""Garbage is collected seldom: what a request makes is freed by its reference counts."""


def serve(child: Child, certificates: Certificates | None = None) -> int:
    """The target of a worker process; returns its exit code.

    :param certificates: loaded before the fork.
    """
    keep_freed_memory()
    engine = engines.find(child.config.server.engine, load_object)
    loop = engine.new_loop()
    try:
        return loop.run_until_complete(Worker(child, loop).run(engine, certificates))
    finally:
        engine.close()
        loop.close()


class Worker:
    """One worker, from its first turn of the loop to its last.

    :ivar leaving: set once, by the first signal that asks this worker to leave.
    """

    def __init__(self, child: Child, loop: asyncio.AbstractEventLoop) -> None:
        config = child.config
        self.child = child
        self.loop = loop
        places, wanted = child.places, config.log.request_log
        request_log = RequestLog(
            f"W{child.number}",
            os.path.join(places.log, "request.log") if wanted and places.log else "",
            console=wanted and places.console,
            as_json=config.log.log_format == "json",
            off=config.log_off,
        )
        self.services = Services(config, loop, request_log, child.number)
        self.services.spool_folder = places.spool
        if child.cachefs is not None:
            self.services.cache = Cache(child.cachefs.stores(), loop, self.services.disk, child.row.index)
        self.services.buckets = child.buckets
        self.mounts = Mounts(self.services, config)
        self.server: Server
        self.backends: Backends
        self.leaving = asyncio.Event()
        self._grace_s = config.timeouts.grace_s
        self._retiring = False
        self._begun = -1
        self._progress_s = monotonic()
        self._renewing: asyncio.Task[None] | None = None

    async def run(self, engine: engines.Engine, certificates: Certificates | None) -> int:
        """Serve until asked to leave.

        :returns: the exit code: 0, or 3 when an app could not be loaded and another generation serves.
        """
        services, child = self.services, self.child
        services.request_log.open()
        self._take_signals()
        was.attach(child)
        self.backends = process.lend(services)
        child.bus.open()  # before the apps are loaded: what they learn then is not older than what they will be told
        child.watch(lambda: services.on_loop(self._master_lost))
        services.pool.start()
        try:
            await self.mounts.load(strict=child.strict)
        except LoadError as error:
            child.failed(str(error))
            return 3
        proxy = self.mounts.proxy = forward.make(services, child.sockets, certificates)
        services.pipeline = Pipeline(self.mounts.site())
        limit = descriptor_limit(child.config.server.connections)
        self.server = Server(services, engine, child.sockets, limit, certificates)
        self.loop.set_exception_handler(self._loop_error)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*FROZEN_THRESHOLDS)
        await self.server.start()
        child.bus.attach(self.loop)
        child.ready()
        ticking = self.loop.create_task(self._tick())
        await self.leaving.wait()
        await self._drain()
        ticking.cancel()
        if self._renewing is not None:
            self._renewing.cancel()
        services.pool.stop()
        await self.mounts.shutdown()
        if proxy is not None:
            proxy.close()
        await self.backends.close()
        child.bus.close()
        services.request_log.close()
        return 0

    def _take_signals(self) -> None:
        add = self.loop.add_signal_handler
        add(signal.SIGTERM, self._leave, State.STOPPING, self._grace_s)
        add(signal.SIGQUIT, self._leave, State.STOPPING, self.child.config.timeouts.fast_grace_s)
        add(signal.SIGHUP, self._leave, State.RETIRING, self._grace_s)
        add(signal.SIGUSR1, self._reopen_logs)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is the master's business
        faulthandler.register(signal.SIGUSR2, file=journal.descriptor(), all_threads=True)

    def _leave(self, state: State, grace_s: float) -> None:
        """Leave; a second, harder demand overrides a softer one."""
        if self.leaving.is_set() and (state is State.RETIRING or grace_s >= self._grace_s):
            if state is State.STOPPING and self._retiring:
                self._stop()
            return
        self._grace_s = grace_s
        self._retiring = state is State.RETIRING
        self.child.row.state = state
        self.leaving.set()
        if self._retiring:
            self.services.leave_by = monotonic() + max(grace_s, self.services.keep_alive_s)
        else:
            self._stop()

    def _stop(self) -> None:
        self._retiring = False
        self.services.leave_by = min(self.services.leave_by, monotonic() + self._grace_s)
        if hasattr(self, "server"):
            self.server.stop()

    def _master_lost(self) -> None:
        log.error("the master has died; worker #%d leaves", self.child.number)
        self._leave(State.STOPPING, self._grace_s)

    def _reopen_logs(self) -> None:
        journal.reopen()
        try:
            self.services.request_log.open()
        except OSError as error:
            log.error("cannot open the request log again: %s", error)

    async def _drain(self) -> None:
        """Stop accepting, and let what runs finish, also in threads whose client has left, and messages to workers leave.

        A retiring worker gives idle clients the keep-alive time, so that none is cut while its next request is on the way.
        """
        services = self.services
        self.server.stop_accepting()
        if self._retiring:
            self.server.retire()
        else:
            self.server.stop()
        while services.connections or services.pool.busy or services.pool.queued or self.child.bus.waiting:
            if monotonic() >= services.leave_by:
                left = len(services.connections), services.pool.busy
                log.warning("worker #%d leaves %d connections and %d busy threads behind", self.child.number, *left)
                self.server.abort()
                await asyncio.sleep(0)
                break
            await asyncio.sleep(0.02)

    async def _tick(self) -> None:
        """Once a second: time-outs, heartbeats, counters, changed files."""
        services, row = self.services, self.child.row
        tick_s = min(TICK_S, self.child.config.supervision.heartbeat_s / BEATS or TICK_S)
        while True:
            now = monotonic()
            services.tick()
            self.server.tick(now)
            self.child.bus.tick()
            self.backends.tick(self.loop.time())
            if self.mounts.proxy is not None:
                self.mounts.proxy.tick(self.loop.time())
            if services.cache is not None:
                services.cache.tick(self.loop.time())
            row.loop_beat_s = now
            row.requests = services.served
            row.connections = len(services.connections)
            row.busy_threads = services.pool.busy
            row.queued = services.pool.queued
            row.asked, row.unanswered = self.backends.asked, self.backends.unanswered
            row.asking, row.backend_connections = self.backends.asking, self.backends.connections()
            if services.pool.begun != self._begun or not services.pool.queued:
                self._begun, self._progress_s = services.pool.begun, now
            row.pool_beat_s = self._progress_s
            services.flush_soon()
            if self.mounts.watched and (self._renewing is None or self._renewing.done()):
                self._renewing = self.loop.create_task(self.mounts.renew(self._restart))  # new code may import for long
            await asyncio.sleep(tick_s - (monotonic() - now) % tick_s)

    def _restart(self) -> None:
        """An app's new code needs a new process: the master replaces this one."""
        self.child.restart()

    def _loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        error = context.get("exception")
        if isinstance(error, OSError) and self.server.exhausted(error):
            return
        log.error("%s", context.get("message"), exc_info=error if isinstance(error, BaseException) else None)


def descriptor_limit(wanted: int) -> int:
    """How many connections this process may hold: what was asked for, within what the system allows."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = max(soft - RESERVED_DESCRIPTORS, 16)
    return min(wanted, allowed) if wanted else allowed
