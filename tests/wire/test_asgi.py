"""ASGI apps on the wire: the HTTP protocol in the order of its specification (version 2.4), then lifespan."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from skitai.errors import LoadError
from skitai.was.context import current
from skitai.worker.apps.asgi import Disconnected, follows_disconnect
from skitai.worker.http1.connection import Http1Connection
from tests.support.memory import Client, Wire, mounted, wire

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Handler = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

START: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
GET = b"GET / HTTP/1.1\r\nHost: example\r\n\r\n"


def piece(data: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def answer(send: Send, body: Any) -> None:
    await send(START)
    await send(piece(body if isinstance(body, bytes) else repr(body).encode("utf-8"), more=False))


def http_only(handler: Handler) -> Handler:
    """An app that knows no lifespan."""

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        await handler(scope, receive, send)

    return app


@pytest.fixture(params=["asyncio", "uvloop"])
def serve(request: pytest.FixtureRequest) -> Iterator[Callable[..., Wire]]:
    """Serve a handler; the wire ends with the test."""
    opened: list[Any] = []

    def start(handler: Handler, point: str = "/", lifespan: bool = False, **values: Any) -> Wire:
        app = handler if lifespan else http_only(handler)
        context = wire(mounted(point, app), kind="asgi", engine=request.param, **values)
        server = context.__enter__()
        opened.append(context)
        return server

    yield start
    for context in opened:
        context.__exit__(None, None, None)


Serve = Callable[..., Wire]


def eventually(condition: Callable[[], Any]) -> bool:
    end = time.monotonic() + 5
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return bool(condition())


def tcp(server: Wire) -> Client:
    """A new connection over TCP, which can be reset."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    theirs.setblocking(False)
    loop = server.services.loop
    made = loop.connect_accepted_socket(lambda: Http1Connection(server.services), theirs)
    asyncio.run_coroutine_threadsafe(made, loop).result(5)
    client = Client(ours)
    server.clients.append(client)
    return client


def leave(client: Client) -> None:
    """Go without waiting for anything: a reset."""
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


# HTTP connection scope


def test_the_scope_describes_the_request(serve: Serve) -> None:
    seen: list[dict[str, Any]] = []

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        seen.append(scope)
        await answer(send, b"ok")

    server = serve(app)
    server.get("/caf%C3%A9/a%2Fb?x=%20&y=\xe9".replace("\xe9", "e"), X_One="1", x_two="a", X_One_="2")
    scope = seen[0]
    assert scope["type"] == "http"
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.4"}
    assert scope["http_version"] == "1.1"
    assert scope["method"] == "GET"
    assert scope["scheme"] == "http"
    assert scope["path"] == "/café/a/b"
    assert scope["raw_path"] == b"/caf%C3%A9/a%2Fb"
    assert scope["query_string"] == b"x=%20&y=e"
    assert scope["root_path"] == ""
    assert scope["headers"] == [(b"host", b"example"), (b"x-one", b"1"), (b"x-two", b"a"), (b"x-one-", b"2")]
    assert scope["client"] is None  # a socket pair has no addresses
    assert scope["server"] is None
    assert "state" not in scope
    client = tcp(server)
    client.ask(GET)
    assert seen[1]["client"] == client.sock.getsockname()
    assert seen[1]["server"] == client.sock.getpeername()


def test_a_path_that_is_no_utf_8_still_arrives(serve: Serve) -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await answer(send, (scope["path"], scope["raw_path"]))

    assert serve(app).get("/%ff")[2] == repr(("/\ufffd", b"/%ff")).encode("utf-8")


def test_below_a_mount_point_the_path_includes_the_root_path(serve: Serve) -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await answer(send, (scope["root_path"], scope["path"], scope["raw_path"]))

    server = serve(app, point="/api/v1/")
    assert server.get("/api/v1/users")[2] == b"('/api/v1', '/api/v1/users', b'/api/v1/users')"
    assert server.get("/api/v1/")[2] == b"('/api/v1', '/api/v1/', b'/api/v1/')"


def test_http_1_0_is_named(serve: Serve) -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await answer(send, scope["http_version"])

    assert serve(app).ask(b"GET / HTTP/1.0\r\n\r\n")[2] == b"'1.0'"


