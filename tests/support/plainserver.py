"""A TCP server of tests: each connection is talked to by a function, in a thread of its own."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Talk = Callable[[socket.socket], None]


class PlainServer:
    """:ivar sock: that it listens on.
    :ivar talked: how many connections were made.
    """

    def __init__(self, talk: Talk, host: str) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sock = socket.create_server((host, 0), family=family, backlog=256)
        self.port = int(self.sock.getsockname()[1])
        self.talked = 0
        self._talk = talk
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            self.talked += 1
            self._open.add(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        sock.settimeout(20)
        with suppress(OSError):
            self._talk(sock)
        self._open.discard(sock)
        sock.close()

    @property
    def open(self) -> int:
        """Connections that are being talked to."""
        return len(self._open)

    def close(self) -> None:
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        for sock in tuple(self._open):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def echo(sock: socket.socket) -> None:
    """Say what is said, to its end."""
    while data := sock.recv(65536):
        sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)


def reset(sock: socket.socket) -> None:
    """Break off, so that the other side sees it."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def swallow(sock: socket.socket) -> bytes:
    """All that is said."""
    said = b""
    while data := sock.recv(65536):
        said += data
    return said


@contextmanager
def plain_server(talk: Talk = echo, host: str = "127.0.0.1") -> Iterator[PlainServer]:
    server = PlainServer(talk, host)
    try:
        yield server
    finally:
        server.close()
