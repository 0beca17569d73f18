"""What handlers return, and what is sent of it."""

from __future__ import annotations

import asyncio
import datetime
import io
import json
import os
import tempfile
import time
import xmlrpc.client
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from skitai.errors import Answerable, NotFound
from skitai.http.dates import format_http_date
from skitai.saddle.answers import AnswerFacet
from skitai.saddle.contents import FileBody
from skitai.saddle.request import Request
from skitai.saddle.results import Outcome, attachment, outcome
from tests.support.asked import ask
from tests.support.user import ordinary_user

HTML = "text/html; charset=utf-8"
JSON = "application/json"
BINARY = "application/octet-stream"


def send(result: Any, request: Request | None = None) -> Outcome:
    request = request or ask()
    return outcome(result, request.response, request)


def content(made: Outcome) -> bytes:
    """The whole body; what can be closed is closed."""
    body = made.body
    if isinstance(body, bytes):
        return body
    if isinstance(body, FileBody):
        with body.file as file:
            file.seek(body.offset)
            data = b""
            while len(data) < body.count:
                data += file.read(body.count - len(data))
            return data
    assert isinstance(body, Iterator)
    data = b"".join(body)
    body.close()  # type: ignore[attr-defined]
    return data


def type_of(made: Outcome) -> str | None:
    return {name.lower(): value for name, value in made.fields}.get("content-type")


@dataclass
class Point:
    x: int
    y: int


class Countdown:
    """A producer of one's own."""

    def __init__(self, count: int) -> None:
        self.left, self.closed = count, False

    def more(self) -> str:
        self.left -= 1
        return f"{self.left}," if self.left >= 0 else ""

    def close(self) -> None:
        self.closed = True


class Markup:
    def __html__(self) -> str:
        return "<b>x</b>"


@pytest.mark.parametrize(
    ("result", "body", "media_type"),
    [
        ("größe", "größe".encode(), HTML),
        ("\ud800", b"?", HTML),
        (b"\xff", b"\xff", HTML),
        (bytearray(b"a"), b"a", HTML),
        (memoryview(b"a"), b"a", HTML),
        ("", b"", None),
        (b"", b"", None),
        (5, b"5", HTML),
        (1.5, b"1.5", HTML),
        (True, b"True", HTML),
        ({}, b"{}", JSON),
        ({"a": [1]}, b'{"a":[1]}', JSON),
        ({"at": datetime.date(2026, 1, 2)}, b'{"at":"2026-01-02"}', JSON),
        (MappingProxyType({"a": Decimal(1)}), b'{"a":"1"}', JSON),
        ({1}, b"[1]", JSON),
        (Point(1, 2), b'{"x":1,"y":2}', JSON),
        ([], b"[]", JSON),
        ((), b"[]", JSON),
        ([1, 2.5], b"[1,2.5]", JSON),
        ([{"a": 1}], b'[{"a":1}]', JSON),
        ([[1, 2], []], b"[[1,2],[]]", JSON),
        ([None, "a"], b'[null,"a"]', JSON),
        ([Point(1, 2)], b'[{"x":1,"y":2}]', JSON),
        (["a", b"b", "ü"], "abü".encode(), HTML),
        (["a", ["b", ["c"]]], b"abc", HTML),
        (("a", "b"), b"ab", HTML),
        ((1, 2, 3), b"[1,2,3]", JSON),
        (["a", iter("bc"), Countdown(2), io.BytesIO(b"d")], b"abc1,0,d", HTML),
        (iter(["a", "", b"b"]), b"ab", HTML),
        ((each for each in "ab"), b"ab", HTML),
        (Countdown(3), b"2,1,0,", HTML),
        (io.BytesIO(b"file"), b"file", BINARY),
        (io.StringIO("file"), b"file", BINARY),
        (Markup(), b"<b>x</b>", HTML),
    ],
)
def test_what_is_sent(result: Any, body: bytes, media_type: str | None) -> None:
    made = send(result)
    assert (made.status, made.reason, content(made), type_of(made)) == (200, "", body, media_type)


@pytest.mark.parametrize(
    ("result", "status", "reason", "body"),
    [
        (("a", 201), 201, "", b"a"),
        (("a", "201 Created"), 201, "", b"a"),
        (("a", "201 Made", {"X-A": "b"}), 201, "Made", b"a"),
        (({"a": 1}, 400, [("X-A", "b")]), 400, "", b'{"a":1}'),
        (("", 204), 204, "", b""),
        (([1], 404), 404, "", b"[1]"),
    ],
)
def test_tuples_with_a_status(result: Any, status: int, reason: str, body: bytes) -> None:
    made = send(result)
    assert (made.status, made.reason, content(made)) == (status, reason, body)
    assert (("X-A", "b") in made.fields) == (len(result) == 3)


