"""Clients that cost more than they pay: the connection ends in time, the memory stays bounded, the others are served."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
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

from tests.support.http2 import Http2Client, http2
from tests.support.memory import Wire, mounted, wait_for, wire

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
        while not all(client.answers[stream].status for stream in streams):
            client.receive()
        assert produced <= 200
        assert memory() - before < 24 * MIB
        server.tick(1)
        server.tick(40)
        client.wait(*streams)
        assert {client.answers[stream].reset for stream in streams} == {ErrorCodes.CANCEL}
        assert client.ask("/", "HEAD").status == 200
        (connection,) = server.services.connections
        assert not connection.core.streams


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
