"""The configuration file of helpers that run alone, ``~/.skitai.conf``::

    # a comment; so is a line that begins with a semicolon
    [smtpda]
    smtp-server = mail.example.com:465
    max-retry = 10

    [cron]
    time-zone = Europe/Berlin

    [:crontab]
    0 4 * * *  bin/clean-up

Below ``[:crontab]`` each line is a job. Elsewhere it is ``key = value``, the value as it stands: whatever it holds, quotes
and number signs too, belongs to it. A value left empty is one that is not given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from skitai.config.draft import CronCall
from skitai.config.jobs import job_of_line
from skitai.config.sources import OPTIONS, PLACES, Entry, near
from skitai.config.tree import HELPERS, Option

CRONTAB = ":crontab"
GENERAL = ("verbose", "logpath", "varpath", "log_keep")
"""Options that helpers which run alone share with servers."""

ALSO = {"smtp_server": "server", "log_path": "logpath", "var_path": "varpath"}
"""Older spellings of keys and flags."""


@dataclass(frozen=True, slots=True)
class Written:
    """A line of the file.

    :param key: with underscores; empty for a line of the crontab.
    """

    section: str
    key: str
    value: str
    place: str


@dataclass(slots=True)
class ConfFile:
    """A file as read: its lines, and those that nobody can read.

    :ivar faults: with their places, in the order of the file.
    """

    name: str
    lines: list[Written] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def holds_secret(self) -> bool:
        secrets = {option.field for option in OPTIONS.values() if option.secret}
        return any(line.key in secrets and line.value for line in self.lines)


def parse(name: str, text: str) -> ConfFile:
    """Read a file's text.

    :param name: as faults show it.
    """
    file = ConfFile(name)
    section = ""
    known = (*sorted(HELPERS), CRONTAB)
    for number, line in enumerate(text.splitlines(), 1):
        place, stripped = f"{name}:{number}", line.strip()
        if not stripped or stripped[0] in "#;":
            continue
        if stripped[0] == "[" and (section != CRONTAB or stripped.strip("[] ") in known):
            section = stripped.removeprefix("[").removesuffix("]").strip()
            if section not in known or not stripped.endswith("]"):
                file.faults.append(f"{place}: there is no section {stripped}{near(section, known)}")
        elif section == CRONTAB:
            file.lines.append(Written(section, "", stripped, place))
        elif not section:
            file.faults.append(f"{place}: {stripped!r} stands in no section")
        elif "=" not in stripped:
            file.faults.append(f"{place}: {stripped!r} is neither [section] nor key = value")
        elif section in known:
            key, _, value = stripped.partition("=")
            file.lines.append(Written(section, key.strip().replace("-", "_").lower(), value.strip(), place))
    return file


def option_of(helper: str, key: str) -> Option | None:
    """The option that a key of the file, or a flag without its dashes, stands for.

    :param key: with underscores.
    """
    key = ALSO.get(key, key)
    if key in GENERAL:
        return OPTIONS[key]
    return OPTIONS.get(f"{helper}_{key}") if key != "enabled" else None


def own_options(helper: str) -> Iterator[tuple[str, Option]]:
    """Each option of a helper that runs alone, by its key."""
    for name, option in OPTIONS.items():
        if name in GENERAL or (option.section == helper and option.field != "enabled"):
            yield option.field, option


def places_of(file: ConfFile, helper: str) -> ConfFile:
    """As much of a file as says where a helper keeps its own files."""
    lines = [line for line in file.lines if line.section == helper and ALSO.get(line.key, line.key) in PLACES]
    return ConfFile(file.name, lines)


def entries(file: ConfFile, helper: str, faults: list[str]) -> Iterator[Entry]:
    """The options that a file gives to a helper."""
    for line in file.lines:
        if line.section != helper or not line.key:
            continue
        option = option_of(helper, line.key)
        if option is None:
            keys = [key for key, _ in own_options(helper)] + [old for old in ALSO if option_of(helper, old)]
            known = [key.replace("_", "-") for key in keys]
            spelled = line.key.replace("_", "-")
            faults.append(f"{line.place}: there is no option {spelled} in [{helper}]{near(spelled, known)}")
        elif line.value:
            yield Entry(option.name, line.value, line.place, f"{line.place}: {line.key.replace('_', '-')}")


def entries_of_flags(helper: str, flags: Mapping[str, Any]) -> Iterator[Entry]:
    """The options that a command line gives to a helper, by option name."""
    for name, value in flags.items():
        label = "--" + OPTIONS[name].field.replace("_", "-")
        yield Entry(name, value, label, label)


def jobs(file: ConfFile, faults: list[str]) -> list[CronCall]:
    """The lines of the crontab."""
    calls: list[CronCall] = []
    for line in file.lines:
        if line.section == CRONTAB:
            try:
                calls.append(job_of_line(line.value, line.place))
            except ValueError as error:
                faults.append(f"{line.place}: {error}")
    return calls
