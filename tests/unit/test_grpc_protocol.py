"""gRPC's frames, statuses, metadata, timeouts and codings, without a connection."""

from __future__ import annotations

import gzip
import zlib
from base64 import b64encode
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skitai.errors import Answerable
from skitai.http.head import Fields, Head
from skitai.protocols.grpc import compression, details, metadata, timeouts, web
from skitai.protocols.grpc.compression import Malformed, TooLong
from skitai.protocols.grpc.framing import COMPRESSED, Deframer, frame
from skitai.protocols.grpc.request import Asked, is_call, names_of
from skitai.protocols.grpc.status import (
    MESSAGE_BYTES,
    RpcError,
    StatusCode,
    decoded_message,
    encoded_message,
    of_error,
    of_response,
    outcome,
    trailers,
)

# Frames


@settings(deadline=None, max_examples=60)
@given(st.lists(st.binary(max_size=50)), st.integers(1, 20))
def test_frames_are_found_however_they_are_cut(messages, size):
    data = b"".join(frame(each) for each in messages)
    deframer = Deframer(50)
    found = [each for at in range(0, len(data), size) for each in deframer.feed(data[at : at + size])]
    assert found == [(0, each) for each in messages]
    assert not deframer.pending
    deframer.end()


def test_a_frame_is_refused_by_its_length():
    deframer = Deframer(10)
    with pytest.raises(TooLong, match="4294967295 bytes is longer than 10"):
        list(deframer.feed(b"\0\xff\xff\xff\xff"))


def test_frames_before_one_that_is_refused_are_there():
    feeding = Deframer(10).feed(frame(b"good") + frame(b"x" * 11))
    assert next(feeding) == (0, b"good")
    with pytest.raises(TooLong):
        next(feeding)


@pytest.mark.parametrize("flag", [2, 0x7F, 0x80, 0xFF])
def test_flags_that_there_are_not(flag):
    with pytest.raises(Malformed, match="flag"):
        list(Deframer(10).feed(frame(b"", flag)))


def test_clients_of_the_web_get_trailers():
    deframer = Deframer(100, trailers=True)
    found = list(deframer.feed(frame(b"x", COMPRESSED) + web.trailer_frame([("Grpc-Status", "0"), ("b", "2")])))
    assert found[0] == (1, b"x")
    assert found[1][0] == 0x80
    assert web.parse_trailers(found[1][1]) == [("grpc-status", "0"), ("b", "2")]


def test_an_end_within_a_frame():
    deframer = Deframer(10)
    assert list(deframer.feed(frame(b"abc")[:-1])) == []
    assert deframer.pending
    with pytest.raises(Malformed, match="within a message"):
        deframer.end()


# Statuses


@settings(deadline=None, max_examples=60)
@given(st.text())
def test_messages_survive(text):
    if len(encoded_message(text)) < MESSAGE_BYTES - 12:
        assert decoded_message(encoded_message(text)) == text.encode("utf-8", "replace").decode()


@settings(deadline=None, max_examples=60)
@given(st.text())
def test_messages_are_printable_and_not_too_long(text):
    encoded = encoded_message(text * 100)
    assert encoded == encoded.strip()
    assert all(" " <= each <= "~" for each in encoded)
    assert len(encoded) <= MESSAGE_BYTES + 4


@pytest.mark.parametrize(("sent", "read"), [("100%", "100%"), ("%zz", "%zz"), ("%4", "%4"), ("a%20b", "a b"), ("%FF", "�")])
def test_malformed_messages_are_taken_as_they_are(sent, read):
    assert decoded_message(sent) == read


def test_statuses_and_what_becomes_of_them():
    fields = dict(trailers(StatusCode.NOT_FOUND, "no %", [("a.Kind", b"12")]))
    code, message, whole = outcome(fields)
    assert (code, message) == (StatusCode.NOT_FOUND, "no %")
    assert details.load(whole) == (5, "no %", [("a.Kind", b"12")])
    assert trailers(StatusCode.OK) == [("grpc-status", "0")]
    assert outcome({"grpc-status": "77"})[0] is StatusCode.UNKNOWN
    assert outcome({"grpc-status": "3", "grpc-status-details-bin": "!"}) == (StatusCode.INVALID_ARGUMENT, "", b"")
    for wrong in ({}, {"grpc-status": "x"}, {"grpc-status": "-1"}, {"grpc-status": "²"}):
        with pytest.raises(ValueError, match="grpc-status"):
            outcome(wrong)


