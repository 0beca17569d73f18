"""The runs under way: their processes, their output, and how they end."""

from __future__ import annotations

import logging
import math
import os
import selectors
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from skitai.helpers.cron.fork import launch
from skitai.helpers.cron.guard import Guard
from skitai.helpers.cron.jobs import Task
from skitai.helpers.cron.lock import Lock
from skitai.helpers.cron.output import Output

CHUNK_BYTES = 1 << 16
GONE_S = 1.0
"""After SIGKILL. What is left then are dead processes that their parent does not bury."""

LAST_CHUNKS = 64
"""Read at most after the end of a run: somebody it left behind may go on printing."""


@dataclass(slots=True, eq=False)
class Run:
    """One run of a job.

    :ivar time: when it was due.
    :ivar pid: of its first process, and the number of its group.
    :ivar fd: its output; -1 at the end of that.
    :ivar lock: kept by all runs but those that may be parallel.
    :ivar due_s: when it has to be told (more) firmly to end.
    :ivar told: it was sent SIGTERM.
    :ivar killed: and SIGKILL.
    :ivar why: it was told to end.
    :ivar code: exit code of its first process, or minus the signal's number; None while that runs.
    """

    task: Task
    time: datetime
    pid: int
    fd: int
    output: Output
    lock: Lock | None
    started_s: float
    due_s: float
    told: bool = False
    killed: bool = False
    why: str = ""
    code: int | None = None

    def __str__(self) -> str:
        return f"{self.task.name} [{self.pid}]"


@dataclass(slots=True)
class Terms:
    """What runs are subject to.

    :ivar grace_s: between SIGTERM and SIGKILL.
    :ivar output_bytes: of a run's output in the log.
    """

    script: str
    grace_s: float
    output_bytes: int


@dataclass(slots=True)
class Runs:
    """All runs under way.

    :param private: descriptors of the scheduler, beyond those of runs.
    """

    log: logging.Logger
    selector: selectors.BaseSelector
    guard: Guard
    terms: Terms
    private: Callable[[], Iterator[int]]
    _all: dict[int, Run] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Run]:
        return iter(self._all.values())

    def __len__(self) -> int:
        return len(self._all)

    def of(self, task: Task) -> list[Run]:
        return [run for run in self if run.task is task]

    def start(self, task: Task, time: datetime, lock: Lock | None, now_s: float) -> Run:
        """:raises OSError: no process can be started now."""
        held = [*self.private(), *(run.fd for run in self if run.fd >= 0), *(run.lock.fd for run in self if run.lock)]
        pid, fd = launch(
            task.job.command, task.name, self.terms.script, self.guard.fd, [*held, *([lock.fd] if lock else [])]
        )
        due_s = now_s + task.job.timeout_s if task.job.timeout_s else math.inf
        run = Run(task, time, pid, fd, Output(self.terms.output_bytes), lock, now_s, due_s)
        self._all[pid] = run
        self.selector.register(fd, selectors.EVENT_READ, run)
        return run

    def hear(self, run: Run) -> bool:
        """Log what a run has printed; False when there is no more for now."""
        try:
            data = os.read(run.fd, CHUNK_BYTES)
        except BlockingIOError:
            return False
        for line in run.output.feed(data):
            self.log.info("%s: %s", run, line)
        if not data:
            self._close(run)
        return bool(data)

    def end(self, run: Run, why: str, now_s: float) -> None:
        """Tell a run to end; it is killed when the grace time is over."""
        if not run.told:
            run.told, run.due_s = True, now_s + self.terms.grace_s
            run.why = run.why or why
            _signal(run, signal.SIGTERM)

    def look(self, now_s: float) -> list[Run]:
        """Bury who has ended and press who should have; the runs of which nothing is left."""
        ended = []
        for run in list(self):
            if run.code is None:
                self._reap(run, now_s)
            if run.code is not None and (not _is_there(run) or (run.killed and now_s >= run.due_s)):
                self._bury(run)
                ended.append(run)
            elif now_s >= run.due_s:
                self._press(run, now_s)
        return ended

    def next_s(self) -> float:
        """When somebody has to be pressed; infinite when nobody has."""
        return min((run.due_s for run in self), default=math.inf)

    def leftovers(self) -> bool:
        """Whether there are processes that nobody will tell us the end of."""
        return any(run.code is not None for run in self)

    def _reap(self, run: Run, now_s: float) -> None:
        pid, status = os.waitpid(run.pid, os.WNOHANG)
        if pid == 0:
            return
        run.code = os.waitstatus_to_exitcode(status)
        if _is_there(run) and not run.told:
            self.log.warning("%s: has left processes behind; they are ended", run)
            self.end(run, "", now_s)

    def _press(self, run: Run, now_s: float) -> None:
        if not run.told:
            self.end(run, f"was ended after {run.task.job.timeout_s:g} s", now_s)
            self.log.error("%s: runs for %g s: SIGTERM", run, now_s - run.started_s)
        elif not run.killed:
            self.log.error("%s: does not end: SIGKILL", run)
            run.killed, run.due_s = True, now_s + GONE_S
            _signal(run, signal.SIGKILL)
        else:
            run.due_s = math.inf  # the kernel holds it, and nothing firmer is left

    def _bury(self, run: Run) -> None:
        del self._all[run.pid]
        self.guard.remove(run.pid)
        for _ in range(LAST_CHUNKS):
            if run.fd < 0 or not self.hear(run):
                break
        self._close(run)
        for line in run.output.end():
            self.log.info("%s: %s", run, line)
        if run.output.dropped_bytes:
            self.log.warning("%s: %d bytes of output more are not in the log", run, run.output.dropped_bytes)
        if run.lock:
            run.lock.give_up()

    def _close(self, run: Run) -> None:
        if run.fd >= 0:
            self.selector.unregister(run.fd)
            os.close(run.fd)
            run.fd = -1


def _signal(run: Run, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # all of it has become somebody else: only root can do more
        os.killpg(run.pid, number)


def _is_there(run: Run) -> bool:
    """Whether the group has a process left. No other group can have its number while it has."""
    try:
        os.killpg(run.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
