"""The HTTP client over TLS and HTTP/2: who is trusted, what is agreed on, many requests on one connection, and its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from h2.errors import ErrorCodes

from skitai.backend.drivers.http.incoming import StreamReset
from skitai.backend.errors import BackendError, Code
from skitai.config.aliases import Member
from tests.process.test_http_client import Run, echo, run
from tests.support.scripted import Peer, client, forever, upstream
from tests.support.scripted2 import AUTHORITY, Call, secured, upstream2

__all__ = ["run"]

pytestmark = pytest.mark.process


@pytest.fixture(autouse=True)
def trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The system's certificates are those of the tests' own authority."""
    file = tmp_path / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(file))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))


async def told(call: Call) -> None:
    """Answers with what was asked."""
    body = await call.body()
    await call.answer(f"{call.fields[':method']} {call.path} {len(body)} on {call.connection}".encode())


def test_https_where_the_server_speaks_http1_only(run: Run) -> None:
    async def test() -> None:
        async with upstream(forever(echo), secured("http/1.1")) as server, client() as ask:
            for _ in range(2):
                result = await ask("get", server.url())
                assert (result.status_code, result.version) == (200, "1.1")
            assert server.connections == 1
            results = await asyncio.gather(*[ask("get", server.url()) for _ in range(3)])
            assert [each.status_code for each in results] == [200] * 3

    run(test())


def test_https_where_the_server_knows_no_negotiation(run: Run) -> None:
    async def test() -> None:
        async with upstream(forever(echo), secured()) as server, client() as ask:
            results = await asyncio.gather(*[ask("get", server.url()) for _ in range(5)])
            assert [each.version for each in results] == ["1.1"] * 5

    run(test())


def test_many_requests_at_once_share_one_connection(run: Run) -> None:
    async def test() -> None:
        async with upstream2(told, secured("h2", "http/1.1")) as server, client() as ask:
            results = await asyncio.gather(*[ask("get", server.url(f"/{each}")) for each in range(50)])
            assert [each.content.decode() for each in results] == [f"GET /{each} 0 on 1" for each in range(50)]
            assert {each.version for each in results} == {"2.0"}
            assert {each.reason for each in results} == {"OK"}
            (stats,) = ask.driver.stats().values()
            assert stats == {"busy": 0, "idle": 1, "waiting": 0, "opened": 1, "streams": 0}

    run(test())


def test_http2_without_tls_by_prior_knowledge(run: Run) -> None:
    async def test() -> None:
        async with upstream2(told) as server, client() as ask:
            result = await ask("post", server.url("/a"), b"x" * 300_000, http2=True)
            assert (result.content, result.version) == (b"POST /a 300000 on 1", "2.0")

    run(test())


def test_http2_may_be_demanded_or_ruled_out(run: Run) -> None:
    async def test() -> None:
        async with upstream(forever(echo), secured("http/1.1")) as old, client() as ask:
            with pytest.raises(BackendError, match="does not speak HTTP/2"):
                await ask("get", old.url(), http2=True)
            assert (await ask("get", old.url(), http2=False)).version == "1.1"

    run(test())


def test_where_few_streams_are_allowed_there_are_more_connections_up_to_the_limit(run: Run) -> None:
    async def test() -> None:
        async with upstream2(told, streams=2) as server, client(backend_connections=3, backend_streams=2) as ask:
            results = await asyncio.gather(*[ask("get", server.url(f"/{each}"), http2=True) for each in range(40)])
            assert [each.content.split()[1] for each in results] == [f"/{each}".encode() for each in range(40)]
            assert server.connections == 3

    run(test())


def test_bodies_both_ways_wait_for_windows(run: Run) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 20_000

    async def test() -> None:
        async def talk(call: Call) -> None:
            body = await call.body()
            await call.answer(body + b"!")

        async with upstream2(talk) as server, client() as ask:
            result = await ask("post", server.url(), pieces(), http2=True)
            assert result.content == b"x" * 2_000_000 + b"!"

    run(test())


