"""One HTTP/2 connection, the server's side (RFC 9113): bytes in and events out, actions in and bytes out.

h2 knows the grammar of frames and the states of streams. Around it stands our guard: frames are counted before h2 sees them,
for h2 would answer any number; what waits for a client's window is kept here, stream by stream; the end of a connection is
announced without ending the streams that have begun.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections import deque
from collections.abc import Sequence
from typing import Any

import h2.events as its
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame, PingFrame, WindowUpdateFrame

from skitai.protocols.http2.budget import DEFAULTS, Limits
from skitai.protocols.http2.events import Ended, Event, Pair, Received, Requested, Reset, Violation
from skitai.protocols.http2.guard import DATA, END_STREAM, GOAWAY, RST_STREAM, Guard
from skitai.protocols.http2.stream import Stream

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""How a client begins (RFC 9113, section 3.4)."""

REMEMBERED = 1000
"""Closed streams that are remembered."""

LAST = 0x7FFFFFFF
"""The highest stream there can be."""

MARK = b"goingawy"
"""In the ping whose answer says that the client knows that we leave."""


class _Grammar(H2Connection):
    """h2, which would end the connection of a client that opens one stream too many; here that one is refused."""

    MAX_CLOSED_STREAMS = REMEMBERED

    @property
    def open_inbound_streams(self) -> int:
        self._open_streams(1)  # forgets those that were closed
        return 0


