"""`was.response`: status, fields and the contents that it makes."""

from __future__ import annotations

import http
import sys
from pathlib import Path
from typing import Any

import pytest

from skitai.errors import NotFound
from skitai.saddle.contents import Api
from skitai.saddle.response import HTTPError, Response
from tests.support.asked import ask


@pytest.fixture
def response() -> Response:
    made: Response = ask().response
    return made


def test_calling_sets_the_status_and_gives_the_body_back(response: Response) -> None:
    assert response("201 Created", "text", [("Location", "/x"), ("X-Size", 5)]) == "text"
    assert response.get_status() == response.status == "201 Created" and response.status_code == 201
    assert response.get_headers() == [("Location", "/x"), ("X-Size", "5")]
    assert response() == "" and response.get_status() == "200 OK"
    assert response("204 No Content") == response("304 Not Modified") == ""
    assert response(body="b", headers={"Cache-Control": "max-age=60"}) == "b"


@pytest.mark.parametrize(
    ("status", "code", "text"),
    [
        ("302 Object Moved", 302, "302 Object Moved"),
        ("404", 404, "404 Not Found"),
        (418, 418, "418 I'm a Teapot"),
        (http.HTTPStatus.CONFLICT, 409, "409 Conflict"),
        ("299 Fine", 299, "299 Fine"),
        (599, 599, "599 Server Error"),
    ],
)
def test_statuses(response: Response, status: Any, code: int, text: str) -> None:
    response.set_status(status)
    assert (response.status_code, response.get_status()) == (code, text)


@pytest.mark.parametrize(
    "status", ["OK", "", "20 OK", "2000 OK", "200OK", None, True, 3.5, 99, 100, 1000, [], "²00 OK", "200 a\r\nb"]
)
def test_what_is_no_status(response: Response, status: Any) -> None:
    with pytest.raises(ValueError):
        response.set_status(status)


def test_fields(response: Response) -> None:
    response.set_header("X-One", "1")
    response.set_header("x-one", "2")
    assert response.get_header("X-ONE") == response["X-One"] == "2" and response.get_headers() == [("x-one", "2")]
    response["X-One"] = "3"
    assert response.get_headers() == [("x-one", "2"), ("X-One", "3")]
    response.update({"X-One": "4"})
    assert response.get_headers() == [("X-One", "4")]
    response.append_header("Vary", "Accept")
    response.append_header("Vary", "Cookie")
    assert response["vary"] == "Accept, Cookie"
    assert "VARY" in response and list(response) == ["X-One", "Vary"]
    response.del_header("x-one")
    del response["vary"]
    assert response.get_headers() == [] and response.get_header("vary", "-") == "-" and "vary" not in response
    with pytest.raises(KeyError):
        _ = response["vary"]


