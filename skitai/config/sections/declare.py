"""How an option is declared."""

from __future__ import annotations

from dataclasses import field
from typing import Any

MIB = 1 << 20


def option(
    default: Any,
    help: str,
    *,
    unit: str = "",
    short: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    also: tuple[str, ...] = (),
    secret: bool = False,
) -> Any:
    """Declare an option.

    :param unit: of the value, for people ("s", "bytes", "%").
    :param short: one-letter flag.
    :param also: older spellings accepted as keywords of `run`.
    :param secret: never shown and no flag: a command line is everybody's to read.
    """
    metadata = {"help": help, "unit": unit, "short": short, "minimum": minimum, "maximum": maximum}
    return field(default=default, repr=not secret, metadata=metadata | {"choices": choices, "also": also, "secret": secret})
