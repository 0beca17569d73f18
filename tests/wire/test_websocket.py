"""WebSocket on the wire, in the order of RFC 6455, then permessage-deflate (RFC 7692), limits, and ASGI's part of it."""

from __future__ import annotations

import asyncio
import os
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from websockets.sync.client import connect

from tests.support.memory import Wire, mounted, wait_for, wire
from tests.support.websocket import (
    ACCEPT,
    HANDSHAKE,
    KEY,
    Socket,
    close,
    frame,
    handshake,
    inflated,
    opened,
    opened_by_http2,
)

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
DEFLATE = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}

Serve = Callable[..., Wire]


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Sends back what comes."""
    assert scope["type"] == "websocket"
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


@pytest.fixture
def serve(engine: str) -> Iterator[Serve]:
    """Serve an ASGI app on every engine; the wire ends with the test."""
    running: list[Any] = []

    def start(app: Any = echo, **values: Any) -> Wire:
        context = wire(mounted("/", app), kind="asgi", engine=engine, **values)
        running.append(context)
        return context.__enter__()

    yield start
    for context in running:
        context.__exit__(None, None, None)


@pytest.fixture(params=[opened, opened_by_http2], ids=["http1", "http2"])
def talk(serve: Serve, request: pytest.FixtureRequest) -> Any:
    """A connection to an echo, or a stream to one."""
    return request.param(serve())


# Section 4: the opening handshake


def test_section_4_2_2_the_answer_proves_that_the_key_was_read(serve: Serve) -> None:
    fields = opened(serve()).fields
    assert fields["sec-websocket-accept"] == ACCEPT
    assert fields["upgrade"] == "websocket"
    assert fields["connection"] == "Upgrade"
    assert "sec-websocket-protocol" not in fields
    assert "content-length" not in fields


def test_section_4_2_1_words_in_any_case_and_in_lists(serve: Serve) -> None:
    talk = opened(serve(), Upgrade="h2c, WebSocket", Connection="keep-alive, UPGRADE")
    talk.text("hello")
    assert talk.hears() == "hello"


@pytest.mark.parametrize("key", [None, "", "short", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZSE=dGhl"])
def test_section_4_2_1_a_key_of_16_bytes(serve: Serve, key: str | None) -> None:
    assert serve().ask(handshake(Sec_WebSocket_Key=key))[0] == 400


@pytest.mark.parametrize("version", [None, "8", "14"])
def test_section_4_4_other_versions_learn_which_is_spoken(serve: Serve, version: str | None) -> None:
    status, fields, _ = serve().ask(handshake(Sec_WebSocket_Version=version))
    assert (status, fields["sec-websocket-version"]) == (426, "13")


def test_section_4_2_1_who_does_not_ask_for_it_gets_http(serve: Serve) -> None:
    app = FastAPI()

    @app.get("/")
    def index() -> str:
        return "http"

    server = serve(app)
    for left_out in ("Upgrade", "Connection"):
        assert server.ask(handshake(**{left_out: None}))[2] == b'"http"'
    assert server.ask(handshake().replace(b"GET", b"POST", 1))[0] == 405


def test_what_follows_the_handshake_at_once_is_read(serve: Serve) -> None:
    client = serve().connect()
    client.send(handshake() + frame(TEXT, b"early"))
    assert client.response(head_only=True)[0] == 101
    assert client.exactly(7) == b"\x81\x05early"


# Section 5: frames


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 300_000])
def test_section_5_2_messages_of_every_form_of_length(talk: Socket, size: int) -> None:
    payload = os.urandom(size)
    talk.send(frame(BINARY, payload))
    assert talk.receive() == (BINARY, payload)


def test_section_5_2_frames_cut_anywhere(talk: Socket) -> None:
    data = frame(TEXT, "grüße".encode()) + frame(BINARY, b"x" * 300)
    for each in data:
        talk.send(bytes((each,)))
    assert talk.hears() == "grüße"
    assert talk.receive() == (BINARY, b"x" * 300)


def test_section_5_2_many_in_one_piece_stay_in_order(talk: Socket) -> None:
    talk.send(*(frame(TEXT, str(number).encode()) for number in range(500)))
    assert [talk.hears() for _ in range(500)] == [str(number) for number in range(500)]


@pytest.mark.parametrize(
    "data",
    [
        frame(TEXT, b"x", mask=False),
        frame(TEXT, b"x", bits=0x40),
        frame(TEXT, b"x", bits=0x20),
        frame(TEXT, b"x", bits=0x10),
        frame(3),
        frame(7),
        frame(11),
        frame(15),
        b"\x81\xfe\x00\x05",
        b"\x81\xff" + (65535).to_bytes(8),
        b"\x81\xff" + ((1 << 63) + 70000).to_bytes(8),
        frame(PING, b"x" * 126),
        frame(PING, b"x", fin=False),
        frame(CLOSE, b"\x03\xe8", fin=False),
        frame(0, b"x"),
        frame(TEXT, b"x", fin=False) + frame(TEXT, b"y"),
    ],
    ids=lambda data: data[:4].hex(),
)
def test_section_5_breaches_of_the_grammar_are_1002(talk: Socket, data: bytes) -> None:
    talk.send(data)
    assert talk.is_closed_with() == 1002


def test_section_5_4_fragments_with_a_ping_between(talk: Socket) -> None:
    talk.send(frame(TEXT, b"one ", fin=False), frame(PING, b"?"), frame(0, b"two ", fin=False), frame(0, b"three"))
    assert talk.receive() == (PONG, b"?")
    assert talk.hears() == "one two three"


def test_section_5_5_2_pings_are_answered_in_kind(talk: Socket) -> None:
    for payload in (b"", b"hello", bytes(range(125))):
        talk.send(frame(PING, payload))
        assert talk.receive() == (PONG, payload)


def test_section_5_5_3_a_pong_that_nobody_asked_for_is_passed_over(talk: Socket) -> None:
    talk.send(frame(PONG, b"hello"), frame(TEXT, b"still here"))
    assert talk.hears() == "still here"


# Section 7: closing


@pytest.mark.parametrize("code", [1000, 1001, 1007, 1012, 3000, 4999])
def test_section_7_1_a_close_is_answered_and_the_server_goes_first(talk: Socket, code: int) -> None:
    talk.send(close(code, "bye"))
    assert talk.is_closed_with() == code


def test_section_7_1_5_a_close_without_a_code(talk: Socket) -> None:
    talk.send(frame(CLOSE))
    assert talk.is_closed_with() == 1000


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535])
def test_section_7_4_codes_that_must_not_be_sent(talk: Socket, code: int) -> None:
    talk.send(close(code))
    assert talk.is_closed_with() == 1002


def test_section_5_5_1_half_a_code(talk: Socket) -> None:
    talk.send(frame(CLOSE, b"\x03"))
    assert talk.is_closed_with() == 1002


# Section 8: UTF-8


@pytest.mark.parametrize("text", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"abc\xe2\x82"])
def test_section_8_1_texts_that_are_not_utf_8(talk: Socket, text: bytes) -> None:
    talk.send(frame(TEXT, text))
    assert talk.is_closed_with() == 1007


def test_section_8_1_a_character_may_lie_in_two_fragments(talk: Socket) -> None:
    talk.send(frame(TEXT, b"\xe2\x82", fin=False), frame(0, b"\xac"))
    assert talk.hears() == "€"


def test_section_8_1_a_bad_fragment_does_not_wait_for_the_last(talk: Socket) -> None:
    talk.send(frame(TEXT, b"ok \xff", fin=False))
    assert talk.is_closed_with() == 1007


def test_section_8_1_the_reason_of_a_close(talk: Socket) -> None:
    talk.send(frame(CLOSE, b"\x03\xe8\xff"))
    assert talk.is_closed_with() == 1007


# RFC 7692: permessage-deflate


def deflated(data: bytes) -> bytes:
    made = zlib.compressobj(wbits=-15)
    return (made.compress(data) + made.flush(zlib.Z_SYNC_FLUSH))[:-4]


def test_rfc_7692_section_7_1_no_context_is_kept(serve: Serve) -> None:
    answer = opened(serve(), **DEFLATE).fields["sec-websocket-extensions"]
    assert "server_no_context_takeover" in answer
    assert "client_no_context_takeover" in answer


@pytest.mark.parametrize(
    "offer",
    ["permessage-deflate; unknown", "x-webkit-deflate-frame", "permessage-deflate; server_max_window_bits=7"],
)
def test_rfc_7692_section_5_1_what_cannot_be_taken_is_declined(serve: Serve, offer: str) -> None:
    assert "sec-websocket-extensions" not in opened(serve(), Sec_WebSocket_Extensions=offer).fields


def test_rfc_7692_section_7_2_messages_both_ways(serve: Serve) -> None:
    talk = opened(serve(), **DEFLATE)
    data = b"the same again and again " * 1000
    talk.send(frame(TEXT, deflated(data), bits=0x40))
    first, payload = talk.receive()
    assert first == 0x40 | TEXT
    assert len(payload) < 1000
    assert inflated(payload) == data
    noise = os.urandom(1000)
    talk.send(frame(BINARY, noise))
    first, payload = talk.receive()
    assert (first, inflated(payload)) == (0x40 | BINARY, noise)
    talk.text("short")
    assert talk.hears() == "short", "small messages are sent as they are"


def test_long_messages_are_compressed_off_the_loop_and_in_order(serve: Serve) -> None:
    noise = os.urandom(50_000).hex()

    async def several(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        sent = [{"type": "websocket.send", "text": text} for text in (f"1 {noise}", "2", f"3 {noise}", "4", f"5 {noise}")]
        tasks = [asyncio.create_task(send(message)) for message in (*sent, {"type": "websocket.close", "code": 4000})]
        await asyncio.gather(*tasks)

    talk = opened(serve(several), **DEFLATE)
    talk.text("begin")
    for wanted in "12345":
        first, payload = talk.receive()
        text = inflated(payload) if first & 0x40 else payload
        assert text[:1].decode() == wanted
        assert len(text) in (1, 100_002)
    assert talk.receive() == (CLOSE, (4000).to_bytes(2))
    talk.send(close(4000))
    assert talk.client.closed()


def test_long_texts_that_cannot_be_sent(serve: Serve) -> None:
    said: list[str] = []

    async def wrong(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        try:
            await send({"type": "websocket.send", "text": "\ud800" * 100_000})
        except UnicodeEncodeError as error:
            said.append(error.reason)
        await send({"type": "websocket.send", "text": "after"})
        await receive()

    talk = opened(serve(wrong), **DEFLATE)
    assert talk.hears() == "after"
    assert said


def test_rfc_7692_section_7_2_fragments_of_a_compressed_message(serve: Serve) -> None:
    talk = opened(serve(), **DEFLATE)
    data = deflated(b"hello")
    talk.send(frame(TEXT, data[:2], fin=False, bits=0x40), frame(0, data[2:]))
    assert talk.hears() == "hello"


def test_rfc_7692_broken_data_and_broken_text(serve: Serve) -> None:
    server = serve()
    for payload in (b"\xff\xff\xff", deflated(b"\xff")):
        talk = opened(server, **DEFLATE)
        talk.send(frame(TEXT, payload, bits=0x40))
        assert talk.is_closed_with() == 1007


def test_rfc_7692_section_8_a_bomb_is_not_inflated(serve: Serve) -> None:
    talk = opened(serve(), **DEFLATE)
    bomb = deflated(bytes(64 << 20))
    assert len(bomb) < 70_000
    talk.send(frame(BINARY, bomb, bits=0x40))
    assert talk.is_closed_with() == 1009


def test_compression_can_be_turned_off(serve: Serve) -> None:
    assert "sec-websocket-extensions" not in opened(serve(websocket_compress=False), **DEFLATE).fields


# Limits


@pytest.mark.parametrize("compressed", [False, True])
def test_a_message_of_exactly_the_limit(serve: Serve, compressed: bool) -> None:
    server = serve(websocket_message_bytes=1 << 20)
    data = bytes(1 << 20)
    for size, right in ((1 << 20, True), ((1 << 20) + 1, False)):
        talk = opened(server, **(DEFLATE if compressed else {}))
        data = bytes(size)
        talk.send(frame(BINARY, deflated(data), bits=0x40) if compressed else frame(BINARY, data)[:2000])
        if not right:
            assert talk.is_closed_with() == 1009
        else:
            if not compressed:
                talk.send(frame(BINARY, data)[2000:])
            first, payload = talk.receive()
            assert (inflated(payload) if first & 0x40 else payload) == data


def test_fragments_are_limited_in_sum(serve: Serve) -> None:
    talk = opened(serve(websocket_message_bytes=1000))
    talk.send(frame(TEXT, b"x" * 600, fin=False), frame(0, b"x" * 401, fin=False))
    assert talk.is_closed_with() == 1009


def test_fragments_are_limited_in_number(serve: Serve) -> None:
    server = serve()
    talk = opened(server)
    talk.send(frame(TEXT, fin=False), frame(0, fin=False) * 1022, frame(0, b"done"))
    assert talk.hears() == "done"
    talk.send(frame(TEXT, fin=False), frame(0, fin=False) * 1024)
    assert talk.is_closed_with() == 1008


def test_pings_without_end(serve: Serve) -> None:
    talk = opened(serve(websocket_controls=50))
    talk.send(frame(PING) * 51)
    for _ in range(50):
        assert talk.receive() == (PONG, b"")
    assert talk.is_closed_with() == 1008


def test_who_says_much_waits_until_the_app_has_heard_it(serve: Serve) -> None:
    heard: list[int] = []
    go = asyncio.Event()

    async def slow(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await go.wait()
        while (message := await receive())["type"] == "websocket.receive":
            heard.append(int(message["text"]))
        assert message["code"] == 1000

    server = serve(slow)
    talk = opened(server)
    talk.client.sock.settimeout(0.5)
    sent = 0
    with pytest.raises(TimeoutError):
        while True:
            talk.text(f"{sent:01000d}")
            sent += 1
    talk.client.sock.settimeout(5)
    assert sent < 2000, "the client was not made to wait"
    server.on_loop(go.set)
    wait_for(lambda: len(heard) >= sent)
    assert heard[:sent] == list(range(sent))


def test_who_does_not_listen_is_let_go(serve: Serve) -> None:
    ended: list[Any] = []

    async def flood(scope: dict[str, Any], receive: Any, send: Any) -> None:
        from skitai.was.context import current

        await receive()
        await send({"type": "websocket.accept"})
        conversation = current.get().connection.tunnel.guest  # type: ignore[union-attr]
        while conversation.open:  # as a thread would that cannot wait
            conversation.send(b"x" * 60_000)
            await asyncio.sleep(0)
        ended.append(await receive())

    server = serve(flood, websocket_outbox_bytes=1 << 20)
    talk = opened(server)
    wait_for(lambda: ended)
    assert ended[0]["code"] == 1013
    server.tick(6)
    wait_for(lambda: not server.services.connections)
    talk.client.close()


# Time


def test_a_silent_client_is_asked_and_then_let_go(serve: Serve) -> None:
    server = serve()
    talk = opened(server)
    talk.text("hello")
    assert talk.hears() == "hello"
    server.tick(21)  # it has said something in the meantime
    server.tick(42)
    assert talk.receive()[0] == PING
    server.tick(63)
    assert talk.is_closed_with() == 1011
    wait_for(lambda: server.log.lines)


def test_a_client_that_answers_may_stay(serve: Serve) -> None:
    server = serve()
    talk = opened(server)
    for turn in range(1, 7):
        server.tick(turn * 21)
        talk.send(frame(PONG, b"skitai"), frame(TEXT, b"x"))
        while talk.receive() != (TEXT, b"x"):
            pass


def test_a_client_that_does_not_answer_a_close_is_cut(serve: Serve) -> None:
    async def farewell(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4000, "reason": "enough"})

    server = serve(farewell)
    talk = opened(server)
    assert talk.receive() == (CLOSE, b"\x0f\xa0enough")
    server.tick(4)
    assert server.services.connections
    server.tick(6)
    assert talk.client.closed()


def test_these_times_are_options(serve: Serve) -> None:
    async def listen(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        if scope["path"] == "/done":
            await send({"type": "websocket.close"})
        else:
            await receive()

    server = serve(listen, websocket_ping_s=3, websocket_pong_s=2, websocket_close_s=1)
    done = opened(server, "/done")
    assert done.receive()[0] == CLOSE
    server.tick(2)
    assert done.client.closed()
    talk = opened(server)
    server.tick(4)
    assert talk.receive()[0] == PING
    server.tick(7)
    assert talk.is_closed_with() == 1011


@pytest.mark.parametrize(("how", "code"), [("retire", 1012), ("stop", 1001)])
def test_a_worker_that_leaves_says_so(serve: Serve, how: str, code: int) -> None:
    server = serve()
    talk = opened(server)
    server.on_loop(getattr(server.server, how))
    assert talk.receive()[1][:2] == code.to_bytes(2)
    talk.send(close(code))
    assert talk.client.closed()
    wait_for(lambda: server.log.lines)


def test_an_app_that_is_replaced_says_so(serve: Serve) -> None:
    server = serve()
    talk = opened(server)
    talk.text("hello")
    assert talk.hears() == "hello"
    app = server.services.pipeline.site.routes[0].app
    ending = asyncio.run_coroutine_threadsafe(app.shutdown(), server.services.loop)
    assert talk.receive()[1][:2] == (1012).to_bytes(2)
    ending.result(5)


def test_connections_are_logged_when_they_close(serve: Serve) -> None:
    server = serve()
    talk = opened(server, "/room?name=x")
    talk.text("hello")
    assert talk.hears() == "hello"
    assert not server.log.lines
    talk.send(close(1000))
    talk.client.read()
    wait_for(lambda: server.log.lines)
    assert "GET /room?name=x 1.1 19 101 " in server.log.lines[0]


def test_a_client_that_just_goes(serve: Serve) -> None:
    codes: list[int] = []

    async def listen(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        codes.append((await receive())["code"])

    server = serve(listen)
    opened(server).client.close()
    wait_for(lambda: codes == [1006])
    wait_for(lambda: not server.services.connections)


# ASGI's WebSocket


def test_asgi_scope(serve: Serve) -> None:
    scopes: list[dict[str, Any]] = []

    async def look(scope: dict[str, Any], receive: Any, send: Any) -> None:
        scopes.append(scope)
        await receive()
        await send({"type": "websocket.accept", "subprotocol": "b", "headers": [(b"x-room", b"7")]})

    talk = opened(serve(look), "/r%C3%BCbe?a=1", Sec_WebSocket_Protocol="a, b", Origin="http://elsewhere")
    assert (talk.fields["sec-websocket-protocol"], talk.fields["x-room"]) == ("b", "7")
    assert talk.receive()[1] == b"\x03\xe8", "an app that returns closes"
    scope = scopes[-1]
    assert (scope["type"], scope["scheme"], scope["path"], scope["query_string"]) == ("websocket", "ws", "/rübe", b"a=1")
    assert scope["subprotocols"] == ["a", "b"]
    assert "method" not in scope


def test_asgi_before_it_is_accepted_it_can_be_refused(serve: Serve) -> None:
    async def refuse(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["path"] == "/closed":
            await send({"type": "websocket.close"})
        elif scope["path"] == "/denied":
            await send({"type": "websocket.http.response.start", "status": 401, "headers": [(b"x-why", b"no")]})
            await send({"type": "websocket.http.response.body", "body": b"who ", "more_body": True})
            await send({"type": "websocket.http.response.body", "body": b"are you"})
        elif scope["path"] == "/broken":
            raise LookupError("no such room")
        elif scope["path"] == "/early":
            await send({"type": "websocket.send", "text": "hello"})

    server = serve(refuse)
    assert server.ask(handshake("/closed"))[0] == 403
    status, fields, body = server.ask(handshake("/denied"))
    assert (status, fields["x-why"], body) == (401, "no", b"who are you")
    for path in ("/broken", "/early", "/silent"):
        assert server.ask(handshake(path))[0] == 500, path


def test_asgi_an_app_that_fails_closes_with_1011(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    async def fail(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        raise LookupError("no such room")

    talk = opened(serve(fail))
    opcode, payload = talk.receive()
    assert (opcode, payload[:2]) == (CLOSE, (1011).to_bytes(2))
    assert "no such room" not in payload.decode("latin-1")
    assert "no such room" in caplog.text


def test_fastapi_and_a_real_client(serve: Serve) -> None:
    app = FastAPI()
    left: list[int] = []

    @app.websocket("/rooms/{room}")
    async def talk(websocket: WebSocket, room: str) -> None:
        await websocket.accept()
        try:
            while True:
                said = await websocket.receive_json()
                await websocket.send_json({"room": room, **said})
        except WebSocketDisconnect as error:
            left.append(error.code)

    server = serve(app)
    with connect("ws://example/rooms/tea", sock=server.connect().sock) as client:
        client.send('{"cups": 2}')
        assert client.recv() == '{"room":"tea","cups":2}'
        assert client.ping().wait(5)
        client.close(4001)
    wait_for(lambda: left == [4001])
    assert KEY in HANDSHAKE.values()
    assert server.ask(handshake("/nowhere"))[0] == 403
