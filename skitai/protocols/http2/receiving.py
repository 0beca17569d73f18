"""What both sides of a connection do to receive messages (RFC 9113, section 8.1): heads, bodies, trailers; how streams end.

What breaks the protocol ends the connection, also where the RFC would let it end the stream alone (section 5.4): only what
may be done without knowing what is on its way from us is a matter of one stream.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from skitai.protocols.http2.budget import Limits
from skitai.protocols.http2.compression import BlockReader
from skitai.protocols.http2.events import Ended, ErrorCodes, Event, Malformed, Pair, Received, Reset, Trailers, Violation
from skitai.protocols.http2.fields import anything, check_trailers
from skitai.protocols.http2.frames import (
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    LAST,
    NUMBER,
    PADDED,
    PRIORITIZED,
    SETTINGS,
    WINDOW,
    rst_stream,
    unpadded,
    window_update,
)
from skitai.protocols.http2.sending import Sending
from skitai.protocols.http2.stream import Stream

REMEMBERED = 1000
"""Streams remembered that we have reset, which the other side may not know yet."""


class Receiving(Sending):
    """The receiving half, as far as streams are concerned.

    :param limits: what the other side may.
    :ivar broken: why the connection has to end, or "". Nothing is received any more; what `take` gives is still to be sent.
    """

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self.broken = ""
        self._expected: int | None = SETTINGS
        self._reader = BlockReader(limits)
        self._block: tuple[int, int] = (0, 0)
        self._fragments: list[bytes] = []
        self._room = max(WINDOW, limits.connection_window)
        self._due = 0
        self._least_due = self._room >> 1
        self._stream_room = max(WINDOW, limits.stream_window)
        self._discarding: dict[int, None] = {}
        self._highest = 0

    # Heads and trailers

    def _headers(self, flags: int, number: int, payload: bytes, now: float, events: list[Event]) -> None:
        self.guard.block(len(payload), bool(flags & END_HEADERS))
        payload = unpadded(flags, payload, 5 if flags & PRIORITIZED else 0)
        if flags & PRIORITIZED:
            depends_on_another(number, payload)
            payload = payload[5:]
        if flags & END_HEADERS:
            self._whole_block(number, bool(flags & END_STREAM), payload, now, events)
        else:
            self._block = (number, flags)
            self._fragments = [payload]
            self._expected = CONTINUATION

    def _continuation(self, flags: int, number: int, payload: bytes, now: float, events: list[Event]) -> None:
        if self._expected != CONTINUATION or number != self._block[0]:
            raise Violation(ErrorCodes.PROTOCOL_ERROR, "a CONTINUATION of nothing")
        self.guard.continuation(len(payload), bool(flags & END_HEADERS))
        self._fragments.append(payload)
        if flags & END_HEADERS:
            self._expected = None
            block, self._fragments = b"".join(self._fragments), []
            self._whole_block(number, bool(self._block[1] & END_STREAM), block, now, events)

    def _whole_block(self, number: int, ended: bool, block: bytes, now: float, events: list[Event]) -> None:
        stream = self.streams.get(number)
        try:
            if stream is None:
                self._strange_head(number, ended, block, now, events)
            elif stream.input_ended:
                self._reader.read(block, anything)
                self._fault(stream, ErrorCodes.STREAM_CLOSED, now, events)
            elif not stream.headed:
                self._late_head(stream, ended, block, now, events)
            else:
                self._trailers(stream, ended, self._reader.read(block, check_trailers), now, events)
        except Malformed as error:
            self._malformed(number, error, now, events)

    def _strange_head(self, number: int, ended: bool, block: bytes, now: float, events: list[Event]) -> None:
        """A field block of a stream that is not there."""
        self._reader.read(block, anything)
        if number not in self._discarding:
            raise Violation(*self._misplaced(number, "HEADERS"))
        self.guard.control(now, "HEADERS on streams that were reset")
        if ended:
            del self._discarding[number]

    def _late_head(self, stream: Stream, ended: bool, block: bytes, now: float, events: list[Event]) -> None:
        """The head of a stream that is there: of a response."""
        raise Malformed("a head where none belongs")

    def _trailers(self, stream: Stream, ended: bool, pairs: Sequence[Pair], now: float, events: list[Event]) -> None:
        if not ended:
            raise Malformed("trailers that do not end their stream")
        if pairs:
            events.append(Trailers(stream.id, pairs))
        self._input_ends(stream, now, events)

    def _malformed(self, number: int, error: Malformed, now: float, events: list[Event]) -> None:
        raise Violation(ErrorCodes.PROTOCOL_ERROR, str(error)) from error

    # Bodies

    def _data(self, flags: int, number: int, payload: bytes, now: float, events: list[Event]) -> None:
        if not number:
            raise Violation(ErrorCodes.PROTOCOL_ERROR, "DATA on stream 0")
        size = len(payload)
        self._room -= size
        if self._room < 0:
            raise Violation(ErrorCodes.FLOW_CONTROL_ERROR, "more than the window of the connection holds")
        data = unpadded(flags, payload) if flags & PADDED else payload
        if not data and not flags & END_STREAM:
            self.guard.control(now, "empty DATA frames")
        stream = self.streams.get(number)
        if stream is None:
            self._stray_data(flags, number, size, now)
            return
        stream.room -= size
        stream.held += size
        if stream.room < 0:
            raise Violation(ErrorCodes.FLOW_CONTROL_ERROR, f"more than the window of stream {number} holds")
        if stream.input_ended:
            self._fault(stream, ErrorCodes.STREAM_CLOSED, now, events)
            return
        if not stream.headed or 0 <= stream.left < len(data):
            self._fault(stream, ErrorCodes.PROTOCOL_ERROR, now, events)
            return
        if stream.left > 0:
            stream.left -= len(data)
        if size:
            events.append(Received(number, data, size - len(data)))
        if flags & END_STREAM:
            self._input_ends(stream, now, events)

    def _stray_data(self, flags: int, number: int, size: int, now: float) -> None:
        """DATA of a stream that is gone, which the other side may not know yet; it gets its window back."""
        self._credit(size)
        if number in self._discarding:
            self.guard.control(now, "DATA frames on streams that were reset")
            if flags & END_STREAM:
                del self._discarding[number]
            return
        if self._idle(number):
            raise Violation(*self._misplaced(number, "DATA"))
        self._put(rst_stream(number, ErrorCodes.STREAM_CLOSED))
        self.guard.reset(now, "DATA frames on closed streams")

    def _input_ends(self, stream: Stream, now: float, events: list[Event]) -> None:
        if stream.left > 0:
            self._fault(stream, ErrorCodes.PROTOCOL_ERROR, now, events)
            return
        stream.input_ended = True
        events.append(Ended(stream.id))
        self._heard(stream)

    @abstractmethod
    def _heard(self, stream: Stream) -> None:
        """The other side of a stream has ended."""

    def acknowledge(self, number: int, size: int) -> None:
        """So many bytes of a body were consumed; as many may be sent again."""
        stream = self.streams.get(number)
        if stream is None or not size:
            return  # gone meanwhile, and acknowledged then
        stream.held -= size
        self._credit(size)
        stream.due += size
        if stream.due >= self.limits.stream_window >> 1 and not stream.input_ended:
            stream.room += stream.due
            self._put(window_update(number, stream.due))
            stream.due = 0

    def _credit(self, size: int) -> None:
        """Widen the window of the connection again."""
        self._due += size
        if self._due and self._due >= self._least_due:
            self._room += self._due
            self._put(window_update(0, self._due))
            self._due = 0

    # Streams

    @abstractmethod
    def _idle(self, number: int) -> bool:
        """Whether a stream has not begun."""

    def _misplaced(self, number: int, what: str) -> tuple[ErrorCodes, str]:
        """What a frame on a stream that has not begun, or has ended, means (section 5.1)."""
        if self._idle(number):
            return ErrorCodes.PROTOCOL_ERROR, f"{what} on stream {number}, which has not begun"
        return ErrorCodes.STREAM_CLOSED, f"{what} on stream {number}, which has ended"

    def _fault(self, stream: Stream, code: ErrorCodes, now: float, events: list[Event]) -> None:
        """End a stream for what the other side did."""
        self.reset(stream, code)
        self._gone(stream.id, code, events)
        self.guard.reset(now, "faulty streams")

    def reset(self, stream: Stream, code: int) -> None:
        """End a stream whose response cannot be completed, or is not wanted."""
        if not stream.open or self.broken:
            return
        self._put(rst_stream(stream.id, code))
        if not stream.input_ended:
            self._remember(stream.id)
        self._forget(stream)

    def _remember(self, number: int) -> None:
        """What still comes of this stream is to be dropped."""
        if len(self._discarding) >= REMEMBERED:
            del self._discarding[next(iter(self._discarding))]
        self._discarding[number] = None

    def _forget(self, stream: Stream) -> None:
        del self.streams[stream.id]
        self.waiting -= stream.waiting
        stream.drop()
        if stream.held:
            held, stream.held = stream.held, 0
            self._credit(held)

    def _gone(self, number: int, code: int, events: list[Event]) -> None:
        """Tell that a stream ended early."""
        events.append(Reset(number, code))


def depends_on_another(number: int, priority: bytes) -> None:
    """:raises Violation: a stream's priority is that it comes before itself."""
    if NUMBER.unpack_from(priority)[0] & LAST == number:
        raise Violation(ErrorCodes.PROTOCOL_ERROR, f"stream {number} depends on itself")
