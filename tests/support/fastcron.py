"""The scheduler under a real master, with a clock whose minutes are seconds.

The file ``jobs.json`` in the working directory holds the jobs: fields of `config.sections.helping.Job`, where
``{"function": NAME}`` stands for a function of the start script. The file ``clock`` holds the monotonic time at which
the clock stood at `BEGIN` (that is when the first scheduler started), and the seconds by which it has been set since.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from skitai.config.sections.helping import Cron, Job
from skitai.helpers.cron.runner import Clock, Runner
from skitai.ipc.link import Child

BEGIN = datetime(2026, 11, 22, 10, 0, 30, tzinfo=UTC)
FACTOR = 60


class FastClock(Clock):
    def now(self) -> datetime:
        began_s, set_s = map(float, Path("clock").read_text().split())
        return BEGIN + timedelta(seconds=(time.monotonic() - began_s) * FACTOR + set_s)

    def wait_s(self, moment: datetime) -> float:
        return super().wait_s(moment) / FACTOR


def set_clock(folder: Path, seconds: float) -> None:
    """Let it be so many seconds later (or earlier) than by the clock's own course."""
    clock, beside = folder / "clock", folder / "clock.new"
    began_s = clock.read_text().split()[0] if clock.exists() else time.monotonic()
    beside.write_text(f"{began_s} {seconds}")
    beside.rename(clock)


def serve(child: Child) -> int:
    usual = {"schedule": "* * * * *", "time_zone": "UTC", "name": "job"}
    jobs = tuple(Job(**usual | _job(each)) for each in json.loads(Path("jobs.json").read_text()))
    child.config = replace(child.config, cron=Cron(jobs=jobs, output_bytes=10_000))
    if not os.path.exists("clock"):
        set_clock(Path(), 0)
    return Runner(child, FastClock()).run()


def _job(given: dict[str, Any]) -> dict[str, Any]:
    command = given["command"]
    if isinstance(command, dict):
        command = vars(sys.modules["__main__"])[command["function"]]
    return given | {"command": command}
