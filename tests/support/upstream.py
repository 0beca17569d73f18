"""A server of others to ask: the standard library's, in threads."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class Upstream(ThreadingHTTPServer):
    """Answers with what it was asked, as JSON. ``/slow/0.5`` takes its time, ``/status/404`` has that status,
    ``/text/hello`` says hello.

    :ivar asked: paths, in the order in which requests came.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Answers)
        self.asked: list[str] = []
        self._open: list[socket.socket] = []

    def get_request(self) -> tuple[socket.socket, Any]:
        self._open.append(super().get_request()[0])
        return self._open[-1], self._open[-1].getpeername()

    def hang_up(self) -> None:
        """End all connections."""
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    @property
    def place(self) -> str:
        """HOST:PORT."""
        return f"127.0.0.1:{self.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.place}"


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Upstream

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        place = urlsplit(self.path)
        self.server.asked.append(place.path)
        first, _, rest = place.path.strip("/").partition("/")
        status, kind = 200, "application/json"
        data: bytes = b""
        match first:
            case "slow":
                time.sleep(float(rest))
            case "status":
                status = int(rest)
            case "text":
                kind, data = "text/plain", rest.encode()
        if not data:
            fields = {name.lower(): value for name, value in self.headers.items()}
            query = {name: values[-1] for name, values in parse_qs(place.query).items()}
            said = {"method": self.command, "path": place.path, "query": query, "fields": fields, "body": body.decode()}
            data = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _answer

    def log_message(self, *args: Any) -> None: ...

    def handle(self) -> None:
        with suppress(ConnectionError):  # a client that is not interested any more
            super().handle()


@contextmanager
def upstream(port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[Upstream]:
    """A server, whose connections end with it.

    :param tls: what it speaks TLS with.
    """
    server = Upstream(port)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        server.hang_up()
