"""WebSocket connections of Saddle apps: both ways to configure them, events, messages, encodings, rooms, refusals."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import skitai
from skitai.protocols.xmlrpc import parse_response
from skitai.saddle import Saddle
from tests.support.memory import Wire, wait_for
from tests.support.websocket import Socket, close, frame, handshake, inflated, opened

DEFLATE = {"Sec-WebSocket-Extensions": "permessage-deflate"}

Serve = Callable[..., Wire]


@pytest.fixture
def app() -> Saddle:
    return Saddle(__name__)


def test_a_handler_of_messages(saddle: Serve, app: Saddle) -> None:
    @app.route("/echo")
    @app.websocket_config(skitai.WS_SIMPLE)
    def echo(was: Any, message: Any) -> Any:
        return message

    talk = opened(saddle(app), "/echo")
    talk.text("hello")
    assert talk.hears() == "hello"
    talk.send(frame(2, b"\x00\xff"))
    assert talk.receive() == (2, b"\x00\xff")


def test_what_is_returned(saddle: Serve, app: Saddle) -> None:
    made = {"none": None, "number": 7, "object": {"a": 1}, "bytes": b"x", "last": "end"}

    @app.route("/")
    @app.websocket_config(skitai.WS_SIMPLE)
    def answer(was: Any, message: str) -> Any:
        return made[message]

    talk = opened(saddle(app))
    for each in made:
        talk.text(each)
    assert [talk.receive() for _ in range(4)] == [(1, b"7"), (1, b'{"a":1}'), (2, b"x"), (1, b"end")]


def test_events_of_the_decorator(saddle: Serve, app: Saddle) -> None:
    seen: list[Any] = []

    def onopen(was: Any) -> str:
        seen.append(("open", was.wsclient(), id(was.websocket)))
        return "welcome"

    async def onclose(was: Any) -> None:
        seen.append(("close", was.wsclient(), id(was.websocket)))

    @app.route("/")
    @app.websocket_config(skitai.WS_THREADSAFE, 1200, onopen, onclose)
    def answer(was: Any, message: str) -> None:
        assert not was.wshasevent()
        seen.append((message, was.wsclient(), id(was.websocket)))

    talk = opened(saddle(app))
    assert talk.hears() == "welcome"
    talk.text("hello")
    talk.send(close(1000))
    assert talk.is_closed_with() == 1000
    wait_for(lambda: len(seen) == 3)
    assert [each[0] for each in seen] == ["open", "hello", "close"]
    assert len({each[1:] for each in seen}) == 1, "one client, one object"


def test_events_of_the_handler(saddle: Serve, app: Saddle) -> None:
    left: list[Any] = []

    @app.route("/echo")
    def echo(was: Any, message: str, client_name: str) -> Any:
        if was.wshasevent():
            assert message == ""
            if was.wsinit():
                return was.wsconfig(skitai.WS_SIMPLE, 60)
            if was.wsopened():
                assert was.env["websocket.event"] == skitai.WS_EVT_OPEN
                assert was.env["websocket.client"] == was.wsclient()
                return f"Welcome {client_name}"
            if was.wsclosed():
                left.append(client_name)
            return None
        return f"{client_name} said: {message}"

    talk = opened(saddle(app), "/echo?client_name=steve")
    assert talk.hears() == "Welcome steve"
    talk.text("hi")
    assert talk.hears() == "steve said: hi"
    talk.client.close()
    wait_for(lambda: left == ["steve"])


def test_messages_of_one_client_stay_in_order(saddle: Serve, app: Saddle) -> None:
    running: list[int] = []

    @app.route("/")
    @app.websocket_config(skitai.WS_SIMPLE)
    def answer(was: Any, message: str) -> str:
        running.append(1)
        assert len(running) == 1, "two at once"
        if int(message) % 50 == 0:
            time.sleep(0.01)
        running.pop()
        return message

    talk = opened(saddle(app))
    talk.send(*(frame(1, str(number).encode()) for number in range(300)))
    assert [talk.hears() for _ in range(300)] == [str(number) for number in range(300)]


def test_coroutine_functions(saddle: Serve, app: Saddle) -> None:
    @app.route("/<int:number>")
    @app.websocket_config(skitai.WS_SIMPLE)
    async def answer(was: Any, number: int, message: str, more: int = 1) -> str:
        await asyncio.sleep(0)
        return f"{number + more} {message}"

    talk = opened(saddle(app), "/5?more=2")
    talk.text("cups")
    assert talk.hears() == "7 cups"


@pytest.mark.parametrize("in_loop", [False, True], ids=["function", "coroutine"])
def test_messages_share_what_is_on_was_with_no_other_message(saddle: Serve, app: Saddle, in_loop: bool) -> None:
    def answer(was: Any, message: str) -> str:
        assert was.websocket.open
        assert not was.wshasevent()
        found = [name for name in ("mine", "g", "request") if name in vars(was)]
        if message == "leave":
            was.mine = was.g.mine = was.request.uri
        return " ".join(found)

    async def answer_in_loop(was: Any, message: str) -> str:
        return answer(was, message)

    app.route("/")(app.websocket_config(skitai.WS_SIMPLE)(answer_in_loop if in_loop else answer))
    talk = opened(saddle(app))
    for message in ("look", "leave", "look", "leave", "leave", "look"):
        talk.text(message)
        assert talk.hears() == ""


def test_coroutine_functions_hear_one_message_after_the_other(saddle: Serve, app: Saddle) -> None:
    closed: list[str] = []
    at_work: list[str] = []

    async def onclose(was: Any) -> None:
        closed.append(was.env["websocket.event"])

    @app.route("/")
    @app.websocket_config(skitai.WS_SIMPLE, onclose=onclose)
    async def answer(was: Any, message: str) -> str:
        at_work.append(message)
        assert len(at_work) == 1, "two at once"
        await asyncio.sleep(0.001)
        at_work.clear()
        if message == "fail":
            raise LookupError(message)
        return message

    server = saddle(app)
    talk = opened(server)
    talk.send(*(frame(1, str(number).encode()) for number in range(30)))
    assert [talk.hears() for _ in range(30)] == [str(number) for number in range(30)]
    talk.text("fail")
    assert talk.receive()[1][:2] == (1011).to_bytes(2)
    talk.client.close()
    other = opened(server)
    other.text("bye")
    assert other.hears() == "bye"
    other.send(close(1000))
    assert other.is_closed_with() == 1000
    driver = server.services.pipeline.site.routes[0].app
    wait_for(lambda: closed == ["close"] * 2 and not driver.tasks and not driver.running)


def test_a_guard_before_messages(saddle: Serve, app: Saddle) -> None:
    async def admit(was: Any) -> str | None:
        return None if was.websocket.open else "never"

    @app.route("/")
    @app.websocket_config(skitai.WS_SIMPLE)
    @app.run_before(admit)
    def answer(was: Any, message: str) -> str:
        return message.upper()

    talk = opened(saddle(app))
    for message in ("one", "two"):
        talk.text(message)
        assert talk.hears() == message.upper()


def test_long_messages_are_compressed_where_nobody_waits_and_are_not_overtaken(saddle: Serve, app: Saddle) -> None:
    noise = os.urandom(100_000).hex()
    threads: list[str] = []

    @app.route("/")
    @app.websocket_config(skitai.WS_SIMPLE)
    async def answer(was: Any, message: str) -> str:
        socket = was.websocket
        socket.send(f"1 {noise}")
        socket.send("2")
        socket.send(f"3 {noise}")
        threads.extend(thread.name for thread in threading.enumerate() if thread.name.startswith("disk"))
        if message == "last":
            socket.close(4001)
        return "4"

    talk = opened(saddle(app), **DEFLATE)
    for message in ("first", "last"):
        talk.text(message)
        heard = [talk.receive() for _ in range(4)]
        texts = [inflated(payload) if first & 0x40 else payload for first, payload in heard]
        assert texts == [f"1 {noise}".encode(), b"2", f"3 {noise}".encode(), b"4"]
    assert talk.receive() == (8, (4001).to_bytes(2))
    assert threads, "nobody but the loop was there to compress them"


def test_who_says_more_long_messages_than_may_wait_is_closed(saddle: Serve, app: Saddle) -> None:
    noise = os.urandom(100_000).hex()

    @app.route("/")
    @app.websocket_config(skitai.WS_SIMPLE)
    async def answer(was: Any, message: str) -> None:
        for _ in range(20):
            was.websocket.send(noise)

    talk = opened(saddle(app, websocket_outbox_bytes=500_000), **DEFLATE)
    talk.text("go")
    while (got := talk.receive())[0] != 8:
        assert inflated(got[1]) == noise.encode()
    assert got[1][:2] == (1013).to_bytes(2)


def test_sending_from_any_thread(saddle: Serve, app: Saddle) -> None:
    @app.route("/")
    @app.websocket_config(skitai.WS_THREADSAFE)
    def answer(was: Any, message: str) -> str:
        socket = was.websocket

        def count() -> None:
            for number in range(100):
                socket.send(f"{number}")

        thread = threading.Thread(target=count)
        thread.start()
        thread.join()
        return "done"

    talk = opened(saddle(app))
    talk.text("go")
    assert [talk.hears() for _ in range(101)] == [*map(str, range(100)), "done"]


def test_nothing_follows_a_close_frame(saddle: Serve, app: Saddle) -> None:
    done: list[bool] = []

    @app.route("/")
    @app.websocket_config(skitai.WS_THREADSAFE)
    def answer(was: Any, message: str) -> None:
        socket = was.websocket

        def chatter() -> None:
            while socket.open:
                socket.send("x")
            done.append(True)

        threading.Thread(target=chatter).start()

    talk = opened(saddle(app))
    talk.text("go")
    assert talk.hears() == "x"
    talk.send(close(1000))
    while (got := talk.receive())[0] != 8:
        assert got == (1, b"x")
    assert talk.client.read() == b""
    wait_for(lambda: done)


def test_json(saddle: Serve, app: Saddle) -> None:
    @app.route("/")
    @app.websocket_config(skitai.WS_SIMPLE, encoding=skitai.WS_MSG_JSON)
    def answer(was: Any, message: Any) -> Any:
        return {"twice": message["number"] * 2}

    server = saddle(app)
    talk = opened(server)
    talk.text('{"number": 21}')
    assert talk.hears() == '{"twice":42}'
    talk.text("{")
    opcode, payload = talk.receive()
    assert (opcode, payload[:2]) == (8, (1007).to_bytes(2))


def test_xml_rpc(saddle: Serve, app: Saddle) -> None:
    @app.route("/")
    def answer(was: Any, message: Any) -> Any:
        if was.wsinit():
            return was.wsconfig(skitai.WS_SIMPLE, 60, skitai.WS_MSG_XMLRPC)
        return None if was.wshasevent() else message + 1

    talk = opened(saddle(app))
    talk.text(
        "<methodCall><methodName>x</methodName><params><param><value><int>41</int></value></param></params></methodCall>"
    )
    assert parse_response(talk.hears().encode()) == 42


def test_a_handler_that_fails(saddle: Serve, app: Saddle, caplog: pytest.LogCaptureFixture) -> None:
    @app.route("/")
    @app.websocket_config(skitai.WS_SIMPLE)
    def answer(was: Any, message: str) -> Any:
        raise LookupError(f"no {message}")

    talk = opened(saddle(app))
    talk.text("tea")
    opcode, payload = talk.receive()
    assert (opcode, payload[:2]) == (8, (1011).to_bytes(2))
    assert b"tea" not in payload
    wait_for(lambda: "no tea" in caplog.text)


def test_nothing_is_heard_after_an_error(saddle: Serve, app: Saddle) -> None:
    heard: list[str] = []

    @app.route("/")
    @app.websocket_config(skitai.WS_SIMPLE, 60, onclose=lambda was: heard.append("closed"))
    def fail(was: Any, message: str) -> None:
        heard.append(message)
        raise LookupError(message)

    talk = opened(saddle(app))
    talk.send(*(frame(1, str(each).encode()) for each in range(10)))
    opcode, payload = talk.receive()
    assert (opcode, payload[:2]) == (8, (1011).to_bytes(2))
    wait_for(lambda: "closed" in heard)
    assert heard == ["0", "closed"]


def test_an_app_that_is_replaced_says_so(saddle: Serve, app: Saddle) -> None:
    left: list[bool] = []

    @app.route("/")
    @app.websocket_config(skitai.WS_SIMPLE, 30, onclose=lambda was: left.append(True))
    def answer(was: Any, message: str) -> str:
        return message

    server = saddle(app)
    talk = opened(server)
    talk.text("hello")
    assert talk.hears() == "hello"
    driver = server.services.pipeline.site.routes[0].app
    ending = asyncio.run_coroutine_threadsafe(driver.shutdown(), server.services.loop)
    assert talk.receive()[1][:2] == (1012).to_bytes(2)
    ending.result(5)
    assert left == [True]


def test_nothing_said_for_too_long(saddle: Serve, app: Saddle) -> None:
    @app.route("/")
    @app.websocket_config(skitai.WS_SIMPLE, 30)
    def answer(was: Any, message: str) -> str:
        return message

    server = saddle(app)
    talk = opened(server)
    server.tick(25)
    talk.send(frame(10, b"skitai"))
    server.tick(31)
    while (got := talk.receive())[0] == 9:
        pass
    assert got[1][:2] == (1000).to_bytes(2)


def test_who_is_only_told_things_stays(saddle: Serve, app: Saddle) -> None:
    sockets: list[Any] = []

    @app.route("/")
    @app.websocket_config(skitai.WS_SIMPLE, 30, onopen=lambda was: sockets.append(was.websocket))
    def answer(was: Any, message: str) -> str:
        return message

    server = saddle(app)
    talk = opened(server)
    wait_for(lambda: bool(sockets))
    time.sleep(0.2)
    told = time.monotonic()
    sockets[0].send("news")
    assert talk.hears() == "news"
    server.on_loop(lambda: server.server.tick(told + 29.9))
    sockets[0].send("more")
    while (got := talk.receive())[0] == 9:
        pass
    assert got == (1, b"more")


# Who may connect


def test_origins(saddle: Serve, app: Saddle) -> None:
    @app.route("/")
    @app.websocket_config(skitai.WS_SIMPLE)
    def own(was: Any, message: str) -> str:
        return message

    @app.route("/friends", access_control_allow_origin=["https://friend.example"])
    @app.websocket_config(skitai.WS_SIMPLE)
    def friends(was: Any, message: str) -> str:
        return message

    server = saddle(app)
    opened(server)
    opened(server, Origin="http://example")
    assert server.ask(handshake(Origin="http://evil.example"))[0] == 403
    assert server.ask(handshake(Origin="null"))[0] == 403
    opened(server, "/friends", Origin="https://friend.example")
    assert server.ask(handshake("/friends", Origin="http://evil.example"))[0] == 403


def test_credentials_are_checked_and_never_asked_for(saddle: Serve, app: Saddle) -> None:
    app.users = {"hans": ("secret", False)}
    app.realm = "here"

    @app.route("/", authenticate="basic")
    @app.websocket_config(skitai.WS_SIMPLE)
    def answer(was: Any, message: str) -> str:
        return str(was.user)

    server = saddle(app)
    for fields in ({}, {"Authorization": "Basic aGFuczp3cm9uZw=="}):
        status, sent, _ = server.ask(handshake(**fields))
        assert status == 403
        assert "www-authenticate" not in sent
    talk = opened(server, Authorization="Basic aGFuczpzZWNyZXQ=")
    talk.text("who am I")
    assert "hans" in talk.hears()


def test_refusals(saddle: Serve, app: Saddle) -> None:
    @app.before_request
    def guard(was: Any) -> Any:
        return was.response("402 Payment Required", "pay") if "free" in was.request.query else None

    @app.route("/")
    def plain(was: Any, message: str, room: int) -> None:
        return None

    @app.route("/page")
    def page(was: Any) -> str:
        return "a page"

    server = saddle(app)
    assert server.ask(handshake("/nowhere"))[0] == 404
    assert server.ask(handshake("/?room=one"))[0] == 400
    assert server.ask(handshake("/"))[0] == 400
    assert server.ask(handshake("/?room=1"))[0] == 500, "it never says what it wants"
    assert server.ask(handshake("/?free=1"))[0] == 402
    assert server.ask(handshake("/page"))[2] == b"a page"
    assert server.ask(handshake("/?room=1", Sec_WebSocket_Version="8"))[0] == 426


def test_outside_of_connections(saddle: Serve, app: Saddle) -> None:
    @app.route("/")
    def index(was: Any) -> list[str]:
        said = []
        for ask in (lambda: was.websocket, lambda: was.wsconfig(skitai.WS_SIMPLE)):
            with pytest.raises(RuntimeError) as raised:
                ask()
            said.append(str(raised.value))
        assert was.wsclient() is None
        assert not was.wshasevent()
        return said

    assert saddle(app).get("/")[0] == 200
    with pytest.raises(ValueError, match="none of skitai.WS_SIMPLE"):
        app.websocket_config(99)
    with pytest.raises(ValueError, match="none of skitai.WS_MSG_TEXT"):
        app.websocket_config(skitai.WS_SIMPLE, encoding="yaml")


# Rooms


def test_a_room(saddle: Serve, app: Saddle) -> None:
    @app.route("/chat")
    def chat(was: Any, message: str, room_id: str) -> Any:
        client = was.wsclient()
        if was.wshasevent():
            if was.wsinit():
                return was.wsconfig(skitai.WS_GROUPCHAT, 60)
            if was.wsopened():
                return f"{client} entered"
            return f"{client} left"
        if message.startswith("@"):
            number, _, text = message[1:].partition(" ")
            return text, int(number)
        if message == "who":
            return ",".join(map(str, sorted(was.websocket.clients)))
        return f"{client}: {message}"

    server = saddle(app)

    def enter(room: int) -> tuple[Socket, str]:
        talk = opened(server, f"/chat?room_id={room}")
        return talk, talk.hears().split()[0]

    one, first = enter(1)
    two, second = enter(1)
    assert one.hears() == f"{second} entered"
    other, _ = enter(2)
    two.text("hello")
    assert one.hears() == two.hears() == f"{second}: hello"
    two.text(f"@{first} psst")
    assert one.hears() == "psst"
    one.text("who")
    assert one.hears() == two.hears() == ",".join(sorted((first, second), key=int))
    two.send(close(1000))
    assert two.is_closed_with() == 1000
    assert one.hears() == f"{second} left"
    other.text("alone")
    assert other.hears().endswith("alone"), "another room heard nothing"


def test_long_words_in_a_room_reach_those_who_compress_and_those_who_do_not(saddle: Serve, app: Saddle) -> None:
    noise = os.urandom(100_000).hex()

    @app.route("/chat")
    @app.websocket_config(skitai.WS_GROUPCHAT, 60)
    async def chat(was: Any, message: str, room: str) -> Any:
        for text in (f"{message} {noise}", "short"):
            was.websocket.send(text)
        return f"last {noise}"

    server = saddle(app)
    members = [opened(server, "/chat?room=a", **given) for given in (DEFLATE, DEFLATE, {})]
    for number in range(3):
        members[number].text(f"{number}")
        for member in members:
            heard = [member.receive() for _ in range(3)]
            texts = [inflated(payload) if first & 0x40 else payload for first, payload in heard]
            assert texts == [f"{number} {noise}".encode(), b"short", f"last {noise}".encode()]
