"""Showing under debug that the code which answers is not the newest: that one is broken."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from typing import Any

FIELD = "X-Reload-Error"

Pairs = Sequence[tuple[Any, Any]]


class Stale:
    """An exchange whose response carries the reason; all else is the exchange's own."""

    __slots__ = ("_exchange", "_note")

    def __init__(self, exchange: Any, note: tuple[str, str]) -> None:
        object.__setattr__(self, "_exchange", exchange)
        object.__setattr__(self, "_note", note)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._exchange, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._exchange, name, value)

    def respond(self, status: int, fields: Pairs, body: bytes = b"", reason: str = "") -> bool:
        return bool(self._exchange.respond(status, [*fields, self._note], body, reason))

    def start(self, status: int, fields: Pairs, reason: str = "") -> bool:
        return bool(self._exchange.start(status, [*fields, self._note], reason))


def noting(handle: Callable[[Any], None], error: BaseException) -> Callable[[Any], None]:
    """An app's `handle` whose responses say in a field why newer code is not served."""
    text = " ".join(str(error).split()).encode("ascii", "backslashreplace").decode("ascii")
    note = (FIELD, text)
    return lambda exchange: handle(Stale(exchange, note))


def explain(error: BaseException) -> str:
    """The error with its causes and their rows, for a page."""
    return "".join(traceback.format_exception(error))