def test_errors_of_the_app():
    error = RpcError(5, "gone", metadata=[("A", "b")])
    assert (error.code, error.status, error.trailers, str(error)) == (
        StatusCode.NOT_FOUND,
        404,
        [("a", "b")],
        "NOT_FOUND: gone",
    )
    with pytest.raises(ValueError, match="OK is no error"):
        RpcError(StatusCode.OK)
    with pytest.raises(ValueError, match="99"):
        RpcError(99)
    with pytest.raises(TypeError, match="a message, not a str"):
        RpcError(StatusCode.ABORTED, details=["text"])
    with pytest.raises(ValueError, match="metadata"):
        RpcError(StatusCode.ABORTED, metadata=[("grpc-status", "0")])


def test_statuses_of_http():
    assert [of_error(each) for each in (404, 418, 500, 503)] == [
        StatusCode.NOT_FOUND,
        StatusCode.INVALID_ARGUMENT,
        StatusCode.UNKNOWN,
        StatusCode.UNAVAILABLE,
    ]
    assert [of_response(each) for each in (401, 404, 200, 503)] == [
        StatusCode.UNAUTHENTICATED,
        StatusCode.UNIMPLEMENTED,
        StatusCode.UNKNOWN,
        StatusCode.UNAVAILABLE,
    ]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 16), st.text(), st.lists(st.tuples(st.text(min_size=1).filter(lambda t: "/" not in t), st.binary())))
def test_details_survive(code, message, given):
    def clean(text):
        return text.encode("utf-8", "replace").decode()

    expected = code, clean(message), [(clean(name), content) for name, content in given]
    if all(clean(name) == name for name, _ in given):
        assert details.load(details.dump(code, message, given)) == expected


@pytest.mark.parametrize("data", [b"\x12", b"\x12\x05ab", b"\x0b", b"\x80", b"\x08" + b"\xff" * 12, b"\x1a\x02\x0a\x09"])
def test_malformed_details(data):
    with pytest.raises(ValueError, match=r"google\.rpc\.Status"):
        details.load(data)


def test_details_of_a_later_day_are_passed_over():
    assert details.load(b"\x08\x03\x21" + bytes(8) + b"\x2d" + bytes(4) + b"\x22\x01x") == (3, "", [])


# Metadata


def test_metadata_that_came():
    found = metadata.received(
        [
            (b"content-type", b"application/grpc"),
            (b"te", b"trailers"),
            (b"grpc-timeout", b"1S"),
            (b"word", b"one"),
            (b"word", b"two, three"),
            (b"raw-bin", b"AAE=,/w"),
        ]
    )
    assert found == (("word", "one"), ("word", "two, three"), ("raw-bin", b"\0\1"), ("raw-bin", b"\xff"))
    assert (found.get("Word"), found.all("raw-bin"), found.get("none", "x")) == ("one", [b"\0\1", b"\xff"], "x")
    with pytest.raises(ValueError, match="base64"):
        metadata.received([(b"raw-bin", b"a b")])


@settings(deadline=None, max_examples=60)
@given(st.binary())
def test_bytes_survive(data):
    encoded = metadata.encoded_binary(data)
    assert "=" not in encoded
    assert metadata.decoded_binary(encoded) == metadata.decoded_binary(b64encode(data).decode()) == data


# Timeouts


@pytest.mark.parametrize(
    ("text", "seconds"), [("1n", 1e-9), ("5u", 5e-6), ("200m", 0.2), ("3S", 3), ("2M", 120), ("99999999H", 359999996400)]
)
def test_timeouts(text, seconds):
    assert timeouts.parse(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "1", "S", "1s", "-1S", "1.5S", "123456789S", "1SS", " 1S", "²S"])