def test_what_a_response_has_once_is_replaced(response: Response) -> None:
    response.set_header("Content-Type", "text/plain")
    response("200 OK", "", [("content-type", "text/csv"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
    assert response.get_headers() == [("content-type", "text/csv"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
    response.clear()
    assert (response.get_status(), response.get_headers()) == ("200 OK", [])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-A", "a\r\nSet-Cookie: b=c"),
        ("X-A", "a\nb"),
        ("X-A", "a\rb"),
        ("X-A", "a\0b"),
        ("X-A", b"a\r\nb"),
        ("X-A", "한글"),
        ("X-A\r\nX-B", "v"),
        ("X A", "v"),
        ("X:A", "v"),
        ("", "v"),
        ("Xü", "v"),
    ],
)
def test_what_would_break_the_response_is_an_error_in_the_app(response: Response, name: str, value: Any) -> None:
    for attempt in (
        lambda: response.set_header(name, value),
        lambda: response.__setitem__(name, value),
        lambda: response.update({name: value}),
        lambda: response.append_header(name, value),
        lambda: response("200 OK", "", [(name, value)]),
        lambda: response("404 Not Found", None, [(name, value)]),
        lambda: response.with_explain("404 Not Found", "", [(name, value)]),
    ):
        with pytest.raises(ValueError):
            attempt()
    assert response.get_headers() == []


def test_error_pages(response: Response) -> None:
    page = response("404 Not Here", headers=[("X-Why", "gone")])
    assert isinstance(page, HTTPError)
    assert (page.status, page.reason, page.message, list(page.fields)) == (404, "Not Here", "", [("X-Why", "gone")])
    assert response.get_headers() == [] and response.get_status() == "200 OK"
    page = response.with_explain("503 Service Unavailable", "come back on Thursday")
    assert (page.status, page.reason, page.message) == (503, "", "come back on Thursday")
    with pytest.raises(HTTPError, match="no entry") as thrown:
        response.throw("403 Forbidden", "no entry")
    assert thrown.value.status == 403
    try:
        raise KeyError("here")
    except KeyError:
        page = response("500 Internal Server Error", exc_info=sys.exc_info())
    assert page.status == 500 and "KeyError: 'here'" in page.shown and __file__ in page.shown


def test_caching() -> None:
    response: Response = ask().response
    response.set_cache(60)
    assert response.get_headers() == [("Cache-Control", "max-age=60")]
    response.set_cache(0)
    assert response.get_headers() == [("Cache-Control", "no-cache")]
    old: Response = ask(version="1.0").response
    old.set_cache(60)
    assert old.get_header("Expires").endswith("GMT")


def test_hints_go_to_the_protocol(response: Response) -> None:
    pushed: list[str] = []
    exchange: Any = response.exchange
    exchange.push = pushed.append
    response.hint_promise("/images/b.png")
    assert pushed == ["/images/b.png"]
    with pytest.raises(ValueError):
        response.hint_promise("/a\r\nX: y")


def test_json_objects(response: Response) -> None:
    assert response.API() == {} and isinstance(response.API(), Api)
    assert response.api({"a": 1}, b=2) == {"a": 1, "b": 2}
    assert response.API(status=1, response=2) == {"status": 1, "response": 2}
    content = response.API()
    content.a = 1
    content.set("b", 2)
    assert content == {"a": 1, "b": 2}


def test_faults(response: Response) -> None:
    assert response.Fault("200 OK", data=[1]) == {"data": [1]}
    assert response.Fault("201 Created") == {} and response.status_code == 201
    assert response.Fault("400 Bad Request", "q is missing", 10021) == {"code": 10021, "message": "q is missing"}
    assert response.get_status() == "400 Bad Request"
    assert response.for_api("400 Bad Request", "m", 1, "details", "https://example.com/1") == {
        "code": 1,
        "message": "m",
        "debug": "details",
        "more_info": "https://example.com/1",
    }
    assert response.fault() == {"code": 20000, "message": ""}


def test_tracebacks(response: Response) -> None:
    def search() -> None:
        raise LookupError("not there")

    try:
        search()
    except LookupError:
        fault = response.Fault("500 Internal Server Error", "wrong", 10022, traceback=True)
        told = response.traceback()
        third = response.fault("m", exc_info=sys.exc_info())
    assert (fault["code"], fault["message"], fault["debug"]) == (10022, "wrong", "see traceback")
    assert fault["traceback"][0] == "not there"
    assert fault["traceback"][1].startswith(f"in file {__file__} at line ") and fault["traceback"][1].endswith(
        "function search"
    )
    assert (told["code"], told["message"], told["debug"]) == (10001, "not there", "see traceback")
    assert told["traceback"] == fault["traceback"] and third["traceback"][0] == "not there"
    with pytest.raises(RuntimeError, match="except block"):
        response.traceback()


def test_files(response: Response, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    assert response.file(tmp_path / "a.txt").media_type == "application/octet-stream"
    assert response.file(str(tmp_path / "a.txt"), "").media_type.startswith("text/plain")
    for missing in (tmp_path, tmp_path / "b", tmp_path / "a.txt" / "b", "a\0b", "/dev/null", "x" * 5000):
        with pytest.raises(NotFound):
            response.file(missing)
