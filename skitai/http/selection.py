"""Which part of a representation answers a request: preconditions, then the range (RFC 9110, section 13.2.2)."""

from __future__ import annotations

from typing import NamedTuple

from skitai.http import conditional, ranges
from skitai.http.conditional import Conditions
from skitai.http.head import Fields
from skitai.http.ranges import Span


class Wishes(NamedTuple):
    """What the fields of a request ask of a file.

    :ivar plain: nothing: the whole file, whatever its state.
    """

    plain: bool
    accept_encoding: str
    conditions: Conditions
    range: str | None


class Verdict(NamedTuple):
    """How a request for a file is answered: 200, 206 (with what of it), 304, 412 or 416."""

    status: int
    spans: tuple[Span, ...] = ()


def read_wishes(fields: Fields) -> Wishes:
    """What a field section asks of a file; made once per section."""

    def value(name: bytes) -> str | None:
        raw = fields.get(name)
        return None if raw is None else raw.decode("latin-1")

    conditions = Conditions(
        value(b"if-match"),
        value(b"if-unmodified-since"),
        value(b"if-none-match"),
        value(b"if-modified-since"),
        value(b"if-range"),
    )
    wanted = value(b"range")
    plain = wanted is None and all(condition is None for condition in conditions)
    return Wishes(plain, fields.text("accept-encoding"), conditions, wanted)


def judge(
    method: str, wishes: Wishes, etag: str | None, last_modified: int | None, size: int, limit: int, now: float
) -> Verdict:
    """Preconditions first, then the range.

    :param etag: of the representation, quoted.
    :param last_modified: of the representation, in seconds since the epoch.
    :param size: of the representation, in bytes.
    :param limit: most ranges of one request.
    """
    status = conditional.evaluate(method, wishes.conditions, etag, last_modified, now)
    if status is not None:
        return Verdict(status)
    if wishes.range is None or method != "GET":  # section 14.2: Range means something to GET alone
        return Verdict(200)
    if not conditional.range_applies(wishes.conditions.if_range, etag, last_modified, now):
        return Verdict(200)
    spans = ranges.select(wishes.range, size, limit)
    if spans is None:
        return Verdict(200)
    return Verdict(206, spans) if spans else Verdict(416)
