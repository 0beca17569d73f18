"""What the scheduler remembers between its lives: how far each job has been handled, and how its last run ended.

One JSON file, replaced as a whole: written beside, synced, renamed, the folder synced. Only who holds the scheduler's lock
writes it.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Container, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from skitai.ipc.spool import sync_folder

FILE = "history.json"
UNREADABLE = "history.unreadable"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Past:
    """What is remembered of one job.

    :param handled: the last time that was run or said to be missed, or when the job was first seen.
    :param ran: the time of the last run; None before the first.
    :param code: its exit code, or minus the number of a signal; None while it goes on, or when nobody saw its end.
    :param duration_s: how long it took.
    :param claimed: the time of a run that is to begin, or goes on; None when nobody need be told what became of it.
    """

    handled: datetime
    ran: datetime | None = None
    code: int | None = None
    duration_s: float = 0.0
    claimed: datetime | None = None


class HistoryError(Exception):
    """The file cannot be understood."""


class History:
    """The pasts of all jobs by key, and whether the file knows them, too.

    :param folder: exists.
    """

    def __init__(self, folder: str, log: logging.Logger) -> None:
        self.jobs: dict[str, Past] = {}
        self._folder = folder
        self._log = log
        self._changed = False
        self._failing = False

    @property
    def handled(self) -> dict[str, datetime]:
        return {key: past.handled for key, past in self.jobs.items()}

    def load(self, known: Container[str]) -> None:
        """Read the file; what cannot be read begins anew, and the log says why.

        :param known: keys of the jobs there are now; others are forgotten.
        """
        try:
            self.jobs = {key: past for key, past in read(self._folder).items() if key in known}
        except HistoryError as error:
            self._log.error("the history of jobs cannot be understood and begins anew: %s", error)
            try:
                self._log.error("the old one is now %s", set_aside(self._folder))
            except OSError as failure:
                self._log.error("nor can the file be renamed: %s", failure.strerror)
        except OSError as error:
            self._log.error("the history of jobs cannot be read and begins anew: %s", error.strerror)

    def note_handled(self, handled: Mapping[str, datetime]) -> None:
        for key, time in handled.items():
            past = self.jobs.get(key)
            if past is None or past.handled != time:
                self.jobs[key] = replace(past, handled=time) if past else Past(time)
                self._changed = True

    def claim(self, key: str, time: datetime) -> None:
        """Somebody is about to run a job."""
        self._replace(key, claimed=time)

    def settle(self, key: str, time: datetime | None = None) -> None:
        """The log has said what became of a run.

        :param time: of the run; None for whichever it is.
        """
        past = self.jobs.get(key)
        if past and past.claimed and time in (None, past.claimed):
            self._replace(key, claimed=None)

    def _replace(self, key: str, **values: Any) -> None:
        self.jobs[key] = replace(self.jobs[key], **values)
        self._changed = True

    def note_run(self, key: str, time: datetime, code: int | None = None, duration_s: float = 0.0) -> None:
        """A run has begun, or ended with a code; one that was overtaken by a later one does not count."""
        past = self.jobs.get(key)
        if past and (past.ran is None or past.ran <= time):
            self._replace(key, ran=time, code=code, duration_s=round(duration_s, 3))

    def save(self) -> bool:
        """Write the file if anything has changed; False when it cannot be written, which the log hears of once."""
        if not self._changed:
            return True
        try:
            write(self._folder, self.jobs)
        except OSError as error:
            if not self._failing:
                text = "the history of jobs cannot be written: %s; jobs run, but after a restart nobody knows of these runs"
                self._log.error(text, error.strerror)
            self._failing = True
            return False
        if self._failing:
            self._log.info("the history of jobs is written again")
        self._changed = self._failing = False
        return True


def read(folder: str) -> dict[str, Past]:
    """The jobs' pasts by key; empty when there is no file.

    :raises HistoryError: it holds something else.
    :raises OSError: it cannot be read.
    """
    try:
        fd = os.open(os.path.join(folder, FILE), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return {}
    with open(fd, "rb") as file:
        data = file.read()
    try:
        written = json.loads(data)
        if written["version"] != VERSION:
            raise HistoryError(f"it has version {written['version']!r}, not {VERSION}")
        return {str(key): _past(each) for key, each in written["jobs"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HistoryError(f"{type(error).__name__}: {error}") from error


def write(folder: str, jobs: Mapping[str, Past]) -> None:
    """Replace the file. When this returns, it is on the disk.

    :raises OSError: a full disk, for instance; the old file stays.
    """
    written = {"version": VERSION, "jobs": {key: _written(past) for key, past in jobs.items()}}
    path = os.path.join(folder, FILE)
    beside = path + ".new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with open(os.open(beside, flags, 0o600), "w", encoding="utf-8", errors="surrogatepass") as file:
            json.dump(written, file, ensure_ascii=False, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.rename(beside, path)
    except OSError:
        with suppress(OSError):
            os.unlink(beside)
        raise
    sync_folder(folder)


def set_aside(folder: str) -> str:
    """Give a file that cannot be understood another name, for people to look at; returns it.

    :raises OSError: it cannot be renamed.
    """
    aside = os.path.join(folder, UNREADABLE)
    os.rename(os.path.join(folder, FILE), aside)
    return aside


def _past(written: Mapping[str, Any]) -> Past:
    code = written["code"]
    handled = _time(written["handled"])
    if handled is None:
        raise ValueError("nothing was handled")
    return Past(
        handled,
        _time(written["ran"]),
        None if code is None else int(code),
        float(written["duration_s"]),
        _time(written["claimed"]),
    )


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return time.astimezone(UTC)


def _written(past: Past) -> dict[str, Any]:
    written = asdict(past)
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in written.items()}
