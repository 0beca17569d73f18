"""Rules of routes: ``/episode/<int:id>`` taken apart, values read from paths, and paths made of values.

A parameter stands for one segment, or for a part of one between literal text (``/<name>.html``). Its type is ``int``
(digits), ``float`` (digits and a point), ``string`` (anything in the segment, and what a parameter without a type is) or
``path`` (the rest of the path, slashes included; at the end only). A parameter that is just called ``path`` and ends the
rule is one of that type.

A space is an underscore in a string and a plus in a path, so that addresses read well. An underscore that is meant as one
is ``%5F``: what `Parameter.write` writes, `Parameter.read` reads back unchanged. The exception is what leads upwards,
``a/../b``: no rule takes it, however it is encoded, for apps put such values behind the name of a folder.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import quote, unquote, unquote_plus

TYPES = ("int", "float", "string", "path")
"""In the order in which they are tried."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a rule.

    :ivar kind: one of `TYPES`.
    :ivar prefix: literal text before it in its segment, as it stands in a path (percent-encoded).
    :ivar suffix: literal text after it.
    """

    name: str
    kind: str = "string"
    prefix: str = ""
    suffix: str = ""

    @property
    def precedence(self) -> tuple[int, int, int, str, str]:
        """The lower, the earlier it is tried; equal for those that take the same."""
        return -len(self.prefix), -len(self.suffix), TYPES.index(self.kind), self.prefix, self.suffix

    def read(self, segment: str) -> Any:
        """The value in a segment (of a path: in the rest of the path), None when it has none.

        :param segment: as received, percent-encoded.
        """
        if self.prefix or self.suffix:
            if not (segment.startswith(self.prefix) and segment.endswith(self.suffix)):
                return None
            segment = segment[len(self.prefix) : len(segment) - len(self.suffix)]
        return READERS[self.kind](segment) if segment else None

    def write(self, value: Any) -> str:
        """The segment for a value.

        :raises ValueError: the value has no place in a URL, or not in one of this type.
        """
        text = WRITERS[self.kind](value)
        if not text:
            raise ValueError(f"{self.name!r} is empty, and a part of a path cannot be")
        return f"{self.prefix}{text}{self.suffix}"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule taken apart.

    :ivar text: as it was written, its mount in front.
    :ivar segments: literal text or a parameter for what is between two slashes; ``""`` last when the rule ends with one.
    """

    text: str
    segments: tuple[str | Parameter, ...]

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return tuple(each for each in self.segments if isinstance(each, Parameter))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters, in order."""
        return tuple(each.name for each in self.parameters)

    @property
    def base(self) -> str:
        """The path up to the first parameter; all of it when there is none."""
        texts: list[str] = []
        for each in self.segments:
            if isinstance(each, Parameter):
                texts.append(each.prefix)
                break
            texts.append(quote(each, safe=SAFE))
        return "/" + "/".join(texts)

    def shortened(self) -> Rule | None:
        """The rule without its last parameter; None when it does not end with one, or nothing but "/" would be left."""
        last = self.segments[-1]
        if len(self.segments) < 2 or not isinstance(last, Parameter) or last.prefix or last.suffix:
            return None
        return Rule(self.text.rpartition("/")[0], self.segments[:-1])

    def write(self, values: dict[str, Any]) -> str:
        """The path for values by parameter name.

        :raises KeyError: a value is missing.
        :raises ValueError: a value does not fit.
        """
        texts = [
            each.write(values[each.name]) if isinstance(each, Parameter) else quote(each, safe=SAFE)
            for each in self.segments
        ]
        return "/" + "/".join(texts)


SAFE = "!$&'()*+,-./:;=@_~"
"""What a literal part of a path may hold without percent-encoding (RFC 3986, section 3.3)."""


def parse(text: str) -> Rule:
    """Take a rule apart.

    :raises ValueError: it is none, and why.
    """
    if not text.startswith("/"):
        raise ValueError(f"the rule {text!r} does not begin with '/'")
    if "//" in text or "?" in text or "#" in text:
        raise ValueError(f"the rule {text!r} has '//', '?' or '#', which no path has")
    written = text[1:].split("/")
    segments = tuple(_segment(text, each, is_last=number == len(written)) for number, each in enumerate(written, 1))
    rule = Rule(text, segments)
    if len(set(rule.names)) != len(rule.names):
        raise ValueError(f"the rule {text!r} has two parameters of one name")
    return rule


def _segment(rule: str, text: str, *, is_last: bool) -> str | Parameter:
    prefix, opening, rest = text.partition("<")
    inside, closing, suffix = rest.partition(">")
    if not opening:
        if ">" in text:
            raise ValueError(f"the rule {rule!r} has a '>' without '<'")
        return unquote(text)
    if not closing or "<" in inside or "<" in suffix or ">" in suffix:
        raise ValueError(f"the rule {rule!r} has to have one '<name>' at most between two slashes, and not {text!r}")
    kind, colon, name = inside.rpartition(":")
    name = name.strip()
    if not colon:
        kind = "path" if name == "path" and is_last and text == "<path>" else "string"
    kind = kind.strip()
    if kind not in TYPES:
        raise ValueError(f"the rule {rule!r} has the type {kind!r}; types are {', '.join(TYPES)}")
    if not name.isidentifier():
        raise ValueError(f"the rule {rule!r} calls a parameter {name!r}, which is no name of an argument")
    if kind == "path" and (suffix or not is_last):
        raise ValueError(f"the rule {rule!r} goes on after {text!r}, which takes all the rest")
    return Parameter(name, kind, quote(prefix, safe=SAFE), quote(suffix, safe=SAFE))


def _read_int(text: str) -> int | None:
    if not (text.isascii() and text.isdigit()):
        return None
    try:
        return int(text)
    except ValueError:  # thousands of digits
        return None


def _read_float(text: str) -> float | None:
    if not text.isascii() or not text.replace(".", "", 1).isdigit():
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def _read_string(text: str) -> str | None:
    text = text.replace("_", " ") if "_" in text else text
    return _inside(unquote(text) if "%" in text else text)


def _read_path(text: str) -> str | None:
    return _inside(unquote_plus(text))


def _inside(text: str) -> str | None:
    """The value, unless it leads upwards."""
    return None if ".." in text and ".." in text.split("/") else text


def _write_int(value: Any) -> str:
    text = str(int(value) if isinstance(value, bool) else value)
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{value!r} is not digits")
    return text


def _write_float(value: Any) -> str:
    number = float(value)
    if not math.isfinite(number) or math.copysign(1, number) < 0:
        raise ValueError(f"{value!r} is not a number of digits and a point")
    return f"{Decimal(repr(number)):f}"


def _write_string(value: Any) -> str:
    return _no_dots(quote(str(value), safe="_ ").replace("_", "%5F").replace(" ", "_"))


def _write_path(value: Any) -> str:
    text = "/".join(_no_dots(each) for each in quote(str(value), safe="/ ").replace(" ", "+").split("/"))
    # a first slash would make of "/" + value the name of another host
    return f"%2F{text[1:]}" if text.startswith("/") else text


def _no_dots(segment: str) -> str:
    """A segment that no client takes for one that leads upwards."""
    return segment.replace(".", "%2E") if segment in (".", "..") else segment


READERS: dict[str, Any] = {"int": _read_int, "float": _read_float, "string": _read_string, "path": _read_path}
WRITERS: dict[str, Any] = {"int": _write_int, "float": _write_float, "string": _write_string, "path": _write_path}
