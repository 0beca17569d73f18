"""Puts an answer where it will be found: into both tiers, below a selector where it depends on request fields."""

from __future__ import annotations

import secrets
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from skitai.cachefs.asked import Asked, digest, selecting, vary_names
from skitai.cachefs.record import Content, Selector, Stored, encode
from skitai.http.head import Fields

if TYPE_CHECKING:
    from skitai.cachefs.files import Files
    from skitai.cachefs.ring import Ring


class Answer(NamedTuple):
    """An answer that is complete.

    :ivar fields: those that are stored.
    :ivar came: when, in seconds since the epoch.
    :ivar initial_age: how old it was then, in seconds.
    :ivar content: pieces of it.
    """

    asked: Asked
    status: int
    fields: Fields
    came: float
    initial_age: float
    content: Sequence[Content]

    def stored(self, key: bytes) -> Stored:
        """Its head as it is stored."""
        check = size = 0
        for piece in self.content:
            check = zlib.crc32(piece, check)
            size += len(piece)
        return Stored(key, self.status, self.fields, self.came, self.initial_age, size, check)


def selector_of(answer: Answer, ring: Ring | None, files: Files | None) -> Selector | None:
    """The selector that is stored for an answer's URI, if it names the fields on which this answer depends, too.

    :param files: None to look in memory alone.
    """
    key, names = answer.asked.key, vary_names(answer.fields)
    found = None if ring is None else ring.find(key, digest(key))
    head = found.head if found is not None else None
    if head is None and files is not None and (read := files.read(key)) is not None:
        head = read[0]
    return head if isinstance(head, Selector) and head.names == names else None


def heads_of(answer: Answer, known: Selector | None) -> tuple[Selector | None, Stored]:
    """What is stored of an answer: its selector, if it has one, and its head.

    :param known: the selector that is stored already.
    """
    names = vary_names(answer.fields)
    if not names:
        return None, answer.stored(answer.asked.key)
    selector = known or Selector(answer.asked.key, names, secrets.token_hex(8).encode("ascii"))
    return selector, answer.stored(selector.variant(selecting(answer.asked.fields, names)))


def put_in_ring(ring: Ring, selector: Selector | None, stored: Stored, content: Sequence[Content]) -> bool:
    """Store in memory; whether it is there."""
    if selector is not None:
        found = ring.find(selector.key, digest(selector.key))
        if (found is None or found.head != selector) and not ring.put(encode(selector), ()):
            return False
    return ring.put(encode(stored), content)


def put_in_files(files: Files, selector: Selector | None, stored: Stored, content: Sequence[Content]) -> bool:
    """Store in files; whether it is there. Belongs into a thread."""
    if selector is not None:
        found = files.read(selector.key) if files.knows(digest(selector.key)) else None
        if (found is None or found[0] != selector) and not files.write(encode(selector), ()):
            return False
    return files.write(encode(stored), content)