def test_what_an_app_does_to_its_scope_is_forgotten(serve: Serve) -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        seen = ("x" in scope, len(scope["headers"]), sorted(scope["extensions"]))
        scope["x"] = 1
        scope["path"] = "/changed"
        scope["headers"].append((b"x-added", b"1"))
        scope["extensions"]["mine"] = {}
        await answer(send, seen)

    server = serve(app)
    client = server.connect()
    first = client.ask(GET)[2]
    assert first.startswith(b"(False, 1, ['http.response.early_hint'")
    assert client.ask(GET)[2] == first
    assert server.ask(GET)[2] == first


# Request: receive event


async def read(receive: Receive) -> tuple[bytes, int]:
    """A request's body, and in how many messages it came."""
    body, messages, more = b"", 0, True
    while more:
        message = await receive()
        assert message["type"] == "http.request"
        body += message["body"]
        more = message["more_body"]
        messages += 1
    return body, messages


async def echo(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    await answer(send, await read(receive))


def test_no_body_is_one_empty_message(serve: Serve) -> None:
    assert serve(echo).get("/")[2] == b"(b'', 1)"


def test_a_small_body_is_one_message(serve: Serve) -> None:
    request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
    client = serve(echo).connect()
    assert client.ask(request)[2] == b"(b'hello', 1)"
    assert client.ask(request)[2] == b"(b'hello', 1)"


def test_a_chunked_body_ends_with_an_empty_message(serve: Serve) -> None:
    request = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    assert serve(echo).ask(request)[2] == b"(b'abcde', 3)"


def test_a_large_body_arrives_whole_while_the_app_takes_its_time(serve: Serve) -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        size, more = 0, True
        while more:
            message = await receive()
            size += len(message["body"])
            more = message["more_body"]
            await asyncio.sleep(0)
        await answer(send, size)

    client = serve(app, max_post_body_size=4_000_000).connect()
    body = b"x" * 3_000_000
    assert client.ask(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)[2] == b"3000000"


def test_a_body_can_be_answered_while_it_arrives(serve: Serve) -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await send(START)
        more = True
        while more:
            message = await receive()
            more = message["more_body"]
            await send(piece(message["body"].upper()))
        await send(piece(b"", more=False))

    client = serve(app).connect()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc")
    assert client.until(b"ABC\r\n").endswith(b"3\r\nABC\r\n")
    client.send(b"def")
    assert client.until(b"0\r\n\r\n") == b"3\r\nDEF\r\n0\r\n\r\n"


def test_the_client_is_told_to_continue_when_the_app_asks(serve: Serve) -> None:
    client = serve(echo).connect()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert client.response() == (100, {}, b"")
    client.send(b"hi")
    assert client.response()[2] == b"(b'hi', 1)"


def test_a_cancelled_receive_loses_nothing(serve: Serve) -> None:
    waited = threading.Event()

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(receive(), 0.01)
        waited.set()
        await answer(send, (await read(receive))[0])

    client = serve(app).connect()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
    assert waited.wait(5)
    client.send(b"hel")
    client.send(b"lo")
    assert client.response()[2] == b"hello"


# Disconnect: receive event


def test_a_client_that_leaves_within_its_body_is_a_disconnect(serve: Serve) -> None:
    seen: list[str] = []

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        for _ in range(3):
            seen.append((await receive())["type"])

    client = tcp(serve(app))
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel")
    assert eventually(lambda: seen)
    leave(client)
    assert eventually(lambda: len(seen) == 3)
    assert seen == ["http.request", "http.disconnect", "http.disconnect"]


def test_receive_waits_for_the_client_to_leave(serve: Serve) -> None:
    seen: list[str] = []
    waiting = threading.Event()

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await receive()
        waiting.set()
        messages = await asyncio.gather(receive(), receive())
        seen.extend(message["type"] for message in messages)

    client = tcp(serve(app))
    client.send(GET)
    assert waiting.wait(5)
    time.sleep(0.02)
    assert not seen
    leave(client)
    assert eventually(lambda: seen == ["http.disconnect", "http.disconnect"])


@pytest.mark.parametrize("asks_s", [0.0, 0.05])
def test_a_client_that_ends_its_side_counts_as_leaving_but_may_be_answered(serve: Serve, asks_s: float) -> None:
    seen: list[str] = []

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await receive()
        await asyncio.sleep(asks_s)
        seen.append((await receive())["type"])
        await answer(send, b"in case you listen")

    client = serve(app).connect()
    client.send(GET)
    time.sleep(0.02)
    assert not seen
    client.sock.shutdown(socket.SHUT_WR)
    assert client.response()[2] == b"in case you listen"
    assert seen == ["http.disconnect"]


def test_receive_after_the_response_is_a_disconnect(serve: Serve) -> None:
    seen: list[str] = []

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await receive()
        early = asyncio.create_task(receive())
        await asyncio.sleep(0)
        await answer(send, b"ok")
        seen.extend([(await early)["type"], (await receive())["type"]])

    client = serve(app).connect()
    assert client.ask(GET)[0] == 200
    assert eventually(lambda: seen == ["http.disconnect", "http.disconnect"])
    assert client.ask(GET)[0] == 200  # the connection lives on


# Response start and body: send events


def test_a_whole_response_is_one_write(serve: Serve) -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await send(START | {"headers": ((name, value) for name, value in [(b"x-one", b"1"), (b"X-Two", b"2")])})
        await send({"type": "http.response.body", "body": b"hello"})

    server = serve(app)
    writes: list[bytes] = []
    take = server.services.send

    def send(descriptor: int, data: bytes) -> int:
        writes.append(data)
        return take(descriptor, data)

    server.services.send = send
    status, fields, body = server.ask(GET)
    assert (status, body, fields["x-one"], fields["x-two"]) == (200, b"hello", "1", "2")
    assert fields["content-length"] == "5"
    assert len(writes) == 1


def test_pieces_leave_as_they_are_sent(serve: Serve) -> None:
    step = threading.Event()

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await send(START)
        await send(piece(b"one"))
        while not step.is_set():
            await asyncio.sleep(0.005)
        await send(piece(b"two", more=False))

    client = serve(app).connect()
    client.send(GET)
    head = client.until(b"one\r\n")
    assert b"transfer-encoding: chunked" in head.lower()
    step.set()
    assert client.until(b"0\r\n\r\n") == b"3\r\ntwo\r\n0\r\n\r\n"


def test_an_empty_first_piece_lets_the_head_go(serve: Serve) -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await send(START)
        await send(piece(b""))
        await receive()
        await receive()

    client = serve(app).connect()
    client.send(GET)
    assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")


def test_a_declared_length_is_kept(serve: Serve) -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await send(START | {"headers": [(b"content-length", b"6")]})
        await send(piece(b"abc"))
        await send(piece(b"def", more=False))

    client = serve(app).connect()
    for _ in range(2):
        status, fields, body = client.ask(GET)
        assert (status, fields["content-length"], body) == (200, "6", b"abcdef")


def test_head_has_no_body(serve: Serve) -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await answer(send, b"hello")

    client = serve(app).connect()
    status, fields, body = client.ask(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (status, fields["content-length"], body) == (200, "5", b"")
    assert client.ask(GET)[2] == b"hello"


def test_a_slow_client_slows_the_app(serve: Serve) -> None:
    sent = [0]

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await send(START)
        for _ in range(200):
            await send(piece(b"x" * 65536))
            sent[0] += 65536
        await send(piece(b"", more=False))

    client = serve(app).connect()
    client.send(GET)
    client.until(b"\r\n\r\n")
    time.sleep(0.2)
    held = sent[0]
    assert held < 200 * 65536 / 2
    time.sleep(0.1)
    assert sent[0] == held  # it waits
    client.sock.settimeout(10)
    assert len(client.until(b"\r\n0\r\n\r\n")) > 200 * 65536


def test_requests_in_one_packet_are_answered_in_order(serve: Serve) -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.02 if scope["path"] == "/1" else 0)
        await answer(send, scope["path"].encode())

    client = serve(app).connect()
    client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in (1, 2, 3)))
    assert [client.response()[2] for _ in range(3)] == [b"/1", b"/2", b"/3"]


