"""The handle of a request that is on its way to a back-end: to be waited for in a thread, or awaited in the loop."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Collection, Generator
from copy import copy
from functools import partial
from typing import Any

from skitai.backend.alarm import Alarm
from skitai.backend.errors import TimedOut
from skitai.backend.handle import STOPS, Handle, Validate, tell, tell_loop
from skitai.backend.result import Result, Results, Status, failure
from skitai.backend.seam import Begun, Home

log = logging.getLogger("skitai.app")

_settling = threading.Lock()
"""Held for a moment while a result becomes the result: a thread that gives up and the loop may both have one."""


class Task(Handle):
    """A request to one back-end.

    :param alarm: gives it up when it is due.
    :param keep: keeps a result as it came for so many seconds; None where there is nothing to recognise the request by.
    :param then: called with the result in the loop's thread, after it was settled.
    :ivar asked: see `Result.asked`.
    :ivar due: on the monotonic clock: when the request is given up.
    :ivar meta: for the result, as `id` and `method` are.
    :ivar filter: makes the result's `data`.
    :ivar running: the work in the loop.
    """

    meta: dict[str, Any] | None = None
    id = ""
    method = ""
    filter: Callable[[Result], Any] | None = None
    running: Begun | None = None
    _result: Result | None = None

    def __init__(
        self,
        home: Home,
        alarm: Alarm,
        timeout: float | None,
        keep: Callable[[Result, float], None] | None = None,
        then: Callable[[Result], None] | None = None,
    ) -> None:
        super().__init__(home, timeout)
        self._alarm = alarm
        self.due = self.began + self.limit_s
        self.asked = time.time()
        self._keeper = keep
        self._then = then

    @property
    def done(self) -> bool:
        return self._result is not None

    @property
    def status(self) -> int:
        """A number of `Status`: 0 while the result is to come."""
        return Status.BEGUN if self._result is None else self._result.status

    def getwait(
        self,
        timeout: float | None = None,
        reraise: bool = False,
        cache: float | None = None,
        cache_if: Collection[int] = (200,),
    ) -> Result:
        """Wait for the result.

        :param timeout: as of `wait`; then the result says so by its status.
        :param reraise: raise what went wrong: no answer, or one that says no (an HTTP status from 300, an SQL error).
        :param cache: keep the result for so many seconds, if its `status_code` is one of `cache_if`.
        :raises RuntimeError: in the loop's thread.
        """
        self._wait(timeout)
        result = self._settled()
        if reraise:
            result.reraise()
        self._cache_if(cache, cache_if)
        return result

    def getwait_or_throw(
        self,
        status: str | int,
        timeout: float | None = None,
        cache: float | None = None,
        cache_if: Collection[int] = (200,),
    ) -> Result:
        """`getwait` and `wait_or_throw` in one."""
        self.wait_or_throw(status, timeout)
        return self.getwait(timeout, cache=cache, cache_if=cache_if)

    def cache(self, timeout: float = 300, validation: Validate | None = None) -> Task:
        """Keep the result for equal requests; only once it has come, and if it is an answer.

        :param timeout: seconds; 0 forgets what is kept.
        :param validation: called with the result; it is kept where that returns true.
        :raises RuntimeError: nothing has come yet.
        """
        result = self._result
        if result is None:
            raise RuntimeError("there is nothing to keep yet: call getwait() first")
        if result.is_normal and (validation is None or validation(result)):
            self._keep(timeout)
        return self

    def _keep(self, seconds: float) -> None:
        self._settled().cache(seconds)

    def __await__(self) -> Generator[Any, None, Result]:
        if self._result is None:
            yield from self._coming()
        assert self._result is not None
        return self._result

    def _coming(self) -> asyncio.Future[None]:
        """What the running coroutine waits for until the result is there.

        :raises RuntimeError: it would wait in vain.
        """
        loop = asyncio.get_running_loop()
        ours = loop is self._home.loop
        if not ours and self._home.in_loop():
            raise RuntimeError(
                f"a loop of its own, run here, {STOPS}: use a coroutine function, or run the server with threads"
            )
        came: asyncio.Future[None] = loop.create_future()
        self._waiters.append(partial(tell, came) if ours else partial(tell_loop, loop, partial(tell, came)))
        if self._result is not None:  # a thread has given it up meanwhile, and may have missed us
            tell(came)
        return came

    def _results(self) -> list[Result]:
        return [self._settled()]

    def _settled(self) -> Result:
        assert self._result is not None
        return self._result

    def settle(self, came: Result) -> None:
        """The request is over. Only the first result counts. In the loop's thread, unless nothing else is to be told."""
        if self._take(came):
            self._alarm.forget(self)
            if self._then is not None:
                self._call_back()

    def _take(self, came: Result) -> bool:
        """Make it the result, if there is none; from any thread."""
        result = came
        came.asked, came.keep = self.asked, self._keeper
        if not came.method:
            came.method = self.method
        if self.meta is not None or self.id or self.filter is not None:
            result = self._signed(came)
        with _settling:
            if self._result is not None:
                return False
            self._result = result
        waiters = self._waiters
        while waiters:
            waiters.pop()()
        return True

    def _signed(self, came: Result) -> Result:
        """With what the caller has said of the request, and the data that his function makes."""
        came.id, came.meta = self.id, self.meta or {}
        if self.filter is None or not came.is_normal:
            return came
        result = copy(came)
        result.came = came
        try:
            result.data = self.filter(result)
        except Exception as error:  # noqa: BLE001 - the caller's own function; it gets to know
            result = failure(error)
            result.asked, result.method, result.id, result.meta = came.asked, came.method, came.id, came.meta
        return result

    # In the loop's thread, but for `_expire` and `_allow`

    def _call_back(self) -> None:
        then, self._then = self._then, None
        if then is not None:
            try:
                then(self._settled())
            except Exception:  # noqa: BLE001 - the caller's own function; others wait for the loop, too
                log.exception("the callback of a request to a back-end failed: %s", self.method)

    def give_up(self) -> None:
        """Let nobody wait any longer."""
        if not self.done:
            self._take(failure(TimedOut()))
        self._alarm.forget(self)
        self._call_back()
        running, self.running = self.running, None
        if running is not None:
            running.cancel()

    def _expire(self) -> None:
        self._take(failure(TimedOut()))
        self._home.on_loop(self.give_up)

    def _allow(self, due: float) -> None:
        if self.timeout is None and due > self.due:
            self.due = due

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.method} {self._result or 'under way'}>"


