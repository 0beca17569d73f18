"""A stream of HTTP/2 as long as its response is not complete: what waits, and what the other side still has to hear of."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from skitai.protocols.http2.events import Pair


class Stream:
    """A stream whose response is not complete.

    :param window: bytes that may be sent.
    :param room: bytes that may come.
    :ivar waiting: bytes of our body that the windows of the other side do not take yet.
    :ivar held: bytes of the other side's body that were not acknowledged yet.
    :ivar due: bytes that were acknowledged, of which the other side does not know yet.
    :ivar sent: bytes that went out, heads included.
    :ivar input_ended: the other side has said all.
    :ivar output_ended: we have.
    :ivar tunnel: it carries no request and response but bytes both ways, each direction ending by itself; set by the caller.
    :ivar bodiless: its response has no body, as those to HEAD.
    :ivar headed: a head came that is not an interim one.
    :ivar left: bytes of a body that are still to come, as its head says; -1 when it does not.
    :ivar open: something can be sent yet.
    """

    __slots__ = (
        "blocked",
        "bodiless",
        "due",
        "ending",
        "headed",
        "held",
        "id",
        "input_ended",
        "left",
        "open",
        "output_ended",
        "pending",
        "queued",
        "room",
        "sent",
        "trailers",
        "tunnel",
        "waiting",
        "window",
    )

    def __init__(self, number: int, input_ended: bool, window: int, room: int) -> None:
        self.id = number
        self.input_ended = input_ended
        self.output_ended = False
        self.tunnel = False
        self.bodiless = False
        self.headed = False
        self.left = -1
        self.open = True
        self.window = window
        self.room = room
        self.due = 0
        self.pending: deque[memoryview] | None = None
        self.waiting = 0
        self.held = 0
        self.sent = 0
        self.ending = False
        self.trailers: Sequence[Pair] = ()
        self.queued = False
        self.blocked = False

    def add(self, data: bytes) -> None:
        """Let bytes wait."""
        if self.pending is None:
            self.pending = deque()
        self.pending.append(memoryview(data))
        self.waiting += len(data)

    def drop(self) -> None:
        """Nothing can be sent any more."""
        self.open = False
        self.pending = None
        self.waiting = 0

    def take(self, size: int) -> bytes | memoryview:
        """The next bytes that wait, `size` at most."""
        pending = self.pending
        assert pending is not None
        first = pending[0]
        if len(first) > size:
            pending[0] = first[size:]
            self.waiting -= size
            return first[:size]
        pending.popleft()
        if len(first) == size or not pending:
            self.waiting -= len(first)
            return first
        pieces, left = [first], size - len(first)
        while left and pending:
            piece = pending[0]
            if len(piece) > left:
                pending[0] = piece[left:]
                piece = piece[:left]
            else:
                pending.popleft()
            pieces.append(piece)
            left -= len(piece)
        self.waiting -= size - left
        return b"".join(pieces)
