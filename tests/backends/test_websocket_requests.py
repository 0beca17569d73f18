"""Messages to WebSocket servers: those of the websockets library."""

from __future__ import annotations

import asyncio
import http
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import trustme
from websockets.asyncio.server import serve

from skitai.backend.errors import Code
from skitai.was import process, was


class Server:
    """A server in a thread of its own.

    :ivar seen: the fields of its handshakes.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.context = context
        self.seen: list[Any] = []
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Server:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *args: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        return f"{'wss' if self.context else 'ws'}://localhost:{self.port}"

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        options: dict[str, Any] = {"ssl": self.context, "process_request": self._request, "max_size": 1 << 24}
        async with serve(self._talk, "localhost", 0, **options) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            for sock in server.sockets:  # localhost has two addresses, each with a port of its own
                if sock.family == socket.AF_INET:
                    self.port = sock.getsockname()[1]
            self._ready.set()
            await self._stop.wait()

    def _request(self, connection: Any, request: Any) -> Any:
        self.seen.append(request.headers)
        if request.path.startswith("/forbidden"):
            return connection.respond(http.HTTPStatus.FORBIDDEN, "no\n")
        if request.path.startswith("/page"):
            return connection.respond(http.HTTPStatus.OK, "a page\n")
        return None

    async def _talk(self, connection: Any) -> None:
        match connection.request.path:
            case "/silent":
                await connection.wait_closed()
            case "/leaves":
                await connection.recv()
                await connection.close()
            case "/fails":
                await connection.recv()
                await connection.close(1011, "trouble")
            case "/pieces":
                await connection.send(str(part) for part in range(5))
            case _:
                async for message in connection:
                    await connection.send(message)


@pytest.fixture(autouse=True)
def own_backends() -> Iterator[None]:
    yield
    process.close()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        yield made


@pytest.mark.parametrize(
    ("sent", "opcode", "back"),
    [
        ("Hello", 1, "Hello"),
        (b"\x00\xff", 2, b"\x00\xff"),
        ((2, "text as bytes"), 2, b"text as bytes"),
        ((1, b"bytes as text"), 1, "bytes as text"),
        ("long " * 200_000, 1, "long " * 200_000),
        ((9, b"ping"), 10, b"ping"),
    ],
)
def test_a_message_is_answered(server: Server, sent: Any, opcode: int, back: Any) -> None:
    result = was.ws(server.url, sent).getwait(reraise=True)
    assert (result.status, result.status_code, result.reason) == (3, 200, "OK")
    assert (result.opcode, result.data, result.content) == (opcode, back, (opcode, back))


def test_a_message_in_pieces_is_one(server: Server) -> None:
    assert was.ws(f"{server.url}/pieces", "go").getwait().data == "01234"


def test_a_server_that_closes_without_a_word(server: Server) -> None:
    result = was.ws(f"{server.url}/leaves", "go").getwait()
    assert (result.status, result.status_code, result.opcode, result.data) == (3, 200, -1, None)


def test_a_server_that_closes_with_an_error(server: Server) -> None:
    result = was.ws(f"{server.url}/fails", "go").getwait()
    assert (result.status, result.status_code) == (2, Code.PROTOCOL)
    assert "1011 trouble" in result.reason


def test_a_server_that_does_not_want(server: Server) -> None:
    result = was.ws(f"{server.url}/forbidden", "go").getwait()
    assert (result.status, result.status_code, result.reason) == (3, 403, "Forbidden")


def test_a_page_is_no_websocket(server: Server) -> None:
    result = was.ws(f"{server.url}/page", "go").getwait()
    assert (result.status, result.status_code) == (2, Code.PROTOCOL)
    assert result.reason == "there is no WebSocket: the server answers 200 OK"


def test_a_server_that_is_silent(server: Server) -> None:
    assert was.ws(f"{server.url}/silent", "go", timeout=0.2).getwait().status == 1


def test_a_server_that_is_not_there(server: Server) -> None:
    assert was.ws("ws://127.0.0.1:1/", "go").getwait().status_code == Code.REFUSED


def test_fields_and_credentials_go_along(server: Server) -> None:
    was.ws(server.url, "go", auth=("user", "pass"), headers={"X-Mine": "1"}).wait()
    was.ws(server.url, "go", auth=("token",)).wait()
    was.ws(server.url.replace("://", "://me:secret@"), "go").wait()
    basic, bearer, member = server.seen
    assert (basic["X-Mine"], basic["Authorization"]) == ("1", "Basic dXNlcjpwYXNz")
    assert bearer["Authorization"] == "Bearer token"
    assert member["Authorization"] == "Basic bWU6c2VjcmV0"


def test_over_tls_the_certificate_counts(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    stranger.cert_pem.write_to_path(str(tmp_path / "other.pem"))
    with Server(context) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert was.wss(server.url, "secret").getwait(reraise=True).data == "secret"
        wrong_name = was.wss(server.url.replace("localhost", "127.0.0.1"), "secret").getwait()
        assert wrong_name.status_code == Code.TLS
        process.close()
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "other.pem"))
        assert was.wss(server.url, "secret").getwait().status_code == Code.TLS


@pytest.mark.parametrize(
    ("uri", "data", "error"),
    [
        ("http://localhost/", "x", ValueError),
        ("@none/", "x", KeyError),
        ("ws://localhost/", 5, TypeError),
        ("ws://localhost/", (7, "x"), ValueError),
        ("ws://local host/", "x", ValueError),
    ],
)
def test_what_cannot_be_sent_is_said(uri: str, data: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        was.ws(uri, data)
