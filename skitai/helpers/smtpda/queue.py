"""Which message is delivered next. Book-keeping without input and output: names and times go in, names come out.

A message waits until it is due, then in the lane of its server until a place is free, and is then under way. No server gets
all places, and one that could not be reached gets a single one until it has been, so that mail for others goes on.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from dataclasses import dataclass, field

from skitai.ipc.envelope import Name


@dataclass(slots=True)
class _Lane:
    """The messages for one server.

    :ivar due: in the order in which they became so.
    :ivar under_way: how many are.
    :ivar doubtful: the server could not be reached the last time.
    """

    due: deque[Name] = field(default_factory=deque)
    under_way: int = 0
    doubtful: bool = False


class Queue:
    """All messages of a spool that this agent knows of.

    :param places: messages that may be under way at once.
    :param horizon_s: nothing waits longer than this, whatever its name says: a clock may have been wrong.
    """

    def __init__(self, places: int, horizon_s: float) -> None:
        self._places = places
        self._per_lane = places - places // 4
        self._horizon_s = horizon_s
        self._known: set[str] = set()
        self._later: list[tuple[float, Name]] = []
        self._lanes: dict[str, _Lane] = {}
        self._turns: deque[str] = deque()
        self.under_way = 0

    def add(self, name: Name, now_s: float) -> bool:
        """Take note of a message; False when it is known already.

        :param now_s: Unix time, here and below.
        """
        if name.identity in self._known:
            return False
        self._known.add(name.identity)
        self._put(name, now_s)
        return True

    def next(self, now_s: float) -> Name | None:
        """The message to deliver now, which then counts as under way; None when there is none, or no place for it."""
        while self._later and self._later[0][0] <= now_s:
            self._ripen(heapq.heappop(self._later)[1])
        if self.under_way >= self._places:
            return None
        for _ in range(len(self._turns)):
            key = self._turns[0]
            self._turns.rotate(-1)
            lane = self._lanes[key]
            if lane.under_way < (1 if lane.doubtful else self._per_lane):
                name = lane.due.popleft()
                if not lane.due:
                    self._turns.remove(key)
                lane.under_way += 1
                self.under_way += 1
                return name
        return None

    def finish(self, name: Name, now_s: float, again: Name | None = None, reached: bool | None = None) -> None:
        """A message that was under way no longer is.

        :param again: its name when it is to be tried again.
        :param reached: whether its server could be reached; None when nobody tried.
        """
        lane = self._lanes[name.lane]
        lane.under_way -= 1
        self.under_way -= 1
        if reached is not None:
            lane.doubtful = not reached
        if again is None:
            self._known.discard(name.identity)
        else:
            self._put(again, now_s)
        if not lane.under_way and not lane.due and not lane.doubtful:
            del self._lanes[name.lane]

    def next_due_s(self) -> float:
        """When the next message that waits for its time is due; infinite when none does."""
        return self._later[0][0] if self._later else math.inf

    def _put(self, name: Name, now_s: float) -> None:
        if name.due_s <= now_s:
            self._ripen(name)
        else:
            heapq.heappush(self._later, (min(name.due_s, now_s + self._horizon_s), name))

    def _ripen(self, name: Name) -> None:
        lane = self._lanes.setdefault(name.lane, _Lane())
        if not lane.due:
            self._turns.append(name.lane)
        lane.due.append(name)

    def __len__(self) -> int:
        return len(self._known)

    def __repr__(self) -> str:
        return f"<Queue {len(self)} known, {self.under_way} under way, {len(self._later)} not yet due>"
