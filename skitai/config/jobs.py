"""The jobs of the scheduler, checked: what a script said by `cron`, or the lines of a crontab."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace

from skitai.config.draft import CronCall
from skitai.config.sections.helping import Cron, Job
from skitai.config.sources import OPTIONS, near
from skitai.config.tree import option_name
from skitai.config.values import convert

OWN = ("overlap", "timeout_s", "jitter_s", "missed", "time_zone")
"""Options of the section that a job may have its own value for."""

CheckSchedule = Callable[[str, str], object]
"""Reads a schedule in a time zone; raises ValueError when it cannot."""


def check_jobs(calls: list[CronCall], defaults: Cron, check: CheckSchedule, faults: list[str]) -> tuple[Job, ...]:
    """Make the jobs of the tree, in the order of the calls.

    :param faults: gets a line for each thing that is wrong.
    """
    jobs: list[Job] = []
    for call in calls:
        job = Job(
            " ".join(call.schedule.split()),
            call.command,
            overlap=defaults.overlap,
            timeout_s=defaults.timeout_s,
            jitter_s=defaults.jitter_s,
            missed=defaults.missed,
            time_zone=defaults.time_zone,
            source=call.source,
        )
        job = _with_options(job, call, faults)
        try:
            check(job.schedule, job.time_zone)
        except ValueError as error:
            faults.append(f"{call.source}: {error}")
        if isinstance(job.command, str) and (not job.command.strip() or "\0" in job.command):
            faults.append(f"{call.source}: the job {job.schedule} has no command")
        if callable(job.command) and (wanted := _arguments(job.command)):
            faults.append(f"{call.source}: the job {_name(job.command)}() wants arguments ({wanted}), and gets none")
        jobs.append(replace(job, name=job.name or _name(job.command)))
    return tuple(jobs)


def job_of_line(line: str, source: str) -> CronCall:
    """A line of a crontab: five fields, or a word such as ``@hourly``, then the command to the line's end.

    :raises ValueError: it has no command.
    """
    count = 1 if line.lstrip().startswith("@") else 5
    parts = line.split(None, count)
    if len(parts) <= count:
        raise ValueError(
            f"{line.strip()!r} is no job: it should be five fields of time, or a word such as @daily, and a command"
        )
    return CronCall(" ".join(parts[:count]), parts[count].rstrip(), {}, source)


def _with_options(job: Job, call: CronCall, faults: list[str]) -> Job:
    for name, value in call.options.items():
        if name == "name" and isinstance(value, str) and value.isprintable():
            job = replace(job, name=value)
        elif name in OWN:
            try:
                job = replace(job, **{name: convert(OPTIONS[option_name("cron", name)], value)})
            except ValueError as error:
                faults.append(f"{call.source}: cron() {name}: {error}")
        elif name == "name":
            faults.append(f"{call.source}: cron() name: {value!r} is not a line of text")
        else:
            faults.append(f"{call.source}: cron() {name}: there is no such option{near(name, (*OWN, 'name'))}")
    return job


def _arguments(function: Callable[..., object]) -> str:
    """The names of the arguments that a function cannot be called without; "" where none is known."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return ""  # of C: it will tell when it is called
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return ", ".join(each.name for each in parameters if each.default is each.empty and each.kind not in optional)


def _name(command: str | Callable[[], object]) -> str:
    if isinstance(command, str):
        return command
    return str(getattr(command, "__qualname__", "") or type(command).__qualname__)
