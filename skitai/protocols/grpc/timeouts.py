"""``grpc-timeout``: at most eight digits and a unit."""

from __future__ import annotations

import re
from math import ceil

MOST = 99_999_999

_UNITS = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "S": 1.0, "M": 60.0, "H": 3600.0}
_TIMEOUT = re.compile(r"([0-9]{1,8})([numSMH])").fullmatch


def parse(text: str) -> float:
    """Seconds.

    :raises ValueError: it is no timeout.
    """
    found = _TIMEOUT(text)
    if found is None:
        raise ValueError(f"grpc-timeout {text[:20]!r} is not a number of at most eight digits and a unit")
    return int(found[1]) * _UNITS[found[2]]


def dump(seconds: float) -> str:
    """A timeout as a field carries it, never shorter than it is."""
    if seconds <= 0:
        return "0n"
    for unit, size in _UNITS.items():
        number = ceil(round(seconds / size, 6))
        if number <= MOST:
            return f"{number}{unit}"
    return f"{MOST}H"
