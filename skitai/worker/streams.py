"""Threads for plain functions that work on streams: they may wait for their clients for hours, so they have a pool of their
own, and requests go on beside them."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

IDLE_S = 30.0
"""An unused thread is kept so long."""

log = logging.getLogger("skitai.server")

Job = Callable[[], None]


class StreamPool:
    """Runs jobs in threads, which are made as they are wanted. `submit` may be called from any thread.

    A job must not raise; if it does, the error is logged.

    :param number: of threads at most; more jobs than that wait.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.threads = 0
        self._idle = 0
        self._jobs: deque[Job] = deque()
        self._ready = threading.Condition()

    def submit(self, job: Job) -> None:
        """Have a job run in a thread."""
        with self._ready:
            self._jobs.append(job)
            if self._idle >= len(self._jobs):
                self._ready.notify()
                return
            if self.threads >= self.number:
                return
            self.threads += 1
            name = f"stream-{self.threads}"
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                job()
            except BaseException:  # noqa: BLE001 - nothing that a job does may cost a thread
                log.exception("a job of the threads of streams failed")
            del job

    def _next(self) -> Job | None:
        """The next job; None when there was none for a while."""
        with self._ready:
            self._idle += 1
            found = self._ready.wait_for(lambda: self._jobs, IDLE_S)
            self._idle -= 1
            if found:
                return self._jobs.popleft()
            self.threads -= 1
            return None
