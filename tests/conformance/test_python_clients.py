"""The clients of Python's own library visit the site, politely and all at once."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse

import pytest

from tests.conformance.conftest import BIG, TEXT, Visited

GET = "GET {} HTTP/1.1\r\nHost: www.example.com\r\n\r\n"


class OneReader:
    """A socket whose one reader reads all responses, so that none reads ahead into the next.

    `HTTPResponse` closes what it has read from; here that leaves the reader open.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._reader = sock.makefile("rb")

    def makefile(self, mode: str) -> io.BufferedReader:
        return self  # type: ignore[return-value]

    def __getattr__(self, name: str) -> object:
        return getattr(self._reader, name)

    def close(self) -> None:
        pass


@pytest.fixture
def sock(site: Visited) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", site.port), 10) as sock:
        yield sock


@pytest.fixture
def client(site: Visited) -> Iterator[HTTPConnection]:
    client = site.client()
    yield client
    client.close()


def test_requests_of_all_kinds_share_one_connection(client: HTTPConnection) -> None:
    client.connect()
    sock = client.sock
    for method, path, body, status in (
        ("GET", "/text", None, 200),
        ("HEAD", "/text", None, 200),
        ("POST", "/upload", BIG, 200),
        ("GET", "/pieces", None, 200),
        ("PUT", "/upload", iter([BIG[:1000], BIG[1000:]]), 200),
        ("GET", "/nowhere", None, 404),
        ("GET", "/static/big.bin", None, 200),
    ):
        client.request(method, path, body)
        answer = client.getresponse()
        content = answer.read()
        assert answer.status == status, (method, path)
        if path == "/upload":
            assert json.loads(content) == {"sha256": hashlib.sha256(BIG).hexdigest(), "size": len(BIG)}
    assert client.sock is sock, "the connection was closed in between"


def test_requests_that_do_not_wait_are_answered_in_order(sock: socket.socket) -> None:
    paths = ["/version", "/text", "/pieces", "/nowhere", "/static/big.bin", "/version"] * 3
    sock.sendall("".join(map(GET.format, paths)).encode())
    reader, seen = OneReader(sock), {}
    for path in paths:
        answer = HTTPResponse(reader, method="GET")  # type: ignore[arg-type]
        answer.begin()
        content = answer.read()
        assert content == seen.setdefault(path, content)
    assert (seen["/version"], seen["/text"], seen["/nowhere"]) == (b'"one"', TEXT.encode(), b"nothing here")
    assert seen["/static/big.bin"] == BIG
    assert len(seen["/pieces"]) == 2_000_000


def test_urllib_gets_posts_and_hears_of_errors(site: Visited) -> None:
    with urllib.request.urlopen(f"{site.url}/text", timeout=10) as answer:
        assert answer.read().decode() == TEXT
        assert answer.headers.get_content_type() == "text/plain"
    with urllib.request.urlopen(f"{site.url}/upload", data=BIG, timeout=10) as answer:
        assert json.load(answer)["sha256"] == hashlib.sha256(BIG).hexdigest()
    with pytest.raises(urllib.error.HTTPError, match="404") as raised:
        urllib.request.urlopen(f"{site.url}/nowhere", timeout=10)
    with raised.value as error:
        assert error.read() == b"nothing here"
