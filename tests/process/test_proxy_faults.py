"""A proxy between servers and clients that fail: the right status or a clean end, and whoever is left is freed at once."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from tests.process.test_proxy_smuggling import PATIENCE_S
from tests.support import dialogue
from tests.support.http2 import Http2Client
from tests.support.memory import Client
from tests.support.recorder import Peer, Recorder, Seen, recorder
from tests.support.site import Front

pytestmark = pytest.mark.process

HEAD = b"HTTP/1.1 200 OK\r\n"
PIECE = b"x" * 65536
MIX = 1000
MIB = 1 << 20


def says(*pieces: bytes, resets: bool = False) -> object:
    """A script: say this, with a pause between pieces, and leave."""

    async def script(peer: Peer, seen: Seen) -> None:
        for number, piece in enumerate(pieces):
            if number:
                await asyncio.sleep(0.02)  # so that they come one by one
            await peer.say(piece)
        (peer.reset if resets else peer.close)()

    return script


async def silent(peer: Peer, seen: Seen) -> None:
    await peer.until_left()


async def half_then_silent(peer: Peer, seen: Seen) -> None:
    await peer.say(HEAD + b"Content-Length: 100\r\n\r\nhalf")
    await peer.until_left()


async def endless(peer: Peer, seen: Seen) -> None:
    await peer.say(HEAD + b"\r\n")
    while True:
        await peer.say(PIECE)


async def trickles(peer: Peer, seen: Seen) -> None:
    await peer.say(HEAD + b"Content-Length: 1000000\r\n\r\n")
    while True:
        await peer.say(b"x")
        await asyncio.sleep(0.05)


async def early(peer: Peer, seen: Seen) -> None:
    await peer.answer(b"too much", status="413 Content Too Large")
    peer.close()


WITHOUT = {  # what is no answer: a 502
    "closes": says(b""),
    "resets": says(b"", resets=True),
    "within-the-head": says(HEAD + b"Content-Le"),
    "reset-within-the-head": says(HEAD + b"Content-Le", resets=True),
    "garbage": says(bytes(range(256)) * 4),
    "another-protocol": says(b"SSH-2.0-OpenSSH_9.2p1\r\n"),
    "http2-unasked": says(b"\0\0\0\4\0\0\0\0\0"),
    "switches": says(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"),
    "one-field-too-long": says(HEAD + b"X: " + b"x" * 200_000),
    "too-many-fields": says(HEAD + b"X: y\r\n" * 20_000 + b"\r\n"),
    "informs-for-ever": says(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 5000),
    "two-lengths": says(HEAD + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nhello"),
    "line-end-in-a-field": says(HEAD + b"X: y\n\r\nContent-Length: 0\r\n\r\n"),
    "no-version": says(b"200 OK\r\n\r\nhello"),
    "a-status-of-four": says(b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"),
    "bad-chunks": says(HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n"),
}
TORN = {  # what breaks off: the client's connection is cut, so that it does not take it for a whole
    "shorter-than-said": says(HEAD + b"Content-Length: 10\r\n\r\nhalf"),
    "half": says(HEAD + b"Content-Length: 10\r\n\r\n", b"half"),
    "half-and-reset": says(HEAD + b"Content-Length: 10\r\n\r\n", b"half", resets=True),
    "a-chunk-less": says(HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", b"4\r\nha"),
    "no-last-chunk": says(HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", b"4\r\nhalf\r\n"),
    "reset-without-length": says(HEAD + b"\r\n", b"half", resets=True),
    "a-bad-chunk-later": says(HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", b"zz\r\n"),
}
WHOLE = {  # what is odd, and yet an answer: its body
    "informs": (says(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", HEAD + b"Content-Length: 4\r\n\r\ngood"), b"good"),
    "continues": (says(b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"Content-Length: 4\r\n\r\ngood"), b"good"),
    "without-length": (says(HEAD + b"\r\n", b"go", b"od"), b"good"),
    "old": (says(b"HTTP/1.0 200 OK\r\n\r\ngood"), b"good"),
    "trailers": (says(HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\nX-Sum: 1\r\n\r\n"), b"good"),
    "more-than-said": (says(HEAD + b"Content-Length: 4\r\n\r\ngood and bad"), b"good"),
    "in-bits": (says(*(bytes([byte]) for byte in b"HTTP/1.1 200"), b" OK\r\nContent-Length: 4\r\n\r\ngood"), b"good"),
    "nothing-with-content": (says(b"HTTP/1.1 204 No Content\r\n\r\nbad"), b""),
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Front, Recorder]]:
    with recorder() as behind:
        behind.scripts |= WITHOUT | TORN | {name: script for name, (script, _) in WHOLE.items()}  # type: ignore[arg-type]
        behind.scripts |= {"silent": silent, "half-then-silent": half_then_silent, "endless": endless, "trickles": trickles}
        behind.early["early"] = early
        front = Front(tmp_path_factory.mktemp("front"), behind.port, upstream_first_byte_s=1.0, upstream_idle_s=1.0)
        try:
            front.start()
            yield front, behind
        finally:
            front.stop()


@pytest.fixture
def front(pair: tuple[Front, Recorder]) -> Iterator[Front]:
    """The proxy; in the end nothing is under way in it, and it serves."""
    yield pair[0]
    assert ask(pair[0], "well") == (200, b"GET /well ")
    at_rest(pair[0])


@pytest.fixture
def behind(pair: tuple[Front, Recorder]) -> Recorder:
    pair[1].forget()
    return pair[1]


def eventually(true: Callable[[], Any], what: str) -> Any:
    return dialogue.eventually(true, what, PATIENCE_S)


def at_rest(front: Front) -> dict[str, int]:
    """Wait until the status says that nobody waits for anything; the worker's figures."""

    def rests() -> dict[str, int] | None:
        child: dict[str, int] = front.ask("status").data["children"][0]
        return child if not child["asking"] and not child["connections"] else None

    found: dict[str, int] = eventually(rests, "nothing under way")
    return found


