"""What both sides of a connection do to send: heads at once, bodies in turns, as the other side's windows take them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence

from skitai.protocols.http2.budget import Limits
from skitai.protocols.http2.compression import BlockWriter
from skitai.protocols.http2.events import Pair
from skitai.protocols.http2.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEAD,
    HEADERS,
    SMALLEST_MOST,
    WINDOW,
)
from skitai.protocols.http2.guard import Guard
from skitai.protocols.http2.stream import Stream


class Sending(ABC):
    """The sending half.

    :ivar streams: by number, those whose responses are not complete.
    :ivar outgoing: bytes that `take` will give.
    :ivar waiting: bytes of bodies that are not in frames yet, of all streams.
    :ivar guard: counts what the other side sends.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.guard = Guard(limits)
        self.streams: dict[int, Stream] = {}
        self.outgoing = 0
        self.waiting = 0
        self._out: list[bytes | memoryview] = []
        self._ready: deque[Stream] = deque()
        self._writer = BlockWriter(limits.table_bytes)
        self._window = WINDOW
        self._stream_window = WINDOW
        self._frame_bytes = SMALLEST_MOST

    def take(self) -> bytes:
        """What is to be sent now."""
        data, self._out = b"".join(self._out), []
        self.outgoing = 0
        return data

    def _put(self, data: bytes) -> None:
        self._out.append(data)
        self.outgoing += len(data)

    def head(self, stream: Stream, pairs: Sequence[Pair], ended: bool = False) -> None:
        """Send a head, or an interim one. Those of one stream go in the order of the calls.

        :param ended: no body follows.
        """
        self._send_block(stream, HEADERS, END_STREAM if ended else 0, self._writer.write(pairs))
        if ended:
            self._finished(stream)

    def _send_block(self, stream: Stream, kind: int, flags: int, block: bytes) -> None:
        size = len(block)
        most = self._frame_bytes
        if size <= most:
            self._out.append(HEAD.pack(size >> 8, size & 255, kind, flags | END_HEADERS, stream.id) + block)
            size += 9
        else:
            pieces = [block[at : at + most] for at in range(0, size, most)]
            size += 9 * len(pieces)
            for piece in pieces:
                last = END_HEADERS if piece is pieces[-1] else 0
                self._out.append(HEAD.pack(len(piece) >> 8, len(piece) & 255, kind, flags | last, stream.id) + piece)
                kind, flags = CONTINUATION, 0
        self.outgoing += size
        stream.sent += size

    def data(self, stream: Stream, data: bytes) -> None:
        """Send a piece of a body as soon as the windows let it through."""
        if data:
            stream.add(data)
            self.waiting += len(data)
            self._queue(stream)

    def finish(self, stream: Stream, trailers: Sequence[Pair] = ()) -> None:
        """End our side of a stream behind what waits."""
        stream.ending = True
        stream.trailers = trailers
        self._queue(stream)

    def answer(self, stream: Stream, pairs: Sequence[Pair], more: Sequence[Pair], body: bytes) -> None:
        """Send a head and the whole body behind it.

        :param pairs: of the head; the same object again, unchanged, for equal heads is found again at once; likewise `more`.
        """
        size = len(body)
        self._send_block(stream, HEADERS, 0 if size else END_STREAM, self._writer.write_shared(pairs, more))
        if not size:
            self._finished(stream)
        elif size <= self._frame_bytes and size <= self._window and size <= stream.window and not self._ready:
            self._send_data(stream, body, size, END_STREAM)
            self._finished(stream)
        else:
            self.data(stream, body)
            self.finish(stream)

    def _send_data(self, stream: Stream, data: bytes | memoryview, size: int, flags: int) -> None:
        self._out += (HEAD.pack(size >> 8, size & 255, DATA, flags, stream.id), data)
        self.outgoing += size + 9
        stream.sent += size + 9
        self._window -= size
        stream.window -= size
        self.guard.sent += 1

    def _queue(self, stream: Stream) -> None:
        if not stream.queued and (not stream.blocked or not stream.waiting):
            stream.queued = True
            self._ready.append(stream)

    def _widened(self, stream: Stream) -> None:
        """A window that this stream may have waited for has grown."""
        if stream.blocked:
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
                size = min(stream.waiting, stream.window, self._window, self._frame_bytes)
                if size <= 0:
                    stream.blocked = True
                    continue
                last = stream.ending and size == stream.waiting and not stream.trailers
                self.waiting -= size
                self._send_data(stream, stream.take(size), size, END_STREAM if last else 0)
                if last:
                    self._finished(stream)
                elif stream.waiting or stream.ending:
                    self._queue(stream)
            elif stream.ending:
                if stream.trailers:
                    self._send_block(stream, HEADERS, END_STREAM, self._writer.write(stream.trailers))
                else:
                    self._send_data(stream, b"", 0, END_STREAM)
                self._finished(stream)

    @abstractmethod
    def _finished(self, stream: Stream) -> None:
        """Our side of a stream has ended."""
