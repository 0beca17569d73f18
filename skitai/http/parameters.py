"""Field values with parameters, ``text/html; charset=utf-8`` (RFC 9110, section 5.6.6)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

LONGEST = 1024
"""Longer values are read like others, only not remembered."""


def split(value: str) -> tuple[str, Mapping[str, str]]:
    """The value without its parameters, and these: names in lower case, quotes and backslashes taken off.

    Of a parameter that comes twice the first counts; what is no ``name=value`` is passed over.
    """
    return _remembered(value) if len(value) <= LONGEST else _split(value)


def essence(content_type: str) -> str:
    """A media type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower() if content_type else ""


def _split(value: str) -> tuple[str, Mapping[str, str]]:
    main, _, rest = value.partition(";")
    found: dict[str, str] = {}
    while rest:
        name, equals, rest = _name(rest)
        if not equals:
            continue
        text, rest = _value(rest.lstrip(" \t"))
        if name:
            found.setdefault(name, text)
    return main.strip(), MappingProxyType(found)


_remembered = lru_cache(maxsize=256)(_split)


def _name(rest: str) -> tuple[str, str, str]:
    """The next parameter's name, "=" if it has a value, and what follows."""
    equals, end = rest.find("="), rest.find(";")
    if equals < 0 or 0 <= end < equals:
        return "", "", rest[end + 1 :] if end >= 0 else ""
    return rest[:equals].strip().lower(), "=", rest[equals + 1 :]


def _value(rest: str) -> tuple[str, str]:
    """A token or quoted string, and what follows its semicolon."""
    if not rest.startswith('"'):
        text, _, rest = rest.partition(";")
        return text.strip(), rest
    pieces: list[str] = []
    at = 1
    while at < len(rest) and rest[at] != '"':
        if rest[at] == "\\" and at + 1 < len(rest):
            at += 1
        pieces.append(rest[at])
        at += 1
    return "".join(pieces), rest[at + 1 :].partition(";")[2]
