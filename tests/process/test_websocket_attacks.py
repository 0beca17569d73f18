"""What clients of WebSocket may do to a real worker: its memory grows by so much at most, others are served, and it lives.

What is measured is the resident memory of the worker's process, while the attack lasts. The bounds say what an attack may
cost, with some 6 MB for the noise of allocators.
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
import termios
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.dialogue import eventually
from tests.support.memory import Client
from tests.support.site import Site
from tests.support.websocket import Socket, frame

pytestmark = pytest.mark.process

APP = """
    import os
    import time

    import skitai
    from skitai.saddle import Saddle

    app = Saddle(__name__)


    @app.route("/echo")
    @app.websocket_config(skitai.WS_SIMPLE, 60)
    async def echo(was, message):
        return message


    @app.route("/busy")
    @app.websocket_config(skitai.WS_SIMPLE, 60)
    def busy(was, message):
        while not os.path.exists("go"):
            time.sleep(0.01)
        return message


    @app.route("/chat")
    @app.websocket_config(skitai.WS_GROUPCHAT, 60, lambda was: "ready")
    def chat(was, message, room):
        return message
"""

KB, MB = 1 << 10, 1 << 20
NOISE = 6 * MB


class Worker:
    """A worker under attack.

    :ivar most: bytes by which it has grown, at most.
    """

    def __init__(self, site: Site) -> None:
        self.site = site
        self.witness = self.connect("/echo")
        assert site.process is not None
        (self.process,) = psutil.Process(site.process.pid).children()
        self.serves()
        self.before = self.process.memory_info().rss
        self.most = 0

    def connect(self, target: str, **fields: str) -> Socket:
        client = self.site.connect()
        client.sock.settimeout(30)
        return Socket(client, target, **fields)

    def serves(self) -> None:
        """Another client is answered; and how far it has grown is noted."""
        self.witness.text("still here")
        while (heard := self.witness.receive())[0] == 9:  # a ping of the server
            pass
        assert heard == (1, b"still here")
        if hasattr(self, "most"):
            self.most = max(self.most, self.process.memory_info().rss - self.before)

    def has_grown_within(self, limit: int) -> None:
        self.serves()
        assert self.process.is_running()
        print(f"grown by {self.most / MB:.1f} MB, {limit / MB:.1f} MB allowed")
        assert self.most < limit


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    site = Site(tmp_path, APP, threads=4)
    yield Worker(site.start())
    (tmp_path / "go").touch()
    site.stop()


def test_fragments_without_end(worker: Worker) -> None:
    """Ten clients keep a megabyte each, and may not keep more."""
    talks = [worker.connect("/echo") for _ in range(10)]
    for talk in talks:
        talk.send(frame(2, b"x", fin=False))
        for _ in range(1000):
            talk.send(frame(0, b"x" * KB, fin=False))
        worker.serves()
    worker.has_grown_within(10 * MB + NOISE)
    for talk in talks:
        talk.send(frame(0, b"x" * 64 * KB, fin=False))
        assert talk.is_closed_with() == 1009
    for _ in range(10):
        talk = worker.connect("/echo")
        talk.send(frame(1, fin=False) + frame(0, fin=False) * 1024)
        assert talk.is_closed_with() == 1008
        worker.serves()
    worker.has_grown_within(10 * MB + NOISE)


def test_frames_that_are_announced_and_do_not_come(worker: Worker) -> None:
    for _ in range(20):
        talk = worker.connect("/echo")
        talk.send(struct.pack("!BBQ", 0x82, 0x80 | 127, 1 << 40))
        assert talk.is_closed_with() == 1009
    talks = [worker.connect("/echo") for _ in range(50)]
    for talk in talks:
        talk.send(struct.pack("!BBQ", 0x82, 0x80 | 127, MB) + b"1234")
    worker.has_grown_within(NOISE)


def test_compressed_bombs(worker: Worker) -> None:
    """64 KB that would be 64 MB: no more than a message's worth of it is inflated."""
    made = zlib.compressobj(9, wbits=-15)
    bomb = (made.compress(bytes(64 * MB)) + made.flush(zlib.Z_SYNC_FLUSH))[:-4]
    assert len(bomb) < 66 * KB
    offer = {"Sec-WebSocket-Extensions": "permessage-deflate"}
    for _ in range(10):
        talk = worker.connect("/echo", **offer)
        talk.send(frame(2, bomb, bits=0x40))
        assert talk.is_closed_with() == 1009
        worker.serves()
    worker.has_grown_within(4 * MB + NOISE)


def test_pings_without_end(worker: Worker) -> None:
    for _ in range(10):
        talk = worker.connect("/echo")
        talk.send(frame(9, b"x" * 125) * 2000)
        heard = talk.receive()
        while heard == (10, b"x" * 125):
            heard = talk.receive()
        assert heard[0] == 8
        assert heard[1][:2] == (1008).to_bytes(2)
        worker.serves()
    worker.has_grown_within(NOISE)


def test_tiny_messages_without_end(worker: Worker) -> None:
    """Four clients whose handler does not come to an end are made to wait, and their messages as the bytes that they are."""
    tiny = frame(1, "é".encode()) * 30_000
    talks = [worker.connect("/busy") for _ in range(4)]
    threads = [threading.Thread(target=pour, args=(talk.client.sock, tiny), daemon=True) for talk in talks]
    for thread in threads:
        thread.start()
    eventually(lambda: worker.serves() or all(map(is_stuck, talks)), "all are made to wait", 30)
    worker.has_grown_within(4 * 256 * KB + NOISE)
    (worker.site.folder / "go").touch()
    for talk in talks:
        for _ in range(1000):
            assert talk.hears() == "é"
    for talk in talks:
        talk.client.sock.shutdown(socket.SHUT_RDWR)


def pour(sock: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):
        for _ in range(100):
            sock.sendall(data)


def is_stuck(talk: Socket) -> bool:
    """Whether much waits in the socket, as the server does not read."""
    waiting = fcntl.ioctl(talk.client.sock, termios.TIOCOUTQ, b"\0\0\0\0")
    return struct.unpack("i", waiting)[0] > 100_000


def test_who_does_not_listen_in_a_group(worker: Worker) -> None:
    """What is said in a group waits for a member within bounds; the others hear it all."""
    with contextlib.ExitStack() as open_ones:
        deaf = [small_reader(worker, open_ones) for _ in range(5)]
        others = [worker.connect("/chat?room=a") for _ in range(2)]
        said = "x" * 60_000
        for number in range(300):
            others[0].text(f"{number:03}{said}")
            for each in others:
                while (heard := each.hears()) == "ready":
                    pass
                assert heard[:3] == f"{number:03}"
            if number % 10 == 0:
                worker.serves()
        worker.has_grown_within(5 * 4 * MB + NOISE)
        for each in deaf:
            assert each.receive()[0] == 1
            heard = each.receive()
            while heard[0] == 1:
                heard = each.receive()
            assert heard[0] == 8
            assert heard[1][:2] == (1013).to_bytes(2)


def small_reader(worker: Worker, open_ones: contextlib.ExitStack) -> Socket:
    """A member whose system holds little for it."""
    sock = open_ones.enter_context(socket.socket())
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    sock.settimeout(30)
    sock.connect(("127.0.0.1", worker.site.port))
    return Socket(Client(sock), "/chat?room=a")


def test_many_that_say_nothing(worker: Worker) -> None:
    talks: list[Any] = [worker.connect("/echo") for _ in range(400)]
    worker.has_grown_within(400 * 24 * KB + NOISE)
    for talk in talks:
        talk.text("hello")
    assert all(talk.hears() == "hello" for talk in talks)
