"""How much, and how often, the other side of a connection may."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What one side of a connection allows the other; sizes in bytes.

    :ivar streams: open at a time.
    :ivar stream_window: of a body, sent and not yet consumed.
    :ivar connection_window: of all bodies, sent and not yet consumed.
    :ivar frame_bytes: the largest frame, 16384 at least.
    :ivar most_requests: on one connection.
    :ivar pushed: promised responses at a time.
    :ivar head_bytes: a header list; what goes beyond is answered.
    :ivar block_bytes: a header list, or block; what goes beyond ends the connection.
    :ivar continuations: frames of a header block behind the first.
    :ivar table_bytes: HPACK's memory of what was received, and of what was sent, however much the other side would allow.
    :ivar period_s: in which are taken, at most,
    :ivar resets: whoever made them,
    :ivar controls: frames that carry nothing, and
    :ivar updates: of windows, `updates_per_data` more for each DATA frame that we sent.
    """

    streams: int = 100
    stream_window: int = 65536
    connection_window: int = 1 << 20
    frame_bytes: int = 16384
    most_requests: int = 10_000
    pushed: int = 16
    head_bytes: int = 32768
    block_bytes: int = 65536
    continuations: int = 8
    table_bytes: int = 4096
    period_s: float = 10.0
    resets: int = 200
    controls: int = 1000
    updates: int = 1000
    updates_per_data: int = 4


DEFAULTS = Limits()


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
