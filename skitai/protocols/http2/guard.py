"""What a client may send, counted frame by frame before h2 sees it: h2 knows what is right, not how often."""

from __future__ import annotations

from h2.errors import ErrorCodes

from skitai.protocols.http2.budget import Budget, Limits
from skitai.protocols.http2.events import Violation

FRAME_HEAD_BYTES = 9

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
"""Types of frames (RFC 9113, section 6)."""
END_STREAM, END_HEADERS, PADDED = 0x1, 0x4, 0x8


class Guard:
    """Counts what one client sends.

    :ivar in_block: a request head has begun and not ended.
    """

    __slots__ = ("_block_bytes", "_continuations", "_controls", "_limits", "_resets", "_updates", "in_block")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.in_block = False
        self._block_bytes = self._continuations = 0
        self._resets = Budget(limits.resets, limits.period_s)
        self._controls = Budget(limits.controls, limits.period_s)
        self._updates = Budget(limits.updates, limits.period_s)

    def see(self, kind: int, flags: int, frame: bytes, now: float) -> None:
        """Count a frame.

        :param frame: with its head.
        :param now: monotonic time in seconds.
        :raises Violation: it is one too many, or stands where it may not.
        """
        if self.in_block and kind != CONTINUATION:
            raise Violation(ErrorCodes.PROTOCOL_ERROR, "a request head is interrupted")
        size = len(frame) - FRAME_HEAD_BYTES
        if kind == DATA:
            if size <= (1 + frame[FRAME_HEAD_BYTES] if flags & PADDED and size > 0 else 0) and not flags & END_STREAM:
                self.control(now, "empty DATA frames")
        elif kind == HEADERS:
            self._block(flags, size, 0)
        elif kind == CONTINUATION:
            self._block(flags, self._block_bytes + size, self._continuations + 1)
        elif kind == RST_STREAM:
            self.reset(now, "resets")
        elif kind == WINDOW_UPDATE:
            self._spend(self._updates, now, "window updates")
        else:
            self.control(now, "control frames")

    def control(self, now: float, what: str) -> None:
        """Count what costs a client next to nothing.

        :raises Violation:
        """
        self._spend(self._controls, now, what)

    def reset(self, now: float, what: str) -> None:
        """Count a stream that was reset, by whomever.

        :raises Violation:
        """
        self._spend(self._resets, now, what)

    def sent_data(self) -> None:
        """A DATA frame went out: the client may widen its windows for that."""
        self._updates.grant(self._limits.updates_per_data)

    @staticmethod
    def _spend(budget: Budget, now: float, what: str) -> None:
        if not budget.spend(now):
            raise Violation(ErrorCodes.ENHANCE_YOUR_CALM, f"too many {what}")

    def _block(self, flags: int, size: int, continuations: int) -> None:
        """Count what a request head costs before it is decoded."""
        self._block_bytes, self._continuations = size, continuations
        self.in_block = not flags & END_HEADERS
        if continuations > self._limits.continuations or size > self._limits.block_bytes:
            raise Violation(ErrorCodes.ENHANCE_YOUR_CALM, "a request head in too many or too large frames")
