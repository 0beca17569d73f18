"""Contents that are made piece by piece."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
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


@pytest.mark.parametrize("name", ["__next__", "next", "_next"])
def test_pieces_of_what_has_only_a_method_for_the_next_one(name: str) -> None:
    pieces = iter(["a", "", "b"])
    ended = []
    kind = type("Rows", (), {name: lambda self: next(pieces), "close": lambda self: ended.append(True)})
    producer = producers.make(kind())
    assert drain(producer) == ["a", "b"]
    producers.close(producer)
    assert ended == [True]


def test_a_field_called_next_makes_no_iterator() -> None:
    @dataclass
    class Page:
        number: int
        next: str | None = None

    assert not producers.is_iterator(Page(1, "/page/2"))


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
