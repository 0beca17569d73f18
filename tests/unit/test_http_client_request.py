"""What a caller says becomes a request: methods, paths, queries, bodies, fields, and what cannot be sent."""

from __future__ import annotations

import asyncio
import io

import pytest

from skitai.backend.drivers.http import VERBS, HttpRequest, locate, make
from skitai.backend.drivers.http.bodies import Stream
from skitai.backend.drivers.http.credentials import challenges
from skitai.backend.drivers.http.http2 import request_pairs
from skitai.backend.drivers.http.request import target_of


def field(request: HttpRequest, name: str) -> str | None:
    found = [value for key, value in request.fields if key.lower() == name]
    assert len(found) < 2
    return found[0] if found else None


def body_of(request: HttpRequest) -> bytes:
    assert isinstance(request.body, Stream)
    stream = request.body

    async def read() -> bytes:
        return b"".join([piece async for piece in stream.pieces()])

    return asyncio.run(read())


# URLs


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("/", "/"),
        ("", "/"),
        ("pets/1", "/pets/1"),
        ("/a b/ü?q=ä&r=%20#part", "/a%20b/%C3%BC?q=%C3%A4&r=%20"),
        ("http://example", "/"),
        ("http://example?x=/y", "/?x=/y"),
        ("https://u:p@example:81/a?b#c", "/a?b"),
        ('/"<>\\^`{|}', "/%22%3C%3E%5C%5E%60%7B%7C%7D"),
        ("/?u=http://other/x", "/?u=http://other/x"),
        ("@pets/v1/dogs?x=1", "/v1/dogs?x=1"),
        ("@pets", "/"),
    ],
)
def test_targets(url, target):
    assert target_of(url) == target


@pytest.mark.parametrize("url", ["/a\r\nb", "/a\0", "/\x7f", "http://a/\n"])
def test_a_target_without_control_characters(url):
    with pytest.raises(ValueError, match="control characters"):
        make("get", url)


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("http://Example.com", ("http", "example.com", 80, False, "", "")),
        ("HTTPS://example.com:8443/x", ("https", "example.com", 8443, True, "", "")),
        ("http://us%40er:p%3Ass@[::1]:81/", ("http", "::1", 81, False, "us@er", "p:ss")),
        ("http://bücher.example/", ("http", "xn--bcher-kva.example", 80, False, "", "")),
    ],
)
def test_servers_of_urls(url, parts):
    member, _ = locate(url)
    assert (member.kind, member.host, member.port, member.secure, member.user, member.password) == parts
    assert member.verify


@pytest.mark.parametrize(
    "url",
    [
        "example.com",
        "/path",
        "ftp://example.com",
        "http://",
        "http://a b/",
        "http://a:70000/",
        "http://a:0/",
        "http://a:x/",
        "http://a\\b/",
        "http://[::1/",
        "http://ex\r\nample/",
    ],
)
def test_what_is_no_url(url):
    with pytest.raises(ValueError, match="(?i)url|host|port"):
        locate(url)


def test_messages_hide_passwords():
    with pytest.raises(ValueError, match="host|URL") as raised:
        locate("ftp://ann:secret@example.com/")
    assert "secret" not in str(raised.value)


# Verbs and bodies


def test_every_documented_verb_is_there():
    for name in ["get", "post", "put", "patch", "delete", "options", "head", "trace", "upload"]:
        assert name in VERBS
    for method in ("get", "post", "put", "patch", "delete"):
        assert {f"{method}json", f"{method}xml"} <= VERBS
    with pytest.raises(ValueError, match="no HTTP verb"):
        make("fetch", "/")


@pytest.mark.parametrize(
    ("verb", "method", "accept"),
    [
        ("get", "get", "*/*"),
        ("getjson", "get", "application/json"),
        ("deletexml", "delete", "application/xml, text/xml"),
        ("upload", "post", "*/*"),
        ("patchjson", "patch", "application/json"),
    ],
)
def test_verbs_say_what_they_accept(verb, method, accept):
    request = make(verb, "/", {"a": "b"} if verb != "patchjson" else {})
    assert (request.method, field(request, "accept"), request.accept) == (method, accept, "")
    assert request.verb == method.upper()


@pytest.mark.parametrize("verb", ["get", "getjson", "delete", "head", "options", "trace"])
def test_a_dictionary_goes_into_the_query(verb):
    request = make(verb, "/a?b=c", {"d": ["e", 1], "none": None, "ü": "&="})
    assert (request.target, request.body) == ("/a?b=c&d=e&d=1&%C3%BC=%26%3D", None)
    assert make(verb, "/a", {}).target == "/a"


@pytest.mark.parametrize("verb", ["get", "head", "trace"])
def test_some_carry_no_body(verb):
    with pytest.raises(TypeError, match="dictionary"):
        make(verb, "/", b"bytes")


@pytest.mark.parametrize("data", [{"a": 1}, None, 7, ["<a/>"]])
def test_xml_is_text(data):
    if data is None:
        assert make("postxml", "/").body is None
    else:
        with pytest.raises(TypeError, match="XML"):
            make("postxml", "/", data)


def test_what_is_no_body():
    with pytest.raises(TypeError, match="int"):
        make("post", "/", 7)
    with pytest.raises(TypeError, match="JSON"):
        make("postjson", "/", object())
    with pytest.raises(TypeError, match="upload"):
        make("upload", "/", b"x")