@pytest.mark.parametrize("secure", [True, False])
def test_a_large_body_for_a_server_whose_windows_never_close(run: Run, secure: bool) -> None:
    async def test() -> None:
        async with upstream2(told, secured("h2") if secure else None, window=1 << 24) as server, client() as ask:
            results = await asyncio.gather(*[ask("post", server.url(), bytes(3_000_000), http2=True) for _ in range(3)])
            assert [each.content for each in results] == [b"POST / 3000000 on 1"] * 3

    run(test())


def test_a_conversation_on_one_stream_with_trailers(run: Run) -> None:
    """What gRPC is made of."""

    async def test() -> None:
        said: asyncio.Queue[bytes | None] = asyncio.Queue()

        async def questions() -> AsyncIterator[bytes]:
            while (piece := await said.get()) is not None:
                yield piece

        async def talk(call: Call) -> None:
            assert call.fields["te"] == "trailers"
            call.head(200, ("content-type", "application/grpc"))
            while (piece := await call.pieces.get()) is not None:
                await call.data(b"re: " + piece)
            call.trailers(("grpc-status", "0"), ("grpc-message", "fine"))

        async with upstream2(talk) as server, client() as ask:
            headers = {"TE": "trailers", "Content-Type": "application/grpc"}
            result = await ask("post", server.url("/a.B/C"), questions(), headers=headers, http2=True, stream=True)
            assert result.status_code == 200
            assert result.pieces is not None
            for question in (b"one", b"two"):
                said.put_nowait(question)
                assert await anext(result.pieces) == b"re: " + question
            said.put_nowait(None)
            assert [each async for each in result.pieces] == []
            assert result.trailers is not None
            assert result.trailers.get(b"grpc-status") == b"0"

    run(test())


def test_a_stream_holds_its_server_back_and_no_other(run: Run) -> None:
    async def test() -> None:
        sent = 0

        async def talk(call: Call) -> None:
            nonlocal sent
            if call.path == "/short":
                await call.answer(b"short")
                return
            call.head(200)
            for _ in range(100):
                await call.data(b"x" * 65536)
                sent += 65536
            await call.data(b"", ended=True)

        async with upstream2(talk) as server, client() as ask:
            result = await ask("get", server.url("/long"), http2=True, stream=True)
            for _ in range(3):
                assert (await ask("get", server.url("/short"), http2=True)).content == b"short"
            assert sent < 1_000_000
            assert result.pieces is not None
            assert sum([len(each) async for each in result.pieces]) == 6_553_600
            assert server.connections == 1

    run(test())


def test_who_waits_no_longer_ends_its_stream_only(run: Run) -> None:
    async def test() -> None:
        calls: list[Call] = []

        async def talk(call: Call) -> None:
            calls.append(call)
            if call.path == "/never":
                await asyncio.Event().wait()
            await call.answer(b"here")

        async with upstream2(talk) as server, client() as ask:
            assert (await ask("get", server.url("/"), http2=True)).content == b"here"
            with pytest.raises(BackendError) as raised:
                await ask("get", server.url("/never"), http2=True, timeout=0.2)
            assert raised.value.code == Code.TIMEOUT
            never = asyncio.create_task(ask("get", server.url("/never"), http2=True))
            while len(calls) < 3:
                await asyncio.sleep(0.01)
            never.cancel()
            with pytest.raises(asyncio.CancelledError):
                await never
            while calls[2].reset is None:
                await asyncio.sleep(0.01)
            assert calls[1].reset == calls[2].reset == ErrorCodes.CANCEL
            assert (await ask("get", server.url("/"), http2=True)).content == b"here"

    run(test())


@pytest.mark.parametrize("method", ["get", "post"])
def test_refused_streams_are_asked_again(run: Run, method: str) -> None:
    async def test() -> None:
        count = 0

        async def talk(call: Call) -> None:
            nonlocal count
            count += 1
            if count == 1:
                call.refuse(ErrorCodes.REFUSED_STREAM)
            else:
                await told(call)

        async with upstream2(talk) as server, client() as ask:
            assert (await ask(method, server.url(), http2=True)).status_code == 200
            assert count == 2

    run(test())


