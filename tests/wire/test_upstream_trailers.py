"""The fields behind the body of a request that is passed on (RFC 9110, section 6.5; RFC 9112, section 7.1.2)."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from tests.support.http2 import http2
from tests.support.members import Noting, before
from tests.support.memory import wire
from tests.support.plainserver import plain_server
from tests.support.scripted2 import Call
from tests.wire.test_upstream_http2 import before2

POST = b"POST /pets/ HTTP/1.1\r\nHost: zoo\r\nTransfer-Encoding: chunked\r\n%b\r\n4\r\nmeow\r\n0\r\n%b\r\n"
SENT = b"X-Sum: 1\r\nX-More: 2\r\n"
NEVER = (
    "authorization",
    "cookie",
    "content-type",
    "forwarded",
    "if-match",
    "max-forwards",
    "range",
    "te",
    "x-forwarded-for",
    "x-real-ip",
    "x_forwarded_for",
    "x-gtxn-id",
    "traceparent",
    "x-inner",
)


@pytest.mark.parametrize(
    ("announced", "told", "behind"),
    [
        (b"Trailer: X-Sum\r\n", "x-sum", ["x-sum: 1"]),
        (b"Trailer: x-more , X-SUM,x-sum\r\nTrailer: X-Late\r\n", "x-more, x-sum, x-late", ["x-sum: 1", "x-more: 2"]),
        (b"Trailer: Content-Length, Host\r\n", None, []),
        (b"", None, []),
    ],
)
def test_what_was_announced_goes_on(announced: bytes, told: str | None, behind: list[str]) -> None:
    cats = Noting()
    with before(cats) as server:
        client = server.connect()
        for _ in range(2):
            assert client.ask(POST % (announced, SENT))[0] == 200
            assert cats.asked[-1].body == b"meow"
            assert cats.asked[-1].behind == behind
            assert cats.fields.get("trailer") == told
    assert cats.fields["transfer-encoding"] == "chunked"


def test_what_must_not_stand_there_does_not() -> None:
    cats = Noting()
    names = ", ".join(NEVER)
    head = f"Trailer: X-Sum, {names}\r\nConnection: X-Inner\r\n".encode()
    sent = SENT + b"".join(b"%b: trailers\r\n" % name.encode() for name in NEVER)
    with before(cats) as server:
        assert server.ask(POST % (head, sent))[0] == 200
    assert cats.asked[-1].behind == ["x-sum: 1"]
    assert cats.fields["trailer"] == "x-sum"


def test_from_a_client_of_http2() -> None:
    cats = Noting()
    with before(cats) as server:
        client = http2(server)
        stream = client.begin("/pets/", "POST", [("trailer", "x-sum")], ended=False)
        client.send(stream, b"meow")
        client.h2.send_headers(stream, [("x-sum", "1"), ("x-more", "2")], end_stream=True)
        client.flush()
        assert client.wait(stream).status == 200
    assert (cats.asked[-1].body, cats.asked[-1].behind) == (b"meow", ["x-sum: 1"])


def test_to_a_server_of_http2_unannounced_ones_go_too() -> None:
    seen: list[Call] = []

    async def talk(call: Call) -> None:
        seen.append(call)
        await call.answer(await call.body())

    with before2(talk) as server:
        status, _, body = server.ask(POST % (b"", SENT + b"Authorization: Basic eDp5\r\n"))
        assert (status, body, seen[-1].behind) == (200, b"meow", {"x-sum": "1", "x-more": "2"})
        client = http2(server)
        stream = client.begin("/pets/", "POST", ended=False)
        client.h2.send_headers(stream, [("x-sum", "1"), ("x_y", "2"), ("x-more", "3")], end_stream=True)
        client.flush()
        assert client.wait(stream).status == 200
        assert seen[-1].behind == {"x-sum": "1", "x-more": "3"}
        assert server.ask(POST % (b"", b""))[0] == 200
        assert seen[-1].behind == {}


def test_through_the_forward_proxy() -> None:
    said: list[bytes] = []

    def talk(sock: socket.socket) -> None:
        data = b""
        while not data.endswith(b"\r\n\r\n") or b"\r\n0\r\n" not in data:
            data += sock.recv(65536)
        said.append(data)
        sock.sendall(b"HTTP/1.1 204 Fine\r\n\r\n")

    options: dict[str, Any] = {"forward_proxy": True}
    with plain_server(talk) as there, wire(**options) as server:
        request = POST.replace(b"/pets/", b"http://127.0.0.1:%d/" % there.port)
        assert server.ask(request % (b"Trailer: X-Sum\r\n", SENT))[0] == 204
    assert b"\r\nTrailer: x-sum\r\n" in said[0] and said[0].endswith(b"\r\n4\r\nmeow\r\n0\r\nx-sum: 1\r\n\r\n")
