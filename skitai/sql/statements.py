"""`Select`, `Insert`, `Update` and `Delete`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, Self

from skitai.sql import names
from skitai.sql.clauses import Arranged, Filtered, Grouped, Holding, Returning, _texts
from skitai.sql.conditions import Q
from skitai.sql.errors import BadStatement, Unfiltered
from skitai.sql.expressions import D, F
from skitai.sql.pieces import Engine, Expression, Manner, Pieces, Rendered, assembled, find_engine, joined, readable

Execute = Callable[[str, tuple[Any, ...]], Any]
"""Has a statement executed: SQL with the engine's placeholders, and the values for them. What it returns, `execute` does."""


class Statement(Expression):
    """Something to ask of a database.

    :param execute: None for one that is only rendered.
    """

    def __init__(self, engine: Engine, execute: Execute | None) -> None:
        self.engine = engine
        self._execute = execute

    def render(self, engine: str | None = None) -> Rendered:
        """SQL with placeholders, and their values.

        :param engine: the one that it is executed by, if not the statement's own.
        :raises Unfiltered: an update or delete without a condition, or with one that is None.
        :raises BadStatement: something is missing, or does not go together.
        """
        chosen = self.engine if engine is None else find_engine(engine)
        return assembled(self.pieces(Manner(chosen)), chosen)

    def as_sql(self) -> str:
        """SQL with the values in it, for people to read. Databases are given what `render` makes.

        :raises BadStatement: as `render`.
        """
        return readable(self.pieces(Manner(self.engine)), self.engine)

    __str__ = as_sql

    def execute(self) -> Any:
        """Have it executed.

        :returns: a handle of the request to the back-end that the statement was begun with.
        :raises RuntimeError: it was begun without one.
        :raises BadStatement: as `render`.
        """
        if self._execute is None:
            raise RuntimeError('this statement has no database: give it to one, was.backend("@alias").execute(statement)')
        return self._execute(*self.render())

    def copy(self) -> Self:
        """Another statement that is the same until one of them is changed."""
        made = object.__new__(type(self))
        made.__dict__ = {
            name: value.copy() if isinstance(value, (list, dict)) else value for name, value in self.__dict__.items()
        }
        return made

    @abstractmethod
    def pieces(self, manner: Manner) -> Pieces: ...

    def __repr__(self) -> str:
        return f"<{type(self).__name__} for {self.engine.name}>"


class _Joined(NamedTuple):
    """A further table: in the words before it, and the condition that its rows have to meet."""

    words: str
    table: Source
    condition: Q


class Source:
    """A table or sub query, by the name that the statement knows it by.

    :raises BadStatement: a name that is none, or a sub query without one.
    """

    def __init__(self, table: str | Expression, alias: str = "") -> None:
        if isinstance(table, Expression):
            if table.is_query and not alias:
                raise BadStatement(f"{table!r} needs an alias, by which the statement names it")
            self._query: Expression | None = table
            self.text = names.as_alias(alias)
        else:
            self._query = None
            self.text = names.table(table, alias)

    def pieces(self, manner: Manner) -> Pieces:
        if self._query is None:
            return [self.text]
        inner = self._query.pieces(manner)
        made = ["(", *inner, ")"] if self._query.is_query else inner
        return [*made, f" AS {self.text}"] if self.text else made


def _joined(
    words: str, table: str | Expression, alias: str | Q | F, on: tuple[Q | F, ...], named: dict[str, Any]
) -> _Joined:
    name, conditions = (alias, on) if isinstance(alias, str) else ("", (alias, *on))
    return _Joined(words, Source(table, name), Q(*conditions, **named))


