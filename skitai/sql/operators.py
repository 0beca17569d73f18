"""What a condition may say of a column: ``name__startswith`` is the column ``name`` and the operator ``startswith``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from skitai.sql.errors import BadStatement
from skitai.sql.names import plain
from skitai.sql.pieces import Expression, Manner, Pieces, joined, operand

Write = Callable[[str, Any, Manner], Pieces]
"""Writes a condition: of a column, with a value."""

COMPARISONS = {"eq": "=", "exact": "=", "neq": "<>", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}

PATTERNS = {"contains": ("%", "%"), "startswith": ("", "%"), "endswith": ("%", "")}
"""What is before and after the text in the pattern of a LIKE."""


def split(key: str) -> tuple[str, str]:
    """The column and the operator of a keyword.

    :returns: the column as it is written, "" where there is none; the operator is "eq" where none is named.
    :raises BadStatement: a part is no name, or the last of three is no operator.
    """
    parts = key.split("__")
    operator = "eq"
    if len(parts) > 1 and parts[-1] in OPERATORS:
        operator = parts.pop()
    if parts == [""]:
        return "", operator
    if len(parts) > 2:
        raise BadStatement(f"{key}: there is no operator {parts[-1]!r}, but {', '.join(OPERATORS)}")
    return ".".join(map(plain, parts)), operator


def between(value: Any, manner: Manner) -> Pieces:
    """The ends of a range.

    :raises BadStatement: there are not two, or one is None, between which and anything else nothing is.
    """
    if isinstance(value, Expression):
        return value.pieces(manner)
    ends = tuple(value) if isinstance(value, Iterable) and not isinstance(value, (str, bytes)) else ()
    if len(ends) != 2 or None in ends:
        raise BadStatement(f"{value!r} is no range: two values are")
    return joined((operand(each, manner) for each in ends), " AND ")


def listed(value: Any, manner: Manner) -> Pieces:
    """The values of a list, without parentheses; empty for an empty one.

    :raises BadStatement: it is none, or has a None, which is in no list for SQL.
    """
    if isinstance(value, Expression):
        return value.pieces(manner)
    if isinstance(value, (str, bytes, dict)) or not isinstance(value, Iterable):
        raise BadStatement(f"{value!r} is no list of values")
    members = tuple(value)
    if any(each is None for each in members):
        raise BadStatement(f"{value!r} has a None, which is never in a list: ask for it with isnull")
    return joined((operand(each, manner) for each in members), ",")


def pattern(kind: str, value: Any, manner: Manner) -> Pieces:
    """What follows a LIKE, for a text that is meant as it is.

    :raises BadStatement: it is no text.
    """
    before, after = PATTERNS[kind]
    if isinstance(value, Expression):
        inner = operand(value, manner)
        return [f"'{before}' || " * bool(before), *inner, f" || '{after}'" * bool(after)]
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        raise BadStatement(f"{value!r} is no text to look for")
    text = str(value)
    if "\0" in text:
        raise BadStatement(f"{text!r} contains a NUL, where SQL's patterns end")
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    made = operand(f"{before}{escaped}{after}", manner)
    return [*made, manner.engine.escape] if escaped != text else made


def _comparison(sign: str) -> Write:
    return lambda column, value, manner: [f"{column} {sign} ", *operand(value, manner)]


def _like(column: str, value: Any, manner: Manner) -> Pieces:
    return [f"{column} LIKE ", *operand(value, manner)]


def _matching(kind: str) -> Write:
    return lambda column, value, manner: [f"{column} LIKE ", *pattern(kind, value, manner)]


def _in(column: str, value: Any, manner: Manner) -> Pieces:
    members = listed(value, manner)
    return [f"{column} IN (", *members, ")"] if members else ["1 = 0"]


def _between(column: str, value: Any, manner: Manner) -> Pieces:
    return [f"{column} BETWEEN ", *between(value, manner)]


def _isnull(column: str, value: Any, manner: Manner) -> Pieces:
    return [f"{column} IS NULL" if _said(value, "isnull") else f"{column} IS NOT NULL"]


def _all(column: str, value: Any, manner: Manner) -> Pieces:
    return ["1 = 1" if _said(value, "all") else "1 = 0"]


def _exists(column: str, value: Any, manner: Manner) -> Pieces:
    if not isinstance(value, Expression):
        raise BadStatement(f"exists={value!r}: a select is wanted")
    return ["EXISTS (", *value.pieces(manner), ")"]


def _said(value: Any, operator: str) -> bool:
    if not isinstance(value, bool):
        raise BadStatement(f"{operator}={value!r}: True or False is wanted")
    return value


OPERATORS: dict[str, Write] = {
    **{name: _comparison(sign) for name, sign in COMPARISONS.items()},
    "in": _in,
    "between": _between,
    "like": _like,
    **{name: _matching(name) for name in PATTERNS},
    "isnull": _isnull,
    "all": _all,
    "exists": _exists,
}

WITHOUT_COLUMN = frozenset(("all", "exists", "nexists"))

NEGATED = {"notin": "in", **{f"n{name}": name for name in ("in", "between", "like", *PATTERNS, "exists")}}
"""Operators that say the opposite of others."""


def _negated(name: str) -> Write:
    write = OPERATORS[name]
    return lambda column, value, manner: _opposite(write(column, value, manner))


def _opposite(condition: Pieces) -> Pieces:
    """NOT goes where it is read most easily."""
    first = condition[0]
    if first == "1 = 0":
        return ["1 = 1"]
    if isinstance(first, str):
        for word in (" IN (", " BETWEEN ", " LIKE "):
            if first.endswith(word):
                return [first.removesuffix(word) + " NOT" + word, *condition[1:]]
    return ["NOT ", *condition]


OPERATORS |= {name: _negated(positive) for name, positive in NEGATED.items()}
