"""The HTTP/2 connections to one server: usually one, more while all of them are full."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from math import inf

from skitai.backend.drivers.http.http2 import Http2Connection
from skitai.backend.errors import BackendError, Code, TimedOut
from skitai.backend.room import Room, expire


class Multiplex:
    """Connections that carry many requests each.

    :param open: opens one more; None when the server does not speak HTTP/2 (any more).
    :param most: so many at once.
    :param room: that the connections to all servers have.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        open: Callable[[float], Awaitable[Http2Connection | None]],
        most: int,
        keep_s: float,
        room: Room,
    ) -> None:
        self._loop = loop
        self._open = open
        self._most = most
        self._keep_s = keep_s
        self._room = room
        self._connections: list[Http2Connection] = []
        self._opening: asyncio.Future[None] | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._refused = False
        self.opened = 0
        room.holders.add(self)

    def free(self) -> Http2Connection | None:
        """A connection with room for a request, if there is one now."""
        for each in self._connections:
            if each.room:
                return each
        return None

    async def take(self, deadline: float) -> Http2Connection | None:
        """A connection with room for a request, which is to be made before anything else happens.

        :returns: None when the server does not speak HTTP/2.
        :raises BackendError: there is none to be had.
        """
        while not self._refused:
            free = self.free()
            if free is not None:
                return free
            if self._opening is not None:
                await self._wait(self._opening, deadline, shared=True)
            elif len(self._connections) < self._most:
                await self._open_one(deadline)
            else:
                turn: asyncio.Future[None] = self._loop.create_future()
                self._waiting.append(turn)
                await self._wait(turn, deadline)
        return None

    async def _open_one(self, deadline: float) -> None:
        """Open a connection; others who want one wait for it, and for what becomes of it."""
        opening = self._opening = self._loop.create_future()
        try:
            connection = await self._opened(deadline)
        except BaseException as error:
            self._opening = None
            # That somebody has no more time, or does not want to any more, is no matter of the others.
            if isinstance(error, BackendError) and not isinstance(error, TimedOut):
                opening.set_exception(error)
                opening.exception()  # whether anybody waits or not
            else:
                opening.set_result(None)
            raise
        self._opening = None
        opening.set_result(None)
        if connection is None:
            self._refused = True
            self._wake(len(self._waiting))
            return
        self.opened += 1
        self._connections.append(connection)
        self.changed(connection)

    async def _opened(self, deadline: float) -> Http2Connection | None:
        await self._room.enter(deadline)
        connection = None
        try:
            connection = await self._open(deadline)
        finally:
            if connection is None:
                self._room.leave()
        return connection

    def _remove(self, connection: Http2Connection) -> None:
        """Ask nothing more on a connection, which may still have something to say."""
        self._connections.remove(connection)
        self._room.leave()

    async def _wait(self, what: asyncio.Future[None], deadline: float, shared: bool = False) -> None:
        """:raises TimedOut: it did not come in time."""
        turn: asyncio.Future[None] = what
        if shared:
            turn = self._loop.create_future()
            what.add_done_callback(lambda done: _pass_on(done, turn))
        alarm = self._loop.call_at(deadline, expire, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not shared and turn.done() and not turn.cancelled():
                self._wake(1)
            raise
        finally:
            alarm.cancel()

    def changed(self, connection: Http2Connection) -> None:
        """There is more room on a connection, or it is of no more use."""
        if connection.leaving:
            if connection in self._connections:
                self._remove(connection)
            if not connection.busy:
                connection.close()
            self._wake(1)
            return
        self._wake(connection.room)
        if self._room.waiting and not connection.busy:
            self._remove(connection)
            connection.close()

    def _wake(self, count: int) -> None:
        while count > 0 and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                count -= 1

    @property
    def idle_since(self) -> float:
        """See `room.Holder`."""
        return min((each.idle_since for each in self._connections if not each.busy), default=inf)

    def close_oldest(self) -> None:
        """See `room.Holder`."""
        oldest = min((each for each in self._connections if not each.busy), key=lambda each: each.idle_since)
        self._remove(oldest)
        oldest.close()

    @property
    def waiting(self) -> int:
        """So many wait for room."""
        return len(self._waiting)

    @property
    def unused(self) -> bool:
        return not self._connections and self._opening is None and not self._waiting

    def tick(self, now: float) -> None:
        """Close what was idle for too long."""
        for each in tuple(self._connections):
            if each.leaving or (not each.busy and now - each.idle_since >= self._keep_s):
                self._remove(each)
                if not each.busy:
                    each.close()

    @property
    def size(self) -> int:
        """Connections that are open, or being opened."""
        return len(self._connections) + (self._opening is not None)

    def stats(self) -> dict[str, int]:
        return {
            "busy": sum(1 for each in self._connections if each.busy),
            "idle": sum(1 for each in self._connections if not each.busy),
            "waiting": sum(not turn.done() for turn in self._waiting),
            "opened": self.opened,
            "streams": sum(each.busy for each in self._connections),
        }

    def close(self) -> None:
        """End what runs."""
        for each in tuple(self._connections):
            each.end(BackendError(Code.SHUTDOWN, "the worker leaves", sent=True))
            if each in self._connections:
                self._remove(each)


def _pass_on(done: asyncio.Future[None], turn: asyncio.Future[None]) -> None:
    if turn.done():
        return
    error = done.exception()
    if error is not None:
        turn.set_exception(error)
    else:
        turn.set_result(None)
