"""HTTP authentication as text."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skitai.http import authorization as http

# RFC 7616, section 3.9.1
EXAMPLE = (
    'username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm={algorithm}, '
    'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, '
    'cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, response="{response}", '
    'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_example_of_the_rfc(algorithm: str, response: str) -> None:
    found = http.parameters(EXAMPLE.format(algorithm=algorithm, response=response))
    assert found is not None
    assert http.username(found) == "Mufasa"
    secret = http.secret_hash(found["algorithm"], "Mufasa", found["realm"], "Circle of Life")
    assert http.digest(found["algorithm"], secret, "GET", found) == found["response"] == response


def test_scheme_and_rest() -> None:
    assert http.split("Basic  YTpi ") == ("basic", "YTpi")
    assert http.split("BEARER x") == ("bearer", "x")
    assert http.split("") == ("", "")


@pytest.mark.parametrize(
    ("text", "found"), [("hans:1:2", ("hans", "1:2")), (":", ("", "")), ("jürgen:pässword", ("jürgen", "pässword"))]
)
def test_basic(text: str, found: tuple[str, str]) -> None:
    assert http.basic(b64encode(text.encode()).decode()) == found


@pytest.mark.parametrize("rest", ["", "hans", "aGFucw==", "!!!!", "é", "//79"])
def test_what_is_not_basic(rest: str) -> None:
    assert http.basic(rest) is None


@pytest.mark.parametrize(
    ("rest", "found"),
    [
        ('a=1, B = "x, \\"y\\" \\\\z" ,c=""', {"a": "1", "b": 'x, "y" \\z', "c": ""}),
        (",, a=b,", {"a": "b"}),
        ("", {}),
        ('a="1" b=2', None),
        ('a="1', None),
        ("a=1, a=2", None),
        ("token68==", None),
        ("a", None),
    ],
)
def test_parameters(rest: str, found: dict[str, str] | None) -> None:
    assert http.parameters(rest) == found


@given(st.text(st.characters(max_codepoint=255)))
def test_no_credentials_break_the_parsers(rest: str) -> None:
    http.basic(rest)
    found = http.parameters(rest)
    if found:
        http.username(found)


def test_names_beyond_ascii() -> None:
    assert http.username({"username": "jürgen".encode().decode("latin-1")}) == "jürgen"
    assert http.username({"username*": "UTF-8''J%C3%A4s%C3%B8n%20Doe"}) == "Jäsøn Doe"
    for wrong in (
        {"username": "\xe4"},
        {"username*": "latin-1''a"},
        {"username*": "UTF-8''%ff"},
        {"username": "a", "username*": "UTF-8''a"},
        {},
    ):
        assert http.username(wrong) is None


def test_a_challenge() -> None:
    given = http.challenge("Digest", realm='the "realm" é', qop="auth", algorithm="SHA-256", stale="", nonce="x")
    assert given == 'Digest realm="the \\"realm\\" Ã©", qop="auth", algorithm=SHA-256, nonce="x"'
    with pytest.raises(ValueError, match="control characters"):
        http.challenge("Basic", realm="a\r\nSet-Cookie: b")
