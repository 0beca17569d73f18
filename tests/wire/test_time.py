"""Who is waited for, for how long, and who is not: the worker's tick is called as if the time had passed."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from skitai.log import journal
from skitai.worker.connection import LINGER_LONGEST_S, LINGER_S
from tests.support.memory import Client, Wire, mounted, wait_for, wire
from tests.wire.conftest import echo

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"


def arrived(server: Wire, data: bytes) -> Client:
    """A client whose first bytes the server has read."""
    client = server.connect()
    connection = newest(server)
    client.send(data)
    wait_for(lambda: connection._head_since or connection.exchange is not None or connection.served)
    return client


def newest(server: Wire) -> Any:
    return max(server.services.connections, key=lambda connection: connection.opened)


def is_open(client: Client) -> bool:
    """Nothing came, not even the end."""
    client.sock.setblocking(False)
    try:
        client.sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    finally:
        client.sock.settimeout(5)
    return False


# The head


def test_a_client_that_never_speaks_is_let_go(server: Wire) -> None:
    client = server.connect()
    server.tick(9.9)
    assert is_open(client)
    server.tick(10.1)
    assert client.read() == b""
    wait_for(lambda: not server.services.connections)


def test_a_head_has_so_many_seconds_in_all(server: Wire) -> None:
    client = arrived(server, b"GET / HTTP/1.1\r\n")
    server.tick(9)
    client.send(b"X: y\r\n")
    server.tick(9.9)
    assert is_open(client)
    server.tick(10.1)
    assert client.response()[0] == 408
    assert client.closed()


def test_the_head_of_a_later_request_too() -> None:
    with wire(mounted("/", echo), head_s=3) as server:
        client = server.connect()
        assert client.ask(GET)[0] == 200
        client.send(b"GET ")
        wait_for(lambda: newest(server)._head_since)
        server.tick(3.1)
        assert client.response()[0] == 408


def test_a_head_never_takes_longer_than_any_idle_time() -> None:
    with wire(mounted("/", echo), head_s=10, request_timeout=2) as server:
        client = arrived(server, b"GET ")
        server.tick(2.1)
        assert client.response()[0] == 408


def test_an_empty_line_behind_a_request_begins_no_other(server: Wire) -> None:
    client = server.connect()
    assert client.ask(POST + b"0123456789\r\n")[0] == 200
    server.on_loop(lambda: None)
    server.tick(15)
    assert is_open(client), "it is idle, and idle clients have 30 s"
    server.tick(31)
    assert client.read() == b"", "and hear no 408"


# Bodies


def test_a_body_that_stops_coming_is_408(server: Wire) -> None:
    client = arrived(server, POST + b"abc")
    server.tick(4)
    assert is_open(client)
    server.tick(30.1)
    status, fields, _ = client.response()
    assert (status, fields["connection"]) == (408, "close")
    assert client.closed()


def test_a_body_that_comes_too_slowly_is_408() -> None:
    with wire(mounted("/", echo), rate_bytes=100, rate_grace_s=2, request_timeout=100) as server:
        client = arrived(server, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" + b"x" * 500)
        connection = newest(server)
        wait_for(lambda: connection.exchange.received == 500)
        server.tick(4.8)
        assert is_open(client)
        server.tick(5.2)
        assert client.response()[0] == 408


def test_what_a_slow_sender_has_sent_does_not_stay() -> None:
    with wire(mounted("/", echo)) as server:
        client = arrived(server, POST + b"abc")
        wait_for(lambda: server.services.body_bytes == 3)
        server.tick(31)
        assert client.response()[0] == 408
        wait_for(lambda: server.services.body_bytes == 0)


async def reads_its_body(scope: Any, receive: Any, send: Any) -> None:
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message["body"])
        if not message["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%d" % size})


def test_a_body_that_an_async_app_waits_for_in_vain_is_408() -> None:
    with wire(mounted("/", reads_its_body), kind="asgi") as server:
        client = arrived(server, POST + b"abc")
        wait_for(lambda: newest(server)._sink.waits(time.monotonic())[0] > 0)
        server.tick(4)
        assert is_open(client)
        server.tick(31)
        assert client.response()[0] == 408
        assert client.closed()
        server.tick(LINGER_S + 1)
        wait_for(lambda: not server.services.connections)


def test_a_body_that_comes_too_slowly_to_an_async_app_is_408() -> None:
    with wire(mounted("/", reads_its_body), kind="asgi", request_timeout=100) as server:
        client = arrived(server, POST + b"abc")
        wait_for(lambda: newest(server)._sink.waits(time.monotonic())[0] > 0)
        server.tick(6)
        assert client.response()[0] == 408


def test_a_body_that_an_async_app_does_not_take_is_not_the_clients_fault() -> None:
    takes = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        while not takes.is_set():
            await asyncio.sleep(0.01)
        await reads_its_body(scope, receive, send)

    with wire(mounted("/", app), kind="asgi") as server:
        client = arrived(server, POST)
        server.tick(3600)
        assert is_open(client)
        takes.set()
        client.send(b"0123456789")
        assert client.response()[2] == b"10"


def test_what_is_left_of_a_body_is_not_read_for_ever() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"I know enough"})

    with wire(mounted("/", app), kind="asgi") as server:
        client = server.connect()
        assert client.ask(POST)[2] == b"I know enough"
        client.send(b"0123")
        wait_for(lambda: newest(server)._left == 6)
        server.tick(29)
        assert is_open(client)
        server.tick(30.1)
        assert client.read() == b""


# Clients that read slowly


def streaming(size: int) -> Any:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "application/x")])
        return iter([b"x" * size])

    return app


def stuck(server: Wire) -> tuple[Client, Any]:
    """A client that has read the head of a large response, and its connection, where the rest waits."""
    client = server.connect()
    client.send(GET)
    client.until(b"\r\n\r\n")
    connection = newest(server)
    wait_for(lambda: connection.spilled and connection.transport.get_write_buffer_size() > 4_000_000)
    server.tick()
    server.on_loop(lambda: None)  # uvloop writes at the end of its turn: by now that turn has ended
    return client, connection


def test_a_client_that_reads_nothing_is_let_go(engine: str) -> None:
    with wire(mounted("/", streaming(5_000_000)), engine=engine) as server:
        stuck(server)
        server.tick(29)
        assert server.services.connections
        server.tick(31)
        wait_for(lambda: not server.services.connections)
        wait_for(lambda: any(" 200 " in line for line in server.log.lines))


def test_a_client_that_reads_too_slowly_is_let_go(engine: str) -> None:
    with wire(mounted("/", streaming(5_000_000)), engine=engine, rate_bytes=1_000_000) as server:
        client, connection = stuck(server)
        waits = connection.transport.get_write_buffer_size()
        client.exactly(400_000)
        wait_for(lambda: connection.transport.get_write_buffer_size() < waits)
        server.tick(4.9)
        assert server.services.connections
        server.tick(5.5)
        wait_for(lambda: not server.services.connections)


def test_a_client_that_reads_fast_enough_gets_everything(engine: str) -> None:
    with wire(mounted("/", streaming(5_000_000)), engine=engine, rate_bytes=10_000) as server:
        client, connection = stuck(server)
        got, seconds = 0, 0
        while connection.spilled:
            got += len(client.exactly(200_000))
            seconds += 10
            server.tick(seconds)
        assert got > 1_000_000
        client.until(b"\r\n0\r\n\r\n")


def test_what_the_kernel_holds_for_a_slow_client_counts_too(engine: str) -> None:
    with wire(mounted("/", streaming(5_000_000)), engine=engine) as server:
        client, connection = stuck(server)
        waits = connection.transport.get_write_buffer_size()
        for seconds in (20, 40):  # little enough for the kernel to want no more, and more than its grain
            client.sock.recv(35_000, socket.MSG_WAITALL)
            server.tick(seconds)
        assert connection.transport.get_write_buffer_size() == waits, "the kernel has asked for no more in all this time"
        assert server.services.connections


# Between requests


def test_an_idle_connection_is_closed_after_the_keep_alive_time(server: Wire) -> None:
    client = server.connect()
    assert client.ask(GET)[0] == 200
    server.tick(29)
    assert client.ask(GET)[0] == 200
    server.tick(30.5)
    assert client.read() == b""


def test_without_keep_alive_time_connections_close(engine: str) -> None:
    with wire(mounted("/", echo), engine=engine, keep_alive=0) as server:
        client = server.connect()
        status, fields, _ = client.ask(GET)
        assert (status, fields["connection"]) == (200, "close")
        assert client.closed()


def test_a_connection_grows_only_so_old(engine: str) -> None:
    with wire(mounted("/", echo), engine=engine, connection_age_s=60) as server:
        client = server.connect()
        assert "connection" not in client.ask(GET)[1]
        newest(server).opened -= 61
        server.tick()
        server.tick()
        assert client.ask(GET)[1]["connection"] == "close"
        assert client.closed()


# Threads


def test_requests_that_no_thread_takes_in_time_are_503(engine: str) -> None:
    go_on = threading.Event()
    begun: list[str] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        begun.append(environ["PATH_INFO"])
        assert go_on.wait(5)
        return echo(environ, start_response)

    with wire(mounted("/", app), engine=engine, threads=1, thread_wait_s=10) as server:
        holder = arrived(server, b"GET /holder HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_for(lambda: begun == ["/holder"])
        waiting = [arrived(server, GET), arrived(server, POST + b"0123456789")]
        wait_for(lambda: server.services.pool.queued == 2)
        server.tick(9.5)
        assert all(map(is_open, waiting))
        server.tick(10.5)
        for client in waiting:
            status, fields, _ = client.response()
            assert (status, fields["retry-after"]) == (503, "5")
        go_on.set()
        assert holder.response()[0] == 200
        assert waiting[0].ask(b"GET /after HTTP/1.1\r\nHost: a\r\n\r\n")[0] == 200
        assert begun == ["/holder", "/after"], "those that were told to come again are not begun"


# What takes as long as it takes


def test_a_long_handler_is_waited_for(engine: str) -> None:
    go_on, inside = threading.Event(), threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        inside.set()
        assert go_on.wait(5)
        return echo(environ, start_response)

    with wire(mounted("/", app), engine=engine, threads=1) as server:
        client = arrived(server, POST + b"0123456789")
        assert inside.wait(5)
        server.tick(3600)
        server.tick(7200)
        assert is_open(client)
        go_on.set()
        assert client.response()[0] == 200


def test_a_long_async_handler_is_waited_for(engine: str) -> None:
    go_on = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        while not go_on.is_set():
            await asyncio.sleep(0.01)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"late"})

    with wire(mounted("/", app), kind="asgi", engine=engine) as server:
        client = arrived(server, GET)
        server.tick(3600)
        assert is_open(client)
        go_on.set()
        assert client.response()[2] == b"late"


def test_a_stream_that_the_app_paces_may_pause(engine: str) -> None:
    go_on = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        yield b"data: 1\n\n"
        assert go_on.wait(5)
        yield b"data: 2\n\n"

    with wire(mounted("/", app), engine=engine) as server:
        client = server.connect()
        client.send(GET)
        client.until(b"data: 1\n\n")
        server.tick(3600)
        server.tick(7200)
        go_on.set()
        client.until(b"data: 2\n\n")


# Closing under a client that still sends


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    ],
)
def test_a_client_that_is_still_sending_can_read_why_it_was_refused(server: Wire, request_bytes: bytes, status: int) -> None:
    client = server.connect()
    client.send(request_bytes)
    for _ in range(20):
        client.send(b"x" * 50_000)
    assert client.response()[0] == status
    assert client.closed()
    server.tick(LINGER_S + 0.5)
    wait_for(lambda: not server.services.connections)


def test_a_refused_client_may_go_on_sending_for_a_while_but_not_for_ever(server: Wire) -> None:
    client = server.connect()
    assert client.ask(b"nonsense\r\n\r\n")[0] == 400
    connection = newest(server)
    wait_for(lambda: connection.lingering)
    before = connection.due
    wait_for(lambda: (client.send(b"more"), connection.due > before)[1])
    assert connection.due <= connection.opened + LINGER_LONGEST_S + 5
    server.tick(LINGER_LONGEST_S + 1)
    wait_for(lambda: not server.services.connections)


def test_what_follows_the_last_request_does_not_cost_its_answer(engine: str) -> None:
    with wire(mounted("/", echo), engine=engine, keep_alive_requests=1) as server:
        client = server.connect()
        connection = newest(server)
        client.send(GET + GET * 1500)
        assert client.response()[1]["connection"] == "close"
        wait_for(lambda: connection.lingering)
        assert client.read() == b""


# One bad connection


def test_a_connection_that_fails_does_not_stop_time_for_the_others(server: Wire, caplog: Any, monkeypatch: Any) -> None:
    broken, idle = server.connect(), server.connect()
    assert broken.ask(GET)[0] == idle.ask(GET)[0] == 200
    monkeypatch.setattr(journal.server, "propagate", True)
    victim = min(server.services.connections, key=lambda connection: connection.opened)
    victim.due = "never"
    server.tick(31)
    assert broken.closed() and idle.closed()
    assert "could not be looked after" in caplog.text
