"""What a condition should find, told by a model of SQL's logic in Python, so that databases can be compared with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from hypothesis import strategies as st

from skitai.sql import SQL, F, Q, Rendered

TEXTS = ("name", "label")
NUMBERS = ("number", "size")

CREATE = "CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT, label TEXT, number BIGINT, size BIGINT)"

Run = Callable[[Rendered], Sequence[Sequence[Any]]]
Row = dict[str, Any]
Truth = bool | None


class Bench:
    """A database of one kind with the table `things`.

    :param run: executes a statement and returns its rows.
    :param fold: what LIKE makes of text before it compares.
    """

    def __init__(self, engine: str, run: Run, fold: Callable[[str], str]) -> None:
        self.sql = SQL(engine)
        self.run = run
        self.fold = fold

    def ids(self, statement: Any) -> set[int]:
        """Of the rows that a select finds."""
        return {row[0] for row in self.run(statement.get("id").render())}

    def all(self) -> dict[int, tuple[Any, ...]]:
        return {row[0]: tuple(row[1:]) for row in self.run(self.sql.select("things").render())}

    def fill(self, rows: list[Row]) -> dict[int, Row]:
        """These rows and no others, by their ids."""
        self.run(self.sql.delete("things").filter(__all=True).render())
        for number, row in enumerate(rows):
            self.run(self.sql.insert("things").data(id=number, **row).render())
        return dict(enumerate(rows))


def folded(text: str) -> str:
    """As SQLite's LIKE, for which capital letters of ASCII are small ones."""
    return "".join(each.lower() if each.isascii() else each for each in text)


class Case(NamedTuple):
    """A condition, and what it should be for a row.

    :ivar truth: of a row, and a function that folds text; None is SQL's unknown.
    :ivar ignored: all of it has None, and counts for nothing.
    :ivar widened: some of it has.
    """

    q: Q
    truth: Callable[[Row, Callable[[str], str]], Truth]
    ignored: bool = False
    widened: bool = False


def _not(value: Truth) -> Truth:
    return None if value is None else not value


def _and(one: Truth, other: Truth) -> Truth:
    if one is False or other is False:
        return False
    return None if one is None or other is None else True


def _or(one: Truth, other: Truth) -> Truth:
    return _not(_and(_not(one), _not(other)))


COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "": lambda a, b: a == b,
    "__eq": lambda a, b: a == b,
    "__exact": lambda a, b: a == b,
    "__neq": lambda a, b: a != b,
    "__lt": lambda a, b: a < b,
    "__lte": lambda a, b: a <= b,
    "__gt": lambda a, b: a > b,
    "__gte": lambda a, b: a >= b,
}
CONTAIN: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda text, part: part in text,
    "startswith": lambda text, part: text.startswith(part),
    "endswith": lambda text, part: text.endswith(part),
}

pieces = st.sampled_from(
    ["a", "A", "b", "é", "%", "_", "\\", "'", '"', ";", "--", "?", "%s", "{a}", " ", "*", "/*", "\n", "0"]
)
texts = st.one_of(
    st.lists(pieces, max_size=4).map("".join),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=4),
)
integers = st.one_of(st.integers(-2, 3), st.integers(-(2**63), 2**63 - 1))
rows = st.lists(
    st.fixed_dictionaries(
        {name: st.none() | texts for name in TEXTS} | {name: st.none() | integers for name in NUMBERS},
    ),
    max_size=6,
)


def _compared(column: str, operator: str, value: Any) -> Case:
    compare = COMPARE[operator]
    return Case(
        Q(**{f"{column}{operator}": value}),
        lambda row, fold: None if row[column] is None else compare(row[column], value),
    )


def _with_column(columns: Sequence[str], operator: str) -> Case:
    one, other = columns[0], columns[1]
    compare = COMPARE[operator]
    return Case(
        Q(**{f"{one}{operator}": F(other)}),
        lambda row, fold: None if None in (row[one], row[other]) else compare(row[one], row[other]),
    )


def _listed(column: str, values: list[Any], negated: bool) -> Case:
    def truth(row: Row, fold: Callable[[str], str]) -> Truth:
        if not values:
            return negated
        return None if row[column] is None else (row[column] in values) != negated

    return Case(Q(**{f"{column}__{'notin' if negated else 'in'}": values}), truth)


def _between(column: str, low: Any, high: Any, negated: bool) -> Case:
    def truth(row: Row, fold: Callable[[str], str]) -> Truth:
        return None if row[column] is None else (low <= row[column] <= high) != negated

    return Case(Q(**{f"{column}__{'nbetween' if negated else 'between'}": (low, high)}), truth)


def _contained(column: str, operator: str, part: str, negated: bool) -> Case:
    def truth(row: Row, fold: Callable[[str], str]) -> Truth:
        return None if row[column] is None else CONTAIN[operator](fold(row[column]), fold(part)) != negated

    return Case(Q(**{f"{column}__{'n' * negated}{operator}": part}), truth)


def _null(column: str, wanted: bool) -> Case:
    return Case(Q(**{f"{column}__isnull": wanted}), lambda row, fold: (row[column] is None) == wanted)


def _ignored(column: str, operator: str) -> Case:
    return Case(Q(**{f"{column}{operator}": None}), lambda row, fold: True, ignored=True, widened=True)


def _leaves(columns: Sequence[str], values: st.SearchStrategy[Any]) -> st.SearchStrategy[Case]:
    column, operator, negated = st.sampled_from(columns), st.sampled_from(list(COMPARE)), st.booleans()
    return st.one_of(
        st.builds(_compared, column, operator, values),
        st.builds(_with_column, st.permutations(columns), operator),
        st.builds(_listed, column, st.lists(values, max_size=4), negated),
        st.builds(_between, column, values, values, negated),
        st.builds(_null, column, negated),
    )


leaves = st.one_of(
    _leaves(TEXTS, texts),
    _leaves(NUMBERS, integers),
    st.builds(_contained, st.sampled_from(TEXTS), st.sampled_from(list(CONTAIN)), texts, st.booleans()),
)
ignored = st.builds(_ignored, st.sampled_from(TEXTS + NUMBERS), st.sampled_from(["", "__gte", "__in", "__contains"]))


def _both(one: Case, other: Case, join: Callable[[Q, Q], Q], truth: Callable[[Truth, Truth], Truth]) -> Case:
    q, widened = join(one.q, other.q), one.widened or other.widened
    if one.ignored or other.ignored:
        left = other if one.ignored else one
        return Case(q, left.truth, left.ignored, widened)
    return Case(q, lambda row, fold: truth(one.truth(row, fold), other.truth(row, fold)), False, widened)


def _combined(cases: st.SearchStrategy[Case]) -> st.SearchStrategy[Case]:
    def opposite(case: Case) -> Case:
        if case.ignored:
            return case._replace(q=~case.q)
        return case._replace(q=~case.q, truth=lambda row, fold: _not(case.truth(row, fold)))

    return st.one_of(
        st.builds(lambda one, other: _both(one, other, lambda a, b: a & b, _and), cases, cases),
        st.builds(lambda one, other: _both(one, other, lambda a, b: a | b, _or), cases, cases),
        st.builds(opposite, cases),
    )


whole = st.recursive(leaves, _combined, max_leaves=5)
"""Conditions without None."""

cases = st.recursive(leaves | ignored, _combined, max_leaves=5)