class Group(Handle):
    """The same request to all members of a cluster."""

    def __init__(self, home: Home, timeout: float | None, tasks: list[Task]) -> None:
        super().__init__(home, timeout)
        self.tasks = tasks
        self.meta: dict[str, Any] = {}

    @property
    def done(self) -> bool:
        return all(task.done for task in self.tasks)

    @property
    def status(self) -> list[int]:
        return [task.status for task in self.tasks]

    def getwait(self, *args: Any, **kwargs: Any) -> Result:
        """:raises ValueError: there are several members, whose results `getswait` gives."""
        if len(self.tasks) != 1:
            raise ValueError(f"{len(self.tasks)} members were asked: getswait() gives all their results")
        return self.tasks[0].getwait(*args, **kwargs)

    def getwait_or_throw(self, status: str | int, *args: Any, **kwargs: Any) -> Result:
        """:raises ValueError: as `getwait`."""
        if len(self.tasks) != 1:
            raise ValueError(f"{len(self.tasks)} members were asked: getswait_or_throw() gives all their results")
        return self.tasks[0].getwait_or_throw(status, *args, **kwargs)

    def cache(self, timeout: float = 300, validation: Validate | None = None) -> Group:
        """Keep the results once all have come; see `Task.cache`."""
        if not self.done:
            raise RuntimeError("there is nothing to keep yet: call getswait() first")
        results = self._results()
        if all(each.is_normal and (validation is None or validation(each)) for each in results):
            self._keep(timeout)
        return self

    def _keep(self, seconds: float) -> None:
        for task in self.tasks:
            task._keep(seconds)

    def _wait(self, timeout: float | None) -> None:
        for task in self.tasks:
            task._wait(timeout)

    def __await__(self) -> Generator[Any, None, Results]:
        for task in self.tasks:
            if not task.done:
                yield from task._coming()
        return Results(self._results(), self._keep)

    def _results(self) -> list[Result]:
        return [task._settled() for task in self.tasks]

    def _expire(self) -> None:
        for task in self.tasks:
            task._expire()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.tasks}>"

    def _allow(self, due: float) -> None:
        for task in self.tasks:
            task._allow(due)
