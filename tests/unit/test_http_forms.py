"""Query strings and forms: what they mean, and what is refused."""

from __future__ import annotations

import contextlib
import io
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skitai.errors import Answerable, BadRequest, TooLarge
from skitai.http import forms
from skitai.http.forms import Limits, gather, parse_multipart, parse_query, parse_urlencoded
from tests.support.asked import field, multipart_body, upload


class Kept(io.BytesIO):
    """A file as the parser hands it over."""

    def __init__(self, name: str, media_type: str) -> None:
        super().__init__()
        self.name, self.media_type, self.complete = name, media_type, False

    def end(self) -> None:
        self.complete = True


def parse(
    body: bytes, boundary: str = "limit", piece: int = 65536, charset: str = "", **limits: int
) -> list[tuple[str, Any]]:
    pieces = [body[at : at + piece] for at in range(0, len(body), piece)]
    return parse_multipart(pieces, boundary, Kept, charset, Limits(**limits))


@pytest.mark.parametrize(
    ("query", "pairs"),
    [
        ("", []),
        ("a=1", [("a", "1")]),
        ("a=1&b=2&a=3", [("a", "1"), ("b", "2"), ("a", "3")]),
        ("a=&b", [("a", ""), ("b", "")]),
        ("&&a=1&&", [("a", "1")]),
        ("a=b=c", [("a", "b=c")]),
        ("na+me=a+b%20c%2B", [("na me", "a b c+")]),
        ("n=%C3%BC", [("n", "ü")]),
        ("n=\xc3\xbc", [("n", "ü")]),
        ("n=%E9", [("n", "\ufffd")]),
        ("n=%zz%4", [("n", "%zz%4")]),
        ("a;b=1", [("a;b", "1")]),
    ],
)
def test_a_query(query: str, pairs: list[tuple[str, str]]) -> None:
    assert parse_query(query) == pairs


@given(st.lists(st.tuples(st.text(min_size=1), st.text()), max_size=20))
def test_what_a_browser_encodes_is_read_back(pairs: list[tuple[str, str]]) -> None:
    sent = [(name.encode("utf-8", "replace"), value.encode("utf-8", "replace")) for name, value in pairs]
    wanted = [(name.decode(), value.decode()) for name, value in sent]
    assert parse_query(urlencode(sent)) == wanted
    assert parse_urlencoded(urlencode(sent).encode()) == wanted


@given(st.binary(max_size=200))
def test_any_urlencoded_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(BadRequest):
        parse_urlencoded(data)
    parse_query(data.decode("latin-1"))


def test_too_many_parameters_are_refused() -> None:
    assert len(parse_query("&".join(["a=1"] * 1000))) == 1000
    with pytest.raises(BadRequest, match="more than 1000"):
        parse_query("&".join(["a=1"] * 1001))
    assert len(parse_urlencoded(b"&".join([b"a=1"] * 1000))) == 1000
    with pytest.raises(TooLarge, match="more than 1000 fields"):
        parse_urlencoded(b"&".join([b"a=1"] * 1001))


def test_forms_in_other_charsets() -> None:
    assert parse_urlencoded(b"n=%C7%D1", "euc-kr") == [("n", "한")]
    assert parse_urlencoded(b"n=%FC", "ISO-8859-1") == [("n", "ü")]


@pytest.mark.parametrize(
    "charset", ["klingon", "idna", "punycode", "unicode_escape", "rot13", "hex", "a\0b", "ü", "x" * 500]
)
def test_a_charset_that_is_none_of_the_web_is_refused(charset: str) -> None:
    with pytest.raises(Answerable, match="charset") as refused:
        parse_urlencoded(b"n=1", charset)
    assert refused.value.status == 415


@pytest.mark.parametrize("data", [b"n=%FF", b"n=\xff", b"%FF=1"])
def test_a_form_that_is_not_in_its_charset_is_refused(data: bytes) -> None:
    with pytest.raises(BadRequest, match="not UTF-8"):
        parse_urlencoded(data)


def test_values_of_one_name_become_a_list() -> None:
    pairs = [("a", "1"), ("b", "2"), ("a", "3"), ("a", "4")]
    assert gather(pairs) == {"a": ["1", "3", "4"], "b": "2"}
    assert gather([("a", ["x"]), ("a", "y")]) == {"a": [["x"], "y"]}


