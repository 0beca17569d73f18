"""A client that opens many keep-alive connections, makes one request on each, and then keeps still.

`python -m benchmarks.hold PORT COUNT` prints `{"opened": N, "refused": "why, or empty"}` when it has them, waits for a line
on its input, and prints `{"held": N}`: how many the server has kept.
"""

from __future__ import annotations

import json
import resource
import socket
import sys


def opened(port: int) -> socket.socket:
    """A connection on which one request was answered.

    :raises OSError: it was refused or ended.
    """
    client = socket.create_connection(("127.0.0.1", port), 5)
    client.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    if b" 200 " not in client.recv(4096)[:16]:
        raise OSError("the answer was not 200")
    client.setblocking(False)
    return client


def is_open(client: socket.socket) -> bool:
    try:
        return client.recv(4096) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def hold(port: int, count: int) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    clients: list[socket.socket] = []
    refused = ""
    try:
        for _ in range(count):
            clients.append(opened(port))
    except OSError as error:
        refused = str(error)
    print(json.dumps({"opened": len(clients), "refused": refused}), flush=True)
    sys.stdin.readline()
    print(json.dumps({"held": sum(map(is_open, clients))}), flush=True)


if __name__ == "__main__":
    hold(int(sys.argv[1]), int(sys.argv[2]))
