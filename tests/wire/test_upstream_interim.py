"""Interim responses of servers behind a proxy, which clients get before the answer (RFC 9110, section 15.2; RFC 8297)."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AbstractContextManager

import pytest

from tests.support.http2 import Http2Client, http2
from tests.support.members import before, under_way
from tests.support.memory import Client, Wire, wire
from tests.support.scripted import Peer, Talk
from tests.support.scripted2 import Call
from tests.wire.test_forward_proxy import answering
from tests.wire.test_upstream_http2 import before2

HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nLink: </b.js>; rel=preload\r\n\r\n"
LINKS = "</a.css>; rel=preload"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmeow"
GET = b"GET /pets/ HTTP/1.1\r\nHost: zoo\r\n\r\n"


def says(*pieces: bytes) -> Talk:
    """A member that answers each request with these, one after the other."""

    async def talk(peer: Peer) -> None:
        while True:
            await peer.request()
            for piece in pieces:
                await peer.say(piece)
                await asyncio.sleep(0.01)

    return talk


def told_all(*talks: Talk) -> AbstractContextManager[Wire]:
    return before(*talks, upstream_interim="all")


def interim(client: Client) -> list[bytes]:
    """The interim responses before an answer, which is read, too."""
    found: list[bytes] = []
    while True:
        head = client.until(b"\r\n\r\n")
        status = int(head.split()[1])
        if status >= 200:
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert client.exactly(4) == b"meow"
            return found
        found.append(head)


@pytest.mark.parametrize("pieces", [(HINTS + ANSWER,), (HINTS, ANSWER), (HINTS[:20], HINTS[20:] + ANSWER[:9], ANSWER[9:])])
def test_hints_come_before_the_answer(pieces: tuple[bytes, ...]) -> None:
    with told_all(says(*pieces)) as server:
        client = server.connect()
        for _ in range(2):
            client.send(GET)
            assert interim(client) == [HINTS.replace(b"Link", b"link")]
        answer = http2(server).ask("/pets/")
        assert answer.informed == [(103, {"link": "</b.js>; rel=preload"})], "the last of two, as the client keeps them"
        assert (answer.status, answer.body) == (200, b"meow")
        assert under_way(server) == [0]


def test_they_come_at_once() -> None:
    informed = threading.Event()

    async def talk(peer: Peer) -> None:
        await peer.request()
        await peer.say(HINTS)
        await asyncio.to_thread(informed.wait, 10)
        await peer.say(ANSWER)

    with told_all(talk) as server:
        client = server.connect()
        client.send(GET)
        assert client.response()[0] == 103
        informed.set()
        assert client.response()[::2] == (200, b"meow")


def test_whatever_version_the_server_speaks() -> None:
    async def talk(call: Call) -> None:
        call.head(103, ("link", LINKS))
        call.head(102)
        await call.answer(b"meow", ("content-length", "4"))

    with before2(talk, upstream_interim="all") as server:
        client = server.connect()
        client.send(GET)
        assert [each.split(b"\r\n")[:2] for each in interim(client)] == [
            [b"HTTP/1.1 103 Early Hints", b"link: " + LINKS.encode()],
            [b"HTTP/1.1 102 Processing", b""],
        ]
        assert http2(server).ask("/pets/").informed == [(103, {"link": LINKS}), (102, {})]


def test_what_is_not_for_the_client_is_left_out() -> None:
    fields = b"Connection: X-Inner\r\nX-Inner: 1\r\nKeep-Alive: 5\r\nContent-Length: 5\r\nX-Outer: 2\r\n\r\n"
    with told_all(says(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 199 Odd\r\n" + fields + ANSWER)) as server:
        client = server.connect()
        client.send(GET)
        assert interim(client) == [b"HTTP/1.1 199 Informational\r\nx-outer: 2\r\n\r\n"]


@pytest.mark.parametrize(("wanted", "informed"), [("http2", [[], [103]]), ("all", [[103], [103]]), ("none", [[], []])])
def test_who_gets_them_is_an_option(wanted: str, informed: list[list[int]]) -> None:
    with before(says(HINTS + ANSWER), upstream_interim=wanted) as server:
        client = server.connect()
        client.send(GET)
        told = [int(each.split()[1]) for each in interim(client)]
        assert [told, [status for status, _ in http2(server).ask("/pets/").informed]] == informed


def test_by_itself_nobody_is_told_who_might_take_them_for_the_answer() -> None:
    with before(says(HINTS + ANSWER)) as server:
        assert [server.get("/pets/")[0], http2(server).ask("/pets/").informed[0][0]] == [200, 103]


def test_clients_of_http_1_0_get_the_answer_alone() -> None:
    with told_all(says(HINTS + ANSWER)) as server:
        client = server.connect()
        client.send(b"GET /pets/ HTTP/1.0\r\n\r\n")
        assert client.read().startswith(b"HTTP/1.1 200 OK\r\n")


def test_too_many_are_not_passed_on() -> None:
    async def talk(call: Call) -> None:
        for _ in range(100):
            call.head(103)
        await call.answer(b"meow", ("content-length", "4"))

    with before2(talk, upstream_interim="all") as server:
        assert len(http2(server).ask("/pets/").informed) == 16
    with told_all(says(HINTS * 17 + ANSWER)) as server:
        client = server.connect()
        client.send(GET)
        statuses = []
        while (status := client.response()[0]) < 200:
            statuses.append(status)
        assert (status, len(statuses) <= 16) == (502, True)


def test_a_server_that_breaks_off_behind_them() -> None:
    tries: list[Peer] = []

    async def talk(peer: Peer) -> None:
        await peer.request()
        tries.append(peer)
        await peer.say(HINTS)
        if len(tries) == 2:
            await peer.say(ANSWER)
        peer.writer.close()

    with told_all(talk, talk) as server:
        client = server.connect()
        client.send(GET)
        assert interim(client) == [HINTS.replace(b"Link", b"link")] * 2, "the answer is that of another one"


@pytest.mark.parametrize("cached", [False, True])
def test_through_the_forward_proxy(cached: bool) -> None:
    options = {"cachefs_memmax": 1 << 20} if cached else {}
    with answering(HINTS + ANSWER) as there, wire(forward_proxy=True, **options) as server:
        client = server.connect()
        client.send(f"GET http://127.0.0.1:{there.port}/ HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert interim(client) == [HINTS.replace(b"Link", b"link")[:-2] + b"via: 1.1 skitai\r\n\r\n"]
        assert asked_by_http2(server, f"127.0.0.1:{there.port}") == [103]


def asked_by_http2(server: Wire, authority: str) -> list[int]:
    client: Http2Client = http2(server)
    stream = client.h2.get_next_available_stream_id()
    client.send_head(stream, [(":method", "GET"), (":scheme", "http"), (":authority", authority), (":path", "/")])
    return [status for status, _ in client.wait(stream).informed]
