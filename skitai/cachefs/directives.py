"""Cache-Control (RFC 9111, section 5.2): read strictly; what cannot be read never makes an answer live longer."""

from __future__ import annotations

import re
from functools import lru_cache

from skitai.http.head import Fields

LONGEST_S = 1 << 31
"""Section 1.2.2: numbers beyond it mean just that."""

LONGEST_REMEMBERED = 256
"""Longer values are read like others, only not remembered."""

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_ELEMENT = re.compile(rf'[ \t]*({_TOKEN})(?:=(?:({_TOKEN})|"((?:[^"\\]|\\.)*)"))?[ \t]*(?:,|$)').match
_NAME = re.compile(rf"[ \t]*({_TOKEN})").match
_SECONDS = re.compile(r"[0-9]+", re.ASCII).fullmatch

UNREADABLE = "\0"
"""The value of a directive that breaks the grammar, or that comes twice with different values."""


class Directives:
    """The directives of one field; names in lower case."""

    __slots__ = ("_values",)

    def __init__(self, values: dict[str, str | None]) -> None:
        self._values = values

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def seconds(self, name: str, unreadable: int = 0) -> int | None:
        """The argument of a directive as seconds; None when it is not there.

        :param unreadable: what an argument means that is none, or that came twice with different values.
        """
        if name not in self._values:
            return None
        value = self._values[name]
        if value is None or not _SECONDS(value):
            return unreadable
        return min(int(value), LONGEST_S) if len(value) < 12 else LONGEST_S

    def bare(self, name: str) -> bool:
        """Whether a directive is there without an argument."""
        return name in self._values and self._values[name] is None

    def __repr__(self) -> str:
        return f"<Directives {' '.join(self._values)}>"


def read(value: str) -> Directives:
    """Read a field value."""
    return _remembered(value) if len(value) <= LONGEST_REMEMBERED else _read(value)


def _read(value: str) -> Directives:
    values: dict[str, str | None] = {}
    at = 0
    while at < len(value):
        found = _ELEMENT(value, at)
        if found:
            name, token, quoted = found.groups()
            argument = token if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            at = found.end()
        else:
            end = value.find(",", at)
            end = len(value) if end < 0 else end
            named = _NAME(value, at)
            name, argument = (named[1] if named else ""), UNREADABLE
            at = end + 1
        name = name.lower()
        if name:
            values[name] = argument if values.get(name, argument) == argument else UNREADABLE
    return Directives(values)


_remembered = lru_cache(maxsize=512)(_read)


def of(fields: Fields) -> Directives:
    """The Cache-Control of a message; of one that has none, its Pragma counts (section 5.4)."""
    value = fields.get(b"cache-control")
    if value is None:
        pragma = fields.get(b"pragma")
        value = b"no-cache" if pragma is not None and b"no-cache" in pragma.lower() else b""
    return read(value.decode("latin-1"))
