"""A stream that leaves HTTP (RFC 8441; RFC 9113, section 8.5): bytes to and from whoever speaks through it, in DATA."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from typing import TYPE_CHECKING, Any

from skitai.errors import BadRequest
from skitai.exchange import Flow, Head, Tunnel, TunnelGuest
from skitai.protocols.http2.core import ErrorCodes
from skitai.protocols.http2.stream import Stream
from skitai.worker.connection import LINGER_S
from skitai.worker.exchange import OPEN, STARTED, Pairs
from skitai.worker.http2.exchange import Http2Exchange

if TYPE_CHECKING:
    from skitai.worker.http2.connection import Http2Connection


class Connect(Http2Exchange):
    """A request with the method CONNECT. A response of success would say that the tunnel begins: only `tunnel` sends one."""

    __slots__ = ("_tunnel",)

    def __init__(
        self, connection: Http2Connection, stream: Stream, head: Head, began: float, serial: int, ended: bool
    ) -> None:
        """:param ended: the client says nothing behind the head."""
        super().__init__(connection, stream, head, began, serial)
        self.intake = self._tunnel = Http2Tunnel(connection, self, ended)

    def respond(self, status: int, fields: Pairs, body: bytes = b"", reason: str = "") -> bool:
        if 200 <= status < 300:
            return self._refuse()
        return super().respond(status, fields, body, reason)

    def start(self, status: int, fields: Pairs, reason: str = "") -> bool:
        if 200 <= status < 300:
            self._refuse()
            return False
        return super().start(status, fields, reason)

    def _refuse(self) -> bool:
        waits = self.phase == OPEN
        self.fail(BadRequest(f"{self.head.protocol or 'a tunnel'} is not spoken at {self.head.path or self.head.target}"))
        return waits

    def tunnel(self, status: int, fields: Sequence[tuple[Any, Any]]) -> Tunnel | None:
        connection = self.connection
        pairs = connection.services.http2_responses.interim(status, fields)
        with connection.lock:
            if self.phase != OPEN or self.unheard:
                connection.settle(self)
                return None
            self.phase = STARTED
            self.status, self.fields = status, fields
            self._head, self._coder = None, None
            self.stream.tunnel = True
            connection.core.head(self.stream, pairs)
            connection.advance()
        return self._tunnel

    def lost(self) -> None:
        super().lost()
        self._tunnel.lost()

    def check_progress(self, now: float) -> None:
        """The guest has limits of its own."""

    def leave(self, stopping: bool) -> None:
        self._tunnel.leave(stopping)


class Http2Tunnel:
    """Implements `skitai.exchange.Tunnel`, and stands for the intake of its exchange.

    What comes before there is a guest, or while it pauses, waits here: it is no more than the window of the stream, which
    opens again as the guest is given the bytes.

    :ivar ended: the request is complete: it is its head.
    """

    __slots__ = (
        "_closing",
        "_connection",
        "_due",
        "_early",
        "_end_due",
        "_exchange",
        "_guest",
        "_last",
        "_paused",
        "_quiet_s",
    )

    ended = True

    def __init__(self, connection: Http2Connection, exchange: Connect, ended: bool) -> None:
        self._connection = connection
        self._exchange = exchange
        self._guest: TunnelGuest | None = None
        self._early: deque[bytes] = deque()
        self._end_due = ended
        self._paused = False
        self._last = False
        self._closing = False
        self._due = self._quiet_s = inf

    def begin(self, guest: TunnelGuest) -> None:
        self._guest = guest
        self._deliver()
        services = self._connection.services
        if services.retiring:
            guest.on_leave(services.stopping)

    @property
    def handed(self) -> bool:
        """Whether a handler still decides on the handshake."""
        return self._guest is None

    # What the client says

    def add(self, data: bytes, padding: int) -> None:
        """A piece has come."""
        self._exchange.received += len(data)
        if self._closing:
            self._acknowledge(len(data) + padding)
            return
        self._acknowledge(padding)
        self._early.append(data)
        self._deliver()

    def end(self) -> None:
        """The client will say no more."""
        self._end_due = True
        self._deliver()

    def _deliver(self) -> None:
        guest, early = self._guest, self._early
        if guest is None or self._exchange.gone:
            return
        while early and not self._paused and not self._closing:
            data = early.popleft()
            guest.on_data(data)
            self._acknowledge(len(data))
        if self._end_due and not early and not self._closing:
            self._end_due = False
            guest.on_end()

    def _acknowledge(self, size: int) -> None:
        if size:
            self._connection.acknowledge(self._exchange, size)

    # Writing

    @property
    def waiting(self) -> int:
        return self._exchange.stream.waiting

    def write(self, data: bytes, *, last: bool = False) -> Flow:
        connection, exchange = self._connection, self._exchange
        with connection.lock:
            if self._last or exchange.unheard:
                return Flow.GONE
            self._last = last
            connection.core.data(exchange.stream, data)
            connection.advance()
            return Flow.WAIT if exchange.waits else Flow.ON

    def when_writable(self, job: Callable[[], None]) -> None:
        self._exchange.when_writable(job)

    # Reading, time, and the end

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            self._connection.services.on_loop(self._deliver)  # not within `on_data`

    def wake_at(self, due: float) -> None:
        self._due = due

    def check(self, now: float) -> None:
        """Once a second: the guest's time, and that of a client that does not end its side."""
        if self._exchange.stream.output_ended and self._closing:
            self._quiet_s = min(self._quiet_s, now)
            if now - self._quiet_s > LINGER_S:
                self._connection.reset(self._exchange, ErrorCodes.NO_ERROR)
        elif now >= self._due and self._guest is not None:
            self._due = inf
            self._guest.on_time(now)

    def leave(self, stopping: bool) -> None:
        """The worker wants to leave."""
        if self._guest is not None:
            self._guest.on_leave(stopping)

    def write_eof(self) -> bool:
        """END_STREAM behind what waits."""
        connection, exchange = self._connection, self._exchange
        with connection.lock:
            if not exchange.unheard and not exchange.stream.ending:
                self._last = True
                connection.core.finish(exchange.stream)
                connection.advance()
        return True

    def close(self) -> None:
        """The same, and what still comes is dropped."""
        self._closing = True
        self._acknowledge(sum(map(len, self._early)))
        self._early.clear()
        self.write_eof()

    half_close = close

    def abort(self) -> None:
        self._connection.services.on_loop(self._connection.reset, self._exchange, ErrorCodes.CANCEL)

    def reset(self) -> None:
        """RFC 9113, section 8.5."""
        self._connection.services.on_loop(self._connection.reset, self._exchange, ErrorCodes.CONNECT_ERROR)

    def complete(self) -> None:
        """Both sides have ended it. What the guest has not taken is no more than a window, and does not wait any longer."""
        self._paused = False
        self._deliver()
        self.lost()

    def lost(self) -> None:
        """The stream is gone."""
        self._closing = True
        self._early.clear()
        guest, self._guest = self._guest, None
        if guest is not None:
            guest.on_lost()
