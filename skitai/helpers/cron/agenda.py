"""Which jobs are to run now. Pure: the time and what was handled before come in, decisions come out.

- A time is handled once: it is run, or said to be missed. What was handled is kept on disk, so that no restart and no reload
  runs a time again or forgets one.
- While the scheduler works, a late look - the machine was busy, or the clock was set forward - runs each job that came due
  meanwhile, once, up to `CATCH_UP`. Beyond that, and at the start, such times are missed: what then happens is the job's
  option `missed`. At the start a time of the last minute is not missed yet.
- A clock that is set back is treated as the end of summer time is: a job of every hour goes on with the new time, any other
  waits until the clock has caught up. After more than `CATCH_UP` all jobs go on with the new time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from skitai.helpers.cron.jobs import Task
from skitai.helpers.cron.schedule import MINUTE

CATCH_UP = timedelta(hours=3)


@dataclass(frozen=True, slots=True)
class Due:
    """A time of a job.

    :param missed: it is too late to run it; only the log hears of it.
    :param late: how long ago it was.
    :param passed: earlier times went by unhandled.
    """

    task: Task
    time: datetime
    missed: bool
    late: timedelta
    passed: bool


class Agenda:
    """The jobs, and up to which time each has been handled.

    :param handled: by key, as an earlier `handled` gave it; a job that is not in it begins now.
    :param now: aware, as all times are.
    """

    def __init__(self, tasks: Iterable[Task], handled: Mapping[str, datetime], now: datetime) -> None:
        self.tasks = list(tasks)
        self.handled = {task.key: handled.get(task.key, now) for task in self.tasks}
        self._next: dict[str, datetime] = {}
        self._patience = MINUTE
        self._seen = now
        self._follow(now)

    def look(self, now: datetime) -> list[Due]:
        """What has come due since the last look, the earliest first. It counts as handled."""
        if now < self._seen:
            self._follow(now)
        self._seen = now
        due = [self._handle(task, now) for task in self.tasks if self._next[task.key] <= now]
        self._patience = CATCH_UP
        return sorted(due, key=lambda each: each.time)

    def next(self) -> datetime | None:
        """When something will be due; None when there are no jobs."""
        return min(self._next.values(), default=None)

    def _handle(self, task: Task, now: datetime) -> Due:
        since, first = self.handled[task.key], self._next[task.key]
        time = task.schedule.upto(now, since) or first
        self._set(task, time)
        late = now - time
        return Due(task, time, late > self._patience and task.job.missed == "none", late, passed=first < time)

    def _follow(self, now: datetime) -> None:
        """The clock may be behind what was handled."""
        for task in self.tasks:
            handled = self.handled[task.key]
            ahead = handled - now
            goes_on = ahead > CATCH_UP or (ahead > MINUTE and task.schedule.every_hour)
            self._set(task, now if goes_on else handled)

    def _set(self, task: Task, handled: datetime) -> None:
        self.handled[task.key] = handled
        self._next[task.key] = task.schedule.after(handled)
