"""The request log as requests make it."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.memory import Wire, mounted, wait_for, wire

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def app(environ: dict[str, Any], start_response: Any) -> Any:
    body = environ["wsgi.input"].read()
    if environ["PATH_INFO"] == "/raise":
        raise RuntimeError("on purpose")
    if environ["PATH_INFO"] == "/large":
        start_response("200 OK", [("Content-Type", "application/x")])
        return (b"x" * 65536 for _ in range(100))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello " + body]


@pytest.fixture
def logged(engine: str, threads: int) -> Iterator[Wire]:
    with wire(mounted("/", app), engine=engine, threads=threads) as server:
        yield server


def words(server: Wire, number: int = 0) -> list[str]:
    """The words of a line, once it is there."""
    wait_for(lambda: len(server.log.lines) > number)
    return re.findall(r'"[^"]*"|\S+', server.log.lines[number])


def sizes(server: Wire, number: int = 0) -> tuple[str, str, str, str]:
    """Target, bytes received, status, bytes sent."""
    found = words(server, number)
    return found[5], found[7], found[8], found[9]


def test_a_line_says_who_asked_what_and_what_was_answered(logged: Wire) -> None:
    client = logged.connect()
    client.send(
        b"POST /p%20q?x=1 HTTP/1.1\r\nHost: example.org\r\nUser-Agent: tester 1\r\nContent-Length: 5\r\n"
        b"Authorization: Bearer 0123456789abcdef\r\nReferer: http://r/\r\nX-Forwarded-For: 10.1.1.1, 10.2.2.2\r\n\r\nworld"
    )
    whole = client.until(b"hello world")
    found = words(logged)
    assert found[2:10] == ["-", "example.org", "POST", "/p%20q?x=1", "1.1", "5", "200", str(len(whole))]
    assert found[11:] == [
        "1000",
        "-",
        "0123***",
        '"http://r/"',
        '"tester 1"',
        "10.1.1.1,10.2.2.2",
        "W0",
        "1",
        found[19],
        "0",
    ]
    assert int(found[19]) < 1000


def test_ids_of_a_chain_are_its_callers(logged: Wire) -> None:
    logged.get(X_Gtxn_Id="chain", X_Ltxn_Id="1003")
    assert words(logged)[10:12] == ["chain", "2003"]
    logged.get(traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    assert words(logged, 1)[10:12] == ["0af7651916cd43dd8448eb211c80319c", "1000"]


def test_ids_of_our_own_differ(logged: Wire) -> None:
    client = logged.connect()
    for _ in range(5):
        client.ask(GET)
    wait_for(lambda: len(logged.log.lines) == 5)
    assert len({words(logged, number)[10] for number in range(5)}) == 5


def test_every_pipelined_request_has_its_line_in_order(logged: Wire) -> None:
    client = logged.connect()
    client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(40)))
    for _ in range(40):
        assert client.response()[0] == 200
    wait_for(lambda: len(logged.log.lines) == 40)
    assert [words(logged, number)[5] for number in range(40)] == [f"/{number}" for number in range(40)]


def test_pipelined_requests_of_a_slow_client_have_their_lines_too(logged: Wire) -> None:
    client = logged.connect()
    client.send(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n" * 3)
    time.sleep(0.05)
    for _ in range(3):
        assert len(client.response()[2]) == 6_553_600
    wait_for(lambda: len(logged.log.lines) == 3)
    assert all(int(sizes(logged, number)[3]) > 6_553_600 for number in range(3))


def test_what_is_no_request_has_a_line(logged: Wire) -> None:
    whole = b""
    for request, status in ((b"nonsense\r\n\r\n", "400"), (b"GET / HTTP/3.0\r\n\r\n", "505")):
        client = logged.connect()
        client.send(request)
        whole = client.read()
        assert whole.startswith(f"HTTP/1.1 {status}".encode())
    assert sizes(logged, 0)[2] == "400"
    assert sizes(logged, 1) == ("-", "0", "505", str(len(whole)))


def test_errors_and_heads_have_theirs(logged: Wire) -> None:
    assert logged.get("/raise")[0] == 500
    assert sizes(logged)[2] == "500"
    client = logged.connect()
    client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    whole = client.until(b"\r\n\r\n")
    assert sizes(logged, 1)[2:] == ("200", str(len(whole)))
    assert logged.ask(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n")[0] == 413
    assert sizes(logged, 2)[1:3] == ("0", "413")


def test_a_client_that_left_before_its_answer_is_499(engine: str) -> None:
    go_on, inside = threading.Event(), threading.Event()

    def slow(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        inside.set()
        assert go_on.wait(5)
        start_response("200 OK", [])
        return [b"too late"]

    with wire(mounted("/", slow), engine=engine) as server:
        client = server.connect()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab")
        assert inside.wait(5)
        client.close()
        wait_for(lambda: not server.services.connections)
        go_on.set()
        assert sizes(server) == ("/", "2", "499", "0")
        wait_for(lambda: not server.services.pool.busy)
        assert len(server.log.lines) == 1


def test_a_client_that_left_in_its_body_is_499(engine: str) -> None:
    with wire(mounted("/", app), engine=engine) as server:
        client = server.connect()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
        wait_for(lambda: server.services.body_bytes == 3)
        client.close()
        assert sizes(server) == ("/", "3", "499", "0")


def test_a_client_that_left_in_its_answer_keeps_the_status(logged: Wire) -> None:
    client = logged.connect()
    client.send(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
    client.exactly(1_000_000)
    client.close()
    target, _, status, sent = sizes(logged)
    assert status == "200" and 1_000_000 <= int(sent) < 6_553_600


def test_the_time_of_sending_is_that_of_a_slow_client(engine: str) -> None:
    def whole(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "application/x")])
        return [b"x" * 3_000_000]

    with wire(mounted("/", whole), engine=engine) as server:
        client = server.connect()
        client.send(GET)
        client.exactly(100)
        time.sleep(0.1)
        assert not server.log.lines
        client.exactly(2_999_900)
        assert int(words(server)[-1]) >= 90


def test_the_time_of_handling_is_that_of_the_app(engine: str) -> None:
    async def late(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await asyncio.sleep(0.1)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    with wire(mounted("/", late), kind="asgi", engine=engine) as server:
        server.get()
        assert 90 <= int(words(server)[-2]) < 1000


def test_static_files_are_logged(engine: str, tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("content")
    with wire(mounted("/", str(tmp_path)), engine=engine) as server:
        assert server.get("/file.txt")[2] == b"content"
        assert server.get("/missing")[0] == 404
        assert sizes(server)[0::2] == ("/file.txt", "200")
        assert sizes(server, 1)[0::2] == ("/missing", "404")
