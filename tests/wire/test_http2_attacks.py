"""Clients that cost more than they pay: the connection ends in time, the memory stays bounded, the others are served."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from h2.errors import ErrorCodes
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from skitai.saddle import Saddle, Was
from tests.support.http2 import Http2Client, http2
from tests.support.memory import Wire, mounted, wait_for, wire
from tests.wire.conftest import echo

MIB = 1 << 20

FIELDS = [(":method", "POST"), (":scheme", "http"), (":authority", "example"), (":path", "/")]


def memory() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


@pytest.fixture
def guarded(server: Wire) -> Iterator[Wire]:
    """The attacked server: afterwards it serves others, has let go of the attacker, and has not grown by more than 8 MiB."""
    assert http2(server).ask().status == 200
    before = memory()
    yield server
    assert http2(server).ask().status == 200
    assert server.get()[0] == 200
    assert memory() - before < 8 * MIB


def flood(client: Http2Client, data: bytes, times: int) -> int:
    """Send on and on without reading, until the server has enough; how often that was."""
    sent = 0
    client.client.sock.settimeout(0.5)
    try:
        for _ in range(times):
            client.client.send(data)
            sent += 1
    except (ConnectionError, TimeoutError):
        pass
    client.client.sock.settimeout(5)
    return sent


def ended_with(client: Http2Client) -> int:
    """The code of the last GOAWAY, past all else that was sent."""
    try:
        while data := client.client.sock.recv(65536):
            client.without_farewells(data)
    except ConnectionError:
        pass
    return client.ends[-1][1]


def head(encoder: Encoder, stream: int, ended: bool = True) -> bytes:
    flags = ["END_HEADERS", "END_STREAM"] if ended else ["END_HEADERS"]
    return bytes(HeadersFrame(stream, encoder.encode(FIELDS), flags=flags).serialize())


def test_rapid_reset(guarded: Wire) -> None:
    client = http2(guarded)
    encoder = Encoder()
    served = guarded.services.served
    data = b"".join(head(encoder, number) + RstStreamFrame(number, error_code=8).serialize() for number in range(1, 4001, 2))
    flood(client, data, 1)
    assert ended_with(client) == ErrorCodes.ENHANCE_YOUR_CALM
    assert guarded.services.served - served <= 201


def test_made_you_reset(guarded: Wire) -> None:
    client = http2(guarded)
    encoder = Encoder()
    served = guarded.services.served
    data = b"".join(
        head(encoder, number, ended=False) + WindowUpdateFrame(number, window_increment=0x7FFFFFFF).serialize()
        for number in range(1, 4001, 2)
    )
    flood(client, data, 1)
    assert ended_with(client) == ErrorCodes.ENHANCE_YOUR_CALM
    assert guarded.services.served - served <= 201


def test_a_stream_that_was_reset_counts_until_its_handler_ends(engine: str) -> None:
    release = threading.Event()
    running = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        running.append(1)
        release.wait(10)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"done"]

    with wire(mounted("/", app), engine=engine, threads=1) as server:
        client = http2(server)
        streams = []
        for _ in range(100):
            streams.append(client.begin())
        client.answer_pings()
        for stream in streams:
            client.h2.reset_stream(stream)
        client.flush()
        client.answer_pings()
        refused = client.begin()
        assert client.wait(refused).reset == ErrorCodes.REFUSED_STREAM
        release.set()
        (connection,) = server.services.connections
        wait_for(lambda: connection.core.ghosts == 0)
        assert client.ask().body == b"done"
        assert len(running) == 2  # those who waited in the queue were dropped


def test_a_task_that_ignores_its_reset_counts_until_it_ends(engine: str) -> None:
    release = threading.Event()
    running: list[int] = []

    async def deaf(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        running.append(1)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"begun", "more_body": True})
            while scope["path"] != "/quick" and not release.is_set():
                await asyncio.sleep(0.01)
                with contextlib.suppress(OSError):
                    await send({"type": "http.response.body", "body": b"x", "more_body": True})
            await send({"type": "http.response.body"})
        finally:
            running.pop()

    with wire(mounted("/", deaf), kind="asgi", engine=engine, http2_streams=20) as server:
        client = http2(server)
        most, refused = 0, 0
        for _ in range(60):
            client.h2.remote_settings[3] = 1000  # as one that does not care
            client.h2.remote_settings.acknowledge()
            stream = client.begin()
            while not client.answers[stream].status and client.answers[stream].reset is None:
                client.receive()
            most = max(most, len(running))
            if client.answers[stream].reset is None:
                client.h2.reset_stream(stream)
                client.flush()
            else:
                assert client.answers[stream].reset == ErrorCodes.REFUSED_STREAM
                refused += 1
        assert (most, refused) == (20, 40)
        assert http2(server).ask("/quick").status == 200
        release.set()
        connections: Any = server.services.connections
        wait_for(lambda: not running and not sum(each.core.ghosts for each in tuple(connections)))
        assert client.ask("/quick").status == 200


def test_a_head_without_end(guarded: Wire) -> None:
    client = http2(guarded)
    client.raw(HeadersFrame(1, b"\x82"))
    flood(client, ContinuationFrame(1, b"").serialize(), 100_000)
    assert ended_with(client) == ErrorCodes.ENHANCE_YOUR_CALM


def test_a_head_in_large_frames(guarded: Wire) -> None:
    client = http2(guarded)
    client.raw(HeadersFrame(1, b"\x82"))
    flood(client, ContinuationFrame(1, b"\x00" * 16384).serialize(), 64)
    assert ended_with(client) == ErrorCodes.ENHANCE_YOUR_CALM


def test_a_bomb_of_indexed_fields(guarded: Wire) -> None:
    client = http2(guarded)
    encoder = Encoder()
    block = encoder.encode([*FIELDS, ("x-bomb", "b" * 4000)])
    client.raw(HeadersFrame(1, block, flags=["END_HEADERS", "END_STREAM"]))
    bomb = encoder.encode(FIELDS) + b"\xbe" * 16000  # 64 million bytes, decoded
    client.raw(HeadersFrame(3, bomb, flags=["END_HEADERS", "END_STREAM"]))
    assert ended_with(client) == ErrorCodes.ENHANCE_YOUR_CALM


@pytest.mark.parametrize(
    "frame",
    [
        PingFrame(0, b"12345678"),
        PingFrame(0, b"12345678", flags=["ACK"]),
        SettingsFrame(0, settings={}),
        SettingsFrame(0, settings={4: 65535}),
        PriorityFrame(1, depends_on=0, stream_weight=15),
        WindowUpdateFrame(0, window_increment=1),
        b"\x00\x00\x00\xee\x00\x00\x00\x00\x00",
    ],
    ids=["ping", "pong", "settings", "window", "priority", "update", "unknown"],
)
def test_floods_of_small_frames(guarded: Wire, frame: Any) -> None:
    client = http2(guarded)
    data = frame if isinstance(frame, bytes) else frame.serialize()
    flood(client, data * 100, 1000)
    assert ended_with(client) == ErrorCodes.ENHANCE_YOUR_CALM


def test_a_flood_of_empty_data(guarded: Wire) -> None:
    client = http2(guarded)
    stream = client.begin("/", "POST", ended=False)
    flood(client, DataFrame(stream, b"").serialize() * 100, 1000)
    assert ended_with(client) == ErrorCodes.ENHANCE_YOUR_CALM


def test_a_flood_of_data_that_is_only_padding(guarded: Wire) -> None:
    client = http2(guarded)
    stream = client.begin("/", "POST", ended=False)
    flood(client, DataFrame(stream, b"", pad_length=10, flags=["PADDED"]).serialize() * 100, 1000)
    assert ended_with(client) == ErrorCodes.ENHANCE_YOUR_CALM


def test_pings_of_one_who_does_not_read(guarded: Wire) -> None:
    client = http2(guarded, acknowledge=False)
    flood(client, PingFrame(0, b"12345678").serialize() * 900, 1)
    assert guarded.get()[0] == 200
    client.answer_pings()
    assert client.ask().status == 200


def test_windows_kept_shut(engine: str) -> None:
    produced = 0

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        nonlocal produced
        start_response("200 OK", [("Content-Type", "application/x")])
        for _ in range(1000):
            produced += 1
            yield b"x" * 65536

    with wire(mounted("/", app), engine=engine) as server:
        client = http2(server)
        client.h2.update_settings({4: 0})
        client.flush()
        client.answer_pings()
        before = memory()
        streams = [client.begin() for _ in range(100)]
        wait_for(lambda: produced >= 32)
        client.answer_pings()
        assert produced <= 48  # two pieces each, until 2 MiB wait; then nobody begins
        assert memory() - before < 8 * MIB
        begun = [stream for stream in streams if client.answers[stream].status == 200]
        server.tick(1)
        server.tick(40)
        client.wait(*begun)
        assert {client.answers[stream].reset for stream in begun} == {ErrorCodes.CANCEL}
        next_ones = [stream for stream in streams if stream not in begun]
        while not client.answers[next_ones[0]].status:  # they have waited, but not for a thread
            client.receive()
        assert client.answers[next_ones[0]].status == 200
        assert memory() - before < 8 * MIB
        for stream in next_ones:
            client.h2.reset_stream(stream)
        client.flush()
        assert client.ask("/", "HEAD").status == 200
        (connection,) = server.services.connections
        wait_for(lambda: not connection.core.streams and not connection.gate.held)


WHOLE = b"x" * MIB


def whole(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "application/x")])
    return [WHOLE + environ["PATH_INFO"].encode()]


async def whole_too(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"].startswith("/late"):
        await asyncio.sleep(0.05)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": WHOLE + scope["path"].encode()})


plain, coroutine = Saddle(__name__), Saddle(__name__)


@plain.route("/<number>")
def whole_of_saddle(was: Was, number: str) -> bytes:
    return WHOLE + f"/{number}".encode()


@coroutine.route("/<number>")
async def whole_of_saddle_in_loop(was: Was, number: str) -> bytes:
    return whole_of_saddle(was, number)


APPS = [(whole, "wsgi"), (whole_too, "asgi"), (plain, "saddle"), (coroutine, "saddle")]


def shut(server: Wire) -> Http2Client:
    """A client that opens no windows."""
    client = http2(server, acknowledge=False)
    client.h2.update_settings({4: 0})
    client.flush()
    client.answer_pings()
    return client


def widen(client: Http2Client) -> None:
    """Let everything through."""
    client.h2.increment_flow_control_window(1 << 30)
    client.h2.update_settings({4: 1 << 30})
    client.flush()


@pytest.mark.parametrize(("app", "kind"), APPS, ids=["wsgi", "asgi", "saddle", "coroutine"])
def test_whole_bodies_that_nobody_takes(app: Any, kind: str, engine: str, threads: int) -> None:
    with wire(mounted("/", app), kind=kind, engine=engine, threads=threads) as server:
        client = shut(server)
        (connection,) = server.services.connections
        streams = [client.begin(f"/{number}") for number in range(60)]
        wait_for(lambda: connection.core.waiting > 2 * MIB)
        client.answer_pings()
        wait_for(lambda: len(connection.gate.held) >= 50)  # four more at most are at work
        time.sleep(0.1)
        assert connection.core.waiting < 10 * MIB
        assert http2(server).ask("/another").body == WHOLE + b"/another"
        assert server.get("/a-third")[0] == 200
        widen(client)
        client.wait(*streams)
        assert [client.answers[stream].body[MIB:] for stream in streams] == [b"/%d" % number for number in range(60)]
        assert not connection.gate.held
        assert not connection.core.waiting


def test_bodies_of_requests_that_wait(threads: int) -> None:
    with wire(mounted("/", echo), threads=threads, http2_waiting_bytes=0) as server:
        client = shut(server)
        streams = [client.begin("/", "POST", ended=False) for number in range(30)]
        for number, stream in enumerate(streams):
            client.send(stream, b"%d " % number * 1000, ended=True)
        widen(client)
        client.wait(*streams)
        for number, stream in enumerate(streams):
            assert client.answers[stream].body == b"POST /? " + b"%d " % number * 1000


def test_requests_that_wait_are_taken_back(threads: int) -> None:
    with wire(mounted("/", whole), threads=threads, http2_waiting_bytes=0) as server:
        client = shut(server)
        (connection,) = server.services.connections
        streams = [client.begin() for _ in range(30)]
        wait_for(lambda: len(connection.gate.held) == 26)
        for stream in streams[10:]:
            client.h2.reset_stream(stream)
        client.flush()
        client.answer_pings()
        assert len(connection.gate.held) == 6
        assert len(connection.exchanges) == 10
        wait_for(lambda: not connection.core.ghosts)
        client.client.close()
        wait_for(lambda: not server.services.connections)
        wait_for(lambda: len(server.log.lines) == 30)
        assert not connection.gate.held
        assert http2(server).ask().status == 200


def test_whole_bodies_of_many_connections(engine: str) -> None:
    options = {"http2_worker_waiting_bytes": 16 * MIB}
    with wire(mounted("/", whole_too), kind="asgi", engine=engine, **options) as server:
        before = memory()
        clients = [shut(server) for _ in range(4)]
        streams = [[client.begin("/late") for _ in range(40)] for client in clients]
        wait_for(lambda: len(server.log.lines) >= 100)
        assert memory() - before < 40 * MIB  # 16, and four for each connection; without bounds 160
        assert http2(server).ask("/another").body == WHOLE + b"/another"
        for client, asked in zip(clients, streams, strict=True):
            widen(client)
            client.wait(*asked)
            resets = [client.answers[stream].reset for stream in asked]
            assert {None} <= set(resets) <= {None, ErrorCodes.ENHANCE_YOUR_CALM}
            assert resets.count(None) >= 4


def test_bodies_that_nobody_takes(engine: str) -> None:
    with wire(mounted("/", hoard), kind="asgi", engine=engine) as server:
        client = http2(server)
        client.answer_pings()
        before = memory()
        for _ in range(99):
            stream = client.begin("/", "POST", ended=False)
            size = client.h2.local_flow_control_window(stream)
            if size:
                client.send(stream, b"x" * size)
        client.answer_pings()
        assert client.h2.outbound_flow_control_window == 0  # a MiB is all that a connection may have waiting here
        assert memory() - before < 16 * MIB
        assert http2(server).ask("/quick").status == 200


async def hoard(scope: Any, receive: Any, send: Any) -> None:
    """Answers /quick, and takes nothing of other bodies."""
    assert scope["type"] == "http"
    if scope["path"] != "/quick":
        await asyncio.sleep(60)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"quick"})


def test_ten_thousand_requests_on_one_connection(server: Wire) -> None:
    client = http2(server)
    client.answer_pings()
    (connection,) = server.services.connections
    server.on_loop(lambda: setattr(connection.core, "_requests", 9_998))
    assert client.ask().status == 200
    assert client.ask("/last").status == 200
    client.until_closed()
    assert client.ends[0] == (0x7FFFFFFF, 0)
    assert client.ends[-1][1] == ErrorCodes.NO_ERROR


def test_noise_breaks_nothing(guarded: Wire) -> None:
    for seed in range(40):
        client = http2(guarded)
        noise = bytes((seed * 31 + at * at * 7 + at // 3) % 256 for at in range(400))
        frame = len(noise).to_bytes(3, "big") + bytes([seed % 10, seed * 5 % 256]) + (seed % 4).to_bytes(4, "big") + noise
        flood(client, frame, 3)
        client.client.close()
