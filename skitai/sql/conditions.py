"""`Q`: conditions, joined by ``&`` and ``|`` and turned around by ``~``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, NoReturn

from skitai.sql.errors import BadStatement, Unfiltered
from skitai.sql.expressions import F
from skitai.sql.operators import OPERATORS, WITHOUT_COLUMN, split
from skitai.sql.pieces import Expression, Manner, Pieces, joined

ALL = "1 = 1"


class Written(NamedTuple):
    """A condition in SQL.

    :ivar kind: "single", "like", "and", "or" (in parentheses), or "raw" for the app's own, in which anything may be.
    """

    pieces: Pieces
    kind: str

    def within(self, *kinds: str) -> Pieces:
        """In parentheses if it is of one of these kinds."""
        return ["(", *self.pieces, ")"] if self.kind in kinds else self.pieces


class _Condition(NamedTuple):
    """``key=value``, as it was given."""

    key: str
    column: str
    operator: str
    value: Any

    def written(self, manner: Manner) -> Written | None:
        if self.value is None:
            if manner.strict:
                raise Unfiltered(
                    f"{self.key}=None: a select ignores it and finds more, an update or delete would reach more; leave it "
                    "out, or ask for NULL with isnull"
                )
            return None
        pieces = OPERATORS[self.operator](self.column, self.value, manner)
        like = isinstance(pieces[0], str) and pieces[0].endswith(" LIKE ") and not pieces[0].endswith(" NOT LIKE ")
        return Written(pieces, "like" if like else "single")


def condition(key: str, value: Any) -> _Condition:
    column, operator = split(key)
    if not column and operator not in WITHOUT_COLUMN:
        raise BadStatement(f"{key}: a column is wanted before the operator")
    if value is not None and not isinstance(value, (str, bytes, dict, Expression)) and isinstance(value, Iterable):
        value = tuple(value) if operator in ("in", "notin", "nin", "between", "nbetween") else value
    return _Condition(key, column, operator, value)


class Q(Expression):
    """Conditions that must all be true.

    A keyword is a column, or an alias and a column, and an operator: ``id=1``, ``t1__id=1``, ``name__contains="a"``. A
    condition whose value is None is left out; in an update or delete that is an error.

    :param conditions: further ones, and SQL of the app's own in an `F`.
    :raises BadStatement: a keyword is none of these.
    """

    def __init__(self, *conditions: Q | F, **named: Any) -> None:
        for each in conditions:
            if not isinstance(each, (Q, F)):
                raise BadStatement(f"{each!r} is no condition: write column=value, Q(...), or F(...) for SQL")
        self._items: tuple[_Item, ...] = (
            *conditions,
            *(condition(key, value) for key, value in named.items()),
        )
        self._joint = "AND"
        self._negated = False

    def __and__(self, other: Q) -> Q:
        return self._with(other, "AND") if isinstance(other, Q) else NotImplemented

    def __or__(self, other: Q) -> Q:
        return self._with(other, "OR") if isinstance(other, Q) else NotImplemented

    def _with(self, other: Q, joint: str) -> Q:
        made = Q()
        made._items = (*self._parts(joint), *other._parts(joint))
        made._joint = joint
        return made

    def _parts(self, joint: str) -> tuple[_Item, ...]:
        """What it adds to others that are joined so; long chains do not nest."""
        return self._items if not self._negated and (self._joint == joint or len(self._items) == 1) else (self,)

    def __invert__(self) -> Q:
        made = Q(self)
        made._negated = True
        return made

    def __bool__(self) -> NoReturn:
        raise BadStatement("a Q is neither true nor false: join them by & and |, turn them around by ~")

    def written(self, manner: Manner) -> Written | None:
        """The condition in SQL; None when all of it was left out.

        :raises Unfiltered: some of it would be left out where all of it counts.
        """
        found = [each for each in (_written(item, manner) for item in self._items) if each is not None]
        if not found:
            return None
        if len(found) == 1:
            made = found[0]
        elif self._joint == "OR":
            made = Written(["(", *joined((each.within("and", "raw") for each in found), " OR "), ")"], "or")
        else:
            made = Written(joined((each.within("raw") for each in found), " AND "), "and")
        if self._negated:
            made = Written(["NOT ", *made.within("single", "and", "raw")], "single")
        return made

    def pieces(self, manner: Manner) -> Pieces:
        made = self.written(manner)
        if made is not None:
            return made.pieces
        if manner.strict:
            raise Unfiltered("a Q has no condition; Q(__all=True) says that all rows are meant")
        return [ALL]

    def __repr__(self) -> str:
        return f"<Q {self._joint} of {len(self._items)}{', turned around' if self._negated else ''}>"


def _written(item: _Item, manner: Manner) -> Written | None:
    return Written(item.pieces(manner), "raw") if isinstance(item, F) else item.written(manner)


_Item = Q | F | _Condition
