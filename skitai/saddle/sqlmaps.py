"""SQL of an app: `was.sql`, and templates of statements in files, which lie in the app's folder ``sqlmaps``.

A file is read when the app is mounted. Where the app is debugged or reloaded it is read again whenever it has changed.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Mapping
from typing import NoReturn, Protocol

from skitai.errors import LoadError
from skitai.sql import SQL, BadStatement
from skitai.sql.entry import check_file
from skitai.sql.forms import Form
from skitai.sql.maps import parse

log = logging.getLogger("skitai.app")

FOLDER = "sqlmaps"
ENDING = ".sql"

State = tuple[int, int, int]
"""Change time (ns), size and inode of a file."""


class _File:
    """A file as it was read.

    :ivar error: why it cannot be used; "" for one that can.
    """

    def __init__(self, path: str, name: str, state: State) -> None:
        self.state = state
        self.error = ""
        self.forms: Mapping[str, Form] = {}
        try:
            with open(path, encoding="utf-8") as file:
                self.forms = parse(file.read(), path)
            check_file(name, self.forms)
        except (BadStatement, OSError, UnicodeDecodeError) as error:
            self.error = str(error) if isinstance(error, BadStatement) else f"{path}: {error}"


class Watched(Protocol):
    """What the files depend on."""

    home: str
    debug: bool
    use_reloader: bool


class SqlMaps(Mapping[str, Mapping[str, Form]]):
    """The files of an app's folder, by their names without ending. Safe from any thread.

    :ivar folder: relative to the app's.
    :ivar wanted: it has to be there.
    """

    def __init__(self, app: Watched) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._files: dict[str, _File] | None = None
        self.folder = FOLDER
        self.wanted = False

    @property
    def path(self) -> str:
        return os.path.join(self._app.home, self.folder)

    def settle(self, folder: str | None) -> None:
        """Take another folder; None for the default, which need not be there."""
        with self._lock:
            self.folder, self.wanted, self._files = folder or FOLDER, folder is not None, None

    def prepare(self) -> None:
        """Read the files now.

        :raises LoadError: the folder that was named is not there, or a file cannot be used; while files are watched that is
            only logged, for it may be mended.
        """
        if self.wanted and not os.path.isdir(self.path):
            raise LoadError(f"setup_sqlphile: there is no folder {self.path}")
        errors = [each.error for each in self._current().values() if each.error]
        if errors and not self._watched:
            raise LoadError("; ".join(errors))

    @property
    def _watched(self) -> bool:
        return bool(self._app.debug or self._app.use_reloader)

    def _current(self) -> dict[str, _File]:
        """The files as they are now, or as they were when they were read."""
        files = self._files
        if files is not None and not self._watched:
            return files
        with self._lock:
            files = self._files = self._read(self._files or {})
        return files

    def _read(self, old: Mapping[str, _File]) -> dict[str, _File]:
        files = {}
        for path, name, state in sorted(_found(self.path)):
            known = old.get(name)
            if known is not None and known.state == state:
                files[name] = known
                continue
            read = files[name] = _File(path, name, state)
            if read.error and self._watched:
                log.error("%s", read.error)
        return files

    def __getitem__(self, name: str) -> Mapping[str, Form]:
        """:raises BadStatement: the file cannot be used."""
        file = self._current()[name]
        if file.error:
            raise BadStatement(file.error)
        return file.forms

    def __contains__(self, name: object) -> bool:
        return name in self._current()

    def __iter__(self) -> Iterator[str]:
        return iter(self._current())

    def __len__(self) -> int:
        return len(self._current())

    def __repr__(self) -> str:
        return f"<SqlMaps {self.path}>"


def _found(folder: str) -> Iterator[tuple[str, str, State]]:
    """The files with templates in a folder: path, name, state."""
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return
    for entry in entries:
        name = entry.name.removesuffix(ENDING)
        if name == entry.name or name.startswith("."):
            continue
        try:
            state = entry.stat()
        except FileNotFoundError:
            continue  # an editor is saving it
        yield entry.path, name, (state.st_mtime_ns, state.st_size, state.st_ino)


class SqlFacet:
    """The members of `Saddle` for SQL."""

    home: str
    debug: bool
    use_reloader: bool

    def __init__(self) -> None:
        self._sqlmaps = SqlMaps(self)
        self._sql = SQL(maps=self._sqlmaps)

    def setup_sqlphile(self, engine: str = "postgresql", template_dir: str | None = None) -> None:
        """Say for which database `was.sql` writes; without this, for PostgreSQL.

        :param engine: "postgresql" or "sqlite3"; `skitai.DB_PGSQL` and `skitai.DB_SQLITE3` are these.
        :param template_dir: the folder of templates, relative to the app's; ``sqlmaps`` by default.
        :raises BadStatement: no such engine.
        """
        self._sql = SQL(engine, maps=self._sqlmaps)
        self._sqlmaps.settle(template_dir)

    @property
    def sqlphile(self) -> SQL:
        """What `was.sql` is in this app."""
        return self._sql

    @property
    def sqlmaps(self) -> NoReturn:
        """Superseded."""
        raise AttributeError("app.sqlmaps is superseded: was.sql has the templates, was.sql.FILE.NAME")
