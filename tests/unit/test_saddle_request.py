"""`was.request`: every name of it, and bodies that are not what they say."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from skitai.errors import Answerable, BadRequest, TooLarge
from skitai.ipc.rundir import Places
from skitai.saddle import uploads
from skitai.saddle.request import Request
from skitai.saddle.routing import Route
from skitai.was import host
from tests.support.asked import ask, ask_form, field, multipart_body, upload
from tests.support.memory import make_config

URLENCODED = "application/x-www-form-urlencoded"


def test_the_request_line() -> None:
    request = ask("/a/b;v=1?x=1&y=2", "PUT", scheme="https", version="1.0")
    assert (request.method, request.command, request.version) == ("PUT", "put", "1.0")
    assert request.uri == "/a/b;v=1?x=1&y=2"
    assert request.scheme == request.get_scheme() == "https"
    assert request.split_uri() == ("/a/b", ";v=1", "?x=1&y=2", None)
    assert ask("/").split_uri() == ("/", None, None, None)
    assert repr(request) == "<Request PUT /a/b;v=1?x=1&y=2>"


def test_an_absolute_target_is_shown_as_path() -> None:
    request = ask("/a?b=1")
    request.head.form, request.head.target = "absolute", "http://example/a?b=1"
    assert request.uri == "/a?b=1"


def test_fields() -> None:
    request = ask(
        user_agent="curl/8", accept="text/html", content_type="text/plain; charset=euc-kr", method="POST", body=b"x"
    )
    assert request.headers["ACCEPT"] == request.get_header("accept") == "text/html"
    assert request.get_header("x-nothing") is None and request.get_header("x-nothing", "-") == "-"
    assert request.header == request.get_raw_header() == request.get_header()
    assert "User-Agent: curl/8" in request.header
    assert ("User-Agent", "curl/8") in request.get_headers()
    assert request.host == "example"
    assert request.user_agent == request.get_user_agent() == "curl/8"
    assert (request.get_content_type(), request.get_main_type(), request.get_sub_type()) == ("text/plain", "text", "plain")
    assert request.get_charset() == request.get_attr("content-type", "Charset") == "euc-kr"
    assert request.get_attr("content-type", "nothing", "-") == "-"
    assert request.get_header_params("content-type") == ("text/plain", {"charset": "euc-kr"})
    assert request.get_header_noparam("content-type") == "text/plain"
    assert request.get_content_length() == 1


def test_a_request_without_fields() -> None:
    request = ask()
    assert request.user_agent == ""
    assert (request.get_content_type(), request.get_main_type(), request.get_sub_type()) == (None, None, None)
    assert request.get_charset() is None and request.get_content_length() == 0
    assert request.get_header_params("x-nothing") == ("", {})


def test_a_field_that_is_set_belongs_to_this_request_alone() -> None:
    request = ask(accept="a")
    other = Request(request.exchange, request.app)
    request.set_header("Accept", "b")
    assert request.get_header("accept") == "b" and other.get_header("accept") == "a"


@pytest.mark.parametrize(
    ("peer", "chain", "address"),
    [
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
        ("192.0.2.1", "", "192.0.2.1"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("::1", "198.51.100.7", "198.51.100.7"),
        ("", "198.51.100.7", "198.51.100.7"),
        ("127.0.0.1", "203.0.113.9, 198.51.100.7", "198.51.100.7"),
        ("127.0.0.1", "rubbish", "127.0.0.1"),
        ("192.168.1.5", "198.51.100.7", "192.168.1.5"),
    ],
)
def test_the_clients_address(peer: str, chain: str, address: str) -> None:
    request = ask(client=peer, **({"x_forwarded_for": chain} if chain else {}))
    assert request.get_remote_addr() == address


def test_who_and_which() -> None:
    request = ask()
    assert request.channel is request.exchange
    assert (request.gtxid, request.ltxid) == (request.get_gtxid(), "1000") == ("gtxn-1", "1000")
    assert (request.get_ltxid(), request.get_ltxid(3)) == ("1001", "1003")
    assert (request.user, request.token, request.claim) == (None, None, None)
    assert request.response is request.response
    assert request.routed is request.routed_function is None and request.routable == {}


def test_the_route() -> None:
    def show(was: Any, id: int, page: int = 1, **more: Any) -> str:
        return ""

    request = ask()
    request.route = Route("/show/<int:id>", show, methods=["POST", "OPTIONS"], content_types=["text/xml"], special=5)
    assert request.routed is request.routed_function is show
    routable = request.routable
    assert sorted(routable["methods"]) == ["OPTIONS", "POST"] and routable["content_types"] == ["text/xml"]
    assert (routable["args"], routable["defaults"], routable["keywords"]) == (["id", "page"], {"page": 1}, "more")
    assert routable["urlargs"] == ["id"] and routable["special"] == 5


def test_the_query() -> None:
    request = ask("/?a=1&b=2&a=3")
    assert request.query == {"a": ["1", "3"], "b": "2"}
    request.query["a"].append("mine")
    again = Request(request.exchange, request.app)
    assert again.query == {"a": ["1", "3"], "b": "2"}
    with pytest.raises(BadRequest, match="more than 1000"):
        _ = ask("/?" + "a=1&" * 1001).query


def test_a_body_of_any_type_is_readable() -> None:
    request = ask("/", "POST", b"\xff\x00", content_type="x/y")
    assert request.body == request.payload == request.get_body() == b"\xff\x00"
    assert request.stream.read() == request.stream.read() == b"\xff\x00"
    assert request.form() == request.dict() == {} and request.mapping() is None and request.multipart is None
    assert ask().body == b""


def test_json() -> None:
    request = ask("/", "POST", b'{"a": [1]}', content_type="application/json; charset=utf-8")
    assert request.json() is request.json() and request.json() == request.dict() == request.mapping() == {"a": [1]}
    assert ask("/", "POST", b"[1]").json() == [1]
    assert ask("/", "POST", b'{"a": 1}', content_type="application/problem+json").dict() == {"a": 1}


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"nothing", b"[" * 100_000])
def test_what_is_no_json(body: bytes) -> None:
    with pytest.raises(BadRequest, match="not JSON"):
        ask("/", "POST", body, content_type="application/json").json()


@pytest.mark.parametrize("body", [b"[1]", b"1", b'"a"', b"null"])
def test_json_that_is_no_object(body: bytes) -> None:
    request = ask("/", "POST", body, content_type="application/json")
    assert request.mapping() is None
    with pytest.raises(BadRequest, match="an object is wanted"):
        request.dict()


def test_a_form() -> None:
    request = ask("/", "POST", b"a=1&b=%C3%BC&a=2", content_type=URLENCODED)
    assert request.form() is request.form() and request.form() == request.dict() == {"a": ["1", "2"], "b": "ü"}
    assert ask("/", "POST", b"a=1").form(URLENCODED) == {"a": "1"}
    assert ask("/", "POST", b"n=%FC", content_type=f"{URLENCODED}; charset=latin-1").form() == {"n": "ü"}


def test_forms_that_are_refused() -> None:
    for body, charset, status in ((b"a=%FF", "utf-8", 400), (b"a=1", "klingon", 415), (b"a&" * 1001, "utf-8", 413)):
        with pytest.raises(Answerable) as refused:
            ask("/", "POST", body, content_type=f"{URLENCODED}; charset={charset}").form()
        assert refused.value.status == status


def test_a_multipart_form() -> None:
    request = ask_form(field("name", "Hän"), upload("pic", "../a.png", b"content", "image/png"), upload("pic", "b.png", b""))
    form = request.form()
    assert form is request.multipart and form == request.dict()
    assert form["name"] == "Hän"
    first, second = form["pic"]
    assert (first.name, first.mimetype, first.size, first.read()) == ("a.png", "image/png", 7, b"content")
    assert (second.name, second.size, bool(second)) == ("b.png", 0, True)
    assert request.body.startswith(b"--limit\r\n")
    assert not ask_form(upload("pic", "", b"")).form()["pic"]
    request.close()


def test_limits_of_the_app() -> None:
    with pytest.raises(TooLarge, match="a file of more than 5 bytes"):
        ask_form(upload("f", "f", b"123456"), config={"max_upload_file_size": 5}).form()
    with pytest.raises(TooLarge, match="more than 5 bytes of text"):
        ask_form(field("f", "123456"), config={"max_post_body_size": 5}).form()


def test_nothing_is_left_of_a_form_that_is_refused_or_of_a_request_that_is_over() -> None:
    big = b"x" * 1_100_000
    refused = ask_form(upload("a", "a", big), upload("b", "b", big), config={"max_upload_file_size": 1_099_999})
    for _ in range(2):
        with pytest.raises(TooLarge):
            refused.form()
    kept = ask_form(upload("a", "a", big), upload("b", "b", big))
    path = kept.form()["a"].path
    assert path is not None and os.path.exists(path)
    for request in (refused, kept):
        request.close()
        request.close()
    folder = uploads.temporary_folder()
    assert [name for name in os.listdir(folder) if name.startswith(f"upload-{os.getpid()}-")] == []


def test_merged_arguments() -> None:
    request = ask("/?a=1&b=2", "POST", b'{"b": 3}', content_type="application/json")
    assert request.args == {"a": "1", "b": 3} and request.args.a == "1"
    request.args.c = 4
    assert request.args["c"] == 4


@pytest.fixture
def worker() -> Iterator[Callable[..., None]]:
    """Tells the process that it is a worker with these options."""

    def attach(**options: Any) -> None:
        host.attach(cast("host.WorkerServices", SimpleNamespace(config=make_config(**options), places=Places(""))))

    yield attach
    host.attach(None)


def test_limits_of_the_server(worker: Callable[..., None]) -> None:
    worker(form_fields=1, form_files=1, form_part_fields=2, upload_memory_bytes=3)
    assert ask("/?a=1").query == {"a": "1"}
    with pytest.raises(BadRequest, match="more than 1 parameters"):
        _ = ask("/?a=1&b=2").query
    with pytest.raises(TooLarge, match="more than 1 fields"):
        ask("/", "POST", b"a=1&b=2", content_type=URLENCODED).form()
    for parts, said in (
        ([field("a", ""), field("b", "")], "more than 1 fields"),
        ([upload("a", "a", b""), upload("b", "b", b"")], "more than 1 files"),
        ([("Content-Disposition: form-data; name=a\r\nX-A: b\r\nX-B: c", b"")], "header count"),
    ):
        with pytest.raises(TooLarge, match=said):
            ask_form(*parts).form()
    for content, in_memory in ((b"123", True), (b"1234", False)):
        request = ask_form(upload("a", "a", content))
        assert request.form()["a"].in_memory is in_memory
        request.close()


def test_proxies_of_the_server_are_believed(worker: Callable[..., None]) -> None:
    worker(trusted_proxies=("192.0.2.0/24",))
    request = ask(client="192.0.2.1", x_forwarded_for="198.51.100.7, 192.0.2.9")
    assert request.get_remote_addr() == "198.51.100.7"
    assert ask(client="203.0.113.1", x_forwarded_for="198.51.100.7").get_remote_addr() == "203.0.113.1"


def test_compressed_bodies() -> None:
    packed = gzip.compress(b'{"a": 1}')
    request = ask("/", "POST", packed, content_type="application/json", content_encoding="gzip")
    assert request.json() == {"a": 1} and request.body == packed
    assert ask("/", "POST", gzip.compress(b"a=1"), content_type=URLENCODED, content_encoding="gzip").form() == {"a": "1"}
    parts = gzip.compress(multipart_body(field("a", "1"), upload("f", "f", b"content")))
    kind = "multipart/form-data; boundary=limit"
    form = ask("/", "POST", parts, content_type=kind, content_encoding="gzip").form()
    assert form["a"] == "1" and form["f"].read() == b"content"
    for body, coding, status in ((b"{}", "gzip", 400), (b"{}", "br", 415), (gzip.compress(b" " * 10_000_000), "gzip", 413)):
        for content_type in ("application/json", URLENCODED, kind):
            with pytest.raises(Answerable) as refused:
                ask("/", "POST", body, content_type=content_type, content_encoding=coding).dict()
            assert refused.value.status == status, (content_type, coding)
