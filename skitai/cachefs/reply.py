"""What a client gets of a stored answer: all of it, a part, or that nothing has changed (RFC 9110, 13 to 15). Pure."""

from __future__ import annotations

from typing import NamedTuple

from skitai.cachefs.record import Content, Pairs, Stored
from skitai.http import ranges
from skitai.http.byteranges import length, multipart, part_fields
from skitai.http.ranges import Span
from skitai.http.selection import Wishes, judge

MOST_RANGES = 32

IN_304 = frozenset(
    ("age", "cache-control", "content-location", "date", "etag", "expires", "last-modified", "vary", "x-cache")
)
"""RFC 9110, section 15.4.5."""


class Reply(NamedTuple):
    """An answer, but for its bytes.

    :ivar pieces: of the content, in their order: its parts, and what stands between them; None for the whole.
    """

    status: int
    fields: Pairs
    pieces: tuple[bytes | Span, ...] | None = None

    @property
    def size(self) -> int:
        """Bytes of all pieces."""
        return sum(map(length, self.pieces or ()))

    def body(self, content: Content) -> bytes:
        """The bytes that are sent.

        :param content: the whole.
        """
        if self.pieces is None:
            return bytes(content)
        return b"".join([each if isinstance(each, bytes) else content[each[0] : each[1]] for each in self.pieces])


def reply(method: str, wishes: Wishes, stored: Stored, label: str, now: float) -> Reply:
    """The answer to a request that a stored one serves.

    :param wishes: the request's conditions and ranges.
    :param label: the value of X-Cache.
    :param now: in seconds since the epoch.
    """
    fields = stored.shown(label, now)
    if wishes.plain or stored.status != 200:
        return Reply(stored.status, fields)
    verdict = judge(method, wishes, stored.etag, stored.last_modified, stored.size, MOST_RANGES, now)
    if verdict.status == 304:
        return Reply(304, tuple(pair for pair in fields if pair[0].lower() in IN_304), ())
    if verdict.status == 416:
        kept = tuple(pair for pair in fields if pair[0] in ("Age", "X-Cache"))
        return Reply(416, (*kept, ("Content-Range", ranges.unsatisfied_range(stored.size))), ())
    spans = verdict.spans
    if len(spans) == 1:
        return Reply(206, _without_length(part_fields(fields, stored.size, spans[0])), spans)
    if spans and any(name == "Content-Type" for name, _ in fields):
        several, pieces = multipart(fields, stored.size, spans)
        return Reply(206, _without_length(several), tuple(pieces))
    return Reply(200, fields)


def _without_length(fields: Pairs) -> Pairs:
    """The length is the sender's to say."""
    return tuple(pair for pair in fields if pair[0] != "Content-Length")
