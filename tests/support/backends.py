"""Back-ends that are toys: a driver that answers as its member's name says, and where it may be asked."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from skitai.backend.backends import Backends
from skitai.backend.errors import BackendError, Code, TimedOut
from skitai.backend.result import Result
from skitai.backend.room import Room
from skitai.backend.seam import Asker, Home
from skitai.config.aliases import Alias, Member
from skitai.config.sections.reaching import Backends as Options
from skitai.config.tree import Config
from skitai.was.process import Background

TOYS = {"http": "tests.support.backends:ToyDriver"}


@dataclass(frozen=True)
class Ask:
    """:ivar slow_s: the answer takes so long."""

    what: Any = "hello"
    method: str = "get"
    repeatable: bool = True
    slow_s: float = 0.0

    def key(self) -> Any:
        return self.what


@dataclass
class Begun:
    """A request without a task, whose end the test says."""

    member: Member
    asker: Asker
    cancelled: int = 0

    def cancel(self) -> None:
        self.cancelled += 1


class ToyDriver:
    """Servers called "well" answer, "broken" cannot be reached, "lost" take the request and go, "no" answer 500, "wrong"
    have a fault of their own.

    :ivar asked: requests that came, by server.
    :ivar idle: servers to which a connection idles.
    :ivar begun: what was begun on these.
    """

    def __init__(self, home: Home, room: Room) -> None:
        self.home = home
        self.asked: Counter[str] = Counter()
        self.running = 0
        self.closed = False
        self.ticks = 0
        self.mended: set[str] = set()
        self.idle: set[str] = set()
        self.begun: list[Begun] = []

    def begin(self, member: Member, operation: Ask, asker: Asker) -> Begun | None:
        if member.host not in self.idle:
            return None
        self.begun.append(Begun(member, asker))
        return self.begun[-1]

    async def ask(self, member: Member, operation: Ask, deadline: float) -> Result:
        self.asked[member.host] += 1
        self.running += 1
        try:
            return await self._answer(member, operation, deadline)
        finally:
            self.running -= 1

    async def _answer(self, member: Member, operation: Ask, deadline: float) -> Result:
        number = self.asked[member.host]
        kind = "well" if member.host in self.mended else member.host.partition("-")[0]
        left_s = deadline - self.home.loop.time()
        await asyncio.sleep(min(operation.slow_s, left_s))
        if operation.slow_s > left_s:
            raise TimedOut()
        match kind:
            case "broken":
                raise BackendError(Code.REFUSED, f"{member.host} does not listen")
            case "lost":
                raise BackendError(Code.REFUSED, f"{member.host} has gone", sent=True)
            case "no":
                return Result(500, "No", error=ValueError("no"))
            case "wrong":
                raise ZeroDivisionError("a fault of the driver")
        return Result(data=(member.host, operation.what, number))

    def tick(self, now: float) -> None:
        self.ticks += 1

    def stats(self) -> dict[str, Any]:
        return {"running": self.running}

    def connections(self) -> int:
        return self.running

    async def close(self) -> None:
        self.closed = True


def toy(host: str, weight: int = 1) -> Member:
    return Member("http", host, 80, weight=weight)


def options(**values: Any) -> Config:
    """A configuration with other options of back-ends."""
    return replace(Config(), backends=replace(Options(), **values))


@contextmanager
def toys(config: Config | None = None, **clusters: list[Member]) -> Iterator[Backends]:
    """Back-ends in a thread of their own, with an alias for each keyword."""
    aliases = tuple(Alias(name, "http", tuple(members)) for name, members in clusters.items())
    home = Background(replace(config or Config(), aliases=aliases))
    home.start()
    backends = Backends(home, TOYS)
    try:
        yield backends
    finally:
        asyncio.run_coroutine_threadsafe(backends.close(), home.loop).result(5)
        home.stop()


def driver(backends: Backends) -> ToyDriver:
    made = backends.driver("http")
    assert isinstance(made, ToyDriver)
    return made
