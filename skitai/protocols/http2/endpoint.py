"""What both sides of a connection do to receive (RFC 9113): bytes become frames, which change streams, windows and settings.

What streams carry is in `receiving`; here is how frames are found, and those that concern windows and the connection.
"""

from __future__ import annotations

from abc import abstractmethod

from skitai.protocols.http2.budget import Limits
from skitai.protocols.http2.events import ErrorCodes, Event, Violation
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
    PING,
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
    settings,
    settings_in,
    window_update,
)
from skitai.protocols.http2.receiving import Receiving, depends_on_another

WHOLE = END_STREAM | END_HEADERS
"""Flags of a request without a body, in one frame: most are that."""


class Endpoint(Receiving):
    """One side of a connection.

    :param limits: what the other side may.
    :ivar leaving: no new streams.
    """

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self.leaving = False
        self._rest = b""
        self._preface = b""
        self._acknowledged = False
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

    # Streams and windows

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
        if number:
            raise Violation(ErrorCodes.PROTOCOL_ERROR, f"GOAWAY on stream {number}")
        if len(payload) < 8:
            raise Violation(ErrorCodes.FRAME_SIZE_ERROR, f"GOAWAY of {len(payload)} bytes")
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
