"""The draft: what the calls of a start script collect before `run` closes it, each with the place of its call."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from skitai.config.aliases import Means
from skitai.config.pref import Preference
from skitai.config.targets import Said


@dataclass(frozen=True, slots=True)
class Given:
    """A value and where it came from, for instance ``"app.py:12"``."""

    value: Any
    source: str


@dataclass(frozen=True, slots=True)
class MountCall:
    """One call of `mount`, its target not yet looked at.

    :param target: an absolute path (of a folder, or of a Python file with or without ``.py``), an app, or an alias.
    :param pref: the caller's own object, so that what it sets after the call counts too.
    """

    point: str
    target: Said
    app_name: str
    host: str
    pref: Preference
    path: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True)
class CronCall:
    """One call of `cron`, not yet checked.

    :param options: of this job alone, by name.
    """

    schedule: str
    command: str | Callable[[], object]
    options: dict[str, Any]
    source: str


@dataclass(frozen=True, slots=True)
class AliasCall:
    """One call of `alias`, not yet checked; the arguments as `aliases.alias` takes them."""

    name: str
    kind: str
    servers: tuple[str, ...]
    role: str
    sources: str
    means: Means
    source: str


class Draft:
    """Everything that a start script has said so far.

    :param script: absolute path of the start script; relative paths start at its folder.
    :ivar options: by name, as given: neither names nor values are checked yet.
    :ivar closed: after `run`; a script that a worker imports once more changes nothing.
    """

    def __init__(self, script: str) -> None:
        self.script = script
        self.options: dict[str, Given] = {}
        self.mounts: list[MountCall] = []
        self.aliases: list[AliasCall] = []
        self.jobs: list[CronCall] = []
        self.max_ages: list[Given] = []
        self.log_off: list[Given] = []
        self.last_updates: list[Given] = []
        self.closed = False

    @property
    def folder(self) -> str:
        """The folder of the start script; the server's working directory."""
        return os.path.dirname(self.script)

    @property
    def title(self) -> str:
        """``skitai(FOLDER/SCRIPT)``, the script's name up to its first dot; processes append their role."""
        name = os.path.basename(self.script)
        return f"skitai({os.path.basename(self.folder)}/{name.split('.', 1)[0] or name})"

    def absolute(self, *parts: str) -> str:
        """A normal, absolute path; relative parts start at the script's folder."""
        return os.path.normpath(os.path.join(self.folder, *parts))

    def set(self, name: str, value: Any, source: str) -> None:
        """Give an option a value. A later call wins."""
        self.options[name] = Given(value, source)


_drafts: list[Draft] = []


def own() -> Draft:
    """The draft of this process, made when it is first needed: by then `sys.argv` is the start script's."""
    if not _drafts:
        _drafts.append(Draft(os.path.abspath(sys.argv[0] if sys.argv else "")))
    return _drafts[0]


def begun() -> Draft | None:
    """The draft of this process, if anything was said yet."""
    return _drafts[0] if _drafts else None
