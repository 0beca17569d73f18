"""WebSocket in a real server: over TLS, in rooms over several workers, at a reload and at a stop."""

from __future__ import annotations

import datetime
import signal
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from skitai.net.x509 import make_self_signed
from tests.support.dialogue import eventually
from tests.support.site import Site

pytestmark = pytest.mark.process

APP = """
    import os

    import skitai
    from skitai.saddle import Saddle

    app = Saddle(__name__)
    left = []


    @app.route("/chat")
    @app.websocket_config(skitai.WS_GROUPCHAT, 60, lambda was: "ready")
    def chat(was, message, room):
        if message == "who":
            return str(len(was.websocket.clients)), was.wsclient()
        if message.startswith("pid"):
            return str(os.getpid()), was.wsclient()
        if message.startswith("bytes"):
            return message.encode()
        return message


    @app.websocket_config(skitai.WS_SIMPLE, 60, None, lambda was: was.log("it has left"))
    def echo(was, message):
        return message


    app.add_route("/echo", echo)
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Any]:
    made: list[Site] = []

    def start(**options: Any) -> Site:
        made.append(Site(tmp_path, APP, **options))
        return made[-1].start()

    yield start
    for each in made:
        each.stop()


def visit(site: Site, path: str = "/echo", **options: Any) -> ClientConnection:
    scheme = "wss" if "ssl" in options else "ws"
    port = site.hears_that(r"https?://127\.0\.0\.1:\d+").split("127.0.0.1:")[1].split()[0].strip("/,")
    return connect(f"{scheme}://127.0.0.1:{port}{path}", ping_interval=None, **options)


def enter(site: Site, open_ones: ExitStack) -> ClientConnection:
    client = open_ones.enter_context(visit(site, "/chat?room=tea"))
    while client.recv(10) != "ready":
        pass
    return client


def ask(client: ClientConnection, question: str) -> str:
    client.send(question)
    while (heard := client.recv(10)) == "ready":
        pass
    return str(heard)


def test_a_room_over_several_workers(site: Any) -> None:
    server = site(workers=2)
    clients: list[ClientConnection] = []
    with ExitStack() as open_ones:
        pids: set[str] = set()
        while len(pids) < 2 or len(clients) < 4:
            clients.append(enter(server, open_ones))
            assert len(clients) < 60, "all connections came to one worker"
            pids.add(ask(clients[-1], "pid"))
        eventually(lambda: all(ask(each, "who") == str(len(clients)) for each in clients), "all know of all")
        clients[0].send("hello")
        for each in clients:
            while (heard := each.recv(10)) == "ready":
                pass
            assert heard == "hello"
        clients[-1].send("bytes")
        assert all(each.recv(10) == b"bytes" for each in clients)
        clients.pop().close()
        eventually(lambda: all(ask(each, "who") == str(len(clients)) for each in clients), "who left is not counted")


def test_over_tls(site: Any, tmp_path: Path) -> None:
    pair = make_self_signed(["localhost"], 2, datetime.datetime.now(datetime.UTC))
    for suffix, data in zip(("crt", "key"), pair, strict=True):
        (tmp_path / f"server.{suffix}").write_bytes(data)
    server = site(certfile=str(tmp_path / "server.crt"), keyfile=str(tmp_path / "server.key"))
    trust = ssl.create_default_context(cafile=str(tmp_path / "server.crt"))
    with visit(server, ssl=trust, server_hostname="localhost") as client:
        for size in (5, 70_000, 1 << 20):
            client.send("x" * size)
            assert client.recv(10) == "x" * size


@pytest.mark.parametrize(("number", "code"), [(signal.SIGHUP, 1012), (signal.SIGTERM, 1001)], ids=["reload", "stop"])
def test_a_client_is_told_why_it_has_to_go(site: Any, number: signal.Signals, code: int) -> None:
    server = site()
    with visit(server) as client:
        client.send("hello")
        assert client.recv(10) == "hello"
        server.signal(number)
        with pytest.raises(ConnectionClosed):
            client.recv(20)
        assert client.close_code == code
    server.hears_that("it has left")
    eventually(lambda: any(" 101 " in line for line in server.lines), "logged")
    if number == signal.SIGTERM:
        assert server.leaves() == 0
    else:
        with visit(server) as again:
            again.send("hello")
            assert again.recv(10) == "hello"
