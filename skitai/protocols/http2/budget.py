"""How often a client may do what costs it little and us much."""

from __future__ import annotations


class Budget:
    """So many in a period.

    :param most: granted for each period.
    :param period_s: its length in seconds.
    """

    __slots__ = ("_ends", "_left", "_most", "_period_s")

    def __init__(self, most: int, period_s: float) -> None:
        self._most = most
        self._period_s = period_s
        self._left = most
        self._ends = 0.0

    def spend(self, now: float) -> bool:
        """Take one; False when there was none left.

        :param now: monotonic time in seconds.
        """
        if now >= self._ends:
            self._ends = now + self._period_s
            self._left = self._most
        self._left -= 1
        return self._left >= 0

    def grant(self, count: int) -> None:
        """So many more in this period."""
        self._left += count
