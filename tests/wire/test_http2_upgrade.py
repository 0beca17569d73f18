"""From HTTP/1.1 to HTTP/2 by Upgrade (RFC 7540, section 3.2), and who stays with HTTP/1.1."""

from __future__ import annotations

import asyncio
import struct
from base64 import urlsafe_b64encode
from typing import Any

import pytest

from skitai.protocols.http2.upgrade import settings
from skitai.worker.forwarder import Forwarder
from tests.support.http2 import Answer, Http2Client
from tests.support.memory import Client, Wire, mounted, wait_for, wire

WISH = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c"}
SETTINGS = "AAMAAABkAAQAAP__"
"""As curl sends it: 100 streams, a window of 65535 bytes."""


def request(target: str = "/", method: str = "GET", body: bytes = b"", **fields: Any) -> bytes:
    """A request with the wish for h2c; `fields` replace its own, None leaves one out."""
    given = WISH | {"HTTP2-Settings": SETTINGS} | {name.replace("_", "-"): value for name, value in fields.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items() if value is not None)
    return f"{method} {target} HTTP/1.1\r\nHost: example\r\n{lines}\r\n".encode("latin-1") + body


class Upgraded(Http2Client):
    """A client that began with HTTP/1.1; what it asked for then is stream 1."""

    def __init__(self, client: Client, target: str = "/", method: str = "GET", **fields: Any) -> None:
        super().__init__(client, upgrade=True)
        client.send(request(target, method, HTTP2_Settings=self.settings, **fields))
        self.switched = client.until(b"\r\n\r\n")
        assert self.switched.startswith(b"HTTP/1.1 101 "), self.switched
        self.answers[1] = Answer()
        self.flush()
        if client.received:
            self.take_in(client.received)

    def first(self) -> Answer:
        return self.wait(1)


def test_the_request_is_answered_as_stream_1(server: Wire) -> None:
    client = Upgraded(server.connect(), "/path?q=1")
    assert b"\r\nUpgrade: h2c\r\n" in client.switched
    assert b"\r\nConnection: Upgrade\r\n" in client.switched
    answer = client.first()
    assert (answer.status, answer.body) == (200, b"GET /path?q=1")
    assert client.ask("/more").body == b"GET /more?"
    assert client.ask("/upload", "POST", body=b"x" * 100_000).body == b"POST /upload? " + b"x" * 100_000
    wait_for(lambda: len(server.log.lines) == 3)
    assert "GET /path?q=1 2.0 0 200" in server.log.lines[0]


def test_it_may_follow_requests_of_http_1(server: Wire) -> None:
    client = server.connect()
    assert client.ask(b"GET /old HTTP/1.1\r\nHost: a\r\n\r\n")[2] == b"GET /old?"
    assert Upgraded(client).first().status == 200


