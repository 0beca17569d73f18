"""Range requests (RFC 9110, section 14)."""

from __future__ import annotations

import re

Span = tuple[int, int]
"""First byte, and the byte after the last."""

# Section 14.1.1: the unit's name ignores case; section 5.6.1.2: a recipient accepts empty list elements.
_SPECIFIER = re.compile(r"bytes=([\d\-, \t]+)", re.ASCII | re.IGNORECASE)
_INT_RANGE = re.compile(r"(\d*)-(\d*)", re.ASCII)

# More digits than any length has; int() refuses thousands of them.
_MOST_DIGITS = 18


def select(value: str, length: int, limit: int) -> tuple[Span, ...] | None:
    """What a Range field asks of a representation.

    :param value: of the Range field.
    :param length: of the representation, in bytes.
    :param limit: most ranges accepted.
    :returns: None: send the whole (another unit, or not a well-formed field: section 14.2 lets a server ignore it);
        ``()``: 416, because nothing asked for exists, or because there are more ranges than the limit or some overlap;
        one span: a plain 206; several, in the order asked: a 206 of multipart/byteranges.
    """
    wanted = _parse(value)
    if wanted is None:
        return None
    if len(wanted) > limit:
        return ()
    spans: list[Span] = []
    for first, last in wanted:
        if first is None:
            if length == 0 and last:
                return None  # the last n bytes of nothing: satisfiable (section 14.1.2), and the whole says it best
            start, stop = max(0, length - (last or 0)), length
        else:
            start, stop = first, length if last is None else min(last + 1, length)
        if start < stop:
            spans.append((start, stop))
    return () if _overlap(spans) else tuple(spans)


def content_range(span: Span, length: int) -> str:
    """Value of Content-Range for a part (section 14.4)."""
    return f"bytes {span[0]}-{span[1] - 1}/{length}"


def unsatisfied_range(length: int) -> str:
    """Value of Content-Range in a 416 (section 15.5.17)."""
    return f"bytes */{length}"


def _parse(value: str) -> list[tuple[int | None, int | None]] | None:
    """(first, last) as written: (a, b), (a, None) or, for the last n bytes, (None, n). None when malformed."""
    match = _SPECIFIER.fullmatch(value.strip(" \t"))
    if match is None:
        return None
    wanted: list[tuple[int | None, int | None]] = []
    for element in match[1].split(","):
        element = element.strip(" \t")
        if not element:
            continue
        pair = _INT_RANGE.fullmatch(element)
        if pair is None:
            return None
        first, last = _number(pair[1]), _number(pair[2])
        if (first is None and last is None) or (first is not None and last is not None and first > last):
            return None
        wanted.append((first, last))
    return wanted or None


def _number(digits: str) -> int | None:
    if not digits:
        return None
    return int(digits) if len(digits) <= _MOST_DIGITS else int(digits.lstrip("0")[:_MOST_DIGITS] or "0")


def _overlap(spans: list[Span]) -> bool:
    ordered = sorted(spans)
    return any(later[0] < earlier[1] for earlier, later in zip(ordered, ordered[1:], strict=False))