@pytest.mark.parametrize("piece", [1, 2, 7, 65536])
def test_a_multipart_form(piece: int) -> None:
    body = multipart_body(
        field("name", "Hän"),
        upload("pic", "ü.png", b"\r\n--lim\r\n", "image/png"),
        field("name", ""),
        upload("none", "", b""),
    )
    (first, second, third, fourth) = parse(body, piece=piece)
    assert (first, third, fourth) == (("name", "Hän"), ("name", ""), ("none", ""))
    name, file = second
    assert (name, file.name, file.media_type, file.getvalue(), file.complete) == (
        "pic",
        "ü.png",
        "image/png",
        b"\r\n--lim\r\n",
        True,
    )


def test_a_file_without_a_name_but_with_content_is_a_file() -> None:
    ((_, file),) = parse(multipart_body(upload("f", "", b"content")))
    assert (file.name, file.getvalue()) == ("", b"content")


def test_an_empty_form() -> None:
    assert parse(b"--limit--\r\n") == []


def test_charsets_of_multipart_texts() -> None:
    part = ('Content-Disposition: form-data; name="n"', "한".encode("euc-kr"))
    assert parse(multipart_body(part), charset="euc-kr") == [("n", "한")]
    own = (part[0] + "\r\nContent-Type: text/plain; charset=euc-kr", part[1])
    assert parse(multipart_body(own)) == [("n", "한")]
    with pytest.raises(BadRequest, match="'n' of the form is not utf-8"):
        parse(multipart_body(part))
    with pytest.raises(forms.UnknownCharset):
        parse(multipart_body((part[0] + "\r\nContent-Type: text/plain; charset=klingon", b"x")))


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"fields": 1}, "more than 1 fields"),
        ({"files": 1}, "more than 1 files"),
        ({"text_bytes": 5}, "more than 5 bytes of text"),
        ({"file_bytes": 5}, "a file of more than 5 bytes"),
        ({"part_fields": 1}, "header count"),
    ],
)
def test_limits(limits: dict[str, int], said: str) -> None:
    body = multipart_body(field("a", "123"), field("b", "456"), upload("c", "c", b"12345"), upload("d", "d", b"123456"))
    assert len(parse(body)) == 4
    with pytest.raises(TooLarge, match=said):
        parse(body, **limits)


def test_the_default_limits() -> None:
    assert len(parse(multipart_body(*[field("a", "")] * 1000, *[upload("f", "f", b"")] * 100))) == 1100
    for parts in ([field("a", "")] * 1001, [upload("f", "f", b"")] * 101, [field("a", "")] * 5000):
        with pytest.raises(TooLarge):
            parse(multipart_body(*parts))
    nine = 'Content-Disposition: form-data; name="a"' + "".join(f"\r\nX-{number}: y" for number in range(8))
    with pytest.raises(TooLarge):
        parse(multipart_body((nine, b"")))
    with pytest.raises(TooLarge):
        parse(multipart_body((f'Content-Disposition: form-data; name="{"a" * 5000}"', b"")))


@pytest.mark.parametrize("boundary", ["", "ü", "a" * 201, "a\nb"])
def test_a_boundary_that_cannot_be(boundary: str) -> None:
    with pytest.raises(BadRequest, match="boundary"):
        parse(b"--x--", boundary)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nothing of the kind",
        b"--limit",
        b"--limit\r\n",
        b"--limit\r\nContent-Disposition: form-data; name=a\r\n\r\nthe end is missing",
        b"--limit\nContent-Disposition: form-data; name=a\n\nx\n--limit--",
        b"--limit\r\n\r\nno disposition\r\n--limit--",
        b"--limit\r\nContent-Disposition: attachment; name=a\r\n\r\nx\r\n--limit--",
        b"--limit\r\nno colon\r\n\r\nx\r\n--limit--",
        b"--limit\r\nContent-Disposition: form-data; name=a\r\nContent-Length: x\r\n\r\nx\r\n--limit--",
        b"--limit\r\nContent-Disposition: form-data; name=a\r\nContent-Length: 5\r\n\r\nx\r\n--limit--",
        b"--limit\r\nContent-Disposition: form-data; name=\xff\r\n\r\nx\r\n--limit--",
        b"--other\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--other--",
    ],
)
def test_what_is_no_multipart_form(body: bytes) -> None:
    with pytest.raises(BadRequest):
        parse(body)


@given(st.binary(max_size=300), st.integers(1, 50))
def test_any_bytes_are_a_form_or_refused(data: bytes, piece: int) -> None:
    for body in (data, b"--limit\r\nContent-Disposition: form-data; name=a\r\n" + data):
        with contextlib.suppress(BadRequest, TooLarge, forms.UnknownCharset):
            parse(body, piece=piece)
