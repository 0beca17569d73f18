"""Request paths: decoding, and which may name a file."""

from __future__ import annotations

import os
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skitai.http.uri import file_path, unquote


def test_2_1_a_path_is_decoded_once() -> None:
    assert unquote("/a%20b") == "/a b"
    assert unquote("/a%2520b") == "/a%20b"
    assert unquote("/%ed%95%9c") == "/\xed\x95\x9c"


def test_2_1_what_is_not_an_escape_stays() -> None:
    assert unquote("/100%") == "/100%"
    assert unquote("/%zz%4") == "/%zz%4"


def test_2_1_raw_bytes_above_ascii_are_kept() -> None:
    assert unquote("/\xed\x95\x9c%20") == "/\xed\x95\x9c "


@given(st.binary(max_size=40))
def test_any_bytes_survive_quoting_and_decoding(raw: bytes) -> None:
    assert unquote("/" + quote_from_bytes(raw)).encode("latin-1") == b"/" + raw


def test_a_plain_path_names_a_file() -> None:
    assert file_path("/") == "/"
    assert file_path("/css/site.css") == "/css/site.css"
    assert file_path("/folder/") == "/folder/"
    assert file_path("/a%20b.txt") == "/a b.txt"
    assert file_path("/%ED%95%9c.txt") == "/한.txt"
    assert file_path("/a..b/c...d/e.") == "/a..b/c...d/e."


def test_bytes_that_are_not_utf_8_name_files_as_the_file_system_shows_them() -> None:
    assert file_path("/%ff") == os.fsdecode(b"/\xff")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "*",
        "name",
        "/..",
        "/../etc/passwd",
        "/a/../b",
        "/%2e%2e/b",
        "/.%2E/b",
        "/a/./b",
        "/.",
        "/a/.",
        "//etc/passwd",
        "/a//b",
        "/a%2fb",
        "/a%2Fb",
        "/%2f",
        "/a\\b",
        "/a%5cb",
        "/a%5Cb",
        "/a%00.html",
        "/a\0",
        "/.git/config",
        "/a/.env",
        "/%2eenv",
        "/.htaccess",
        "/.well-known/.secret",
        "/a/.well-known/b",
        "/.well-known/../a",
        "/.well-known2/a",
    ],
)
def test_such_a_path_names_no_file(path: str) -> None:
    assert file_path(path) is None


def test_rfc_8615_well_known_files_are_served() -> None:
    assert file_path("/.well-known/acme-challenge/token") == "/.well-known/acme-challenge/token"
    assert file_path("/.well-known/") == "/.well-known/"
    assert file_path("/%2ewell-known/x") == "/.well-known/x"


PIECES = st.sampled_from(
    ["/", ".", "..", "%2e", "%2E", "%2f", "%5c", "\\", "%00", "%25", "%c0%af", "a", "etc", "~", ":", ";", "\xff"]
)


@given(st.lists(PIECES, max_size=12).map("".join) | st.text(st.characters(max_codepoint=255), max_size=30))
def test_no_path_ever_leaves_the_folder(tail: str) -> None:
    path = file_path("/" + tail)
    if path is None:
        return
    folder = "/srv/www"
    joined = os.path.normpath(folder + path)
    assert joined == folder or joined.startswith(folder + "/")
    assert os.path.normpath(folder + path.rstrip("/")) == folder + path.rstrip("/")
    assert "\0" not in path
    os.fsencode(path)