def test_what_is_no_timeout(text):
    with pytest.raises(ValueError, match="grpc-timeout"):
        timeouts.parse(text)


@settings(deadline=None, max_examples=60)
@given(st.floats(1e-9, 3e11))
def test_a_timeout_is_never_shortened_by_much(seconds):
    assert timeouts.parse(timeouts.dump(seconds)) >= seconds * (1 - 1e-6)


def test_a_timeout_that_has_passed():
    assert timeouts.dump(-1) == "0n"


# Compression


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=2000), st.sampled_from(["gzip", "deflate", "identity"]))
def test_codings_survive(data, name):
    packed = compression.pack(data, name)
    assert (packed if name == "identity" else compression.unpack(packed, name, 2000)) == data


def test_no_more_is_unpacked_than_may_be():
    bomb = gzip.compress(bytes(50_000_000))
    with pytest.raises(TooLong, match="longer than 1000 bytes"):
        compression.unpack(bomb, "gzip", 1000)
    with pytest.raises(TooLong):
        compression.unpack(gzip.compress(bytes(600)) * 2, "gzip", 1000)
    assert compression.unpack(gzip.compress(bytes(500)) * 2, "gzip", 1000) == bytes(1000)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"", "gzip"),
        (b"no", "gzip"),
        (gzip.compress(b"x" * 99, mtime=0)[:-9], "gzip"),
        (zlib.compress(b"x"), "gzip"),
        (b"x", "identity"),
    ],
)
def test_what_cannot_be_unpacked(data, name):
    with pytest.raises(Malformed):
        compression.unpack(data, name, 1000)


# gRPC-Web's text


@settings(deadline=None, max_examples=60)
@given(st.lists(st.binary(max_size=30)), st.integers(1, 9))
def test_text_that_was_padded_anywhere(pieces, size):
    text = b"".join(map(web.encoded, pieces))
    decoder = web.TextDecoder()
    assert b"".join(decoder.feed(text[at : at + size]) for at in range(0, len(text), size)) == b"".join(pieces)
    decoder.end()


def test_text_that_is_none():
    with pytest.raises(Malformed):
        web.TextDecoder().feed(b"a b-")
    decoder = web.TextDecoder()
    decoder.feed(b"AAA")
    with pytest.raises(Malformed, match="too early"):
        decoder.end()


# Heads


def head(version: str = "2.0", method: str = "POST", **fields: str) -> Head:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
    return Head(method, "/a.B/C", "origin", "/a.B/C", "/a.B/C", "", "x", version, Fields(pairs))


def test_what_a_head_asks():
    asked = Asked.of(head(content_type="application/grpc+proto", grpc_timeout="2S", grpc_encoding="gzip"))
    assert (asked.kind.media_type, asked.timeout_s, asked.encoding) == ("application/grpc+proto", 2, "gzip")
    asked = Asked.of(head("1.1", content_type="Application/gRPC-Web-Text; charset=utf-8"))
    assert (asked.kind.is_web, asked.kind.is_text, asked.timeout_s) == (True, True, inf)


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (head(content_type="application/grpc+json"), 415),
        (head(content_type="application/grpc-other"), 415),
        (head(content_type="application/grpc", method="PUT"), 405),
        (head("1.1", content_type="application/grpc"), 505),
        (head(content_type="application/grpc", grpc_encoding="br"), 501),
        (head(content_type="application/grpc", grpc_timeout="x"), 500),
    ],
)
def test_heads_that_ask_for_what_there_is_not(asked, status):
    with pytest.raises(Answerable) as caught:
        Asked.of(asked)
    assert caught.value.status == status


def test_what_is_a_call():
    assert is_call(head(content_type="APPLICATION/grpc"))
    assert not is_call(head(content_type="application/json"))
    assert not is_call(head())


@pytest.mark.parametrize(
    ("path", "names"),
    [("/a.B/C", ("a.B", "C")), ("/api/a.B/C", ("a.B", "C")), ("/C", ("", "C")), ("/", ("", "")), ("/a/", ("a", ""))],
)
def test_names_in_a_path(path, names):
    assert names_of(path) == names
