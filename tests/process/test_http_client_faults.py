"""The HTTP client and servers that fail: each fault has its code, within its time, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import gzip
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from skitai.backend.drivers.http.incoming import Incoming
from skitai.backend.errors import BackendError, Code, TimedOut
from skitai.backend.result import Status, failure
from skitai.config.aliases import Member
from tests.process.test_http_client import Run, echo, run
from tests.support.scripted import Client, Peer, client, forever, upstream

__all__ = ["run"]

pytestmark = pytest.mark.process


async def fails(ask: Client, *args: Any, **options: Any) -> BackendError:
    """What a request ends with; the driver keeps no connection of it."""
    with pytest.raises(BackendError) as raised:
        await ask(*args, **options)
    for stats in ask.driver.stats().values():
        assert (stats["busy"], stats["waiting"]) == (0, 0)
    return raised.value


def test_nobody_listens(run: Run) -> None:
    async def test() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        async with client() as ask:
            error = await fails(ask, "post", f"http://127.0.0.1:{port}/", b"x")
            assert (error.code, error.sent) == (Code.REFUSED, False)
            assert f"127.0.0.1:{port}" in error.message
            result = failure(error)
            assert (result.status, result.status_code) == (Status.FAILED, 701)

    run(test())


def test_a_name_without_an_address(run: Run) -> None:
    async def test() -> None:
        async with client() as ask:
            error = await fails(ask, "get", "http://no-such-host.invalid/")
            assert (error.code, error.sent) == (Code.NO_HOST, False)
            assert "no-such-host.invalid" in error.message

    run(test())


def test_a_server_that_accepts_nobody(run: Run) -> None:
    """Its queue is full: connecting takes for ever."""

    async def test() -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            address = listener.getsockname()
            loop = asyncio.get_running_loop()
            holders = []
            try:
                for _ in range(4):
                    holder = socket.socket()
                    holder.setblocking(False)
                    holders.append(holder)
                    holder.connect_ex(address)
                async with client(backend_connect_s=0.2) as ask:
                    url = f"http://127.0.0.1:{address[1]}/"
                    error = await fails(ask, "get", url)
                    assert (error.code, error.sent) == (Code.SLOW, False)
                    begun = loop.time()
                    late = await fails(ask, "get", url, timeout=0.1)
                    assert isinstance(late, TimedOut)
                    assert not late.sent
                    assert loop.time() - begun < 10
            finally:
                for holder in holders:
                    holder.close()

    run(test())


def test_an_address_that_does_not_answer_delays_the_next_one_only_a_little(run: Run, monkeypatch: Any) -> None:
    async def test() -> None:
        async with upstream(forever(echo)) as server, client(backend_connect_s=20) as ask:
            found = [
                (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", server.port, 0, 0)),  # nobody listens there
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port)),
            ]

            async def resolve(*args: Any, **options: Any) -> Any:
                return found

            monkeypatch.setattr(ask.driver._dialler, "loop", Resolving(asyncio.get_running_loop(), resolve))
            assert (await ask("get", f"http://two.test:{server.port}/")).status_code == 200

    run(test())


class Resolving:
    """A loop with a resolver of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, resolve: Any) -> None:
        self._loop = loop
        self.getaddrinfo = resolve

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


def test_ipv6(run: Run) -> None:
    async def test() -> None:
        async with upstream(forever(echo), host="::1") as server, client() as ask:
            result = await ask("get", f"http://[::1]:{server.port}/")
            assert result.data["fields"]["host"] == f"[::1]:{server.port}"
            assert result.node == ("::1", server.port)

    run(test())


# Connections that end


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_kept_connection_that_was_closed_is_replaced_unnoticed(run: Run, method: str) -> None:
    async def test() -> None:
        async with upstream(echo) as server, client() as ask:  # closes behind each answer, without saying so
            for _ in range(3):
                assert (await ask(method, server.url())).status_code == 200
            assert server.connections == 3

    run(test())


@pytest.mark.parametrize(("method", "answered"), [("get", True), ("put", True), ("post", False), ("patch", False)])
def test_a_kept_connection_that_dies_under_a_request(run: Run, method: str, answered: bool) -> None:
    """Whether the server has begun to work is unknown: only what may be repeated is."""

    async def test() -> None:
        async def talk(peer: Peer) -> None:
            await peer.request()
            await peer.answer(b"fine")
            if peer.number == 1:
                await peer.request()
                peer.reset()

        async with upstream(talk) as server, client() as ask:
            await ask("get", server.url())
            if answered:
                assert (await ask(method, server.url(), data=None)).content == b"fine"
                assert server.connections == 2
            else:
                error = await fails(ask, method, server.url(), b"x")
                assert (error.code, error.sent) == (Code.REFUSED, True)
                assert server.connections == 1

    run(test())


