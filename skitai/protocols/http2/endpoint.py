"""What both sides of a connection do to receive (RFC 9113): bytes become frames, which change streams, windows and settings.

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
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEAD,
    HEAD_BYTES,
    HEADERS,
    LAST,
    NUMBER,
    PADDED,
    PING,
    PRIORITIZED,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW,
    WINDOW_UPDATE,
    Settings,
    frame,
    goaway,
    number_in,
    rst_stream,
    settings,
    settings_in,
    unpadded,
    window_update,
)
from skitai.protocols.http2.sending import Sending
from skitai.protocols.http2.stream import Stream

REMEMBERED = 1000
"""Streams remembered that we have reset, which the other side may not know yet."""


WHOLE = END_STREAM | END_HEADERS
"""Flags of a request without a body, in one frame: most are that."""


class Endpoint(Sending):
    """One side of a connection.

    :param limits: what the other side may.
    :ivar broken: why the connection has to end, or "". Nothing is received any more; what `take` gives is still to be sent.
    :ivar leaving: no new streams.
    """

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self.broken = ""
        self.leaving = False
        self._rest = b""
        self._expected: int | None = SETTINGS
        self._preface = b""
        self._reader = BlockReader(limits)
        self._block: tuple[int, int] = (0, 0)
        self._fragments: list[bytes] = []
        self._room = max(WINDOW, limits.connection_window)
        self._due = 0
        self._least_due = self._room >> 1
        self._stream_room = max(WINDOW, limits.stream_window)
        self._acknowledged = False
        self._discarding: dict[int, None] = {}
        self._highest = 0
        self._most_streams = LAST
        self._push_wanted = True

    def _announce(self, more: dict[int, int]) -> bytes:
        """Our SETTINGS, and the window of the connection.

        :param more: settings of one role only.
        """
        limits = self.limits
        said: dict[int, int] = {
            Settings.HEADER_TABLE_SIZE: limits.table_bytes,
            Settings.INITIAL_WINDOW_SIZE: limits.stream_window,
            Settings.MAX_FRAME_SIZE: limits.frame_bytes,
            Settings.MAX_HEADER_LIST_SIZE: limits.head_bytes,
        }
        widening = self._room - WINDOW
        return settings({**said, **more}) + (window_update(0, widening) if widening else b"")

    # Receiving

    def receive(self, data: bytes, now: float) -> list[Event]:
        """Take what came.

        :param now: monotonic time in seconds.
        """
        events: list[Event] = []
        if self.broken:
            return events
        if self._rest:
            data = self._rest + data
        at, end = 0, len(data)
        most, most_block = self.limits.frame_bytes, self.limits.block_bytes
        try:
            if self._preface:
                at = self._greeting(data)
            while end - at >= HEAD_BYTES and not self._preface:
                high, low, kind, flags, number = HEAD.unpack_from(data, at)
                size = high << 8 | low
                if size > most:
                    raise Violation(ErrorCodes.FRAME_SIZE_ERROR, f"a frame of {size} bytes")
                start = at + HEAD_BYTES
                if start + size > end:
                    break
                at = start + size
                if kind == HEADERS and flags | END_STREAM == WHOLE and self._expected is None and size <= most_block:
                    self._whole_block(number & LAST, flags == WHOLE, data[start:at], now, events)
                    continue
                if self._expected is not None and kind != self._expected:
                    raise Violation(ErrorCodes.PROTOCOL_ERROR, f"a frame of type {kind} instead of type {self._expected}")
                handle = FRAMES.get(kind, Endpoint._unknown)
                handle(self, flags, number & LAST, data[start:at], now, events)
        except Violation as violation:
            self.end(violation.code, str(violation))
        self._rest = data[at:]
        return events

    def _greeting(self, data: bytes) -> int:
        """Where frames begin; 0 when the preface is not complete."""
        preface = self._preface
        if not preface.startswith(data[: len(preface)]):
            raise Violation(ErrorCodes.PROTOCOL_ERROR, "no HTTP/2 preface")
        if len(data) < len(preface):
            return 0
        self._preface = b""
        return len(preface)

    # Heads and trailers

    def _headers(self, flags: int, number: int, payload: bytes, now: float, events: list[Event]) -> None:
        self.guard.block(len(payload), bool(flags & END_HEADERS))
        if flags & PADDED:
            payload = unpadded(flags, payload)
        if flags & PRIORITIZED:
            if len(payload) < 5:
                raise Violation(ErrorCodes.FRAME_SIZE_ERROR, "HEADERS without their priority")
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

    def _rst_stream(self, flags: int, number: int, payload: bytes, now: float, events: list[Event]) -> None:
        self.guard.reset(now, "resets")
        code = number_in(payload, "RST_STREAM")
        if self._idle(number):
            raise Violation(*self._misplaced(number, "RST_STREAM"))
        self._discarding.pop(number, None)
        stream = self.streams.get(number)
        if stream is not None:
            self._forget(stream)
            self._gone(number, code, events)

    def _gone(self, number: int, code: int, events: list[Event]) -> None:
        """Tell that a stream ended early."""
        events.append(Reset(number, code))

    def _window_update(self, flags: int, number: int, payload: bytes, now: float, events: list[Event]) -> None:
        self.guard.update(now)
        increment = number_in(payload, "WINDOW_UPDATE") & LAST
        if not increment:
            raise Violation(ErrorCodes.PROTOCOL_ERROR, "a window widened by nothing")
        if not number:
            self._window += increment
            if self._window > LAST:
                raise Violation(ErrorCodes.FLOW_CONTROL_ERROR, "the window of the connection is too wide")
            for stream in self.streams.values():
                self._widened(stream)
            return
        known = self.streams.get(number)
        if known is None:
            if self._idle(number):
                raise Violation(*self._misplaced(number, "WINDOW_UPDATE"))
            return
        known.window += increment
        if known.window > LAST:
            self._fault(known, ErrorCodes.FLOW_CONTROL_ERROR, now, events)
        else:
            self._widened(known)

    # The connection

    def _settings(self, flags: int, number: int, payload: bytes, now: float, events: list[Event]) -> None:
        self.guard.control(now, "SETTINGS")
        if number:
            raise Violation(ErrorCodes.PROTOCOL_ERROR, f"SETTINGS on stream {number}")
        if flags & ACK:
            if payload:
                raise Violation(ErrorCodes.FRAME_SIZE_ERROR, "an acknowledgement that says something")
            if self._expected is not None:
                raise Violation(ErrorCodes.PROTOCOL_ERROR, "an acknowledgement before SETTINGS")
            self._settings_known()
            return
        self._expected = None
        self._set(settings_in(payload))
        self._put(frame(SETTINGS, ACK, 0))

    def _settings_known(self) -> None:
        """The other side has our SETTINGS: from here on it keeps to them where they are narrower than what holds without."""
        if self._acknowledged:
            return
        self._acknowledged = True
        self._reader.acknowledged()
        narrower = self._stream_room - self.limits.stream_window
        self._stream_room -= narrower
        for stream in self.streams.values():
            stream.room -= narrower

    def _set(self, values: dict[int, int]) -> None:
        """What the other side takes."""
        for name, value in values.items():
            match name:
                case Settings.HEADER_TABLE_SIZE:
                    self._writer.resize(value)
                case Settings.ENABLE_PUSH:
                    self._push_wanted = bool(value)
                case Settings.MAX_CONCURRENT_STREAMS:
                    self._most_streams = value
                case Settings.INITIAL_WINDOW_SIZE:
                    wider, self._stream_window = value - self._stream_window, value
                    for stream in self.streams.values():
                        stream.window += wider
                        if stream.window > LAST:
                            raise Violation(ErrorCodes.FLOW_CONTROL_ERROR, f"the window of stream {stream.id} is too wide")
                        self._widened(stream)
                case Settings.MAX_FRAME_SIZE:
                    self._frame_bytes = min(value, self.limits.frame_bytes)

    def _ping(self, flags: int, number: int, payload: bytes, now: float, events: list[Event]) -> None:
        self.guard.control(now, "pings")
        if number:
            raise Violation(ErrorCodes.PROTOCOL_ERROR, f"PING on stream {number}")
        if len(payload) != 8:
            raise Violation(ErrorCodes.FRAME_SIZE_ERROR, f"PING of {len(payload)} bytes")
        if flags & ACK:
            self._ponged(payload, events)
        else:
            self._put(frame(PING, ACK, 0, payload))

    @abstractmethod
    def _ponged(self, data: bytes, events: list[Event]) -> None:
        """A ping was answered."""

    def _goaway(self, flags: int, number: int, payload: bytes, now: float, events: list[Event]) -> None:
        self.guard.control(now, "GOAWAY")
        if number or len(payload) < 8:
            raise Violation(ErrorCodes.PROTOCOL_ERROR, "a malformed GOAWAY")
        last, code = NUMBER.unpack_from(payload)[0] & LAST, NUMBER.unpack_from(payload, 4)[0]
        self._left_by(last, code, events)

    @abstractmethod
    def _left_by(self, last: int, code: int, events: list[Event]) -> None:
        """The other side says good-bye."""

    def _priority(self, flags: int, number: int, payload: bytes, now: float, events: list[Event]) -> None:
        """Priorities are tolerated, and of no effect (section 5.3.2)."""
        self.guard.control(now, "priorities")
        if not number:
            raise Violation(ErrorCodes.PROTOCOL_ERROR, "PRIORITY on stream 0")
        if len(payload) != 5:
            raise Violation(ErrorCodes.FRAME_SIZE_ERROR, f"PRIORITY of {len(payload)} bytes")
        depends_on_another(number, payload)

    def _push_promise(self, flags: int, number: int, payload: bytes, now: float, events: list[Event]) -> None:
        raise Violation(ErrorCodes.PROTOCOL_ERROR, "PUSH_PROMISE, which nobody may send us")

    def _unknown(self, flags: int, number: int, payload: bytes, now: float, events: list[Event]) -> None:
        self.guard.control(now, "unknown frames")

    def end(self, code: int, reason: str) -> None:
        """End the connection with an error."""
        if not self.broken:
            self.broken = reason or "ended"
            self._put(goaway(self._highest, code, reason))


def depends_on_another(number: int, priority: bytes) -> None:
    """:raises Violation: a stream's priority is that it comes before itself."""
    if NUMBER.unpack_from(priority)[0] & LAST == number:
        raise Violation(ErrorCodes.PROTOCOL_ERROR, f"stream {number} depends on itself")


FRAMES = {
    DATA: Endpoint._data,
    HEADERS: Endpoint._headers,
    PRIORITY: Endpoint._priority,
    RST_STREAM: Endpoint._rst_stream,
    SETTINGS: Endpoint._settings,
    PUSH_PROMISE: Endpoint._push_promise,
    PING: Endpoint._ping,
    GOAWAY: Endpoint._goaway,
    WINDOW_UPDATE: Endpoint._window_update,
    CONTINUATION: Endpoint._continuation,
}
