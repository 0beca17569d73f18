"""Conditional requests (RFC 9110, sections 8.8 and 13)."""

from __future__ import annotations

import re
from typing import NamedTuple

from skitai.http.dates import parse_http_date

# Section 8.8.3.
_ENTITY_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_TAG_LIST = re.compile(rf"[ \t,]*{_ENTITY_TAG.pattern}(?:[ \t]*,[ \t,]*{_ENTITY_TAG.pattern})*[ \t,]*")


class Conditions(NamedTuple):
    """The conditional fields of a request; None for those it does not have."""

    if_match: str | None = None
    if_unmodified_since: str | None = None
    if_none_match: str | None = None
    if_modified_since: str | None = None
    if_range: str | None = None


def evaluate(
    method: str, conditions: Conditions, etag: str | None, last_modified: int | None, now: float, *, exists: bool = True
) -> int | None:
    """What the preconditions of a request come to, in the order of section 13.2.2.

    :param etag: of the selected representation, quoted; ``W/`` in front when it is weak.
    :param last_modified: of the selected representation, in seconds since the epoch.
    :param now: in seconds since the epoch.
    :param exists: there is a current representation at all.
    :returns: 304, 412, or None to go on.
    """
    if conditions.if_match is not None:
        if not matches(conditions.if_match, etag, strong=True, exists=exists):
            return 412
    elif conditions.if_unmodified_since is not None and last_modified is not None:
        date = parse_http_date(conditions.if_unmodified_since, now)
        if date is not None and last_modified > date:
            return 412
    safe = method in {"GET", "HEAD"}
    if conditions.if_none_match is not None:
        if matches(conditions.if_none_match, etag, strong=False, exists=exists):
            return 304 if safe else 412
    elif safe and conditions.if_modified_since is not None and last_modified is not None:
        date = parse_http_date(conditions.if_modified_since, now)
        if date is not None and last_modified <= date:
            return 304
    return None


def range_applies(if_range: str | None, etag: str | None, last_modified: int | None, now: float) -> bool:
    """Whether the Range field of a request is to be honoured (section 13.1.5). Parameters as in `evaluate`.

    A date counts only when it is a strong validator: it is exactly the file's, and its second is over (section 8.8.2.2).
    """
    if if_range is None:
        return True
    if if_range.endswith('"'):
        return etag is not None and _same(if_range, etag, strong=True)
    date = parse_http_date(if_range, now)
    return date is not None and date == last_modified and now >= date + 1


def matches(value: str, etag: str | None, *, strong: bool, exists: bool = True) -> bool:
    """Whether the value of If-Match or If-None-Match names an entity tag (section 8.8.3.2); a malformed one names none."""
    if value == etag:  # the usual case: one tag, the current one
        return not strong or not etag.startswith("W/")
    if value == "*":
        return exists
    if etag is None or not _TAG_LIST.fullmatch(value):
        return False
    return any(_same(tag, etag, strong=strong) for tag in _ENTITY_TAG.findall(value))


def _same(tag: str, other: str, *, strong: bool) -> bool:
    if strong:
        return tag == other and not tag.startswith("W/")
    return tag.removeprefix("W/") == other.removeprefix("W/")