def test_a_new_connection_that_dies_is_not_replaced(run: Run) -> None:
    async def test() -> None:
        async def talk(peer: Peer) -> None:
            await peer.request()
            peer.reset()

        async with upstream(talk) as server, client() as ask:
            error = await fails(ask, "get", server.url())
            assert (error.code, error.sent, server.connections) == (Code.REFUSED, True, 1)

    run(test())


def test_a_body_that_cannot_be_sent_again_is_not(run: Run) -> None:
    async def once() -> AsyncIterator[bytes]:
        yield b"once"

    async def test() -> None:
        async def talk(peer: Peer) -> None:
            await peer.request()
            if peer.number == 1:
                await peer.answer(b"fine")
                await peer.request()
                peer.reset()

        async with upstream(talk) as server, client() as ask:
            await ask("get", server.url())
            error = await fails(ask, "put", server.url(), once())
            assert (error.code, server.connections) == (Code.REFUSED, 1)

    run(test())


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Le", Code.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", Code.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhalf", Code.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 4\r\n\r\nhello", Code.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Code.PROTOCOL),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", Code.PROTOCOL),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", Code.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\nX: y\n\r\n\r\n", Code.PROTOCOL),
        (bytes(range(256)), Code.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nplain", Code.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000, Code.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 70000000\r\n\r\n", Code.TOO_LARGE),
    ],
)
def test_answers_that_are_none(run: Run, said: bytes, code: Code) -> None:
    async def test() -> None:
        async def talk(peer: Peer) -> None:
            await peer.request()
            await peer.say(said)

        async with upstream(talk) as server, client() as ask:
            error = await fails(ask, "get", server.url())
            assert (error.code, error.sent) == (code, True)

    run(test())


