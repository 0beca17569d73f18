"""What the other side may send, counted frame by frame: the grammar says what is right, not how often."""

from __future__ import annotations

from skitai.protocols.http2.budget import Budget, Limits
from skitai.protocols.http2.events import ErrorCodes, Violation


class Guard:
    """Counts what one side sends.

    :ivar in_block: a field block has begun and not ended.
    :ivar sent: DATA frames that went out, for which windows may be widened.
    """

    __slots__ = ("_block_bytes", "_continuations", "_controls", "_limits", "_resets", "_updates", "in_block", "sent")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.in_block = False
        self.sent = 0
        self._block_bytes = self._continuations = 0
        self._resets = Budget(limits.resets, limits.period_s)
        self._controls = Budget(limits.controls, limits.period_s)
        self._updates = Budget(limits.updates, limits.period_s)

    def control(self, now: float, what: str) -> None:
        """Count what costs the other side next to nothing.

        :param now: monotonic time in seconds.
        :raises Violation: it is one too many.
        """
        self._spend(self._controls, now, what)

    def reset(self, now: float, what: str) -> None:
        """Count a stream that was reset, by whomever.

        :raises Violation:
        """
        self._spend(self._resets, now, what)

    def update(self, now: float) -> None:
        """Count a window that was widened.

        :raises Violation:
        """
        self._updates.grant(self.sent * self._limits.updates_per_data)
        self.sent = 0
        self._spend(self._updates, now, "window updates")

    def block(self, size: int, ended: bool) -> None:
        """Count the first frame of a field block before it is decoded.

        :param ended: it is the last one, too.
        :raises Violation:
        """
        self._block_bytes = self._continuations = 0
        self._add(size, ended)

    def continuation(self, size: int, ended: bool) -> None:
        """Count a further frame of a field block.

        :raises Violation:
        """
        self._continuations += 1
        self._add(size, ended)

    def _add(self, size: int, ended: bool) -> None:
        self._block_bytes += size
        self.in_block = not ended
        if self._continuations > self._limits.continuations or self._block_bytes > self._limits.block_bytes:
            raise Violation(ErrorCodes.ENHANCE_YOUR_CALM, "a field block in too many or too large frames")

    @staticmethod
    def _spend(budget: Budget, now: float, what: str) -> None:
        if not budget.spend(now):
            raise Violation(ErrorCodes.ENHANCE_YOUR_CALM, f"too many {what}")
