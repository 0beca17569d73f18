"""Apps, files and services answer the same over HTTP/2 as over HTTP/1.1."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import re
import xmlrpc.client
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from skitai.saddle import Saddle
from tests.support.http2 import http2
from tests.support.memory import Wire, mounted, wait_for, wire

FRAMING = {"connection", "transfer-encoding", "keep-alive", "date"}
"""What only one of both says, or a second may have passed in."""

PAGE = b"A page of text. " * 500
LARGE = bytes(range(256)) * 8000


class Said(NamedTuple):
    """An answer, whatever it came by."""

    status: int
    fields: dict[str, str]
    body: bytes
    informed: tuple[int, ...] = ()


def by_http1(server: Wire, method: str, target: str, fields: dict[str, str], body: bytes | None) -> Said:
    if body is not None:
        fields = fields | {"content-length": str(len(body))}
    text = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    client = server.connect()
    client.send(f"{method} {target} HTTP/1.1\r\nHost: example\r\n{text}\r\n".encode("latin-1"))
    informed: tuple[int, ...] = ()
    waits = "expect" in fields
    if body is not None and not waits:
        with contextlib.suppress(ConnectionError):  # it may be refused before it is all sent
            client.send(body)
    while True:
        status, answered, content = client.response(method == "HEAD")
        if status >= 200:
            return Said(status, {n: v for n, v in answered.items() if n not in FRAMING}, content, informed)
        informed = (*informed, status)
        if status == 100 and body is not None:
            client.send(body)


def by_http2(server: Wire, method: str, target: str, fields: dict[str, str], body: bytes | None) -> Said:
    client = http2(server)
    if body is not None:
        fields = fields | {"content-length": str(len(body))}
    stream = client.begin(target, method, list(fields.items()), ended=body is None)
    answer = client.answers[stream]
    if body is not None:
        while "expect" in fields and not answer.informed and not answer.ended:
            client.receive()
        if not answer.ended:
            client.upload(stream, body)
    client.wait(stream)
    return Said(
        answer.status,
        {n: v for n, v in answer.fields.items() if n not in FRAMING},
        answer.body,
        tuple(status for status, _ in answer.informed),
    )


def wsgi(environ: dict[str, Any], start_response: Any) -> Any:
    path = environ["PATH_INFO"]
    if path == "/pieces":
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        return (LARGE[at : at + 50_000] for at in range(0, len(LARGE), 50_000))
    if path == "/page":
        start_response("200 OK", [("Content-Type", "text/html"), ("X-Own", "ä")])
        return [PAGE]
    if path == "/fails":
        raise LookupError("not today")
    if path == "/empty":
        start_response("204 No Content", [])
        return []
    if path == "/server":
        start_response("200 OK", [("Server", "mine"), ("Connection", "close"), ("Set-Cookie", "a=b"), ("Set-Cookie", "c=d")])
        return [b"x"]
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "application/json")])
    seen = {
        name: value for name, value in environ.items() if name.startswith(("HTTP_", "REMOTE_ADDR", "CONTENT_", "wsgi.url"))
    }
    seen.pop("HTTP_EXPECT", None)
    told = {"method": environ["REQUEST_METHOD"], "path": path, "query": environ["QUERY_STRING"], "body": len(body)}
    return [json.dumps(told | {"sum": sum(body), "seen": seen}, sort_keys=True).encode()]


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        raise RuntimeError("not wanted")
    if scope["path"] == "/fails":
        raise LookupError("not today")
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message["body"]
        if not message["more_body"]:
            break
    fields = [(b"content-type", b"text/plain"), (b"x-sum", str(sum(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    if scope["path"] == "/pieces":
        for at in range(0, len(LARGE), 50_000):
            await send({"type": "http.response.body", "body": LARGE[at : at + 50_000], "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body"})
        return
    told = {"path": scope["path"], "client": scope["client"], "scheme": scope["scheme"], "body": len(body)}
    await send({"type": "http.response.body", "body": json.dumps(told | {"fields": str(scope["headers"])}).encode()})


REQUESTS: list[tuple[str, str, dict[str, str], bytes | None]] = [
    ("GET", "/any/path?q=%C3%A4", {"x-two": "1", "cookie": "a=b; c=d"}, None),
    ("HEAD", "/any", {}, None),
    ("GET", "/page", {"accept-encoding": "gzip"}, None),
    ("HEAD", "/page", {"accept-encoding": "gzip"}, None),
    ("GET", "/pieces", {}, None),
    ("HEAD", "/pieces", {}, None),
    ("GET", "/fails", {}, None),
    ("GET", "/fails", {"accept": "application/json"}, None),
    ("GET", "/empty", {}, None),
    ("GET", "/server", {}, None),
    ("OPTIONS", "/any", {}, None),
    ("DELETE", "/any", {}, None),
    ("POST", "/upload", {"content-type": "application/octet-stream"}, b"small"),
    ("POST", "/upload", {"content-type": "application/octet-stream"}, b""),
    ("PUT", "/upload", {"content-type": "application/octet-stream"}, LARGE),
    ("POST", "/upload", {"expect": "100-continue"}, b"it was waited for"),
    ("POST", "/upload", {"expect": "something"}, None),
    ("POST", "/upload", {}, b"x" * 3_000_001),
    ("POST", "/upload", {"content-type": "multipart/form-data; boundary=b"}, b"x" * 3_000_001),
    ("GET", "/any", {"x-forwarded-for": "10.1.2.3", "x-forwarded-proto": "https"}, None),
]


@pytest.fixture(scope="module", params=["wsgi", "asgi"])
def both(request: pytest.FixtureRequest) -> Iterator[Callable[..., tuple[Said, Said]]]:
    app = wsgi if request.param == "wsgi" else asgi
    options: dict[str, Any] = {"max_post_body_size": 3_000_000, "body_memory_bytes": 100_000}
    with wire(mounted("/", app), kind=request.param, **options) as server:

        def ask(method: str, target: str, fields: dict[str, str], body: bytes | None) -> tuple[Said, Said]:
            server.log.lines.clear()
            said = by_http1(server, method, target, fields, body), by_http2(server, method, target, fields, body)
            wait_for(lambda: len(server.log.lines) == 2)
            first, second = (re.sub(r"^\S+ \S+ ", "", line).split() for line in server.log.lines)
            # client, host, method, target, version, bytes received, status
            assert first[:4] == second[:4]
            assert (first[4], second[4]) == ("1.1", "2.0")
            assert first[6] == second[6]
            return said

        yield ask


@pytest.mark.parametrize(
    ("method", "target", "fields", "body"),
    REQUESTS,
    ids=[f"{n}-{each[0]}-{each[1][1:5]}" for n, each in enumerate(REQUESTS)],
)
def test_apps(both: Callable[..., tuple[Said, Said]], method: str, target: str, fields: dict[str, str], body: Any) -> None:
    first, second = both(method, target, fields, body)
    for name in ("content-length",):  # where HTTP/1.1 has chunks, or HTTP/2 tells the length all the same
        if name not in first.fields or name not in second.fields:
            first.fields.pop(name, None)
            second.fields.pop(name, None)
    hide = re.compile(rb'"HTTP_[A-Z_]*TXN[^,}]*|[0-9a-f]{4}-[0-9a-f]+-[0-9]+')
    assert first.status == second.status
    assert first.fields == second.fields
    assert hide.sub(b"", first.body) == hide.sub(b"", second.body)
    assert first.informed == second.informed


FILES: list[tuple[str, dict[str, str]]] = [
    ("/page.html", {}),
    ("/page.html", {"accept-encoding": "gzip"}),
    ("/data.bin", {"range": "bytes=10-99"}),
    ("/data.bin", {"range": "bytes=-5"}),
    ("/data.bin", {"range": "bytes=9999999-"}),
    ("/data.bin", {"if-none-match": "*"}),
    ("/data.bin", {"if-modified-since": "Fri, 31 Dec 2100 00:00:00 GMT"}),
    ("/data.bin", {"if-unmodified-since": "Fri, 31 Dec 1999 00:00:00 GMT"}),
    ("/data.bin", {"range": "bytes=0-9", "if-range": '"other"'}),
    ("/folder", {}),
    ("/folder/", {}),
    ("/none", {}),
    ("/%2e%2e/secret", {}),
    ("/.hidden", {}),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    (folder / "page.html").write_bytes(PAGE)
    (folder / "page.html.gz").write_bytes(gzip.compress(PAGE, mtime=0))
    (folder / "data.bin").write_bytes(LARGE)
    (folder / "folder").mkdir()
    (folder / ".hidden").write_text("hidden")
    return folder


@pytest.fixture(scope="module")
def files(root: Path) -> Iterator[Wire]:
    with wire(mounted("/", str(root))) as server:
        yield server


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(("target", "fields"), FILES, ids=[f"{target[1:]}-{' '.join(fields)}" for target, fields in FILES])
def test_files(files: Wire, method: str, target: str, fields: dict[str, str]) -> None:
    first, second = by_http1(files, method, target, fields, None), by_http2(files, method, target, fields, None)
    if method == "HEAD" and first.status >= 400:
        first.fields.pop("content-length", None)
        second.fields.pop("content-length", None)
    hide = re.compile(rb"[0-9a-f]{4}-[0-9a-f]+-[0-9]+")
    assert first.status == second.status
    assert first.fields == second.fields
    assert hide.sub(b"", first.body) == hide.sub(b"", second.body)


def test_several_ranges(files: Wire) -> None:
    """Their boundary is another each time."""
    fields = {"range": "bytes=0-9,100-109"}
    said = [way(files, "GET", "/data.bin", fields, None) for way in (by_http1, by_http2)]
    for each in said:
        boundary = each.fields["content-type"].partition("boundary=")[2].encode()
        parts = each.body.split(b"--" + boundary)
        assert [part.partition(b"\r\n\r\n")[2][:10] for part in parts[1:3]] == [LARGE[:10], LARGE[100:110]]
    assert len(said[0].body) == len(said[1].body)


def services() -> Saddle:
    app = Saddle(__name__)

    app.mount_rpc("/rpc")

    @app.route("/add")
    def add(was: Any, a: int, b: int) -> int:
        return a + b

    @app.route("/fails")
    def fails(was: Any) -> None:
        raise LookupError("not today")

    return app


def test_xml_rpc(saddle: Callable[..., Wire]) -> None:
    server = saddle(services())
    for name, arguments in (("add", (1, 2)), ("fails", ()), ("none", ())):
        body = xmlrpc.client.dumps(arguments, name).encode()
        said = [way(server, "POST", "/rpc", {"content-type": "text/xml"}, body) for way in (by_http1, by_http2)]
        assert said[0].status == said[1].status
        assert said[0].body == said[1].body
        if name == "add":
            assert xmlrpc.client.loads(said[1].body)[0] == (3,)


def test_json_rpc(saddle: Callable[..., Wire]) -> None:
    server = saddle(services())
    fields = {"content-type": "application/json-rpc"}
    call = {"jsonrpc": "2.0", "method": "add", "params": [1, 2], "id": 7}
    calls: list[Any] = [call, [call, call | {"id": 8}], call | {"method": "fails"}, call | {"method": "none"}, [], "broken"]
    for each in calls:
        body = json.dumps(each).encode() if each != "broken" else b"{"
        said = [way(server, "POST", "/rpc", fields, body) for way in (by_http1, by_http2)]
        assert said[0].status == said[1].status
        assert said[0].body == said[1].body
    said = [way(server, "POST", "/rpc", fields, json.dumps(call).encode()) for way in (by_http1, by_http2)]
    assert [json.loads(each.body)["result"] for each in said] == [3, 3]
