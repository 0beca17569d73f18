"""Values of an app as JSON and back, each with its type: for what is kept in cookies and tokens.

JSON's own types, and tuple, bytes, set, date, datetime and Decimal. Nothing else: what a client hands back must never be
able to make objects of an app's classes.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

TAG = "~"
"""The key of an object that stands for a value of another type, and holds its name; the value is under "v"."""

_PLAIN = frozenset({str, int, float, bool, type(None)})

_PACK: dict[type, tuple[str, Callable[[Any], Any]]] = {
    tuple: ("tuple", lambda value: [_packed(each) for each in value]),
    set: ("set", lambda value: [_packed(each) for each in value]),
    bytes: ("bytes", lambda value: b64encode(value).decode("ascii")),
    datetime: ("datetime", datetime.isoformat),
    date: ("date", date.isoformat),
    Decimal: ("Decimal", str),
}

_UNPACK: dict[str, Callable[[Any], Any]] = {
    "tuple": tuple,
    "set": set,
    "bytes": b64decode,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "Decimal": Decimal,
    "dict": dict,
}


def pack(value: Any) -> str:
    """A value as text.

    :raises TypeError: it is, or holds, a value of another type. Subclasses are others: they would come back as their base.
    """
    return _ENCODER.encode(_packed(value))


def unpack(text: str) -> Any:
    """The value that `pack` made a text of. Only for texts that are known to be ours."""
    return _DECODER.raw_decode(text)[0]


def _packed(value: Any) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is list:
        return [_packed(each) for each in value]
    if kind is dict:
        return _packed_dict(value)
    known = _PACK.get(kind)
    if known is None:
        raise TypeError(
            f"a {kind.__module__}.{kind.__qualname__} cannot be kept in a cookie or token; values of JSON's types, tuple, "
            f"bytes, set, date, datetime and Decimal can"
        )
    return {TAG: known[0], "v": known[1](value)}


def _packed_dict(value: dict[Any, Any]) -> dict[str, Any]:
    for key in value:
        if type(key) is not str:
            raise TypeError(f"the key {key!r} of a dictionary cannot be kept in a cookie or token; keys are to be str")
    items = {key: _packed(each) for key, each in value.items()}
    return {TAG: "dict", "v": list(items.items())} if TAG in items else items


def _unpacked(items: dict[str, Any]) -> Any:
    kind = items.get(TAG)
    return items if kind is None else _UNPACK[kind](items["v"])


_ENCODER = json.JSONEncoder(separators=(",", ":"))
_DECODER = json.JSONDecoder(object_hook=_unpacked)
