"""Requests that are passed on to the servers of a mounted alias: what they are asked, and what the client gets."""

from __future__ import annotations

import re

import pytest

from tests.support.http2 import Http2Client
from tests.support.members import Noting, before, passing, served, under_way
from tests.support.memory import wait_for
from tests.support.scripted import Peer


def test_a_request_is_passed_on_and_answered() -> None:
    cats = Noting(b"meow", "Content-Type: text/x-cat", "ETag: W/x", "X-Mood: fine")
    with before(cats) as server:
        client = server.connect()
        for _ in range(3):
            status, fields, body = client.ask(b"GET /pets/cats?name=tom&x= HTTP/1.1\r\nHost: zoo\r\nAccept: text/*\r\n\r\n")
            assert (status, body) == (200, b"meow")
            assert fields["content-type"] == "text/x-cat" and fields["etag"] == "W/x" and fields["x-mood"] == "fine"
        assert under_way(server) == [0]
    assert [each.line for each in cats.asked] == ["GET /cats?name=tom&x= HTTP/1.1"] * 3
    assert cats.fields["accept"] == "text/*"
    assert re.fullmatch(r"127\.0\.0\.1:\d+", cats.fields["host"])
    assert cats.fields["via"] == "1.1 skitai"


def test_connections_are_kept() -> None:
    cats = Noting()
    with served(cats) as running, passing([f"127.0.0.1:{running[0].port}"]) as server:
        for _ in range(5):
            assert server.get("/pets/")[0] == 200
        assert running[0].connections == 1


def test_nobody_else_asks_on_a_connection_that_was_authenticated() -> None:
    cats = Noting()
    with served(cats) as running, passing([f"127.0.0.1:{running[0].port}"]) as server:
        for number in range(1, 4):
            assert server.get("/pets/", Authorization="NTLM TlRMTVNTUAAB")[0] == 200
            assert cats.fields["connection"] == "close"
            assert server.get("/pets/", Authorization="Bearer negotiate")[0] == 200
            assert "connection" not in cats.fields
            assert running[0].connections == 1 + number


@pytest.mark.parametrize(
    ("point", "base", "target", "asked"),
    [
        ("/pets/", "", "/pets/", "/"),
        ("/pets/", "", "/pets/?a", "/?a"),
        ("/pets/", "", "/pets/a%2Fb/%C3%A4?q=%20", "/a%2Fb/%C3%A4?q=%20"),
        ("/pets/", "", "/%70ets/cats", "/cats"),
        ("/pets/", "", "/pets%2Fcats", "/cats"),
        ("/pets/", "", "/pets//cats", "//cats"),
        ("/pets/", "/v2", "/pets/cats?x", "/v2/cats?x"),
        ("/", "", "/pets/cats", "/pets/cats"),
        ("/", "/v2", "/cats", "/v2/cats"),
        ("/pets/", "", "http://zoo/pets/cats?x", "/cats?x"),
        ("/tiere/größe/", "", "/tiere/gr%C3%B6%c3%9fe/x", "/x"),
    ],
)
def test_the_mount_point_is_taken_off(point: str, base: str, target: str, asked: str) -> None:
    cats = Noting()
    with before(cats, base=base, point=point) as server:
        assert server.ask(f"GET {target} HTTP/1.1\r\nHost: zoo\r\n\r\n".encode())[0] == 200
    assert cats.asked[0].line == f"GET {asked} HTTP/1.1"


@pytest.mark.parametrize("target", ["/pets/../x", "/pets/a/%2e%2E/../x", "/pets/./x", "/pets/a%2F..%2Fx", "/pets/.."])
def test_dot_segments_do_not_leave_the_mount_point(target: str) -> None:
    cats = Noting()
    with before(cats) as server:
        assert server.get(target)[0] in (400, 404)
    assert not cats.asked


def test_a_point_ends_at_a_segment() -> None:
    cats = Noting()
    with before(cats) as server:
        assert server.get("/petshop")[0] == 404
        assert server.get("/pets")[1]["location"] == "/pets/"
    assert not cats.asked


def test_fields_between_neighbours_stay_between_them() -> None:
    cats = Noting(b"", "Connection: close, X-Inner", "X-Inner: 1", "Keep-Alive: timeout=5", "Upgrade: h9", "X-Outer: 2")
    with before(cats) as server:
        status, fields, _ = server.ask(
            b"GET /pets/ HTTP/1.1\r\nHost: zoo\r\nConnection: keep-alive, X-Secret\r\nX-Secret: s\r\nTE: trailers\r\n"
            b"Keep-Alive: 5\r\nProxy-Authorization: Basic eDp5\r\nProxy-Connection: x\r\nProxy: evil\r\n"
            b"Accept-Encoding: br\r\n\r\n"
        )
    assert status == 200 and fields["x-outer"] == "2" and not fields.keys() & {"x-inner", "keep-alive", "upgrade"}
    sent = cats.fields
    assert sent.keys() & {"connection", "x-secret", "te", "keep-alive", "proxy-authorization", "proxy-connection"} == set()
    assert "proxy" not in sent and sent["accept-encoding"] == "br"


