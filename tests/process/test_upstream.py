"""A mounted alias in a real server: its workers are replaced and its members restarted while clients ask."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.backends.test_websocket_requests import Server as Member
from tests.support.dialogue import Served, eventually
from tests.support.upstream import upstream

pytestmark = pytest.mark.process

SCRIPT = """\
import skitai

if __name__ == "__main__":
    skitai.alias("@pets", skitai.PROTO_HTTP, {servers})
    skitai.run(mount={{"/pets": "@pets"}}, {options})
"""


class Passing(Served):
    """A server that passes requests on."""

    def __init__(self, folder: Path, servers: list[str], **options: Any) -> None:
        self.servers = servers
        super().__init__(folder, engine="auto", keep_alive=5, **options)

    def script(self, before: str, options: str) -> str:
        return SCRIPT.format(servers=self.servers, options=options)


@pytest.fixture
def passing(tmp_path: Path) -> Iterator[Any]:
    made: list[Passing] = []

    def start(*servers: str, **options: Any) -> Passing:
        made.append(Passing(tmp_path, list(servers), **options))
        made[-1].start()
        return made[-1]

    yield start
    for each in made:
        each.stop()


def asked(port: int, path: str = "/pets/cats") -> tuple[int, bytes]:
    client = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        client.request("GET", path)
        answer = client.getresponse()
        return answer.status, answer.read()
    finally:
        client.close()


def test_what_the_server_behind_sees(passing: Any) -> None:
    with upstream() as cats:
        server = passing(cats.place)
        client = HTTPConnection("127.0.0.1", server.port, timeout=20)
        client.request("POST", "/pets/cats?a=1", b"hello", {"X-Real-IP": "9.9.9.9"})
        seen = json.loads(client.getresponse().read())
        client.close()
    assert (seen["method"], seen["path"], seen["body"]) == ("POST", "/cats", "hello")
    fields = seen["fields"]
    assert fields["x-forwarded-for"] == "127.0.0.1" and "x-real-ip" not in fields
    assert fields["x-forwarded-host"] == f"127.0.0.1:{server.port}" and fields["host"] == cats.place


def test_nobody_is_cut_when_workers_are_replaced(passing: Any) -> None:
    statuses: list[int] = []
    over = threading.Event()

    def ask(port: int) -> None:
        client = HTTPConnection("127.0.0.1", port, timeout=20)
        while not over.is_set():
            client.request("GET", "/pets/text/hello")
            answer = client.getresponse()
            statuses.append(answer.status if answer.read() == b"hello" else 0)
        client.close()

    with upstream() as cats:
        server = passing(cats.place)
        threads = [threading.Thread(target=ask, args=(server.port,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        eventually(lambda: len(statuses) > 50, "asked")
        assert server.ask("reload").ok
        server.hears_that("is ready$", times=4, within_s=30)
        so_far = len(statuses)
        eventually(lambda: len(statuses) > so_far + 50, "asked on")
        over.set()
        for thread in threads:
            thread.join(20)
    assert set(statuses) == {200}


def test_websockets_are_told_when_their_worker_leaves(passing: Any) -> None:
    with Member() as there:
        server = passing(f"127.0.0.1:{there.port}", workers=1, grace_s=5, websocket_close_s=4)
        url = f"ws://127.0.0.1:{server.port}/pets/"
        for number, code in ((signal.SIGHUP, 1012), (signal.SIGTERM, 1001)):
            with connect(url, proxy=None) as client:
                client.send("hello")
                assert client.recv(20) == "hello"
                server.signal(number)
                with pytest.raises(ConnectionClosed) as closed:
                    client.recv(20)
                assert closed.value.rcvd is not None and closed.value.rcvd.code == code
            server.hears_that("WebSocket to @pets .* closed: the server (stops|restarts)")
            if number == signal.SIGHUP:
                server.hears_that("left with code 0")
        assert server.leaves() == 0


def test_members_come_and_go(passing: Any) -> None:
    with upstream() as cats:
        with upstream() as dogs:
            server = passing(cats.place, dogs.place, workers=1, backend_eject_s=0.2)
            assert {asked(server.port)[0] for _ in range(10)} == {200}
            assert cats.asked and dogs.asked
            port = dogs.server_address[1]
        assert {asked(server.port)[0] for _ in range(10)} == {200}
        server.hears_that("@pets: .*another server is asked")
        with upstream(port) as dogs:
            eventually(lambda: asked(server.port)[0] == 200 and dogs.asked, "asked again")
    status, body = asked(server.port)
    assert status == 502 and cats.place.encode() not in body
    eventually(lambda: "GET /pets/cats: @pets: no connection to 127.0.0.1" in logged(server), "the reason")


def logged(server: Passing) -> str:
    app_log = server.var / "log" / "app.log"
    return server.said + (app_log.read_text() if app_log.exists() else "")
