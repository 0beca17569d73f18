"""All back-ends of a process: aliases, drivers, and the results that are kept."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from copy import copy
from functools import partial
from importlib import import_module
from typing import Any

from skitai.backend.alarm import Alarm
from skitai.backend.attempt import Attempt, Failed
from skitai.backend.cluster import Cluster
from skitai.backend.errors import BackendError, Code
from skitai.backend.handle import WAIT_S
from skitai.backend.rcache import ResultCache
from skitai.backend.result import Result, Status, failure
from skitai.backend.room import Room
from skitai.backend.seam import Driver, Home, Operation
from skitai.backend.task import Group, Task
from skitai.config.aliases import Alias, Member

log = logging.getLogger("skitai.server")

DRIVERS = {
    "http": "skitai.backend.drivers.http:HttpDriver",
    "https": "skitai.backend.drivers.http:HttpDriver",
    "ws": "skitai.backend.drivers.websocket:WebSocketDriver",
    "wss": "skitai.backend.drivers.websocket:WebSocketDriver",
    "postgresql": "skitai.backend.drivers.postgresql:PostgresqlDriver",
    "sqlite3": "skitai.backend.drivers.sqlite:SqliteDriver",
    "redis": "skitai.backend.drivers.redis:RedisDriver",
    "mongodb": "skitai.backend.drivers.mongodb:MongodbDriver",
}
"""By kind; imported when first needed. Kinds with one driver share it."""

LONGEST_S = 3600.0
"""A request that nobody has limited may be waited for so long."""

Target = Cluster | Member
UseCache = bool | int | float


class Drivers(dict[str, Driver]):
    """By kind of back-end; made when first needed.

    :param known: ``package.module:Class`` by kind.
    :ivar made: the same by these; kinds with one driver share it.
    """

    def __init__(self, known: Mapping[str, str], home: Home) -> None:
        self._known = known
        self._home = home
        self._room = Room(home.loop, home.config.backends.backend_total_connections)
        self.made: dict[str, Driver] = {}

    def __missing__(self, kind: str) -> Driver:
        path = self._known[kind]
        if path not in self.made:
            module, name = path.split(":")
            self.made[path] = getattr(import_module(module), name)(self._home, self._room)
        driver = self[kind] = self.made[path]
        return driver


class Backends:
    """The back-ends of one process. Requests may come from any thread; the rest belongs to the loop's.

    :param drivers: ``package.module:Class`` by kind.
    :param more: tells all aliases when one is not known, which may be newer; in a process that is no worker.
    :ivar asked: requests that were made, without those that others' answers were good enough for.
    :ivar unanswered: of these, without an answer.
    :ivar passing: of these, requests of clients that are being handed on.
    :ivar attempts: of these, those under way without a task.
    :ivar cache: the results that are kept.
    :ivar drivers: by kind.
    :ivar now: tells the time, on the loop's clock.
    """

    def __init__(
        self, home: Home, drivers: Mapping[str, str] = DRIVERS, more: Callable[[], Iterable[Alias]] | None = None
    ) -> None:
        options = home.config.backends
        self._home = home
        self.now = home.loop.time
        self._alarm = Alarm(home.loop)
        self._clusters: dict[str, Cluster] = {}
        self._know(home.config.aliases)
        self._more = more
        self.drivers = Drivers(drivers, home)
        self._asked: deque[Callable[[], None]] = deque()
        self._told = False
        self._under_way: dict[Any, tuple[float, asyncio.Future[Result]]] = {}
        self._running: set[asyncio.Task[Result]] = set()
        self._closing = False
        self.asked = self.unanswered = self.passing = self.attempts = 0
        self.cache = ResultCache(options.max_rcache)

    @property
    def home(self) -> Home:
        """The process."""
        return self._home

    def _know(self, aliases: Iterable[Alias]) -> None:
        for alias in aliases:
            if alias.name not in self._clusters:
                self._clusters[alias.name] = Cluster(alias, self._home.config.backends.backend_eject_s)

    def cluster(self, name: str) -> Cluster:
        """The servers behind an alias.

        :param name: with or without its ``@``.
        :raises KeyError: there is no such alias.
        """
        plain = name.removeprefix("@")
        if plain not in self._clusters and self._more is not None:
            self._know(self._more())
        try:
            return self._clusters[plain]
        except KeyError:
            known = ", ".join(f"@{each}" for each in self._clusters) or "none"
            raise KeyError(f"there is no alias {name!r}; there are: {known}") from None

    # Asking, in any thread

    def ask(
        self,
        target: Target,
        operation: Operation,
        timeout: float | None = None,
        use_cache: UseCache = True,
        meta: dict[str, Any] | None = None,
        id: str = "",
        filter: Callable[[Result], Any] | None = None,
        then: Callable[[Result], None] | None = None,
    ) -> Task:
        """Send a request on its way.

        :param timeout: seconds that it may take; unless the alias says some, 10, or more where who waits allows it.
        :param use_cache: False for a fresh result; a time, in seconds since the epoch, for one that is not older.
        :param filter: makes the result's `data`.
        :param then: called with the result, in the loop's thread.
        """
        if timeout is None and isinstance(target, Cluster):
            timeout = target.alias.timeout
        task = Task(self._home, self._alarm, timeout, partial(self._keep, target, operation), then)
        task.method = operation.method
        if meta:
            task.meta = meta
        if id:
            task.id = id
        if filter is not None:
            task.filter = filter
        joins: tuple[Any, float] | None = None
        if use_cache is not False and self.cache.used and (key := self._key(target, operation)) is not None:
            since = 0.0 if use_cache is True else float(use_cache)
            kept = self.cache.get(key, task.asked, since)
            if kept is not None:
                self._soon_or_now(partial(task.settle, again(kept)), then is None)
                return task
            if operation.repeatable and self.cache.knows(key):
                joins = key, since
        if not self._asked and not self._closing and self._home.in_loop():
            self._begin(task, target, operation, joins)
        else:
            self._soon(partial(self._start, task, target, operation, joins))
        return task

    def ask_all(
        self,
        cluster: Cluster,
        operation: Operation,
        timeout: float | None = None,
        use_cache: UseCache = True,
        meta: dict[str, Any] | None = None,
        filter: Callable[[Result], Any] | None = None,
    ) -> Group:
        """Send a request to all members of a cluster."""
        if timeout is None:
            timeout = cluster.alias.timeout
        options: dict[str, Any] = {"timeout": timeout, "use_cache": use_cache, "meta": meta, "filter": filter}
        tasks = [self.ask(member, operation, **options) for member in cluster.members]
        group = Group(self._home, timeout, tasks)
        if meta:
            group.meta = meta
        return group

    def _key(self, target: Target, operation: Operation) -> Any:
        asked = operation.key()
        if asked is None:
            return None
        return (target.alias.name if isinstance(target, Cluster) else target, type(operation), asked)

    def _keep(self, target: Target, operation: Operation, result: Result, seconds: float) -> None:
        key = self._key(target, operation)
        if key is not None and (not result.is_cached or seconds <= 0):
            self.cache.put(key, result, seconds, time.time(), result.asked)

    def _soon_or_now(self, job: Callable[[], None], now: bool) -> None:
        if now:
            job()
        else:
            self._soon(job)

    def _soon(self, job: Callable[[], None]) -> None:
        """Have `job` called in the loop; what several requests of a handler ask for is one wake-up."""
        self._asked.append(job)
        if not self._told:
            self._told = True
            self._home.on_loop(self._run_asked)

    # In the loop's thread

    def _run_asked(self) -> None:
        self._told = False  # first, so that one that comes meanwhile asks for another turn
        asked = self._asked
        while asked:
            asked.popleft()()

    def _start(self, task: Task, target: Target, operation: Operation, joins: tuple[Any, float] | None) -> None:
        """Have the work done that was asked for a moment ago."""
        if task.done:
            return
        if self._closing:
            task.settle(shutdown())
        else:
            self._begin(task, target, operation, joins)

    def _begin(self, task: Task, target: Target, operation: Operation, joins: tuple[Any, float] | None) -> None:
        """Have the work done.

        :param joins: what equal requests have in common, and since when one has to be under way so that its answer will do.
        """
        if joins is not None:
            under_way = self._under_way.get(joins[0])
            if under_way is not None and under_way[0] >= joins[1] and not under_way[1].done():
                task.asked, running = under_way
                running.add_done_callback(partial(self._joined, task, target, operation, joins))
                self._alarm.watch(task)
                return
        self.asked += 1
        if joins is None:
            if not Attempt(self, task, target, operation).begin():
                self.go_on(task, target, operation)
        else:
            running = self.go_on(task, target, operation)
            self._under_way[joins[0]] = (task.asked, running)
            running.add_done_callback(partial(self._arrived, joins[0]))
        self._alarm.watch(task)

    def go_on(self, task: Task, target: Target, operation: Operation, failed: Failed | None = None) -> asyncio.Task[Result]:
        """Have the work done in a task.

        :param failed: see `Cluster.ask`.
        """
        running = self._home.loop.create_task(self._run(task, target, operation, failed))
        self._running.add(running)
        running.add_done_callback(partial(self._ended, task))
        task.running = running
        return running

    def _arrived(self, key: Any, running: asyncio.Future[Result]) -> None:
        if key in self._under_way and self._under_way[key][1] is running:
            del self._under_way[key]

    def _joined(
        self,
        task: Task,
        target: Target,
        operation: Operation,
        joins: tuple[Any, float],
        shared: asyncio.Future[Result],
    ) -> None:
        """What was asked for an equal request is this one's, too; where that was given up, the first of them asks again."""
        if task.done:
            return
        if shared.cancelled() or shared.result().status == Status.TIMED_OUT:
            task.asked = time.time()
            self._start(task, target, operation, joins)
        else:
            task.settle(again(shared.result(), cached=False))

    async def _run(self, task: Task, target: Target, operation: Operation, failed: Failed | None) -> Result:
        loop = self._home.loop
        limit_s = LONGEST_S if task.timeout is None else task.timeout
        deadline = loop.time() + limit_s - (time.monotonic() - task.began)
        try:
            if isinstance(target, Cluster):
                result = await target.ask(self.driver(target.alias.kind), operation, deadline, loop.time, failed)
            else:
                result = await self.driver(target.kind).ask(target, operation, deadline)
                result.member = target
        except BackendError as error:
            result = failure(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, somebody waits for the result
            log.exception("a request to a back-end failed: %s", operation.method)
            result = failure(error)
        task.settle(result)
        return result

    def _ended(self, task: Task, running: asyncio.Future[Result]) -> None:
        self._running.discard(running)
        if running.cancelled() or running.result().status != Status.DONE:
            self.unanswered += 1
        if not task.done:  # cancelled, and nobody had given it up; maybe before it had begun
            task.settle(shutdown())

    def driver(self, kind: str) -> Driver:
        """The driver for a kind of back-end."""
        return self.drivers[kind]

    def tick(self, now: float) -> None:
        """Once a second; `now` is of the loop's clock."""
        for driver in self.drivers.made.values():
            driver.tick(now)

    @property
    def asking(self) -> int:
        """Requests under way."""
        return len(self._running) + self.attempts + self.passing

    def connections(self) -> int:
        """Connections that are open, or being opened."""
        return sum(driver.connections() for driver in self.drivers.made.values())

    def stats(self) -> dict[str, Any]:
        """For `was.status()`; from any thread.

        :raises TimeoutError: the loop does not answer.
        """
        if self._home.in_loop():
            return self._stats()
        told: Future[dict[str, Any]] = Future()
        self._home.on_loop(lambda: told.set_result(self._stats()))
        with self._home.waiting():
            return told.result(WAIT_S)

    def _stats(self) -> dict[str, Any]:
        return {
            "drivers": {path.split(":")[1]: driver.stats() for path, driver in self.drivers.made.items()},
            "clusters": {f"@{name}": cluster.stats() for name, cluster in self._clusters.items()},
            "results": self.cache.stats(),
            "requests": {"asked": self.asked, "asking": self.asking, "unanswered": self.unanswered},
            "connections": self.connections(),
        }

    async def close(self) -> None:
        """Close every connection; what is under way fails."""
        self._closing = True
        for driver in self.drivers.made.values():
            await driver.close()
        for running in tuple(self._running):
            running.cancel()
        if self._running:
            await asyncio.wait(self._running)
        self._alarm.close()


def shutdown() -> Result:
    """Of a request that the worker has no time for any more."""
    return failure(BackendError(Code.SHUTDOWN, "the worker leaves", sent=True))


def again(result: Result, cached: bool = True) -> Result:
    """A result for one more request."""
    other = copy(result)
    other.is_cached = cached
    other.meta, other.id, other.keep = {}, "", None
    return other
