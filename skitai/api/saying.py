"""What the public functions have in common: noting what was said, and at which line; refusing what is of a wrong type."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from skitai.config.draft import Draft, Given
from skitai.config.draft import own as own_draft

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def put(name: str, value: Any) -> None:
    """Give an option a value, unless the draft is closed."""
    draft = own_draft()
    if not draft.closed:
        draft.set(name, value, caller(draft))


def note(into: list[Given], value: Any) -> None:
    """Add to a list of the draft, unless that is closed."""
    draft = own_draft()
    if not draft.closed:
        into.append(Given(value, caller(draft)))


def caller(draft: Draft) -> str:
    """FILE:LINE of the call into this package, the file relative to the start script's folder where it lies below."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    name = frame.f_code.co_filename.removeprefix(draft.folder.rstrip(os.sep) + os.sep)
    return f"{name}:{frame.f_lineno}"


def flat(names: tuple[object, ...], where: str) -> list[str]:
    """Texts out of lists of them, however they are nested.

    :param where: who was called with them, for errors.
    :raises TypeError: one is no text.
    :raises ValueError: one is empty.
    """
    texts: list[str] = []
    for name in names:
        texts += flat(tuple(name), where) if isinstance(name, list | tuple | set) else [name]  # type: ignore[list-item]
    for name in texts:
        expect(name, str, where)
        if not name:
            raise ValueError(f"{where}: empty text means nothing")
    return texts


def items(pairs: object, name: str) -> list[tuple[Any, Any]]:
    """The pairs of a dictionary that `run` was given.

    :raises TypeError: it is none.
    """
    if not isinstance(pairs, Mapping):
        raise TypeError(f"run() {name} is {pairs!r}: it should be a dictionary")
    return list(pairs.items())


def number(value: object, where: str) -> float:
    """A number from 0 up.

    :raises TypeError: it is no number.
    :raises ValueError: it is less than 0.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{where} is {value!r}: it should be a number")
    if value < 0:
        raise ValueError(f"{where} is {value!r}: it should be 0 or more")
    return value


def expect(value: object, kind: Any, where: str, wanted: str = "") -> None:
    """Refuse what is of another type; a bool is no whole number.

    :raises TypeError: with what it should be: `wanted`, or the usual words.
    """
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise TypeError(f"{where} is {value!r}: it should be {wanted or WANTED[kind]}")


WANTED: dict[Any, str] = {str: "text", int: "a whole number"}