def test_a_server_that_refuses_for_ever_is_left(run: Run) -> None:
    async def test() -> None:
        async def talk(call: Call) -> None:
            call.refuse(ErrorCodes.REFUSED_STREAM)

        async with upstream2(talk) as server, client() as ask:
            with pytest.raises(BackendError, match="takes no more requests") as raised:
                await ask("get", server.url(), http2=True)
            assert (raised.value.code, raised.value.sent) == (Code.REFUSED, False)

    run(test())


def test_a_reset_within_an_answer_is_told(run: Run) -> None:
    async def test() -> None:
        async def talk(call: Call) -> None:
            call.head(200)
            await call.data(b"some")
            call.refuse(ErrorCodes.INTERNAL_ERROR)

        async with upstream2(talk) as server, client() as ask:
            with pytest.raises(StreamReset, match="INTERNAL_ERROR") as raised:
                await ask("get", server.url(), http2=True)
            assert (raised.value.code, raised.value.reset) == (Code.REFUSED, ErrorCodes.INTERNAL_ERROR)

    run(test())


def test_a_server_that_leaves_finishes_what_it_has_begun(run: Run) -> None:
    async def test() -> None:
        begun, other = asyncio.Event(), asyncio.Event()

        async def talk(call: Call) -> None:
            if call.connection == 1 and call.path == "/last":
                begun.set()
                call.peer.h2.close_connection(last_stream_id=call.number)
                call.peer.flush()
                call.peer.h2.state_machine.state = type(call.peer.h2.state_machine.state).SERVER_OPEN
                await other.wait()
            await told(call)

        async with upstream2(talk) as server, client() as ask:
            last = asyncio.create_task(ask("get", server.url("/last"), http2=True))
            await begun.wait()
            while next(iter(ask.driver.stats().values()))["streams"]:  # until it is told
                await asyncio.sleep(0.01)
            assert (await ask("get", server.url("/next"), http2=True)).content == b"GET /next 0 on 2"
            other.set()
            assert (await last).content == b"GET /last 0 on 1"

    run(test())


def test_a_connection_that_was_closed_meanwhile_is_replaced(run: Run) -> None:
    async def test() -> None:
        peers: list[Any] = []

        async def talk(call: Call) -> None:
            peers.append(call.peer)
            await told(call)

        async with upstream2(talk) as server, client() as ask:
            assert (await ask("get", server.url(), http2=True)).content.endswith(b"on 1")
            peers[0].transport.abort()
            assert (await ask("get", server.url(), http2=True)).content.endswith(b"on 2")
            assert (await ask("post", server.url(), b"x", http2=True)).content.endswith(b"on 2")

    run(test())


def test_garbage_instead_of_http2(run: Run) -> None:
    async def test() -> None:
        async def talk(peer: Peer) -> None:
            await peer.say(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            await peer.reader.read()

        async with upstream(talk) as server, client() as ask:
            with pytest.raises(BackendError) as raised:
                await ask("get", server.url(), http2=True)
            assert raised.value.code == Code.PROTOCOL

    run(test())


# Trust


@pytest.mark.parametrize("fault", ["name", "authority"])
def test_who_is_not_trusted_is_not_asked(run: Run, fault: str) -> None:
    async def test() -> None:
        wrong: Any = {"names": ("example.com",)} if fault == "name" else {"by": trustme.CA()}
        async with upstream(forever(echo), secured("http/1.1", **wrong)) as server, client() as ask:
            with pytest.raises(BackendError, match="127.0.0.1") as raised:
                await ask("get", server.url(), auth=("ann", "secret"))
            assert (raised.value.code, raised.value.sent) == (Code.TLS, False)
            careless = Member("https", "127.0.0.1", server.port, secure=True, verify=False)
            assert (await ask.at(careless, "get", "/")).status_code == 200
            with pytest.raises(BackendError):  # the one has nothing to do with the other
                await ask("get", server.url())

    run(test())


def test_a_server_without_tls_is_told_from_one_with(run: Run) -> None:
    async def test() -> None:
        async def talk(peer: Peer) -> None:
            await peer.reader.read(10)
            await peer.answer(b"", status="400 Bad Request")

        async with upstream(talk) as server, client() as ask:
            with pytest.raises(BackendError) as raised:
                await ask("get", server.url().replace("http:", "https:"))
            assert raised.value.code == Code.TLS

    run(test())
