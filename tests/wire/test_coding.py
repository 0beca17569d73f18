"""Content coding of responses (RFC 9110, sections 8.4 and 12.5.3), as clients see it."""

from __future__ import annotations

import gzip
import json
import random
import threading
import zlib
from collections.abc import Iterator
from typing import Any

import brotli
import pytest

from tests.support.memory import Client, Wire, mounted, wire

TEXT = "".join(f"line {number}: something to read\n" for number in range(200)).encode()
LARGE = TEXT * 100


def app(environ: dict[str, Any], start_response: Any) -> Any:
    """Answers as its query says: body, then field:value pairs."""
    size, *fields = environ["QUERY_STRING"].split("&") if environ["QUERY_STRING"] else ["text"]
    body = {"text": TEXT, "large": LARGE, "small": b"small", "none": b""}[size]
    pairs = [("Content-Type", "text/plain")]
    status = "200 OK"
    for field in fields:
        name, _, value = field.replace("+", " ").partition(":")
        if name == "status":
            status = value
        else:
            pairs = [pair for pair in pairs if pair[0] != name] + [(name, value)]
    start_response(status, pairs)
    if environ["PATH_INFO"] == "/pieces":
        return (body[at : at + 1000] for at in range(0, len(body), 1000))
    if environ["PATH_INFO"] == "/head" and environ["REQUEST_METHOD"] == "HEAD":
        return []
    return [body]


def decode(fields: dict[str, str], body: bytes) -> bytes:
    coding = fields.get("content-encoding")
    return gzip.decompress(body) if coding == "gzip" else brotli.decompress(body) if coding == "br" else body


@pytest.fixture
def coding(engine: str, threads: int) -> Iterator[Wire]:
    with wire(mounted("/", app), engine=engine, threads=threads) as server:
        yield server


@pytest.fixture
def quick() -> Iterator[Wire]:
    """On one engine only, for what has nothing to do with engines."""
    with wire(mounted("/", app), threads=0) as server:
        yield server


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("gzip", "gzip"),
        ("br", "br"),
        ("gzip, deflate, br", "br"),
        ("gzip;q=1, br;q=0.5", "gzip"),
        ("gzip;q=0, br;q=0", None),
        ("x-gzip", "gzip"),
        ("GZIP", "gzip"),
        ("*", "br"),
        ("*;q=0.5, br;q=0", "gzip"),
        ("identity;q=1, gzip;q=0.5", None),
        ("identity;q=0, gzip", "gzip"),
        ("identity;q=0", None),
        ("deflate", None),
        ("", None),
        ("gzip;q=nonsense", None),
    ],
)
def test_12_5_3_the_client_chooses(quick: Wire, accept: str, chosen: str | None) -> None:
    for target in ("/", "/pieces"):
        status, fields, body = quick.get(target, Accept_Encoding=accept)
        assert status == 200
        assert fields.get("content-encoding") == chosen
        assert decode(fields, body) == TEXT
        assert fields["vary"] == "Accept-Encoding"


def test_12_5_5_vary_is_said_to_those_who_accept_nothing_too(coding: Wire) -> None:
    for target in ("/", "/pieces", "/?large"):
        status, fields, body = coding.get(target)
        assert "content-encoding" not in fields
        assert fields["vary"] == "Accept-Encoding"


