"""Stored answers as bytes, the same in memory and in files: a head, then the content. Pure.

Each record carries its key, its lengths, and checksums of head and content, so that nothing but a whole record that was
meant for this place and key is ever taken for one.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from skitai.cachefs.freshness import Policy, last_modified, lifetime, policy
from skitai.cachefs.infile import InFile
from skitai.http.dates import format_http_date, parse_http_date
from skitai.http.head import Fields

HEADER = struct.Struct("<4sIQQIIIdd")
"""Mark, checksum of what follows in the head, place, bytes of content, their checksum, bytes of the head behind this,
status, when it came, how old it was then."""

MARK = b"skc1"
_CHECKED_FROM = 8

SELECTOR = 0
"""The status of a record that tells on which request fields the answers of its URI depend."""

Pairs = tuple[tuple[str, str], ...]

Content = bytes | memoryview | InFile
"""The content of an answer."""

SMALL_BYTES = 262144
"""Contents up to this size are held for each who takes them; larger ones are held once, or stay in their files."""


class Stored:
    """The head of a stored answer.

    :ivar key: what it is found by.
    :ivar fields: those that are stored, names in lower case.
    :ivar came: when, in seconds since the epoch.
    :ivar initial_age: how old it was then, in seconds.
    :ivar size: of its content, in bytes.
    :ivar check: the checksum of its content.
    :ivar rules: what its fields allow.
    :ivar lifetime: for how many seconds it is fresh.
    :ivar fresh_until: until when it may be served to who demands nothing, in seconds since the epoch.
    :ivar etag: as sent, or None.
    :ivar last_modified: in seconds since the epoch, or None.
    """

    __slots__ = (
        "_shown",
        "_shown_as",
        "_shown_from",
        "_shown_until",
        "came",
        "check",
        "etag",
        "fields",
        "fresh_until",
        "initial_age",
        "key",
        "last_modified",
        "lifetime",
        "pairs",
        "rules",
        "size",
        "status",
    )

    def __init__(
        self, key: bytes, status: int, fields: Fields, came: float, initial_age: float, size: int, check: int
    ) -> None:
        self.key = key
        self.status = status
        self.fields = fields
        self.came = came
        self.initial_age = initial_age
        self.size = size
        self.check = check
        self.rules: Policy = policy(fields, came)
        self.lifetime = lifetime(status, fields, self.rules, came)
        self.fresh_until = 0.0 if self.rules.no_cache else came + self.lifetime - initial_age
        self.etag = fields.text("etag") or None
        self.last_modified = last_modified(fields, came)
        self.pairs: Pairs = _for_clients(fields, came)
        self._shown_from = self._shown_until = 0.0
        self._shown_as = ""
        self._shown: Pairs = ()

    def age(self, now: float) -> float:
        """How old it is, in seconds (RFC 9111, section 4.2.3); a clock that was turned back makes nothing younger."""
        return self.initial_age + max(0.0, now - self.came)

    def is_fresh(self, now: float) -> bool:
        """Whether it may be served to who demands nothing."""
        return self.fresh_until > now >= self.came

    def shown(self, label: str, now: float, kind: type[Pairs] = tuple) -> Pairs:
        """Its fields as a client gets them.

        :param label: the value of X-Cache.
        :param kind: what they are made.
        """
        if not self._shown_from <= now < self._shown_until or label is not self._shown_as or type(self._shown) is not kind:
            age = self.age(now)
            self._shown = kind((*self.pairs, ("Age", str(int(age))), ("X-Cache", label)))
            self._shown_from, self._shown_until, self._shown_as = now, now + 1 - age % 1, label
        return self._shown

    def __repr__(self) -> str:
        return f"<Stored {self.status} {self.key!r}>"


class Selector(NamedTuple):
    """On what the answers of a URI depend.

    :ivar key: of the URI.
    :ivar names: of request fields.
    :ivar epoch: distinguishes it from what was there before something was changed or cleared.
    """

    key: bytes
    names: tuple[bytes, ...]
    epoch: bytes

    def variant(self, values: tuple[bytes, ...]) -> bytes:
        """The key of the answer for a request with these values."""
        return b"\0".join((self.key, self.epoch, *values))


Head = Stored | Selector


def _for_clients(fields: Fields, came: float) -> Pairs:
    """Fields as clients get them. What came without a Date has the one of its coming (RFC 9110, section 6.6.1); Server is
    never sent on."""
    date = fields.get(b"date")
    dated = date is not None and parse_http_date(date.decode("latin-1"), came) is not None
    gone = (b"server",) if dated else (b"server", b"date")
    pairs = [(name.decode("latin-1").title(), value.decode("latin-1")) for name, value in fields.pairs if name not in gone]
    return tuple(pairs if dated else [*pairs, ("Date", format_http_date(came))])


class Parts(NamedTuple):
    """A record that is about to be written.

    :ivar meta: key and fields.
    """

    head: Head
    meta: bytes

    @property
    def total(self) -> int:
        """Bytes of the whole record."""
        return HEADER.size + len(self.meta) + (self.head.size if isinstance(self.head, Stored) else 0)

    def header(self, place: int) -> bytes:
        """The first bytes of the record.

        :param place: where it will stand.
        """
        head = self.head
        if isinstance(head, Stored):
            rest = place, head.size, head.check, len(self.meta), head.status, head.came, head.initial_age
        else:
            rest = place, 0, 0, len(self.meta), SELECTOR, 0.0, 0.0
        made = HEADER.pack(MARK, 0, *rest)
        check = zlib.crc32(self.meta, zlib.crc32(made[_CHECKED_FROM:]))
        return HEADER.pack(MARK, check, *rest)


def encode(head: Head) -> Parts:
    """A head as it is written."""
    if isinstance(head, Selector):
        return Parts(head, b"\n".join((_coded(head.key), b",".join(head.names), head.epoch)))
    return Parts(head, b"\n".join((_coded(head.key), *(b":".join(pair) for pair in head.fields.pairs))))


def lengths(header: bytes) -> tuple[int, int] | None:
    """Bytes of the head behind its first part, and of content, as these first bytes say; None when they are of no record."""
    if len(header) < HEADER.size:
        return None
    mark, _, _, size, _, meta, *_ = HEADER.unpack_from(header)
    return (meta, size) if mark == MARK else None


def is_answer(header: bytes) -> bool:
    """Whether these first bytes are of an answer, and not of a selector."""
    return bool(HEADER.unpack_from(header)[6] != SELECTOR)


def decode(data: bytes, place: int) -> Head | None:
    """The head in `data`; None when it is not a whole one that was written for this place.

    :param data: the record, or as much of it as the head.
    """
    found = lengths(data)
    if found is None:
        return None
    _, check, written_for, size, content_check, meta_size, status, came, initial_age = HEADER.unpack_from(data)
    end = HEADER.size + meta_size
    if written_for != place or end > len(data) or zlib.crc32(data[_CHECKED_FROM:end]) != check:
        return None
    key, *lines = data[HEADER.size : end].split(b"\n")
    if status == SELECTOR:
        names, epoch = lines
        return Selector(_decoded(key), tuple(names.split(b",")), epoch)
    pairs = [line.partition(b":")[::2] for line in lines]
    return Stored(_decoded(key), status, Fields(pairs), came, initial_age, size, content_check)


def whole(head: Head, data: bytes, offset: int) -> bytes | None:
    """The content of a record; None when it is not as it was written.

    :param data: of the record.
    :param offset: where it begins in `data`.
    """
    if not isinstance(head, Stored):
        return b""
    content = data[offset : offset + head.size]
    return content if len(content) == head.size and zlib.crc32(content) == head.check else None


def uri_of(head: Head) -> bytes:
    """The URI for which something is stored."""
    return head.key.partition(b" ")[2].partition(b"\0")[0]


def _coded(key: bytes) -> bytes:
    return key.replace(b"%", b"%25").replace(b"\n", b"%0A")


def _decoded(key: bytes) -> bytes:
    return key.replace(b"%0A", b"\n").replace(b"%25", b"%")