FORGED = (
    b"X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: bank\r\nX-Forwarded-Port: 1\r\n"
    b"Forwarded: for=1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\nX_Forwarded_For: 5.6.7.8\r\nVia: 1.0 fred\r\n"
)


def test_strangers_do_not_say_who_the_client_is() -> None:
    cats = Noting()
    with before(cats, trusted_proxies=("10.0.0.0/8",)) as server:
        server.ask(b"GET /pets/ HTTP/1.1\r\nHost: zoo:81\r\n" + FORGED + b"\r\n")
    sent = cats.fields
    assert "x-forwarded-for" not in sent  # the client is on a Unix socket, which has no address
    assert (sent["x-forwarded-proto"], sent["x-forwarded-host"]) == ("http", "zoo:81")
    assert not sent.keys() & {"x-forwarded-port", "forwarded", "x-real-ip", "x_forwarded_for"}
    assert sent["via"] == "1.0 fred, 1.1 skitai"


def test_trusted_proxies_do() -> None:
    cats = Noting()
    with before(cats, trusted_proxies=("unix",)) as server:
        server.ask(b"GET /pets/ HTTP/1.1\r\nHost: zoo:81\r\n" + FORGED + b"\r\n")
    sent = cats.fields
    assert (sent["x-forwarded-for"], sent["x-forwarded-proto"]) == ("203.0.113.9", "https")
    assert (sent["x-forwarded-host"], sent["x-real-ip"]) == ("bank", "1.2.3.4")


def test_forwarded_and_the_clients_host_by_option() -> None:
    cats = Noting()
    with before(cats, upstream_forwarded=True, upstream_host="client") as server:
        server.ask(b"GET /pets/ HTTP/1.1\r\nHost: zoo:81\r\n\r\n")
    assert cats.fields["host"] == "zoo:81"
    assert cats.fields["forwarded"] == 'for=unknown;proto=http;host="zoo:81"'


def test_transaction_ids_go_along() -> None:
    cats = Noting()
    with before(cats) as server:
        server.get("/pets/", X_Gtxn_Id="chain-1", X_Ltxn_Id="2003")
        first = cats.fields
        server.get("/pets/")
    assert (first["x-gtxn-id"], first["x-ltxn-id"]) == ("chain-1", "3004")
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", first["traceparent"])
    assert cats.fields["x-ltxn-id"] == "1001" and cats.fields["x-gtxn-id"] != "chain-1"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("/cats", "/pets/cats"),
        ("http://127.0.0.1:{port}/cats?x", "/pets/cats?x"),
        ("http://zoo/cats", "/pets/cats"),
        ("https://zoo/cats", "/pets/cats"),
        ("//zoo/cats", "/pets/cats"),
        ("http://zoo", "/pets/"),
        ("http://zoo//evil.example/x", "/pets/evil.example/x"),
        ("http://elsewhere/cats", "http://elsewhere/cats"),
        ("cats/2", "cats/2"),
        ("?x=1", "?x=1"),
    ],
)
def test_locations_are_the_clients(said: str, told: str) -> None:
    async def talk(peer: Peer) -> None:
        asked = await peer.request()
        place = said.format(port=asked.fields["host"].partition(":")[2])
        await peer.answer(b"", f"Location: {place}", f"Content-Location: {place}", status="302 Found")

    with before(talk) as server:
        _, fields, _ = server.ask(b"GET /pets/x HTTP/1.1\r\nHost: zoo\r\n\r\n")
    assert fields["location"] == fields["content-location"] == told


@pytest.mark.parametrize(
    ("base", "said", "told"),
    [
        ("", "a=1; Path=/; HttpOnly", "a=1; Path=/pets/; HttpOnly"),
        ("", "a=1; path=/cats", "a=1; path=/pets/cats"),
        ("", "a=1; HttpOnly", "a=1; HttpOnly"),
        ("", 'a="path=/x"', 'a="path=/x"'),
        ("/v2", "a=1; Path=/v2", "a=1; Path=/pets/"),
        ("/v2", "a=1; Path=/v2/x", "a=1; Path=/pets/x"),
        ("/v2", "a=1; Path=/", "a=1; Path=/pets/"),
        ("/v2", "a=1; Path=/v3", "a=1; Path=/v3"),
    ],
)
def test_paths_of_cookies_are_the_clients(base: str, said: str, told: str) -> None:
    with before(Noting(b"", f"Set-Cookie: {said}"), base=base) as server:
        assert server.get("/pets/x")[1]["set-cookie"] == told


