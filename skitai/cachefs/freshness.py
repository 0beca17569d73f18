"""What may be stored, and for how long it is fresh (RFC 9111, sections 3 and 4.2; RFC 5861; RFC 8246). Pure.

Where the standards leave a choice, the one is taken that keeps less: ``private`` and ``no-cache`` count as a whole also
where they name fields, ``Set-Cookie`` and ``no-store`` are never stored, nothing is guessed for requests with cookies.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import NamedTuple

from skitai.cachefs import directives
from skitai.cachefs.asked import Asked, vary_names
from skitai.cachefs.directives import LONGEST_S
from skitai.http.dates import parse_http_date
from skitai.http.head import Fields

HEURISTIC = frozenset((200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501))
"""Statuses whose freshness may be guessed (RFC 9110, section 15.1); parts (206) are not stored at all."""

NEVER = frozenset((206, 304, 401, 407, 412, 416, 421, 426))
"""Answers to what one request brought with it: a range, a condition, credentials, a connection."""

UNDERSTOOD = frozenset(HTTPStatus)
"""Section 5.2.2.3: an answer may ask not to be stored by caches that do not know its status."""

HEURISTIC_SHARE = 0.1
HEURISTIC_MOST_S = 86400

HOP_BY_HOP = frozenset(
    (
        b"age",
        b"connection",
        b"content-length",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"proxy-connection",
        b"set-cookie",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"x-cache",
    )
)
"""Fields that are not stored (section 3.1): those of a connection, what the cache says anew each time, and cookies, which a
304 may bring."""

FORM = "cache policy"

_SECONDS = re.compile(rb"[0-9]+").fullmatch


class Policy(NamedTuple):
    """What an answer lets a shared cache do with it.

    :ivar stored: it may be stored at all, as far as its fields say.
    :ivar shared: also when its request carried credentials (section 3.5).
    :ivar lifetime: seconds for which it is said to be fresh; None when it says nothing.
    :ivar public: it may be stored and its lifetime guessed whatever its status.
    :ivar no_cache: it is not used again before the origin has confirmed it.
    :ivar revalidate: never served stale.
    :ivar shared_age: its lifetime is one for shared caches, which forbids to serve it stale unless it says so itself.
    :ivar stale_while_revalidate: seconds for which it may be served stale while it is asked for anew.
    :ivar stale_if_error: seconds for which it may be served stale when the origin fails.
    :ivar immutable: while it is fresh, nobody need ask whether it still is.
    """

    stored: bool
    shared: bool
    lifetime: int | None
    public: bool = False
    no_cache: bool = False
    revalidate: bool = False
    shared_age: bool = False
    stale_while_revalidate: int = 0
    stale_if_error: int = 0
    immutable: bool = False


def policy(fields: Fields, now: float) -> Policy:
    """What an answer's fields say.

    :param now: in seconds since the epoch, for dates with years of two digits, and as the Date of answers without one.
    """
    said = directives.of(fields)
    forbidden = "no-store" in said or "private" in said or b"set-cookie" in fields or vary_names(fields) is None
    s_maxage, max_age = said.seconds("s-maxage"), said.seconds("max-age")
    lifetime = max_age if s_maxage is None else s_maxage
    if lifetime is None and b"expires" in fields:
        expires = parse_http_date(fields.text("expires"), now)
        lifetime = 0 if expires is None else int(max(0, min(expires - date_of(fields, now), LONGEST_S)))
    must = "must-revalidate" in said
    return Policy(
        stored=not forbidden,
        shared="public" in said or s_maxage is not None or must,
        lifetime=lifetime,
        public="public" in said,
        no_cache="no-cache" in said,
        revalidate=must or "proxy-revalidate" in said,
        shared_age=s_maxage is not None,
        stale_while_revalidate=said.seconds("stale-while-revalidate") or 0,
        stale_if_error=said.seconds("stale-if-error") or 0,
        immutable="immutable" in said,
    )


def lifetime(status: int, fields: Fields, rules: Policy, now: float) -> float:
    """For how many seconds an answer is fresh (section 4.2.1); a guess where it says nothing itself (4.2.2)."""
    if rules.lifetime is not None:
        return rules.lifetime
    if status not in HEURISTIC and not rules.public:
        return 0.0
    modified = last_modified(fields, now)
    if modified is None:
        return 0.0
    return min(max(0.0, (date_of(fields, now) - modified) * HEURISTIC_SHARE), HEURISTIC_MOST_S)


def may_store(request: Asked, status: int, fields: Fields, now: float) -> bool:
    """Whether an answer may be stored, and is worth it: it is fresh, may be served stale, or can be confirmed.

    :param fields: of the answer.
    """
    terms = request.terms
    rules = policy(fields, now)
    if request.method != "GET" or not 200 <= status <= 599 or status in NEVER:
        return False
    if terms.no_store or not rules.stored or (terms.authorized and not rules.shared) or b"content-range" in fields:
        return False
    if any(b"\n" in value or b"\n" in name for name, value in fields.pairs):
        return False
    if status not in UNDERSTOOD and "must-understand" in directives.of(fields):
        return False
    if rules.lifetime is None and not rules.no_cache:
        return not terms.cookies and lifetime(status, fields, rules, now) > 0
    if rules.lifetime and not rules.no_cache:
        return True
    return confirmable(fields, now) or rules.stale_while_revalidate > 0 or rules.stale_if_error > 0


def confirmable(fields: Fields, now: float) -> bool:
    """Whether the origin can be asked if an answer still holds."""
    return b"etag" in fields or last_modified(fields, now) is not None


def initial_age(fields: Fields, asked: float, now: float) -> float:
    """How old an answer is when it has come (section 4.2.3).

    :param asked: when the request left, in seconds since the epoch.
    :param now: when the answer came.
    """
    apparent = max(0.0, now - date_of(fields, now))
    return max(apparent, age_value(fields) + max(0.0, now - asked))


def age_value(fields: Fields) -> int:
    """The Age field (section 5.1): of a list the first counts, what is no number is not there."""
    first = (fields.get(b"age") or b"").partition(b",")[0].strip(b" \t")
    if not _SECONDS(first):
        return 0
    return min(int(first), LONGEST_S) if len(first) < 12 else LONGEST_S


def date_of(fields: Fields, now: float) -> float:
    """When the origin wrote an answer; `now` where it does not say."""
    value = fields.get(b"date")
    date = None if value is None else parse_http_date(value.decode("latin-1"), now)
    return now if date is None else date


def last_modified(fields: Fields, now: float) -> int | None:
    """The Last-Modified field."""
    value = fields.get(b"last-modified")
    return None if value is None else parse_http_date(value.decode("latin-1"), now)


def kept_fields(fields: Fields) -> tuple[tuple[bytes, bytes], ...]:
    """The fields of an answer that are stored (section 3.1)."""
    gone = HOP_BY_HOP | {name.strip(b" \t").lower() for name in (fields.get(b"connection") or b"").split(b",")}
    return tuple(pair for pair in fields.pairs if pair[0] not in gone)


def updated(stored: Fields, fields: Fields) -> Fields:
    """Stored fields after a 304 (section 3.2): what it brings replaces what was, except what is said of the content."""
    news = tuple(pair for pair in kept_fields(fields) if pair[0] not in _OF_CONTENT)
    names = {name for name, _ in news}
    return Fields((*(pair for pair in stored.pairs if pair[0] not in names), *news))


_OF_CONTENT = frozenset((b"content-encoding", b"content-range", b"content-md5", b"etag", b"vary"))
"""What is kept of the stored answer: how its content is coded, which content it is, and what selected it."""