def test_open_files_and_iterables_are_streams():
    file = make("put", "/", io.BytesIO(b"content"))
    assert isinstance(file.body, Stream)
    assert (file.body.length, file.repeatable, field(file, "content-type")) == (7, True, "application/octet-stream")
    assert body_of(file) == body_of(file) == b"content"
    once = make("put", "/", iter([b"a", "b"]), headers={"Content-Type": "text/plain"})
    assert isinstance(once.body, Stream)
    assert (once.body.length, once.repeatable, once.key(), field(once, "content-type")) == (-1, False, None, "text/plain")
    assert body_of(once) == b"ab"
    many = make("put", "/", [b"a", b"b"])
    assert many.repeatable
    assert body_of(many) == b"ab"


def test_multipart_without_files_is_no_stream():
    request = make("upload", "/", {"a": 'x"y', "b": ("ü.txt", "text"), "c": ("d", b"\0", "a/b")})
    assert isinstance(request.body, bytes)
    boundary = (field(request, "content-type") or "").partition("boundary=")[2].encode()
    assert request.body.count(b"--" + boundary) == 4
    assert b'name="a"\r\n\r\nx"y\r\n' in request.body
    assert 'name="b"; filename="ü.txt"\r\nContent-Type: text/plain; charset=utf-8\r\n\r\ntext\r\n'.encode() in request.body
    assert b'name="c"; filename="d"\r\nContent-Type: a/b\r\n\r\n\0\r\n' in request.body


def test_names_cannot_break_out_of_a_form():
    request = make("upload", "/", {'a"\r\nX: y': ('b"\r\n', b"", "c/d")})
    assert isinstance(request.body, bytes)
    assert b'name="a%22%0D%0AX: y"; filename="b%22%0D%0A"' in request.body
    with pytest.raises(ValueError, match="media type"):
        make("upload", "/", {"a": ("b", b"", "c/d\r\nX: y")})


# Fields


def test_fields_of_the_caller_take_the_place_of_ours():
    request = make("post", "/", "x", headers=[("user-agent", "mine"), ("ACCEPT", "a/b"), ("Content-type", "c/d"), ("N", 7)])
    assert [name for name, _ in request.fields] == ["Accept-Encoding", "user-agent", "ACCEPT", "Content-type", "N"]
    assert request.accept == "a/b"


@pytest.mark.parametrize(
    "fields",
    [
        {"X": "a\r\nY: b"},
        {"X": "a\nb"},
        {"X": "a\0b"},
        {"X\r\n": "a"},
        {"X: Y": "a"},
        {"": "a"},
        {"X": "€"},
        {"Transfer-Encoding": "chunked"},
        {"Upgrade": "h2c"},
        {"Connection": "upgrade"},
        {"Accept-Content-Length": "much"},
        {":path": "/"},
    ],
)
def test_fields_that_cannot_be_sent(fields):
    with pytest.raises(ValueError, match=r"."):
        make("get", "/", headers=fields)


@pytest.mark.parametrize("auth", ["token", ("a", "b", "c"), (), 7, ("a", None)])
def test_what_is_no_credentials(auth):
    with pytest.raises(TypeError, match="auth is"):
        make("get", "/", auth=auth)


@pytest.mark.parametrize("cookies", [{"a": "b;c"}, {"a;b": "c"}, {"a": "\r\n"}, {"a": "ü"}, {"": "x"}])
def test_what_is_no_cookie(cookies):
    with pytest.raises(ValueError, match="no cookie"):
        make("get", "/", cookies=cookies)


def test_the_host_may_be_another():
    request = make("get", "/", headers={"Host": "other.example"})
    assert (request.host, field(request, "host")) == ("other.example", None)


# Keys


def test_equal_requests_have_one_key_whatever_their_ids():
    def asked(**more):
        return make("get", "/a", {"b": "c"}, headers=[("X-Gtxn-Id", more.pop("id", "1")), *more.pop("headers", [])], **more)

    assert asked(id="1").key() == asked(id="2").key()
    for other in ({"headers": [("X", "y")]}, {"auth": ("a", "b")}, {"cookies": {"a": "b"}}, {"allow_redirects": True}):
        assert asked().key() != asked(**other).key()
    assert asked(stream=True).key() is None
    assert hash(asked().key()) == hash(asked().key())
    assert make("post", "/", {"a": "b"}).key() != make("post", "/", {"a": "c"}).key()


def test_what_may_be_repeated():
    assert [each for each in ("get", "put", "delete", "post", "patch") if make(each, "/").repeatable] == [
        "get",
        "put",
        "delete",
    ]


# HTTP/2


def test_pairs():
    fields = [("Accept", "*/*"), ("Connection", "close"), ("X-Ü".replace("Ü", "u"), "ü")]
    assert request_pairs("POST", "https", "a:81", "/b", fields, 5) == [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":authority", b"a:81"),
        (b":path", b"/b"),
        (b"accept", b"*/*"),
        (b"x-u", b"\xfc"),
        (b"content-length", b"5"),
    ]


# Challenges


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (['Basic realm="a"'], [("basic", {"realm": "a"})]),
        (
            ['Basic realm="a, Digest b=c", Digest realm="d", nonce=e'],
            [("basic", {"realm": "a, Digest b=c"}), ("digest", {"realm": "d", "nonce": "e"})],
        ),
        (["Negotiate, Basic realm=x"], [("negotiate", {}), ("basic", {"realm": "x"})]),
        (
            ["Negotiate", 'Digest nonce=a, qop="auth,auth-int"'],
            [("negotiate", {}), ("digest", {"nonce": "a", "qop": "auth,auth-int"})],
        ),
        (["Basic realm = x"], [("basic", {"realm": "x"})]),
        ([""], []),
    ],
)
def test_challenges(values, found):
    assert challenges(values) == found
