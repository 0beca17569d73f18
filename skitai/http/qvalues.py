"""Lists of weighted names: the grammar shared by the Accept fields (RFC 9110, section 12.4.2)."""

from __future__ import annotations

import re

# RFC 9110, section 12.4.2: 0 to 1 with at most three digits after the point.
_WEIGHT = re.compile(r"0(?:\.\d{0,3})?|1(?:\.0{0,3})?", re.ASCII)


def weights(value: str) -> dict[str, float]:
    """The weight of each name of an Accept-like field value, in its order; names in lower case.

    Parameters other than ``q`` are passed over. An element whose weight is malformed is left out, as if it were not
    there; of a name that comes twice the first counts.
    """
    found: dict[str, float] = {}
    for element in value.split(","):
        name, *parameters = element.split(";")
        name = name.strip().lower()
        weight = _weight(parameters)
        if name and weight is not None:
            found.setdefault(name, weight)
    return found


def _weight(parameters: list[str]) -> float | None:
    for parameter in parameters:
        key, _, text = parameter.partition("=")
        if key.strip().lower() == "q":
            text = text.strip()
            return float(text) if _WEIGHT.fullmatch(text) else None
    return 1.0
