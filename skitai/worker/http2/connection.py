"""One HTTP/2 connection: every stream is an exchange of its own.

The core is touched under the connection's lock only. Whoever answers puts frames into it, from any thread, and asks the loop
once to write; the loop writes what has gathered since in one go. While the client does not take what was written nothing is
framed and nothing is read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Any

from skitai.errors import Answerable
from skitai.exchange import BodyMode, Fields, Head
from skitai.protocols.http2.core import Core, ErrorCodes
from skitai.protocols.http2.events import Ended, Event, Received, Requested, Reset, Trailers
from skitai.protocols.http2.stream import Stream
from skitai.protocols.http2.upgrade import Upgrade
from skitai.worker.connection import Connection, vouched_for
from skitai.worker.exchange import FINISHED, OPEN, STARTED
from skitai.worker.http2.exchange import Http2Exchange
from skitai.worker.http2.gate import Gate
from skitai.worker.http2.intake import Intake
from skitai.worker.http2.tunnel import Connect
from skitai.worker.services import Dispatcher, Services
from skitai.worker.site import Route

log = logging.getLogger("skitai.server")

ROOM_BYTES = 131072
"""Framed ahead of the client's socket."""

ROUNDS = 8
"""So often that is written in one turn of the loop; then others have theirs."""

UPGRADED = (("Connection", "Upgrade"), ("Upgrade", "h2c"))
"""Fields of the answer behind which HTTP/2 begins."""

NO_HEAD = Head("-", "-", "origin", "-", "-", "", "", "2.0", Fields(()), keep_alive=False)
"""Stands for a head that could not be read."""


