"""What a worker serves again at once, and what ends that: whatever happens to the answer, in whatever process."""

from __future__ import annotations

import asyncio
import os
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from skitai.cachefs.asked import Asked, digest
from skitai.cachefs.cache import Cache, Stores
from skitai.cachefs.decision import Verdict
from skitai.cachefs.placing import Answer, heads_of, put_in_ring, selector_of
from skitai.cachefs.record import Stored, encode
from skitai.cachefs.ring import Ring
from skitai.cachefs.shared import Books, Count
from skitai.cachefs.survey import clear
from skitai.http.head import Fields

NOW = 1_800_000_000.0
URI = b"http://shop/list"
SIZE = 1 << 20


class Shop:
    """The cache of a worker, and that of another one which shares its memory."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.disk = ThreadPoolExecutor(1)
        books = Books.create(0)
        ring = Ring.create(SIZE, books)
        self.mine = self._cache(books, ring)
        theirs = Books.adopt(os.dup(books.memory.fd))
        assert theirs is not None
        self.theirs = self._cache(theirs, Ring.adopt(os.dup(ring.memory.fd), theirs))
        self.asked = Asked("GET", URI, Fields([(b"host", b"shop"), (b"accept", b"text/html")]))

    def _cache(self, books: Books, ring: Ring | None) -> Cache:
        return Cache(Stores(books, ring, None, 1 << 20), self.loop, self.disk)

    def store(self, cache: Cache, content: bytes, *fields: tuple[bytes, bytes], came: float = NOW) -> None:
        said = Fields([(b"cache-control", b"max-age=60"), *fields])
        answer = Answer(self.asked, 200, said, came, 0.0, (content,))
        ring = cache.stores.ring
        assert ring is not None
        assert put_in_ring(ring, *heads_of(answer, selector_of(answer, ring, None)), (content,))

    def served(self, now: float = NOW + 1) -> bytes | None:
        """What the request gets without being looked up."""
        return None if self.asked.hit is None else self.asked.hit.content(now)

    def look(self, now: float = NOW + 1) -> Verdict:
        return self.mine.lookup(self.asked, now).verdict

    def fill(self) -> None:
        """Somebody stores so much that the memory turns."""
        ring = self.theirs.stores.ring
        assert ring is not None
        for number in range(SIZE // 10_000):
            head = Stored(b"other %d" % number, 200, Fields(()), NOW, 0.0, 10_000, zlib.crc32(bytes(10_000)))
            assert ring.put(encode(head), (bytes(10_000),))

    def close(self) -> None:
        self.disk.shutdown()
        self.loop.close()


@pytest.fixture(params=["one answer", "varies"])
def shop(request: pytest.FixtureRequest) -> Iterator[Shop]:
    made = Shop()
    made.store(made.mine, b"first", *([(b"vary", b"Accept")] if request.param == "varies" else []))
    assert made.look() is Verdict.FRESH
    assert made.served() == b"first"
    yield made
    made.close()


def test_what_was_served_is_served_again_and_counted(shop: Shop) -> None:
    books = shop.mine.stores.books
    before = books.counts()["memory_hits"]
    for _ in range(5):
        assert shop.served() == b"first"
    shop.mine.tick(0)
    assert shop.served() == b"first"
    assert books.counts()["memory_hits"] == before + 6
    assert books.counts()["misses"] == 0 and Count.MEMORY_HITS == 0


def replaced(shop: Shop) -> None:
    shop.store(shop.theirs, b"second", *((b"vary", b"Accept"),) if shop_varies(shop) else (), came=NOW + 0.5)


def shop_varies(shop: Shop) -> bool:
    hit = shop.asked.hit
    assert hit is not None
    return b"vary" in hit.stored.fields


ENDS: dict[str, Callable[[Shop], object]] = {
    "replaced": replaced,
    "it varies otherwise now": lambda shop: shop.store(shop.theirs, b"second", (b"vary", b"X-Other"), came=NOW + 0.5),
    "invalidated": lambda shop: shop.theirs.invalidate(shop.asked.key, NOW + 0.5),
    "changed": lambda shop: shop.theirs.changed(Asked("POST", URI, Fields(())), 200, Fields(()), NOW + 0.5),
    "cleared": lambda shop: clear(shop.theirs.stores, b"", NOW + 0.5),
    "cleared by its URI": lambda shop: clear(shop.theirs.stores, b"http://shop/", NOW + 0.5),
    "the memory has turned": Shop.fill,
}


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("end", ENDS)
def test_what_ends_it_ends_it_at_once(shop: Shop, end: str, held: bool) -> None:
    if not held:
        shop.mine.tick(0)
    ENDS[end](shop)
    assert shop.served() is None
    decision = shop.mine.lookup(shop.asked, NOW + 1)
    assert decision.content == (b"second" if end in ("replaced", "it varies otherwise now") else b"")


def test_what_is_not_fresh_is_not_served(shop: Shop) -> None:
    assert shop.served(NOW + 59) == b"first"
    assert shop.served(NOW + 60) is None
    assert shop.served(NOW - 1) is None, "the clock was turned back"
    assert shop.look(NOW + 60) is Verdict.VALIDATE or shop.look(NOW + 60) is Verdict.MISS


def test_what_is_used_stays_in_memory(shop: Shop) -> None:
    """It is not served so often at once that nobody moves it on."""
    ring = shop.mine.stores.ring
    assert ring is not None
    for number in range(300):
        head = Stored(b"other %d" % number, 200, Fields(()), NOW, 0.0, 10_000, zlib.crc32(bytes(10_000)))
        assert ring.put(encode(head), (bytes(10_000),))
        assert shop.served() == b"first" or shop.look() is Verdict.FRESH, number


def test_copies_have_a_limit() -> None:
    shop = Shop()
    made = []
    for number in range(100):
        shop.asked = Asked("GET", URI + b"%d" % number, Fields(()))
        shop.store(shop.mine, bytes(1000))
        assert shop.look() is Verdict.FRESH
        assert shop.served() == bytes(1000)
        made.append(shop.asked)
    hits = [asked.hit for asked in made if asked.hit is not None]
    assert 10 <= sum(hit.copy is not None for hit in hits) <= SIZE // 64 // 1000
    assert all(hit.content(NOW + 1) == bytes(1000) for hit in hits)
    shop.mine.tick(0)
    assert not any(hit.copy for hit in hits)
    shop.close()


@pytest.mark.parametrize("field", [(b"range", b"bytes=0-1"), (b"cache-control", b"no-cache"), (b"authorization", b"x")])
def test_requests_that_want_something_else_are_looked_up(field: tuple[bytes, bytes]) -> None:
    shop = Shop()
    shop.asked = Asked("GET", URI, Fields([field]))
    shop.store(shop.mine, b"first")
    shop.look()
    assert shop.asked.hit is None
    shop.close()


def test_digests_of_keys_are_what_is_invalidated(shop: Shop) -> None:
    """Invalidation of another URI does no harm, unless both share a slot."""
    other = next(uri for uri in (b"http://x/%d" % n for n in range(9)) if digest(b" " + uri)[:2] != shop.asked.hashed[:2])
    shop.theirs.invalidate(b" " + other, NOW + 0.5)
    assert shop.served() == b"first"
