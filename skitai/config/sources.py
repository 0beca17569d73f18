"""The four sources of options: a file, the environment, the calls of the script, the flags; later ones win.

Each source becomes a series of `Entry`; nothing here knows types.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from skitai.config.draft import Draft
from skitai.config.tree import HELPERS, SECTIONS, Option, option_name, options

PREFIX = "SKITAI_"
OTHER_VARIABLES = frozenset({"SKITAI_ENV", "SKITAI_INHERIT"})
"""Names of the environment that are ours and no options: the kill switch, and what a master hands to its successor."""

PLACES = frozenset({"varpath", "logpath"})
"""Options that say where a server's own files are: all that matters to those who ask a running one."""

OPTIONS: dict[str, Option] = {each.name: each for each in options()}
OLD_NAMES: dict[str, str] = {old: each.name for each in OPTIONS.values() for old in each.also}


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A TOML file that was named, already read.

    :param name: as it is to be shown.
    """

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One value for one option, not yet checked.

    :param label: source and spelling, as faults begin: ``"SKITAI_PORT"``, ``"app.py:12: port"``.
    """

    name: str
    value: Any
    source: str
    label: str


def from_file(file: ConfigFile, faults: list[str]) -> Iterator[Entry]:
    """The options of a TOML file, each in the section that the tree gives it."""
    try:
        sections = tomllib.loads(file.text)
    except tomllib.TOMLDecodeError as error:
        faults.append(f"{file.name}: not TOML: {error}")
        return
    for section, table in sections.items():
        if section not in SECTIONS or not isinstance(table, dict):
            faults.append(f"{file.name}: there is no section [{section}]{near(section, SECTIONS)}")
            continue
        for key, value in table.items():
            label = f"{file.name}: [{section}] {key}"
            option = OPTIONS.get(option_name(section, key))
            if option is None:
                faults.append(f"{label}: there is no such option{near(key, keys(section))}")
            elif option.section != section:
                faults.append(f"{label}: belongs in section [{option.section}]")
            else:
                yield Entry(option.name, value, file.name, label)


def holds_secret(file: ConfigFile) -> bool:
    """Whether a TOML file gives a value to an option that nobody else should see."""
    try:
        sections = tomllib.loads(file.text)
    except tomllib.TOMLDecodeError:
        return False
    return any(
        isinstance(table := sections.get(option.section), dict) and table.get(option.field)
        for option in OPTIONS.values()
        if option.secret
    )


def from_environment(environ: Mapping[str, str], faults: list[str]) -> Iterator[Entry]:
    """The variables that begin with SKITAI_."""
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable in OTHER_VARIABLES:
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name in OPTIONS and variable == variable.upper():
            yield Entry(name, environ[variable], variable, variable)
        else:
            known = [environment_name(each) for each in OPTIONS] + sorted(OTHER_VARIABLES)
            faults.append(f"{variable}: there is no such option{near(variable, known)}")


def from_calls(draft: Draft, faults: list[str]) -> Iterator[Entry]:
    """What the script gave to `run` and to the functions that set one option."""
    for spelling, given in draft.options.items():
        label = f"{given.source}: {spelling}"
        name = OLD_NAMES.get(spelling, spelling)
        if name in OPTIONS:
            yield Entry(name, given.value, given.source, label)
        else:
            faults.append(f"{label}: there is no such option{near(spelling, OPTIONS)}")


def from_flags(flags: Mapping[str, Any]) -> Iterator[Entry]:
    """What the command line gave, by option name; its parser has refused unknown names already."""
    for name, value in flags.items():
        yield Entry(name, value, flag(name), flag(name))


def keys(section: str) -> list[str]:
    """What may be written below ``[section]``; for a section without a prefix of its own, the options of all those."""
    if section in HELPERS:
        return [each.field for each in OPTIONS.values() if each.section == section]
    return [name for name, each in OPTIONS.items() if each.section not in HELPERS]


def environment_name(name: str) -> str:
    return PREFIX + name.upper()


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def near(name: str, known: Iterable[str]) -> str:
    """``"; did you mean NAME?"``, or nothing when no known name resembles this one."""
    matches = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {matches[0]}?" if matches else ""