class Select(Statement, Filtered, Grouped, Arranged):
    """Rows of tables. As a value in another statement it is a sub query."""

    is_query: ClassVar[bool] = True

    def __init__(self, engine: Engine, execute: Execute | None, table: str | Expression, alias: str = "") -> None:
        Statement.__init__(self, engine, execute)
        Filtered.__init__(self)
        Grouped.__init__(self)
        Arranged.__init__(self)
        self._from = Source(table, alias)
        self._columns: list[str | Expression] = []
        self._joins: list[_Joined] = []

    def get(self, *columns: str | Expression) -> Self:
        """What to tell of each row; everything by default. Texts are SQL of the app's own: ``"count(*) cnt"``."""
        self._columns += [each if isinstance(each, Expression) else names.selected(each) for each in columns]
        return self

    def join(self, table: str | Expression, alias: str | Q | F = "", /, *on: Q | F, **named: Any) -> Self:
        """Only with rows of another table for which all of this is true: ``t1__name=F("t2.name")``.

        :param table: or a select, which needs an alias.
        """
        return self._join("INNER JOIN", table, alias, on, named)

    def left_join(self, table: str | Expression, alias: str | Q | F = "", /, *on: Q | F, **named: Any) -> Self:
        """With rows of another table, and without one where there is none. Parameters as of `join`."""
        return self._join("LEFT JOIN", table, alias, on, named)

    def right_join(self, table: str | Expression, alias: str | Q | F = "", /, *on: Q | F, **named: Any) -> Self:
        """All rows of the other table, with ours where there are any."""
        return self._join("RIGHT JOIN", table, alias, on, named)

    def full_join(self, table: str | Expression, alias: str | Q | F = "", /, *on: Q | F, **named: Any) -> Self:
        """All rows of both tables."""
        return self._join("FULL JOIN", table, alias, on, named)

    def _join(self, words: str, table: Any, alias: Any, on: tuple[Q | F, ...], named: dict[str, Any]) -> Self:
        self._joins.append(_joined(words, table, alias, on, named))
        return self

    def pieces(self, manner: Manner) -> Pieces:
        columns = joined(_texts(self._columns, manner)) or ["*"]
        parts: list[Pieces] = [["SELECT ", *columns, " FROM ", *self._from.pieces(manner)]]
        for each in self._joins:
            condition = each.condition.written(manner)
            if condition is None:
                raise BadStatement(
                    f"{each.words} {each.table.text} has no condition; __all=True joins every row with every other"
                )
            parts.append([f"{each.words} ", *each.table.pieces(manner), " ON ", *condition.pieces])
        where = self._filters(manner)
        if where is not None:
            parts.append(["WHERE ", *where.pieces])
        parts += [self._group_by(manner), self._having_pieces(manner), self._order_by(manner)]
        parts.append(joined(filter(None, (self._limit_pieces(manner), self._offset_pieces(manner))), " "))
        return joined(filter(None, parts), "\n")

    def __repr__(self) -> str:
        return f"<Select {self._from.text} for {self.engine.name}>"


class _Changing(Statement, Returning):
    """What changes a table."""

    verb = ""

    def __init__(self, engine: Engine, execute: Execute | None, table: str, alias: str = "") -> None:
        Statement.__init__(self, engine, execute)
        Returning.__init__(self)
        self._table = names.table(table, alias)

    def _where(self, conditions: Pieces | None) -> Pieces:
        if conditions is None:
            raise Unfiltered(f"{self.verb} {self._table} has no condition; filter(__all=True) says that all rows are meant")
        return ["WHERE ", *conditions]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._table} for {self.engine.name}>"


class Insert(_Changing, Holding):
    """A new row."""

    verb = "INSERT INTO"

    def __init__(self, engine: Engine, execute: Execute | None, table: str, data: dict[str, Any]) -> None:
        _Changing.__init__(self, engine, execute, table)
        Holding.__init__(self, data)

    def pieces(self, manner: Manner) -> Pieces:
        held = _held(self, self._table)
        parts: list[Pieces] = [
            [f"INSERT INTO {self._table} (", *held.columns.pieces(manner), ")"],
            ["VALUES (", *held.values.pieces(manner), ")"],
            self._returning(manner),
        ]
        return joined(filter(None, parts), "\n")


class Update(_Changing, Filtered, Holding):
    """Other values in rows that are there."""

    verb = "UPDATE"

    def __init__(self, engine: Engine, execute: Execute | None, table: str, alias: str, data: dict[str, Any]) -> None:
        _Changing.__init__(self, engine, execute, table, alias)
        Filtered.__init__(self)
        Holding.__init__(self, data)
        self._sources: list[_Joined] = []

    def from_(self, table: str | Expression, alias: str | Q | F = "", /, *on: Q | F, **named: Any) -> Self:
        """With rows of another table for which all of this is true: ``t1__id=F("t2.id")``.

        :param table: or a select, which needs an alias.
        """
        self._sources.append(_joined("FROM", table, alias, on, named))
        return self

    def pieces(self, manner: Manner) -> Pieces:
        manner = Manner(manner.engine, strict=True)
        parts: list[Pieces] = [[f"UPDATE {self._table} SET ", *_held(self, self._table).pairs.pieces(manner)]]
        if self._sources:
            parts.append(["FROM ", *joined(each.table.pieces(manner) for each in self._sources)])
        where = Q(*(each.condition for each in self._sources), *self._conditions, *self._named).written(manner)
        parts.append(self._where(where.pieces if where is not None else None))
        parts.append(self._returning(manner))
        return joined(filter(None, parts), "\n")


class Delete(_Changing, Filtered):
    """Rows no more."""

    verb = "DELETE FROM"

    def __init__(self, engine: Engine, execute: Execute | None, table: str, alias: str = "") -> None:
        _Changing.__init__(self, engine, execute, table, alias)
        Filtered.__init__(self)

    def pieces(self, manner: Manner) -> Pieces:
        manner = Manner(manner.engine, strict=True)
        where = self._filters(manner)
        parts: list[Pieces] = [
            [f"DELETE FROM {self._table}"],
            self._where(where.pieces if where is not None else None),
            self._returning(manner),
        ]
        return joined(filter(None, parts), "\n")


def _held(statement: Holding, table: str) -> D:
    held = statement._columns_and_values()
    if not held.data:
        raise BadStatement(f"{table}: there is no data to write")
    if statement._prefixed:
        raise BadStatement(f"{table}: {', '.join(statement._prefixed)}=D(...) is for templates")
    return held
