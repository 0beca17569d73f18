"""Work that a handler needs done first when something has changed: once for each change and worker, however many ask."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

from skitai.saddle.hooks import F, Hook, around, is_async
from skitai.saddle.house import house
from skitai.was import host

if TYPE_CHECKING:
    from skitai.saddle.context import Was


_NEVER = 0.0


class Condition:
    """Something that changes, and what to do then. The first request counts as a change.

    Requests that come while the work is done wait for it. When it fails, the request that does it fails, and the next one
    tries again.

    :param look: what there is now, from `was`; another value is a change, None is nothing to work on.
    :param work: called with `was` and `subject`.
    :param interval_s: at most so often one looks.
    """

    def __init__(self, look: Callable[[Was], Any], work: Callable[..., Any], subject: str, interval_s: float) -> None:
        self._look = look
        self._work = Hook.of(work)
        self._subject = subject
        self._interval_s = interval_s
        self._seen: Any = self  # nothing that there is can be equal to it
        self._due_s = 0.0
        self._threads = threading.Lock()
        self._tasks = asyncio.Lock()

    def in_thread(self, was: Was) -> None:
        """For a handler that is a plain function."""
        if monotonic() < self._due_s:
            return
        with self._threads:
            if monotonic() < self._due_s:
                return
            found = self._look(was)
            if found is not None and found != self._seen:
                work = self._work.function(was, self._subject)
                if self._work.is_async:
                    house.run(work)
            self._settle(found)

    async def in_loop(self, was: Was) -> None:
        """For a coroutine function."""
        if monotonic() < self._due_s:
            return
        async with self._tasks:
            if monotonic() < self._due_s:
                return
            found = self._look(was)
            if found is not None and found != self._seen:
                work = self._work.function(was, self._subject)
                if self._work.is_async:
                    await work
            self._settle(found)

    def _settle(self, found: Any) -> None:
        self._seen = found
        self._due_s = monotonic() + self._interval_s


class ConditionFacet:
    """The decorators of `Saddle` for handlers that depend on something that changes."""

    home: str

    def if_updated(self, key: str, work: Callable[..., Any], interval: float = 1) -> Callable[[F], F]:
        """Call ``work(was, key)`` before the handler when ``was.setlu(key)`` was called in any worker since the last time,
        and before the first request.

        :param interval: seconds; the table is looked at this often at most.
        """
        return _before(lambda was: was.getlu(key) if host.times() else _NEVER, work, key, interval)

    def if_file_modified(
        self, path: str | os.PathLike[str], work: Callable[..., Any], interval: float = 1
    ) -> Callable[[F], F]:
        """Call ``work(was, path)`` before the handler when a file has changed since the last time, and before the first
        request. A file that is not there is not worked on.

        :param path: relative ones begin in the app's folder.
        :param interval: seconds; the file is looked at this often at most.
        """
        file = os.path.join(self.home, os.fspath(path))
        return _before(lambda was: _state(file), work, file, interval)


def _state(path: str) -> tuple[int, int, int] | None:
    """What is different once a file has changed; None when it is not there."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _before(look: Callable[[Was], Any], work: Callable[..., Any], subject: str, interval: float) -> Callable[[F], F]:
    if not callable(work):
        raise TypeError(f"{work!r} cannot be called when {subject!r} has changed")

    def decorate(function: F) -> F:
        condition = Condition(look, work, subject, interval)
        return around(function, before=[condition.in_loop if is_async(function) else condition.in_thread])

    return decorate
