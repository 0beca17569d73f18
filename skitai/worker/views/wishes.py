"""What a request wishes to read of a database, from its path and its query; pure.

``/`` wishes the tables, ``/TABLE`` rows of one, ``/TABLE/KEY`` one row. The query says which rows: ``limit``, ``offset``,
``order=name,-age``, and filters, ``name=Hans``, ``age__gte=18``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode

from skitai.errors import BadRequest, NotFound

OPERATORS = ("eq", "ne", "gt", "gte", "lt", "lte", "like", "in", "null")
FILTERS = 32
CHOICES = 100
"""Of one ``in``."""

FARTHEST = 1 << 53
_TRUTHS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


class Filter(NamedTuple):
    """:ivar operator: one of `OPERATORS`."""

    column: str
    operator: str
    value: str


class Order(NamedTuple):
    column: str
    descending: bool


@dataclass(frozen=True, slots=True)
class Wish:
    """:ivar table: "" for the list of all.
    :ivar key: of one row; None for several.
    """

    table: str = ""
    key: str | None = None
    limit: int = 0
    offset: int = 0
    order: tuple[Order, ...] = ()
    filters: tuple[Filter, ...] = ()


def read(below: str, query: str, most: int, usual: int) -> Wish:
    """What a request wishes.

    :param below: its path below the mount point, decoded, as latin-1 shows UTF-8.
    :param query: as sent.
    :param most: rows of an answer.
    :param usual: rows where the client names no number.
    :raises BadRequest: the query makes no sense.
    :raises NotFound: the path does not.
    """
    try:
        table, slash, key = below.encode("latin-1").decode("utf-8").partition("/")
    except UnicodeError:
        raise NotFound("no such table") from None
    if "\0" in below:
        raise NotFound("no such table")
    if not table and slash:
        raise NotFound("no such table")
    pairs = _pairs(query)
    if not table or key:
        if pairs:
            raise BadRequest(f"{pairs[0][0]!r} means nothing here")
        return Wish(table, key or None)
    limit, offset = min(usual, most), 0
    order: tuple[Order, ...] = ()
    filters: list[Filter] = []
    for name, value in pairs:
        match name:
            case "limit":
                limit = _number(name, value, most)
            case "offset":
                offset = _number(name, value, FARTHEST)
            case "order":
                order = tuple(Order(each.removeprefix("-"), each.startswith("-")) for each in value.split(","))
            case _:
                filters.append(_filter(name, value))
    return Wish(table, None, limit, offset, order, tuple(filters))


def _pairs(query: str) -> list[tuple[str, str]]:
    try:
        found = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), errors="strict", max_num_fields=FILTERS)
    except ValueError:
        raise BadRequest(f"the query is none, or has more than {FILTERS} parts") from None
    for each in found:
        if "\0" in each[0] or "\0" in each[1]:
            raise BadRequest("the query holds what no text can hold")
    return found


def _number(name: str, value: str, most: int) -> int:
    if not value.isascii() or not value.isdecimal() or len(value) > 16 or int(value) > most:
        raise BadRequest(f"{name} is a number from 0 to {most}")
    return int(value)


def _filter(name: str, value: str) -> Filter:
    column, _, operator = name.rpartition("__")
    if not column or operator not in OPERATORS:
        return Filter(name, "eq", value)
    if operator == "in" and value.count(",") >= CHOICES:
        raise BadRequest(f"{name} takes at most {CHOICES} values")
    if operator == "null" and value.lower() not in _TRUTHS:
        raise BadRequest(f"{name} is true or false")
    return Filter(column, operator, value)


def truth(value: str) -> bool:
    """What the value of ``null`` says."""
    return _TRUTHS[value.lower()]


def page(point: str, wish: Wish, rows: Sequence[Any]) -> dict[str, Any]:
    """The answer to a wish for rows.

    :param point: the mount point.
    :param rows: one more than wished, if there are more.
    """
    before = max(wish.offset - wish.limit, 0)
    return {
        "table": wish.table,
        "rows": list(rows[: wish.limit]),
        "limit": wish.limit,
        "offset": wish.offset,
        "next": _url(point, wish, wish.offset + wish.limit) if len(rows) > wish.limit > 0 else None,
        "previous": _url(point, wish, before) if wish.offset and wish.limit else None,
    }


def url(point: str, *parts: str) -> str:
    """The path of a table, or of a row."""
    return quote(point) + "/".join(quote(part, safe="") for part in parts)


def _url(point: str, wish: Wish, offset: int) -> str:
    asked: list[tuple[str, Any]] = [("limit", wish.limit), ("offset", offset)]
    if wish.order:
        asked.append(("order", ",".join("-" * each.descending + each.column for each in wish.order)))
    asked += [(f"{each.column}__{each.operator}", each.value) for each in wish.filters]
    return f"{url(point, wish.table)}?{urlencode(asked)}"
