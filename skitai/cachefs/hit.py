"""Where in memory the answer stands that a request got, so that the same request gets it again at the cost of a few looks.

Nothing of the content is held here: what is served is copied out of the memory that all workers share, and only while the
shared tables still lead to it. So what was replaced, forgotten or cleared anywhere is not served here, either.
"""

from __future__ import annotations

from skitai.cachefs.asked import Asked
from skitai.cachefs.record import Stored
from skitai.cachefs.ring import HEAD, Found, Ring
from skitai.cachefs.shared import CLEARED, Books, invalidation


class Hit:
    """An answer that was served fresh and whole.

    :param asked: the request.
    :param selector: through which the answer was found; this itself where its URI has but one.
    :param found: the answer.
    :param stored: its head.
    """

    __slots__ = ("_books", "_found", "_invalidation", "_oldest", "_ring", "_selector", "_view", "stored")

    def __init__(self, ring: Ring, books: Books, asked: Asked, selector: Found, found: Found, stored: Stored) -> None:
        self.stored = stored
        self._ring = ring
        self._books = books
        self._selector = selector
        self._found = found
        self._oldest = min(selector.place, found.place)
        self._view = ring.data[found.start : found.end]
        self._invalidation = invalidation(asked.hashed)

    def content(self, now: float) -> bytes | None:
        """What is to be served now; None where the request has to be looked up anew."""
        stored, ring = self.stored, self._ring
        floats, came = self._books.floats, stored.came
        if not came <= now < stored.fresh_until or floats[self._invalidation] >= came or floats[CLEARED] >= came:
            return None
        memory, found, selector = ring.ints, self._found, self._selector
        if memory[found.slot] != found.place or memory[selector.slot] != selector.place:
            return None
        content = bytes(self._view)
        # Looked at behind the copy: nobody wrote there meanwhile, nor will soon, which is for `Cache.lookup` to prevent.
        return None if self._oldest < memory[HEAD] - ring.young else content
