"""The connections to one server: used ones are kept for the next request, and there are never more than so many.

Whoever needs one gets the most recently used; old ones thus fall out of use and are closed when they were idle for long.
Everything belongs to the loop's thread.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from math import inf
from typing import Generic, Protocol, TypeVar

from skitai.backend.room import Room, expire


class Kept(Protocol):
    """A connection that carries one request at a time.

    :ivar usable: it is open, as far as can be seen without writing to it.
    """

    @property
    def usable(self) -> bool: ...

    def close(self) -> None:
        """Close at once; never waits."""


C = TypeVar("C", bound=Kept)


class Pool(Generic[C]):
    """Connections to one server.

    :param open: opens one, until a deadline of the loop's clock.
    :param most: so many at once, those that are being opened included.
    :param keep_s: an idle one is kept for so long.
    :param room: that the connections to all servers have.
    :ivar busy: out, or being opened.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        open: Callable[[float], Awaitable[C]],
        most: int,
        keep_s: float,
        room: Room,
    ) -> None:
        self._loop = loop
        self._open = open
        self._most = most
        self._keep_s = keep_s
        self._room = room
        self._idle: list[tuple[float, C]] = []
        self._waiting: deque[asyncio.Future[C | None]] = deque()
        self.busy = 0
        self.opened = 0
        room.holders.add(self)

    def take_idle(self) -> C | None:
        """Get a connection that was used before, which goes back by `give` or `drop`; None when none is idle."""
        while self._idle:
            _, connection = self._idle.pop()
            if connection.usable:
                self.busy += 1
                return connection
            self._close(connection)
        return None

    async def take(self, deadline: float, fresh: bool = False) -> tuple[C, bool]:
        """Get a connection, which goes back by `give` or `drop`.

        :param fresh: one that nobody has used before; for when a kept one turned out to be dead.
        :returns: it, and whether it was used before.
        :raises TimedOut: there was none until the deadline.
        """
        if not fresh:
            kept = self.take_idle()
            if kept is not None:
                return kept, True
        if self.busy >= self._most:
            kept = await self._wait(deadline)  # its place among the busy goes over to us
            if kept is not None:
                if not fresh and kept.usable:
                    return kept, True
                self._close(kept)
        else:
            self.busy += 1
            self._make_room()
        try:
            connection = await self._opened(deadline)
        except BaseException:
            self._hand_on(None)
            raise
        self.opened += 1
        return connection, False

    async def _opened(self, deadline: float) -> C:
        await self._room.enter(deadline)
        try:
            return await self._open(deadline)
        except BaseException:
            self._room.leave()
            raise

    def _close(self, connection: C) -> None:
        connection.close()
        self._room.leave()

    def _make_room(self) -> None:
        """Idle ones count, too: the one that was idle for longest makes room."""
        while self._idle and self.busy + len(self._idle) > self._most:
            self.close_oldest()

    @property
    def idle_since(self) -> float:
        """See `room.Holder`."""
        return self._idle[0][0] if self._idle else inf

    def close_oldest(self) -> None:
        """See `room.Holder`."""
        self._close(self._idle.pop(0)[1])

    async def _wait(self, deadline: float) -> C | None:
        """Wait for a connection, or (None) for the right to open one."""
        turn: asyncio.Future[C | None] = self._loop.create_future()
        self._waiting.append(turn)
        alarm = self._loop.call_at(deadline, expire, turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._hand_on(turn.result())
            raise
        finally:
            alarm.cancel()

    def give(self, connection: C) -> None:
        """Take a connection back that is ready for the next request."""
        if not connection.usable:
            self.drop(connection)
        elif self._waiting or self._room.waiting:
            self._hand_on(connection)
        else:
            self.busy -= 1
            self._idle.append((self._loop.time(), connection))

    def drop(self, connection: C) -> None:
        """Close a connection that was taken."""
        self._close(connection)
        self._hand_on(None)

    def _hand_on(self, connection: C | None) -> None:
        """Somebody is done; the first who waits goes on in its place."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(connection)
                return
        self.busy -= 1
        if connection is None:
            return
        if self._room.waiting:
            self._close(connection)
        else:
            self._idle.append((self._loop.time(), connection))

    @property
    def waiting(self) -> int:
        """So many wait for a connection."""
        return len(self._waiting)

    def tick(self, now: float) -> None:
        """Close those that were idle for too long, or were closed by the other side."""
        kept = []
        for since, connection in self._idle:
            if now - since < self._keep_s and connection.usable:
                kept.append((since, connection))
            else:
                self._close(connection)
        self._idle = kept

    def close(self) -> None:
        """Close the idle ones; those that are out close when they come back."""
        self._keep_s = 0
        self.tick(self._loop.time())

    @property
    def size(self) -> int:
        """Connections that are open, or being opened."""
        return self.busy + len(self._idle)

    def stats(self) -> dict[str, int]:
        return {
            "busy": self.busy,
            "idle": len(self._idle),
            "waiting": sum(not turn.done() for turn in self._waiting),
            "opened": self.opened,
        }
