"""Room for connections: those to all servers are never more than so many. Everything belongs to the loop's thread."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf
from typing import Any, Protocol
from weakref import WeakSet

from skitai.backend.errors import TimedOut


class Holder(Protocol):
    """Who keeps connections that nobody uses.

    :ivar idle_since: since when the oldest of them has been idle, on the loop's clock; `inf` where there is none.
    """

    @property
    def idle_since(self) -> float: ...

    def close_oldest(self) -> None:
        """Close that one."""


class Room:
    """Room for some connections. Who wants one more where there is none gets that of the one that was idle for longest.

    :param most: so many at once.
    :ivar holders: who may be asked to make room.
    :ivar waiting: who wants room: as long as there is anybody, nothing is to be kept for later.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, most: int) -> None:
        self._loop = loop
        self._most = self._free = most
        self.waiting: deque[asyncio.Future[None]] = deque()
        self.holders: WeakSet[Holder] = WeakSet()

    @property
    def unused(self) -> bool:
        """There are no connections."""
        return self._free == self._most

    @asynccontextmanager
    async def held(self, deadline: float) -> AsyncIterator[None]:
        """Around a connection; see `enter`."""
        await self.enter(deadline)
        try:
            yield
        finally:
            self.leave()

    async def enter(self, deadline: float) -> None:
        """Have room for a connection, until `leave`.

        :raises TimedOut: there was none until the deadline.
        """
        if not self._free and not self.waiting:
            oldest = min(self.holders, key=lambda holder: holder.idle_since, default=None)
            if oldest is not None and oldest.idle_since < inf:
                oldest.close_oldest()
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = self._loop.create_future()
        self.waiting.append(turn)
        alarm = self._loop.call_at(deadline, expire, turn)
        try:
            await turn
        except BaseException:
            if turn in self.waiting:
                self.waiting.remove(turn)
            elif not turn.cancelled() and turn.exception() is None:
                self.leave()
            raise
        finally:
            alarm.cancel()

    def leave(self) -> None:
        """A connection is closed, or did not come to be."""
        while self.waiting:
            turn = self.waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


def expire(turn: asyncio.Future[Any]) -> None:
    """End waiting for a connection."""
    if not turn.done():
        turn.set_exception(TimedOut("no connection was free in time", sent=False))
