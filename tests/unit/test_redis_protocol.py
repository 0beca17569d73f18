"""What Redis says and is told, without a connection."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skitai.backend.drivers.redis_commands import Batch, Command, spelled, waits
from skitai.backend.drivers.resp import NotRedis, Replies, ServerError, TooLong, decoded, encoded, pack

WIRE = (
    b"+OK\r\n:-7\r\n$-1\r\n$0\r\n\r\n$4\r\n\xff\r\nx\r\n*-1\r\n*0\r\n"
    b"*3\r\n$1\r\na\r\n*2\r\n:1\r\n*0\r\n$2\r\nb!\r\n*1\r\n-NO no\r\n"
)
VALUES = ["OK", -7, None, "", b"\xff\r\nx", None, [], ["a", [1, []], "b!"]]


@given(st.lists(st.integers(0, len(WIRE)), max_size=12))
def test_replies_may_come_in_any_pieces(cuts: list[int]) -> None:
    replies = Replies(10_000)
    came: list[Any] = []
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(WIRE)], strict=True):
        came += replies.feed(WIRE[begin:end])
    assert came[:-1] == VALUES
    (error,) = came[-1]
    assert isinstance(error, ServerError)
    assert (str(error), error.code) == ("NO no", "NO")


def packed(value: Any) -> bytes:
    """What a server would send."""
    if value is None:
        return b"$-1\r\n"
    if isinstance(value, int):
        return b":%d\r\n" % value
    if isinstance(value, list):
        return b"*%d\r\n" % len(value) + b"".join(map(packed, value))
    word = encoded(value)
    return b"$%d\r\n%b\r\n" % (len(word), word)


VALUE = st.recursive(st.none() | st.integers() | st.text() | st.binary().map(decoded), st.lists, max_leaves=20)


@given(st.lists(VALUE, max_size=5), st.integers(1, 50))
def test_what_is_sent_comes(values: list[Any], size: int) -> None:
    replies = Replies(100_000)
    wire = b"".join(map(packed, values))
    came: list[Any] = []
    for begin in range(0, len(wire), size):
        came += replies.feed(wire[begin : begin + size])
    assert came == values


@pytest.mark.parametrize("wire", [b"HTTP/1.1 400\r\n", b"$x\r\n", b":1.5\r\n", b"*\r\n", b"\r\n", b"+" + b"x" * 70_000])
def test_what_is_not_the_protocol(wire: bytes) -> None:
    with pytest.raises(NotRedis):
        Replies(1_000_000).feed(wire)


@pytest.mark.parametrize(
    "wire", [b"$101\r\n", b"*101\r\n", b"*3\r\n$60\r\n" + b"x" * 60 + b"\r\n$60\r\n", b"*20\r\n" + b"$4\r\nabcd\r\n" * 20]
)
def test_a_reply_has_a_limit(wire: bytes) -> None:
    with pytest.raises(TooLong):
        Replies(100).feed(wire)


def test_the_limit_is_of_one_reply() -> None:
    assert len(Replies(100).feed(b"$50\r\n" + b"x" * 50 + b"\r\n" + b"$50\r\n" + b"x" * 50 + b"\r\n")) == 2


def test_a_command_on_the_wire() -> None:
    assert pack(map(encoded, ("SET", "ä", 1.5, b"\0", memoryview(b"m")))) == (
        b"*5\r\n$3\r\nSET\r\n$2\r\n\xc3\xa4\r\n$3\r\n1.5\r\n$1\r\n\0\r\n$1\r\nm\r\n"
    )


@pytest.mark.parametrize(
    ("name", "command"),
    [("lrange", "lrange"), ("client_list", "client list"), ("eval_ro", "eval_ro"), ("delete", "DEL"), ("del_", "del")],
)
def test_how_commands_are_spelled(name: str, command: str) -> None:
    assert spelled(name) == command


def test_what_may_be_asked_twice_and_what_waits() -> None:
    assert Command((b"get", b"a")).repeatable
    assert not Command((b"INCR", b"a")).repeatable
    assert Batch(((b"GET", b"a"), (b"TTL", b"a"))).repeatable
    assert not Batch(((b"GET", b"a"), (b"INCR", b"a"))).repeatable
    assert waits(Command((b"BLPOP", b"a", b"0")))
    assert waits(Command((b"XREAD", b"block", b"0", b"STREAMS", b"s", b"$")))
    assert not waits(Command((b"XREAD", b"STREAMS", b"s", b"0")))
    assert Command((b"GET", b"a")).key() == Command((b"GET", b"a")).key() != Command((b"GET", b"b")).key()
