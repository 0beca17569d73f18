"""WebSocket load: one process, one epoll, messages of 100 bytes, the next one when the last is answered.

`python -m benchmarks.talk PORT PATH CONNECTIONS SECONDS KIND` prints one line of JSON (see `load.Result`). With the kind
"echo" each connection waits for its own message; with "group" one speaks, and all hear it before it speaks again: then what
is counted are messages heard, and latencies are those of the last to hear.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from benchmarks.client import REPLY_S, percentile

MASK = b"\x12\x34\x56\x78"
MESSAGE = b"0123456789" * 10
ASKED = bytes((0x81, 0x80 | len(MESSAGE))) + MASK + bytes(each ^ MASK[at % 4] for at, each in enumerate(MESSAGE))
ANSWERED = bytes((0x81, len(MESSAGE))) + MESSAGE
HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def opened(port: int, path: str) -> socket.socket:
    """A connection after its handshake.

    :raises OSError: it was refused.
    """
    client = socket.create_connection(("127.0.0.1", port), REPLY_S)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.sendall(HANDSHAKE.format(path=path, port=port).encode("ascii"))
    head = b""
    while b"\r\n\r\n" not in head:
        data = client.recv(1)  # no further: a message may follow
        if not data:
            raise OSError("the server closed in the handshake")
        head += data
    if not head.startswith(b"HTTP/1.1 101 "):
        client.close()
        raise OSError(f"the answer was {head[:40]!r}")
    return client


def asked(port: int, path: str) -> bytes:
    """What the server answers to one message: its frame.

    :raises OSError: it does not.
    """
    with opened(port, path) as client:
        client.sendall(ASKED)
        return client.recv(4096)


class Talk:
    """Connections that say something, and how long each waited for its answer."""

    def __init__(self, clients: list[socket.socket]) -> None:
        self.clients = {client.fileno(): client for client in clients}
        self.histogram: Counter[int] = Counter()
        self.errors = 0
        self.heard = 0
        self._began: dict[int, float] = {}
        self._missing: dict[int, int] = {}

    def say(self, number: int, now: float, hearers: list[int]) -> None:
        self.clients[number].send(ASKED)
        for each in hearers:
            self._began[each] = now
            self._missing[each] = len(ANSWERED)

    def hear(self, number: int) -> bool:
        """Read. Whether the answer is whole."""
        with suppress(BlockingIOError):
            size = len(self.clients[number].recv(4096))
            self._missing[number] -= size
            if not size or self._missing[number] < 0:
                raise OSError("the server closed the connection, or said something else")
        if self._missing[number]:
            return False
        self.heard += 1
        return True

    def note(self, number: int, now: float) -> None:
        self.histogram[int((now - self._began[number]) * 1e6)] += 1


def echo(talk: Talk) -> Callable[[int, float], None]:
    """What follows when a connection has heard its answer: it says the same again. Begins."""
    for number in talk.clients:
        talk.say(number, time.perf_counter(), [number])

    def again(number: int, now: float) -> None:
        talk.note(number, now)
        talk.say(number, now, [number])

    return again


def group(talk: Talk) -> Callable[[int, float], None]:
    """The same for a group: the first one speaks again when all have heard it."""
    everybody = list(talk.clients)
    speaker, left = everybody[0], len(everybody)
    talk.say(speaker, time.perf_counter(), everybody)

    def again(number: int, now: float) -> None:
        nonlocal left
        left -= 1
        if not left:
            left = len(everybody)
            talk.note(number, now)
            talk.say(speaker, now, everybody)

    return again


KINDS = {"echo": echo, "group": group}


def run(port: int, path: str, connections: int, seconds: float, kind: str) -> dict[str, float]:
    talk = Talk([opened(port, path) for _ in range(connections)])
    poll = select.epoll()
    for number, client in talk.clients.items():
        client.setblocking(False)
        poll.register(number, select.EPOLLIN)
    clock = time.perf_counter
    again = KINDS[kind](talk)
    began = clock()
    end = began + seconds
    while clock() < end:
        found = poll.poll(REPLY_S)
        if not found:
            talk.errors += 1
            break
        for number, _ in found:
            if talk.hear(number):
                again(number, clock())
    figures = {"requests": talk.heard, "seconds": clock() - began, "errors": talk.errors}
    for client in talk.clients.values():
        client.close()
    return figures | {"p50_us": percentile(talk.histogram, 0.5), "p99_us": percentile(talk.histogram, 0.99)}


if __name__ == "__main__":
    _, port, path, connections, seconds, kind = sys.argv
    print(json.dumps(run(int(port), path, int(connections), float(seconds), kind)))
