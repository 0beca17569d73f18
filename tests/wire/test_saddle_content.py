"""What goes in and out of a Saddle app, through real connections."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from skitai.saddle import Saddle, UploadedFile, Was, uploads
from tests.support.asked import field, multipart_body, upload
from tests.support.memory import Wire, wait_for

Serve = Callable[..., Wire]

BIG = b"0123456789abcdef" * 70_000  # 1.1 MB


@pytest.fixture
def app() -> Saddle:
    return Saddle(__name__)


def post(wire: Wire, target: str, body: bytes, content_type: str = "", **fields: str) -> tuple[int, dict[str, str], bytes]:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    if content_type:
        lines += f"Content-Type: {content_type}\r\n"
    head = f"POST {target} HTTP/1.1\r\nHost: example\r\nContent-Length: {len(body)}\r\n{lines}\r\n"
    return wire.ask(head.encode("latin-1") + body)


def post_parts(wire: Wire, target: str, *parts: tuple[str, bytes]) -> tuple[int, dict[str, str], bytes]:
    return post(wire, target, multipart_body(*parts), "multipart/form-data; boundary=limit")


def left() -> list[str]:
    """Temporary files of uploads."""
    return [name for name in os.listdir(uploads.temporary_folder()) if name.startswith(f"upload-{os.getpid()}-")]


def test_every_documented_name_of_a_request(saddle: Serve, app: Saddle) -> None:
    @app.route("/show/<int:id>", methods=["POST", "OPTIONS"], special=1)
    def show(was: Was, id: int, page: int = 1, **form: Any) -> dict[str, Any]:
        request = was.request
        return {
            "method": request.method,
            "command": request.command,
            "uri": request.uri,
            "version": request.version,
            "scheme": [request.scheme, request.get_scheme()],
            "headers": request.headers["X-Extra"],
            "body": [request.body, request.get_body(), request.payload],
            "args": request.args,
            "routed": request.routed_function is request.routed,
            "routable": request.routable,
            "split": request.split_uri(),
            "json": request.json(),
            "form": request.form(),
            "dict": request.dict(),
            "header": request.get_header("content-type"),
            "lines": [len(request.get_headers()), len(request.header)],
            "address": request.get_remote_addr(),
            "agent": request.get_user_agent(),
            "type": [request.get_content_type(), request.get_main_type(), request.get_sub_type()],
            "ids": [request.gtxid == was.gtxid, request.ltxid == was.ltxid],
            "was": was.request.response is was.response,
        }

    status, _, body = post(
        saddle(app), "/show/5?q=1", b'{"c": [2]}', "application/json; charset=utf-8", X_Extra="x", User_Agent="test"
    )
    told = json.loads(body)
    assert status == 200, told
    routable = told.pop("routable")
    assert sorted(routable["methods"]) == ["OPTIONS", "POST"] and routable["urlargs"] == ["id"] and routable["special"] == 1
    assert told == {
        "method": "POST",
        "command": "post",
        "uri": "/show/5?q=1",
        "version": "1.1",
        "scheme": ["http", "http"],
        "headers": "x",
        "body": ['{"c": [2]}'] * 3,
        "args": {"id": 5, "q": "1", "c": [2], "page": 1},
        "routed": True,
        "split": ["/show/5", None, "?q=1", None],
        "json": {"c": [2]},
        "form": {},
        "dict": {"c": [2]},
        "header": "application/json; charset=utf-8",
        "lines": [5, 5],
        "address": "",
        "agent": "test",
        "type": ["application/json", "application", "json"],
        "ids": [True, True],
        "was": True,
    }


def test_every_documented_name_of_a_response(saddle: Serve, app: Saddle) -> None:
    @app.route("/")
    def index(was: Was) -> Any:
        response = was.response
        response.set_status("202 Accepted")
        response.set_headers([("X-One", "1"), ("X-Two", "2"), ("X-Gone", "3")])
        response.set_header("X-Three", 3)
        response.append_header("X-Three", 4)
        response.del_header("X-Gone")
        response.update({"X-Two": "22"})
        response["X-Four"] = "4"
        response.set_cache(60)
        response.hint_promise("/images/a.png")
        return response.API(
            {"status": response.get_status()}, headers=response.get_headers(), one=response.get_header("x-one")
        )

    @app.route("/fault")
    def fault(was: Was) -> Any:
        return was.response("400 Bad Request", was.response.fault("wrong", 20001, "details", "https://example.com/20001"))

    @app.route("/traceback")
    def traceback(was: Was) -> Any:
        try:
            raise LookupError("lost")
        except LookupError:
            return was.response.traceback()

    @app.route("/g")
    def as_protobuf(was: Was) -> Any:
        return was.gstream(Message())

    wire = saddle(app)
    status, fields, body = wire.get("/")
    assert (status, fields["cache-control"], fields["x-three"], fields["x-two"]) == (202, "max-age=60", "3, 4", "22")
    assert "x-gone" not in fields
    told = json.loads(body)
    assert (told["status"], told["one"]) == ("202 Accepted", "1")
    assert ["X-Four", "4"] in told["headers"] and len(told["headers"]) == 5
    status, _, body = wire.get("/fault")
    wanted = {"code": 20001, "message": "wrong", "debug": "details", "more_info": "https://example.com/20001"}
    assert (status, json.loads(body)) == (400, wanted)
    status, _, body = wire.get("/traceback")
    told = json.loads(body)
    assert (status, told["code"], told["message"], told["debug"]) == (200, 10001, "lost", "see traceback")
    assert told["traceback"][1].endswith("function traceback")
    status, fields, body = wire.get("/g")
    assert (body, fields["content-type"]) == (b"\x08\x01", "application/x-protobuf")


class Message:
    """As protobuf makes them."""

    def SerializeToString(self) -> bytes:
        return b"\x08\x01"


class Numbers:
    """A producer of one's own, that says when it is closed."""

    def __init__(self, closed: list[str]) -> None:
        self.left = 3
        self.closed = closed

    def more(self) -> str:
        self.left -= 1
        return str(self.left) if self.left >= 0 else ""

    def close(self) -> None:
        self.closed.append("numbers")


