"""Puts an answer where it will be found: into both tiers, below a selector where it depends on request fields."""

from __future__ import annotations

import secrets
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from skitai.cachefs.asked import Asked, digest, selecting, vary_names
from skitai.cachefs.infile import InFile
from skitai.cachefs.record import Selector, Stored, encode
from skitai.http.head import Fields

if TYPE_CHECKING:
    from skitai.cachefs.files import Files
    from skitai.cachefs.ring import Ring


Pieces = Sequence[bytes | memoryview] | InFile
"""A content that is to be stored."""


class Answer(NamedTuple):
    """An answer that is complete.

    :ivar fields: those that are stored.
    :ivar came: when, in seconds since the epoch.
    :ivar initial_age: how old it was then, in seconds.
    :ivar content: pieces of it.
    :ivar known: its size and checksum, where they are known.
    """

    asked: Asked
    status: int
    fields: Fields
    came: float
    initial_age: float
    content: Pieces
    known: tuple[int, int] | None = None

    def stored(self, key: bytes) -> Stored:
        """Its head as it is stored."""
        check = size = 0
        if self.known is not None:
            size, check = self.known
        else:
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
    if head is None and files is not None and files.knows(digest(key)):
        head = files.head(key)
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


def put_in_ring(ring: Ring, selector: Selector | None, stored: Stored, content: Pieces) -> bool:
    """Store in memory; whether it is there. Where it is not, what was there before has gone, too."""
    known = found = None
    if selector is not None:
        found = ring.find(selector.key, digest(selector.key))
        known = None if found is None else found.head
    done = selector is None or known == selector or ring.put(encode(selector), ())
    done = done and not isinstance(content, InFile) and ring.put(encode(stored), content)
    if not done:
        ring.remove(digest(stored.key))
    return done


def put_in_files(files: Files, selector: Selector | None, stored: Stored, content: Pieces) -> bool:
    """Store in files; whether it is there. Where it is not, what was there before has gone, too. Belongs into a thread."""
    known = files.head(selector.key) if selector is not None and files.knows(digest(selector.key)) else None
    done = selector is None or known == selector or files.write(encode(selector), ())
    done = done and files.write(encode(stored), content)
    if not done and files.knows(digest(stored.key)):
        files.remove(digest(stored.key))
    return done
