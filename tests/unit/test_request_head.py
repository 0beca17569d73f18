"""Request heads (RFC 9112, sections 2 and 3) as values; what they look like on the wire is in tests/wire."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skitai.config.sections.serving import Http1
from skitai.errors import Answerable, BadRequest, HeadTooLarge
from skitai.exchange import Head
from skitai.protocols.http1.request import KNOWN_BYTES, KNOWN_HEADS, METHODS, HeadParser, host_name

PARSER = HeadParser(Http1())


def head(line: str = "GET / HTTP/1.1", *fields: str, host: str = "Host: a") -> Head:
    lines = [line, *([host] if host else []), *fields, "", ""]
    return PARSER.parse("\r\n".join(lines).encode("latin-1"))


def refusal(line: str = "GET / HTTP/1.1", *fields: str, host: str = "Host: a") -> int:
    with pytest.raises(Answerable) as caught:
        head(line, *fields, host=host)
    return caught.value.status


def test_a_head_says_what_was_asked() -> None:
    found = head("POST /a%20b/%C3%A9?x=%20&y HTTP/1.1", "Content-Length: 12", "X-A: 1", host="Host: Example.ORG:8080")
    assert (found.method, found.target, found.form) == ("POST", "/a%20b/%C3%A9?x=%20&y", "origin")
    assert (found.path, found.raw_path, found.query) == ("/a b/\xc3\xa9", "/a%20b/%C3%A9", "x=%20&y")
    assert (found.host, found.version, found.length) == ("example.org", "1.1", 12)
    assert found.fields.get(b"x-a") == b"1"
    assert repr(found) == "<Head POST /a%20b/%C3%A9?x=%20&y HTTP/1.1>"


@pytest.mark.parametrize(
    ("target", "form", "path", "query", "host"),
    [
        ("http://b/p?q", "absolute", "/p", "q", "b"),
        ("HTTP://B:80", "absolute", "/", "", "b"),
        ("http://b?q", "absolute", "/", "q", "b"),
        ("https://[::1]:5000/p", "absolute", "/p", "", "[::1]"),
        ("/p?a?b", "origin", "/p", "a?b", "a"),
        ("/?", "origin", "/", "", "a"),
        ("//x", "origin", "//x", "", "a"),
        ("/%", "origin", "/%", "", "a"),
        ("/%zz%4", "origin", "/%zz%4", "", "a"),
        ("/%00", "origin", "/\0", "", "a"),
    ],
)
def test_3_2_targets(target: str, form: str, path: str, query: str, host: str) -> None:
    found = head(f"GET {target} HTTP/1.1")
    assert (found.form, found.path, found.query, found.host) == (form, path, query, host)


@pytest.mark.parametrize("target", ["http://", "http:///p", "http://u@b/", "//", "http://b c/", "ws://b/", "b", "http:/b"])
def test_3_2_targets_that_are_refused(target: str) -> None:
    if target == "//":
        assert head("GET // HTTP/1.1").path == "//"
    else:
        assert refusal(f"GET {target} HTTP/1.1") == 400


def test_3_1_every_method_we_serve_is_parsed() -> None:
    for method in METHODS - {"CONNECT"}:
        assert head(f"{method} / HTTP/1.1").method == method
    assert head("CONNECT a:443 HTTP/1.1").form == "authority"


@pytest.mark.parametrize(
    ("version", "field", "keeps"),
    [
        ("1.1", "X: y", True),
        ("1.1", "Connection: close", False),
        ("1.1", "Connection: Keep-Alive, CLOSE", False),
        ("1.1", "Connection: upgrade", True),
        ("1.0", "X: y", False),
        ("1.0", "Connection: Keep-Alive", True),
        ("1.0", "Connection: close, keep-alive", False),
    ],
)
def test_9_3_whether_the_connection_lives_on(version: str, field: str, keeps: bool) -> None:
    assert head(f"GET / HTTP/{version}", field).keep_alive is keeps


def test_9_3_connection_options_in_several_fields_are_one_list() -> None:
    assert head("GET / HTTP/1.1", "Connection: upgrade", "Connection: close").keep_alive is False


@pytest.mark.parametrize(
    ("field", "length"),
    [
        ("X: y", 0),
        ("Content-Length: 0", 0),
        ("Content-Length: 007", 7),
        ("Transfer-Encoding: chunked", -1),
        ("Transfer-Encoding: Chunked", -1),
    ],
)
def test_6_3_the_length_of_the_body(field: str, length: int) -> None:
    assert head("POST / HTTP/1.1", field).length == length


def test_10_1_1_http_1_0_expects_nothing() -> None:
    assert head("POST / HTTP/1.1", "Expect: 100-Continue").expects_continue
    assert not head("POST / HTTP/1.0", "Expect: 100-continue").expects_continue
    assert refusal("POST / HTTP/1.1", "Expect: 100-continue, x") == 417


def test_fields_of_one_name_are_joined() -> None:
    fields = head("GET / HTTP/1.1", "X-A:1", "x-a: \t2 ", "Cookie: a=b", "COOKIE: c=d").fields
    assert fields.get(b"x-a") == b"1, 2"
    assert fields.get(b"cookie") == b"a=b; c=d"
    assert fields.pairs == ((b"host", b"a"), (b"x-a", b"1"), (b"x-a", b"2"), (b"cookie", b"a=b"), (b"cookie", b"c=d"))
    assert (fields.text("x-a"), fields.text("x-b"), fields.text("x-b", "-")) == ("1, 2", "", "-")
    assert b"x-a" in fields and b"x-b" not in fields


@pytest.mark.parametrize(
    ("value", "name"),
    [(b"A.b", "a.b"), (b"a:", "a"), (b"a:80", "a"), (b"[::1]", "[::1]"), (b"[FE80::1]:80", "[fe80::1]"), (b"", "")],
)
def test_host_names_have_no_port(value: bytes, name: str) -> None:
    assert host_name(value) == name


# Trailers and unfinished heads


def test_7_1_2_trailers_are_fields() -> None:
    assert PARSER.trailers(b"X-Sum: 1\r\nX-B: 2\r\n\r\n").pairs == ((b"x-sum", b"1"), (b"x-b", b"2"))


@pytest.mark.parametrize("name", [b"Content-Length", b"Transfer-Encoding", b"Host"])
def test_6_5_1_some_fields_are_no_trailers(name: bytes) -> None:
    with pytest.raises(BadRequest):
        PARSER.trailers(name + b": 1\r\n\r\n")


def test_an_unfinished_head_is_refused_as_soon_as_it_is_bad() -> None:
    parser = HeadParser(Http1(request_line_bytes=100, head_bytes=300))
    parser.check_partial(b"GET / HTTP/1.1\r\nHost: a\r")
    parser.check_partial(b"G" * 100)
    parser.check_partial(b"GET / HTTP/1.1\r\n" + b"x" * 284)
    with pytest.raises(BadRequest, match="LF"):
        parser.check_partial(b"GET / HTTP/1.1\nHo")
    with pytest.raises(HeadTooLarge, match="request line"):
        parser.check_partial(b"G" * 101)
    with pytest.raises(HeadTooLarge, match="request head"):
        parser.check_partial(b"GET / HTTP/1.1\r\n" + b"x" * 285)


# What is remembered


def test_a_head_that_comes_again_is_the_same_object() -> None:
    parser = HeadParser(Http1())
    data = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    first = parser.parse(data)
    assert parser.parse(bytes(bytearray(data))) is first
    assert parser.known[data] is first


def test_heads_with_the_same_fields_share_them() -> None:
    parser = HeadParser(Http1())
    one, two = (parser.parse(f"GET /{number} HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n".encode()) for number in (1, 2))
    assert one is not two and one.fields is two.fields


def test_equal_fields_behind_another_version_mean_something_else() -> None:
    parser = HeadParser(Http1())
    new = parser.parse(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    old = parser.parse(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
    assert (new.keep_alive, old.keep_alive) == (True, False)
    assert parser.parse(b"GET / HTTP/1.0\r\nX: y\r\n\r\n").host == ""
    with pytest.raises(BadRequest, match="no Host"):
        parser.parse(b"GET / HTTP/1.1\r\nX: y\r\n\r\n")


def test_a_flood_of_different_heads_does_not_fill_the_memory() -> None:
    parser = HeadParser(Http1())
    memos = (parser.known, parser._lines, parser._sections)
    for number in range(KNOWN_HEADS * 5):
        parser.parse(f"GET /{number} HTTP/1.1\r\nHost: a\r\nCookie: {number}\r\n\r\n".encode())
        assert all(len(memo) <= KNOWN_HEADS for memo in memos)
    for number in range(10):
        parser.parse(f"GET /{number} HTTP/1.1\r\nHost: a\r\nCookie: {'x' * 5000}{number}\r\n\r\n".encode())
    assert all(len(key) <= KNOWN_BYTES for memo in memos for key in memo)


def test_what_was_refused_is_refused_again() -> None:
    parser = HeadParser(Http1())
    for _ in range(3):
        with pytest.raises(BadRequest):
            parser.parse(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
    assert not parser.known and not parser._sections


# Whatever comes

GOOD = b"POST /a%20b?c HTTP/1.1\r\nHost: example.org:80\r\nContent-Length: 12\r\nCookie: a=b\r\nX-A: b c\r\n\r\n"


@settings(max_examples=400)
@given(
    at=st.integers(0, len(GOOD) - 5),
    gone=st.integers(0, 6),
    put=st.one_of(
        st.binary(max_size=6),
        st.sampled_from([b"\r", b"\n", b"\0", b" ", b"\t", b":", b"\r\n", b"\r\n ", b"\x7f", b"\xe9", b"Host: b\r\n"]),
    ),
)
def test_a_head_that_is_a_little_wrong_is_refused_or_harmless(at: int, gone: int, put: bytes) -> None:
    data = GOOD[:at] + put + GOOD[min(at + gone, len(GOOD) - 4) :]
    data = data[: data.index(b"\r\n\r\n") + 4]
    try:
        found = HeadParser(Http1()).parse(data)
    except Answerable as error:
        assert 400 <= error.status < 600
        return
    for name, value in found.fields.pairs:
        assert not {*name} & {*b"\r\n\0 \t:"}
        assert not {*value} & {*b"\r\n\0"}
    assert not {*found.target} & {*" \r\n\t\0#"}
    assert found.path.startswith("/")
    assert found.length >= -1
    names = [name for name, _ in found.fields.pairs]
    assert names.count(b"host") == 1 and names.count(b"content-length") <= 1


@settings(max_examples=200)
@given(data=st.binary(max_size=120))
def test_no_bytes_fail_in_any_other_way(data: bytes) -> None:
    try:
        HeadParser(Http1()).parse(b"GET / HTTP/1.1\r\n" + data.replace(b"\r\n\r\n", b"") + b"\r\n\r\n")
    except Answerable as error:
        assert error.status in (400, 417, 431)