RESULTS: dict[str, tuple[Any, bytes, str]] = {
    "str": ("größe", "größe".encode(), "text/html; charset=utf-8"),
    "bytes": (b"\xff", b"\xff", "text/html; charset=utf-8"),
    "empty": ("", b"", ""),
    "int": (5, b"5", "text/html; charset=utf-8"),
    "dict": ({"a": 1}, b'{"a":1}', "application/json"),
    "list": (["a", b"b"], b"ab", "text/html; charset=utf-8"),
    "numbers": ([1, 2], b"[1,2]", "application/json"),
    "nothing": ([], b"[]", "application/json"),
    "tuple": (("made", 200, {"X-A": "b"}), b"made", "text/html; charset=utf-8"),
}


@pytest.mark.parametrize("name", RESULTS)
def test_results(saddle: Serve, app: Saddle, name: str) -> None:
    result, wanted, media_type = RESULTS[name]

    @app.route("/")
    def index(was: Was) -> Any:
        return result

    @app.route("/later")
    async def later(was: Was) -> Any:
        await asyncio.sleep(0)
        return result

    wire = saddle(app)
    for target in ("/", "/later"):
        status, fields, body = wire.get(target)
        assert (status, body, fields.get("content-type", "")) == (200, wanted, media_type)
        assert fields["content-length"] == str(len(wanted))
        assert wire.ask(f"HEAD {target} HTTP/1.1\r\nHost: example\r\n\r\n".encode())[0] == 200


