"""Requests of handlers through the HTTP cache: what of them reaches the server, and what comes of it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from skitai.backend.drivers.http.result import HttpResult
from skitai.backend.errors import BackendError
from skitai.cachefs.cache import Cache
from skitai.cachefs.host import Host
from skitai.config.sections.caching import CacheFs
from tests.support.scripted import Client, Peer, Request, Upstream, client, forever, open_descriptors, upstream

pytestmark = pytest.mark.process

FRESH = "Cache-Control: max-age=600"

Answer = Callable[[Peer, Request, int], object]
Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture
def run() -> Run:
    def runs(test: Coroutine[Any, Any, None]) -> None:
        gc.collect()  # what earlier tests have left
        before = open_descriptors()
        with asyncio.Runner() as runner:
            runner.run(asyncio.wait_for(test, 60))
        gc.collect()
        assert open_descriptors() == before

    return runs


@pytest.fixture(params=["memory", "files", "both"])
def tiers(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Host]:
    """Opens a cache with these tiers."""
    sizes = {"memory": (1 << 20, 0), "files": (0, 1 << 20), "both": (1 << 20, 1 << 20)}
    memory, disk = sizes[request.param]

    def make() -> Host:
        host = Host.open(CacheFs(cachefs_memmax=memory, cachefs_diskmax=disk), str(tmp_path / "cache"))
        assert host is not None
        return host

    return make


class Site:
    """A client with a cache, and a server that answers as a test says and remembers what it was asked."""

    def __init__(self, cache: Cache, ask: Client, server: Upstream, asked: list[Request]) -> None:
        self.cache = cache
        self.ask = ask
        self.server = server
        self.asked = asked

    async def get(self, path: str = "/", verb: str = "get", **fields: str) -> HttpResult:
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        return await self.ask(verb, self.server.url(path), headers=headers)

    async def stored(self, count: int) -> None:
        """Wait until so many answers were stored, and are there."""
        end = time.monotonic() + 20
        while self.cache.stores.books.counts()["stored"] < count:
            assert time.monotonic() < end
            await asyncio.sleep(0.005)
        await asyncio.get_running_loop().run_in_executor(self.cache.disk, int)
        await asyncio.get_running_loop().run_in_executor(self.cache.disk, int)


@contextlib.asynccontextmanager
async def site(host: Host, answer: Answer) -> AsyncIterator[Site]:
    asked: list[Request] = []

    async def talk(peer: Peer) -> None:
        request = await peer.request()
        asked.append(request)
        done = answer(peer, request, len(asked))
        if done is not None:
            await done  # type: ignore[misc]

    with ThreadPoolExecutor(1) as disk:
        cache = Cache(host.stores(), asyncio.get_running_loop(), disk)
        async with upstream(forever(talk)) as server, client(cache) as ask:
            yield Site(cache, ask, server, asked)
    host.close()


def test_what_is_fresh_is_asked_for_once(run: Run, tiers: Callable[[], Host]) -> None:
    async def test() -> None:
        async with site(tiers(), lambda peer, request, n: peer.answer(b"number %d" % n, FRESH, "X-Own: yes")) as shop:
            first = await shop.get("/list")
            assert (first.text, first.headers["X-Cache"]) == ("number 1", "MISS")
            await shop.stored(1)
            again = await shop.get("/list")
            assert (again.text, again.headers["X-Cache"], again.headers["X-Own"]) == ("number 1", "HIT", "yes")
            assert again.headers["Age"] in ("0", "1", "2")
            assert (await shop.get("/list?page=2")).text == "number 2"
            assert len(shop.asked) == 2

    run(test())


def test_nobody_gets_what_is_anothers(run: Run, tiers: Callable[[], Host]) -> None:
    """What an answer to credentials says of itself counts, and what it sets."""
    never = {
        "/private": "Cache-Control: private, max-age=600",
        "/no-store": "Cache-Control: no-store, max-age=600",
        "/cookie": f"Set-Cookie: a=1\r\n{FRESH}",
        "/vary": f"Vary: *\r\n{FRESH}",
        "/token": FRESH,
    }

    def answer(peer: Peer, request: Request, n: int) -> object:
        return peer.answer(b"number %d" % n, never[request.line.split()[1]])

    async def test() -> None:
        async with site(tiers(), answer) as shop:
            for path in never:
                fields = {"Authorization": "Bearer x"} if path == "/token" else {}
                texts = {(await shop.get(path, **fields)).text for _ in range(2)}
                assert len(texts) == 2, path
            assert (await shop.get("/token", Authorization="Bearer y")).headers["X-Cache"] == "MISS"

    run(test())


def test_variants(run: Run, tiers: Callable[[], Host]) -> None:
    def answer(peer: Peer, request: Request, n: int) -> object:
        return peer.answer(request.fields.get("accept-language", "none").encode(), FRESH, "Vary: Accept-Language")

    async def test() -> None:
        async with site(tiers(), answer) as shop:
            for count, language in enumerate(("de", "en", "fr"), 1):
                assert (await shop.get(Accept_Language=language)).text == language
                await shop.stored(count)
            for language in ("fr", "en", "DE"):
                hit = await shop.get(Accept_Language=language)
                assert (hit.text, hit.headers["X-Cache"]) == (language.lower(), "HIT")
            assert len(shop.asked) == 3

    run(test())


def test_what_is_stale_is_confirmed(run: Run, tiers: Callable[[], Host]) -> None:
    def answer(peer: Peer, request: Request, n: int) -> object:
        if "if-none-match" in request.fields:
            assert request.fields["if-none-match"] == '"one"'
            return peer.say(b"HTTP/1.1 304 Not Modified\r\nX-News: %d\r\nCache-Control: max-age=600\r\n\r\n" % n)
        return peer.answer(b"the list", "Cache-Control: max-age=0", 'ETag: "one"')

    async def test() -> None:
        async with site(tiers(), answer) as shop:
            await shop.get()
            await shop.stored(1)
            confirmed = await shop.get()
            assert (confirmed.status_code, confirmed.text) == (200, "the list")
            assert (confirmed.headers["X-Cache"], confirmed.headers["X-News"]) == ("REVALIDATED", "2")
            await shop.stored(2)
            hit = await shop.get()
            assert (hit.text, hit.headers["X-Cache"], hit.headers["X-News"]) == ("the list", "HIT", "2")
            assert (await shop.get(Cache_Control="no-cache")).headers["X-Cache"] == "REVALIDATED"
            assert len(shop.asked) == 3

    run(test())


def test_a_confirmation_may_end_it(run: Run, tiers: Callable[[], Host]) -> None:
    def answer(peer: Peer, request: Request, n: int) -> object:
        if "if-none-match" in request.fields:
            return peer.say(b"HTTP/1.1 304 Not Modified\r\nCache-Control: private\r\n\r\n")
        return peer.answer(b"number %d" % n, "Cache-Control: max-age=0", 'ETag: "one"')

    async def test() -> None:
        async with site(tiers(), answer) as shop:
            await shop.get()
            await shop.stored(1)
            assert (await shop.get()).headers["X-Cache"] == "REVALIDATED"
            assert (await shop.get()).text == "number 3"

    run(test())


def test_what_is_asked_for_at_once_is_asked_for_once(run: Run, tiers: Callable[[], Host]) -> None:
    async def test() -> None:
        going = asyncio.Event()

        async def slowly(peer: Peer, n: int) -> None:
            await going.wait()
            await peer.answer(b"number %d" % n, FRESH)

        async with site(tiers(), lambda peer, request, n: slowly(peer, n)) as shop:
            asking = [asyncio.create_task(shop.get()) for _ in range(20)]
            while not shop.asked:
                await asyncio.sleep(0.005)
            going.set()
            results = await asyncio.gather(*asking)
            assert {result.text for result in results} == {"number 1"}
            assert sorted(result.headers["X-Cache"] for result in results) == ["HIT"] * 19 + ["MISS"]

    run(test())


@pytest.mark.parametrize("end", ["uncacheable", "broken", "given up"])
def test_who_waits_in_vain_asks_for_himself(run: Run, tiers: Callable[[], Host], end: str) -> None:
    async def test() -> None:
        going = asyncio.Event()

        async def slowly(peer: Peer, n: int) -> None:
            await going.wait()
            if n == 1 and end == "broken":
                peer.reset()
            else:
                await peer.answer(b"number %d" % n)

        async with site(tiers(), lambda peer, request, n: slowly(peer, n)) as shop:
            first = asyncio.create_task(shop.get())
            while not shop.asked:
                await asyncio.sleep(0.005)
            waiting = [asyncio.create_task(shop.get()) for _ in range(3)]
            await asyncio.sleep(0)
            if end == "given up":
                first.cancel()
            going.set()
            results = await asyncio.gather(*waiting)
            assert len({result.text for result in results}) == 3
            with contextlib.suppress(asyncio.CancelledError, BackendError):
                await first
            assert not shop.cache._under_way

    run(test())


def test_stale_while_it_is_asked_for_anew(run: Run, tiers: Callable[[], Host]) -> None:
    def answer(peer: Peer, request: Request, n: int) -> object:
        return peer.answer(b"number %d" % n, "Cache-Control: max-age=0, stale-while-revalidate=600")

    async def test() -> None:
        async with site(tiers(), answer) as shop:
            await shop.get()
            await shop.stored(1)
            stale = await shop.get()
            assert (stale.text, stale.headers["X-Cache"]) == ("number 1", "STALE")
            await shop.stored(2)
            assert (await shop.get()).text == "number 2"
            await shop.stored(3)

    run(test())


@pytest.mark.parametrize("fault", ["answers 503", "breaks off", "has gone"])
def test_stale_if_the_server_fails(run: Run, tiers: Callable[[], Host], fault: str) -> None:
    said = "Cache-Control: max-age=0, stale-if-error=600"

    async def fail(peer: Peer) -> None:
        if fault == "answers 503":
            await peer.answer(b"closed", status="503 Service Unavailable")
        else:
            await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly")
            peer.reset()

    def answer(peer: Peer, request: Request, n: int) -> object:
        return peer.answer(b"the list", said) if n == 1 else fail(peer)

    async def test() -> None:
        async with site(tiers(), answer) as shop:
            await shop.get()
            await shop.stored(1)
            if fault == "has gone":
                shop.server.port = 1  # where nobody listens; the key is another one, too
                with pytest.raises(BackendError):
                    await shop.get()
                return
            stale = await shop.get()
            assert (stale.status_code, stale.text, stale.headers["X-Cache"]) == (200, "the list", "STALE")

    run(test())


@pytest.mark.parametrize("verb", ["post", "put", "delete", "patch"])
def test_a_change_makes_void_what_is_stored(run: Run, tiers: Callable[[], Host], verb: str) -> None:
    def answer(peer: Peer, request: Request, n: int) -> object:
        if not request.line.startswith("GET"):
            return peer.answer(b"", "Location: /other", "Content-Location: http://elsewhere.example/list")
        return peer.answer(b"number %d" % n, FRESH, "Vary: Accept")

    async def test() -> None:
        async with site(tiers(), answer) as shop:
            for count, path in enumerate(("/list", "/other", "/third"), 1):
                await shop.get(path)
                await shop.stored(count)
            await shop.get("/list", verb=verb)
            found = [(await shop.get(path)).headers["X-Cache"] for path in ("/list", "/other", "/third")]
            assert found == ["MISS", "MISS", "HIT"]

    run(test())


def test_what_was_asked_before_a_change_is_not_stored_after_it(run: Run, tiers: Callable[[], Host]) -> None:
    async def test() -> None:
        going = asyncio.Event()

        async def slowly(peer: Peer, request: Request, n: int) -> None:
            if request.line.startswith("GET") and n == 1:
                await going.wait()
            await peer.answer(b"number %d" % n, FRESH)

        async with site(tiers(), slowly) as shop:
            asking = asyncio.create_task(shop.get())
            while not shop.asked:
                await asyncio.sleep(0.005)
            await shop.get(verb="post")
            going.set()
            assert (await asking).text == "number 1"
            assert (await shop.get()).text == "number 3"

    run(test())


def test_a_request_that_wants_nothing_but_what_is_stored(run: Run, tiers: Callable[[], Host]) -> None:
    async def test() -> None:
        async with site(tiers(), lambda peer, request, n: peer.answer(b"x", FRESH)) as shop:
            assert (await shop.get(Cache_Control="only-if-cached")).status_code == 504
            await shop.get()
            await shop.stored(1)
            assert (await shop.get(Cache_Control="only-if-cached")).status_code == 200
            assert len(shop.asked) == 1

    run(test())


def test_what_is_too_long_is_not_kept(run: Run, tmp_path: Path) -> None:
    async def chunked(peer: Peer) -> None:
        await peer.say(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(3):
            await peer.say(b"8\r\n01234567\r\n")
        await peer.say(b"0\r\n\r\n")

    def answer(peer: Peer, request: Request, n: int) -> object:
        return chunked(peer) if "chunked" in request.line else peer.answer(b"x" * 21, FRESH)

    async def test() -> None:
        options = CacheFs(cachefs_memmax=1 << 20, cachefs_diskmax=1 << 20, cachefs_object_bytes=20)
        host = Host.open(options, str(tmp_path / "cache"))
        assert host is not None
        async with site(host, answer) as shop:
            for path in ("/", "/chunked"):
                for _ in range(2):
                    assert (await shop.get(path)).headers["X-Cache"] == "MISS"
            assert (host.books.counts()["stored"], host.books.file_bytes, shop.cache.buffered) == (0, 0, 0)

    run(test())
