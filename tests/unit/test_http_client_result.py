"""Answers over HTTP as handlers see them."""

from __future__ import annotations

import asyncio
import sys
import time

import pytest

from skitai.backend.drivers.http import HttpResult, make
from skitai.backend.drivers.http.incoming import Incoming, Watch
from skitai.backend.drivers.http.result import accepts
from skitai.backend.errors import Failed
from skitai.http.dates import format_http_date
from skitai.protocols.http1.answer import parse_head


def answer(*fields: str, content: bytes = b"", status: str = "200 OK") -> HttpResult:
    head = parse_head("".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", *fields, "")).encode("latin-1"))
    loop = asyncio.new_event_loop()
    try:
        incoming = Incoming(Watch(loop, 1), lambda head: None, 0, 1, False)
        incoming.leave()
    finally:
        loop.close()
    return HttpResult(head, content, make("get", "/asked"), incoming)


def test_fields_are_found_whatever_their_case():
    result = answer("X-One: 1", "Set-Cookie: a=b", "set-cookie: c=d; Path=/")
    assert result.headers["x-ONE"] == "1"
    assert result.headers["SET-COOKIE"] == ["a=b", "c=d; Path=/"]
    assert "x-one" in result.headers and "x-two" not in result.headers and 7 not in result.headers
    assert list(result.headers) == ["X-One", "Set-Cookie"]
    assert len(result.headers) == 2
    assert result.get_header("x-two") is None
    assert result.get_header("x-two", "-") == "-"
    with pytest.raises(KeyError):
        result.headers["x-two"]
    assert result.header == ["X-One: 1", "Set-Cookie: a=b", "Set-Cookie: c=d; Path=/"]


def test_nobody_changes_what_others_see():
    result = answer("A: 1", "A: 2")
    result.headers["a"].append("3")
    assert result.headers["a"] == ["1", "2"]


def test_parameters_of_a_field():
    result = answer('Content-Type: text/HTML; charset="iso-8859-1"')
    assert result.get_header_with_attr("content-type") == ("text/HTML", {"charset": "iso-8859-1"})
    assert result.get_header_with_attr("x", "-") == ("-", {})
    assert (result.content_type, result.encoding) == ("text/html", "iso-8859-1")


def test_cookies():
    result = answer('Set-Cookie: a="x\\073y"; HttpOnly', "Set-Cookie: b=1=2", "Set-Cookie: odd", "Set-Cookie: {j}=3; Secure")
    assert result.cookies == {"a": "x;y", "b": "1=2", "{j}": "3"}
    assert result.get_cookie("b") == "1=2"
    assert result.get_cookie("none", 7) == 7


@pytest.mark.parametrize(
    ("content_type", "content", "data"),
    [
        ("application/json", b'{"a": [1]}', {"a": [1]}),
        ("application/problem+json; charset=utf-8", b"7", 7),
        ("Application/JSON", b"null", None),
        ("application/json", b"{broken", b"{broken"),
        ("application/json", b"", b""),
        ("text/plain", b"7", b"7"),
        ("", b"7", b"7"),
    ],
)
def test_data(content_type, content, data):
    result = answer(f"Content-Type: {content_type}", content=content)
    assert result.data == data
    assert result.data is result.data
    assert result.content == result.binary == result.raw.read() == content
    result.data = "other"
    assert result.data == "other"


def test_what_is_no_json_says_so():
    with pytest.raises(ValueError, match=r"."):
        answer("Content-Type: application/json", content=b"{broken").json()


@pytest.mark.parametrize(
    ("charset", "content", "text"),
    [("", "ü".encode(), "ü"), ("latin-1", b"\xfc", "ü"), ("no-such", "ü".encode(), "ü"), ("utf-8", b"\xfc", "\ufffd")],
)
def test_text(charset, content, text):
    assert answer(f"Content-Type: text/plain; charset={charset}", content=content).text == text


def test_how_long_an_answer_is_fresh():
    now = format_http_date(time.time())
    later = format_http_date(time.time() + 100)
    assert answer("Cache-Control: public, max-age=60", f"Expires: {later}").max_age == 60
    assert answer(f"Date: {now}", f"Expires: {later}").max_age in (99, 100)
    assert answer(f"Expires: {later}").max_age in (98, 99, 100)
    assert answer("Expires: 0").max_age == 0
    assert answer("Cache-Control: no-store, max-age=60").max_age == 0
    assert answer("Cache-Control: s-maxage=60").max_age == 0
    assert answer().expire == 0
    assert answer("Cache-Control: max-age=60").expire > time.time() + 50


def test_reasons_and_refusals():
    assert answer(status="404").reason == "Not Found"
    assert answer(status="404 Gone fishing").reason == "Gone fishing"
    assert repr(answer(status="404")) == "<Response [404]>"
    answer().raise_for_status()
    with pytest.raises(Failed, match="302"):
        answer(status="302 Found").raise_for_status()


def test_what_was_asked():
    result = answer()
    assert (result.url, result.method, result.request.method) == ("/asked", "get", "get")
    assert result.request.headers["Accept"] == "*/*"
    assert result.request.payload is None
    assert result.history == []


def test_lxml_is_only_for_those_who_have_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "lxml", None)
    with pytest.raises(RuntimeError, match="pip install lxml"):
        answer().lxml  # noqa: B018


@pytest.mark.parametrize(
    ("wanted", "media_type", "taken"),
    [
        ("*/*", "a/b", True),
        ("text/*, a/c", "text/html", True),
        ("a/b;q=0.5", "a/b", True),
        ("A/B", "a/b", True),
        ("a/b;q=0", "a/b", False),
        ("a/*", "b/a", False),
        ("application/json", "application/problem+json", False),
    ],
)
def test_media_types(wanted, media_type, taken):
    assert accepts(wanted, media_type) is taken