def test_streams(saddle: Serve, app: Saddle) -> None:
    closed: list[str] = []

    def generate(name: str) -> Iterator[str]:
        try:
            yield "a"
            yield "b"
        finally:
            closed.append(name)

    async def generate_later() -> AsyncIterator[bytes]:
        try:
            yield b"a"
            await asyncio.sleep(0)
            yield b"b"
        finally:
            closed.append("later")

    @app.route("/generator")
    def generator(was: Was) -> Any:
        return was.response("200 OK", generate("generator"), [("Content-Type", "text/csv")])

    @app.route("/producer")
    def producer(was: Was) -> Any:
        return Numbers(closed)

    @app.route("/file")
    def file(was: Was) -> Any:
        return io.BytesIO(b"content")

    @app.route("/mixed")
    def mixed(was: Was) -> Any:
        return ["<", generate("mixed"), Numbers(closed), ">"]

    @app.route("/later")
    async def later(was: Was) -> Any:
        return generate_later()

    wire = saddle(app)
    wanted = {"generator": b"ab", "producer": b"210", "file": b"content", "mixed": b"<ab210>", "later": b"ab"}
    for target, content in wanted.items():
        status, fields, body = wire.get(f"/{target}")
        assert (status, body, fields["transfer-encoding"]) == (200, content, "chunked"), target
    assert wire.get("/generator")[1]["content-type"] == "text/csv"
    wait_for(lambda: sorted(closed) == ["generator", "generator", "later", "mixed", "numbers", "numbers"])


def test_a_stream_whose_client_leaves_is_closed(saddle: Serve, app: Saddle) -> None:
    closed = threading.Event()
    closed_later = threading.Event()

    def generate() -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 65536
        finally:
            closed.set()

    async def generate_later() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 65536
        finally:
            closed_later.set()

    @app.route("/")
    def index(was: Was) -> Any:
        return generate()

    @app.route("/later")
    async def later(was: Was) -> Any:
        return generate_later()

    wire = saddle(app)
    for target, ended in (("/", closed), ("/later", closed_later)):
        client = wire.connect()
        client.send(f"GET {target} HTTP/1.1\r\nHost: example\r\n\r\n".encode())
        client.exactly(100_000)
        client.close()
        assert ended.wait(5)


