"""What becomes of a request, given what is stored for it (RFC 9111, section 4; RFC 5861; RFC 8246). Pure."""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple

from skitai.cachefs.asked import Terms
from skitai.cachefs.record import Content, Stored
from skitai.http.dates import format_http_date

ERRORS = frozenset((500, 502, 503, 504))
"""Answers in whose place a stale one may be served (RFC 5861, section 4)."""


class Verdict(Enum):
    """What to do with a request.

    :cvar FRESH: serve what is stored.
    :cvar STALE: serve what is stored, which is stale, as the request allows.
    :cvar STALE_WHILE_REVALIDATE: the same, as the answer allows, and ask for a new one.
    :cvar VALIDATE: ask the origin whether what is stored still holds.
    :cvar MISS: ask the origin.
    :cvar BYPASS: ask the origin; what it answers is of no use to the cache.
    :cvar ONLY_IF_CACHED: 504: the client wants nothing that has to be asked for.
    :cvar LOAD: it is in a file, which has to be read first.
    """

    FRESH = auto()
    STALE = auto()
    STALE_WHILE_REVALIDATE = auto()
    VALIDATE = auto()
    MISS = auto()
    BYPASS = auto()
    ONLY_IF_CACHED = auto()
    LOAD = auto()


SERVED = frozenset((Verdict.FRESH, Verdict.STALE, Verdict.STALE_WHILE_REVALIDATE))
"""What is stored is the answer."""

LABELS = {
    Verdict.FRESH: "HIT",
    Verdict.STALE: "STALE",
    Verdict.STALE_WHILE_REVALIDATE: "STALE",
    Verdict.VALIDATE: "MISS",
    Verdict.MISS: "MISS",
    Verdict.BYPASS: "BYPASS",
    Verdict.ONLY_IF_CACHED: "MISS",
}
"""The values of X-Cache. What the origin has confirmed is REVALIDATED; what is served because it fails, STALE."""


class Decision(NamedTuple):
    """What to do with a request, and with what.

    :ivar key: by what the answer is found.
    :ivar stored: the head of what is stored, if something is.
    :ivar content: and its content.
    :ivar label: the value of X-Cache for the answer.
    """

    verdict: Verdict
    key: bytes = b""
    stored: Stored | None = None
    content: Content = b""
    label: str = "BYPASS"


BYPASS = Decision(Verdict.BYPASS)


def decide(terms: Terms, stored: Stored, now: float) -> Verdict:
    """Whether a stored answer serves a request.

    :param now: in seconds since the epoch.
    """
    rules = stored.rules
    if terms.authorized and not rules.shared:
        return Verdict.MISS
    age = stored.age(now)
    left = stored.lifetime - age
    if left > 0 and not rules.no_cache:
        if terms.plain:
            return Verdict.FRESH
        too_old = terms.max_age is not None and age > terms.max_age and not rules.immutable
        return Verdict.VALIDATE if terms.no_cache or too_old or left < terms.min_fresh else Verdict.FRESH
    if rules.no_cache or rules.revalidate or terms.no_cache or terms.min_fresh:
        return Verdict.VALIDATE
    if terms.max_age is not None and age > terms.max_age:
        return Verdict.VALIDATE
    if -left < rules.stale_while_revalidate:
        return Verdict.STALE_WHILE_REVALIDATE
    if -left < terms.max_stale and not rules.shared_age:
        return Verdict.STALE
    return Verdict.VALIDATE


def helps(terms: Terms, stored: Stored, now: float) -> bool:
    """Whether a stored answer may be served because the origin fails (RFC 5861, section 4)."""
    rules = stored.rules
    if rules.no_cache or rules.revalidate or terms.no_cache or (terms.authorized and not rules.shared):
        return False
    allowed = rules.stale_if_error if rules.shared_age else max(rules.stale_if_error, terms.stale_if_error)
    return stored.age(now) - stored.lifetime < allowed


def validators(stored: Stored) -> tuple[tuple[bytes, bytes], ...]:
    """The fields that ask whether a stored answer still holds (RFC 9111, section 4.3.1)."""
    found: list[tuple[bytes, bytes]] = []
    if stored.etag is not None:
        found.append((b"if-none-match", stored.etag.encode("latin-1")))
    if stored.last_modified is not None:
        found.append((b"if-modified-since", format_http_date(stored.last_modified).encode("ascii")))
    return tuple(found)
