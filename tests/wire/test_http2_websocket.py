"""WebSocket over HTTP/2 (RFC 8441): streams that leave HTTP, beside others that do not, for every kind of app."""

from __future__ import annotations

import asyncio
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask, request
from h2.errors import ErrorCodes

import skitai
from skitai.saddle import Saddle
from tests.support.http2 import Http2Client, Http2Pipe, http2
from tests.support.memory import Wire, mounted, wait_for, wire
from tests.support.websocket import Http2Socket, close, frame, opened_by_http2

TEXT, CLOSE = 1, 8
DEFLATE = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
SECOND = {"Sec-WebSocket-Version": "13"}

Serve = Callable[..., Wire]


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Sends back what comes; answers requests with their path."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


@pytest.fixture
def serve(engine: str) -> Iterator[Serve]:
    running: list[Any] = []

    def start(app: Any = echo, kind: str = "asgi", **values: Any) -> Wire:
        context = wire(mounted("/", app), kind=kind, engine=engine, **values)
        running.append(context)
        return context.__enter__()

    yield start
    for context in running:
        context.__exit__(None, None, None)


def asked(client: Http2Client, path: str = "/", protocol: str = "websocket", **fields: str) -> Http2Pipe:
    given = {"sec-websocket-version": "13"} | {name.replace("_", "-").lower(): value for name, value in fields.items()}
    return Http2Pipe(client, path, list(given.items()), protocol)


# RFC 8441, sections 3 and 4: who may ask, and for what


def test_section_3_clients_are_told_that_they_may(serve: Serve) -> None:
    client = http2(serve())
    client.answer_pings()
    assert client.h2.remote_settings[8] == 1


def test_section_5_a_handshake_without_a_key(serve: Serve) -> None:
    talk = opened_by_http2(serve())
    assert not {"upgrade", "connection", "sec-websocket-accept", "content-length"} & set(talk.fields)
    talk.text("hello")
    assert talk.hears() == "hello"


def test_section_4_other_protocols_are_not_spoken(serve: Serve) -> None:
    server = serve()
    client = http2(server)
    pipe = asked(client, protocol="connect-udp")
    assert pipe.begun().status == 501
    assert client.wait(pipe.stream).reset == ErrorCodes.NO_ERROR  # behind the whole answer: what else comes is not wanted
    assert client.ask("/on").body == b"/on"


