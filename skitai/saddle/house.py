"""What the Saddle apps of one worker share: its loop, for coroutine functions that code outside of it calls."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

Work = Coroutine[Any, Any, Any]


class House:
    """Where coroutine functions of apps run.

    :ivar loop: the worker's; None in a process that is no worker.
    """

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """This is the worker's loop, and its thread."""
        self.loop, self._thread = loop, threading.get_ident()

    def close(self) -> None:
        self.loop = None

    def run(self, work: Work) -> asyncio.Task[Any] | None:
        """Run a coroutine for code that cannot await it, in the loop.

        :returns: None when it has ended; the task, in the loop's thread, which cannot wait.
        :raises BaseException: what it raises, if it has ended.
        """
        running = asyncio._get_running_loop()
        if running is not None:
            return self._task(running, work)
        if self.loop is None:
            asyncio.run(work)
            return None
        if threading.get_ident() == self._thread:
            return self._task(self.loop, work)
        asyncio.run_coroutine_threadsafe(work, self.loop).result()
        return None

    def _task(self, loop: asyncio.AbstractEventLoop, work: Work) -> asyncio.Task[Any]:
        task = loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


house = House()
