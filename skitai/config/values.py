"""Values of options: from text (flags, environment) or as given by a call or a file, to the declared type."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from typing import Any

from skitai.config.tree import Option

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE | re.ASCII)
_FACTORS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_LIST = re.compile(r"[,\s]+")


def convert(option: Option, value: object) -> Any:
    """Make a value that the option can hold.

    Text stands for any type: ``"64M"`` is a size, ``"yes"`` a bool, ``"a, b"`` a list.

    :raises ValueError: with a message that says what was seen and what would be right.
    """
    try:
        converted = _CONVERTERS[option.type](option, value)
    except ValueError as error:
        if option.secret:
            raise ValueError("is not plain text; what was given is not shown") from None
        raise error
    if option.choices and converted not in option.choices:
        raise ValueError(f"{converted!r} is not one of {', '.join(option.choices)}")
    if option.minimum is not None and converted < option.minimum:
        raise ValueError(f"{shown(converted)} is below {shown(option.minimum)}")
    if option.maximum is not None and converted > option.maximum:
        raise ValueError(f"{shown(converted)} is above {shown(option.maximum)}")
    return converted


def size(value: object) -> int:
    """A number of bytes: 1048576, "1048576", "1M" or "1 MiB".

    :raises ValueError: for anything else.
    """
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        return (
            int(float(match[1]) * _FACTORS[match[2].upper()])
            if "." in match[1]
            else int(match[1]) * _FACTORS[match[2].upper()]
        )
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ValueError(f"{value!r} is not a size in bytes, such as 1048576 or '64M'")


def shown(value: object) -> str:
    """A value as `check` and the documentation print it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, tuple):
        return ", ".join(value)
    return str(value)


def _int(option: Option, value: object) -> int:
    if option.unit == "bytes":
        return size(value)
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?\d+\s*", value, re.ASCII):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError(f"{value!r} is not a whole number")


def _float(option: Option, value: object) -> float:
    number = math.nan
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            number = math.nan
    elif isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not a number" + (f" ({option.unit})" if option.unit else ""))
    return number


def _bool(option: Option, value: object) -> bool:
    if isinstance(value, str) and value.strip().lower() in _WORDS:
        return _WORDS[value.strip().lower()]
    if isinstance(value, int) and value in {0, 1}:
        return bool(value)
    raise ValueError(f"{value!r} is neither yes nor no")


def _str(option: Option, value: object) -> str:
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(text, str):
        raise ValueError(f"{value!r} is not text")
    if "\0" in text:
        raise ValueError(f"{text!r} holds a NUL character")
    return text


def _tuple(option: Option, value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(item for item in _LIST.split(value) if item)
    if isinstance(value, list | tuple) and all(isinstance(item, str) and item for item in value):
        return tuple(value)
    raise ValueError(f"{value!r} is not a list of texts")


_CONVERTERS: dict[str, Callable[[Option, object], Any]] = {
    "int": _int,
    "float": _float,
    "bool": _bool,
    "str": _str,
    "tuple[str, ...]": _tuple,
}
