"""Back-pressure both ways: whoever is slow makes the other side wait, not the memory grow; whoever leaves leaves nothing."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skitai.exchange import BodyMode
from skitai.worker.body import STREAM_BYTES
from skitai.worker.site import Route, Site
from tests.support.memory import Client, Wire, mounted, wait_for, wire
from tests.wire.conftest import echo

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
MIB = 1 << 20
LARGE = 200 * MIB
PIECE = b"x" * 65536


def memory() -> int:
    return int(psutil.Process().memory_info().rss)


def newest(server: Wire) -> Any:
    return max(server.services.connections, key=lambda connection: connection.opened)


def steady(value: Callable[[], int]) -> int:
    """The value once it no longer changes."""
    before = -1
    while (now := value()) != before:
        before = now
        time.sleep(0.05)
    return now


# Responses


class Source:
    """An app of every kind whose response is endless for all that matters."""

    def __init__(self, folder: Path) -> None:
        self.produced = 0
        self.path = folder / "large"
        with self.path.open("wb") as file:
            file.truncate(LARGE)

    def generator(self, environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "application/x"), ("Content-Length", str(LARGE))])
        for _ in range(LARGE // len(PIECE)):
            self.produced += len(PIECE)
            yield PIECE

    def file(self, environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "application/x")])
        return environ["wsgi.file_wrapper"](self.path.open("rb"))

    async def stream(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        fields = [(b"content-type", b"application/x"), (b"content-length", b"%d" % LARGE)]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        for _ in range(LARGE // len(PIECE)):
            self.produced += len(PIECE)
            await send({"type": "http.response.body", "body": PIECE, "more_body": True})
        await send({"type": "http.response.body"})


@pytest.mark.parametrize(("what", "kind"), [("generator", "wsgi"), ("file", "wsgi"), ("stream", "asgi")])
def test_a_client_that_does_not_read_costs_no_memory(what: str, kind: str, engine: str, tmp_path: Path) -> None:
    source = Source(tmp_path)
    with wire(mounted("/", getattr(source, what)), kind=kind, engine=engine) as server:
        client = server.connect()
        before = memory()
        client.send(GET)
        client.until(b"\r\n\r\n")
        connection = newest(server)
        assert steady(lambda: source.produced + connection.transport.get_write_buffer_size()) < 2 * MIB
        buffer = bytearray(MIB)
        left = LARGE - len(client.received)
        most, next_look = 0, left
        while left:
            left -= client.sock.recv_into(buffer)
            if left < next_look:
                most, next_look = max(most, memory()), left - 25 * MIB
        assert most - before < 8 * MIB
        assert client.ask(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")[0] == 200


def test_answers_do_not_pile_up_for_a_client_that_only_asks(server: Wire) -> None:
    body = b"y" * 50_000
    request = POST % len(body) + body
    client = server.connect()
    client.sock.setblocking(False)
    sent = 0

    def push() -> int:
        nonlocal sent
        while sent < 400 * len(request):
            try:
                sent += client.sock.send((request * 2)[sent % len(request) :])
            except BlockingIOError:
                break
        return sent

    assert steady(push) < 30 * len(request)
    connection = newest(server)
    assert connection.spilled
    assert connection.transport.get_write_buffer_size() < 2 * len(body)
    client.sock.settimeout(5)
    for _ in range(sent // len(request)):
        assert len(client.response()[2]) == len(body) + len("POST /? ")


def test_a_pipelined_flood_is_read_only_so_far_ahead(engine: str) -> None:
    go_on = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        assert go_on.wait(5)
        return echo(environ, start_response)

    with wire(mounted("/", app), engine=engine, read_ahead_bytes=1024) as server:
        client = server.connect()
        client.send(GET)
        wait_for(lambda: newest(server).exchange is not None)
        client.sock.setblocking(False)
        count = 1

        def push() -> int:
            nonlocal count
            try:
                while count < 2000:
                    assert client.sock.send(GET) == len(GET)
                    count += 1
            except BlockingIOError:
                pass
            return count

        assert steady(push) < 800
        assert newest(server)._paused
        assert len(newest(server)._buffer) <= 1024 + 262_144
        client.sock.settimeout(5)
        go_on.set()
        for _ in range(count):
            assert client.response()[0] == 200


# Bodies


def test_a_body_that_the_app_does_not_take_makes_the_client_wait(engine: str) -> None:
    takes = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        while not takes.is_set():
            await asyncio.sleep(0.01)
        size = 0
        more = True
        while more:
            message = await receive()
            size, more = size + len(message["body"]), message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"%d" % size})

    with wire(mounted("/", app), kind="asgi", engine=engine, max_post_body_size=20 * MIB) as server:
        client = server.connect()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (20 * MIB))
        wait_for(lambda: newest(server)._sink is not None)
        client.sock.setblocking(False)
        sent = 0

        def push() -> int:
            nonlocal sent
            try:
                while True:
                    sent += client.sock.send(PIECE)
            except BlockingIOError:
                return sent

        assert steady(push) < 2 * MIB
        assert newest(server)._sink._held <= STREAM_BYTES + 262_144
        takes.set()
        client.sock.settimeout(5)
        for _ in range((20 * MIB - sent) // len(PIECE)):
            client.send(PIECE)
        client.send(b"x" * ((20 * MIB - sent) % len(PIECE)))
        assert client.response()[2] == b"%d" % (20 * MIB)


def test_many_bodies_at_once_share_one_budget(engine: str) -> None:
    with wire(mounted("/", echo), engine=engine, worker_body_bytes=100_000, body_memory_bytes=80_000) as server:
        clients = [server.connect() for _ in range(10)]
        for client in clients:
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 70001\r\n\r\n" + b"x" * 70_000)
        wait_for(lambda: all(each.exchange and each.exchange.received == 70_000 for each in server.services.connections))
        wait_for(lambda: server.services.body_bytes <= 100_000)
        for client in clients:
            client.send(b"x")
            assert len(client.response()[2]) == 70_001 + len("POST /? ")
        assert server.services.body_bytes == 0


# Leaving


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


PHASES = {
    "connected": b"",
    "in its head": b"GET / HT",
    "in its body": POST % 100 + b"x" * 50,
    "in a large body": POST % 600_000 + b"x" * 400_000,
    "in a chunked body": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    "behind its body": POST % 300_000 + b"x" * 300_000,
    "in the app": GET,
    "in the response": b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n",
    "in many requests": GET * 20,
}


def leaving(environ: dict[str, Any], start_response: Any) -> Any:
    environ["wsgi.input"].read()
    if environ["PATH_INFO"] == "/large":
        start_response("200 OK", [("Content-Type", "application/x")])
        return (PIECE for _ in range(100))
    time.sleep(0.0005)
    return echo(environ, start_response)


@pytest.mark.parametrize("phase", PHASES)
def test_clients_that_vanish_leave_nothing(phase: str, engine: str) -> None:
    chance = random.Random(7)
    with wire(mounted("/", leaving), engine=engine, threads=2) as server:
        assert server.get()[0] == 200
        server.clients.pop().close()
        wait_for(lambda: not server.services.connections)
        before = descriptors()
        for _ in range(30):
            client = server.connect()
            server.clients.clear()
            client.send(PHASES[phase])
            if chance.random() < 0.5:
                client.sock.shutdown(socket.SHUT_WR)
            client.close()
        wait_for(lambda: not server.services.connections)
        wait_for(lambda: not server.services.pool.queued and not server.services.pool.busy)
        wait_for(lambda: server.services.body_bytes == 0)
        wait_for(lambda: descriptors() == before)
        assert server.get()[0] == 200


def test_five_hundred_vanishing_clients_leave_nothing(engine: str) -> None:
    chance = random.Random(7)
    with wire(mounted("/", leaving), engine=engine, threads=2) as server:
        assert server.get()[0] == 200
        server.clients.pop().close()
        wait_for(lambda: not server.services.connections)
        before = descriptors()
        waiting: list[Client] = []
        for _ in range(500):
            waiting.append(server.connect())
            server.clients.clear()
            data = PHASES[chance.choice([phase for phase in PHASES if "large" not in phase])]
            waiting[-1].sock.setblocking(False)
            waiting[-1].sock.send(data[: chance.randint(0, len(data))] or b"G")
            if len(waiting) > 20:
                waiting.pop(chance.randrange(len(waiting))).close()
        for client in waiting:
            client.close()
        wait_for(lambda: not server.services.connections)
        wait_for(lambda: server.services.body_bytes == 0)
        wait_for(lambda: descriptors() == before)
        assert server.get()[0] == 200


def test_an_async_app_is_told_that_its_client_vanished_in_its_body(engine: str) -> None:
    messages: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        while not messages or messages[-1] != "http.disconnect":
            messages.append((await receive())["type"])

    with wire(mounted("/", app), kind="asgi", engine=engine) as server:
        client = server.connect()
        client.send(POST % 100 + b"x" * 50)
        wait_for(lambda: messages == ["http.request"])
        client.close()
        wait_for(lambda: messages == ["http.request", "http.disconnect"])


# Threads and loop write to the same socket


class Writer:
    """Writes its pieces from a thread and heeds no advice to wait."""

    body_mode = BodyMode.STREAM
    in_threads = True

    def __init__(self, submit: Callable[[Callable[[], None]], None]) -> None:
        self.pieces: list[int] = []
        self._submit = submit

    def handle(self, exchange: Any) -> None:
        self._submit(lambda: self._write(exchange))

    def _write(self, exchange: Any) -> None:
        exchange.start(200, [("Content-Type", "application/x")])
        at = 0
        for size in self.pieces:
            exchange.write(numbered(at, size))
            at += size
        exchange.finish()


def numbered(at: int, size: int) -> bytes:
    """Bytes that tell their own place in the stream."""
    lead = at % 4
    numbers = b"".join(number.to_bytes(4, "big") for number in range(at // 4, (at + size) // 4 + 2))
    return numbers[lead : lead + size]


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def writing(request: pytest.FixtureRequest) -> Iterator[tuple[Wire, Writer]]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # so that threads meet the loop at every point
    with wire(mounted("/", echo), engine=request.param, threads=1) as server:
        services = server.services
        writer = Writer(lambda job: services.on_loop(services.pool.submit, job))
        site = Site([Route(mounted("/", None), writer, services.config)])
        server.on_loop(lambda: setattr(services.pipeline, "site", site))
        yield server, writer
    sys.setswitchinterval(before)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    pieces=st.lists(st.one_of(st.integers(1, 300), st.integers(1, 60_000)), min_size=1, max_size=60),
    reads=st.lists(st.integers(2_000, 50_000), min_size=1, max_size=10),
    pauses=st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.0005, 0.001]), min_size=1, max_size=7),
)
def test_bytes_stay_in_order_while_the_spill_begins_and_ends(
    writing: tuple[Wire, Writer], pieces: list[int], reads: list[int], pauses: list[float]
) -> None:
    server, writer = writing
    client = server.connect()
    newest(server).transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    writer.pieces = pieces
    client.send(b"GET / HTTP/1.0\r\n\r\n")
    received = b""
    turn = 0
    while data := client.sock.recv(reads[turn % len(reads)]):
        received += data
        time.sleep(pauses[turn % len(pauses)])
        turn += 1
    assert received.partition(b"\r\n\r\n")[2] == numbered(0, sum(pieces))
    client.close()


def test_what_is_on_its_way_to_the_loop_still_waits(writing: tuple[Wire, Writer]) -> None:
    server, _ = writing
    client = server.connect()
    connection = newest(server)

    def write_and_drain() -> bool:
        with connection.lock:
            connection.put(b"x" * 2_000_000)
        connection.resume_writing()  # as when the transport has written what came before
        return bool(connection.spilled)

    assert server.on_loop(write_and_drain), "or a thread would overtake what the loop has not written yet"
    client.exactly(2_000_000)
    wait_for(lambda: not connection.spilled)
