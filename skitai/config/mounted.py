"""What is mounted where, as checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from skitai.config.pref import Preference


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount, as checked.

    :param point: path prefix, ends with "/".
    :param target: what is mounted: one of `Folder`, `AppFile`, `AppObject`, `Upstream`, `View`.
    :param app_name: variable of the app in its module.
    :param host: names of the virtual host, separated by spaces; a leading dot matches every subdomain and the bare
        domain; "default" serves every host that has no site of its own.
    :param path: folders to put in front of `sys.path`.
    :param source: the call that asked for it, "service.py:12".
    """

    point: str
    target: Target
    app_name: str = "app"
    host: str = "default"
    pref: Preference = field(default_factory=Preference)
    path: tuple[str, ...] = ()
    source: str = ""


@dataclass(frozen=True, slots=True)
class Folder:
    """A static folder (absolute path)."""

    path: str


@dataclass(frozen=True, slots=True)
class AppFile:
    """A Python file (absolute path) that holds an app; `package` is the dotted package it belongs to, if any."""

    path: str
    package: str = ""


@dataclass(frozen=True, slots=True)
class AppObject:
    """An app that the start script holds itself.

    :param script: absolute path of the script; workers import it anew.
    :param variable: name under which the script holds the app at module level; empty when it does not, then the object is
        inherited and cannot be reloaded.
    """

    script: str
    variable: str
    app: Any


@dataclass(frozen=True, slots=True)
class Upstream:
    """The servers behind an alias, to which requests are passed on.

    :param alias: its name, without the ``@``.
    """

    alias: str


@dataclass(frozen=True, slots=True)
class View(Upstream):
    """A database behind an alias, whose rows can be read as JSON."""


Target = Folder | AppFile | AppObject | Upstream
