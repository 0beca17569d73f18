"""Statements that are begun with the database that executes them: ``stub.select("cities").filter(id=4).execute()``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from skitai.sql import SQL, Delete, Insert, Select, Statement, Template, Update
from skitai.sql.entry import NO_MAPS, Maps
from skitai.sql.pieces import Expression

Given = Sequence[Any] | Mapping[str, Any] | None


class Writing(ABC):
    """The methods of `skitai.sql.SQL`, for what has `execute`. Templates of files are attributes, as there.

    :ivar engine: whose SQL is written.
    :ivar maps: the templates.
    """

    engine = "postgresql"
    maps: Maps = NO_MAPS

    @abstractmethod
    def execute(self, sql: Any, parameters: Given = None) -> Any:
        """Ask a statement."""

    def select(self, table: str | Expression, alias: str = "") -> Select:
        """See `SQL.select`."""
        return self._begin().select(table, alias)

    def insert(self, table: str, /, **data: Any) -> Insert:
        """See `SQL.insert`."""
        return self._begin().insert(table, **data)

    def update(self, table: str, alias: str = "", /, **data: Any) -> Update:
        """See `SQL.update`."""
        return self._begin().update(table, alias, **data)

    def delete(self, table: str, alias: str = "") -> Delete:
        """See `SQL.delete`."""
        return self._begin().delete(table, alias)

    def template(self, text: str) -> Template:
        """See `SQL.template`."""
        return self._begin().template(text)

    from_string = template

    def _begin(self) -> SQL:
        """Made each time: kept, it and this would keep each other."""
        return SQL(self.engine, self.execute, self.maps)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not self.maps:
            raise AttributeError(f"{type(self).__name__} has no {name!r}, and the app has no templates of SQL")
        return getattr(self._begin(), name)

    def _written(self, sql: Any, parameters: Given) -> tuple[str, Given]:
        """A statement of the builder as SQL and its values.

        :raises TypeError: it is none; or values beside it, which has its own.
        """
        if not isinstance(sql, Statement):
            raise TypeError(f"a statement is a str, not {type(sql).__name__}")
        if parameters is not None:
            raise TypeError("a statement of the builder has its own parameters")
        return sql.render(self.engine)