class Http2Connection(Connection):
    """:ivar core: guarded by the lock.
    :ivar dispatch: brings a request to whoever answers.
    :ivar exchanges: by stream, all whose responses are not complete.
    :ivar gate: holds requests back while too much waits for the client; asked where more than `most_waiting` bytes do.
    :ivar served: requests begun.
    """

    __slots__ = (
        "_ghosts",
        "_head_since",
        "_heads",
        "_paused",
        "_site",
        "_upgrade",
        "_writing",
        "core",
        "dispatch",
        "exchanges",
        "gate",
        "most_waiting",
        "served",
    )

    def __init__(self, services: Services, dispatcher: Dispatcher, upgrade: Upgrade | None = None) -> None:
        """:param dispatcher: brings requests to whoever answers.
        :param upgrade: of a client that began with HTTP/1.1.
        """
        super().__init__(services)
        self.dispatch = dispatcher.dispatch
        self._heads = services.http2_heads
        self._site = dispatcher.site
        self._upgrade = upgrade
        self.core = Core(services.http2_limits)
        self.exchanges: dict[int, Http2Exchange] = {}
        self.gate = Gate(self)
        self.most_waiting = services.config.http2.http2_waiting_bytes
        self.served = 0
        self._ghosts: set[Http2Exchange] = set()
        self._head_since = 0.0
        self._paused = False
        self._writing = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if self._site is not None and not self.proxied and self._site.may_pass_on(not self.plain):
            self._heads = self.services.http2_proxy_heads
        core, upgrade, stream = self.core, self._upgrade, None
        with self.lock:
            self._writing = True
            if upgrade is None:
                core.begin()
            else:
                self.put(self.services.responses.interim(101, UPGRADED))
                stream = core.begin_upgraded(upgrade.settings)
            if self.services.retiring:
                core.leave()
        if upgrade is not None and stream is not None:
            self._upgrade = None
            self._answer(stream, upgrade.head, True, monotonic())
        self._write()

    # Reading

    def data_received(self, data: bytes) -> None:
        if self.closing:
            self.still_sending()
            return
        now = monotonic()
        with self.lock:
            self._writing = True  # whoever answers meanwhile need not wake the loop: it writes below
            events = self.core.receive(data, now)
        for event in events:
            if type(event) is Requested:
                self._begin(event, now)
            else:
                self._happen(event)
        if not self.core.guard.in_block:
            self._head_since = 0.0
        elif not self._head_since:
            self._head_since = now
        self._write()

    def eof_received(self) -> bool:
        self.closing = True
        return False  # nobody can say that it has read our answers: closing aborts what is still out

    def _happen(self, event: Event) -> None:
        match event:
            case Received(number, data, padding):
                exchange = self.exchanges.get(number)
                if exchange is not None and exchange.intake is not None:
                    exchange.intake.add(data, padding)
            case Trailers(number, pairs):
                exchange = self.exchanges.get(number)
                if exchange is not None and isinstance(exchange.intake, Intake):
                    exchange.intake.take_trailers(pairs)
            case Ended(number):
                exchange = self.exchanges.get(number)
                if exchange is not None and exchange.intake is not None:
                    exchange.intake.end()
            case Reset(number):
                exchange = self.exchanges.pop(number, None)
                if exchange is not None:
                    self._lose(exchange)

    def _begin(self, event: Requested, now: float) -> None:
        stream = self.core.streams.get(event.stream)
        if stream is None:
            return  # reset in the same breath
        try:
            head, error = self._heads.make(event.pairs, event.ended), None
        except Answerable as refused:
            head, error = NO_HEAD, refused
        self._answer(stream, head, event.ended, now, error)

    def _answer(self, stream: Stream, head: Head, ended: bool, now: float, error: Answerable | None = None) -> None:
        """Bring a request to its app, or answer what is none.

        :param ended: nothing follows the head.
        """
        services = self.services
        services.served += 1
        self.served += 1
        self.due = inf
        exchange: Http2Exchange
        if head.protocol or head.form == "authority":
            exchange = Connect(self, stream, head, now, services.next_serial(), ended)
        else:
            exchange = Http2Exchange(self, stream, head, now, services.next_serial())
            if not ended:
                exchange.intake = Intake(self, exchange)
        self.exchanges[stream.id] = exchange
        if error is not None:
            exchange.fail(error)
            return
        if self.proxied:
            exchange.peer = vouched_for(self.peer, head.fields, services.trusted)
        if self.core.waiting > self.most_waiting and self.gate.holds(exchange):
            return
        self.dispatch(exchange)

    def begin_promised(self, stream: Stream, pairs: list[tuple[bytes, bytes]]) -> None:
        """Answer a request that the client has not made. Belongs to the loop."""
        if stream.open:
            self._begin(Requested(stream.id, pairs, True), monotonic())

    def receive_body(self, exchange: Http2Exchange, route: Route, mode: BodyMode, limit: int) -> None:
        """Take the body that follows the head of `exchange`, as its app wants it.

        :raises TooLarge: at once, when the client has said how much it wants to send.
        """
        assert isinstance(exchange.intake, Intake)
        exchange.intake.receive(route, mode, limit)

    def receive_held_body(self, exchange: Http2Exchange) -> None:
        """Take the body that its app wanted to wait."""
        if exchange.gone or exchange.phase != OPEN:
            return
        exchange.taken = False
        route = exchange.app
        try:
            self.receive_body(exchange, route, route.body_mode, route.limit(exchange.head))
        except Exception as error:  # noqa: BLE001 - as in the pipeline
            exchange.fail(error)

    def acknowledge(self, exchange: Http2Exchange, size: int) -> None:
        """So many bytes of the body are consumed."""
        with self.lock:
            if self.fd >= 0 and not self.core.broken:
                self.core.acknowledge(exchange.stream.id, size)
                self.write_soon()

    # Writing

    def advance(self) -> None:
        """Frame what may go, and have it written; the caller holds the lock."""
        if not self.spilled:
            self.core.pump(ROOM_BYTES)
        self.write_soon()

    def write_soon(self) -> None:
        """Have the loop write what has gathered; the caller holds the lock."""
        if not self._writing:
            self._writing = True
            self.services.on_loop(self._write)

    def _write(self) -> None:
        """Write, and see what follows from it. Belongs to the loop."""
        core = self.core
        with self.lock:
            self._writing = False
            core.ghosts = len(self._ghosts)
            for _ in range(ROUNDS):
                if self.spilled or self.fd < 0:
                    break
                if not core.broken:
                    core.pump(ROOM_BYTES)
                if not core.outgoing:
                    break
                self.put(core.take())
            else:
                self.write_soon()
            completed, core.completed = core.completed, []
        if self.spilled != self._paused and self.fd >= 0:
            self._paused = self.spilled
            if self._paused:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()
        if completed:
            self._log(completed)
        self._wake_writers()
        if self.gate.held:
            self.gate.release()
        if core.broken and not self.closing:
            self._break()
        elif not self.exchanges and self.fd >= 0 and not self.closing:
            self._rest()

    def _log(self, completed: list[Stream]) -> None:
        services, now, held = self.services, monotonic(), self.gate.held
        for stream in completed:
            exchange = self.exchanges.pop(stream.id, None)
            if exchange is not None:
                if held:
                    self.gate.let(exchange)
                services.request_log.add((exchange, exchange.ended, now))
                if exchange.intake is not None:
                    exchange.intake.complete()
        services.flush_soon()

    def _wake_writers(self) -> None:
        """Tell those who wait that their streams take more."""
        if self.spilled:
            return
        with self.lock:
            jobs: tuple[Callable[[], None], ...] = ()
            for exchange in self.exchanges.values():
                if exchange.writable_jobs and not exchange.stream.waiting:
                    jobs += exchange.writable_jobs
                    exchange.writable_jobs = ()
        for job in jobs:
            job()

    def _rest(self) -> None:
        """Nothing is being asked."""
        if self.core.leaving and (self.core.left or self.services.stopping):
            self.closing = True
            self.linger_when_sent()
        elif self.due == inf:
            self.due = monotonic() + self.services.keep_alive_s

    def drained(self) -> None:
        self._write()

    def linger_when_sent(self) -> None:
        """Half-close behind what is still to be sent, so that the client reads our farewell."""
        if self.spilled:
            self.when_drained(self.linger)
        else:
            self.linger()

    # Streams that end early

    def reset(self, exchange: Http2Exchange, code: ErrorCodes) -> None:
        """End a stream whose response cannot be completed. Belongs to the loop."""
        if self.exchanges.pop(exchange.stream.id, None) is None:
            return
        with self.lock:
            if self.fd >= 0:
                self.core.reset(exchange.stream, code)
                self.write_soon()
        self._lose(exchange)

    def violate(self, exchange: Http2Exchange, what: str) -> None:
        """A request is malformed (RFC 9113, section 8.1.1)."""
        log.info("%s %s: %s", exchange.head.method, exchange.head.target, what)
        self.reset(exchange, ErrorCodes.PROTOCOL_ERROR)

    def _lose(self, exchange: Http2Exchange) -> None:
        """The client does not want the response any more. Until its handler ends, it counts among the client's streams."""
        task = getattr(exchange, "task", None)
        if task is not None:
            at_work = True
            task.add_done_callback(lambda task: self._settle_task(exchange))
        else:
            handed = exchange.intake is None or exchange.intake.handed
            at_work = handed and not exchange.writable_jobs and getattr(exchange.app, "in_threads", False)
        exchange.lost()
        with self.lock:
            if at_work and exchange.phase != FINISHED:
                self._ghosts.add(exchange)
                self.core.ghosts = len(self._ghosts)
        self.gate.let(exchange)
        now = monotonic()
        self.services.request_log.add((exchange, now, now))
        self.services.flush_soon()

    def settle(self, exchange: Http2Exchange) -> None:
        """The handler of a lost request has heard of it; the caller holds the lock. A task may go on all the same."""
        if getattr(exchange, "task", None) is None:
            self._settled(exchange)

    def _settle_task(self, exchange: Http2Exchange) -> None:
        with self.lock:
            self._settled(exchange)

    def _settled(self, exchange: Http2Exchange) -> None:
        self._ghosts.discard(exchange)
        self.core.ghosts = len(self._ghosts)

    # The end

    def _break(self) -> None:
        """The client broke the protocol: say why, and end."""
        log.info("%s: HTTP/2 connection ended: %s", self.peer.client or "a client", self.core.broken)
        self._lose_all()
        self.linger_when_sent()

    def _lose_all(self) -> None:
        exchanges, self.exchanges = self.exchanges, {}
        for exchange in exchanges.values():
            self._lose(exchange)

    def lost(self) -> None:
        self.closing = True
        self._lose_all()
        self.services.hoards.discard(self)
        age_s = monotonic() - self.opened
        log.info("%s: HTTP/2 connection closed, %d requests in %.1f s", self.peer.client or "a client", self.served, age_s)

    # Time

    def overdue(self, now: float) -> None:
        if self.lingering:
            self.abort()
        elif not self.exchanges:
            self._leave(at_once=True)
            self.due = inf

    def check(self, now: float) -> None:
        services = self.services
        if self.closing:
            return
        if now - self.opened > services.keep_alive_age_s:
            self._leave()
        if self._head_since and now - self._head_since > services.config.timeouts.head_s:
            with self.lock:
                self.core.end(ErrorCodes.ENHANCE_YOUR_CALM, "a request head took too long")
            self._write()
            return
        for exchange in tuple(self.exchanges.values()):
            if exchange.intake is not None:
                exchange.intake.check(now)
            if exchange.phase == OPEN and not exchange.taken and now - exchange.began >= services.thread_wait_s:
                if exchange not in self.gate.held and (exchange.intake is None or exchange.intake.ended):
                    exchange.fail(Answerable("no thread was free in time", status=503, fields=[("Retry-After", "5")]))
            elif exchange.phase >= STARTED:
                exchange.check_progress(now)

    def _leave(self, at_once: bool = False) -> None:
        with self.lock:
            self.core.leave(at_once)
        self._write()

    def retire(self) -> None:
        self._leave()
        self._have_left(stopping=False)

    def stop(self) -> None:
        self._leave(at_once=True)
        self._have_left(stopping=True)

    def _have_left(self, stopping: bool) -> None:
        for exchange in tuple(self.exchanges.values()):
            exchange.leave(stopping)
