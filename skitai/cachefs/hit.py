"""Where in memory the answer stands that a request got, so that the same request gets it again at the cost of a few looks.

It is served only while the shared tables still lead to it. So what was replaced, forgotten or cleared anywhere is not served
here, either. A little of what is served is at hand as a copy, for a second; the rest is copied each time.
"""

from __future__ import annotations

from skitai.cachefs.record import Stored
from skitai.cachefs.ring import HEAD, Found, Ring
from skitai.cachefs.shared import CLEARED, Books, Count, counter, invalidation

SHARE = 64
MOST_BYTES = 1 << 20
"""A worker's copies take at most this part of the memory tier's size, on top of it, and at most so many bytes."""


class Copies:
    """Contents that a worker has at hand: those that it has served first in this second.

    :param most_bytes: of all of them.
    """

    def __init__(self, most_bytes: int) -> None:
        self._left = self._most = most_bytes
        self._hits: list[Hit] = []

    def offer(self, hit: Hit, content: bytes) -> None:
        """Keep a content, if there is room."""
        if len(content) <= self._left:
            self._left -= len(content)
            self._hits.append(hit)
            hit.copy = content

    def drop(self) -> None:
        """Once a second."""
        for hit in self._hits:
            hit.copy = None
        self._hits.clear()
        self._left = self._most


class Source:
    """What a worker's hits are taken from.

    :param row: of this worker, for its counters.
    :ivar copies: contents at hand.
    """

    __slots__ = ("copies", "counter", "counts", "floats", "memory", "ring", "young")

    def __init__(self, ring: Ring, books: Books, row: int) -> None:
        self.ring = ring
        self.memory = ring.ints
        self.young = ring.young
        self.floats = books.floats
        self.counts = books.ints
        self.counter = counter(row, Count.MEMORY_HITS)
        self.copies = Copies(min(ring.total // SHARE, MOST_BYTES))


class Hit:
    """An answer that was served fresh and whole.

    :param selector: through which the answer was found; this itself where its URI has but one.
    :param found: the answer.
    :param hashed: the digest of its URI's key.
    :ivar stored: the head of the answer.
    :ivar copy: its content, where that is at hand.
    """

    __slots__ = ("_found", "_invalidation", "_oldest", "_selector", "_source", "_view", "copy", "stored")

    stored: Stored

    def __init__(self, source: Source, selector: Found, found: Found, hashed: bytes) -> None:
        assert isinstance(found.head, Stored)
        self.stored = found.head
        self.copy: bytes | None = None
        self._source = source
        self._selector = selector
        self._found = found
        self._view = source.ring.data[found.start : found.end]
        self._oldest = min(selector.place, found.place)
        self._invalidation = invalidation(hashed)

    def content(self, now: float) -> bytes | None:
        """What is to be served now, which counts as a hit; None where the request has to be looked up anew."""
        stored, source = self.stored, self._source
        came, floats = stored.came, source.floats
        if not came <= now < stored.fresh_until or floats[self._invalidation] >= came or floats[CLEARED] >= came:
            return None
        found, selector, memory = self._found, self._selector, source.memory
        if memory[found.slot] != found.place or (selector is not found and memory[selector.slot] != selector.place):
            return None
        content = self.copy or bytes(self._view)
        if self._oldest < memory[HEAD] - source.young:  # behind the copy: nobody wrote there meanwhile, nor will soon
            return None
        if self.copy is None:
            source.copies.offer(self, content)
        source.counts[source.counter] += 1
        return content
