"""`SQL`: where statements begin."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from skitai.sql import forms
from skitai.sql.errors import BadStatement
from skitai.sql.forms import Form
from skitai.sql.pieces import Expression, find_engine
from skitai.sql.statements import Delete, Execute, Insert, Select, Update
from skitai.sql.templates import Template

Maps = Mapping[str, Mapping[str, Form]]
"""Templates by the name of their file, and their own."""

DEFAULT = "default"
"""The file whose templates need not say where they are."""

OF_DATABASES = frozenset(("commit", "do", "execute", "maps", "rollback", "transaction"))
"""What databases have beside the methods of `SQL`; templates are attributes there, too."""

NO_MAPS: Maps = MappingProxyType({})


def check_file(name: str, templates: Mapping[str, Form]) -> None:
    """:raises BadStatement: the templates of a file could not be reached by its name, or theirs."""
    taken = [each for each in (name, *(templates if name == DEFAULT else ())) if each in OF_DATABASES or each in dir(SQL)]
    if taken:
        raise BadStatement(f"{name}.sql: {taken[0]} cannot be its name, or that of a template in it: it is a method")
    if not name.isidentifier() or name.startswith("_"):
        raise BadStatement(f"{name}.sql: its name has to be one that an attribute can have")


class SQL:
    """Begins statements for an engine.

    Templates of files are attributes: ``sql.file.name``, those of ``default.sql`` also ``sql.name``; each access begins a
    new statement.

    :param engine: "postgresql" or "sqlite3".
    :param execute: has statements executed; without it they are only rendered.
    :param maps: templates of files.
    :raises BadStatement: there is no such engine.
    """

    def __init__(self, engine: str = "postgresql", execute: Execute | None = None, maps: Maps = NO_MAPS) -> None:
        self._engine = find_engine(engine)
        self._execute = execute
        self._maps = maps

    @property
    def engine(self) -> str:
        return self._engine.name

    def select(self, table: str | Expression, alias: str = "") -> Select:
        """Rows of a table.

        :param table: its name, with its schema if wanted, or a select, which needs an alias.
        :param alias: what the statement calls it.
        """
        return Select(self._engine, self._execute, table, alias)

    def insert(self, table: str, /, **data: Any) -> Insert:
        """A new row of a table.

        :param data: columns and their values, as for `Insert.data`.
        """
        return Insert(self._engine, self._execute, table, data)

    def update(self, table: str, alias: str = "", /, **data: Any) -> Update:
        """Other values in rows of a table. It has to be filtered.

        :param data: columns and their values, as for `Update.data`.
        """
        return Update(self._engine, self._execute, table, alias, data)

    def delete(self, table: str, alias: str = "") -> Delete:
        """Rows of a table to be no more. It has to be filtered."""
        return Delete(self._engine, self._execute, table, alias)

    def template(self, text: str) -> Template:
        """A statement from a text with places; see `Template`.

        :raises BadStatement: quotes or a comment in the text do not end.
        """
        return Template(self._engine, self._execute, forms.parse(text))

    from_string = template

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in self._maps:
            return Queries(self, name)
        default = self._maps.get(DEFAULT, {})
        if name in default:
            return Template(self._engine, self._execute, default[name], name)
        raise AttributeError(f"there is no {name}.sql, and no <sql name={name!r}> in {DEFAULT}.sql")

    def __repr__(self) -> str:
        return f"<SQL for {self.engine}>"


class Queries:
    """The templates of one file."""

    def __init__(self, sql: SQL, file: str) -> None:
        self._sql = sql
        self._file = file

    def __getattr__(self, name: str) -> Template:
        forms_of_file = self._sql._maps[self._file]
        if name not in forms_of_file:
            raise AttributeError(f"there is no <sql name={name!r}> in {self._file}.sql")
        sql = self._sql
        return Template(sql._engine, sql._execute, forms_of_file[name], f"{self._file}.{name}")

    def __dir__(self) -> list[str]:
        return sorted(self._sql._maps[self._file])

    def __repr__(self) -> str:
        return f"<Queries of {self._file}.sql>"
