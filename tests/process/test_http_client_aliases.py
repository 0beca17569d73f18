"""What an alias says of how its servers are reached, and what all servers of a worker share."""

from __future__ import annotations

import asyncio

import pytest

from skitai.backend.errors import TimedOut
from skitai.config.aliases import Member
from tests.process.test_http_client import Run, echo, run
from tests.process.test_http_client_faults import proxy
from tests.support.scripted import Peer, client, forever, upstream
from tests.support.scripted2 import Call, upstream2

__all__ = ["run"]

pytestmark = pytest.mark.process


async def told(call: Call) -> None:
    await call.answer(b"fine")


def test_an_alias_has_fewer_connections(run: Run) -> None:
    async def test() -> None:
        async with upstream(forever(echo)) as server, client() as ask:
            few = Member("http", "127.0.0.1", server.port, connections=2)
            await asyncio.gather(*[ask.at(few, "get", "/") for _ in range(10)])
            assert (server.connections, ask.driver.connections()) == (2, 2)
            await asyncio.gather(*[ask("get", server.url()) for _ in range(3)])
            assert server.connections == 5, "those of others are none of it"

    run(test())


def test_an_alias_has_a_proxy_which_redirects_do_not_leave(run: Run) -> None:
    async def redirecting(peer: Peer) -> None:
        asked = await peer.request()
        if asked.line.split()[1].startswith("http://example.invalid"):
            await peer.answer(b"", "Location: http://other.invalid/there", status="302 Found")
        else:
            await peer.answer(asked.line.encode())

    async def test() -> None:
        async with upstream(proxy) as first, upstream(forever(redirecting)) as second, client() as ask:
            through = f"http://ann:secret@127.0.0.1:{first.port}"
            member = Member("http", "example.invalid", 81, proxy=through)
            assert (await ask.at(member, "get", "/a?b")).content == b"by proxy: http://example.invalid:81/a?b"
            member = Member("http", "example.invalid", 80, proxy=f"http://127.0.0.1:{second.port}")
            result = await ask.at(member, "get", "/a", allow_redirects=True)
            assert result.content == b"GET http://other.invalid/there HTTP/1.1"
            own = await ask.at(member, "get", "/a", proxy=through)
            assert own.content == b"by proxy: http://example.invalid/a", "that of the call comes first"

    run(test())


def test_an_alias_says_which_version(run: Run) -> None:
    async def test() -> None:
        async with upstream2(told) as newer, upstream(forever(echo)) as older, client() as ask:
            assert (await ask.at(Member("http", "127.0.0.1", newer.port, http2=True), "get", "/")).version == "2.0"
            assert (
                await ask.at(Member("http", "127.0.0.1", older.port, http2=True), "get", "/", http2=False)
            ).version == "1.1"

    run(test())


def test_whoever_idles_makes_room_for_other_servers(run: Run) -> None:
    async def test() -> None:
        async with (
            upstream(forever(echo)) as one,
            upstream2(told) as two,
            upstream(forever(echo)) as three,
            client(backend_total_connections=2) as ask,
        ):
            for _ in range(3):
                await ask("get", one.url())
                await ask("get", two.url(), http2=True)
                await ask("get", three.url())
                assert ask.driver.connections() <= 2
            assert min(one.connections, two.connections, three.connections) > 1

    run(test())


def test_where_no_connection_idles_requests_wait_for_one_until_their_deadline(run: Run) -> None:
    async def test() -> None:
        free = asyncio.Event()

        async def slow(peer: Peer) -> None:
            await peer.request()
            await free.wait()
            await peer.answer(b"slow")

        async def slow2(call: Call) -> None:
            await free.wait()
            await call.answer(b"slow")

        async with (
            upstream(forever(slow)) as one,
            upstream2(slow2) as two,
            upstream(forever(echo)) as three,
            client(backend_total_connections=2) as ask,
        ):
            busy = [asyncio.create_task(ask("get", one.url())), asyncio.create_task(ask("get", two.url(), http2=True))]
            while not (one.connections and two.connections):
                await asyncio.sleep(0.01)
            with pytest.raises(TimedOut) as raised:
                await ask("post", three.url(), b"x", timeout=0.1)
            assert not raised.value.sent
            gone = asyncio.create_task(ask("get", three.url()))
            waiting = [asyncio.create_task(ask("get", three.url(f"/{number}"))) for number in range(5)]
            await asyncio.sleep(0.05)
            gone.cancel()
            assert three.connections == 0
            free.set()
            assert [(await each).content for each in busy] == [b"slow", b"slow"]
            assert [(await each).status_code for each in waiting] == [200] * 5
            assert ask.driver.connections() <= 2
            await asyncio.gather(*[ask("get", each.url()) for each in (one, three) for _ in range(3)])
            assert ask.driver.connections() <= 2

    run(test())
