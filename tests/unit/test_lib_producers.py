"""Contents that are made piece by piece."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest

from skitai.lib import producers
from skitai.lib.producers import FileProducer, IteratorProducer, ListProducer, SimpleProducer


def drain(producer: Any) -> list[Any]:
    return list(iter(producer.more, b""))[:100]


class Counting:
    """A producer of one's own."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.closed = False

    def more(self) -> bytes:
        self.left -= 1
        return b"." if self.left >= 0 else b""

    def close(self) -> None:
        self.closed = True


def test_pieces_of_a_text() -> None:
    assert b"".join(drain(SimpleProducer("größe", 3))) == "größe".encode()
    assert drain(SimpleProducer(b"abcde", 2)) == [b"ab", b"cd", b"e"]
    assert drain(SimpleProducer(b"")) == []


def test_pieces_of_a_file() -> None:
    file = io.BytesIO(b"abcde")
    producer = FileProducer(file, 2)
    assert drain(producer) == [b"ab", b"cd", b"e"]
    producer.close()
    assert file.closed


def test_pieces_of_an_iterator() -> None:
    ended = []

    def generate() -> Iterator[str]:
        try:
            yield "a"
            yield ""
            yield "b"
        finally:
            ended.append(True)

    producer = IteratorProducer(generate())
    assert producer.more() == "a"
    producer.close()
    assert ended == [True]
    assert drain(IteratorProducer(iter(["a", "", b"", "b"]))) == ["a", "b"]


def test_a_list_of_anything() -> None:
    counting, file = Counting(2), io.BytesIO(b"file")
    producer = ListProducer(["a", b"", counting, [b"b", iter(["c"])], file])
    assert drain(producer) == [b"a", b".", b".", b"b", "c", b"file"]
    producer.close()
    assert counting.closed and file.closed


@pytest.mark.parametrize("item", [1, None, {"a": 1}, object()])
def test_what_cannot_be_sent_in_pieces(item: Any) -> None:
    with pytest.raises(TypeError, match="piece by piece"):
        producers.make(item)
