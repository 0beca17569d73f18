"""Requests to a Saddle app without a connection: the reading half of an exchange."""

from __future__ import annotations

import io
from typing import IO, Any

from skitai.config.preset import limits
from skitai.exchange import Peer
from skitai.http.head import Fields, Head
from skitai.saddle.request import Request


class App:
    """What a request wants to know of its app."""

    def __init__(self, **config: Any) -> None:
        self.config = limits()
        self.config.update(config)


class GivenBody:
    """A body that is all there."""

    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        self._file: IO[bytes] | None = io.BytesIO(data)

    def open(self) -> IO[bytes]:
        assert self._file is not None, "a body is opened once"
        file, self._file = self._file, None
        return file


class Asking:
    """An exchange as far as it is read."""

    txn = ("gtxn-1", "1000")

    def __init__(self, head: Head, body: bytes, client: str, scheme: str) -> None:
        self.head = head
        self.body = GivenBody(body)
        self.peer = Peer(client, 4711, "127.0.0.1", 5000, scheme)


def ask(
    target: str = "/",
    method: str = "GET",
    body: bytes = b"",
    *,
    client: str = "192.0.2.1",
    scheme: str = "http",
    version: str = "1.1",
    config: dict[str, Any] | None = None,
    **fields: str,
) -> Request:
    """A request; underscores in names of fields stand for hyphens."""
    pairs = [(name.replace("_", "-").lower().encode(), value.encode("latin-1")) for name, value in fields.items()]
    path, _, query = target.partition("?")
    head = Head(
        method,
        target,
        "origin",
        path,
        path,
        query,
        "example",
        version,
        Fields([(b"host", b"example"), *pairs]),
        length=len(body),
    )
    exchange: Any = Asking(head, body, client, scheme)
    return Request(exchange, App(**(config or {})))


def multipart_body(*parts: tuple[str, bytes], boundary: str = "limit") -> bytes:
    """A multipart form of (header lines, content)."""
    lines = [f"--{boundary}\r\n{head}\r\n\r\n".encode() + content + b"\r\n" for head, content in parts]
    return b"".join(lines) + f"--{boundary}--\r\n".encode()


def field(name: str, value: str) -> tuple[str, bytes]:
    return f'Content-Disposition: form-data; name="{name}"', value.encode()


def upload(name: str, filename: str, content: bytes, media_type: str = "text/plain") -> tuple[str, bytes]:
    return f'Content-Disposition: form-data; name="{name}"; filename="{filename}"\r\nContent-Type: {media_type}', content


def ask_form(*parts: tuple[str, bytes], boundary: str = "limit", **options: Any) -> Request:
    """A request with a multipart form."""
    body = multipart_body(*parts, boundary=boundary)
    return ask("/", "POST", body, content_type=f"multipart/form-data; boundary={boundary}", **options)
