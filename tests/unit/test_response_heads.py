"""Response heads as bytes (RFC 9112, sections 4 to 6): framing, what is refused, and what is remembered."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skitai.protocols.http1 import chunked
from skitai.protocols.http1.response import (
    CHUNKED,
    CLOSE,
    KEEP,
    KNOWN_BYTES,
    KNOWN_HEADS,
    OLD_CLOSE,
    OLD_KEEP,
    UNTIL_CLOSE,
    ResponseHeads,
)

HEADS = ResponseHeads()
PAIRS = [("Content-Type", "text/plain")]


def complete(status: int = 200, fields: Any = (), length: int = 5, mode: int = KEEP, reason: str = "") -> list[str]:
    return HEADS.complete(status, reason, fields, length, mode).decode("latin-1").split("\r\n")[:-1]


def begun(status: int = 200, fields: Any = (), mode: int = KEEP, head_only: bool = False) -> tuple[list[str], int, int]:
    data, framing, mode = HEADS.begun(status, "", fields, mode, head_only)
    return data.decode("latin-1").split("\r\n")[:-1], framing, mode


# The status line (section 4)


def test_4_the_status_line_has_the_usual_reason_or_the_apps() -> None:
    assert complete(404)[0] == "HTTP/1.1 404 Not Found"
    assert complete(404, reason="Nope")[0] == "HTTP/1.1 404 Nope"
    assert complete(799)[0].startswith("HTTP/1.1 799 ")


@pytest.mark.parametrize("status", [0, 99, 1000, -200])
def test_4_a_status_has_three_digits(status: int) -> None:
    with pytest.raises(ValueError, match="three-digit"):
        complete(status)


# Fields (section 5)


def test_5_fields_go_out_in_order_str_or_bytes() -> None:
    fields = [("X-B", "1"), (b"X-A", b"2"), ("Set-Cookie", "a=b"), ("Set-Cookie", "c=d"), ("X-E", "é")]
    assert complete(fields=fields)[1:-1] == ["X-B: 1", "X-A: 2", "Set-Cookie: a=b", "Set-Cookie: c=d", "X-E: é"]


@pytest.mark.parametrize("name", ["Connection", "Keep-Alive", "transfer-encoding", "Upgrade", "Date", "SERVER"])
def test_5_what_is_the_servers_is_left_out(name: str) -> None:
    assert complete(fields=[(name, "x"), ("X-A", "1")])[1:] == ["X-A: 1", "Content-Length: 5"]
    assert begun(fields=[(name.encode(), b"x")])[0][1:] == ["Transfer-Encoding: chunked"]


def test_the_server_names_itself_or_not() -> None:
    assert b"\r\nServer: Skitai\r\n" in ResponseHeads("Skitai").complete(200, "", (), 0, KEEP)
    assert b"Server" not in ResponseHeads("").complete(200, "", (), 0, KEEP)


@pytest.mark.parametrize("value", ["a\r\nb", "a\nb", "a\rb", "a\0b", "\n", b"a\r\nb"])
def test_5_5_control_characters_are_refused(value: Any) -> None:
    for fields in ([("X-A", value)], [("Location", value)], [("Content-Type", value)]):
        with pytest.raises(ValueError, match="control character"):
            complete(fields=fields)
        with pytest.raises(ValueError, match="control character"):
            begun(fields=fields)
        with pytest.raises(ValueError, match="control character"):
            HEADS.interim(103, fields)
        with pytest.raises(ValueError, match="control character"):
            chunked.end_with(fields)
    with pytest.raises(ValueError, match="control character"):
        complete(reason="a\r\nb")


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\n", "é", "a\0", b"\xff", "(a)"])
def test_5_1_names_are_tokens(name: Any) -> None:
    with pytest.raises(ValueError, match="not a header field name"):
        complete(fields=[(name, "x")])


@pytest.mark.parametrize("value", [1, None, ["a"], "日本"])
def test_5_values_are_text_that_http_can_carry(value: Any) -> None:
    with pytest.raises(ValueError, match=r"neither str nor bytes|latin-1"):
        complete(fields=[("X-A", value)])


ANYTHING = st.one_of(st.text(max_size=30), st.binary(max_size=30))


@given(name=ANYTHING, value=ANYTHING, reason=st.text(max_size=20), status=st.integers(100, 999))
def test_no_app_can_break_out_of_its_head(name: Any, value: Any, reason: str, status: int) -> None:
    heads = ResponseHeads("Skitai")
    made = []
    for make in (
        lambda: heads.complete(status, reason, [(name, value)], 5, KEEP),
        lambda: heads.begun(status, reason, [(name, value)], KEEP, False)[0],
        lambda: heads.interim(status, [(name, value)])[:-2],
    ):
        try:
            made.append(make())
        except ValueError:
            continue
    for data in made:
        assert data.endswith(b"\r\n") and b"\r\n\r\n" not in data and b"\0" not in data
        lines = data[:-2].split(b"\r\n")
        assert len(lines) <= 4
        assert lines[0].startswith(b"HTTP/1.1 ")
        assert all(re.fullmatch(rb"[^\s:]+: [^\r\n]*", line) for line in lines[1:])


# Framing (section 6)


def test_6_2_a_whole_body_has_its_length() -> None:
    assert complete(length=0)[-1] == "Content-Length: 0"
    assert complete(fields=[("Content-Length", "5")])[1:] == ["Content-Length: 5"]


def test_6_2_a_length_that_is_not_the_bodys_is_refused() -> None:
    with pytest.raises(ValueError, match="says 7 but the body has 5 bytes"):
        complete(fields=[("Content-Length", "7")])


@pytest.mark.parametrize("value", ["", "-1", "+5", "5 ", "0x5", "٥", "5,5", "five"])
def test_6_2_a_length_is_a_number(value: str) -> None:
    for make in (complete, begun):
        with pytest.raises(ValueError, match=r"is not a number|latin-1"):
            make(fields=[("Content-Length", value)])  # type: ignore[operator]


def test_6_2_two_lengths_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="two different"):
        begun(fields=[("Content-Length", "5"), ("content-length", "6")])
    assert begun(fields=[("Content-Length", "5"), ("content-length", "5")])[0][1:] == ["Content-Length: 5"]


@pytest.mark.parametrize("status", [100, 199, 204])
def test_6_3_such_responses_have_no_length(status: int) -> None:
    assert not any("Content-Length" in line or "Transfer" in line for line in complete(status, length=0))
    lines, framing, _ = begun(status, fields=[("Content-Length", "5")])
    assert framing == 0 and not any("Content-Length" in line or "Transfer" in line for line in lines)


def test_6_3_304_may_say_the_length_of_what_was_not_modified() -> None:
    assert begun(304, fields=[("Content-Length", "5")])[:2] == (["HTTP/1.1 304 Not Modified", "Content-Length: 5"], 0)
    assert not any("Content-Length" in line for line in complete(304, length=0))


def test_6_1_a_body_that_follows_is_chunked_or_as_long_as_declared() -> None:
    assert begun() == (["HTTP/1.1 200 OK", "Transfer-Encoding: chunked"], CHUNKED, KEEP)
    assert begun(fields=[("Content-Length", "9")]) == (["HTTP/1.1 200 OK", "Content-Length: 9"], 9, KEEP)


def test_6_3_for_http_1_0_only_the_end_of_the_connection_ends_it() -> None:
    assert begun(mode=OLD_KEEP) == (["HTTP/1.1 200 OK", "Connection: close"], UNTIL_CLOSE, OLD_CLOSE)
    assert begun(mode=OLD_KEEP, fields=[("Content-Length", "9")])[2] == OLD_KEEP
    assert begun(mode=OLD_KEEP, head_only=True) == (["HTTP/1.1 200 OK", "Connection: keep-alive"], UNTIL_CLOSE, OLD_KEEP)


# The connection (section 9)


@pytest.mark.parametrize(
    ("mode", "line"),
    [(KEEP, None), (CLOSE, "Connection: close"), (OLD_KEEP, "Connection: keep-alive"), (OLD_CLOSE, "Connection: close")],
)
def test_9_3_the_connection_field_says_what_cannot_be_assumed(mode: int, line: str | None) -> None:
    last = complete(mode=mode)[-1]
    assert last == (line or "Content-Length: 5")


# What is remembered


def test_a_head_that_recurs_is_found_by_what_it_is_made_of() -> None:
    heads = ResponseHeads()
    made = heads.complete(200, "", PAIRS, 5, KEEP)
    assert heads.known[200, "", 5, KEEP, *PAIRS] is made
    for other in ((201, "", 5, KEEP), (200, "Fine", 5, KEEP), (200, "", 6, KEEP), (200, "", 5, CLOSE)):
        assert (*other, *PAIRS) not in heads.known
        assert heads.complete(*other[:2], PAIRS, *other[2:]) != made


def test_what_was_refused_is_not_remembered() -> None:
    heads = ResponseHeads()
    for _ in range(2):
        with pytest.raises(ValueError, match="control"):
            heads.complete(200, "", [("X", "a\r\nb")], 5, KEEP)
    assert not heads.known


def test_a_flood_of_different_heads_does_not_fill_the_memory() -> None:
    heads = ResponseHeads()
    for number in range(KNOWN_HEADS * 5):
        heads.complete(200, "", [("ETag", str(number))], number, KEEP)
        assert len(heads.known) <= KNOWN_HEADS
    heads.complete(200, "", [("X", "y" * KNOWN_BYTES)], 5, KEEP)
    assert all(len(head) <= KNOWN_BYTES for head in heads.known.values())


def test_fields_that_cannot_be_remembered_are_sent_all_the_same() -> None:
    heads = ResponseHeads()
    assert b"X-A: 1\r\n" in heads.complete(200, "", [["X-A", "1"]], 0, KEEP)  # type: ignore[list-item]
    assert b"X-A: 1\r\n" in heads.complete(200, "", [(bytearray(b"X-A"), "1")], 0, KEEP)
    assert not heads.known


# Bodies


def test_7_1_chunks_and_trailers() -> None:
    assert chunked.encode(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"
    assert chunked.END == b"0\r\n\r\n"
    assert chunked.end_with([("X-Sum", "1"), (b"X-B", b"2")]) == b"0\r\nX-Sum: 1\r\nX-B: 2\r\n\r\n"


def test_15_2_an_interim_response_is_whole() -> None:
    assert HEADS.interim(103, [("Link", "</a>")]) == b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    assert HEADS.interim(100, ()) == b"HTTP/1.1 100 Continue\r\n\r\n"
