"""The cache as one worker has it: looks requests up, and hands out a `Fetch` where the origin has to be asked.

Everything belongs to the loop's thread, but for what says otherwise. Nothing here asks an origin.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urljoin, urlsplit

from skitai.cachefs.asked import Asked, digest, selecting
from skitai.cachefs.decision import BYPASS, LABELS, SERVED, Decision, Verdict, decide
from skitai.cachefs.fetch import Fetch, Waiter
from skitai.cachefs.files import Files
from skitai.cachefs.hit import Hit, Source
from skitai.cachefs.record import SMALL_BYTES, Content, Head, Selector, Stored, encode
from skitai.cachefs.ring import Found, Ring
from skitai.cachefs.shared import Books, Count
from skitai.http.head import Fields

if TYPE_CHECKING:
    import asyncio

SAFE = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))

ALONE_S = 60.0
MOST_ALONE = 4096
"""For how long, and of how many keys, it is known that their answers cannot be shared, so that nobody waits for them."""

_COUNTS = {Verdict.STALE: Count.STALE, Verdict.STALE_WHILE_REVALIDATE: Count.STALE}


class Stores(NamedTuple):
    """What the workers of a host share.

    :ivar ring: in memory; None without that tier.
    :ivar files: None without that tier.
    :ivar most_bytes: longest content that is stored.
    """

    books: Books
    ring: Ring | None
    files: Files | None
    most_bytes: int


class Cache:
    """The cache of one worker.

    :param stores: what all workers share.
    :param disk: runs what reads and writes files.
    :param row: of this worker, for its counters.
    :ivar buffered: bytes of answers that are coming in.
    """

    def __init__(self, stores: Stores, loop: asyncio.AbstractEventLoop, disk: Executor, row: int = 0) -> None:
        self.stores = stores
        self.loop = loop
        self.disk = disk
        self.buffered = 0
        self._books = stores.books
        self._ring = stores.ring
        self._row = row
        self._source = None if stores.ring is None else Source(stores.ring, stores.books, row)
        self._under_way: dict[bytes, Fetch] = {}
        self._alone: dict[bytes, float] = {}

    def count(self, what: Count) -> None:
        self._books.count(self._row, what)

    # Looking up

    def lookup(self, asked: Asked, now: float) -> Decision:
        """What becomes of a request. Of `Verdict.LOAD`, `load` knows more.

        :param now: in seconds since the epoch.
        """
        if not asked.served:
            self.count(Count.BYPASSED)
            return BYPASS
        key, hashed = asked.key, asked.hashed
        ring, files, source = self._ring, self.stores.files, self._source
        if ring is not None:
            selector = found = ring.find(key, hashed)
            if found is not None and type(found.head) is Selector:
                key = self._variant(ring, found.head, found.place, asked)
                hashed = digest(key)
                found = ring.find(key, hashed)
            if found is not None and type(stored := found.head) is Stored:
                content = ring.content(found)
                if content is not None and not self._books.void(asked.hashed, stored.came, now):
                    if ring.is_old(found.place):
                        self._renew(ring, found, now)
                    if asked.terms.plain and stored.is_fresh(now):
                        self._books.count(self._row, Count.MEMORY_HITS)
                        if selector is not None and source is not None and len(content) <= SMALL_BYTES:
                            asked.hit = Hit(source, selector, found, asked.hashed)
                        return Decision(Verdict.FRESH, key, stored, content, "HIT")
                    return self._decided(asked, stored, content, now, Count.MEMORY_HITS)
        if files is not None and files.knows(hashed):
            return Decision(Verdict.LOAD, key)
        return self._missed(asked, key)

    def _variant(self, ring: Ring, selector: Selector, place: int, asked: Asked) -> bytes:
        if ring.is_old(place) and (found := ring.find(selector.key, asked.hashed)) is not None:
            ring.again(found)
        return selector.variant(selecting(asked.fields, selector.names))

    def _renew(self, ring: Ring, found: Found, now: float) -> None:
        """It is used, so it shall stay in both tiers."""
        ring.again(found)
        if self.stores.files is not None:
            self.stores.files.touch(digest(found.head.key), now)

    def load(self, asked: Asked, then: Callable[[Decision], None], *, whole: bool = False) -> None:
        """Open the file of what `lookup` has found there. What is small comes into memory.

        :param then: called in the loop with what becomes of the request; never `Verdict.LOAD`.
        :param whole: a large content is wanted as bytes, too.
        """
        self.disk.submit(self._load, asked, then, whole)

    def _load(self, asked: Asked, then: Callable[[Decision], None], whole: bool) -> None:
        """In a thread."""
        files = self.stores.files
        assert files is not None
        key = asked.key
        found = files.open(key, whole)
        if found is not None and isinstance(found[0], Selector):
            self._keep(*found)
            key = found[0].variant(selecting(asked.fields, found[0].names))
            found = files.open(key, whole)
        if found is not None:
            self._keep(*found)
        self.loop.call_soon_threadsafe(self._loaded, asked, key, found, then)

    def _keep(self, head: Head, content: Content) -> None:
        """What was in a file is in memory from now on, if it is small."""
        ring = self.stores.ring
        if ring is not None and isinstance(content, bytes) and len(content) <= SMALL_BYTES:
            ring.put(encode(head), (content,))

    def _loaded(
        self, asked: Asked, key: bytes, found: tuple[Head, Content] | None, then: Callable[[Decision], None]
    ) -> None:
        now = time.time()
        if found is None or not isinstance(found[0], Stored) or self.void(asked, found[0].came, now):
            then(self._missed(asked, key))
        else:
            then(self._decided(asked, found[0], found[1], now, Count.DISK_HITS))

    def void(self, asked: Asked, since: float, now: float) -> bool:
        """Whether what was stored, or asked for, at `since` has been invalidated."""
        return self._books.void(asked.hashed, since, now)

    def _decided(self, asked: Asked, stored: Stored, content: Content, now: float, hit: Count) -> Decision:
        terms = asked.terms
        verdict = decide(terms, stored, now)
        if verdict in SERVED:
            self.count(_COUNTS.get(verdict, hit))
        else:
            self.count(Count.MISSES)
            if terms.only_if_cached:
                verdict = Verdict.ONLY_IF_CACHED
        return Decision(verdict, stored.key, stored, content, LABELS[verdict])

    def _missed(self, asked: Asked, key: bytes) -> Decision:
        self.count(Count.MISSES)
        if asked.terms.only_if_cached:
            return Decision(Verdict.ONLY_IF_CACHED, key, label="MISS")
        return Decision(Verdict.MISS, key, label="MISS")

    # Asking the origin

    def fetch(self, asked: Asked, decision: Decision, now: float, waiter: Waiter | None = None) -> Fetch | None:
        """Ask the origin on behalf of the cache, for `Verdict.MISS`, VALIDATE and STALE_WHILE_REVALIDATE.

        :param now: in seconds since the epoch: the request leaves now.
        :param waiter: told when there is something to wait for: another request of this worker asks for the same already.
        :returns: to be told what comes; None when the same is under way: then the waiter will be called, once.
        """
        fetch = Fetch(self, asked, decision, now)
        if not fetch.may_be_joined or self.is_alone(decision.key):
            return fetch
        first = self._under_way.get(decision.key)
        if first is None:
            self._under_way[decision.key] = fetch
            return fetch
        if waiter is not None:
            first.join(waiter)
            return None
        return None if decision.verdict is Verdict.STALE_WHILE_REVALIDATE else fetch

    def ended(self, fetch: Fetch, key: bytes) -> None:
        """A fetch has nobody to wait for it any more."""
        if self._under_way.get(key) is fetch:
            del self._under_way[key]

    def alone(self, key: bytes) -> None:
        """What comes for a key cannot be shared: for some time nobody waits for it."""
        if len(self._alone) >= MOST_ALONE:
            self._alone.clear()
        self._alone[key] = self.loop.time() + ALONE_S

    def is_alone(self, key: bytes) -> bool:
        """Whether what came for a key lately could not be shared."""
        return key in self._alone

    def tick(self, now: float) -> None:
        """Once a second; `now` is of the loop's clock."""
        if self._source is not None:
            self._source.copies.drop()
        if self._alone:
            self._alone = {key: until for key, until in self._alone.items() if until > now}

    # Forgetting

    def changed(self, asked: Asked, status: int, fields: Fields, now: float) -> None:
        """A request with another method was answered: what is stored of its URI is void, and of those on the same server
        that the answer names (RFC 9111, section 4.4).

        :param fields: of the answer.
        """
        if asked.method in SAFE or not 200 <= status < 400:
            return
        uris = {asked.uri}
        for name in (b"location", b"content-location"):
            value = fields.get(name)
            if value is not None and (other := same_origin(asked.uri, value)) is not None:
                uris.add(other)
        for uri in uris:
            self.invalidate(asked.at(uri).key, now)

    def invalidate(self, key: bytes, now: float) -> None:
        """Forget what is stored for a key, and its variants, in all workers."""
        hashed = digest(key)
        self.stores.books.invalidate(hashed, now)
        if self.stores.ring is not None:
            self.stores.ring.remove(hashed)
        if self.stores.files is not None and self.stores.files.knows(hashed):
            self.disk.submit(self.stores.files.remove, hashed)


def same_origin(uri: bytes, reference: bytes) -> bytes | None:
    """What a reference means, without its fragment; None where it is no URI of the same server."""
    base = uri.decode("latin-1")
    try:
        meant = urljoin(base, reference.decode("latin-1")).partition("#")[0]
        one, other = urlsplit(base), urlsplit(meant)
    except ValueError:
        return None
    same = (one.scheme, one.netloc.lower()) == (other.scheme, other.netloc.lower())
    return meant.encode("latin-1") if same else None