@pytest.mark.parametrize(
    "framing", ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"]
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_bodies_of_requests(method: str, framing: str) -> None:
    cats = Noting()
    with before(cats) as server:
        assert server.ask(f"{method} /pets/x HTTP/1.1\r\nHost: zoo\r\n{framing}".encode())[0] == 200
    assert cats.asked[0].body == b"hello"


def test_an_empty_body_is_said_to_be_empty() -> None:
    cats = Noting()
    with before(cats) as server:
        server.ask(b"POST /pets/x HTTP/1.1\r\nHost: zoo\r\n\r\n")
        server.ask(b"DELETE /pets/x HTTP/1.1\r\nHost: zoo\r\n\r\n")
    assert cats.asked[0].fields["content-length"] == "0" and "content-length" not in cats.asked[1].fields


def test_the_client_is_asked_for_a_body_that_it_has_announced() -> None:
    cats = Noting()
    with before(cats) as server:
        client = server.connect()
        client.send(b"POST /pets/x HTTP/1.1\r\nHost: zoo\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        client.send(b"abc")
        assert client.response()[0] == 200
    assert cats.asked[0].body == b"abc" and "expect" not in cats.fields


def test_an_answer_that_comes_early_ends_the_upload() -> None:
    async def talk(peer: Peer) -> None:
        await peer.head()
        await peer.answer(b"enough", status="413 Content Too Large")
        await peer.reader.read(1 << 20)

    with before(talk) as server:
        client = server.connect()
        client.send(b"POST /pets/x HTTP/1.1\r\nHost: zoo\r\nContent-Length: 3000000\r\n\r\nabc")
        assert client.response()[::2] == (413, b"enough")
        assert under_way(server) == [0]


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_answers_without_length(version: str) -> None:
    async def talk(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\n\r\nhello, ")
        await peer.say(b"world")

    with before(talk) as server:
        client = server.connect()
        status, fields, body = client.ask(f"GET /pets/ HTTP/{version}\r\nHost: zoo\r\n\r\n".encode())
    assert (status, body) == (200, b"hello, world")
    assert fields.get("transfer-encoding") == ("chunked" if version == "1.1" else None)


@pytest.mark.parametrize(
    ("method", "answer", "status", "length"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", 200, "1234"),
        ("HEAD", b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", 404, "0"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", 204, None),
        ("GET", b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n', 304, None),
        ("GET", b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-1/9\r\nContent-Length: 2\r\n\r\nab", 206, "2"),
        ("GET", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab", 200, "2"),
    ],
)
def test_answers_with_and_without_content(method: str, answer: bytes, status: int, length: str | None) -> None:
    async def talk(peer: Peer) -> None:
        asked = await peer.request()
        assert asked.fields["range"] == "bytes=0-1"
        await peer.say(answer)
        await peer.reader.read()

    with before(talk) as server:
        got = server.ask(f"{method} /pets/ HTTP/1.1\r\nHost: zoo\r\nRange: bytes=0-1\r\n\r\n".encode())
    assert got[0] == status and got[1].get("content-length") == length


def test_nothing_is_compressed_again() -> None:
    with before(Noting(b"text " * 1000, "Content-Type: text/plain")) as server:
        _, fields, body = server.get("/pets/", Accept_Encoding="gzip")
    assert "content-encoding" not in fields and body == b"text " * 1000


def test_over_http2() -> None:
    cats = Noting(b"meow" * 30000, "Content-Type: text/x-cat")
    with before(cats) as server:
        client = Http2Client(server.connect())
        first = client.ask("/pets/a")
        second = client.ask("/pets/b", "POST", body=b"x" * 100_000)
        assert first.body == second.body == b"meow" * 30000 and first.fields["content-type"] == "text/x-cat"
    assert {each.line for each in cats.asked} == {"GET /a HTTP/1.1", "POST /b HTTP/1.1"}
    assert [len(each.body) for each in cats.asked if each.line.startswith("POST")] == [100_000]


def test_a_circle_ends() -> None:
    cats = Noting()
    with before(cats) as server:
        assert server.get("/pets/", Via=", ".join(["1.1 skitai"] * 10))[0] == 508
        wait_for(lambda: under_way(server) == [0])
    assert not cats.asked
