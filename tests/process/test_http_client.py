"""The HTTP client and servers that do as they should, on both loops."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import brotli
import pytest
import uvloop

from skitai.backend.errors import BackendError, Code
from skitai.backend.result import Status
from skitai.config.aliases import Member
from tests.support.scripted import Peer, client, forever, open_descriptors, upstream

pytestmark = pytest.mark.process

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    factory().close()  # uvloop keeps two descriptors from its first loop on

    def runs(test: Coroutine[Any, Any, None]) -> None:
        before = open_descriptors()
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(asyncio.wait_for(test, 60))
        assert open_descriptors() == before

    return runs


async def echo(peer: Peer) -> None:
    asked = await peer.request()
    told = {"line": asked.line, "fields": asked.fields, "body": asked.body.decode("latin-1")}
    await peer.answer(json.dumps(told).encode(), "Content-Type: application/json")


def test_a_connection_that_idles_is_asked_without_a_task(run: Run) -> None:
    large = b"0123456789abcdef" * 40_000

    async def talk(peer: Peer) -> None:
        asked = await peer.request()
        if asked.line.startswith("GET /large"):
            await peer.answer(gzip.compress(large, 0), "Content-Encoding: gzip")
        elif asked.line.startswith("GET /broken"):
            await peer.answer(b"no gzip", "Content-Encoding: gzip")
        else:
            await peer.answer(asked.body or b"short")

    async def test() -> None:
        async with upstream(forever(talk)) as server, client() as ask:
            assert ((await ask("get", server.url())).data, ask.without_task) == (b"short", 0)
            assert ((await ask("get", server.url())).data, ask.without_task) == (b"short", 1)
            assert ((await ask("get", server.url("/large"))).data == large, ask.without_task) == (True, 2)
            assert ((await ask("post", server.url(), "body")).data, ask.without_task) == (b"body", 3)
            with pytest.raises(BackendError, match="the content is not gzip") as error:
                await ask("get", server.url("/broken"))
            assert (error.value.code, ask.without_task, server.connections) == (Code.PROTOCOL, 4, 1)

    run(test())


def test_a_get_and_what_comes(run: Run) -> None:
    async def test() -> None:
        async with upstream(forever(echo)) as server, client() as ask:
            result = await ask("get", server.url("/a b?c=d"), {"e": "ö", "f": [1, 2]}, headers={"X-One": "1"})
            assert (result.status, result.status_code, result.reason) == (Status.DONE, 200, "OK")
            assert result.data["line"] == "GET /a%20b?c=d&e=%C3%B6&f=1&f=2 HTTP/1.1"
            assert result.data["fields"]["host"] == f"127.0.0.1:{server.port}"
            assert result.data["fields"]["user-agent"].startswith("Skitai/")
            assert result.data["fields"]["accept"] == "*/*"
            assert result.data["fields"]["accept-encoding"] == "gzip, deflate, br"
            assert result.data["fields"]["x-one"] == "1"
            assert "content-length" not in result.data["fields"]
            assert result.json() == result.data
            assert result.method == "get"
            assert result.version == "1.1"
            assert result.node == ("127.0.0.1", server.port)
            assert result.headers["CONTENT-type"] == "application/json"

    run(test())


def test_one_connection_serves_many_requests(run: Run) -> None:
    async def test() -> None:
        async with upstream(forever(echo)) as server, client() as ask:
            for _ in range(5):
                await ask("get", server.url())
            await ask("post", server.url(), {"a": "b"})
            assert server.connections == 1
            assert ask.driver.stats() == {
                f"http://127.0.0.1:{server.port}": {"busy": 0, "idle": 1, "waiting": 0, "opened": 1}
            }

    run(test())


def test_requests_at_the_same_time_have_a_connection_each_up_to_the_limit(run: Run) -> None:
    async def test() -> None:
        async with upstream(forever(echo)) as server, client(backend_connections=3) as ask:
            results = await asyncio.gather(*[ask("get", server.url(f"/{each}")) for each in range(10)])
            assert [each.data["line"].split()[1] for each in results] == [f"/{each}" for each in range(10)]
            assert server.connections == 3

    run(test())


def test_bodies_of_every_kind(run: Run) -> None:
    async def later() -> AsyncIterator[bytes]:
        yield b"one "
        await asyncio.sleep(0)
        yield b"two"

    def pieces() -> Iterator[str]:
        yield "ä"
        yield ""
        yield "b"

    async def test() -> None:
        async with upstream(forever(echo)) as server, client() as ask:

            async def sent(verb: str, data: Any, **options: Any) -> tuple[str, str, str]:
                told = (await ask(verb, server.url(), data, **options)).data
                return told["line"].split()[0], told["fields"].get("content-type", ""), told["body"]

            form = "application/x-www-form-urlencoded; charset=utf-8"
            assert await sent("post", {"a": "b c", "d": "ö"}) == ("POST", form, "a=b+c&d=%C3%B6")
            assert await sent("put", "plain=1") == ("PUT", form, "plain=1")
            assert await sent("patchjson", {"a": [1, None]}) == ("PATCH", "application/json", '{"a":[1,null]}')
            assert await sent("post", {"a": 1}, headers={"content-type": "application/json"}) == (
                "POST",
                "application/json",
                '{"a":1}',
            )
            assert await sent("postxml", "<a/>") == ("POST", "text/xml; charset=utf-8", "<a/>")
            assert await sent("putxml", b"<a/>") == ("PUT", "text/xml", "<a/>")
            assert await sent("delete", b"x") == ("DELETE", form, "x")
            assert await sent("post", later()) == ("POST", "application/octet-stream", "one two")
            assert await sent("post", pieces()) == ("POST", "application/octet-stream", "Ã¤b")
            assert await sent("post", None) == ("POST", "", "")
            assert await sent("post", b"x" * 300_000, headers={"Content-Type": "a/b"}) == ("POST", "a/b", "x" * 300_000)
            assert server.connections == 1

    run(test())


def test_uploads(run: Run, tmp_path: Any) -> None:
    picture = tmp_path / 'a"b.png'
    picture.write_bytes(b"\x89PNG" * 50_000)

    async def test() -> None:
        async with upstream(forever(echo)) as server, client() as ask:
            with picture.open("rb") as file:
                for _ in range(2):  # from its beginning again
                    file.seek(4)
                    told = (await ask("upload", server.url(), {"who": "Ann", "n": [1, 2], "file": file})).data
                    body = told["body"]
                    boundary = told["fields"]["content-type"].partition("boundary=")[2]
                    assert int(told["fields"]["content-length"]) == len(body)
                    assert body.count(f"--{boundary}\r\n") == 4
                    assert 'name="who"\r\n\r\nAnn\r\n' in body
                    assert 'name="file"; filename="a%22b.png"\r\nContent-Type: image/png\r\n\r\n' in body
                    assert body.count("PNG") == 49_999

    run(test())


CODED = {
    "gzip": gzip.compress(b"text " * 100),
    "x-gzip": gzip.compress(b"text " * 50) + gzip.compress(b"text " * 50),
    "deflate": zlib.compress(b"text " * 100),
    "Deflate": zlib.compress(b"text " * 100)[2:-4],
    "br": brotli.compress(b"text " * 100),
    "gzip, br": brotli.compress(gzip.compress(b"text " * 100)),
    "identity": b"text " * 100,
}


@pytest.mark.parametrize("coding", CODED)
def test_content_is_unpacked(run: Run, coding: str) -> None:
    async def test() -> None:
        async def talk(peer: Peer) -> None:
            await peer.request()
            await peer.answer(CODED[coding], f"Content-Encoding: {coding}")

        async with upstream(forever(talk)) as server, client() as ask:
            assert (await ask("get", server.url())).content == b"text " * 100
            assert (await ask("get", server.url(), decode=False)).content == CODED[coding]
            streamed = await ask("get", server.url(), stream=True)
            assert b"".join([each async for each in streamed.pieces]) == b"text " * 100
            assert server.connections == 1

    run(test())


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate"])
def test_a_bomb_does_not_go_off(run: Run, coding: str) -> None:
    bomb = {"gzip": gzip.compress, "br": brotli.compress, "deflate": zlib.compress}[coding](bytes(5_000_000))

    async def test() -> None:
        async def talk(peer: Peer) -> None:
            await peer.request()
            await peer.answer(bomb, f"Content-Encoding: {coding}")

        async with upstream(talk) as server, client(backend_body_bytes=1_000_000) as ask:
            with pytest.raises(BackendError, match="more than 1000000 bytes") as raised:
                await ask("get", server.url())
            assert raised.value.code == Code.TOO_LARGE

    run(test())


async def redirecting(peer: Peer) -> None:
    asked = await peer.request()
    method, path, _ = asked.line.split()
    if path.startswith("/to/"):
        _, _, status, where = path.split("/", 3)
        there = where if where.startswith("http:") else f"/{where}"
        await peer.answer(b"", f"Location: {there}", "Set-Cookie: seen=1; Path=/", status=f"{status} Moved")
    else:
        told = {"method": method, "path": path, "fields": asked.fields, "body": asked.body.decode()}
        await peer.answer(json.dumps(told).encode(), "Content-Type: application/json")


def test_redirects_are_followed_only_when_wished(run: Run) -> None:
    async def test() -> None:
        async with upstream(forever(redirecting)) as server, client() as ask:
            assert (await ask("get", server.url("/to/302/x"))).status_code == 302
            result = await ask("get", server.url("/to/302/to/301/end"), allow_redirects=True, cookies={"mine": "2"})
            assert result.data["path"] == "/end"
            assert [each.status_code for each in result.history] == [302, 301]
            assert repr(result.history[0]) == "<Response [302]>"
            assert result.url == server.url("/end")
            assert result.data["fields"]["cookie"] == "mine=2; seen=1"

    run(test())


@pytest.mark.parametrize(
    ("status", "method", "then", "body"),
    [
        (301, "post", "GET", ""),
        (302, "post", "GET", ""),
        (303, "put", "GET", ""),
        (307, "post", "POST", "a=1"),
        (308, "put", "PUT", "a=1"),
        (302, "put", "PUT", "a=1"),
        (303, "get", "GET", ""),
    ],
)
def test_what_a_redirect_makes_of_a_request(run: Run, status: int, method: str, then: str, body: str) -> None:
    async def test() -> None:
        async with upstream(forever(redirecting)) as server, client() as ask:
            sent = None if method == "get" else b"a=1"
            result = await ask(method, server.url(f"/to/{status}/end"), sent, allow_redirects=True)
            assert (result.data["method"], result.data["body"]) == (then, body)
            assert ("content-type" in result.data["fields"]) == bool(body)

    run(test())


def test_credentials_stay_with_their_server(run: Run) -> None:
    async def test() -> None:
        async with upstream(forever(redirecting)) as other, upstream(forever(redirecting)) as server, client() as ask:
            secrets = {"auth": ("ann", "secret"), "cookies": {"a": "b"}, "headers": {"X-Kept": "1"}}
            same = await ask("get", server.url("/to/302/end"), allow_redirects=True, **secrets)
            assert same.data["fields"]["authorization"] == "Basic YW5uOnNlY3JldA=="
            there = await ask("get", server.url(f"/to/302/{other.url('/end')}"), allow_redirects=True, **secrets)
            assert there.data["fields"]["host"] == f"127.0.0.1:{other.port}"
            assert there.data["fields"]["x-kept"] == "1"
            assert not {"authorization", "cookie"} & {*there.data["fields"]}

    run(test())


def test_redirects_end(run: Run) -> None:
    async def test() -> None:
        async def talk(peer: Peer) -> None:
            await peer.request()
            await peer.answer(b"", "Location: /again", status="302 Found")

        async with upstream(forever(talk)) as server, client(backend_redirects=3) as ask:
            with pytest.raises(BackendError, match="more than 3 redirects"):
                await ask("get", server.url(), allow_redirects=True)

    run(test())


def test_basic_and_bearer_credentials(run: Run) -> None:
    async def test() -> None:
        async with upstream(forever(echo)) as server, client() as ask:

            async def sent(**options: Any) -> str | None:
                return (await ask("get", server.url(), **options)).data["fields"].get("authorization")

            assert await sent() is None
            assert await sent(auth=("ann", "pässwörd")) == "Basic YW5uOnDDpHNzd8O2cmQ="
            assert await sent(auth=("abc.def",)) == "Bearer abc.def"
            assert await sent(auth=("a", "b"), headers={"Authorization": "Mine"}) == "Mine"
            member = Member("http", "127.0.0.1", server.port, user="ann", password="x")
            assert (await ask.at(member, "get", "/")).data["fields"]["authorization"] == "Basic YW5uOng="

    run(test())


def test_a_server_behind_an_alias_may_have_a_path(run: Run) -> None:
    async def test() -> None:
        async with upstream(forever(echo)) as server, client() as ask:
            member = Member("http", "127.0.0.1", server.port, database="v1")
            assert (await ask.at(member, "get", "/pets?x=1")).data["line"] == "GET /v1/pets?x=1 HTTP/1.1"

    run(test())


def test_a_stream_comes_as_it_is_taken(run: Run) -> None:
    async def test() -> None:
        gone: asyncio.Event = asyncio.Event()

        async def talk(peer: Peer) -> None:
            await peer.request()
            await peer.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n")
            for number in range(200):
                await peer.say(b"8000\r\n" + bytes([number]) * 0x8000 + b"\r\n")
            gone.set()
            await peer.say(b"0\r\nX-Sum: 7\r\n\r\n")
            await peer.answer(b"more")

        async with upstream(talk) as server, client() as ask:
            result = await ask("get", server.url(), stream=True)
            assert result.status_code == 200
            await asyncio.sleep(0.2)
            assert not gone.is_set()  # nobody takes it
            size = 0
            async for piece in result.pieces:
                size += len(piece)
            assert size == 200 * 0x8000
            assert gone.is_set()

    run(test())


def test_a_stream_that_is_left_gives_its_connection_up(run: Run) -> None:
    async def test() -> None:
        async def talk(peer: Peer) -> None:
            await peer.request()
            await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome")
            assert await peer.reader.read() == b""

        async with upstream(talk) as server, client() as ask:
            for leave in ("closed", "read"):
                result = await ask("get", server.url(), stream=True)
                if leave == "closed":
                    result.close()
                else:
                    async for piece in result.pieces:
                        assert piece == b"some"
                        break
                    await result.pieces.aclose()
                (stats,) = ask.driver.stats().values()
                assert (stats["busy"], stats["idle"]) == (0, 0)

    run(test())


def test_head_and_answers_without_content(run: Run) -> None:
    async def test() -> None:
        async def talk(peer: Peer) -> None:
            asked = await peer.request()
            if asked.line.startswith("HEAD"):
                await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            elif "/204" in asked.line:
                await peer.say(b"HTTP/1.1 204 No Content\r\n\r\n")
            else:
                await peer.say(
                    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"
                )

        async with upstream(forever(talk)) as server, client() as ask:
            head = await ask("head", server.url())
            assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "1000")
            assert (await ask("get", server.url("/204"))).status_code == 204
            unchanged = await ask("get", server.url("/304"))
            assert (unchanged.status_code, unchanged.content, unchanged.data) == (304, b"", b"")
            assert server.connections == 1

    run(test())


def test_content_until_the_connection_closes(run: Run) -> None:
    async def test() -> None:
        async def talk(peer: Peer) -> None:
            await peer.request()
            await peer.say(b"HTTP/1.0 200 OK\r\n\r\nall ")
            await peer.say(b"of it")

        async with upstream(talk) as server, client() as ask:
            result = await ask("get", server.url())
            assert (result.version, result.content) == ("1.0", b"all of it")
            assert (await ask("get", server.url())).content == b"all of it"
            assert server.connections == 2

    run(test())


def test_what_the_caller_insists_on(run: Run) -> None:
    async def test() -> None:
        async def talk(peer: Peer) -> None:
            asked = await peer.request()
            assert "accept-content-length" not in asked.fields
            await peer.answer(b"<p>" + b"x" * 100, "Content-Type: text/html; charset=utf-8")

        async with upstream(forever(talk)) as server, client() as ask:
            assert (await ask("getjson", server.url())).content.startswith(b"<p>")
            assert (await ask("get", server.url(), headers={"Accept": "text/*;q=0.5, a/b"})).status_code == 200
            with pytest.raises(BackendError, match="text/html") as raised:
                await ask("get", server.url(), headers={"Accept": "application/json"})
            assert raised.value.code == Code.UNACCEPTABLE
            with pytest.raises(BackendError) as raised:
                await ask("get", server.url(), headers={"Accept-Content-Length": 99})
            assert raised.value.code == Code.TOO_LARGE
            assert (await ask("get", server.url(), headers={"Accept-Content-Length": 103})).status_code == 200

    run(test())