def test_an_error_page_from_a_tuple() -> None:
    with pytest.raises(Answerable) as refused:
        send((None, 404))
    assert refused.value.status == 404


def test_what_the_app_has_set_counts() -> None:
    request = ask()
    result = request.response("201 Made", {"a": 1}, [("content-type", "application/hal+json"), ("X-A", "b")])
    made = send(result, request)
    assert made == (201, "Made", (("content-type", "application/hal+json"), ("X-A", "b")), b'{"a":1}')
    request.response.clear()
    request.response.set_header("X-A", "b")
    assert send("a", request).fields == (("Content-Type", HTML), ("X-A", "b"))
    assert send("", request).fields == (("X-A", "b"),)


@pytest.mark.parametrize("result", [None, object(), Point, range(3), len, [object()], {"a": object()}, 1j])
def test_what_cannot_be_sent(result: Any) -> None:
    with pytest.raises(TypeError):
        send(result)


def test_a_handler_that_returns_nothing_is_told_so() -> None:
    with pytest.raises(TypeError, match="returned None"):
        send(None)


def test_a_coroutine_that_nobody_awaits_is_an_error() -> None:
    async def late() -> str:
        return ""

    with pytest.raises(TypeError, match="async def"):
        send(late())


def test_a_piece_that_is_no_text() -> None:
    with pytest.raises(TypeError, match="a piece of the body is a int"):
        content(send(iter([1])))


def test_an_asynchronous_iterator() -> None:
    async def generate() -> AsyncIterator[str]:
        yield "a"
        yield "ü"

    async def collect() -> list[bytes]:
        made = send(generate())
        assert type_of(made) == HTML and isinstance(made.body, AsyncIterator)
        pieces = [piece async for piece in made.body]
        await made.body.aclose()  # type: ignore[attr-defined]
        return pieces

    assert asyncio.run(collect()) == [b"a", "ü".encode()]


def test_a_producer_is_closed() -> None:
    countdown = Countdown(3)
    made = send([countdown, "end"])
    assert next(made.body) == b"2,"  # type: ignore[arg-type]
    made.body.close()  # type: ignore[union-attr]
    assert countdown.closed


def test_an_api_object_is_xml_where_that_is_wanted() -> None:
    request = ask(accept="text/xml, */*")
    made = send(request.response.API(a=[1, None]), request)
    assert type_of(made) == "text/xml; charset=utf-8"
    assert xmlrpc.client.loads(content(made))[0] == ({"a": [1, None]},)
    plain = ask(accept="application/json, text/xml")
    assert type_of(send(plain.response.API(a=1), plain)) == JSON


def test_a_fault_has_its_status() -> None:
    request = ask()
    made = send(request.response.Fault("400 Bad Request", "missing", 10021), request)
    assert made.status == 400 and json.loads(content(made)) == {"code": 10021, "message": "missing"}


def test_xml_is_read_back() -> None:
    value = {"a": [1, "b", None]}
    assert AnswerFacet.fromxml(xmlrpc.client.dumps((value,), methodresponse=True, allow_none=True)) == value
    fault = xmlrpc.client.dumps(xmlrpc.client.Fault(1, "wrong"))
    for text in ("", "<a", "nothing", fault, xmlrpc.client.dumps((1,), "add"), "<!DOCTYPE a><a/>"):
        with pytest.raises(ValueError):
            AnswerFacet.fromxml(text)


# Files (RFC 9110, sections 13 and 14)

CONTENT = bytes(range(100))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "a.bin"
    file.write_bytes(CONTENT)
    os.utime(file, (1_000_000_000, 1_000_000_000))
    return file


def get_file(path: Path, **fields: str) -> Outcome:
    request = ask(**fields)
    return send(request.response.file(path), request)


def test_a_file(path: Path) -> None:
    made = get_file(path)
    fields = dict(made.fields)
    assert (made.status, content(made), fields["Content-Type"]) == (200, CONTENT, BINARY)
    assert (fields["Content-Length"], fields["Accept-Ranges"]) == ("100", "bytes")
    assert fields["Last-Modified"] == format_http_date(1_000_000_000) and fields["ETag"].startswith('"')


def test_a_file_to_be_saved(path: Path) -> None:
    request = ask()
    made = send(request.response.file(path, "image/png", filename="größe\r\n.png"), request)
    content(made)
    fields = dict(made.fields)
    assert fields["Content-Type"] == "image/png"
    assert (
        fields["Content-Disposition"] == "attachment; filename=\"gr__e__.png\"; filename*=UTF-8''gr%C3%B6%C3%9Fe%0D%0A.png"
    )
    assert attachment('a"b\\.txt').startswith('attachment; filename="a_b_.txt"; filename*')
    assert attachment("plain.txt") == 'attachment; filename="plain.txt"'