def test_the_clients_settings_hold_at_once(engine: str) -> None:
    """A window that is shut: only the head comes."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * 100_000})

    with wire(mounted("/", app), kind="asgi", engine=engine) as server:
        client = server.connect()
        client.send(request(HTTP2_Settings=urlsafe_b64encode(struct.pack("!HL", 4, 0)).decode().rstrip("=")))
        client.until(b"\r\n\r\n")
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0" + b"\0\0\x08\6\0\0\0\0\0" + b"12345678")
        kinds = []
        while 6 not in kinds:
            head = client.exactly(9)
            payload = client.exactly(int.from_bytes(head[:3], "big"))
            kinds.append(head[3])
            assert payload is not None
        assert 1 in kinds
        assert 0 not in kinds


def test_what_apps_see(engine: str) -> None:
    seen: dict[str, Any] = {}

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.update(environ)
        start_response("200 OK", [])
        return [b""]

    with wire(mounted("/", app), engine=engine) as server:
        Upgraded(server.connect(), "/p", Cookie="a=b").first()
    assert (seen["SERVER_PROTOCOL"], seen["HTTP_HOST"], seen["HTTP_COOKIE"]) == ("HTTP/2.0", "example", "a=b")
    assert not {"HTTP_UPGRADE", "HTTP_CONNECTION", "HTTP_HTTP2_SETTINGS"} & set(seen)


def test_options_of_all(server: Wire) -> None:
    assert Upgraded(server.connect(), "*", "OPTIONS").first().status == 204


@pytest.mark.parametrize(
    "fields",
    [
        {"HTTP2_Settings": None},
        {"HTTP2_Settings": "!!"},
        {"HTTP2_Settings": "AAMAAABk, AAMAAABk"},
        {"HTTP2_Settings": "AAMAAAB"},
        {"HTTP2_Settings": "AASAAAAA"},
        {"HTTP2_Settings": "AAUAAAAB"},
        {"Connection": "Upgrade"},
        {"Connection": "HTTP2-Settings"},
        {"Connection": None},
        {"Upgrade": "h2"},
        {"Upgrade": None},
        {"X_Forwarded_For": "10.0.0.1"},
        {"Via": "1.1 proxy"},
        {"Forwarded": "for=10.0.0.1"},
    ],
    ids=lambda fields: " ".join(f"{name}={value}" for name, value in fields.items()),
)
def test_who_does_not_ask_rightly_stays(server: Wire, fields: dict[str, Any]) -> None:
    client = server.connect()
    assert client.ask(request("/stays", **fields))[::2] == (200, b"GET /stays?")
    assert client.ask(b"GET /on HTTP/1.1\r\nHost: a\r\n\r\n")[2] == b"GET /on?"


def test_who_has_a_body_stays(server: Wire) -> None:
    client = server.connect()
    assert client.ask(request("/b", "POST", b"a body", Content_Length="6"))[::2] == (200, b"POST /b? a body")
    assert client.ask(request("/c", "POST", b"1\r\nx\r\n0\r\n\r\n", Transfer_Encoding="chunked"))[::2] == (
        200,
        b"POST /c? x",
    )


def test_who_does_not_wait_for_the_answer_stays(server: Wire) -> None:
    client = server.connect()
    client.send(request("/1") + b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert [client.response()[2] for _ in range(2)] == [b"GET /1?", b"GET /2?"]


def test_http_1_0_stays(server: Wire) -> None:
    assert server.ask(request("/old").replace(b"HTTP/1.1", b"HTTP/1.0"))[::2] == (200, b"GET /old?")


def test_a_websocket_is_a_websocket(engine: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})

    key: dict[str, Any] = {"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec_WebSocket_Version": "13"}
    with wire(mounted("/", app), kind="asgi", engine=engine) as server:
        status, fields, _ = server.ask(request(Upgrade="h2c, websocket", **key))
    assert (status, fields["upgrade"]) == (101, "websocket")


def test_trusted_proxies_stay(engine: str) -> None:
    """Or their clients would get past what the proxy decides about each request; here the peer is one by its address."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"ok"]

    with wire(mounted("/", app), engine=engine) as server:
        client = server.connect()
        assert client.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")[0] == 200
        (connection,) = server.services.connections
        connection.proxied = True  # type: ignore[attr-defined]
        assert client.ask(request())[0] == 200


@pytest.mark.parametrize("option", ["http2", "http2_upgrade"])
def test_it_can_be_turned_off(engine: str, option: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    with wire(mounted("/", app), kind="asgi", engine=engine, **{option: False}) as server:
        assert server.ask(request())[::2] == (200, b"ok")
        status, _, _ = server.ask(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") if option == "http2" else (505, {}, b"")
        assert status == 505


def test_who_is_sent_to_https_is_told_so_in_http2(server: Wire) -> None:
    client = server.connect(Forwarder(443))
    answer = Upgraded(client, "/page?q=1").first()
    assert (answer.status, answer.fields["location"]) == (301, "https://example/page?q=1")


def test_nobody_goes_on_in_http_1_behind_it(server: Wire) -> None:
    client = server.connect()
    client.send(request())
    client.until(b"\r\n\r\n")
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"no HTTP/2 preface" in client.read()


def test_a_response_before_the_preface(server: Wire) -> None:
    """The answer does not wait for it; then the connection is like one whose client is silent."""
    client = server.connect()
    client.send(request("/quick"))
    client.until(b"GET /quick?")
    server.tick(server.services.keep_alive_s + 1)
    server.tick(server.services.keep_alive_s + 5)
    assert client.closed() or client.read() is not None


def test_settings() -> None:
    assert settings(SETTINGS) == b"\0\3\0\0\0\x64\0\4\0\0\xff\xff"
    assert settings(urlsafe_b64encode(b"\0\3\0\0\0\x64").decode()) == b"\0\3\0\0\0\x64"
    assert settings("") == b""
    for malformed in ("A", "AAAA", "AA==", "AAMAAAB+", "AAIAAAAC", "AASAAAAA", "AAUAAD__", "ä", "AAMA AABk"):
        assert settings(malformed) is None, malformed