# Disconnected client: send raises OSError


def test_sending_to_a_client_that_has_left_is_an_oserror(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[Exception] = []

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await receive()
        await send(START)
        await receive()
        for message in (piece(b"a"), piece(b"b", more=False)):
            try:
                await send(message)
            except OSError as error:
                seen.append(error)
        raise seen[0]

    client = tcp(serve(app))
    client.send(GET)
    time.sleep(0.02)
    leave(client)
    assert eventually(lambda: len(seen) == 2)
    assert all(isinstance(error, OSError) for error in seen)
    assert not errors(caplog)


def test_a_writer_that_waits_is_told_when_the_client_leaves(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    done = threading.Event()
    begun = [0]

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await send(START)
        try:
            while True:
                begun[0] += 1
                await send(piece(b"x" * 65536))
        except OSError as error:
            done.set()
            raise RuntimeError("given up") from error

    client = tcp(serve(app))
    client.send(GET)
    client.until(b"\r\n\r\n")
    time.sleep(0.2)
    waiting = begun[0]
    leave(client)
    assert done.wait(5)
    assert begun[0] == waiting  # it was told in the send that waited
    time.sleep(0.02)
    assert not errors(caplog)


def test_an_error_of_its_own_after_the_client_left_is_logged(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await receive()
        await receive()
        raise KeyError("lost")

    client = tcp(serve(app))
    client.send(GET)
    time.sleep(0.02)
    leave(client)
    assert eventually(lambda: "KeyError: 'lost'" in caplog.text)


def test_an_error_follows_from_a_disconnect_through_causes_contexts_and_groups() -> None:
    gone, bug = Disconnected("gone"), KeyError("bug")
    wrapped = RuntimeError("wrapped")
    wrapped.__context__ = gone
    assert follows_disconnect(gone)
    assert follows_disconnect(wrapped)
    assert follows_disconnect(ExceptionGroup("all", [gone, ExceptionGroup("inner", [wrapped])]))
    assert not follows_disconnect(ExceptionGroup("some", [gone, bug]))
    assert not follows_disconnect(bug)


# Messages out of turn, and apps that break off


def errors(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.levelno >= logging.ERROR]


BROKEN: dict[str, tuple[list[dict[str, Any]], str]] = {
    "body first": ([piece(b"x")], "RuntimeError: the app sent 'http.response.body', but its response is waiting for"),
    "start twice": (
        [START, START],
        "RuntimeError: the app sent 'http.response.start', but its response is waiting for the first",
    ),
    "unknown type": ([{"type": "http.response.bodies"}], "RuntimeError: the app sent 'http.response.bodies'"),
    "websocket": ([{"type": "websocket.accept"}], "RuntimeError: the app sent 'websocket.accept'"),
    "hint too late": ([START, {"type": "http.response.early_hint", "links": []}], "RuntimeError: the app sent"),
    "trailers not announced": ([START, {"type": "http.response.trailers", "headers": []}], "RuntimeError: the app sent"),
    "no type": ([{"status": 200}], "KeyError: 'type'"),
    "no status": ([{"type": "http.response.start"}], "KeyError: 'status'"),
    "status out of range": ([START | {"status": 99}, piece(b"", more=False)], "ValueError: status 99"),
    "line break in a value": ([START | {"headers": [(b"x", b"a\r\nb: c")]}, piece(b"", more=False)], "ValueError: control"),
    "line break, streamed": ([START | {"headers": [(b"x", b"a\nb")]}, piece(b"x")], "ValueError: control"),
    "line break, with a file": (
        [START | {"headers": [(b"x", b"a\nb")]}, {"type": "http.response.pathsend", "path": __file__}],
        "ValueError: control",
    ),
    "text for a body": ([START, piece("text", more=False)], "TypeError"),  # type: ignore[arg-type]
    "text for a piece": ([START, piece("text")], "TypeError"),  # type: ignore[arg-type]
    "nothing": ([], "RuntimeError: the app returned while its response was waiting for http.response.start"),
    "only a start": ([START], "RuntimeError: the app returned while its response was waiting for the first"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_app_is_a_500_with_its_reason_in_the_log(serve: Serve, caplog: pytest.LogCaptureFixture, case: str) -> None:
    messages, reason = BROKEN[case]

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    server = serve(app)
    status, _, body = server.ask(GET)
    assert status == 500
    assert b"Error" in body
    assert b"Traceback" not in body
    assert reason in caplog.text
    assert server.ask(GET)[0] == 500  # and the server lives


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), asyncio.CancelledError(), OSError("disk")])
def test_an_error_before_the_response_is_an_error_page(
    serve: Serve, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await send(START)
        raise error

    server = serve(app)
    assert server.ask(GET)[0] == (503 if isinstance(error, asyncio.CancelledError) else 500)
    assert errors(caplog)


def test_an_error_within_the_response_cuts_the_connection(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await send(START)
        await send(piece(b"begun"))
        if scope["path"] == "/raise":
            raise ValueError("halfway")

    server = serve(app)
    for target, reason in ((b"/raise", "ValueError: halfway"), (b"/return", "waiting for another http.response.body")):
        client = server.connect()
        client.send(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target)
        received = client.read()
        assert received.endswith(b"5\r\nbegun\r\n")  # no last chunk: the client knows that it is not all
        assert reason in caplog.text


def test_an_error_after_the_response_is_logged(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await answer(send, b"done")
        await send(piece(b"more"))

    client = serve(app).connect()
    assert client.ask(GET)[2] == b"done"
    assert eventually(
        lambda: "RuntimeError: the app sent 'http.response.body', but its response is waiting for nothing" in caplog.text
    )
    assert client.ask(GET)[2] == b"done"


# Extensions


def test_trailers_follow_the_body(serve: Serve) -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        assert "http.response.trailers" in scope["extensions"]
        await send(START | {"trailers": True})
        await send(piece(b"body", more=False))
        await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")], "more_trailers": True})
        await send({"type": "http.response.trailers", "headers": [(b"x-end", b"2")]})

    client = serve(app).connect()
    client.send(GET)
    assert client.until(b"x-end: 2\r\n\r\n").endswith(b"4\r\nbody\r\n0\r\nx-sum: 1\r\nx-end: 2\r\n\r\n")
    client.send(GET)
    assert client.until(b"x-end: 2\r\n\r\n").startswith(b"HTTP/1.1 200")


def test_announced_trailers_may_stay_out(serve: Serve) -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await send(START | {"trailers": True})
        await send(piece(b"body", more=False))

    client = serve(app).connect()
    assert client.ask(GET)[2] == b"body"
    assert client.ask(GET)[2] == b"body"


def test_a_file_is_sent_by_its_path(serve: Serve, tmp_path: Path) -> None:
    content = bytes(range(256)) * 2000
    (tmp_path / "file").write_bytes(content)

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await send(START)
        await send({"type": "http.response.pathsend", "path": str(tmp_path / scope["path"][1:])})

    client = serve(app).connect()
    for _ in range(2):
        status, fields, body = client.ask(b"GET /file HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (status, fields["content-length"], body) == (200, str(len(content)), content)
    assert client.ask(b"HEAD /file HTTP/1.1\r\nHost: a\r\n\r\n")[1]["content-length"] == str(len(content))
    assert client.ask(b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n")[0] == 500


def test_a_file_is_sent_as_far_as_the_app_declared(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"as it was, and what came since")

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await send(START | {"headers": [(b"Content-Length", b"9")]})
        await send({"type": "http.response.pathsend", "path": str(tmp_path / "log")})

    client = serve(app).connect()
    for _ in range(2):
        assert client.ask(GET)[2] == b"as it was"


def test_early_hints_go_before_the_response(serve: Serve) -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload", b"</b.js>; rel=preload"]})
        await answer(send, b"page")

    client = serve(app).connect()
    client.send(GET)
    assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 103 ")
    assert client.response()[2] == b"page"


# The current request


def test_each_task_knows_its_own_request(serve: Serve) -> None:
    def target() -> str:
        exchange = current.get()
        return exchange.head.target if exchange else "none"

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        before = target()
        await asyncio.sleep(0.02)
        child = await asyncio.create_task(asyncio.to_thread(target))
        await answer(send, f"{before} {target()} {child}".encode())

    server = serve(app)
    clients = [server.connect() for _ in range(3)]
    for number, client in enumerate(clients):
        client.send(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
    assert [client.response()[2] for client in clients] == [b"/0 /0 /0", b"/1 /1 /1", b"/2 /2 /2"]
    assert server.on_loop(current.get) is None


# Lifespan


class Life:
    """An app that records its lifespan; `parts` may hold "fail start", "fail end", "raise late", "hang"."""

    def __init__(self, *parts: str) -> None:
        self.parts = parts
        self.events: list[str] = []

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["state"]["count"] += 1
            scope["state"]["shared"].append(scope["path"])
            await answer(send, (scope["state"]["count"], scope["state"]["shared"]))
            return
        assert scope["asgi"]["version"] == "3.0"
        self.events.append((await receive())["type"])
        scope["state"].update(count=1, shared=[])
        if "fail start" in self.parts:
            await send({"type": "lifespan.startup.failed", "message": "Traceback ...\nValueError: no database"})
            raise ValueError("no database")
        await send({"type": "lifespan.startup.complete"})
        self.events.append((await receive())["type"])
        if "hang" in self.parts:
            await asyncio.sleep(60)
        if "fail end" in self.parts:
            await send({"type": "lifespan.shutdown.failed", "message": "lock stays"})
        else:
            await send({"type": "lifespan.shutdown.complete"})
        if "raise late" in self.parts:
            raise KeyError("too late")
        self.events.append("end")


def test_the_app_hears_of_start_and_end_and_shares_its_state() -> None:
    app = Life()
    with wire(mounted("/", app), kind="asgi") as server:
        assert app.events == ["lifespan.startup"]
        assert server.get("/a")[2] == b"(2, ['/a'])"
        assert server.get("/b")[2] == b"(2, ['/a', '/b'])"  # a shallow copy for each request
    assert app.events == ["lifespan.startup", "lifespan.shutdown", "end"]


def test_an_app_without_lifespan_is_served(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    assert serve(echo).ask(GET)[0] == 200
    assert "the app at / takes no part in the lifespan protocol: AssertionError" in caplog.text


def test_an_app_that_ignores_lifespan_is_served(serve: Serve) -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await answer(send, "state" in scope)

    assert serve(app, lifespan=True).ask(GET)[2] == b"False"


def test_a_failed_start_is_a_load_error_with_its_cause() -> None:
    with (
        pytest.raises(LoadError, match="the app at / did not start: ValueError: no database") as failure,
        wire(mounted("/", Life("fail start")), kind="asgi"),
    ):
        pass
    assert isinstance(failure.value.__cause__, ValueError)


def test_an_app_that_exits_at_its_start_is_a_load_error() -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        raise SystemExit("DATABASE_URL is not set")

    with (
        pytest.raises(LoadError, match="the app at / asked to exit: DATABASE_URL is not set"),
        wire(mounted("/", app), kind="asgi"),
    ):
        pass


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("fail end", "the app at / did not shut down well: lock stays"),
        ("raise late", "the lifespan of the app at / ended with an error"),
        ("hang", "the app at / did not shut down within 0.5 s"),
    ],
)
def test_a_bad_end_is_logged(caplog: pytest.LogCaptureFixture, part: str, said: str) -> None:
    with wire(mounted("/", Life(part)), kind="asgi", grace_s=0.0):
        pass
    assert said in caplog.text


def test_a_lifespan_that_breaks_while_serving_is_logged(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await answer(send, b"ok")
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await asyncio.sleep(0.02)
        raise KeyError("background")

    server = serve(app, lifespan=True)
    assert eventually(lambda: "the lifespan of the app at / ended with an error" in caplog.text)
    assert server.ask(GET)[0] == 200


def test_a_wrong_reply_is_the_apps_error(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    serve(app, lifespan=True)
    assert "'lifespan.shutdown.complete' is no answer to lifespan.startup" in caplog.text


# Shutdown


def test_work_after_the_response_is_waited_for() -> None:
    done: list[str] = []

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await answer(send, b"ok")
        await asyncio.sleep(0.2)
        done.append("mail sent")

    with wire(mounted("/", http_only(app)), kind="asgi") as server:
        assert server.ask(GET)[0] == 200
    assert done == ["mail sent"]


def test_work_that_does_not_end_is_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    ended: list[str] = []

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await answer(send, b"ok")
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("cancelled")

    with wire(mounted("/", http_only(app)), kind="asgi", grace_s=0.1) as server:
        assert server.ask(GET)[0] == 200
    assert ended == ["cancelled"]
    assert "1 requests of the app at / were cancelled" in caplog.text


def test_calls_that_work_for_nobody_get_less_time() -> None:
    ended: list[float] = []

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        began = time.monotonic()
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(time.monotonic() - began)

    with wire(mounted("/", http_only(app)), kind="asgi", grace_s=30, fast_grace_s=0.1) as server:
        server.connect().send(GET)
        time.sleep(0.05)
    assert ended
    assert ended[0] < 5
