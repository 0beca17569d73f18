"""What is known of a file in a mounted folder, as of one second: its forms, and the response fields of each."""

from __future__ import annotations

import os
from typing import NamedTuple

from skitai.exchange import Settled
from skitai.http import media
from skitai.http.dates import format_http_date

SUFFIXES = {"": "", "br": "-br", "gzip": "-gz"}

ENTRY_BYTES = 2048
"""What an entry takes beside its content, roughly; so a bound on bytes bounds their number too."""

SETTLED_S = 2
"""A file changed less than this long ago may change again without its time showing it (file systems count coarsely)."""

Pairs = tuple[tuple[str, str], ...]


class Stamp(NamedTuple):
    """Identity and state of a file; when it is the same, so is the content (but see `SETTLED_S`)."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, info: os.stat_result) -> Stamp:
        return cls(info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)


class Variant:
    """One representation of a file: the file itself, or a coded form of it.

    :ivar path: resolved path of the file that holds it.
    :ivar coding: "" or the content coding.
    :ivar content: the bytes when they are in memory.
    :ivar fields: of a 200; the same tuple as long as nothing in it changes.
    :ivar unchanged: fields of a 304 (RFC 9110, section 15.4.5).
    """

    __slots__ = ("coding", "content", "etag", "fields", "last_modified", "path", "size", "stamp", "unchanged")

    fields: Settled
    unchanged: Pairs

    def __init__(self, path: str, stamp: Stamp, coding: str = "", content: bytes | None = None) -> None:
        self.path = path
        self.stamp = stamp
        self.coding = coding
        self.content = content
        self.size = stamp.size if content is None else len(content)
        self.etag = f'"{stamp.size:x}-{stamp.modified_ns:x}{SUFFIXES[coding]}"'
        self.last_modified = max(0, stamp.modified_ns // 1_000_000_000)

    def __repr__(self) -> str:
        return f"<Variant {self.path} {self.coding or 'plain'} {self.size}{'' if self.content is None else ' in memory'}>"

    def describe(self, content_type: str, max_age: int, varies: bool, second: int) -> None:
        """Make the response fields anew.

        :param second: now, in seconds since the epoch. Section 8.8.2.1: Last-Modified never lies in the future.
        """
        cache: Pairs = ()
        if max_age:
            cache = (("Cache-Control", f"max-age={max_age}"), ("Expires", format_http_date(second + max_age)))
        if varies:
            cache = (*cache, ("Vary", "Accept-Encoding"))
        self.unchanged = (("ETag", self.etag), *cache)
        coded: Pairs = (("Content-Encoding", self.coding),) if self.coding else ()
        self.fields = Settled(
            (
                ("Content-Type", content_type),
                ("Content-Length", str(self.size)),
                ("Last-Modified", format_http_date(min(self.last_modified, second))),
                ("ETag", self.etag),
                ("Accept-Ranges", "bytes"),
                *coded,
                *cache,
            )
        )


class Entry:
    """What a request path means, as of one second.

    :ivar redirect: it is a folder with an index, and the path lacks its slash.
    :ivar plain: the file itself; None for a redirect.
    :ivar variants: its coded forms by coding.
    :ivar offered: their codings, our favourite first.
    :ivar squeezable: it is text that is compressed in memory, in the codings offered, when one is first wanted.
    :ivar tried: the codings in which that was begun, whatever came of it.
    """

    __slots__ = (
        "cost",
        "max_age",
        "media_type",
        "offered",
        "path",
        "plain",
        "redirect",
        "second",
        "squeezable",
        "tried",
        "variants",
    )

    def __init__(self, path: str, second: int, max_age: int = 0, found: tuple[Variant, ...] = ()) -> None:
        self.path = path
        self.second = second
        self.max_age = max_age
        self.redirect = not found
        self.cost = ENTRY_BYTES
        self.squeezable = False
        self.tried: set[str] = set()
        self.plain = found[0] if found else None
        self.variants = {variant.coding: variant for variant in found[1:]}
        self.offered = tuple(self.variants)
        self.media_type = media.type_of(found[0].path) if found else ""

    def __repr__(self) -> str:
        return f"<Entry {self.path} {'redirect' if self.redirect else self.plain}>"

    def describe(self, second: int) -> None:
        """Bring the response fields of all variants up to date."""
        for variant in self.every():
            variant.describe(self.media_type, self.max_age, bool(self.offered), second)

    def every(self) -> tuple[Variant, ...]:
        return () if self.plain is None else (self.plain, *self.variants.values())

    def same_files(self, other: Entry) -> bool:
        """Whether both mean the same unchanged files. What was compressed in memory has the stamp of its file."""
        return self._files() == other._files()

    def _files(self) -> set[tuple[str, Stamp]]:
        return {(variant.path, variant.stamp) for variant in self.every()}

    @property
    def settled(self) -> bool:
        """Every file was left alone long enough for its stamp to be trusted."""
        return all(self.second - variant.last_modified >= SETTLED_S for variant in self.every())

    @property
    def dated(self) -> bool:
        """The fields change with the time of day."""
        return self.max_age > 0 or any(variant.last_modified > self.second for variant in self.every())
