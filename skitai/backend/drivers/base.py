"""What the drivers of databases have in common: they know what runs, so that it can end before the loop does."""

from __future__ import annotations

import asyncio
import select
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from skitai.backend.errors import BackendError, Code, TimedOut
from skitai.backend.pool import Kept, Pool
from skitai.backend.result import Result
from skitai.backend.seam import Home
from skitai.config.aliases import Member

C = TypeVar("C", bound=Kept)


class DatabaseDriver(ABC):
    """A driver whose close ends what runs."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._loop = home.loop
        self._options = home.config.backends
        self._running: set[asyncio.Task[Any]] = set()
        self._quiet = asyncio.Event()
        self._closed = False

    def _leaves(self) -> bool:
        return self._closed

    async def ask(self, member: Member, operation: Any, deadline: float) -> Result:
        """See `seam.Driver.ask`."""
        if self._leaves():
            raise BackendError(Code.SHUTDOWN, "the worker leaves")
        task = asyncio.current_task()
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
        if self._running:
            await self._quiet.wait()
        await self._close()

    @abstractmethod
    async def _close(self) -> None:
        """Close what is open; nothing runs any more."""


class Pools(Generic[C]):
    """A pool for each server.

    :param make: makes that of a server.
    """

    def __init__(self, make: Callable[[Member], Pool[C]]) -> None:
        self._make = make
        self._pools: dict[Member, Pool[C]] = {}

    def __getitem__(self, member: Member) -> Pool[C]:
        pool = self._pools.get(member)
        if pool is None:
            pool = self._pools[member] = self._make(member)
        return pool

    def tick(self, now: float) -> None:
        """Close what was idle for too long, and forget servers that nobody asks any more."""
        for member, pool in list(self._pools.items()):
            pool.tick(now)
            stats = pool.stats()
            if not (stats["busy"] or stats["idle"] or stats["waiting"]):
                del self._pools[member]

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()

    def stats(self) -> dict[str, dict[str, int]]:
        """By server. Two users of one server are one line."""
        found: dict[str, dict[str, int]] = {}
        for member, pool in self._pools.items():
            line = found.setdefault(where(member), {})
            for name, number in pool.stats().items():
                line[name] = line.get(name, 0) + number
        return found


def where(member: Member) -> str:
    """A server in messages, never with its password."""
    host = f"[{member.host}]" if ":" in member.host and member.port else member.host
    return f"{host}:{member.port}" if member.port else host


def silent(descriptor: int) -> bool:
    """Whether a socket on which nothing is awaited has nothing to say: else its other side has closed it.

    The loop sees that, too, but only at its next turn.
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return not poll.poll(0)


async def in_time(loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any], deadline: float) -> Any:
    """Wait for what a future of our own gets.

    :raises TimedOut: it had nothing until the deadline.
    """
    alarm = loop.call_at(deadline, _expire, future)
    try:
        return await future
    finally:
        alarm.cancel()


def _expire(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(TimedOut())


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


def _typed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return type(value), tuple((_typed(key), _typed(each)) for key, each in value.items())
    if isinstance(value, list | tuple):
        return type(value), tuple(map(_typed, value))
    return type(value), value
