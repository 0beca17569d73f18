"""JSON (RFC 8259), read and written by orjson, and by the standard library where orjson has no answer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from datetime import timedelta
from decimal import Decimal
from os import PathLike, fspath
from typing import Any

import orjson

_OPTIONS = orjson.OPT_NON_STR_KEYS


def loads(data: bytes | str) -> Any:
    """The value of a JSON text.

    :raises ValueError: it is none, or nests too deeply. NaN and Infinity are none.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        try:
            return json.loads(data, parse_constant=_no_number)  # integers of more than 64 bits
        except (ValueError, RecursionError):
            raise ValueError(str(error)) from None


def dumps(value: Any) -> bytes:
    """A value as JSON text in UTF-8.

    Beside JSON's own: dataclasses; dates and times (ISO 8601), UUIDs, enums, Decimals and paths as text; bytes as their
    UTF-8 text; sets and other iterables as arrays.

    :raises TypeError: something else is in it.
    """
    try:
        return orjson.dumps(value, _plain, _OPTIONS)
    except TypeError as error:
        if "JSON serializable" in str(error):
            raise
        # Integers of more than 64 bits, and texts with lone surrogates.
        return json.dumps(value, default=_plain, allow_nan=False, separators=(",", ":")).encode("ascii")


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, PathLike):
        return fspath(value)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, Iterable) and not hasattr(value, "read"):
        return list(value)
    raise TypeError(f"a {type(value).__name__} is not JSON serializable: {value!r}")
