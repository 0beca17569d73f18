"""One request on its way to a member, and the answer on its way back, without a task or a future where a connection idles.

A relay is what a connection of the HTTP driver hands an answer to (`incoming.Receiver`), and hands it on as it comes: in one
write where it came whole. Whoever is slower makes the other wait: a client that takes too little stops the reading of the
answer, a member that takes too little stops the reading of the request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

from skitai.backend.balance import Seat
from skitai.backend.drivers.http.bodies import Stream
from skitai.backend.drivers.http.http1 import Http1Connection
from skitai.backend.drivers.http.incoming import INFINITE, Broken, Flow
from skitai.backend.drivers.http.origin import ATTEMPTS, Connection
from skitai.backend.errors import BackendError, Code
from skitai.config.aliases import Member
from skitai.errors import Answerable, Unanswerable
from skitai.exchange import Flow as Pace
from skitai.http.head import Fields
from skitai.log.txn import hand_on, hand_on_lines
from skitai.protocols.http1.answer import AnswerHead
from skitai.worker.upstream.answers import refusal, send_rest, send_whole
from skitai.worker.upstream.heads import REPEATABLE, Passed, allowed_trailers
from skitai.worker.upstream.members import speaks_against
from skitai.worker.upstream.servers import Reaching, Servers
from skitai.worker.upstream.trailing import Body

log = logging.getLogger("skitai.server")


SHORT_BYTES = 65536
"""A body of up to this size is taken whole before a member is asked."""


NOT_AHEAD = ("content-length", "trailer", "date", "server")
"""Fields that speak of an answer, and are not there yet."""

HALF_CLOSED_S = 1.0
"""A client that has ended its side may listen on, though hardly any does: so long the answer may be silent then."""


class Relay:
    """:param exchange: the client's request.
    :param trusted: a trusted proxy sends it.
    :param calls: it is a call of gRPC.
    """

    __slots__ = (
        "_at",
        "_attempts",
        "_body",
        "_calls",
        "_exchange",
        "_flow",
        "_held",
        "_members",
        "_owed",
        "_passed",
        "_pending",
        "_pieces",
        "_refused",
        "_seat",
        "_short",
        "_started",
        "_task",
        "_tried",
        "_trusted",
        "_used",
        "_way",
        "began_at",
        "error",
        "head",
    )

    streaming = True

    def __init__(self, members: Servers, exchange: Any, trusted: bool, calls: bool) -> None:
        self._members = members
        self._exchange = exchange
        self._trusted = trusted
        self._calls = calls
        self._tried: tuple[Seat[Member], ...] = ()
        self._seat: Seat[Member] | None = None
        self._way: Reaching
        self._passed: Passed
        self._short: bytes | None = None
        self._flow: Flow | None = None
        self._task: asyncio.Task[None] | None = None
        self._pieces: list[bytes] = []
        self._started = self._held = self._body = self._used = self._refused = False
        self._owed = self._pending = self._attempts = 0
        self._at = 0.0
        self.head: AnswerHead | None = None
        self.error: BackendError | None = None

    # Asking

    def ask(self) -> None:
        """Ask a member; what brings a short body waits for it, and can be asked of another one with it."""
        exchange = self._exchange
        if 0 < exchange.head.length <= SHORT_BYTES:
            exchange.body.whole(self._gathered)
        else:
            self._next()

    def _gathered(self, body: bytes | None) -> None:
        """The body is here; None where it does not come."""
        if self._exchange is None:
            return
        if body is None:
            self.leave()
            return
        self._short = body
        try:
            self._next()
        except Exception as error:  # noqa: BLE001 - as in the pipeline: whatever it is becomes an answer
            self._refuse(error)

    def _next(self) -> None:
        """Ask a member that was not asked yet."""
        members = self._members
        self._seat = seat = members.pick(self._tried)
        if seat is None:
            self._give_up()
            return
        self._tried = (*self._tried, seat)
        self._way = way = members.way(seat)
        try:
            self._passed = way.lane.passed(self._exchange.head, self._trusted)
        except Answerable as error:
            self._refuse(error)
        else:
            self._reach(False)

    def _reach(self, fresh: bool) -> None:
        """Get a connection to the member that was picked.

        :param fresh: a kept one turned out to be dead.
        """
        origin = self._way.origin(self._calls)
        connection = None if fresh else origin.free()
        again = self._exchange.head.method in REPEATABLE
        if not again and isinstance(connection, Http1Connection) and not connection.silent:
            origin.drop(connection)
            connection = None
        if connection is None:
            self._task = self._members.loop.create_task(self._wait(fresh))
        else:
            self._send(connection)

    async def _wait(self, fresh: bool) -> None:
        origin = self._way.origin(self._calls)
        try:
            connection = await self._members.reach(origin, fresh)
        except BackendError as error:
            self._task = None
            self.fail(error.with_traceback(None))
        else:
            self._task = None
            try:
                self._send(connection)
            except Exception as error:  # noqa: BLE001 - as in the pipeline: whatever it is becomes an answer
                self._refuse(error)

    def _refuse(self, error: Exception) -> None:
        """Answer an error that is none of the member's."""
        exchange = self._exchange
        self._release(None)
        exchange.fail(error)

    def _send(self, connection: Connection) -> None:
        members, exchange, lane, passed = self._members, self._exchange, self._way.lane, self._passed
        head = exchange.head
        self._attempts += 1
        self._used = connection.asked > 0
        self.began_at = self._at = now = members.loop.time()
        self._pending = 0
        self.error = None
        told = lane.told(exchange.peer, head, passed, self._trusted)
        body: Stream | bytes | None = self._short
        if head.length and body is None:
            body = Body(self._sent(), exchange, isinstance(connection, Http1Connection))
        members.watch.add(self, now + members.options.upstream_first_byte_s)
        if isinstance(connection, Http1Connection):
            traced = hand_on_lines(exchange.txn, self._attempts).encode("ascii") if lane.traces else b""
            if passed.binds:
                connection.part()
            connection.ask(head.method, b"%b%b%b\r\n" % (passed.first, told.lines, traced), body, self)
        else:
            ids = hand_on(exchange.txn, self._attempts) if lane.traces else ()
            own = [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in ids]
            connection.ask([*passed.pairs, *told.pairs, *own], body, self)

    async def _sent(self) -> AsyncIterator[bytes]:
        """The body, which can be had but once."""
        exchange = self._exchange
        if exchange is None:
            return
        self._body = True
        async for piece in exchange.body.stream():
            yield piece

    @property
    def _repeatable(self) -> bool:
        """Whether asking twice does no harm."""
        return self._exchange.head.method in REPEATABLE and not self._body

    @property
    def _others(self) -> bool:
        """Whether a member was not asked yet."""
        return len(self._tried) < len(self._members.balance.seats)

    # What the connection tells

    def begin(self, flow: Flow) -> None:
        self._flow = flow

    def touch(self) -> None:
        if self._body:  # the member takes it; a head that comes in crumbs has no more time than one that comes whole
            self._at = self._members.loop.time()

    def informed(self, head: AnswerHead) -> None:
        """100 is for us, who ask for none; any other interim response is for the client."""
        exchange = self._exchange
        if exchange is None or head.status == 100:
            return
        self._at = self._members.loop.time()
        wanted = self._members.options.upstream_interim
        if wanted == "none" or (wanted == "http2" and exchange.head.version != "2.0"):
            return
        fields = self._way.lane.answered(head.fields, exchange.head)
        try:
            exchange.inform(head.status, [each for each in fields if each[0] not in NOT_AHEAD])
        except ValueError as error:
            log.info("%s: an interim response that cannot be passed on: %s", self._members.name, error)

    def began(self, head: AnswerHead) -> None:
        self._at = self._members.loop.time()
        if head.status in self._members.statuses and self._repeatable:
            self._refused = self._others
        self.head = head

    def got(self, piece: bytes) -> None:
        self._at = self._members.loop.time()
        if self._exchange is not None and not self._refused:
            self._pieces.append(piece)

    def so_far(self) -> None:
        if self._exchange is None or self.head is None:
            return
        if self._refused:
            self._ask_another()
        elif self._started or self._start():
            self._write()

    def _start(self) -> bool:
        """Begin the response; False when nobody wants it."""
        exchange, head = self._exchange, self.head
        assert head is not None
        try:
            fields = self._way.lane.answered(head.fields, exchange.head)
            self._started = exchange.start(head.status, fields, head.reason)
        except ValueError as error:
            self.fail(BackendError(Code.PROTOCOL, f"an answer that cannot be passed on: {error}", sent=True))
            return False
        options = self._members.options
        if not self._started:
            self._release(None)
        elif options.upstream_idle_s < options.upstream_first_byte_s:
            self._members.watch.add(self, self._at + options.upstream_idle_s)
        return self._started

    def _write(self) -> None:
        """Hand on what has come."""
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._owed += len(data)
        match self._exchange.write(data):
            case Pace.GONE:
                self._release(None)
            case Pace.WAIT:
                if not self._held and self._flow is not None:
                    self._held = True
                    self._flow.hold()
                    self._exchange.when_writable(self._go_on)
            case _:
                self._taken()

    def _go_on(self) -> None:
        """The client has taken what waited for it."""
        self._held = False
        self._at = self._members.loop.time()
        self._taken()

    def _taken(self) -> None:
        owed, self._owed = self._owed, 0
        if self._flow is not None and owed and not self._held:
            self._flow.taken(owed)

    def whole(self, head: AnswerHead, body: bytes) -> None:
        if self._exchange is None:
            return
        self.head = head
        if head.status in self._members.statuses and self._repeatable and self._others:
            self._ask_another()
        else:
            self._pass_on(head, body, None)

    def end(self, trailers: Fields | None = None) -> None:
        if self._exchange is None:
            return
        if self._refused:
            self._ask_another()
            return
        assert self.head is not None
        self._pass_on(self.head, b"".join(self._pieces), trailers)

    def _pass_on(self, head: AnswerHead, data: bytes, trailers: Fields | None) -> None:
        """Hand on the rest of the answer, or all of it."""
        exchange = self._exchange
        self._release(head.status not in self._members.statuses)
        trailing = () if trailers is None else allowed_trailers(trailers, exchange.head)
        try:
            if self._started:
                send_rest(exchange, data, trailing)
            else:
                send_whole(
                    exchange, head.status, self._way.lane.answered(head.fields, exchange.head), data, head.reason, trailing
                )
        except ValueError as error:
            self._answer_error(exchange, BackendError(Code.PROTOCOL, f"an answer that cannot be passed on: {error}"))

    # The end of it

    def fail(self, error: BackendError) -> None:
        if self._exchange is None:
            return
        self.error = error
        flow, self._flow = self._flow, None
        self._members.watch.remove(self)
        if flow is not None:
            flow.leave()
        assert self._seat is not None
        unheard = self.head is None and not self._started
        again = unheard and not self._body and (not error.sent or self._repeatable)
        if again and isinstance(error, Broken) and (self._used or not error.sent) and self._attempts < ATTEMPTS:
            self._reach(True)
            return
        self._members.done(self._seat, False if speaks_against(error) else None)
        self._seat = None
        if again and speaks_against(error):
            if self._others:
                log.warning("%s: %s; another server is asked", self._members.name, error.message)
            self._next()
        else:
            self._give_up()

    def _ask_another(self) -> None:
        """The member answers that it cannot."""
        head = self.head
        assert head is not None and self._seat is not None
        where = self._seat.member.node
        log.warning("%s: %s:%d answers %d; another server is asked", self._members.name, *where, head.status)
        flow, self._flow = self._flow, None
        self._members.watch.remove(self)
        if flow is not None:
            flow.leave()
        self._members.done(self._seat, False)
        self._refused, self.head = False, None
        self._next()

    def _give_up(self) -> None:
        """Nobody else is to be asked."""
        exchange, error = self._exchange, self.error
        self._release(None)
        self._answer_error(exchange, error or BackendError(Code.REFUSED, "no server was there to ask"))

    def _answer_error(self, exchange: Any, error: BackendError) -> None:
        cause = error.__cause__
        if isinstance(cause, (Answerable, Unanswerable)):  # the client's own fault, not that of a server
            if isinstance(cause, Answerable):
                head = exchange.head
                log.info("%s %s: %s", head.method, head.target, cause.message, extra={"txn": exchange.txn})
            exchange.fail(cause)
        else:
            exchange.fail(refusal(error, self._members.name))

    def leave(self) -> None:
        """The client has left, and nobody wants the rest; or it has ended its side, which looks the same for a while."""
        exchange = self._exchange
        if exchange is None:
            return
        if exchange.gone:
            self._release(None)
        else:
            self._members.loop.call_later(HALF_CLOSED_S, self._leave_unless_heard, self._at)

    def _leave_unless_heard(self, since: float) -> None:
        """A client that has ended its side is taken for gone once nothing moves."""
        exchange = self._exchange
        if exchange is None:
            return
        if exchange.gone or (self._at == since and not self._held):
            self._release(None)
            if not exchange.gone:
                exchange.connection.abort()
        else:
            self._members.loop.call_later(HALF_CLOSED_S, self._leave_unless_heard, self._at)

    def _release(self, well: bool | None) -> None:
        """Let go of everything: the connection goes back, or is closed where the answer was not complete."""
        self._exchange = None
        self._pieces = []
        flow, self._flow = self._flow, None
        task, self._task = self._task, None
        self._members.watch.remove(self)
        if task is not None:
            task.cancel()
        if flow is not None:
            flow.leave()
        seat, self._seat = self._seat, None
        if seat is not None:
            self._members.done(seat, well)

    def look(self, now: float) -> float:
        """See whether the member takes too long; see `incoming.Watched`."""
        options = self._members.options
        limit_s = options.upstream_first_byte_s if self.head is None else options.upstream_idle_s
        pending = 0 if self._flow is None else self._flow.pending()
        if self._held or pending < 0 or pending != self._pending:  # it is the client's turn, or something moves
            self._at, self._pending = now, pending
        if now - self._at >= limit_s:
            self.fail(BackendError(Code.SLOW, f"nothing came for {limit_s:g} seconds", sent=True))
            return INFINITE
        return self._at + limit_s
