"""Noticing that the files of an app have changed."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable

from skitai.errors import LoadError
from skitai.loading.importer import reason
from skitai.loading.modules import FOREIGN

State = tuple[int, int, int]
"""Change time (ns), size and inode of a file."""

GRAIN_NS = 10_000_000
"""File times come from a coarser clock, which is behind by up to this."""


class Watcher:
    """Looks at files, and at folders for the Python files in them and below, and says what is different from last time.

    :param paths: absolute paths; they need not exist.
    :param since_ns: Unix time; at the first look, what was changed since then counts. By default, now.
    """

    def __init__(self, paths: Iterable[str], since_ns: int | None = None) -> None:
        self._paths = tuple(paths)
        self._since_ns = time.time_ns() - GRAIN_NS if since_ns is None else since_ns
        self._seen: dict[str, State] | None = None

    def changed(self) -> set[str]:
        """Paths of files that were changed, added or deleted since the last call."""
        now, old = self._look(), self._seen
        self._seen = now
        if old is None:
            return {path for path, state in now.items() if state[0] >= self._since_ns}
        if old == now:
            return set()
        return {path for path in old.keys() | now.keys() if old.get(path) != now.get(path)}

    def _look(self) -> dict[str, State]:
        seen: dict[str, State] = {}
        for path in self._paths:
            try:
                found = os.stat(path)
            except OSError:
                continue  # not there, or not to be seen, which is a state like any other
            if stat.S_ISDIR(found.st_mode):
                seen |= _python_files(path)
            else:
                seen[path] = (found.st_mtime_ns, found.st_size, found.st_ino)
        return seen


def _python_files(folder: str) -> dict[str, State]:
    found: dict[str, State] = {}
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return found  # it went in this moment
    for entry in entries:
        if entry.name.startswith(".") or entry.name in FOREIGN:
            continue
        if entry.is_dir(follow_symlinks=False):
            if not os.path.exists(os.path.join(entry.path, "pyvenv.cfg")):
                found |= _python_files(entry.path)
        elif entry.name.endswith(".py"):
            try:
                state = entry.stat()
            except OSError:
                continue
            found[entry.path] = (state.st_mtime_ns, state.st_size, state.st_ino)
    return found


def check_syntax(paths: Iterable[str]) -> None:
    """Compile Python files without running them; those that are gone are left out.

    For code that only a new process can load: one that has no chance is not worth leaving for.

    :raises LoadError: a file is no Python.
    """
    for path in paths:
        try:
            with open(path, "rb") as file:
                compile(file.read(), path, "exec", dont_inherit=True)
        except FileNotFoundError:
            continue
        except (SyntaxError, ValueError, OSError) as error:
            raise LoadError(f"{path}: {reason(error)}") from error
