"""Noticing that an app's files have changed, and putting the new code in place of the old."""

from __future__ import annotations

import enum
import os
import stat
import sys
import time
from collections.abc import Iterable, Iterator

from skitai.config.tree import Folder, Mount
from skitai.errors import LoadError
from skitai.loading.app import Loaded, home_of, load
from skitai.loading.importer import reason
from skitai.loading.modules import FOREIGN, forget_bytecode, is_own, own_modules, source_of

State = tuple[int, int, int]
"""Change time (ns), size and inode of a file."""

NEVER_SEEN: State = (-1, -1, -1)


class Watcher:
    """Looks at files, and at folders for the Python files in them and below, and says what is different from last time.

    :param paths: absolute paths; they need not exist.
    """

    def __init__(self, paths: Iterable[str] = ()) -> None:
        self._paths = set(paths)
        self._seen: dict[str, State] | None = None

    def watch(self, paths: Iterable[str], since_ns: int) -> None:
        """Look at these instead.

        :param since_ns: Unix time. Files that were not looked at before and have changed since then count as changed; the
            others count as seen the way they are now.
        """
        old = self._seen or {}
        self._paths = set(paths)
        self._seen = {
            path: old.get(path, state if state[0] < since_ns else NEVER_SEEN) for path, state in self._look().items()
        }

    def changed(self) -> set[str]:
        """Paths of files that were changed, added or deleted since the last call; at the first call, none."""
        now, old = self._look(), self._seen
        self._seen = now
        if old is None or old == now:
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


class Outcome(enum.Enum):
    """What `LiveApp.poll` found and did."""

    SAME = "nothing has changed"
    LOADED = "new code is in place"
    FAILED = "new code is broken, the old code stays"
    RESTART = "new code needs a new process"


class LiveApp:
    """The app of a mount as it is served: what is loaded, what went wrong last, and what follows from changed files.

    `load` and `poll` execute the app's code and may take long: never in an event loop that serves.

    :ivar loaded: the app; None as long as it could not be loaded.
    :ivar error: why the newest code is not what is served; None when it is.
    """

    def __init__(self, mount: Mount) -> None:
        self.mount = mount
        self.loaded: Loaded | None = None
        self.error: LoadError | None = None
        self._watcher = Watcher()
        self._modules = 0

    def load(self) -> None:
        """Load the app for the first time; see `loaded` and `error`."""
        started_ns = time.time_ns()
        try:
            self.loaded = load(self.mount)
        except LoadError as error:
            self.error = error
        self._watch(started_ns)

    @property
    def watched(self) -> bool:
        """Whether `poll` can ever find anything: the app wants it, or it could not be loaded at all."""
        if isinstance(self.mount.target, Folder):
            return False
        return self.loaded is None or (self.loaded.use_reloader and self.loaded.reloadable)

    def poll(self) -> Outcome:
        """Look for changed files and load new code."""
        if not self.watched:
            return Outcome.SAME
        started_ns = time.time_ns()
        changed = self._watcher.changed()
        outcome = self._renew(changed) if changed else Outcome.SAME
        if changed or len(sys.modules) != self._modules:
            self._watch(started_ns)
        return outcome

    def _renew(self, changed: set[str]) -> Outcome:
        forget_bytecode(changed)
        try:
            if self.loaded is not None and self.loaded.needs_restart:
                _compile(changed)
                self.error = None
                return Outcome.RESTART
            self.loaded = load(self.mount, renew=True)
        except LoadError as error:
            self.error = error
            return Outcome.FAILED
        self.error = None
        return Outcome.LOADED

    def _watch(self, since_ns: int) -> None:
        home = home_of(self.mount)
        files = {source_of(module) for module in own_modules(home).values()}
        files.update(self.loaded.files if self.loaded else ())
        if self.error is not None:
            # What is missing or broken was never imported: look at what the error points to, and what may yet come.
            files.update(file for file in _files_of(self.error) if is_own("", file, home))
            files.add(home)
        self._watcher.watch(files, since_ns)
        self._modules = len(sys.modules)


def _compile(files: Iterable[str]) -> None:
    for path in files:
        try:
            with open(path, "rb") as file:
                compile(file.read(), path, "exec", dont_inherit=True)
        except FileNotFoundError:
            continue
        except (SyntaxError, ValueError, OSError) as error:
            raise LoadError(f"{path}: {reason(error)}") from error


def _files_of(error: BaseException) -> Iterator[str]:
    """The files that an exception and its causes went through."""
    at: BaseException | None = error
    while at is not None:
        if isinstance(at, SyntaxError) and at.filename:
            yield at.filename
        trace = at.__traceback__
        while trace is not None:
            yield trace.tb_frame.f_code.co_filename
            trace = trace.tb_next
        at = at.__cause__ or at.__context__
