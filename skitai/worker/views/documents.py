"""What is asked of MongoDB to read collections; pure. Filters ask for equal values alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from skitai.errors import BadRequest
from skitai.http import jsontext
from skitai.worker.views.wishes import Wish

_NAME = re.compile(r"[\w-]+(?:\.[\w-]+)*").fullmatch
"""Names without ``$``, which begins operators."""

Pipeline = list[dict[str, Any]]
Same = Callable[[str], list[Any]]


def rows(wish: Wish) -> Pipeline:
    """The stages for some documents, and one more.

    :raises BadRequest: a filter asks for more than equal values, or is no name.
    """
    spec: dict[str, Any] = {}
    for each in wish.filters:
        if each.operator not in ("eq", "in"):
            raise BadRequest(f"{each.operator!r} cannot be asked of this database")
        values = each.value.split(",") if each.operator == "in" else [each.value]
        spec[_named(each.column)] = {"$in": [one for value in values for one in same(value)]}
    order = {_named(each.column): -1 if each.descending else 1 for each in wish.order} or {"_id": 1}
    return [{"$match": spec}, {"$sort": order}, {"$skip": wish.offset}, {"$limit": wish.limit + 1}]


def row(key: str, ids: Same) -> Pipeline:
    """The stages for one document.

    :param ids: what an identifier written so may be, beside text and JSON.
    """
    return [{"$match": {"_id": {"$in": [*same(key), *ids(key)]}}}, {"$limit": 1}]


def same(text: str) -> list[Any]:
    """The values that a text stands for: itself, and the number or the word that JSON takes it for."""
    try:
        value = jsontext.loads(text)
    except ValueError:
        return [text]
    if isinstance(value, str):
        return [value]
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        return [text]
    return [text, value] if value is None or isinstance(value, bool | int | float) else [text]


def _named(name: str) -> str:
    if not _NAME(name):
        raise BadRequest(f"{name!r} is no name of a field")
    return name
