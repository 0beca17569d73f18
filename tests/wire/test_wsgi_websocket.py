"""WebSocket connections of WSGI apps, Flask's above all, by the environ."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from flask import Flask, request

import skitai
from tests.support.memory import Preference, Wire, mounted, wait_for, wire
from tests.support.websocket import close, frame, handshake, opened

left: list[int] = []


def make_app() -> Flask:
    app = Flask(__name__)

    @app.route("/echo")
    def echo() -> Any:
        event, client = request.environ.get("websocket.event"), request.environ.get("websocket.client")
        if event == skitai.WS_EVT_INIT:
            request.environ["websocket.config"] = (skitai.WS_SIMPLE, 60, ("message",))
            return ""
        if event == skitai.WS_EVT_OPEN:
            return f"Welcome {client}"
        if event == skitai.WS_EVT_CLOSE:
            left.append(client)
        if event:
            return ""
        message = request.args["message"]
        if message == "direct":
            request.environ["websocket"].send(b"\xff\x00")
            return ""
        if message == "fail":
            raise LookupError("no such thing")
        return f"{request.args.get('name', '')}: {message}"

    @app.route("/chat")
    def chat() -> Any:
        if request.environ.get("websocket.event") == skitai.WS_EVT_INIT:
            request.environ["websocket.config"] = (skitai.WS_GROUPCHAT, 60, ("message", "room_id"))
            return ""
        return "" if request.environ.get("websocket.event") else request.args["message"]

    @app.route("/wrong")
    def wrong() -> Any:
        request.environ["websocket.config"] = (skitai.WS_SIMPLE, 60)
        return ""

    @app.route("/page")
    def page() -> str:
        return "a page"

    return app


@pytest.fixture
def server(engine: str, threads: int) -> Any:
    with wire(mounted("/", make_app()), engine=engine, threads=threads) as running:
        yield running


def test_flask(server: Wire) -> None:
    left.clear()
    talk = opened(server, "/echo?name=hans")
    welcome, number = talk.hears().split()
    assert welcome == "Welcome"
    talk.text("grüße & more")
    assert talk.hears() == "hans: grüße & more"
    talk.text("direct")
    assert talk.receive() == (2, b"\xff\x00")
    talk.send(*(frame(1, str(each).encode()) for each in range(50)))
    assert [talk.hears() for _ in range(50)] == [f"hans: {each}" for each in range(50)]
    talk.send(close(1000))
    assert talk.is_closed_with() == 1000
    wait_for(lambda: left == [int(number)])


def test_an_error_closes(server: Wire, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    talk = opened(server, "/echo")
    talk.hears()
    talk.text("fail")
    opcode, payload = talk.receive()
    assert (opcode, payload[:2]) == (8, (1011).to_bytes(2))
    assert "no such thing" in caplog.text


def test_a_room(server: Wire) -> None:
    one, two, other = (opened(server, f"/chat?room_id={room}") for room in (1, 1, 2))
    for each in (one, two, other):  # each is in its room once it hears itself
        each.text("here")
        while each.hears() != "here":
            pass
    two.text("hello")
    while (heard := one.hears()) != "hello":
        assert heard == "here"
    other.text("end")
    assert other.hears() == "end"


def test_who_does_not_take_it_answers(server: Wire) -> None:
    assert server.ask(handshake("/page"))[2] == b"a page"
    assert server.ask(handshake("/nowhere"))[0] == 404
    assert server.ask(handshake("/wrong"))[0] == 500


def test_origins(engine: str) -> None:
    pref = Preference()
    pref.access_control_allow_origin = ["https://friend.example"]
    with wire(mounted("/", make_app(), pref=pref), engine=engine) as server:
        assert server.ask(handshake("/echo", Origin="http://evil.example"))[0] == 403
        opened(server, "/echo", Origin="http://example")
        opened(server, "/echo", Origin="https://friend.example")


def test_an_app_that_is_replaced_says_so(server: Wire) -> None:
    talk = opened(server, "/echo")
    talk.hears()
    app = server.services.pipeline.site.routes[0].app
    ending = asyncio.run_coroutine_threadsafe(app.shutdown(), server.services.loop)
    assert talk.receive()[1][:2] == (1012).to_bytes(2)
    ending.result(5)
    talk.send(close(1012))
    assert talk.client.closed()
    late = opened(server, "/echo")  # the old code decides on it yet
    while (message := late.receive())[0] == 1:
        assert message[1].startswith(b"Welcome")
    assert message[1][:2] == (1012).to_bytes(2)
    late.client.close()
    wait_for(lambda: len(server.log.lines) == 2 and not app.talks)
