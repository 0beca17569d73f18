"""What the drivers of databases have in common: they know what runs, so that it can end before the loop does."""

from __future__ import annotations

import asyncio
import select
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from heapq import heapify, heappop, heappush
from itertools import count
from math import inf
from typing import Any, Protocol, TypeVar

from skitai.backend.errors import BackendError, Code, TimedOut
from skitai.backend.pool import Kept, Pool
from skitai.backend.result import Result
from skitai.backend.room import Room
from skitai.backend.seam import Asker, Begun, Home
from skitai.config.aliases import Member
from skitai.config.sections.reaching import Backends

C = TypeVar("C", bound=Kept)


class Ending(Protocol):
    """What was begun without a task."""

    def end(self, error: BackendError) -> None:
        """There is no time for it any more."""


class DatabaseDriver(ABC):
    """A driver whose close ends what runs.

    :param room: that the connections to all servers have.
    """

    def __init__(self, home: Home, room: Room) -> None:
        self._home = home
        self._room = room
        self._loop = home.loop
        self._options = home.config.backends
        self._deadlines = Deadlines(home.loop)
        self._running: set[asyncio.Task[Any]] = set()
        self._begun: set[Ending] = set()
        self._quiet = asyncio.Event()
        self._closed = False

    def _leaves(self) -> bool:
        return self._closed

    def begin(self, member: Member, operation: Any, asker: Asker) -> Begun | None:
        """See `seam.Driver.begin`."""
        return None

    async def ask(self, member: Member, operation: Any, deadline: float) -> Result:
        """See `seam.Driver.ask`."""
        if self._leaves():
            raise BackendError(Code.SHUTDOWN, "the worker leaves")
        task = asyncio.current_task(self._loop)  # without it the loop is looked up, by a system call
        assert task is not None
        self._running.add(task)
        try:
            return await self._answer(member, operation, deadline)
        except asyncio.CancelledError:
            if not self._leaves():
                raise
            task.uncancel()
            raise BackendError(Code.SHUTDOWN, "the worker leaves", sent=True) from None
        finally:
            self._running.discard(task)
            if not self._running:
                self._quiet.set()

    @abstractmethod
    async def _answer(self, member: Member, operation: Any, deadline: float) -> Result: ...

    def _connect_by(self, deadline: float) -> float:
        """Until when a connection has to be there."""
        return min(deadline, self._loop.time() + self._options.backend_connect_s)

    @contextmanager
    def _connecting(self, member: Member, deadline: float) -> Iterator[None]:
        """Around opening a connection that is limited by `_connect_by`: what ends by the clock, and what the system says."""
        try:
            yield
        except TimedOut as error:
            if self._loop.time() >= deadline:
                raise TimedOut(sent=False) from error
            raise BackendError(Code.SLOW, f"connecting to {where(member)} takes too long") from error
        except OSError as error:
            raise BackendError(Code.REFUSED, f"{where(member)}: {error.strerror or error}") from error

    async def close(self) -> None:
        """See `seam.Driver.close`."""
        self._closed = True
        self._quiet.clear()
        for task in self._running:
            task.cancel()
        for begun in tuple(self._begun):
            begun.end(BackendError(Code.SHUTDOWN, "the worker leaves", sent=True))
        if self._running:
            await self._quiet.wait()
        await self._close()
        self._deadlines.close()

    @abstractmethod
    async def _close(self) -> None:
        """Close what is open; nothing runs any more."""


class Pools(dict[Member, Pool[C]]):
    """A pool for each server, made when first needed.

    :param open: opens a connection to a server, until a deadline.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        open: Callable[[Member, float], Awaitable[C]],
        options: Backends,
        room: Room,
    ) -> None:
        self._loop = loop
        self._open = open
        self._options = options
        self._room = room

    def __missing__(self, member: Member) -> Pool[C]:
        options, opening = self._options, partial(self._open, member)
        most = member.connections or options.backend_connections
        pool = self[member] = Pool(self._loop, opening, most, options.backend_keep_alive, self._room)
        return pool

    def tick(self, now: float) -> None:
        """Close what was idle for too long, and forget servers that nobody asks any more."""
        for member, pool in list(self.items()):
            pool.tick(now)
            stats = pool.stats()
            if not (stats["busy"] or stats["idle"] or stats["waiting"]):
                del self[member]

    @property
    def size(self) -> int:
        """Connections that are open, or being opened."""
        return sum(pool.size for pool in self.values())

    def close(self) -> None:
        for pool in self.values():
            pool.close()

    def stats(self) -> dict[str, dict[str, int]]:
        """By server. Two users of one server are one line."""
        found: dict[str, dict[str, int]] = {}
        for member, pool in self.items():
            line = found.setdefault(where(member), {})
            for name, number in pool.stats().items():
                line[name] = line.get(name, 0) + number
        return found


def where(member: Member) -> str:
    """A server in messages, never with its password."""
    host = f"[{member.host}]" if ":" in member.host and member.port else member.host
    return f"{host}:{member.port}" if member.port else host


class Ear:
    """Hears whether a socket, on which nothing is awaited, has something to say: that its other side has closed it.

    The loop hears that, too, but only at its next turn.
    """

    def __init__(self, descriptor: int) -> None:
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def hears(self) -> bool:
        return bool(self._poll.poll(0))


class Deadlines:
    """Ends what futures of ours wait for, with one timer for all: most never need it, and timers cost more than waiting.

    :ivar _next: when the timer goes off.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due: list[tuple[float, int, asyncio.Future[Any]]] = []
        self._numbers = count()
        self._most = FORGET
        self._next = inf
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, future: asyncio.Future[Any], deadline: float) -> None:
        """Have a future end by `TimedOut`, unless it is done until the deadline."""
        due = self._due
        if len(due) >= self._most:
            due[:] = [each for each in due if not each[2].done()]
            heapify(due)
            self._most = max(FORGET, 2 * len(due))
        heappush(due, (deadline, next(self._numbers), future))
        if deadline < self._next:
            self._set(deadline)

    def _set(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = deadline
        self._timer = self._loop.call_at(deadline, self._expire, deadline)

    def _expire(self, now: float) -> None:
        self._timer, self._next = None, inf
        due = self._due
        while due and (due[0][0] <= now or due[0][2].done()):
            future = heappop(due)[2]
            if not future.done():
                future.set_exception(TimedOut())
        if due:
            self._set(due[0][0])

    def close(self) -> None:
        """Let go of the timer; nothing is awaited any more."""
        if self._timer is not None:
            self._timer.cancel()


FORGET = 256
"""So many futures may be remembered that are done."""


def fingerprint(*parts: Any) -> Any:
    """What equal arguments have in common; None when one of them is equal to nothing.

    1, 1.0 and True are different: databases do not treat them alike.
    """
    try:
        found = tuple(map(_typed, parts))
        hash(found)
    except TypeError:
        return None
    return found


PLAIN = frozenset({str, int, float, bool, bytes, type(None)})
"""Types of most arguments, which need no looking into."""


def _typed(value: Any) -> Any:
    kind = type(value)
    if kind in PLAIN:
        return kind, value
    if isinstance(value, Mapping):
        return kind, tuple((_typed(key), _typed(each)) for key, each in value.items())
    if isinstance(value, list | tuple):
        return kind, tuple(map(_typed, value))
    return kind, value
