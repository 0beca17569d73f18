"""The jobs of the configuration with their schedules, and when they run next."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from itertools import count
from zoneinfo import ZoneInfo

from skitai.config.sections.helping import Job
from skitai.errors import ConfigError
from skitai.helpers.cron.schedule import Schedule
from skitai.log import localtime

SHOWN = 80
"""Longest name of a job in the log."""


@dataclass(frozen=True, slots=True)
class Task:
    """A job that can be run.

    :param key: stands for the job in the history: what it is and when, so that a changed job is a new one.
    """

    job: Job
    schedule: Schedule
    key: str

    @property
    def name(self) -> str:
        """As the log calls it: one line, not too long."""
        text = " ".join(self.job.name.split())
        return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


def make_tasks(jobs: Iterable[Job]) -> list[Task]:
    """:raises ConfigError: naming every schedule that cannot be read."""
    tasks: list[Task] = []
    taken: set[str] = set()
    faults: list[str] = []
    for job in jobs:
        try:
            schedule = Schedule(job.schedule, find_zone(job.time_zone))
        except ValueError as error:
            faults.append(f"{job.source}: {error}")
            continue
        what = job.command if isinstance(job.command, str) else called(job.command)
        key = " ".join(filter(None, (job.schedule, job.time_zone, what)))
        unique = next(each for number in count(1) if (each := key if number == 1 else f"{key} ({number})") not in taken)
        taken.add(unique)
        tasks.append(Task(job, schedule, unique))
    if faults:
        raise ConfigError(faults)
    return tasks


def called(function: Callable[[], object]) -> str:
    """``module:function``."""
    name = getattr(function, "__qualname__", "") or type(function).__qualname__
    return f"{getattr(function, '__module__', '')}:{name}"


def find_zone(name: str) -> tzinfo:
    """A time zone by its IANA name; "" for the system's.

    :raises ValueError: there is none of that name, or the system's cannot be found out.
    """
    if not name:
        zone = localtime.zone(os.environ.get("TZ", ""))
        if zone is None:
            raise ValueError("the system's time zone cannot be read: name one with the option cron_time_zone")
        return zone
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"there is no time zone {name!r}: it should be a name such as Europe/Berlin") from error


def check_schedule(schedule: str, time_zone: str) -> None:
    """:raises ValueError: the schedule cannot be read, or there is no such time zone."""
    Schedule(schedule, find_zone(time_zone))


def upcoming(jobs: Iterable[Job], now: datetime, n: int) -> list[tuple[Job, list[datetime]]]:
    """The next runs of each job, for people.

    :param now: aware.
    :param n: runs of each job.
    :returns: the job that runs first comes first; times are local ones of the job's zone. Jitter comes on top.
    :raises ConfigError: naming every schedule that cannot be read.
    """
    listed = []
    for task in make_tasks(jobs):
        times, moment = [], now
        for _ in range(n):
            moment = task.schedule.after(moment)
            times.append(moment)
        listed.append((task, times))
    listed.sort(key=lambda each: each[1][:1])
    return [(task.job, [each.astimezone(task.schedule.zone) for each in times]) for task, times in listed]
