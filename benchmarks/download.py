"""A client that takes one large answer and keeps nothing of it: `python -m benchmarks.download PORT PATH [TUNNEL_TO]`.

With the port of a server, it asks that one through a tunnel (CONNECT). Prints `{"bytes": N, "seconds": S}`.
"""

from __future__ import annotations

import json
import socket
import sys
import time

PIECE = 1 << 20


def head(client: socket.socket) -> bytes:
    """The head of the answer that has come next; nothing may follow it at once but content."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = client.recv(65536)
        if not piece:
            raise OSError("no answer")
        data += piece
    if b" 200 " not in data[:16]:
        raise OSError(f"the answer was {data[:40]!r}")
    return data


def download(port: int, path: str, tunnel_to: int) -> dict[str, float]:
    """Take it.

    :raises OSError: there was no good answer.
    """
    host = f"127.0.0.1:{tunnel_to or port}".encode()
    with socket.create_connection(("127.0.0.1", port), 30) as client:
        if tunnel_to:
            client.sendall(b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (host, host))
            head(client)
        began = time.monotonic()
        client.sendall(b"GET %b HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % (path.encode(), host))
        taken, buffer = len(head(client).partition(b"\r\n\r\n")[2]), bytearray(PIECE)
        while size := client.recv_into(buffer):
            taken += size
        return {"bytes": taken, "seconds": time.monotonic() - began}


if __name__ == "__main__":
    port, path, *rest = sys.argv[1:]
    print(json.dumps(download(int(port), path, int(rest[0]) if rest else 0)))
