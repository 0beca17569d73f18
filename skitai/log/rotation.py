"""Rotation of log files by renaming: ``app.log`` becomes ``app-20261122.log``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path

from skitai.log.localtime import local

PERIODS = {"server": "%Y%m", "app": "%Y%m%d", "request": "%Y%m%d", "smtpda": "%G%V", "cron": "%G%V"}
"""What has changed when a log's period is over: the month, the week, or the day."""

FREQUENCIES = {"daily": "%Y%m%d", "weekly": "%G%V", "monthly": "%Y%m"}
"""The same for logs of apps, which say so by an empty file ``.NAME.FREQUENCY`` (`mark`)."""

_MARK = re.compile(rf"\.(.+)\.({'|'.join(FREQUENCIES)})")


def mark(folder: str, name: str, frequency: str) -> None:
    """Have an app's log rotated.

    :param frequency: one of `FREQUENCIES`; another that was said before does not count any more.
    :raises OSError: the folder is not ours to write to.
    """
    for each in FREQUENCIES:
        path = Path(folder, f".{name}.{each}")
        if each == frequency:
            path.touch()
        else:
            path.unlink(missing_ok=True)


class Rotation:
    """The logs of one folder and the day up to which each is filled.

    Only one process may rotate a folder: the master.

    :param keep: rotated files kept of each log.
    :param names: of the logs that are rotated here.
    """

    def __init__(self, folder: str, keep: int, names: Iterable[str] = tuple(PERIODS)) -> None:
        self._folder = Path(folder)
        self._keep = keep
        self._periods = {name: PERIODS[name] for name in names}
        self._filled: dict[str, date] = {}

    def rotate(self, now: datetime) -> list[str]:
        """Rename each log whose period is over, named by its last day, and delete the oldest beyond those kept.

        :param now: local time.
        :returns: names of the logs renamed; every process that writes them has to open them again.
        :raises OSError: a file cannot be renamed or deleted.
        """
        rotated = []
        for name, period in (self._marked() | self._periods).items():
            file = self._folder / f"{name}.log"
            filled = self._filled.get(name) or self._last_day(file, now)
            self._filled[name] = now.date()
            if filled.strftime(period) < now.strftime(period) and _size(file):
                file.rename(self._free_name(name, filled, now))
                self._prune(name)
                rotated.append(name)
        return rotated

    def _marked(self) -> dict[str, str]:
        """The periods of the apps' logs."""
        try:
            names = os.listdir(self._folder)
        except FileNotFoundError:
            return {}
        found = filter(None, map(_MARK.fullmatch, names))
        return {each[1]: FREQUENCIES[each[2]] for each in found}

    @staticmethod
    def _last_day(file: Path, now: datetime) -> date:
        try:
            return local(file.stat().st_mtime).date()
        except FileNotFoundError:
            return now.date()

    def _free_name(self, name: str, day: date, now: datetime) -> Path:
        stem = f"{name}-{day:%Y%m%d}"
        free = self._folder / f"{stem}.log"
        attempt = 1
        while free.exists():
            free = self._folder / f"{stem}-{now:%H%M%S}{f'-{attempt}' if attempt > 1 else ''}.log"
            attempt += 1
        return free

    def _prune(self, name: str) -> None:
        pattern = re.compile(rf"{name}-\d{{8}}(-\d{{6}}(-\d+)?)?\.log")
        old = [entry for entry in os.scandir(self._folder) if pattern.fullmatch(entry.name)]
        old.sort(key=lambda entry: entry.stat().st_mtime_ns)
        for entry in old[: max(0, len(old) - self._keep)]:
            os.unlink(entry.path)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