@pytest.mark.parametrize(
    "pairs",
    [
        [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/"), (":protocol", "websocket")],
        [(":method", "CONNECT"), (":authority", "a"), (":protocol", "websocket")],
        [(":method", "CONNECT"), (":scheme", "http"), (":authority", "a"), (":protocol", "websocket")],
        [(":method", "CONNECT"), (":scheme", "http"), (":path", "/"), (":protocol", "websocket")],
        [(":method", "CONNECT"), (":scheme", "http"), (":authority", "a:1"), (":path", "/")],
        [(":method", "CONNECT"), (":scheme", "http"), (":authority", "a:1")],
    ],
    ids=["get", "bare", "no-path", "no-authority", "connect-with-path", "connect-with-scheme"],
)
def test_section_4_malformed_requests(serve: Serve, pairs: list[tuple[str, str]]) -> None:
    server = serve()
    client = http2(server, checks=False)
    client.send_head(1, pairs, ended=False)
    answer = client.answers[1]
    while not (answer.status or answer.reset is not None or client.closed):
        client.receive()
    assert answer.status == 400 or answer.reset == ErrorCodes.PROTOCOL_ERROR or client.ends
    assert server.get("/still")[0] == 200


def test_section_5_the_version_has_to_be_right(serve: Serve) -> None:
    client = http2(serve())
    answer = asked(client, sec_websocket_version="8").begun()
    assert (answer.status, answer.fields["sec-websocket-version"]) == (400, "13")


def test_who_does_not_speak_it_does_not_say_yes(engine: str, tmp_path: Any) -> None:
    """A response of success would begin the tunnel."""
    (tmp_path / "page.txt").write_text("a page")

    def page(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"a page"]

    def pieces(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"a "
        yield b"page"

    def elsewhere(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("302 Found", [("Location", "/elsewhere")])
        return []

    mounts = mounted("/page", page), mounted("/pieces", pieces), mounted("/moved", elsewhere), mounted("/", str(tmp_path))
    with wire(*mounts, engine=engine) as server:
        client = http2(server)
        said = {path: asked(client, path).begun().status for path in ("/page/", "/pieces/", "/moved/", "/page.txt", "/none")}
        assert said == {"/page/": 400, "/pieces/": 400, "/moved/": 302, "/page.txt": 400, "/none": 404}
        assert client.ask("/page/").body == b"a page"


def test_plain_connect_is_not_served(serve: Serve) -> None:
    client = http2(serve(), checks=False)
    for authority, status in (("example:443", 501), ("example", 400)):
        stream = client.h2.get_next_available_stream_id()
        client.send_head(stream, [(":method", "CONNECT"), (":authority", authority)], ended=False)
        assert client.wait(stream).status == status
    assert client.ask("/on").body == b"/on"


# Messages


def test_many_conversations_beside_requests(serve: Serve) -> None:
    client = http2(serve())
    talks = [Http2Socket(client, f"/{number}") for number in range(20)]
    for number, talk in enumerate(talks):
        talk.text(f"hello {number}")
    assert client.ask("/between").body == b"/between"
    assert [talk.hears() for talk in talks] == [f"hello {number}" for number in range(20)]


def test_what_follows_the_handshake_at_once_is_read(serve: Serve) -> None:
    accepting = asyncio.Event()

    async def slow(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            accepting.set()
        elif scope["type"] == "websocket":
            await accepting.wait()
        await echo(scope, receive, send)

    client = http2(serve(slow))
    pipe = asked(client)
    pipe.send(frame(TEXT, b"early") + frame(TEXT, b"bird"))
    assert client.ask("/now").body == b"/now"
    assert pipe.begun().status == 200
    assert pipe.exactly(13) == b"\x81\x05early\x81\x04bird"


def test_messages_are_compressed(serve: Serve) -> None:
    talk = opened_by_http2(serve(), **DEFLATE)
    assert talk.fields["sec-websocket-extensions"].startswith("permessage-deflate")
    deflate = zlib.compressobj(wbits=-15)
    talk.send(frame(TEXT, (deflate.compress(b"hello " * 1000) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4], bits=0x40))
    opcode, payload = talk.receive()
    assert opcode == 0x41
    assert zlib.decompressobj(-15).decompress(payload + b"\x00\x00\xff\xff") == b"hello " * 1000


def test_large_messages_keep_to_the_windows(serve: Serve) -> None:
    talk = opened_by_http2(serve())
    payload = bytes(range(256)) * 4096
    talk.send(frame(2, payload))
    assert talk.receive() == (2, payload)


def test_who_says_much_waits_until_the_app_has_heard_it(serve: Serve) -> None:
    hear = threading.Event()
    heard: list[str] = []

    async def deaf(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while not hear.is_set():
            await asyncio.sleep(0.01)
        while (message := await receive())["type"] == "websocket.receive":
            heard.append(message["text"])
        hear.clear()

    server = serve(deaf, websocket_inbox_messages=4)
    talk = opened_by_http2(server)
    client = talk.client.client
    piece, count = "x" * 8000, 0
    while client.h2.local_flow_control_window(talk.client.stream) > 9000:
        talk.text(piece)
        count += 1
        client.answer_pings()
    assert 8 <= count < 20  # the window, and a few that were taken before
    assert not heard
    hear.set()
    for _ in range(30):
        talk.text(piece)
    talk.send(close(1000))
    assert talk.is_closed_with() == 1000
    wait_for(lambda: not hear.is_set())
    assert heard == [piece] * (count + 30)


def test_who_does_not_listen_is_let_go_and_others_are_not(serve: Serve) -> None:
    flows: list[bool] = []

    async def talker(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            return await echo(scope, receive, send)
        await receive()
        await send({"type": "websocket.accept"})
        try:
            while True:
                await asyncio.wait_for(send({"type": "websocket.send", "bytes": b"x" * 50_000}), 0.2)
        except (TimeoutError, OSError):
            flows.append(True)

    client = http2(serve(talker), acknowledge=False)
    client.h2.increment_flow_control_window(1 << 24)
    client.flush()
    pipe = asked(client)
    pipe.begun()
    wait_for(lambda: flows)
    assert client.ask("/other").body == b"/other"
    assert len(pipe.answer.body) <= 65535


def test_padding_is_given_back(serve: Serve) -> None:
    talk = opened_by_http2(serve())
    client, stream = talk.client.client, talk.client.stream
    for number in range(600):  # more of it than the window of the stream holds
        client.h2.send_data(stream, frame(TEXT, str(number).encode()), pad_length=200)
        client.flush()
        assert talk.hears() == str(number)


# The end


def test_a_close_ends_the_stream_on_both_sides(serve: Serve) -> None:
    server = serve()
    talk = opened_by_http2(server, "/a")
    client = talk.client.client
    talk.send(close(1000, "bye"))
    assert talk.is_closed_with() == 1000
    assert talk.client.answer.reset is None
    wait_for(lambda: server.log.lines)
    assert "GET /a 2.0 11 200" in server.log.lines[0]
    assert client.ask("/on").body == b"/on"


def test_a_client_that_does_not_end_its_side_is_helped(serve: Serve) -> None:
    server = serve()
    talk = opened_by_http2(server)
    client, answer = talk.client.client, talk.client.answer
    talk.send(close(1000))
    assert talk.receive()[0] == CLOSE
    while not answer.ended:
        client.receive()
    talk.client.send(b"more" * 1000)  # nobody reads it
    client.answer_pings()
    assert answer.reset is None
    server.tick(1)
    server.tick(4)
    assert client.wait(talk.client.stream)
    while answer.reset is None:
        client.receive()
    assert answer.reset == ErrorCodes.NO_ERROR
    wait_for(lambda: len(server.log.lines) == 1)
    assert client.ask("/on").body == b"/on"


def test_half_a_close_is_none(serve: Serve) -> None:
    """A client that ends its side without a close frame has gone."""
    server = serve()
    talk = opened_by_http2(server)
    talk.client.close()
    client, answer = talk.client.client, talk.client.answer
    while not answer.ended:
        client.receive()
    assert answer.body == b""
    wait_for(lambda: server.log.lines)


def test_a_reset_reaches_the_app(serve: Serve) -> None:
    ends: list[Any] = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        ends.append(await receive())

    server = serve(app)
    talk = opened_by_http2(server)
    client = talk.client.client
    client.h2.reset_stream(talk.client.stream, ErrorCodes.CANCEL)
    client.flush()
    wait_for(lambda: ends)
    assert ends[0]["code"] == 1006
    wait_for(lambda: server.log.lines)


def test_a_lost_connection_reaches_every_app(serve: Serve) -> None:
    ends: list[Any] = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        ends.append((await receive())["code"])

    server = serve(app)
    client = http2(server)
    for _ in range(5):
        Http2Socket(client)
    client.client.close()
    wait_for(lambda: len(ends) == 5)
    assert ends == [1006] * 5
    wait_for(lambda: len(server.log.lines) == 5)


@pytest.mark.parametrize(("how", "code"), [("retire", 1012), ("stop", 1001)])
def test_a_worker_that_leaves_says_so(serve: Serve, how: str, code: int) -> None:
    server = serve()
    talk = opened_by_http2(server)
    client = talk.client.client
    server.on_loop(getattr(server.server, how))
    opcode, payload = talk.receive()
    assert (opcode, struct.unpack("!H", payload[:2])[0]) == (CLOSE, code)
    talk.send(close(code))
    assert talk.client.closed()
    client.until_closed()
    assert client.ends[0][1] == ErrorCodes.NO_ERROR


def test_a_client_that_answers_no_ping_is_cut_and_others_are_not(serve: Serve) -> None:
    server = serve()
    client = http2(server)
    talk = Http2Socket(client)
    other = Http2Socket(client)
    server.tick(21)
    assert talk.receive()[0] == other.receive()[0] == 9
    other.send(frame(10, b"skitai"))
    client.answer_pings()
    server.tick(43)
    assert talk.receive()[0] == CLOSE
    assert client.wait(talk.client.stream).reset == ErrorCodes.CANCEL
    other.text("here")
    assert other.hears() == "here"


# Apps


def test_asgi_scope(serve: Serve) -> None:
    scopes: list[dict[str, Any]] = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            scopes.append(scope)
        await receive()
        await send({"type": "websocket.accept", "subprotocol": "chat", "headers": [(b"x-mine", b"1")]})

    talk = opened_by_http2(serve(app), "/room/%C3%A4?q=1", Sec_WebSocket_Protocol="chat, other", Origin="http://elsewhere")
    assert talk.fields["sec-websocket-protocol"] == "chat"
    assert talk.fields["x-mine"] == "1"
    scope = scopes[0]
    assert (scope["type"], scope["http_version"], scope["scheme"], scope["path"]) == ("websocket", "2", "ws", "/room/ä")
    assert (scope["query_string"], scope["subprotocols"]) == (b"q=1", ["chat", "other"])
    assert (b"host", b"example") in scope["headers"]
    assert not any(name.startswith(b":") for name, _ in scope["headers"])


def test_asgi_refusals(serve: Serve) -> None:
    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        if scope["path"] == "/deny":
            await send({"type": "websocket.http.response.start", "status": 401, "headers": [(b"x-why", b"no")]})
            await send({"type": "websocket.http.response.body", "body": b"who?"})
        else:
            await send({"type": "websocket.close"})

    client = http2(serve(app))
    assert asked(client, "/close").begun().status == 403
    answer = asked(client, "/deny").begun()
    assert (answer.status, answer.fields["x-why"]) == (401, "no")


def test_saddle(saddle: Callable[..., Wire]) -> None:
    app = Saddle(__name__)
    ends: list[str] = []

    def onopen(was: Any) -> str:
        return "welcome"

    def onclose(was: Any) -> None:
        ends.append("closed")

    @app.route("/echo")
    @app.websocket_config(skitai.WS_SIMPLE, 60, onopen, onclose)
    def talking(was: Any, message: str, name: str = "") -> str:
        return f"{name}: {message} {was.request.method} {was.request.scheme}"

    @app.route("/chat")
    @app.websocket_config(skitai.WS_GROUPCHAT, 60)
    async def chat(was: Any, message: str, room: str) -> str:
        return message

    server = saddle(app)
    client = http2(server)
    talk = Http2Socket(client, "/echo?name=hans", Origin="http://example")
    assert talk.hears() == "welcome"
    talk.text("hello")
    assert talk.hears() == "hans: hello GET http"
    room = [Http2Socket(client, "/chat?room=tea") for _ in range(3)]
    room[0].text("one cup")
    assert [each.hears() for each in room] == ["one cup"] * 3
    assert asked(client, "/echo", Origin="http://elsewhere").begun().status == 403
    talk.send(close(1000))
    assert talk.is_closed_with() == 1000
    wait_for(lambda: ends)


def test_flask(engine: str, threads: int) -> None:
    app = Flask(__name__)

    @app.route("/echo")
    def talking() -> str:
        event = request.environ.get("websocket.event")
        if event == skitai.WS_EVT_INIT:
            request.environ["websocket.config"] = (skitai.WS_SIMPLE, 60, ("message",))
        if event:
            return ""
        return f"{request.method} {request.environ['SERVER_PROTOCOL']} {request.args['message']}"

    with wire(mounted("/", app), engine=engine, threads=threads) as server:
        talk = opened_by_http2(server, "/echo")
        talk.text("hello")
        assert talk.hears() == "GET HTTP/2.0 hello"


def test_handlers_of_those_who_left_count_until_they_end(engine: str) -> None:
    """As with requests: opening and resetting is no way to more work at a time than streams."""
    going = threading.Event()
    begun: list[int] = []

    async def stubborn(scope: dict[str, Any], receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        begun.append(1)
        while not going.is_set():
            await asyncio.sleep(0.01)

    with wire(mounted("/", stubborn), kind="asgi", engine=engine, http2_streams=10) as server:
        client = http2(server)
        client.h2.remote_settings[3] = 1000
        client.h2.remote_settings.acknowledge()
        for _ in range(30):
            pipe = asked(client)
            client.answer_pings()
            if pipe.answer.reset is None:
                client.h2.reset_stream(pipe.stream)
                client.flush()
                client.answer_pings()
            else:
                assert pipe.answer.reset == ErrorCodes.REFUSED_STREAM
        assert len(begun) == 10
        going.set()
        wait_for(lambda: not server.on_loop(lambda: next(iter(server.services.connections)).core.ghosts))


@pytest.mark.parametrize("kind", ["flask", "saddle", "saddle-async"])
def test_handshakes_of_those_who_left_are_over_when_the_app_has_decided(engine: str, kind: str) -> None:
    begun, release = threading.Event(), threading.Event()
    app: Any
    if kind == "flask":
        app = Flask(__name__)

        @app.route("/")
        def talking() -> str:
            if request.environ.get("websocket.event") == skitai.WS_EVT_INIT:
                begun.set()
                release.wait(10)
                request.environ["websocket.config"] = (skitai.WS_SIMPLE, 60, ("message",))
            return ""
    else:
        app = Saddle(__name__)

        @app.before_request
        def wait(was: Any) -> None:
            begun.set()
            release.wait(10)

        if kind == "saddle":

            @app.route("/")
            @app.websocket_config(skitai.WS_SIMPLE, 60)
            def answer(was: Any, message: str) -> str:
                return message
        else:

            @app.route("/")
            @app.websocket_config(skitai.WS_SIMPLE, 60)
            async def answer(was: Any, message: str) -> str:
                return message

    with wire(mounted("/", app), kind=kind.partition("-")[0].replace("flask", "wsgi"), engine=engine, threads=1) as server:
        client = http2(server)
        pipes = [asked(client) for _ in range(10)]
        assert begun.wait(10)
        client.answer_pings()
        for pipe in pipes:
            client.h2.reset_stream(pipe.stream)
        client.flush()
        client.answer_pings()
        (connection,) = server.services.connections
        core: Any = connection.core  # type: ignore[attr-defined]
        assert core.ghosts == 10
        release.set()
        wait_for(lambda: not core.ghosts)
        talk = Http2Socket(client)
        talk.send(close(1000))
        assert talk.is_closed_with() == 1000
        wait_for(lambda: len(server.log.lines) == 11)