class Core:
    """The server's side of a connection.

    :param limits: what the client may.
    :ivar streams: by number, those whose responses are not complete.
    :ivar completed: streams whose responses went out as a whole; the caller takes them out.
    :ivar broken: why the connection has to end, or "". Nothing is received any more; what `take` gives is still to be sent.
    :ivar leaving: no more requests are taken.
    :ivar outgoing: bytes that `take` will give.
    :ivar guard: counts what the client sends.
    :ivar ghosts: streams that are gone and still cost something; they count among those that a client may have.
    """

    def __init__(self, limits: Limits = DEFAULTS) -> None:
        self._limits = limits
        self._h2 = _Grammar(
            H2Configuration(
                client_side=False,
                header_encoding=None,
                validate_outbound_headers=False,  # `heads` makes none that are not right
                normalize_outbound_headers=False,
            )
        )
        self._h2.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.MAX_CONCURRENT_STREAMS: limits.streams,
                SettingCodes.INITIAL_WINDOW_SIZE: limits.stream_window,
                SettingCodes.MAX_FRAME_SIZE: limits.frame_bytes,
                SettingCodes.MAX_HEADER_LIST_SIZE: limits.head_bytes,
                SettingCodes.HEADER_TABLE_SIZE: limits.table_bytes,
                SettingCodes.ENABLE_CONNECT_PROTOCOL: 1,
            },
        )
        self.streams: dict[int, Stream] = {}
        self.completed: list[Stream] = []
        self.broken = ""
        self.leaving = False
        self.outgoing = 0
        self.guard = Guard(limits)
        self.ghosts = 0
        self._out: list[bytes] = []
        self._buffer = bytearray()
        self._greeted = False
        self._requests = 0
        self._last: int | None = None
        self._ready: deque[Stream] = deque()
        self._discarding: dict[int, None] = {}

    def begin(self) -> None:
        """Say what we take; the first that is sent."""
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(self._limits.connection_window - 65535)
        self._collect()

    def begin_upgraded(self, settings: bytes) -> Stream:
        """The same behind an Upgrade (RFC 7540, section 3.2): the request that asked for it is stream 1, and complete.

        :param settings: of the client, as in a SETTINGS frame, and right (`upgrade.settings`).
        """
        self._h2.initiate_upgrade_connection(urlsafe_b64encode(settings))
        self._h2.encoder.header_table_size = min(self._h2.encoder.header_table_size, self._limits.table_bytes)
        self._h2.increment_flow_control_window(self._limits.connection_window - 65535)
        self._collect()
        self._requests = 1
        stream = self.streams[1] = Stream(1, True)
        return stream

    def take(self) -> bytes:
        """What is to be sent now."""
        data, self._out = b"".join(self._out), []
        self.outgoing = 0
        return data

    def _collect(self) -> int:
        """Take over what h2 wants to send; its size."""
        data = self._h2.data_to_send()
        if data:
            self._out.append(data)
            self.outgoing += len(data)
        return len(data)

    def _add(self, frame: Any) -> None:
        data = frame.serialize()
        self._out.append(data)
        self.outgoing += len(data)

    # Receiving

    def receive(self, data: bytes, now: float) -> list[Event]:
        """Take what came.

        :param now: monotonic time in seconds.
        """
        events: list[Event] = []
        if self.broken:
            return events
        buffer = self._buffer
        buffer += data
        at = 0
        try:
            if not self._greeted:
                if not PREFACE.startswith(buffer[: len(PREFACE)]):
                    raise Violation(ErrorCodes.PROTOCOL_ERROR, "no HTTP/2 preface")
                if len(buffer) < len(PREFACE):
                    return events
                self._greeted = True
                at = len(PREFACE)
                self._h2.receive_data(PREFACE)
            while len(buffer) - at >= 9:
                length = int.from_bytes(buffer[at : at + 3], "big")
                if length > self._limits.frame_bytes:
                    raise Violation(ErrorCodes.FRAME_SIZE_ERROR, f"a frame of {length} bytes")
                end = at + 9 + length
                if len(buffer) < end:
                    break
                stream = int.from_bytes(buffer[at + 5 : at + 9], "big") & LAST
                kind, flags, frame = buffer[at + 3], buffer[at + 4], bytes(buffer[at:end])
                at = end
                if self._admit(kind, flags, stream, frame, now):
                    self._parse(frame, now, events)
        except Violation as violation:
            self.end(violation.code, str(violation))
        except ProtocolError as error:  # h2 has said good-bye itself
            self.broken = str(error) or type(error).__name__
        finally:
            del buffer[:at]
            self._collect()
        return events

    def _admit(self, kind: int, flags: int, stream: int, frame: bytes, now: float) -> bool:
        """Whether h2 is to see a frame.

        :raises Violation: it is one too many.
        """
        self.guard.see(kind, flags, frame, now)
        if kind == DATA and stream in self._discarding:
            self._discard(flags, stream, frame, now)
            return False
        if kind == RST_STREAM:
            self._discarding.pop(stream, None)
        elif kind == GOAWAY:
            if stream or len(frame) < 17:
                raise Violation(ErrorCodes.PROTOCOL_ERROR, "a malformed GOAWAY")
            self.leave(True)  # h2 would drop the responses that are still to be sent
            return False
        return True

    def _discard(self, flags: int, stream: int, frame: bytes, now: float) -> None:
        """Drop DATA of a stream that we have reset, which the client may not know yet; it gets its window back."""
        self.guard.control(now, "DATA frames on streams that were reset")
        if len(frame) > 9:
            self._add(WindowUpdateFrame(0, window_increment=len(frame) - 9))
        if flags & END_STREAM:
            del self._discarding[stream]

    def _parse(self, frame: bytes, now: float, events: list[Event]) -> None:
        """Have h2 read one frame, and tell what it means."""
        for event in self._h2.receive_data(frame):
            match event:
                case its.RequestReceived():
                    self._request(event, now, events)
                case its.DataReceived():
                    stream = self.streams.get(event.stream_id)
                    size = event.flow_controlled_length or 0
                    if stream is None:
                        self._h2.acknowledge_received_data(size, event.stream_id)
                    else:
                        stream.held += size
                        data = bytes(event.data or b"")
                        events.append(Received(event.stream_id, data, size - len(data)))
                case its.StreamEnded():
                    self._discarding.pop(event.stream_id, None)
                    stream = self.streams.get(event.stream_id)
                    if stream is not None and not stream.input_ended:
                        stream.input_ended = True
                        events.append(Ended(event.stream_id))
                        if stream.output_ended:
                            self._complete(stream)
                case its.StreamReset():
                    if not event.remote_reset:
                        self._collect()
                        self.guard.reset(now, "faulty streams")
                    if event.stream_id in self.streams:
                        self._forget(self.streams[event.stream_id])
                        events.append(Reset(event.stream_id))
                case its.WindowUpdated():
                    self._widened(event.stream_id or 0)
                case its.RemoteSettingsChanged():
                    self._h2.encoder.header_table_size = min(self._h2.encoder.header_table_size, self._limits.table_bytes)
                    self._widened(0)
                case its.SettingsAcknowledged():
                    self._h2.decoder.max_header_list_size = self._limits.block_bytes
                case its.PingAckReceived():
                    if event.ping_data == MARK and self.leaving:
                        self.leave(True)
        self._collect()

    def _request(self, event: its.RequestReceived, now: float, events: list[Event]) -> None:
        number = event.stream_id or 0
        ended = event.stream_ended is not None
        if len(self.streams) + self.ghosts >= self._limits.streams or self._last is not None:
            self._h2.reset_stream(number, ErrorCodes.REFUSED_STREAM)
            self._collect()
            if not ended:
                self._remember_discarded(number)
            self.guard.reset(now, "refused streams")
            return
        self.streams[number] = Stream(number, ended)
        events.append(Requested(number, event.headers or [], ended))
        self._requests += 1
        if self._requests == self._limits.most_requests:
            self.leave()

    def acknowledge(self, number: int, size: int) -> None:
        """So many bytes of a body were consumed; the client may send as many again."""
        stream = self.streams.get(number)
        if stream is None or not size:
            return  # gone meanwhile, and acknowledged then
        stream.held -= size
        self._h2.acknowledge_received_data(size, number)
        self._collect()

    # Sending

    def head(self, stream: Stream, pairs: Sequence[Pair], ended: bool = False) -> None:
        """Send a response head, or an interim one. Those of one stream go in the order of the calls."""
        self._h2.send_headers(stream.id, pairs, end_stream=ended)
        stream.sent += self._collect()
        if ended:
            self._complete(stream)

    def data(self, stream: Stream, data: bytes) -> None:
        """Send a piece of a body as soon as the windows let it through."""
        if data:
            stream.pending.append(memoryview(data))
            stream.waiting += len(data)
            self._queue(stream)

    def finish(self, stream: Stream, trailers: Sequence[Pair] = ()) -> None:
        """End a response behind what waits."""
        stream.ending = True
        stream.trailers = trailers
        self._queue(stream)

    def _queue(self, stream: Stream) -> None:
        if not stream.queued and (not stream.blocked or not stream.waiting):
            stream.queued = True
            self._ready.append(stream)

    def _widened(self, number: int) -> None:
        """A window has grown: that of a stream, or (0) of all."""
        for stream in (self.streams.get(number),) if number else tuple(self.streams.values()):
            if stream is not None and stream.blocked:
                stream.blocked = False
                self._queue(stream)

    def pump(self, room: int) -> None:
        """Put what waits into frames, in turns, while the windows let it through and less than `room` bytes are outgoing."""
        ready = self._ready
        while ready and self.outgoing < room:
            stream = ready.popleft()
            stream.queued = False
            if not stream.open:
                continue
            if stream.waiting:
                window = self._h2.local_flow_control_window(stream.id)
                if window <= 0:
                    stream.blocked = True
                    continue
                size = min(stream.waiting, window, self._limits.frame_bytes, self._h2.max_outbound_frame_size)
                last = stream.ending and size == stream.waiting and not stream.trailers
                self._h2.send_data(stream.id, stream.take(size), end_stream=last)
                self.guard.sent_data()
                stream.sent += self._collect()
                if last:
                    self._complete(stream)
                elif stream.waiting or stream.ending:
                    self._queue(stream)
            elif stream.ending:
                if stream.trailers:
                    self._h2.send_headers(stream.id, stream.trailers, end_stream=True)
                else:
                    self._h2.end_stream(stream.id)
                stream.sent += self._collect()
                self._complete(stream)

    def _complete(self, stream: Stream) -> None:
        """The response went out; what is left of the request is of no use (RFC 9113, section 8.1).

        In a tunnel, each direction ends by itself (section 8.5).
        """
        if not stream.input_ended:
            if stream.tunnel:
                stream.output_ended = True
                return
            self._h2.reset_stream(stream.id, ErrorCodes.NO_ERROR)
            self._collect()
            self._remember_discarded(stream.id)
        self._forget(stream)
        self.completed.append(stream)

    def _remember_discarded(self, number: int) -> None:
        if len(self._discarding) >= REMEMBERED:
            del self._discarding[next(iter(self._discarding))]
        self._discarding[number] = None

    def _forget(self, stream: Stream) -> None:
        del self.streams[stream.id]
        stream.open = False
        stream.pending.clear()
        stream.waiting = 0
        held, stream.held = stream.held, 0
        if held:
            self._h2.acknowledge_received_data(held, stream.id)
            self._collect()

    def reset(self, stream: Stream, code: ErrorCodes) -> None:
        """End a stream whose response cannot be completed."""
        if not stream.open or self.broken:
            return
        self._h2.reset_stream(stream.id, code)
        self._collect()
        if not stream.input_ended:
            self._remember_discarded(stream.id)
        self._forget(stream)

    def push(self, stream: Stream, pairs: Sequence[Pair]) -> Stream | None:
        """Promise the response to a request that the client has not made (RFC 9113, section 8.4).

        :param stream: whose response the promise goes with, before it.
        :returns: None where the client wants none, or has enough.
        """
        wanted = self._h2.remote_settings
        pushed = sum(1 for number in self.streams if not number % 2)
        if (
            not wanted.enable_push
            or self.leaving
            or pushed >= min(self._limits.pushed, wanted.max_concurrent_streams)
            or not stream.id % 2
        ):
            return None
        number = self._h2.get_next_available_stream_id()
        self._h2.push_stream(stream.id, number, pairs)
        self._collect()
        promised = self.streams[number] = Stream(number, True)
        return promised

    # The end

    def leave(self, at_once: bool = False) -> None:
        """Take no more requests; those that have begun are answered.

        A client that does not know yet may be sending requests: until it has answered a ping, they are served
        (RFC 9113, section 6.8).

        :param at_once: refuse them; the client may repeat them elsewhere.
        """
        if self.broken or self._last is not None:
            return
        if at_once:
            self._last = self._h2.highest_inbound_stream_id
            self._add(GoAwayFrame(0, last_stream_id=self._last))
        elif not self.leaving:
            self._add(GoAwayFrame(0, last_stream_id=LAST))
            self._add(PingFrame(0, opaque_data=MARK))
        self.leaving = True

    @property
    def left(self) -> bool:
        """Whether the client knows that no request of it will be taken any more."""
        return self._last is not None

    def end(self, code: ErrorCodes, reason: str) -> None:
        """End the connection with an error."""
        if not self.broken:
            self.broken = reason
            last = self._h2.highest_inbound_stream_id
            self._add(GoAwayFrame(0, last_stream_id=last, error_code=code, additional_data=reason.encode()))


__all__ = ["Core", "Ended", "ErrorCodes", "Event", "Received", "Requested", "Reset", "Stream"]