def test_content_without_end_is_too_large(run: Run) -> None:
    async def test() -> None:
        async def talk(peer: Peer) -> None:
            await peer.request()
            await peer.say(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                await peer.say(b"x" * 65536)

        async with upstream(talk) as server, client(backend_body_bytes=500_000) as ask:
            assert (await fails(ask, "get", server.url())).code == Code.TOO_LARGE

    run(test())


def test_gzip_that_ends_too_early(run: Run) -> None:
    async def test() -> None:
        async def talk(peer: Peer) -> None:
            await peer.request()
            await peer.answer(gzip.compress(b"some text")[:-4], "Content-Encoding: gzip")

        async with upstream(talk) as server, client() as ask:
            assert (await fails(ask, "get", server.url())).code == Code.PROTOCOL

    run(test())


def test_more_than_an_answer_is_not_taken_for_the_next_one(run: Run) -> None:
    async def test() -> None:
        async def talk(peer: Peer) -> None:
            await peer.request()
            await peer.say(
                b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngoodHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad"
            )
            await peer.reader.read()

        async with upstream(talk) as server, client() as ask:
            for _ in range(2):
                assert (await ask("get", server.url())).content == b"good"
            assert server.connections == 2

    run(test())


def test_what_comes_unasked_ends_a_kept_connection(run: Run) -> None:
    async def test() -> None:
        unasked = asyncio.Event()

        async def talk(peer: Peer) -> None:
            await peer.request()
            await peer.answer(b"good")
            await unasked.wait()
            await peer.answer(b"bad")
            await peer.reader.read()

        async with upstream(talk) as server, client() as ask:
            assert (await ask("get", server.url())).content == b"good"
            unasked.set()
            while ask.driver.stats():
                ask.driver.tick(asyncio.get_running_loop().time())
                await asyncio.sleep(0.01)
            assert (await ask("post", server.url(), b"x")).content == b"good"
            assert server.connections == 2

    run(test())


# Time


def test_silence(run: Run) -> None:
    async def test() -> None:
        async def talk(peer: Peer) -> None:
            await peer.request()
            await peer.reader.read()

        async with upstream(talk) as server, client(backend_idle_s=0.1) as ask:
            error = await fails(ask, "get", server.url())
            assert (error.code, error.sent) == (Code.SLOW, True)
            late = await fails(ask, "get", server.url(), timeout=0.05)
            assert (late.code, late.sent) == (Code.TIMEOUT, True)

    run(test())


def test_slow_bytes_are_no_silence_but_the_deadline_ends_them(run: Run) -> None:
    async def test() -> None:
        async def talk(peer: Peer) -> None:
            await peer.request()
            for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 100_000:
                await peer.say(bytes([byte]))
                await asyncio.sleep(0.01)

        async with upstream(talk) as server, client(backend_idle_s=5) as ask:
            assert isinstance(await fails(ask, "get", server.url(), timeout=0.3), TimedOut)

    run(test())


def test_a_server_that_reads_nothing(run: Run) -> None:
    async def test() -> None:
        async def talk(peer: Peer) -> None:
            await peer.head()
            await asyncio.Event().wait()

        def endless() -> Iterator[bytes]:
            while True:
                yield b"x" * 65536

        async with upstream(talk) as server, client(backend_idle_s=0.2) as ask:
            assert (await fails(ask, "post", server.url(), b"x" * 20_000_000)).code == Code.SLOW
            assert (await fails(ask, "post", server.url(), endless())).code == Code.SLOW

    run(test())


def test_an_answer_before_the_request_is_over(run: Run) -> None:
    async def test() -> None:
        async def talk(peer: Peer) -> None:
            await peer.head()
            await peer.answer(b"too much", status="413 Content Too Large")
            await peer.reader.read(1_000_000)

        async def endless() -> AsyncIterator[bytes]:
            while True:
                yield b"x" * 1000
                await asyncio.sleep(0)

        async with upstream(talk) as server, client() as ask:
            assert (await ask("post", server.url(), endless())).status_code == 413
            (stats,) = ask.driver.stats().values()
            assert (stats["busy"], stats["idle"]) == (0, 0)

    run(test())


def test_a_slow_source_of_the_request_is_not_the_servers_fault(run: Run) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        for _ in range(3):
            await asyncio.sleep(0.5)
            yield b"x"

    async def test() -> None:
        async with upstream(forever(echo)) as server, client(backend_idle_s=1) as ask:
            assert (await ask("post", server.url(), slowly())).data["body"] == "xxx"

    run(test())


@pytest.mark.parametrize("http2", [False, True])
def test_a_source_that_fails(run: Run, http2: bool) -> None:
    async def broken() -> AsyncIterator[Any]:
        yield b"some"
        raise ValueError("no more")

    async def wrong() -> AsyncIterator[Any]:
        yield 7

    async def test() -> None:
        async def talk(peer: Peer) -> None:
            await peer.reader.read()

        async with upstream(talk) as server, client() as ask:
            error = await fails(ask, "post", server.url(), broken(), http2=http2)
            assert error.code == Code.FAILED
            assert "no more" in error.message
            assert isinstance(error.__cause__, ValueError)
            assert "7" in (await fails(ask, "post", server.url(), wrong(), http2=http2)).message
            short = await fails(ask, "post", server.url(), iter([b"abc"]), headers={"Content-Length": "5"}, http2=http2)
            assert "5 bytes" in short.message

    run(test())


# The pool


def test_an_exhausted_pool_makes_requests_wait_until_their_deadline(run: Run) -> None:
    async def test() -> None:
        free = asyncio.Event()

        async def talk(peer: Peer) -> None:
            await peer.request()
            await free.wait()
            await peer.answer(b"fine")

        async with upstream(forever(talk)) as server, client(backend_connections=1) as ask:
            first = asyncio.create_task(ask("get", server.url()))
            while not server.connections:
                await asyncio.sleep(0.01)
            with pytest.raises(TimedOut) as raised:
                await ask("post", server.url(), b"x", timeout=0.1)
            assert not raised.value.sent
            second = asyncio.create_task(ask("get", server.url()))
            free.set()
            assert (await first).content == (await second).content == b"fine"
            assert server.connections == 1

    run(test())


def test_a_request_that_nobody_waits_for_leaves_nothing(run: Run) -> None:
    async def test() -> None:
        async def talk(peer: Peer) -> None:
            await peer.request()
            await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            assert await peer.reader.read() == b""

        async with upstream(talk) as server, client() as ask:
            for pause_s in (0, 0.001, 0.05):
                task = asyncio.create_task(ask("get", server.url()))
                await asyncio.sleep(pause_s)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            for stats in ask.driver.stats().values():
                assert (stats["busy"], stats["idle"]) == (0, 0)

    run(test())


@pytest.mark.parametrize("stream", [False, True])
def test_closing_the_driver_ends_what_runs(run: Run, stream: bool) -> None:
    async def test() -> None:
        async def talk(peer: Peer) -> None:
            await peer.request()
            await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            assert await peer.reader.read() == b""

        async with upstream(talk) as server, client() as ask:

            async def read() -> None:
                result = await ask("get", server.url(), stream=stream)
                assert result.pieces is not None
                async for _ in result.pieces:
                    pass

            task = asyncio.create_task(read())
            while not server.connections:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            await ask.driver.close()
            with pytest.raises(BackendError) as raised:
                await task
            assert raised.value.code == Code.SHUTDOWN
            with pytest.raises(BackendError) as raised:
                await ask("get", server.url())
            assert raised.value.code == Code.SHUTDOWN

    run(test())


@pytest.mark.parametrize("http2", [False, True])
def test_what_has_failed_is_freed_at_once(run: Run, http2: bool) -> None:
    """Without the garbage collector."""

    async def test() -> None:
        async def talk(peer: Peer) -> None:
            await peer.reader.read(100)

        async with upstream(talk) as server, client() as ask:
            gc.collect()
            gc.disable()
            try:
                for _ in range(3):
                    await fails(ask, "get", server.url(), http2=http2)
                await asyncio.sleep(0.01)
                assert [each for each in gc.get_objects() if isinstance(each, Incoming)] == []
            finally:
                gc.enable()

    run(test())


def test_idle_connections_are_closed_in_time_and_forgotten(run: Run) -> None:
    async def test() -> None:
        async with upstream(forever(echo)) as server, client(backend_keep_alive=60) as ask:
            await ask("get", server.url())
            now = asyncio.get_running_loop().time()
            ask.driver.tick(now + 59)
            (stats,) = ask.driver.stats().values()
            assert stats["idle"] == 1
            ask.driver.tick(now + 61)
            ask.driver.tick(now + 62)
            assert ask.driver.stats() == {}
            await ask("get", server.url())
            assert server.connections == 2

    run(test())


# Proxies


async def proxy(peer: Peer) -> None:
    """A proxy for CONNECT and absolute URLs that wants a password."""
    asked = await peer.request()
    if asked.fields.get("proxy-authorization") != "Basic YW5uOnNlY3JldA==":
        await peer.answer(b"", status="407 Proxy Authentication Required")
        return
    method, target, _ = asked.line.split()
    if method != "CONNECT":
        await peer.answer(f"by proxy: {target}".encode())
        return
    host, _, port = target.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    await peer.say(b"HTTP/1.1 200 Connection established\r\n\r\n")

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            sink.write(data)
        sink.close()

    try:
        await asyncio.gather(pump(peer.reader, writer), pump(reader, peer.writer))
    finally:
        writer.close()


def test_a_proxy(run: Run) -> None:
    async def test() -> None:
        async with upstream(proxy) as server, client() as ask:
            through = f"http://ann:secret@127.0.0.1:{server.port}"
            result = await ask("get", "http://example.invalid:81/a?b", proxy=through)
            assert result.content == b"by proxy: http://example.invalid:81/a?b"
            stranger = await ask("get", "http://example.invalid/", proxy=f"http://127.0.0.1:{server.port}")
            assert stranger.status_code == 407
            error = await fails(ask, "get", "https://127.0.0.1:1/", proxy=f"http://127.0.0.1:{server.port}")
            assert (error.code, error.sent) == (Code.REFUSED, False)
            assert "407" in error.message

    run(test())


def test_a_proxy_that_is_none(run: Run) -> None:
    async def test() -> None:
        async with client() as ask:
            for wrong in ("https://127.0.0.1:1", "socks5://127.0.0.1:1", "nonsense"):
                assert (await fails(ask, "get", "http://127.0.0.1:1/", proxy=wrong)).code == Code.FAILED

    run(test())


def test_an_unknown_member_is_no_other(run: Run) -> None:
    """Servers that differ in their password share connections; the password goes with the request."""

    async def test() -> None:
        async with upstream(forever(echo)) as server, client() as ask:
            for user in ("ann", "bob"):
                member = Member("http", "127.0.0.1", server.port, user=user, password="x")
                assert (await ask.at(member, "get", "/")).data["fields"]["authorization"].startswith("Basic ")
            assert server.connections == 1

    run(test())
