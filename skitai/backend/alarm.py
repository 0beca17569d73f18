"""Gives up requests that are due, with one timer for all of them: most end before it, and timers cost more than waiting."""

from __future__ import annotations

import asyncio
import time
from math import inf
from typing import Protocol


class Due(Protocol):
    """What is given up when it is due.

    :ivar due: on the monotonic clock; it may become later.
    """

    @property
    def due(self) -> float: ...

    def give_up(self) -> None:
        """Let nobody wait any longer."""


class Alarm:
    """Watches requests. Everything belongs to the loop's thread.

    :ivar forget: a request is over.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._watched: set[Due] = set()
        self.forget = self._watched.discard
        self._timer: asyncio.TimerHandle | None = None
        self._next = inf

    def watch(self, request: Due) -> None:
        """Give a request up when it is due, unless it is forgotten before."""
        self._watched.add(request)
        if request.due < self._next:
            self._set(request.due)

    def _set(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = due
        self._timer = self._loop.call_later(max(due - time.monotonic(), 0), self._look)

    def _look(self) -> None:
        self._timer, self._next = None, inf
        now = time.monotonic() + 0.001  # the loop's clock may be that much behind
        for each in tuple(self._watched):
            if each.due <= now:
                self._watched.discard(each)
                each.give_up()
        if self._watched:
            self._set(min(each.due for each in self._watched))

    def close(self) -> None:
        """Let go of the timer; nothing is watched any more."""
        if self._timer is not None:
            self._timer.cancel()
