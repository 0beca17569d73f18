"""Results that a worker keeps, as its handlers ask for it. Belongs to no thread: one lock guards it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

DROPPED = 5
"""When there are too many, one of so many goes: those that would end first."""

REMEMBERED = 10
"""It is remembered of so many times the results that are kept that there were some."""


@dataclass(frozen=True, slots=True)
class Kept:
    """:ivar stored: seconds since the epoch, as `was.getlu` tells times.
    :ivar ends: the same.
    """

    value: Any
    stored: float
    ends: float


class ResultCache:
    """Results by what was asked.

    :param most: so many are kept.
    :ivar used: one was kept once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[Hashable, Kept] = {}
        self._known: OrderedDict[int, None] = OrderedDict()
        self._lock = threading.Lock()
        self.used = False
        self.hits = 0
        self.misses = 0

    def get(self, key: Hashable, now: float, since: float = 0.0) -> Any:
        """What is kept, or None.

        :param since: what is older than that is dropped.
        """
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and (kept.ends <= now or kept.stored < since):
                del self._kept[key]
                kept = None
            if kept is None:
                self.misses += 1
                return None
            self.hits += 1
            return kept.value

    def put(self, key: Hashable, value: Any, seconds: float, now: float, stored: float) -> None:
        """Keep a result.

        :param seconds: for so long; 0 or less forgets it.
        :param stored: when it was asked for: what has changed since then is not in it.
        """
        with self._lock:
            if seconds <= 0 or self._most <= 0:
                self._kept.pop(key, None)
                return
            if key not in self._kept and len(self._kept) >= self._most:
                self._make_room(now)
            self._kept[key] = Kept(value, stored, now + seconds)
            self.used = True
            known = hash(key)  # keys may hold what was sent, and are not to be kept for that long
            self._known[known] = None
            self._known.move_to_end(known)
            while len(self._known) > self._most * REMEMBERED:
                self._known.popitem(last=False)

    def _make_room(self, now: float) -> None:
        by_end = sorted(self._kept, key=lambda key: self._kept[key].ends)
        for key in by_end[: max(len(by_end) // DROPPED, 1)]:
            del self._kept[key]
        for key in [key for key, kept in self._kept.items() if kept.ends <= now]:
            del self._kept[key]

    def knows(self, key: Hashable) -> bool:
        """Whether results of this request were ever kept, even if there is none now."""
        return hash(key) in self._known

    def stats(self) -> dict[str, int]:
        return {"kept": len(self._kept), "hits": self.hits, "misses": self.misses}
