"""The ways to use WebSocket as the documentation tells them, in a server of two workers, by clients of another library."""

from __future__ import annotations

import json
import os
import signal
import xmlrpc.client
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.support.dialogue import eventually
from tests.support.site import Site

pytestmark = pytest.mark.process

APP = """
    import os
    import threading

    import skitai
    from skitai.saddle import Saddle

    app = Saddle(__name__)
    count = {}


    @app.before_mount
    def before_mount(wac):
        wac.register("tellers", {})


    class Teller:
        # Speaks from a thread of its own.

        def __init__(self, websocket):
            self.websocket = websocket
            self.stopped = threading.Event()

        def command(self, word):
            if word == "start":
                threading.Thread(target=self.run).start()
            elif word == "stop":
                self.stopped.set()
            else:
                self.websocket.send(f"what is {word}?")

        def run(self):
            self.websocket.send("began")
            self.stopped.wait(20)
            self.websocket.send("ended")


    @app.route("/teller")
    def teller(was, message):
        if was.wshasevent():
            if was.wsinit():
                was.wsconfig(skitai.WS_THREADSAFE, 7200)
            elif was.wsopened():
                was.tellers[id(was.websocket)] = Teller(was.websocket)
            elif was.wsclosed():
                was.tellers.pop(id(was.websocket)).stopped.set()
                was.log(f"{len(was.tellers)} tellers are left")
            return
        was.tellers[id(was.websocket)].command(message)


    @app.route("/count")
    def counted(was, message, client_name):
        client = was.wsclient()
        if was.wshasevent():
            if was.wsinit():
                count[client] = 0
                return was.wsconfig(skitai.WS_SIMPLE, 60)
            elif was.wsopened():
                assert message == "" and was.env.get("websocket.event") == skitai.WS_EVT_OPEN
                return f"welcome {client == was.env.get('websocket.client')}"
            elif was.wsclosed():
                del count[client]
                was.log(f"{len(count)} are counted")
            return
        count[client] += 1
        was.websocket.send(f"{client_name} said {message}")
        was.websocket.send(b"in bytes")
        return str(count[client])


    @app.route("/json")
    def as_json(was, message):
        if was.wsinit():
            return was.wsconfig(skitai.WS_SIMPLE, keep_alive_timeout=60, message_encoding=skitai.WS_MSG_JSON)
        elif was.wshasevent():
            return
        return {"got": message["query"], "from": message["offset"]}


    @app.route("/xmlrpc")
    @app.websocket_config(skitai.WS_SIMPLE, 60, None, None, skitai.WS_MSG_XMLRPC)
    async def as_xmlrpc(was, message):
        return [message, "too"]


    @app.route("/chat")
    def chat(was, message, room_id):
        client = was.wsclient()
        if was.wshasevent():
            if was.wsinit():
                return was.wsconfig(skitai.WS_GROUPCHAT, 60)
            elif was.wsopened():
                return f"{client} has entered"
            elif was.wsclosed():
                return f"{client} has left"
            return
        if message == "who":
            return " ".join(map(str, was.websocket.clients)), client
        if message == "pid":
            return str(os.getpid()), client
        if message.startswith("tell"):
            was.websocket.send("a secret", int(message.split()[1]))
            return
        return f"{client} said {message}"
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    running = Site(tmp_path, APP, workers=2)
    yield running.start()
    running.stop()


@pytest.fixture
def visit(site: Site) -> Iterator[Any]:
    with ExitStack() as open_ones:
        yield lambda path: open_ones.enter_context(connect(f"ws://127.0.0.1:{site.port}{path}", ping_interval=None))


def hear(client: ClientConnection, end: str) -> str:
    """The next message that ends so."""
    while not str(heard := client.recv(20)).endswith(end):
        pass
    return str(heard)


def test_a_thread_that_speaks(site: Site, visit: Any) -> None:
    client = visit("/teller")
    for said, heard in (("dance", "what is dance?"), ("start", "began"), ("stop", "ended")):
        client.send(said)
        assert client.recv(20) == heard
    client.close()
    site.hears_that("0 tellers are left")


def test_messages_to_one_function_with_events(site: Site, visit: Any) -> None:
    client = visit("/count?client_name=Ann%20B")
    assert client.recv(20) == "welcome True"
    for number in ("1", "2"):
        client.send("something")
        assert [client.recv(20) for _ in range(3)] == ["Ann B said something", b"in bytes", number]
    client.close()
    site.hears_that("0 are counted")


def test_messages_that_are_values(site: Site, visit: Any) -> None:
    client = visit("/json")
    client.send(json.dumps({"query": "x", "offset": 3}))
    assert json.loads(client.recv(20)) == {"got": "x", "from": 3}
    client.send("{")
    with pytest.raises(ConnectionClosed):
        client.recv(20)
    assert client.close_code == 1007
    client = visit("/xmlrpc")
    client.send(xmlrpc.client.dumps(({"a": [1, 2.5]},), "anything"))
    assert xmlrpc.client.loads(client.recv(20))[0][0] == [{"a": [1, 2.5]}, "too"]
    client.send(xmlrpc.client.dumps(("of no call",)))
    assert xmlrpc.client.loads(client.recv(20))[0][0] == ["of no call", "too"]


def test_a_group_over_workers_of_which_one_dies(site: Site, visit: Any) -> None:
    members: dict[int, ClientConnection] = {}
    homes: dict[int, int] = {}
    while len(set(homes.values())) < 2 or len(members) < 4:
        client = visit("/chat?room_id=tea")
        number = int(hear(client, " has entered").split()[0])
        client.send("pid")
        while not (heard := str(client.recv(20))).isdecimal():
            pass
        assert number not in members, "no two clients have one number, whatever worker they came to"
        members[number], homes[number] = client, int(heard)
        assert len(members) < 60, "all connections came to one worker"

    def present(number: int) -> set[int]:
        members[number].send("who")
        while " has " in (heard := str(members[number].recv(20))) or " said " in heard:
            pass
        return set(map(int, heard.split()))

    for each in members:
        eventually(lambda number=each: present(number) == set(members), "all know of all")
    one, *others = members
    far = next(each for each in others if homes[each] != homes[one])
    for at in range(50):
        members[one].send(str(at))
    for each in members.values():
        assert [hear(each, f" said {at}") for at in range(50)] == [f"{one} said {at}" for at in range(50)]
    members[one].send(f"tell {far}")
    assert hear(members[far], "a secret") == "a secret"
    victim = homes[far]
    os.kill(victim, signal.SIGKILL)
    with pytest.raises(ConnectionClosed):
        members[far].recv(20)
    left = {each for each in members if homes[each] != victim}
    eventually(lambda: present(one) == left, "those of a dead worker have left")
