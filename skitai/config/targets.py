"""What is mounted: from what a call said to a `Folder`, an `AppFile`, an `AppObject` or an `Upstream`."""

from __future__ import annotations

import enum
import os
from collections.abc import Callable

from skitai.config.mounted import AppFile, AppObject, Folder, Target, Upstream

APP_KIND = "skitai_kind"
"""Attribute by which an app of Skitai's own says which driver serves it. Others are recognised by how they are called."""


class Seen(enum.Enum):
    """What stands at a path, as far as this process may see."""

    FOLDER = "a folder"
    FILE = "a file"
    UNREADABLE = "not readable"
    NOTHING = "missing"


Look = Callable[[str], Seen]
"""Looks at a path; given by the caller, as this room does no I/O."""


Said = str | AppFile | AppObject | Upstream
"""A target as a call says it: a path, or what it is already."""


def resolve(target: Said, look: Look) -> Target:
    """Find out what a target is.

    :param target: an absolute path of a folder or of a Python file with or without ``.py``, or already an app or an alias. A
        closing slash says that a folder is meant.
    :raises ValueError: when it is missing, unreadable, no Python file, or could be two things.
    """
    if isinstance(target, AppObject | Upstream):
        return target
    if isinstance(target, AppFile):
        _must_be_file(target.path, look)
        return target
    path = os.path.normpath(target)
    seen, beside = look(path), look(path + ".py")
    if seen is Seen.FOLDER and beside is not Seen.NOTHING and not target.endswith("/"):
        raise ValueError(f"{path} is a folder and {path}.py a file: write '{path}/' or '{path}.py'")
    if seen is Seen.FOLDER:
        return Folder(path)
    if seen is Seen.NOTHING and not path.endswith(".py"):
        if beside is Seen.NOTHING:
            raise ValueError(f"there is no folder {path} and no file {path}.py")
        path += ".py"
    _must_be_file(path, look)
    if not path.endswith(".py"):
        raise ValueError(f"{path} is neither a folder nor a Python file")
    return AppFile(path, package_of(path, look))


def package_of(path: str, look: Look) -> str:
    """The dotted name of the package that a Python file belongs to; empty when there is no ``__init__.py`` beside it."""
    names: list[str] = []
    folder = os.path.dirname(path)
    while os.path.basename(folder).isidentifier() and look(os.path.join(folder, "__init__.py")) is Seen.FILE:
        names.append(os.path.basename(folder))
        folder = os.path.dirname(folder)
    return ".".join(reversed(names))


def _must_be_file(path: str, look: Look) -> None:
    match look(path):
        case Seen.NOTHING:
            raise ValueError(f"there is no file {path}")
        case Seen.UNREADABLE:
            raise ValueError(f"{path} is not readable")
        case Seen.FOLDER:
            raise ValueError(f"{path} is a folder, not a file")