def ask(front: Front, name: str, method: str = "GET", body: bytes = b"") -> tuple[int, bytes]:
    """Ask for a script."""
    head = f"{method} /{name} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", front.port), PATIENCE_S) as sock:
        status, _, said = Client(sock).ask(head + body)
        return status, said


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("name", WITHOUT)
def test_what_is_no_answer_is_a_502(front: Front, behind: Recorder, name: str, method: str) -> None:
    status, page = ask(front, name, method)
    assert status == 502
    assert str(behind.port).encode() not in page, "clients are not told who is behind"
    assert len(behind.seen) == 1 or method == "GET"


@pytest.mark.parametrize("name", TORN)
def test_what_breaks_off_is_seen_to(front: Front, behind: Recorder, name: str) -> None:
    with pytest.raises((EOFError, ConnectionError, ValueError)):  # ValueError: no size of a chunk in what came
        ask(front, name)


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_odd_and_yet_an_answer(front: Front, behind: Recorder, name: str) -> None:
    client = front.connect()
    client.send(f"GET /{name} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    while (answer := client.response())[0] < 200:
        assert answer[0] == 103
    assert answer[2] == WHOLE[name][1]
    assert client.ask(b"GET /well HTTP/1.1\r\nHost: a\r\n\r\n")[2] == b"GET /well ", "the client's connection goes on"
    client.close()


def test_who_says_nothing_is_a_504(front: Front, behind: Recorder) -> None:
    assert ask(front, "silent")[0] == 504
    assert len(behind.seen) == 1, "what has been waited for is not asked again"


def test_who_falls_silent_is_cut_off(front: Front, behind: Recorder) -> None:
    with pytest.raises((EOFError, ConnectionError)):
        ask(front, "half-then-silent")
    eventually(lambda: behind.open <= 1, "the server is left")


def test_an_answer_before_the_request_is_over(front: Front, behind: Recorder) -> None:
    with socket.create_connection(("127.0.0.1", front.port), PATIENCE_S) as sock:
        client = Client(sock)
        client.send(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n" + PIECE)
        assert client.response()[::2] == (413, b"too much")


def test_nobody_is_there(tmp_path_factory: pytest.TempPathFactory) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    lonely = Front(tmp_path_factory.mktemp("lonely"), port)
    try:
        lonely.start()
        for _ in range(3):
            assert ask(lonely, "any")[0] == 502
        eventually(lambda: (at_rest(lonely)["asked"], at_rest(lonely)["unanswered"]) == (3, 3), "three without an answer")
        eventually(lambda: [line.split()[8] for line in lonely.lines] == ["502"] * 3, "three lines in the log")
        assert f"127.0.0.1:{port}" in lonely.said, "the reason is in the log"
    finally:
        lonely.stop()


# Clients that leave


@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize("when", ["uploading", "waiting", "downloading"])
def test_a_client_that_leaves_frees_the_server(front: Front, behind: Recorder, when: str, how: str) -> None:
    before = behind.open
    sock = socket.create_connection(("127.0.0.1", front.port), PATIENCE_S)
    match when:
        case "uploading":
            sock.sendall(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + PIECE)
            eventually(lambda: any(peer.raw for peer in behind.peers if peer.complete < len(peer.raw)), "it comes")
        case "waiting":
            sock.sendall(b"GET /trickles HTTP/1.1\r\nHost: a\r\n\r\n")
            eventually(lambda: behind.seen, "it comes")
        case _:
            sock.sendall(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
            assert sock.recv(100)
    leave(sock, how)
    eventually(
        lambda: behind.open <= max(before, 1) and not [each for each in behind.seen if each.target == "/upload"], "left"
    )
    eventually(lambda: all(peer.complete == len(peer.raw) for peer in behind.peers), "nothing is half")


def leave(sock: socket.socket, how: str) -> None:
    if how == "reset":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_a_stream_that_is_reset_frees_the_server(front: Front, behind: Recorder) -> None:
    client = Http2Client(front.connect())
    streams = [client.begin("/trickles") for _ in range(5)]
    while not all(client.answers[each].body for each in streams):
        client.receive()
    assert behind.open >= 5
    for each in streams:
        client.h2.reset_stream(each)
    client.flush()
    eventually(lambda: behind.open <= 1, "the server is left")
    assert client.ask("/well").body == b"GET /well ", "the client's connection goes on"
    client.client.close()


def test_a_client_that_takes_nothing_is_not_read_for(front: Front, behind: Recorder) -> None:
    """What is endless stops where the client does not read."""
    (worker,) = front.workers().values()
    before = psutil.Process(worker).memory_info().rss
    socks = [socket.create_connection(("127.0.0.1", front.port), PATIENCE_S) for _ in range(5)]
    for sock in socks:
        sock.sendall(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
    for sock in socks:
        assert sock.recv(10)
    assert psutil.Process(worker).memory_info().rss - before < 24 * MIB
    for sock in socks:
        sock.close()


@pytest.mark.parametrize("name", ["well", "without-length"])
def test_a_client_that_ends_its_side_still_gets_its_answer(front: Front, behind: Recorder, name: str) -> None:
    with socket.create_connection(("127.0.0.1", front.port), PATIENCE_S) as sock:
        client = Client(sock)
        client.send(f"GET /{name} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        sock.shutdown(socket.SHUT_WR)
        assert client.response()[2] in (b"GET /well ", b"good")
        assert client.closed()


# All of it, again and again


def one(front: Front, name: str, number: int) -> None:
    """One request that goes wrong somehow; its answer is of no interest."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", front.port), PATIENCE_S) as sock:
        if number % 4 == 0:
            sock.sendall(f"POST /{name} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nhalf".encode())
        else:
            sock.sendall(f"GET /{name} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            if number % 4 != 1:
                sock.recv(1000)
        leave(sock, ("close", "reset")[number % 2])


def faults(front: Front, behind: Recorder, times: int) -> None:
    """So many requests that go wrong leave nothing behind: no descriptor, no connection, no memory to speak of."""
    (pid,) = front.workers().values()
    worker = psutil.Process(pid)
    quick = [name for name, script in (WITHOUT | TORN).items() if name not in {"informs-for-ever", "too-many-fields"}]
    names = [*quick, *(name for name in WHOLE if name != "in-bits"), "endless", "trickles", "early"]
    chance = random.Random(7)
    for number in range(100):
        one(front, chance.choice(names), number)
    at_rest(front)
    time.sleep(1.5)  # the status is of the last full second
    asked = at_rest(front)["requests"]
    descriptors, memory = worker.num_fds(), worker.memory_info().rss
    for number in range(times):
        one(front, chance.choice(names), number)
    eventually(lambda: times * 0.7 <= at_rest(front)["requests"] - asked <= times, "they are counted")
    eventually(lambda: worker.num_fds() <= descriptors + 2, "no descriptor is left behind")
    eventually(lambda: behind.open <= 1, "no connection is left behind")
    assert worker.memory_info().rss - memory < 16 * MIB
    assert ask(front, "well") == (200, b"GET /well ")
    assert front.workers() == {0: pid}, "nobody had to be replaced"


def test_a_thousand_faults_leave_nothing_behind(front: Front, behind: Recorder) -> None:
    faults(front, behind, MIX)
