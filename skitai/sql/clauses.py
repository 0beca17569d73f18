"""The parts that statements have in common, each with its methods. All methods return the statement itself."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from skitai.sql import names
from skitai.sql.conditions import Q, Written
from skitai.sql.errors import BadStatement
from skitai.sql.expressions import D, F
from skitai.sql.names import plain
from skitai.sql.pieces import Expression, Manner, Pieces, joined, operand


class Filtered:
    """Which rows. Conditions of all calls must be true: first those that are no keywords, then the others."""

    def __init__(self) -> None:
        self._conditions: list[Q] = []
        self._named: list[Q] = []

    def filter(self, *conditions: Q | F, **named: Any) -> Self:
        """Only rows for which all of this is true; see `Q`.

        :raises BadStatement: it is no condition.
        """
        if conditions:
            self._conditions.append(Q(*conditions))
        if named:
            self._named.append(Q(**named))
        return self

    def exclude(self, *conditions: Q | F, **named: Any) -> Self:
        """Only rows for which not all of this is true."""
        (self._named if named else self._conditions).append(~Q(*conditions, **named))
        return self

    def _filters(self, manner: Manner) -> Written | None:
        return Q(*self._conditions, *self._named).written(manner)

    @property
    def _is_filtered(self) -> bool:
        return bool(self._conditions or self._named)


class Holding:
    """What is written into columns."""

    def __init__(self, data: dict[str, Any]) -> None:
        self._data: dict[str, Any] = {}
        self._prefixed: dict[str, D] = {}
        self.data(**data)

    def data(self, **values: Any) -> Self:
        """Columns and their values; None is NULL. An `F` is SQL, a select is a sub query, a `D` is for templates: there,
        ``more=D(...)`` is ``{more_columns}``, ``{more_values}`` and ``{more_pairs}``.

        :raises BadStatement: no name of a column.
        """
        for name, value in values.items():
            plain(name)
            if isinstance(value, D):
                self._prefixed[name] = value
            else:
                self._data[name] = value
        return self

    def _columns_and_values(self) -> D:
        return D(**self._data)


class Grouped:
    """Rows made one."""

    def __init__(self) -> None:
        self._groups: list[str | F] = []
        self._having: list[Q | F] = []

    def group_by(self, *columns: str | F) -> Self:
        """Make one of all rows that are equal in these columns.

        :param columns: names, also several with commas between them.
        :raises BadStatement: something else, which goes into an `F`.
        """
        self._groups += [each if isinstance(each, F) else names.items(each) for each in columns]
        return self

    def having(self, *conditions: str | Q | F, **named: Any) -> Self:
        """Only groups for which all of this is true.

        :param conditions: text is SQL of the app's own, as in an `F`.
        """
        self._having += [F(each) if isinstance(each, str) else each for each in conditions]
        if named:
            self._having.append(Q(**named))
        return self

    def _group_by(self, manner: Manner) -> Pieces:
        return ["GROUP BY ", *joined(_texts(self._groups, manner))] if self._groups else []

    def _having_pieces(self, manner: Manner) -> Pieces:
        found = Q(*self._having).written(manner) if self._having else None
        return ["HAVING ", *found.pieces] if found is not None else []


class Arranged:
    """The order of rows, and how many."""

    __iter__: ClassVar[None] = None  # slices do not make it a sequence

    def __init__(self) -> None:
        self._order: list[str | F] = []
        self._limit: int | None = None
        self._offset: int | None = None

    def order_by(self, *columns: str | F) -> Self:
        """Order by these columns; a minus before a name is for descending order.

        :param columns: names or numbers of columns, also several with commas between them, also with ``DESC``.
        :raises BadStatement: something else, which goes into an `F`.
        """
        self._order += [each if isinstance(each, F) else names.terms(each) for each in columns]
        return self

    def limit(self, count: int) -> Self:
        """No more than so many rows."""
        self._limit = _count(count, "limit")
        return self

    def offset(self, count: int) -> Self:
        """Without so many of the first rows."""
        self._offset = _count(count, "offset")
        return self

    def __getitem__(self, rows: slice) -> Self:
        """``[10:30]`` are 20 rows after the first ten.

        :raises BadStatement: counted from the end, or in steps.
        """
        if not isinstance(rows, slice) or rows.step is not None:
            raise BadStatement(f"[{rows!r}]: a slice is wanted, like [:100] or [10:30]")
        start = _count(rows.start or 0, "a slice")
        self._offset = start or None
        self._limit = max(_count(rows.stop, "a slice") - start, 0) if rows.stop is not None else None
        return self

    def _order_by(self, manner: Manner) -> Pieces:
        return ["ORDER BY ", *joined(_texts(self._order, manner))] if self._order else []

    def _limit_pieces(self, manner: Manner) -> Pieces:
        if self._limit is not None:
            return ["LIMIT ", *operand(self._limit, manner)]
        return [manner.engine.unlimited] if self._offset is not None and manner.engine.unlimited else []

    def _offset_pieces(self, manner: Manner) -> Pieces:
        return ["OFFSET ", *operand(self._offset, manner)] if self._offset is not None else []


class Returning:
    """What a changing statement tells of the rows it has changed."""

    def __init__(self) -> None:
        self._returned: list[str | Expression] = []

    def returning(self, *columns: str | Expression) -> Self:
        """Give these columns of each row; texts are SQL of the app's own."""
        self._returned += [each if isinstance(each, Expression) else names.selected(each) for each in columns]
        return self

    def _returning(self, manner: Manner) -> Pieces:
        return ["RETURNING ", *joined(_texts(self._returned, manner))] if self._returned else []


def _texts(items: list[Any], manner: Manner) -> list[Pieces]:
    return [operand(each, manner) if isinstance(each, Expression) else [each] for each in items]


def _count(value: Any, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise BadStatement(f"{what}: {value!r} is no number of rows")
    return value
