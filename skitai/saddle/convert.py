"""From annotations to converters: what a request says, as what a function wants, or a reason why not.

Queries and forms say text, JSON says values of its own. A converter takes both: text is read, a JSON value is checked.
Text is read leniently where people write it (``yes``, ``on``, an empty field of a form), JSON strictly.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import math
import re
import types
import typing
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

Converter = Callable[[Any], Any]
"""Gives the converted value, or raises Unfit."""


class Unfit(Exception):
    """A value does not fit its annotation; the message is the reason."""


def converter(annotation: Any) -> Converter | None:
    """What converts to an annotation; None for one that takes everything.

    Known are ``int float bool str bytes date datetime time timedelta Decimal UUID``, ``list set tuple dict`` with or without
    what is in them, ``Optional``, unions, ``Literal``, ``Annotated``, enumerations and dataclasses. Of any other class, a
    value has to be an instance.
    """
    if annotation in (Any, object, None):
        return None
    simple = _SIMPLE.get(annotation) if _hashable(annotation) else None
    if simple is not None:
        return simple
    origin = typing.get_origin(annotation)
    if origin is not None:
        return _generic(origin, typing.get_args(annotation))
    if isinstance(annotation, typing.NewType):
        return converter(annotation.__supertype__)
    if not isinstance(annotation, type):
        return None
    if dataclasses.is_dataclass(annotation):
        return Record(annotation)
    if issubclass(annotation, enum.Enum):
        return partial(_enumerated, annotation)
    if annotation in _CONTAINERS:
        return _generic(annotation, ())
    return partial(_instance, annotation)


def _hashable(annotation: Any) -> bool:
    try:
        hash(annotation)
    except TypeError:  # Annotated[int, []]
        return False
    return True


def _generic(origin: Any, arguments: tuple[Any, ...]) -> Converter | None:
    if origin is typing.Annotated:
        return converter(arguments[0])
    if origin is typing.Literal:
        return partial(_literal, arguments)
    if origin in (typing.Union, types.UnionType):
        return _union(arguments)
    if origin is tuple and arguments and arguments[-1] is not Ellipsis:
        return partial(_fixed, [converter(each) for each in arguments])
    if origin in _CONTAINERS:
        make, what = _CONTAINERS[origin]
        if make is dict:
            values = converter(arguments[1]) if len(arguments) == 2 else None
            return partial(_mapping, values)
        return partial(_items, make, what, converter(arguments[0]) if arguments else None)
    return partial(_instance, origin) if isinstance(origin, type) else None


def _int(value: Any) -> int:
    if isinstance(value, str):
        if re.fullmatch(r"\s*[+-]?[0-9]{1,1000}\s*", value):
            return int(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        return value
    elif isinstance(value, float) and value.is_integer():
        return int(value)
    raise Unfit(f"{shown(value)} is not an integer")


def _float(value: Any) -> float:
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = math.nan
        if math.isfinite(number) and not (isinstance(value, str) and "_" in value):
            return number
    raise Unfit(f"{shown(value)} is not a number")


_TRUE = frozenset(("1", "true", "yes", "on"))
_FALSE = frozenset(("0", "false", "no", "off", ""))


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
    raise Unfit(f"{shown(value)} is neither true nor false")


def _str(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise Unfit("it was given several times" if isinstance(value, list) else f"{shown(value)} is not text")


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else _str(value).encode()


def _read(make: Callable[[str], Any], what: str, value: Any) -> Any:
    """What a constructor of the standard library makes of text."""
    if isinstance(value, str):
        try:
            return make(value.strip())
        except (ValueError, decimal.InvalidOperation, OverflowError):
            pass
    raise Unfit(f"{shown(value)} is not {what}")


def _date(text: str) -> datetime.date:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise ValueError(text)
    return datetime.date.fromisoformat(text)


def _decimal(value: Any) -> decimal.Decimal:
    if isinstance(value, int) and not isinstance(value, bool):
        return decimal.Decimal(value)
    if isinstance(value, float):
        value = repr(value)
    number: decimal.Decimal = _read(decimal.Decimal, "a decimal number", value)
    if not number.is_finite():
        raise Unfit(f"{shown(value)} is not a decimal number")
    return number


def _seconds(value: Any) -> datetime.timedelta:
    try:
        return datetime.timedelta(seconds=_float(value))
    except (Unfit, OverflowError):
        raise Unfit(f"{shown(value)} is not a number of seconds") from None


_SIMPLE: dict[Any, Converter] = {
    int: _int,
    float: _float,
    bool: _bool,
    str: _str,
    bytes: _bytes,
    datetime.datetime: partial(_read, datetime.datetime.fromisoformat, "a date and time like 2030-12-31T23:59:00"),
    datetime.date: partial(_read, _date, "a date like 2030-12-31"),
    datetime.time: partial(_read, datetime.time.fromisoformat, "a time like 23:59"),
    datetime.timedelta: _seconds,
    decimal.Decimal: _decimal,
    uuid.UUID: partial(_read, uuid.UUID, "a UUID"),
}

_CONTAINERS: dict[Any, tuple[Callable[[Iterable[Any]], Any], str]] = {
    list: (list, "a list"),
    Sequence: (list, "a list"),
    Iterable: (list, "a list"),
    set: (set, "a list"),
    frozenset: (frozenset, "a list"),
    tuple: (tuple, "a list"),
    dict: (dict, "an object"),
    Mapping: (dict, "an object"),
}


def _listed(value: Any) -> list[Any]:
    """A text or file that was given once is a list of one."""
    if isinstance(value, (list, tuple)):
        return list(value)
    if value is None or isinstance(value, (dict, int, float)):
        raise Unfit(f"{shown(value)} is not a list")
    return [value]


def _items(make: Callable[[Iterable[Any]], Any], what: str, convert: Converter | None, value: Any) -> Any:
    if value == "" and convert is not None and convert is not _str:
        return make(())  # a field that was left empty
    items = _listed(value)
    if convert is not None:
        items = [_inner(f"item {number}", convert, each) for number, each in enumerate(items, 1)]
    try:
        return make(items)
    except TypeError:
        raise Unfit("a set of lists or objects cannot be") from None


def _fixed(converters: list[Converter | None], value: Any) -> tuple[Any, ...]:
    items = _listed(value)
    if len(items) != len(converters):
        raise Unfit(f"it has {len(items)} items and not {len(converters)}")
    pairs = enumerate(zip(converters, items, strict=True), 1)
    return tuple(item if convert is None else _inner(f"item {number}", convert, item) for number, (convert, item) in pairs)


def _mapping(convert: Converter | None, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Unfit(f"{shown(value)} is not an object")
    if convert is None:
        return value
    return {name: _inner(repr(name), convert, each) for name, each in value.items()}


def _inner(where: str, convert: Converter, value: Any) -> Any:
    try:
        return convert(value)
    except Unfit as error:
        raise Unfit(f"{where}: {error}") from None


def _union(members: tuple[Any, ...]) -> Converter | None:
    converters = [converter(each) for each in members if each is not type(None)]
    if None in converters:
        return None
    return partial(_either, [each for each in converters if each is not None], type(None) in members, str in members)


def _either(converters: list[Converter], optional: bool, texts: bool, value: Any) -> Any:
    if optional and (value is None or (value == "" and not texts)):
        return None
    reasons = []
    for convert in converters:
        try:
            return convert(value)
        except Unfit as error:
            reasons.append(str(error))
    raise Unfit(" and ".join(reasons))


def _literal(choices: tuple[Any, ...], value: Any) -> Any:
    for each in choices:
        if type(each) is type(value) and each == value:
            return each
    if isinstance(value, str):
        for each in choices:
            if str(each) == value:
                return each
    raise Unfit(f"{shown(value)} is none of {', '.join(map(str, choices))}")


def _enumerated(kind: type[enum.Enum], value: Any) -> enum.Enum:
    for each in kind:
        if type(each.value) is type(value) and each.value == value:
            return each
    if isinstance(value, str):
        for each in kind:
            if str(each.value) == value or each.name == value:
                return each
    raise Unfit(f"{shown(value)} is none of {', '.join(str(each.value) for each in kind)}")


def _instance(kind: type, value: Any) -> Any:
    if isinstance(value, kind):
        return value
    raise Unfit(f"{shown(value)} is no {kind.__name__}")


class Record:
    """Makes a dataclass of an object.

    :ivar names: of its fields that an object may give.
    """

    def __init__(self, kind: type) -> None:
        self.kind = kind
        self.names = frozenset(each.name for each in dataclasses.fields(kind) if each.init)

    @cached_property
    def _fields(self) -> list[tuple[str, Converter | None, bool]]:
        """Name, converter and whether it has to be given; made at first use, for a class may hold its own kind."""
        hints = typing.get_type_hints(self.kind, include_extras=True)
        given = [each for each in dataclasses.fields(self.kind) if each.init]
        return [(each.name, converter(hints[each.name]), _is_required(each)) for each in given]

    def __call__(self, value: Any) -> Any:
        if isinstance(value, self.kind):
            return value
        if not isinstance(value, dict):
            raise Unfit(f"{shown(value)} is not an object")
        reasons = [f"{name!r} is unknown" for name in value if name not in self.names]
        given: dict[str, Any] = {}
        for name, convert, required in self._fields:
            if name not in value:
                if required:
                    reasons.append(f"{name!r} is missing")
                continue
            try:
                given[name] = value[name] if convert is None else convert(value[name])
            except Unfit as error:
                reasons.append(f"{name!r}: {error}")
        if not reasons:
            try:
                return self.kind(**given)
            except ValueError as error:  # what its __post_init__ finds
                reasons.append(str(error))
        raise Unfit(", ".join(reasons))


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def shown(value: Any) -> str:
    """A value in a message: short, and not more of it than the reader needs."""
    text = repr(value) if not isinstance(value, (dict, list)) else ("an object" if isinstance(value, dict) else "a list")
    return text if len(text) <= 60 else f"{text[:57]}..."