def test_a_part_of_a_file(path: Path) -> None:
    made = get_file(path, range="bytes=10-19")
    fields = dict(made.fields)
    assert (made.status, content(made)) == (206, CONTENT[10:20])
    assert (fields["Content-Range"], fields["Content-Length"]) == ("bytes 10-19/100", "10")


def test_several_parts_of_a_file(path: Path) -> None:
    made = get_file(path, range="bytes=0-1,-2")
    fields = dict(made.fields)
    body = content(made)
    assert made.status == 206 and fields["Content-Type"].startswith("multipart/byteranges; boundary=")
    assert b"Content-Range: bytes 0-1/100\r\n\r\n\x00\x01\r\n" in body and b"\r\n\r\n\x62\x63\r\n" in body
    assert len(body) == int(fields["Content-Length"])


def test_a_file_that_the_client_has(path: Path) -> None:
    whole = get_file(path)
    content(whole)
    etag, modified = dict(whole.fields)["ETag"], dict(whole.fields)["Last-Modified"]
    for fields in ({"if_none_match": etag}, {"if_modified_since": modified}):
        made = get_file(path, **fields)
        assert (made.status, made.body, made.fields) == (304, b"", [("ETag", etag)])
    made = get_file(path, range="bytes=0-0", if_range=etag)
    assert (made.status, content(made)) == (206, b"\x00")
    made = get_file(path, range="bytes=0-0", if_range='"other"')
    assert (made.status, content(made)) == (200, CONTENT)


def test_a_file_that_is_refused(path: Path) -> None:
    for fields, status in (
        ({"if_match": '"other"'}, 412),
        ({"range": "bytes=200-"}, 416),
        ({"range": "bytes=0-5,3-9"}, 416),
    ):
        with pytest.raises(Answerable) as refused:
            get_file(path, **fields)
        assert refused.value.status == status
    assert dict(refused.value.fields) == {"Content-Range": "bytes */100"}


def test_fields_of_the_app_count_for_files_too(path: Path) -> None:
    request = ask(if_none_match='"mine"', range="bytes=0-0")
    request.response.set_header("ETag", '"mine"')
    assert send(request.response.file(path), request).status == 304
    dated = ask(if_modified_since="Sun, 06 Nov 1994 08:49:37 GMT")
    dated.response.set_header("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT")
    assert send(dated.response.file(path), dated).status == 304
    other = ask(range="bytes=0-0")
    made = send(other.response("404 Not Found", other.response.file(path), {"Content-Type": "image/gif"}), other)
    assert (made.status, content(made), type_of(made)) == (404, CONTENT, "image/gif")


def test_a_file_that_vanishes(path: Path) -> None:
    request = ask()
    file = request.response.file(path)
    path.unlink()
    with pytest.raises(NotFound):
        send(file, request)


def test_a_file_that_may_not_be_read() -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a"
        file.touch(0)
        for mode in (0o755, 0):  # that of the folder: the file may not be opened, then not even be seen
            os.chmod(folder, mode)
            request = ask()
            with ordinary_user(), pytest.raises(Answerable) as refused:
                send(request.response.file(file), request)
            assert refused.value.status == 403
        os.chmod(folder, 0o755)


def test_a_file_of_the_future_has_no_date_of_the_future(path: Path) -> None:
    os.utime(path, (time.time() + 9999, time.time() + 9999))
    made = get_file(path)
    content(made)
    assert dict(made.fields)["Last-Modified"] <= format_http_date(time.time() + 2)


def test_open_files(path: Path) -> None:
    with open(path, "rb") as file:
        file.read(90)
        made = send(file)
        assert isinstance(made.body, FileBody) and content(made) == CONTENT[90:]
        assert ("Content-Length", "10") in made.fields
    request = ask()
    with open(path, "rb") as file:
        made = send(request.response("200 OK", file, [("Content-Type", "video/mp4"), ("Content-Length", "5")]), request)
        assert (type_of(made), [value for name, value in made.fields if name == "Content-Length"]) == ("video/mp4", ["5"])
    with tempfile.TemporaryFile() as file:
        file.write(b"written")
        file.seek(0)
        assert content(send(file)) == b"written"
    with open(path, "w+") as text:
        text.write("text")
        text.seek(0)
        made = send(text)
        assert not isinstance(made.body, FileBody) and content(made) == b"text"
    reader, writer = os.pipe()
    os.write(writer, b"piped")
    os.close(writer)
    with open(reader, "rb") as pipe:
        assert content(send(pipe)) == b"piped"
