"""Responses that apps get wrong, leave unfinished or cannot deliver: the client can tell, and nobody else suffers."""

from __future__ import annotations

import asyncio
import random
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from skitai.exchange import BodyMode
from skitai.log import journal
from skitai.worker.site import Route, Site
from tests.support.memory import Wire, mounted, wait_for, wire

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def pieces(*body: bytes, **fields: str) -> Any:
    """A WSGI app that yields these."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [(name.replace("_", "-"), value) for name, value in fields.items()])
        return iter(body)

    return app


# The length that was promised


def test_less_than_its_length_cuts_the_connection(engine: str, threads: int) -> None:
    with wire(mounted("/", pieces(b"abc", b"de", Content_Length="9")), engine=engine, threads=threads) as server:
        client = server.connect()
        client.send(GET)
        assert client.read().endswith(b"\r\n\r\nabcde")


def test_more_than_its_length_is_left_out(engine: str, threads: int, caplog: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(journal.server, "propagate", True)
    with wire(mounted("/", pieces(b"abc", b"def", b"g", Content_Length="4")), engine=engine, threads=threads) as server:
        client = server.connect()
        for _ in range(2):
            assert client.ask(GET)[2] == b"abcd"
    assert "sends more than its Content-Length" in caplog.text


def test_an_error_within_a_stream_can_be_told_from_its_end(engine: str, threads: int) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"part"
        raise RuntimeError

    with wire(mounted("/", app), engine=engine, threads=threads) as server:
        client = server.connect()
        client.send(GET)
        assert client.read().endswith(b"4\r\npart\r\n")


# sys.exit() and its kin


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError])
def test_no_error_of_an_app_ends_a_thread_or_a_worker(engine: str, threads: int, error: type[BaseException]) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] == "/close":
            start_response("200 OK", [])
            return Closing()
        if environ["PATH_INFO"] == "/late":
            start_response("200 OK", [])
            return late()
        raise error

    def late() -> Iterator[bytes]:
        raise error
        yield b""

    class Closing:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"fine"])

        def close(self) -> None:
            raise error

    with wire(mounted("/", app), engine=engine, threads=1 if threads else 0) as server:
        for _ in range(2):
            assert server.get("/")[0] == 500
            assert server.get("/late")[0] == 500
            assert server.get("/close")[2] == b"fine"


class Failing:
    """An app that fails before it has taken anything."""

    body_mode = BodyMode.STREAM
    in_threads = False

    def handle(self, exchange: Any) -> None:
        raise RuntimeError


def test_the_body_of_a_request_that_failed_at_once_is_no_request(engine: str) -> None:
    with wire(mounted("/", pieces(b"other")), engine=engine) as server:
        failing = Route(mounted("/", None), Failing(), server.services.config)
        other = Route(mounted("/other/", None), server.services.pipeline.site.routes[0].app, server.services.config)
        server.on_loop(lambda: setattr(server.services.pipeline, "site", Site([failing, other])))
        client = server.connect()
        body = b"GET /other/ HTTP/1.1\r\nHost: a\r\n\r\n"
        post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
        client.send(post + body[:10])
        assert client.response()[0] == 500
        client.send(body[10:] + body)
        assert client.response()[2] == b"other"
        client.send(post + body + body)
        assert client.response()[0] == 500
        assert client.response()[2] == b"other"


# Large ones


def test_a_large_response_in_one_piece_is_whole(engine: str) -> None:
    body = random.Random(1).randbytes(1 << 20) * 30
    with wire(mounted("/", pieces(body)), engine=engine) as server:
        assert server.get()[2] == body


# One line for each


def test_every_request_has_one_line_however_its_client_leaves(engine: str) -> None:
    """Clients leave while threads begin and finish their answers: whoever comes first, one line is written."""
    chance = random.Random(3)
    stop = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "application/x")])
        if environ["PATH_INFO"] == "/stream":
            return iter([b"x" * 100, b"y" * 100])
        return [b"x" * 200_000] if environ["PATH_INFO"] == "/large" else [b"ok"]

    def disturb() -> None:
        while not stop.is_set():
            sum(range(1000))

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    disturber = threading.Thread(target=disturb)
    disturber.start()
    try:
        with wire(mounted("/", app), engine=engine, threads=3) as server:
            for _ in range(400):
                client = server.connect()
                server.clients.clear()
                for _ in range(chance.randint(1, 3)):
                    path = chance.choice([b"/", b"/stream", b"/large"])
                    client.send(b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab" % path)
                if chance.random() < 0.5:
                    time.sleep(chance.random() * 0.002)
                client.close()
            wait_for(lambda: not server.services.connections)
            wait_for(lambda: not server.services.pool.queued and not server.services.pool.busy)
            settled(server)
            assert len(server.log.lines) == server.services.served
            assert server.services.body_bytes == 0
    finally:
        stop.set()
        disturber.join()
        sys.setswitchinterval(before)


def settled(server: Wire) -> None:
    """Wait until the loop has nothing left to write."""
    for _ in range(3):
        server.on_loop(lambda: None)
    wait_for(lambda: not server.services.flushing)