def test_files(saddle: Serve, app: Saddle, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(BIG)

    @app.route("/file/<path:name>")
    def file(was: Was, name: str) -> Any:
        return was.response.file(tmp_path / name, "image/png", filename="ü.png")

    @app.route("/open")
    def opened(was: Was) -> Any:
        return was.response("200 OK", open(tmp_path / "a.bin", "rb"), headers=[("Content-Type", "video/mp4")])  # noqa: SIM115

    @app.route("/stream")
    async def stream(was: Was) -> Any:
        return was.fstream(tmp_path / "a.bin", "image/gif")

    wire = saddle(app)
    status, fields, body = wire.get("/file/a.bin")
    assert (status, body, fields["content-type"]) == (200, BIG, "image/png")
    assert fields["content-disposition"] == "attachment; filename=\"_.png\"; filename*=UTF-8''%C3%BC.png"
    assert wire.get("/file/a.bin", If_None_Match=fields["etag"])[0] == 304
    status, part_fields, body = wire.get("/file/a.bin", Range="bytes=1-5")
    assert (status, body, part_fields["content-range"]) == (206, BIG[1:6], f"bytes 1-5/{len(BIG)}")
    status, part_fields, body = wire.get("/file/a.bin", Range="bytes=0-0,-1")
    assert status == 206 and part_fields["content-type"].startswith("multipart/byteranges") and BIG[-1:] in body
    assert wire.get("/file/a.bin", Range=f"bytes={len(BIG)}-")[0] == 416
    assert wire.get("/file/missing")[0] == 404
    for target, media_type in (("/open", "video/mp4"), ("/stream", "image/gif")):
        status, fields, body = wire.get(target)
        assert (status, body, fields["content-type"], fields["content-length"]) == (200, BIG, media_type, str(len(BIG)))
        assert wire.ask(f"HEAD {target} HTTP/1.1\r\nHost: example\r\n\r\n".encode())[1]["content-length"] == str(len(BIG))


@pytest.mark.parametrize("up", ["../", "%2e%2e/", "..%2F", "%2E%2e%2f", "x/../../", "x/..%2f../"])
def test_no_path_leads_out_of_a_folder(saddle: Serve, app: Saddle, tmp_path: Path, up: str) -> None:
    (tmp_path / "shown" / "x").mkdir(parents=True)
    (tmp_path / "shown" / "a").write_text("for all")
    (tmp_path / "a").write_text("secret")

    @app.route("/one/<name>")
    def one(was: Was, name: str) -> Any:
        return was.response.file(f"{tmp_path}/shown/{name}")

    @app.route("/deep/<path:name>")
    def deep(was: Was, name: str) -> Any:
        return was.response.file(f"{tmp_path}/shown/{name}")

    @app.route("/resource")
    def resource(was: Was, name: str) -> Any:
        return was.response.file(was.app.get_resource(name))

    wire = saddle(app)
    for place in ("/one/", "/deep/"):
        assert wire.get(place + "a")[::2] == (200, b"for all")
        assert wire.get(place + up + "a")[0] == 404
    assert wire.get(f"/resource?name={up}a")[0] == 404


def test_a_response_that_fails_late_leaves_nothing_open(saddle: Serve, app: Saddle, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("content")
    closed: list[str] = []

    @app.route("/cookie")
    def cookie(was: Was) -> Any:
        was.cookie.set("a", "x" * 5000)
        return was.response.file(tmp_path / "a")

    @app.route("/length")
    def length(was: Was) -> Any:
        return was.response("200 OK", Numbers(closed), {"Content-Length": "many"})

    wire = saddle(app)
    assert [wire.get(target)[0] for target in ("/cookie", "/length")] == [500, 500]
    wait_for(lambda: closed == ["numbers"])


def test_responses(saddle: Serve, app: Saddle) -> None:
    @app.route("/made")
    def made(was: Was) -> Any:
        return was.response("201 Made", "text", [("Cache-Control", "max-age=60")])

    @app.route("/gone")
    def gone(was: Was) -> Any:
        return was.response("404 Not Here", headers=[("X-Why", "gone")])

    @app.route("/explained")
    def explained(was: Was) -> Any:
        was.response.set_header("Content-Type", "application/json")
        was.response.set_header("X-Kept", "yes")
        return was.response.with_explain("503 Service Unavailable", "Come on Thursday")

    @app.route("/thrown")
    def thrown(was: Was) -> Any:
        was.response.throw("403 Forbidden", "No entry")

    @app.route("/shown")
    def shown(was: Was) -> Any:
        try:
            raise ValueError("Test Error")
        except ValueError:
            return was.response("500 Internal Server Error", exc_info=sys.exc_info())

    @app.route("/api")
    def api(was: Was) -> Any:
        return was.response.API(data=[1])

    @app.route("/fault")
    def fault(was: Was) -> Any:
        return was.response.Fault("400 Bad Request", "missing parameter", 10021)

    @app.route("/redirect")
    def redirect(was: Was) -> Any:
        return was.redirect("/größe?a=b c", headers=[("X-A", "b")])

    @app.route("/json")
    def as_json(was: Was) -> Any:
        return was.jstream([1, 2], "data")

    @app.route("/xml")
    def as_xml(was: Was) -> Any:
        return was.xstream({"a": was.fromxml(was.toxml(was.fromjson(was.tojson([1]))))})

    wire = saddle(app)
    status, fields, body = wire.get("/made")
    assert (status, fields["cache-control"], body) == (201, "max-age=60", b"text")
    status, fields, body = wire.get("/gone")
    assert (status, fields["x-why"]) == (404, "gone") and b"404" in body
    status, fields, body = wire.get("/explained")
    assert (status, fields["content-type"], fields["x-kept"]) == (503, "text/html; charset=utf-8", "yes")
    assert b"Come on Thursday" in body
    status, _, body = wire.get("/explained", Accept="application/json")
    assert (status, json.loads(body)) == (503, {"code": 50300, "message": "Come on Thursday"})
    assert wire.get("/thrown")[0] == 403 and b"No entry" in wire.get("/thrown")[2]
    status, _, body = wire.get("/shown")
    assert status == 500 and b"ValueError: Test Error" in body
    assert wire.get("/api")[2] == b'{"data":[1]}' and b"<methodResponse>" in wire.get("/api", Accept="text/xml")[2]
    status, fields, body = wire.get("/fault")
    assert (status, fields["content-type"]) == (400, "application/json")
    assert json.loads(body) == {"code": 10021, "message": "missing parameter"}
    status, fields, body = wire.get("/redirect")
    assert (status, fields["location"], fields["x-a"]) == (302, "/gr%C3%B6%C3%9Fe?a=b%20c", "b")
    assert fields["cache-control"] == "max-age=0" and "expires" in fields and b'href="/gr' in body
    assert wire.get("/json")[2] == b'{"data":[1,2]}' and wire.get("/json")[1]["content-type"] == "application/json"
    assert wire.get("/xml")[1]["content-type"] == "text/xml; charset=utf-8" and b"<methodResponse>" in wire.get("/xml")[2]


def test_nothing_breaks_out_of_a_response(saddle: Serve, app: Saddle) -> None:
    @app.route("/header")
    def header(was: Was, value: str) -> str:
        was.response.set_header("X-Value", value)
        return "sent"

    @app.route("/redirect")
    def redirect(was: Was, to: str) -> Any:
        return was.redirect(to)

    @app.route("/status")
    def status(was: Was, text: str) -> Any:
        return was.response(text, "sent")

    wire = saddle(app)
    for end in ("\r\nSet-Cookie: a=b", "\nX: y", "\r", "\0"):
        for target in (
            f"/header?{urlencode({'value': 'a' + end})}",
            f"/redirect?{urlencode({'to': '/' + end})}",
            f"/status?{urlencode({'text': '200 OK' + end})}",
        ):
            code, fields, body = wire.get(target)
            assert code == 400
            assert "x-value" not in fields and "set-cookie" not in fields and "location" not in fields
            assert b"sent" not in body


def test_uploads(saddle: Serve, app: Saddle, tmp_path: Path) -> None:
    seen: list[str] = []

    @app.route("/upload", methods=["POST"])
    def receive(was: Was, **form: Any) -> dict[str, Any]:
        file = form["file"]
        told = {"name": file.name, "size": file.size, "mimetype": file.mimetype, "in memory": file.in_memory}
        if not file.in_memory:
            seen.append(file.path)
        told["saved"] = os.path.basename(file.save(tmp_path, mkdir=True))
        return told

    @app.route("/later", methods=["POST"])
    async def later(was: Was, file: Any) -> int:
        seen.append(file.flush())
        return len(file.read())

    @app.route("/broken", methods=["POST"])
    def broken(was: Was, file: Any) -> str:
        seen.append(file.flush())
        raise RuntimeError

    wire = saddle(app)
    for content, in_memory, saved in ((b"small", True, "a.png"), (BIG, False, "a.1.png")):
        status, _, body = post_parts(
            wire, "/upload", field("x", "y"), upload("file", "C:\\tmp\\a.png", content, "image/png")
        )
        assert status == 200, body
        told = {"name": "a.png", "size": len(content), "mimetype": "image/png", "in memory": in_memory, "saved": saved}
        assert json.loads(body) == told
        assert (tmp_path / saved).read_bytes() == content
    assert post_parts(wire, "/later", upload("file", "a", BIG))[2] == str(len(BIG)).encode()
    assert post_parts(wire, "/broken", upload("file", "a", b"x"))[0] == 500
    assert len(seen) == 3
    wait_for(lambda: left() == [])
    assert not any(map(os.path.exists, seen))


def test_files_as_typed_arguments(saddle: Serve, app: Saddle) -> None:
    @app.route("/one", methods=["POST"])
    def one(was: Was, file: UploadedFile, text: str = "") -> str:
        return file.name

    @app.route("/maybe", methods=["POST"])
    def maybe(was: Was, file: UploadedFile | None = None) -> str:
        return file.name if file else "none"

    @app.route("/many", methods=["POST"])
    def many(was: Was, file: list[UploadedFile]) -> str:
        return ",".join(each.name for each in file)

    wire = saddle(app)
    none, a, b = upload("file", "", b""), upload("file", "a", BIG), upload("file", "b", b"x")
    assert post_parts(wire, "/one", a)[::2] == (200, b"a")
    assert [post_parts(wire, "/maybe", *parts)[2] for parts in ([], [none], [b])] == [b"none", b"none", b"b"]
    assert [post_parts(wire, "/many", *parts)[2] for parts in ([none], [b], [a, b])] == [b"", b"b", b"a,b"]
    for parts in ([none], [a, b], [field("file", "text")], [b, upload("text", "a", BIG)]):
        status, _, body = post_parts(wire, "/one", *parts)
        assert status == 400 and uploads.temporary_folder().encode() not in body


URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=limit"
PART = b"--limit\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n"

HOSTILE: list[tuple[bytes, str, int]] = [
    (b"a=%FF", URLENCODED, 400),
    (b"a=\xff", URLENCODED, 400),
    (b"a=1", f"{URLENCODED}; charset=klingon", 415),
    (b"a=1", f"{URLENCODED}; charset=unicode_escape", 415),
    (b"a=1&" * 1001, URLENCODED, 413),
    (b"{", "application/json", 400),
    (b'{"a": NaN}', "application/json", 400),
    (b"[" * 100_000, "application/json", 400),
    (b"[1]", "application/json", 400),
    (b"\xff", "application/json", 400),
    (b"whatever", "multipart/form-data", 400),
    (b"whatever", "multipart/form-data; boundary=", 400),
    (b"whatever", MULTIPART, 400),
    (PART, MULTIPART, 400),
    (PART[:-3], MULTIPART, 400),
    (PART * 1101 + b"--limit--", MULTIPART, 413),
    (PART * 1001 + b"--limit--", MULTIPART, 413),
    (multipart_body(*[upload("f", "f", b"")] * 101), MULTIPART, 413),
    (b"--limit\r\n" + b"X: y\r\n" * 9 + b"\r\n\r\n--limit--", MULTIPART, 413),
    (b"--limit\r\nContent-Disposition: form-data; name=\xff\r\n\r\n\r\n--limit--", MULTIPART, 400),
    (multipart_body(('Content-Disposition: form-data; name="a"', b"\xff")), MULTIPART, 400),
    (multipart_body(upload("f", "f", b"x" * 2000)), MULTIPART, 413),
    (b"x" * 9000, "text/plain", 413),
    (b"text", "text/plain", 415),
]


@pytest.mark.parametrize(("body", "content_type", "wanted"), HOSTILE)
def test_hostile_bodies_get_a_clear_answer(saddle: Serve, app: Saddle, body: bytes, content_type: str, wanted: int) -> None:
    @app.route("/", methods=["POST"])
    def index(was: Was, a: Any, **rest: Any) -> str:
        return "unharmed"

    @app.route("/raw", methods=["POST"])
    def raw(was: Was) -> int:
        return len(was.request.body)

    app.config.max_upload_file_size = 1000
    if content_type == "text/plain":
        app.config.max_post_body_size = 8000
    wire = saddle(app)
    status, fields, told = post(wire, "/", body, content_type, Accept="application/json")
    assert status == wanted, told
    assert json.loads(told)["message"] and "traceback" not in json.loads(told)
    if len(body) <= 8000:
        assert post(wire, "/raw", body, content_type)[::2] == (200, str(len(body)).encode())
    wait_for(lambda: left() == [])
    assert post(wire, "/", b"a=1", URLENCODED)[2] == b"unharmed"
