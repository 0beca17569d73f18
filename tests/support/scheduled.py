"""A server whose only child is a scheduler with a fast clock (`tests.support.fastcron`), and what its log says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.dialogue import Served, eventually
from tests.support.fastcron import set_clock


class Scheduled(Served):
    """A server whose only child is a scheduler."""

    def __init__(self, folder: Path, *jobs: dict[str, Any] | str, **options: Any) -> None:
        fixed = {
            "engine": "tests.support.fastcron:serve",
            "workers": 1,
            "helper_grace_s": 1,
            "logpath": str(folder / "logs"),
        }
        super().__init__(folder, **(fixed | options))
        self.jobs(*jobs)

    def jobs(self, *jobs: dict[str, Any] | str) -> None:
        given = [{"command": each} if isinstance(each, str) else each for each in jobs]
        (self.folder / "jobs.json").write_text(json.dumps(given))

    def set_clock(self, seconds: float) -> None:
        set_clock(self.folder, seconds)

    @property
    def state(self) -> Path:
        return self.var / "cron"

    @property
    def log(self) -> list[str]:
        """The lines of cron.log, without their dates."""
        file = self.folder / "logs" / "cron.log"
        return [line.split(" ", 2)[2] for line in file.read_text().splitlines()] if file.exists() else []

    def logs(self, pattern: str, times: int = 1, within_s: float = 10) -> list[str]:
        """Wait until so many lines of cron.log match; these lines."""

        def found() -> list[str]:
            return [line for line in self.log if re.search(pattern, line)]

        try:
            eventually(lambda: len(found()) >= times, f"{pattern!r} in cron.log", within_s)
        except AssertionError as error:
            raise AssertionError("\n".join([str(error), *self.log, self.said])) from None
        return found()

    def due(self, pattern: str = "") -> list[str]:
        """The minutes whose runs began."""
        return [
            match[1] for line in self.log if (match := re.search(rf"{pattern}.*: job started, due .* (\d\d:\d\d)$", line))
        ]

    @property
    def scheduler(self) -> int:
        """The pid of the one that is at work."""
        workers = self.workers()
        return workers[min(workers)]


@pytest.fixture
def scheduled(tmp_path: Path) -> Iterator[Callable[..., Scheduled]]:
    made: list[Scheduled] = []

    def make(*jobs: dict[str, Any] | str, **options: Any) -> Scheduled:
        made.append(Scheduled(tmp_path, *jobs, **options))
        made[-1].start()
        return made[-1]

    yield make
    for each in made:
        each.stop()


def processes(marker: str) -> list[psutil.Process]:
    """Those whose command line holds a word that no other test uses."""
    found = []
    for each in psutil.process_iter():
        try:
            if marker in each.cmdline() and each.status() != psutil.STATUS_ZOMBIE:
                found.append(each)
        except psutil.NoSuchProcess:
            continue
    return found


def in_a_row(minutes: list[str]) -> list[str]:
    """As many minutes from the first of these on."""
    first = int(minutes[0][-2:])
    return [f"10:{minute:02}" for minute in range(first, first + len(minutes))]
