"""What goes wrong behind a mounted alias, and before it: the right status, or a clean end, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
import threading
import time

import pytest

from skitai.config.aliases import Means
from skitai.worker.http1.exchange import Http1Exchange
from skitai.worker.upstream.relay import Relay
from tests.support.members import Noting, before, passing, served, settled, under_way
from tests.support.memory import Client, Wire, wait_for
from tests.support.ports import free_port
from tests.support.scripted import Peer, open_descriptors

GET = b"GET /pets/ HTTP/1.1\r\nHost: zoo\r\n\r\n"


async def nothing(peer: Peer) -> None:
    await peer.request()


async def reset(peer: Peer) -> None:
    await peer.request()
    peer.reset()


def saying(data: bytes, wait: bool = False) -> object:
    async def talk(peer: Peer) -> None:
        await peer.request()
        await peer.say(data)
        if wait:
            await peer.reader.read()

    return talk


@pytest.mark.parametrize(
    "talk",
    [
        nothing,
        reset,
        saying(b"HTTP/1.1 200 OK\r\nContent-Le"),
        saying(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
        saying(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"),
        saying(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
        saying(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 300 + b"\r\n"),
        saying(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70000 + b"\r\n\r\n", wait=True),
        saying(b"HTTP/1.1 200 OK\r\nA\x00: 1\r\n\r\n"),
        saying(b"HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
        saying(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
        saying(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 20),
    ],
)
def test_no_answer_is_a_502(talk: object, caplog: pytest.LogCaptureFixture) -> None:
    with before(talk) as server, caplog.at_level(logging.WARNING):  # type: ignore[arg-type]
        client = server.connect()
        for _ in range(2):
            status, _, body = client.ask(GET)
            assert status == 502 and b"127.0.0.1" not in body
        settled(server)
    assert any("@pets: " in record.getMessage() for record in caplog.records)


def test_nobody_there_is_a_502_with_the_reason_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    with passing([f"127.0.0.1:{port}"]) as server, caplog.at_level(logging.ERROR):
        status, _, body = server.ask(GET)
        settled(server)
    assert status == 502 and str(port).encode() not in body
    assert f"GET /pets/: @pets: no connection to 127.0.0.1:{port}: Connection refused" in caplog.text


def test_too_slow_for_its_first_byte_is_a_504() -> None:
    async def talk(peer: Peer) -> None:
        await peer.request()
        await peer.reader.read()

    for options in ({"upstream_first_byte_s": 0.2}, {"means": Means(timeout=0.2)}):
        with before(talk, **options) as server:
            assert server.ask(GET)[0] == 504
            settled(server)


@pytest.mark.parametrize("head", [b"Content-Length: 10\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"])
@pytest.mark.parametrize("ending", ["close", "reset", "silence", "garbage"])
def test_the_end_within_an_answer_ends_the_clients_connection(head: bytes, ending: str) -> None:
    async def talk(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\n" + head)
        await asyncio.sleep(0.05)
        if ending == "reset":
            peer.reset()
        elif ending == "silence":
            await peer.reader.read()
        elif ending == "garbage" and b"chunked" in head:
            await peer.say(b"zz\r\n")
            await peer.reader.read()

    with before(talk, upstream_idle_s=0.2) as server:
        client = server.connect()
        client.send(GET)
        data = client.read()
        assert data.endswith(b"abc\r\n" if b"chunked" in head else b"abc")
        settled(server)


def test_more_than_was_said_ends_the_connection_to_the_server_alone() -> None:
    async def talk(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")

    with served(talk) as running, passing([f"127.0.0.1:{running[0].port}"]) as server:
        client = server.connect()
        assert [client.ask(GET)[2] for _ in range(3)] == [b"ok"] * 3
        assert running[0].connections == 3


def test_a_kept_connection_that_is_dead_is_not_noticed_by_clients() -> None:
    async def talk(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b"once")
        await peer.request()  # and closes without an answer

    with served(talk) as running, passing([f"127.0.0.1:{running[0].port}"]) as server:
        client = server.connect()
        assert [client.ask(GET)[2] for _ in range(4)] == [b"once"] * 4
        assert running[0].connections == 4


def test_what_must_not_be_repeated_is_not() -> None:
    asked = []

    async def talk(peer: Peer) -> None:
        asked.append(await peer.request())

    cats = Noting()
    with served(talk, cats) as running, passing([f"127.0.0.1:{each.port}" for each in running]) as server:
        seen = [
            server.ask(b"POST /pets/ HTTP/1.1\r\nHost: zoo\r\nContent-Length: 2\r\n\r\nhi")[0],
            server.ask(b"POST /pets/ HTTP/1.1\r\nHost: zoo\r\nContent-Length: 2\r\n\r\nhi")[0],
        ]
        settled(server)
    assert sorted(seen) == [200, 502] and len(asked) == len(cats.asked) == 1


def test_another_member_is_asked_before_the_first_byte(caplog: pytest.LogCaptureFixture) -> None:
    cats = Noting()
    with served(cats, reset) as running, caplog.at_level(logging.WARNING):
        places = [f"127.0.0.1:{running[0].port}", f"127.0.0.1:{running[1].port}", f"127.0.0.1:{free_port()}"]
        with passing(places, backend_eject_s=0) as server:
            for _ in range(9):
                assert server.ask(GET)[::2] == (200, b"meow")
            # nothing of it was read yet, and it was sent nowhere
            post = b"POST /pets/ HTTP/1.1\r\nHost: zoo\r\nContent-Length: 2\r\n\r\nhi"
            assert 200 in [server.ask(post)[0] for _ in range(3)]
            settled(server)
    assert "another server is asked" in caplog.text


def test_a_member_that_fails_is_left_alone_for_a_while() -> None:
    cats, dead = Noting(), f"127.0.0.1:{free_port()}"
    with served(cats, reset) as running, passing([f"127.0.0.1:{each.port}" for each in running] + [dead]) as server:
        for _ in range(12):
            assert server.ask(GET)[0] == 200
        assert running[1].connections == 1


def test_statuses_count_as_failures_by_option() -> None:
    cats, ill = Noting(), Noting(b"ill", status="503 Ill")
    with before(ill, cats, upstream_eject_statuses=("503",)) as server:
        for _ in range(6):
            assert server.ask(GET)[::2] == (200, b"meow")
        settled(server)
    assert len(ill.asked) == 1
    with before(ill, ill, upstream_eject_statuses=("503",)) as server:
        assert server.ask(GET)[::2] == (503, b"ill")  # the last one's answer is passed on
        settled(server)


def test_weights_count() -> None:
    one, two = Noting(), Noting()
    with served(one, two) as running:
        places = [f"127.0.0.1:{running[0].port} 1", f"127.0.0.1:{running[1].port} 3"]
        with passing(places) as server:
            client = server.connect()
            for _ in range(40):
                client.ask(GET)
    assert (len(one.asked), len(two.asked)) == (10, 30)


def test_the_least_busy_is_asked() -> None:
    release = asyncio.Event()

    async def slow(peer: Peer) -> None:
        while True:
            await peer.request()
            await release.wait()
            await peer.answer(b"slow")

    cats = Noting()
    with before(slow, cats) as server:
        waiting = [server.connect() for _ in range(2)]
        for client in waiting:
            client.send(GET)
        wait_for(lambda: sum(under_way(server)) == 1 and len(cats.asked) == 1)
        for _ in range(5):
            assert server.ask(GET)[2] == b"meow"


def test_members_are_asked_how_they_are() -> None:
    well = False

    async def changing(peer: Peer) -> None:
        while True:
            asked = await peer.request()
            good = well or asked.line != "GET /health HTTP/1.1"
            await peer.answer(b"changing", status="200 OK" if good else "500 Oh")

    cats = Noting()
    with before(changing, cats, upstream_check="/health", upstream_check_s=0.1) as server:
        wait_for(lambda: server.ask(GET)[2] == b"meow" and server.ask(GET)[2] == b"meow")
        assert [server.ask(GET)[2] for _ in range(6)] == [b"meow"] * 6
        well = True
        wait_for(lambda: server.ask(GET)[2] == b"changing")


def test_a_full_queue_is_a_503() -> None:
    async def slow(peer: Peer) -> None:
        await peer.request()
        await peer.reader.read()

    with before(slow, upstream_connections=1, upstream_queue=1, upstream_wait_s=0.5) as server:
        clients = [server.connect() for _ in range(3)]
        clients[0].send(GET)
        wait_for(lambda: under_way(server) == [1])
        clients[1].send(GET)
        wait_for(lambda: under_way(server) == [2])
        status, fields, _ = clients[2].ask(GET)
        assert (status, fields["retry-after"]) == (503, "5")
        assert clients[1].response()[0] == 503  # it has waited for long enough
        clients[0].close()
        settled(server)


@pytest.mark.parametrize("when", ["before", "within", "uploading", "waiting"])
def test_a_client_that_leaves_frees_the_server(when: str) -> None:
    begun, freed = [], []

    async def talk(peer: Peer) -> None:
        begun.append(await (peer.head() if when == "uploading" else peer.request()))
        if when == "within":
            await peer.say(b"HTTP/1.1 200 OK\r\n\r\nabc")
        try:
            while await peer.reader.read(1000):
                pass
        finally:
            freed.append(when)

    with before(talk, upstream_connections=1) as server:
        blocking = server.connect()
        if when == "waiting":
            blocking.send(GET)
            wait_for(lambda: under_way(server) == [1])
        client = server.connect()
        client.send(GET if when != "uploading" else b"PUT /pets/ HTTP/1.1\r\nHost: zoo\r\nContent-Length: 900000\r\n\r\nabc")
        wait_for(lambda: under_way(server) == [1 + (when == "waiting")])
        wait_for(lambda: begun)
        if when == "within":
            client.until(b"abc")
        client.close()
        wait_for(lambda: under_way(server) == [0 + (when == "waiting")])
        blocking.close()
        settled(server)
        wait_for(lambda: freed == [when])


def small(client: Client) -> None:
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)


def test_a_slow_client_makes_the_server_wait() -> None:
    sent = 0

    async def talk(peer: Peer) -> None:
        nonlocal sent
        peer.writer.transport.set_write_buffer_limits(65536)
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 30000000\r\n\r\n")
        for _ in range(300):
            await peer.say(b"x" * 100_000)
            sent += 100_000

    with before(talk) as server:
        client = server.connect()
        small(client)
        client.send(GET)
        client.until(b"\r\n\r\n")
        open_ones = server.services.connections
        held = -1
        while held != sent or not sent:  # until it stands still
            held = sent
            time.sleep(0.1)
        assert sent < 20_000_000  # the rest of what was sent is in sockets, nearly all of it
        assert server.on_loop(lambda: sum(each.transport.get_write_buffer_size() for each in open_ones)) < 1 << 20
        left = 30_000_000 - len(client.received)
        while left:
            left -= len(client.sock.recv(min(left, 1 << 20)))
        settled(server)
    assert sent == 30_000_000


def test_a_slow_server_makes_the_client_wait() -> None:
    go = asyncio.Event()
    got = 0

    async def talk(peer: Peer) -> None:
        nonlocal got
        await peer.head()
        while not go.is_set():
            await asyncio.sleep(0.01)
        while got < 30_000_000:
            got += len(await peer.reader.read(1 << 20))
        await peer.answer(b"thanks")

    with before(talk, max_post_body_size=1 << 30) as server:
        client = server.connect()
        client.send(b"POST /pets/ HTTP/1.1\r\nHost: zoo\r\nContent-Length: 30000000\r\n\r\n")
        client.sock.settimeout(0.3)
        sent = 0
        try:
            while sent < 30_000_000:
                sent += client.sock.send(b"x" * 100_000)
        except TimeoutError:
            pass
        assert sent < 20_000_000
        go.set()
        client.sock.settimeout(20)
        client.send(b"x" * (30_000_000 - sent))
        assert client.response()[2] == b"thanks"
        settled(server)


def test_no_descriptor_is_left_behind() -> None:
    turns = 0

    async def talk(peer: Peer) -> None:
        nonlocal turns
        turns += 1
        await peer.request()
        match turns % 5:
            case 0:
                peer.reset()
            case 1:
                await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\nabc")
            case 2:
                await peer.say(b"garbage")
            case 3:
                await peer.answer(b"fine")
            case _:
                await peer.say(b"HTTP/1.1 200 OK\r\n\r\nabc")

    with before(talk) as server:
        for _ in range(5):
            with_closed(server)
        wait_for(lambda: not server.services.connections)
        before_all = open_descriptors()
        for _ in range(200):
            with_closed(server)
        settled(server)
        wait_for(lambda: not server.services.connections)
        wait_for(lambda: open_descriptors() <= before_all + 2)


def with_closed(server: Wire) -> None:
    client = server.connect()
    client.send(GET)
    if server.services.served % 3:
        client.sock.recv(10)
    client.close()
    server.clients.remove(client)


@pytest.mark.parametrize(
    "request_", [GET, b"PUT /pets/ HTTP/1.1\r\nHost: zoo\r\nContent-Length: 5\r\n\r\nhello"], ids=["get", "put"]
)
@pytest.mark.parametrize("talk", [Noting(), nothing, reset, saying(b"garbage"), saying(b"HTTP/1.1 200 OK\r\n\r\nsome")])
def test_nothing_of_a_request_waits_for_the_garbage_collector(talk: object, request_: bytes) -> None:
    def alive() -> int:
        return sum(type(each) in (Http1Exchange, Relay) for each in gc.get_objects())

    with before(talk) as server:  # type: ignore[arg-type]
        client = server.connect()
        client.ask(request_)
        settled(server)
        gc.collect()
        gc.disable()
        try:
            at_first = alive()
            for _ in range(20):
                server.ask(request_)
            settled(server)
            server.on_loop(lambda: None)
            wait_for(lambda: alive() <= at_first + 1)
        finally:
            gc.enable()


@pytest.mark.parametrize("length", [b"Content-Length: 30000000", b"Transfer-Encoding: chunked"])
def test_an_answer_before_a_reset_is_the_answer(length: bytes) -> None:
    async def talk(peer: Peer) -> None:
        await peer.head()
        await peer.answer(b"too much", "Connection: close", status="413 Content Too Large")
        peer.reset()

    with before(talk, max_post_body_size=1 << 30) as server:
        for _ in range(5):
            client = server.connect()
            client.send(b"PUT /pets/ HTTP/1.1\r\nHost: zoo\r\n" + length + b"\r\n\r\n")
            sending = threading.Thread(target=flood, args=(client, b"chunked" in length))
            sending.start()
            assert client.response()[::2] == (413, b"too much")
            client.sock.shutdown(socket.SHUT_RDWR)
            sending.join(10)
        settled(server)


def flood(client: Client, chunked: bool) -> None:
    """Send 30 MB, as long as they are taken."""
    piece = b"x" * 100_000
    with contextlib.suppress(OSError):
        for _ in range(300):
            client.sock.sendall(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)


def test_a_short_body_is_whole_before_a_server_is_asked() -> None:
    asked = []

    async def talk(peer: Peer) -> None:
        asked.append(await peer.request())

    cats = Noting()
    put = b"PUT /pets/ HTTP/1.1\r\nHost: zoo\r\nContent-Length: 6\r\n\r\nabc"
    with before(talk, cats) as server:
        clients = [server.connect() for _ in range(2)]
        for client in clients:
            client.send(put)
        server.on_loop(lambda: None)
        assert under_way(server) == [0, 0]
        for client in clients:
            client.send(b"def")
            assert client.response()[0] == 200  # one of them by the second server, which was sent it again
        settled(server)
        left = server.connect()
        left.send(put)
        left.close()
        wait_for(lambda: len(server.log.lines) == 3)
        settled(server)
    assert [each.body for each in (*asked, *cats.asked)] == [b"abcdef"] * 3
    with before(cats, request_timeout=0.2) as server:
        client = server.connect()
        client.send(put)
        server.tick(1)
        assert client.response()[0] == 408


@pytest.mark.parametrize("soon", [True, False])
def test_a_client_that_has_ended_its_side_is_answered_soon_or_not(soon: bool) -> None:
    async def talk(peer: Peer) -> None:
        await peer.request()
        if not soon:
            await peer.reader.read()
        await peer.answer(b"meow")

    with before(talk) as server:
        client = server.connect()
        client.send(GET)
        client.sock.shutdown(socket.SHUT_WR)
        assert client.read().endswith(b"meow" if soon else b"")
        settled(server)


def test_a_client_that_has_ended_its_side_does_not_wait_for_a_connection_for_long() -> None:
    async def slow(peer: Peer) -> None:
        await peer.request()
        await peer.reader.read()

    with before(slow, upstream_connections=1) as server:
        first, client = server.connect(), server.connect()
        first.send(GET)
        wait_for(lambda: under_way(server) == [1])
        client.send(GET)
        wait_for(lambda: under_way(server) == [2])
        client.sock.shutdown(socket.SHUT_WR)
        assert client.read() == b""
        assert under_way(server) == [1]
        first.close()
        settled(server)