def test_vary_of_the_app_is_kept(quick: Wire) -> None:
    client = quick.connect()
    client.send(b"GET /?text&Vary:Cookie HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
    head = client.until(b"\r\n\r\n")
    assert b"\r\nVary: Cookie\r\n" in head and b"\r\nVary: Accept-Encoding\r\n" in head
    for value in ("accept-encoding", "Cookie,+Accept-Encoding", "*"):
        status, fields, _ = quick.get(f"/?text&Vary:{value}", Accept_Encoding="gzip")
        assert fields["vary"] == value.replace("+", " ")


@pytest.mark.parametrize(
    "target",
    [
        "/?text&Content-Encoding:identity",
        "/?text&Content-Encoding:gzip",
        "/?text&Content-Type:image/png",
        "/?text&Content-Type:application/zip",
        "/?text&Content-Type:text/event-stream",
        "/?text&Cache-Control:No-Transform",
        "/?text&Cache-Control:max-age=3,+no-transform",
        "/?text&Content-Range:bytes+0-1/2",
        "/?text&status:206+Partial+Content",
        "/?small",
        "/pieces?small&Content-Length:5",
    ],
)
def test_what_is_not_coded(quick: Wire, target: str) -> None:
    status, fields, body = quick.get(target, Accept_Encoding="gzip, br")
    assert fields.get("content-encoding") in (None, "gzip" if ":gzip" in target else "identity")
    assert body in (TEXT, b"small")
    assert "vary" not in fields


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_what_has_no_body_is_not_coded(quick: Wire, status: str) -> None:
    code, fields, _ = quick.get(f"/?none&status:{status.replace(' ', '+')}", Accept_Encoding="gzip")
    assert str(code) == status[:3]
    assert "content-encoding" not in fields


def test_what_would_grow_stays_as_it_is() -> None:
    def noise(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [random.Random(1).randbytes(3000)]

    with wire(mounted("/", noise), threads=0) as server:
        status, fields, body = server.get(Accept_Encoding="gzip")
        assert "content-encoding" not in fields
        assert fields["vary"] == "Accept-Encoding"
        assert len(body) == int(fields["content-length"])


def test_error_pages_are_coded_when_they_are_large_enough(quick: Wire) -> None:
    pairs = quick.get("/?text&status:404+Not+Found", Accept_Encoding="gzip")
    assert pairs[0] == 404 and decode(pairs[1], pairs[2]) == TEXT


def test_8_8_3_a_strong_etag_becomes_weak_with_the_coding(quick: Wire) -> None:
    assert quick.get('/?text&ETag:"1"', Accept_Encoding="gzip")[1]["etag"] == 'W/"1"'
    assert quick.get('/?text&ETag:W/"1"', Accept_Encoding="gzip")[1]["etag"] == 'W/"1"'
    assert quick.get('/?text&ETag:"1"')[1]["etag"] == '"1"'


def test_the_apps_length_is_that_of_another_form(coding: Wire) -> None:
    for target in (f"/?text&Content-Length:{len(TEXT)}", f"/pieces?text&Content-Length:{len(TEXT)}"):
        status, fields, body = coding.get(target, Accept_Encoding="gzip")
        assert fields.get("content-length") in (None, str(len(body)))
        assert decode(fields, body) == TEXT


def test_large_bodies_are_whole(coding: Wire) -> None:
    for name in ("gzip", "br"):
        status, fields, body = coding.get("/?large", Accept_Encoding=name)
        assert fields["content-encoding"] == name
        assert decode(fields, body) == LARGE


def test_large_bodies_for_who_accepts_nothing_keep_their_length(coding: Wire) -> None:
    assert coding.get("/?large")[1]["content-length"] == str(len(LARGE))
    status, fields, body = coding.ask(b"GET /?large HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert (fields["connection"], len(body)) == ("keep-alive", len(LARGE))


def test_large_bodies_are_coded_off_the_loop(monkeypatch: Any) -> None:
    from skitai.worker import coding as module

    threads: set[str] = set()

    class Watched(module.Gzip):
        def code(self, data: bytes) -> bytes:
            threads.add(threading.current_thread().name)
            return super().code(data)

    monkeypatch.setattr(module, "Gzip", Watched)
    with wire(mounted("/", app), threads=0) as server:
        status, fields, body = server.get("/?large", Accept_Encoding="gzip")
        assert decode(fields, body) == LARGE
    assert threads and all(name.startswith("disk") for name in threads)


def test_http_1_0_gets_coded_streams_too(coding: Wire) -> None:
    status, fields, body = coding.ask(b"GET /pieces HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n")
    assert (fields["connection"], decode(fields, body)) == ("close", TEXT)


# Streams


def chunk(client: Client) -> bytes:
    return client.exactly(int(client.until(b"\r\n"), 16) + 2)[:-2]


@pytest.mark.parametrize("name", ["gzip", "br"])
def test_a_stream_can_be_decoded_piece_by_piece(name: str, engine: str) -> None:
    go_on = threading.Semaphore(0)

    def stream(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        for number in range(3):
            yield f"piece {number}".encode()
            assert go_on.acquire(timeout=5)

    with wire(mounted("/", stream), engine=engine) as server:
        client = server.connect()
        client.send(f"GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {name}\r\n\r\n".encode())
        assert f"Content-Encoding: {name}\r\n".encode() in client.until(b"\r\n\r\n")
        decoder: Any = zlib.decompressobj(31) if name == "gzip" else brotli.Decompressor()
        feed = decoder.decompress if name == "gzip" else decoder.process
        for number in range(3):
            assert feed(chunk(client)) == f"piece {number}".encode()
            go_on.release()
        rest = b""
        while size := int(client.until(b"\r\n"), 16):
            rest += client.exactly(size + 2)[:-2]
        assert feed(rest) == b""
        assert decoder.eof if name == "gzip" else decoder.is_finished()


# HEAD


@pytest.mark.parametrize("accept", ["gzip", "br", "identity"])
@pytest.mark.parametrize("target", ["/", "/pieces", "/?large", "/?small", f"/head?text&Content-Length:{len(TEXT)}"])
def test_9_3_2_head_says_what_get_would(quick: Wire, target: str, accept: str) -> None:
    fields = f"Host: a\r\nAccept-Encoding: {accept}\r\n\r\n"
    _, got, _ = quick.ask(f"GET {target} HTTP/1.1\r\n{fields}".encode())
    client = quick.connect()
    status, head, _ = client.ask(f"HEAD {target} HTTP/1.1\r\n{fields}".encode())
    assert status == 200
    assert head.get("content-encoding") == got.get("content-encoding")
    assert head.get("vary") == got.get("vary")
    if "content-length" in head:
        assert head["content-length"] == got["content-length"]
    client.send(b"GET /?small HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.response()[2] == b"small", "no byte of a body came before"


# Options


def test_compression_can_be_turned_off() -> None:
    with wire(mounted("/", app), threads=0, compress=False) as server:
        for target in ("/", "/pieces", "/?large"):
            status, fields, body = server.get(target, Accept_Encoding="gzip")
            assert "content-encoding" not in fields and "vary" not in fields


def test_the_smallest_size_is_an_option() -> None:
    with wire(mounted("/", app), threads=0, compress_bytes=len(TEXT)) as server:
        assert server.get(Accept_Encoding="gzip")[1]["content-encoding"] == "gzip"
    with wire(mounted("/", app), threads=0, compress_bytes=len(TEXT) + 1) as server:
        assert "content-encoding" not in server.get(Accept_Encoding="gzip")[1]


def test_the_level_is_an_option() -> None:
    chance = random.Random(1)
    some = ["some", "words", "in", "no", "order", "at", "all,", "many", "of", "them"]
    words = " ".join(chance.choice(some) for _ in range(5000))

    def prose(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [words.encode()]

    def stream(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        return iter(prose(environ, start_response))

    for kind in (prose, stream):
        sizes = []
        for level in (1, 9):
            with wire(mounted("/", kind), threads=0, compress_level=level) as server:
                sizes.append(len(server.get(Accept_Encoding="gzip")[2]))
        assert sizes[0] > sizes[1]


def test_async_apps_are_coded_too() -> None:
    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        fields = [(b"content-type", b"application/json"), (b"etag", b'"1"'), (b"vary", b"Origin")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": json.dumps(["x"] * 1000).encode()})

    with wire(mounted("/", asgi), kind="asgi") as server:
        status, fields, body = server.get(Accept_Encoding="gzip")
        assert fields["etag"] == 'W/"1"'
        assert json.loads(decode(fields, body)) == ["x"] * 1000
