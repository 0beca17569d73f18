"""One HTTP/2 connection, the server's side (RFC 9113): bytes in and events out, actions in and bytes out.

What both sides do is in `endpoint`, `receiving` and `sending`. Here is what only a server does: it takes requests, within
its limits, promises responses that nobody asked for, and announces its end without ending the streams that have begun.
"""

from __future__ import annotations

from collections.abc import Sequence

from skitai.protocols.http2.budget import DEFAULTS, Limits
from skitai.protocols.http2.endpoint import Endpoint
from skitai.protocols.http2.events import ErrorCodes, Event, Pair, Requested
from skitai.protocols.http2.fields import check_request
from skitai.protocols.http2.frames import (
    LAST,
    NUMBER,
    PING,
    PREFACE,
    PUSH_PROMISE,
    Settings,
    frame,
    goaway,
    rst_stream,
    settings_in,
)
from skitai.protocols.http2.stream import Stream

MARK = b"goingawy"
"""In the ping whose answer says that the client knows that we leave."""


class Core(Endpoint):
    """The server's side of a connection.

    :param limits: what the client may.
    :ivar completed: streams whose responses went out as a whole; the caller takes them out.
    :ivar ghosts: streams that are gone and still cost something; they count among those that a client may have. All that are
        lost do at first; the caller says which ones do for longer.
    """

    def __init__(self, limits: Limits = DEFAULTS) -> None:
        super().__init__(limits)
        self.completed: list[Stream] = []
        self.ghosts = 0
        self._preface = PREFACE
        self._requests = 0
        self._skipped = False
        self._promised = 0
        self._last: int | None = None

    def begin(self) -> None:
        """Say what we take; the first that is sent."""
        more: dict[int, int] = {Settings.MAX_CONCURRENT_STREAMS: self.limits.streams, Settings.ENABLE_CONNECT_PROTOCOL: 1}
        self._put(self._announce(more))

    def begin_upgraded(self, settings: bytes) -> Stream:
        """The same behind an Upgrade (RFC 7540, section 3.2): the request that asked for it is stream 1, and complete.

        :param settings: of the client, as in a SETTINGS frame, and right (`upgrade.settings`).
        """
        self.begin()
        self._set(settings_in(settings))
        self._requests = self._highest = 1
        return self._add(1, True)

    # Requests

    def _strange_head(self, number: int, ended: bool, block: bytes, now: float, events: list[Event]) -> None:
        if number <= self._highest or not number % 2:  # 0, too
            super()._strange_head(number, ended, block, now, events)
            return
        pairs = self._reader.read(block, check_request)
        if number > self._highest + 2:
            self._skipped = True
        self._highest = number
        if len(self.streams) + self.ghosts >= self.limits.streams or self._last is not None:
            self._put(rst_stream(number, ErrorCodes.REFUSED_STREAM))
            if not ended:
                self._remember(number)
            self.guard.reset(now, "refused streams")
            return
        stream = self.streams[number] = Stream(number, ended, self._stream_window, self._stream_room)
        stream.headed = True
        events.append(Requested(number, pairs, ended))
        self._requests += 1
        if self._requests == self.limits.most_requests:
            self.leave()

    def _add(self, number: int, ended: bool) -> Stream:
        stream = self.streams[number] = Stream(number, ended, self._stream_window, self._stream_room)
        stream.headed = True
        return stream

    def _idle(self, number: int) -> bool:
        return number > (self._highest if number % 2 else self._promised) or not number

    def _misplaced(self, number: int, what: str) -> tuple[ErrorCodes, str]:
        code, reason = super()._misplaced(number, what)
        if self._skipped or not number % 2:  # it may never have begun (section 5.1.1)
            code = ErrorCodes.PROTOCOL_ERROR
        return code, reason

    def _gone(self, number: int, code: int, events: list[Event]) -> None:
        self.ghosts += 1
        super()._gone(number, code, events)

    def _heard(self, stream: Stream) -> None:
        if stream.output_ended:
            self._forget(stream)
            self.completed.append(stream)

    def _finished(self, stream: Stream) -> None:
        """What is left of the request is useless (section 8.1); in a tunnel, each direction ends by itself (section 8.5)."""
        stream.output_ended = True
        if not stream.input_ended:
            if stream.tunnel:
                return
            self._put(rst_stream(stream.id, ErrorCodes.NO_ERROR))
            self._remember(stream.id)
        self._forget(stream)
        self.completed.append(stream)

    # Promises

    def push(self, stream: Stream, pairs: Sequence[Pair]) -> Stream | None:
        """Promise the response to a request that the client has not made (section 8.4).

        :param stream: whose response the promise goes with, before it.
        :returns: None where the client wants none, or has enough.
        """
        pushed = sum(1 for number in self.streams if not number % 2)
        most = min(self.limits.pushed, self._most_streams)
        if not self._push_wanted or self.leaving or pushed >= most or not stream.id % 2:
            return None
        self._promised += 2
        self._send_block(stream, PUSH_PROMISE, 0, NUMBER.pack(self._promised) + self._writer.write(pairs))
        return self._add(self._promised, True)

    # The end

    def leave(self, at_once: bool = False) -> None:
        """Take no more requests; those that have begun are answered.

        A client that does not know yet may be sending requests: until it has answered a ping, they are served
        (section 6.8).

        :param at_once: refuse them; the client may repeat them elsewhere.
        """
        if self.broken or self._last is not None:
            return
        if at_once:
            self._last = self._highest
            self._put(goaway(self._last, ErrorCodes.NO_ERROR))
        elif not self.leaving:
            self._put(goaway(LAST, ErrorCodes.NO_ERROR) + frame(PING, 0, 0, MARK))
        self.leaving = True

    @property
    def left(self) -> bool:
        """Whether the client knows that no request of it will be taken any more."""
        return self._last is not None

    def _ponged(self, data: bytes, events: list[Event]) -> None:
        if data == MARK and self.leaving:
            self.leave(True)

    def _left_by(self, last: int, code: int, events: list[Event]) -> None:
        self.leave(True)


__all__ = ["Core", "ErrorCodes", "Stream"]
