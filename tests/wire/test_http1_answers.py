"""Responses over HTTP/1.1 as a client reads them, in the order of RFC 9112."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skitai.protocols.http1.answer import CHUNKED, UNTIL_CLOSE, AnswerHeads, Answers, BadAnswer, parse_head, request_head


def read(data: bytes, method: str = "GET", step: int = 0) -> tuple[Answers, bytes]:
    """What a client makes of it, in pieces of `step` bytes."""
    answers = Answers(AnswerHeads())
    answers.begin(method)
    step = step or max(len(data), 1)
    body = b"".join(b"".join(answers.receive(data[at : at + step])) for at in range(0, len(data), step))
    return answers, body


def test_a_request_head():
    assert (
        request_head("GET", "/a?b", "example", [("Accept", "*/*")])
        == b"GET /a?b HTTP/1.1\r\nHost: example\r\nAccept: */*\r\n\r\n"
    )


# §4 Status line


@pytest.mark.parametrize(
    ("line", "version", "status", "reason"),
    [
        (b"HTTP/1.1 200 OK", "1.1", 200, "OK"),
        (b"HTTP/1.0 404 Not Found", "1.0", 404, "Not Found"),
        (b"HTTP/1.1 200 ", "1.1", 200, ""),
        (b"HTTP/1.1 200", "1.1", 200, ""),
        (b"HTTP/1.1 599 \xfcber", "1.1", 599, "über"),
    ],
)
def test_status_lines(line, version, status, reason):
    head = parse_head(line + b"\r\n\r\n")
    assert (head.version, head.status, head.reason) == (version, status, reason)


@pytest.mark.parametrize(
    "line",
    [
        b"HTTP/2.0 200 OK",
        b"HTTP/1.2 200 OK",
        b"http/1.1 200 OK",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 099 OK",
        b"HTTP/1.1 200\tOK",
        b"HTTP/1.1 200 O\0K",
        b"HTTP/1.1 200 OK\r",
        b" HTTP/1.1 200 OK",
        b"ICY 200 OK",
        b"",
    ],
)
def test_what_is_no_status_line(line):
    with pytest.raises(BadAnswer, match="status line"):
        read(line + b"\r\n\r\n")


# §5 Fields


def test_fields():
    head = parse_head(b"HTTP/1.1 200 OK\r\nX-A:  b \t\r\nSet-Cookie: a\r\nset-cookie: b\r\nEmpty:\r\n\r\n")
    assert head.fields.pairs == ((b"x-a", b"b"), (b"set-cookie", b"a"), (b"set-cookie", b"b"), (b"empty", b""))


@pytest.mark.parametrize(
    "line",
    [
        b"Name : x",
        b" folded",
        b"a b: x",
        b": x",
        b"nothing",
        b"X: a\nY: b",
        b"X: a\rY: b",
        b"X: a\0",
        b"X: \x01",
        b"\x80: x",
    ],
)
def test_what_is_no_field(line):
    with pytest.raises(BadAnswer, match=r"field"):
        read(b"HTTP/1.1 200 OK\r\nA: b\r\n" + line + b"\r\n\r\n")


def test_too_many_fields_and_too_long_heads():
    with pytest.raises(BadAnswer, match="more than 256 fields"):
        read(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 257 + b"\r\n")
    with pytest.raises(BadAnswer, match="more than 65536 bytes"):
        read(b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000, step=1000)
    with pytest.raises(BadAnswer, match="more than 65536 bytes"):
        read(b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000 + b"\r\n\r\n")


# §6 Bodies


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 5\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: 0x5\r\n",
        b"Content-Length: \r\n",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: xchunked\r\n",
    ],
)
def test_lengths_that_could_be_read_in_two_ways(fields):
    with pytest.raises(BadAnswer, match="Content-Length|Transfer-Encoding"):
        read(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\nhello")


def test_a_coding_on_http_1_0_is_refused():
    with pytest.raises(BadAnswer, match="HTTP/1.0"):
        read(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")


@pytest.mark.parametrize("step", [1, 2, 7, 0])
def test_a_body_of_known_length(step):
    answers, body = read(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", step=step)
    assert (answers.ended, body, answers.rest) == (True, b"hello", b"")


@pytest.mark.parametrize("step", [1, 3, 0])
def test_a_chunked_body_with_trailers(step):
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nX-Sum: 7\r\n\r\n"
    answers, body = read(data, step=step)
    assert (answers.ended, body) == (True, b"hello")
    assert answers.head is not None and answers.head.length == CHUNKED
    assert answers.trailers is not None and answers.trailers.get(b"x-sum") == b"7"


@pytest.mark.parametrize(
    "body", [b"5\r\nhelloo\r\n", b"z\r\n", b"-1\r\n", b"5\nhello", b"1" * 20 + b"\r\n", b"0\r\nno field\r\n\r\n"]
)
def test_malformed_chunks(body):
    with pytest.raises(BadAnswer):
        read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)


def test_a_body_until_the_connection_closes():
    answers, body = read(b"HTTP/1.1 200 OK\r\n\r\nhello", step=4)
    assert (answers.ended, body) == (False, b"hello")
    assert answers.head is not None and answers.head.length == UNTIL_CLOSE
    answers.end()
    assert answers.ended


@pytest.mark.parametrize(
    ("method", "head"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ("CONNECT", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
    ],
)
def test_responses_without_a_body(method, head):
    answers, body = read(head, method)
    assert (answers.ended, body) == (True, b"")


def test_what_follows_a_tunnels_head_is_the_tunnels():
    answers, body = read(b"HTTP/1.1 200 OK\r\n\r\nbytes", "CONNECT")
    assert (answers.ended, body, answers.rest) == (True, b"", b"bytes")


def test_what_follows_a_response_is_told():
    answers, body = read(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhello")
    assert (answers.ended, body, answers.rest) == (True, b"he", b"llo")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ],
)
def test_a_connection_that_closes_too_early(data):
    answers, _ = read(data)
    with pytest.raises(BadAnswer, match="the server closed"):
        answers.end()


# §9 Connections


@pytest.mark.parametrize(
    ("head", "keep"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: Close\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: x, close\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", True),
    ],
)
def test_what_becomes_of_the_connection(head, keep):
    assert parse_head(head).keep_alive is keep


# Interim responses (RFC 9110, §15.2)


@pytest.mark.parametrize("step", [1, 5, 0])
def test_interim_responses_are_passed_over(step):
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    answers, body = read(interim + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", step=step)
    assert answers.head is not None and (answers.head.status, body) == (200, b"ok")


def test_interim_responses_without_end():
    with pytest.raises(BadAnswer, match="more than 16 interim"):
        read(b"HTTP/1.1 100 Continue\r\n\r\n" * 17)


def test_nobody_switches_protocols_unasked():
    data = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nbytes"
    with pytest.raises(BadAnswer, match="101"):
        read(data)
    answers = Answers(AnswerHeads())
    answers.begin("GET", switching=True)
    answers.receive(data)
    assert (answers.ended, answers.rest) == (True, b"bytes")


def test_a_head_that_recurs_is_the_same_object():
    heads = AnswerHeads()
    data = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"
    assert heads.parse(data) is heads.parse(bytes(bytearray(data)))


@given(st.binary(max_size=200), st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_however_it_is_cut_it_means_the_same(noise, cuts):
    """Good responses and broken ones: all at once, or in pieces."""
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwell\r\n" + noise

    def outcome(steps: list[int]) -> object:
        answers = Answers(AnswerHeads())
        answers.begin("GET")
        body, at = b"", 0
        try:
            while at < len(data):
                size = steps[at % len(steps)]
                body += b"".join(answers.receive(data[at : at + size]))
                at += size
        except BadAnswer:
            return "bad"
        return body, answers.ended, answers.rest

    assert outcome(cuts) == outcome([len(data)])
