"""`F`, `V`, `B` and `D`: what may be given in place of a value."""

from __future__ import annotations

from typing import Any

from skitai.sql import forms
from skitai.sql.errors import BadStatement
from skitai.sql.forms import Slot
from skitai.sql.names import plain
from skitai.sql.operators import COMPARISONS, PATTERNS, between, listed, pattern, split
from skitai.sql.pieces import Expression, Manner, Pieces, joined, operand


class F(Expression):
    """SQL of the app's own: a column, or any expression. Never text from outside: that goes into places.

    :param text: taken as it is; with values, ``{name}`` is where one of them goes.
    :param values: bound; other expressions are written there.
    :raises BadStatement: a place and its value are not both there.
    """

    def __init__(self, text: str, /, **values: Any) -> None:
        if not isinstance(text, str) or not text.strip():
            raise BadStatement(f"F({text!r}): SQL is wanted")
        self.text = text
        self._values = values
        if values:
            form = forms.parse(text)
            form.check_inner(set(values))
            if form.names() != set(values):
                odd = ", ".join(sorted(form.names() ^ set(values)))
                raise BadStatement(f"F({text!r}): {odd}: a place without a value, or a value without a place")

    def pieces(self, manner: Manner) -> Pieces:
        if not self._values:
            return [self.text]

        def given(slot: Slot) -> Pieces:
            return operand(self._values[slot.name], manner)

        return forms.parse(self.text).fill(given)

    def __repr__(self) -> str:
        return f"F({self.text!r})"


class V(Expression):
    """A value in a template, bound. ``V("Hans")`` is the value itself, ``V()`` is NULL; with an operator it is what stands
    on the right of it: ``V(__contains="a")`` after LIKE, ``V(__in=[1, 2])`` after IN, ``V(__between=(1, 2))`` after BETWEEN.

    :raises BadStatement: several values, or an operator that has nothing on its right.
    """

    def __init__(self, *value: Any, **by_operator: Any) -> None:
        if len(value) + len(by_operator) > 1:
            raise BadStatement("V() takes one value")
        self._value: Any = value[0] if value else None
        self._operator = "eq"
        for key, each in by_operator.items():  # inside of a class, Python puts its name before two underscores
            column, self._operator = split(key)
            self._value = each
            if (column and column[0] != "_") or self._operator not in (*COMPARISONS, *PATTERNS, "in", "between", "like"):
                raise BadStatement(f"V({key}=...): an operator is wanted that has a value, like __eq")

    def pieces(self, manner: Manner) -> Pieces:
        if self._operator == "in":
            return ["(", *(listed(self._value, manner) or ["NULL"]), ")"]
        if self._operator == "between":
            return between(self._value, manner)
        if self._operator in PATTERNS:
            return pattern(self._operator, self._value, manner)
        return operand(self._value, manner)

    def __repr__(self) -> str:
        return f"V({self._operator}: {self._value!r})"


def B(low: Any, high: Any) -> V:  # noqa: N802 - one of the four
    """The two ends of a BETWEEN in a template."""
    return V(__between=(low, high))


class _Part(Expression):
    """One way to write a `D`."""

    def __init__(self, owner: D, write: str) -> None:
        self._owner = owner
        self._write = write

    def pieces(self, manner: Manner) -> Pieces:
        made: Pieces = getattr(self._owner, f"_{self._write}")(manner)
        return made


class D:
    """Columns and their values, as a template wants them.

    :ivar columns: ``name, id``
    :ivar values: ``'Hans', 1``, bound where they are part of a statement.
    :ivar pairs: ``name = 'Hans', id = 1``
    """

    WAYS = ("columns", "values", "pairs")

    def __init__(self, **data: Any) -> None:
        for name in data:
            plain(name)
        self.data = data
        self.columns, self.values, self.pairs = (_Part(self, way) for way in self.WAYS)

    def _columns(self, manner: Manner) -> Pieces:
        return [", ".join(map(plain, self.data))]

    def _values(self, manner: Manner) -> Pieces:
        return joined(operand(each, manner) for each in self.data.values())

    def _pairs(self, manner: Manner) -> Pieces:
        return joined([f"{plain(name)} = ", *operand(each, manner)] for name, each in self.data.items())

    def __repr__(self) -> str:
        return f"D({', '.join(self.data)})"
