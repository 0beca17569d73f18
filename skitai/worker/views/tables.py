"""Statements that read tables, of SQLite and PostgreSQL; pure. Names are the database's own, quoted; values are bound."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from skitai.errors import BadRequest, NotFound
from skitai.worker.views.wishes import Filter, Wish, truth

TABLES = {
    "sqlite3": """
        SELECT m.name AS "table", c.name AS "column", c.type AS "type", c.pk AS "key"
        FROM sqlite_master m JOIN pragma_table_xinfo(m.name) c
        WHERE m.type IN ('table', 'view') AND substr(m.name, 1, 7) <> 'sqlite_' AND c.hidden <> 1
        ORDER BY m.name, c.cid
    """,
    "postgresql": """
        SELECT t.relname AS "table", c.attname AS "column", format_type(c.atttypid, NULL) AS "type",
               coalesce(array_position(i.indkey::int2[], c.attnum) + 1, 0) AS "key"
        FROM pg_class t JOIN pg_attribute c ON c.attrelid = t.oid AND c.attnum > 0 AND NOT c.attisdropped
        LEFT JOIN pg_index i ON i.indrelid = t.oid AND i.indisprimary
        WHERE t.relnamespace = current_schema()::regnamespace AND t.relkind IN ('r', 'p', 'v', 'm', 'f')
        AND has_table_privilege(t.oid, 'SELECT')
        ORDER BY t.relname, c.attnum
    """,
}
"""Every column of every table that can be read, with its place in the primary key, 0 for none."""

_SIGNS = {"eq": "=", "ne": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "like": "LIKE"}


@dataclass(frozen=True, slots=True)
class Table:
    """:ivar columns: types by name.
    :ivar key: columns of the primary key.
    """

    name: str
    columns: Mapping[str, str]
    key: tuple[str, ...]


def tables(rows: Iterable[Mapping[str, Any]]) -> dict[str, Table]:
    """The tables by name, from what `TABLES` gives."""
    columns: dict[str, dict[str, str]] = {}
    keys: dict[str, dict[int, str]] = {}
    for row in rows:
        columns.setdefault(row["table"], {})[row["column"]] = row["type"] or ""
        if row["key"]:
            keys.setdefault(row["table"], {})[row["key"]] = row["column"]
    return {
        name: Table(name, found, tuple(column for _, column in sorted(keys.get(name, {}).items())))
        for name, found in columns.items()
    }


class Writer:
    """Writes statements for one kind of database.

    :param kind: "sqlite3" or "postgresql".
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._mark = "?" if kind == "sqlite3" else "%s"

    def rows(self, table: Table, wish: Wish) -> tuple[str, tuple[Any, ...]]:
        """The statement for some rows, and one more, with its values.

        :raises BadRequest: the table has no such column.
        """
        conditions: list[str] = []
        values: list[Any] = []
        for each in wish.filters:
            condition, given = self._condition(table, each)
            conditions.append(condition)
            values += given
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        order = [self._column(table, each.column) + " DESC" * each.descending for each in wish.order]
        order = order or [self._quoted(each) for each in table.key]
        ordered = f" ORDER BY {', '.join(order)}" if order else ""
        sql = f"{self._selected(table)}{where}{ordered} LIMIT {self._mark} OFFSET {self._mark}"
        return sql, (*values, wish.limit + 1, wish.offset)

    def row(self, table: Table, key: str) -> tuple[str, tuple[Any, ...]]:
        """The statement for one row.

        :raises NotFound: rows of this table have no key of one column.
        """
        if len(table.key) != 1:
            raise NotFound(f"{table.name} has no primary key of one column")
        condition, values = self._condition(table, Filter(table.key[0], "eq", key))
        return f"{self._selected(table)} WHERE {condition} LIMIT {self._mark}", (*values, 1)

    def _selected(self, table: Table) -> str:
        return f"SELECT {', '.join(map(self._quoted, table.columns))} FROM {self._quoted(table.name)}"

    def _condition(self, table: Table, wanted: Filter) -> tuple[str, Sequence[Any]]:
        column = self._column(table, wanted.column)
        if wanted.operator == "null":
            return f"{column} IS {'' if truth(wanted.value) else 'NOT '}NULL", ()
        kind = table.columns[wanted.column]
        if wanted.operator == "in":
            values = [self._value(kind, each) for each in wanted.value.split(",")]
            return f"{column} IN ({', '.join([self._mark] * len(values))})", values
        return f"{column} {_SIGNS[wanted.operator]} {self._mark}", (self._value(kind, wanted.value),)

    def _value(self, kind: str, text: str) -> Any:
        """Both make of text what a column holds; but SQLite not where a column has no type."""
        if kind or self._kind != "sqlite3":
            return text
        for number in (int, float):
            try:
                return number(text)
            except ValueError:
                continue
        return text

    def _column(self, table: Table, name: str) -> str:
        if name not in table.columns:
            raise BadRequest(f"{table.name} has no column {name!r}")
        return self._quoted(name)

    def _quoted(self, name: str) -> str:
        quoted = '"' + name.replace('"', '""') + '"'
        return quoted if self._kind == "sqlite3" else quoted.replace("%", "%%")
