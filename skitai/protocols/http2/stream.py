"""A stream of HTTP/2 as long as its response is not complete: what waits, and what the client still has to hear of."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from skitai.protocols.http2.events import Pair


class Stream:
    """A stream whose response is not complete.

    :ivar waiting: bytes of the response that the client's windows do not take yet.
    :ivar held: bytes of the request that were not acknowledged yet.
    :ivar sent: bytes of the response, head included, that went out.
    :ivar input_ended: the request is complete.
    :ivar tunnel: it carries no request and response but bytes both ways; set by the caller.
    :ivar output_ended: of a tunnel: the client has all that we have to say, and may still be speaking.
    :ivar open: something can be sent yet.
    """

    __slots__ = (
        "blocked",
        "ending",
        "held",
        "id",
        "input_ended",
        "open",
        "output_ended",
        "pending",
        "queued",
        "sent",
        "trailers",
        "tunnel",
        "waiting",
    )

    def __init__(self, number: int, input_ended: bool) -> None:
        self.id = number
        self.input_ended = input_ended
        self.open = True
        self.pending: deque[memoryview] = deque()
        self.waiting = 0
        self.held = 0
        self.sent = 0
        self.ending = False
        self.trailers: Sequence[Pair] = ()
        self.tunnel = False
        self.output_ended = False
        self.queued = False
        self.blocked = False

    def take(self, size: int) -> bytes | memoryview:
        """The next bytes that wait, `size` at most."""
        first = self.pending[0]
        if len(first) > size:
            self.pending[0] = first[size:]
            self.waiting -= size
            return first[:size]
        self.pending.popleft()
        if len(first) == size or not self.pending:
            self.waiting -= len(first)
            return first
        pieces, left = [first], size - len(first)
        while left and self.pending:
            piece = self.pending[0]
            if len(piece) > left:
                self.pending[0] = piece[left:]
                piece = piece[:left]
            else:
                self.pending.popleft()
            pieces.append(piece)
            left -= len(piece)
        self.waiting -= size - left
        return b"".join(pieces)
