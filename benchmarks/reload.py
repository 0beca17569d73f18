"""Clients that notice everything while a server reloads.

`python -m benchmarks.reload PORT SECONDS` runs six clients and prints one line of JSON (see `Seen`): three keep their
connection, one of them on an endpoint that takes a second; three open a new connection for every request. A request that
is not answered with 200 is an error, whatever the reason; nothing is tried again.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from dataclasses import asdict, dataclass, field

REPLY_S = 15.0
PAUSE_S = 0.005
QUIET_S = 2.0


@dataclass
class Seen:
    """What the clients saw.

    :ivar errors: one text for each request that failed.
    :ivar stall_s: longest answer, less what the endpoint itself takes.
    :ivar stalled: which request that was, and when.
    :ivar quiet_stall_s: the same, in the first two seconds alone: what is usual here without a reload.
    :ivar workers: process ids that answered.
    """

    requests: int = 0
    errors: list[str] = field(default_factory=list)
    stall_s: float = 0.0
    stalled: str = ""
    quiet_stall_s: float = 0.0
    workers: list[int] = field(default_factory=list)


def answer(client: socket.socket, path: str) -> tuple[bytes, bool]:
    """One request on an open connection: the body, and whether the connection lives on.

    :raises OSError: it was not answered with a whole 200.
    """
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode("ascii"))
    data = b""
    while b"\r\n\r\n" not in data:
        if not (piece := client.recv(65536)):
            raise ConnectionError(f"ended after {len(data)} bytes of an answer")
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    if b" 200 " not in lines[0] + b" ":
        raise OSError(f"answered {lines[0].decode('latin-1')}")
    length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), -1)
    while len(body) < length or length < 0:
        piece = client.recv(65536)
        if not piece and length < 0:
            break
        if not piece:
            raise ConnectionError(f"ended after {len(body)} of {length} bytes")
        body += piece
    return body, length >= 0 and b"connection: close" not in lines


class Client(threading.Thread):
    """One client with figures of its own, until `end` (monotonic) or until it is `enough`."""

    def __init__(self, port: int, path: str, own_s: float, keep: bool, end: float, enough: threading.Event) -> None:
        super().__init__()
        self.port = port
        self.path = path
        self.own_s = own_s
        self.keep = keep
        self.end = end
        self.enough = enough
        self.seen = Seen()

    def run(self) -> None:
        started = time.monotonic()
        quiet_until = started + QUIET_S
        kind = "kept" if self.keep else "new"
        connection: socket.socket | None = None
        pids: set[int] = set()
        while (began := time.monotonic()) < self.end and not self.enough.is_set():
            try:
                if connection is None:
                    connection = socket.create_connection(("127.0.0.1", self.port), REPLY_S)
                body, lives = answer(connection, self.path)
                pids.add(int(body))
            except OSError as error:
                self.seen.errors.append(f"{self.path} on a {kind} connection: {error or type(error).__name__}")
                lives = False
            now = time.monotonic()
            self.seen.requests += 1
            if now - began - self.own_s > self.seen.stall_s:
                self.seen.stall_s = now - began - self.own_s
                self.seen.stalled = f"{self.path} on a {kind} connection, {began - started:.1f} s after the start"
            if now < quiet_until:
                self.seen.quiet_stall_s = max(self.seen.quiet_stall_s, now - began - self.own_s)
            if connection is not None and not (lives and self.keep):
                connection.close()
                connection = None
            time.sleep(PAUSE_S)
        if connection is not None:
            connection.close()
        self.seen.workers = sorted(pids)


def watch(port: int, seconds: float, enough: threading.Event | None = None) -> Seen:
    """Run the six clients on a server; its app answers with its process id, `/slow` after a second.

    :param seconds: so long.
    :param enough: or until this is set.
    """
    end, enough = time.monotonic() + seconds, enough or threading.Event()
    clients = [Client(port, "/slow", 1.0, True, end, enough)]
    clients += [Client(port, "/", 0.0, True, end, enough) for _ in range(2)]
    clients += [Client(port, "/", 0.0, False, end, enough) for _ in range(3)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    figures = [client.seen for client in clients]
    worst = max(figures, key=lambda seen: seen.stall_s)
    return Seen(
        sum(seen.requests for seen in figures),
        [error for seen in figures for error in seen.errors],
        worst.stall_s,
        worst.stalled,
        max(seen.quiet_stall_s for seen in figures),
        sorted({pid for seen in figures for pid in seen.workers}),
    )


if __name__ == "__main__":
    print(json.dumps(asdict(watch(int(sys.argv[1]), float(sys.argv[2])))))
