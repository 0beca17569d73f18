"""A load generator for machines without `wrk`: one process, one epoll, keep-alive connections, no pipelining.

`python -m benchmarks.client PORT PATH CONNECTIONS SECONDS BODY_BYTES PATHS COOKIE` prints one line of JSON (see
`load.Result`).
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import cycle

REPLY_S = 2.0


class Client:
    """One connection: sends, reads until the answer is whole, sends again."""

    def __init__(self, port: int, requests: Iterator[bytes]) -> None:
        self.port = port
        self.requests = requests
        self.open()

    def open(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", self.port), REPLY_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.received = b""
        self.missing = -1
        self.last = False

    def begin(self, now: float) -> None:
        """Send the request; small ones in one call, large ones as fast as they are taken."""
        self.began = now
        self.received = b""
        self.missing = -1
        self.unsent = memoryview(next(self.requests))
        self.push()

    def push(self) -> None:
        with suppress(BlockingIOError):
            while self.unsent:
                self.unsent = self.unsent[self.socket.send(self.unsent) :]

    def pull(self) -> int:
        """Read. Returns the status of a whole answer, 0 when there is more to come, -1 when the connection has ended."""
        try:
            data = self.socket.recv(262144)
        except BlockingIOError:
            return 0
        if not data:
            return -1
        if self.missing < 0:
            self.received += data
            head, found, body = self.received.partition(b"\r\n\r\n")
            if not found:
                return 0
            self.missing = length_of(head) - len(body)
            self.last = b"\r\nconnection: close" in head.lower()
        else:
            self.missing -= len(data)
        return 0 if self.missing > 0 else int(self.received[9:12])


def length_of(head: bytes) -> int:
    """Content-Length of a response head; every app of the comparison sends one."""
    at = head.lower().find(b"\r\ncontent-length:")
    if at < 0:
        raise ValueError(f"an answer without Content-Length: {head[:200]!r}")
    return int(head[at + 17 :].split(b"\r\n", 1)[0])


def percentile(histogram: Counter[int], part: float) -> int:
    """The latency below which `part` of the requests stay, from counts by microsecond."""
    left = part * sum(histogram.values())
    for value in sorted(histogram):
        left -= histogram[value]
        if left <= 0:
            return value
    return 0


def run(
    port: int, path: str, connections: int, seconds: float, body_bytes: int, paths: int = 1, cookie: str = ""
) -> dict[str, float]:
    method, length = ("POST", f"Content-Length: {body_bytes}\r\n") if body_bytes else ("GET", "")
    brought = f"Cookie: {cookie}\r\n" if cookie else ""
    rest = f"HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{brought}{length}\r\n".encode("ascii") + b"x" * body_bytes
    requests = cycle([f"{method} {path.replace('{n}', str(n))} ".encode("ascii") + rest for n in range(paths)])
    poll = select.epoll()
    clients: dict[int, Client] = {}
    histogram: Counter[int] = Counter()
    errors = 0
    clock = time.perf_counter

    def enter(client: Client) -> None:
        clients[client.socket.fileno()] = client
        poll.register(client.socket.fileno(), select.EPOLLIN | (select.EPOLLOUT if body_bytes else 0) | select.EPOLLET)
        client.begin(clock())

    for _ in range(connections):
        enter(Client(port, requests))
    began = clock()
    end = began + seconds
    while (now := clock()) < end:
        for number, events in poll.poll(min(0.1, end - now)):
            client = clients[number]
            if events & select.EPOLLOUT and client.unsent:
                client.push()
            if not events & ~select.EPOLLOUT:
                continue
            try:
                status = client.pull()
            except ConnectionError:
                status = -1
            if status > 0:
                now = clock()
                histogram[int((now - client.began) * 1e6)] += 1
                errors += not 200 <= status < 300
                if not client.last:
                    client.begin(now)
            elif status < 0:
                errors += 1
            if status < 0 or (status > 0 and client.last):
                client.socket.close()  # which takes it out of the epoll too
                client.open()
                enter(client)
    errors += sum(end - client.began > REPLY_S for client in clients.values())
    for client in clients.values():
        client.socket.close()
    requests = sum(histogram.values())
    figures = {"requests": requests, "seconds": clock() - began, "errors": errors}
    return figures | {"p50_us": percentile(histogram, 0.5), "p99_us": percentile(histogram, 0.99)}


if __name__ == "__main__":
    _, port, path, connections, seconds, body_bytes, paths, cookie = sys.argv
    print(json.dumps(run(int(port), path, int(connections), float(seconds), int(body_bytes), int(paths), cookie)))
