"""One HTTP/2 connection, the client's side (RFC 9113): requests in, responses out as events.

    core = ClientCore()
    core.begin()
    pairs = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"example"), (b":path", b"/")]
    stream = core.request(pairs, ended=True)
    ...send core.take(), and hand what comes to core.receive()...

Bodies are acknowledged by who consumes them, so that no more of them is in memory than the windows hold. Promises of servers
are refused before they are made.
"""

from __future__ import annotations

from collections.abc import Sequence

from skitai.protocols.http2.budget import DEFAULTS, Limits
from skitai.protocols.http2.endpoint import Endpoint
from skitai.protocols.http2.events import (
    ErrorCodes,
    Event,
    Leaving,
    Malformed,
    Pair,
    Ponged,
    Reset,
    Responded,
    Violation,
)
from skitai.protocols.http2.fields import check_response
from skitai.protocols.http2.frames import LAST, PING, PREFACE, SETTINGS, Settings, frame, goaway
from skitai.protocols.http2.stream import Stream

FIRST_STREAMS = 100
"""Open at a time until the server has said what it takes (section 6.5.2: not less than this)."""

WITHOUT_BODY = frozenset((b"204", b"304"))
"""Statuses of responses that have none, whatever their Content-Length says (RFC 9110, section 6.4.1)."""


class ClientCore(Endpoint):
    """The client's side of a connection.

    :param limits: `streams` are ours at a time; the other ones are what the server may.
    :ivar connects: the server takes CONNECT with :protocol (RFC 8441).
    """

    def __init__(self, limits: Limits = DEFAULTS) -> None:
        super().__init__(limits)
        self.connects = False
        self._next = 1

    def begin(self) -> None:
        """Say who we are and what we take; the first that is sent."""
        self._put(PREFACE + self._announce({Settings.ENABLE_PUSH: 0}))

    # Requests

    @property
    def room_for_streams(self) -> int:
        """Requests that may be made now."""
        if self.leaving or self.broken or self._next > LAST:
            return 0
        most = FIRST_STREAMS if self._expected == SETTINGS else self._most_streams
        return max(0, min(most, self.limits.streams) - len(self.streams))

    def request(self, pairs: Sequence[Pair], ended: bool) -> Stream:
        """Send a request head.

        :param pairs: pseudo-fields first, names in lower case, no fields of connections, values without blanks around them.
        :param ended: no body follows.
        :raises RuntimeError: there is no room for another stream.
        """
        if not self.room_for_streams:
            raise RuntimeError("no room for another stream")
        stream = Stream(self._next, False, self._stream_window, self._stream_room)
        stream.bodiless = (b":method", b"HEAD") in pairs
        self.streams[self._next] = stream
        self._next += 2
        self.head(stream, pairs, ended)
        return stream

    def _finished(self, stream: Stream) -> None:
        stream.output_ended = True
        if stream.input_ended:
            self._forget(stream)

    # Responses

    def _late_head(self, stream: Stream, ended: bool, block: bytes, now: float, events: list[Event]) -> None:
        pairs = self._reader.read(block, check_response)
        status = pairs[0][1]
        if status.startswith(b"1"):
            if ended or status == b"101":
                raise Malformed(f"an interim response of status {status.decode('ascii')}")
            self.guard.control(now, "interim responses")
        else:
            stream.headed = True
            stream.left = 0 if stream.bodiless or status in WITHOUT_BODY else length_in(pairs)
        events.append(Responded(stream.id, pairs, ended))
        if ended:
            self._input_ends(stream, now, events)

    def _malformed(self, number: int, error: Malformed, now: float, events: list[Event]) -> None:
        stream = self.streams.get(number)
        if stream is None:
            super()._malformed(number, error, now, events)
        else:
            self._fault(stream, ErrorCodes.PROTOCOL_ERROR, now, events)

    def _heard(self, stream: Stream) -> None:
        """The server has answered; what is left of the request is of no use to it (section 8.1)."""
        if stream.output_ended:
            self._forget(stream)
        elif not stream.tunnel:
            self.reset(stream, ErrorCodes.CANCEL)

    def _idle(self, number: int) -> bool:
        return number >= self._next or not number % 2

    # The connection

    def _set(self, values: dict[int, int]) -> None:
        if values.get(Settings.ENABLE_PUSH):
            raise Violation(ErrorCodes.PROTOCOL_ERROR, "a server that would take promises")
        super()._set(values)
        self.connects = bool(values.get(Settings.ENABLE_CONNECT_PROTOCOL, self.connects))

    def ping(self, data: bytes) -> None:
        """Ask for a sign of life; `Ponged` brings it.

        :param data: eight bytes.
        """
        self._put(frame(PING, 0, 0, data))

    def _ponged(self, data: bytes, events: list[Event]) -> None:
        events.append(Ponged(data))

    def leave(self) -> None:
        """Make no more requests; responses to those that were made still come."""
        if not self.leaving and not self.broken:
            self.leaving = True
            self._put(goaway(0, ErrorCodes.NO_ERROR))

    def _left_by(self, last: int, code: int, events: list[Event]) -> None:
        """Requests behind the last that the server deals with may be made again elsewhere (section 6.8)."""
        self.leaving = True
        events.append(Leaving(last, code))
        for stream in [stream for number, stream in self.streams.items() if number > last]:
            self._forget(stream)
            events.append(Reset(stream.id, ErrorCodes.REFUSED_STREAM))


def length_in(pairs: Sequence[Pair]) -> int:
    """Bytes of a body as its head says; -1 when it does not.

    :raises Malformed: it says what is no length, or two of them.
    """
    lengths = {value for name, value in pairs if name == b"content-length"}
    if not lengths:
        return -1
    length = lengths.pop()
    if lengths or not length.isdigit() or len(length) > 18:
        raise Malformed(f"the Content-Length {length[:40]!r}")
    return int(length)
