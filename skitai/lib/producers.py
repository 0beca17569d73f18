"""Contents that are made piece by piece: objects with ``more()``, which returns the next piece and ``b""`` at the end.

A Saddle handler may return one, or a list of them. ``close()``, where there is one, is called whatever becomes of the
response.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

PIECE_BYTES = 65536

NEXT = ("__next__", "next", "_next")
"""What the method of an iterator may be called."""


class Producer(Protocol):
    """What can be sent as it is made."""

    def more(self) -> bytes | str:
        """The next piece; nothing at the end."""


class SimpleProducer:
    """Text or bytes that are all there, in pieces."""

    def __init__(self, data: bytes | str, piece_bytes: int = PIECE_BYTES) -> None:
        self._data = data.encode("utf-8") if isinstance(data, str) else data
        self._size = piece_bytes
        self._at = 0

    def more(self) -> bytes:
        piece = self._data[self._at : self._at + self._size]
        self._at += len(piece)
        return piece


class FileProducer:
    """What an object with ``read(size)`` has, from where it stands."""

    def __init__(self, file: Any, piece_bytes: int = PIECE_BYTES) -> None:
        self._file = file
        self._size = piece_bytes

    def more(self) -> bytes | str:
        piece: bytes | str = self._file.read(self._size)
        return piece

    def close(self) -> None:
        close(self._file)


class IteratorProducer:
    """What an iterator yields; empty pieces are passed over, for they would mean the end."""

    def __init__(self, pieces: Iterable[bytes | str]) -> None:
        self._source = pieces
        self._pieces = iter(pieces) if hasattr(pieces, "__iter__") else _pieces(pieces)

    def more(self) -> bytes | str:
        for piece in self._pieces:
            if piece:
                return piece
        return b""

    def close(self) -> None:
        close(self._pieces)
        if self._pieces is not self._source:
            close(self._source)


def _pieces(source: Any) -> Iterator[bytes | str]:
    step = next(getattr(source, name) for name in NEXT if hasattr(source, name))
    while True:
        try:
            piece = step()
        except StopIteration:
            return
        yield piece


class ListProducer:
    """Texts, bytes, files, iterators and producers, one after the other."""

    def __init__(self, items: Iterable[Any]) -> None:
        self._items = [make(item) for item in items]
        self._at = 0

    def more(self) -> bytes | str:
        while self._at < len(self._items):
            piece = self._items[self._at].more()
            if piece:
                return piece
            self._at += 1
        return b""

    def close(self) -> None:
        for item in self._items:
            close(item)


def make(item: Any) -> Producer:
    """The producer of anything that can be sent in pieces.

    :raises TypeError: it cannot.
    """
    if hasattr(item, "more"):
        found: Producer = item
        return found
    if isinstance(item, (bytes, bytearray, memoryview, str)):
        return SimpleProducer(item if isinstance(item, str) else bytes(item))
    if hasattr(item, "read"):
        return FileProducer(item)
    if isinstance(item, (list, tuple)):
        return ListProducer(item)
    if is_iterator(item):
        return IteratorProducer(item)
    raise TypeError(f"a {type(item).__name__} is nothing that can be sent piece by piece")


def is_iterator(item: Any) -> bool:
    """Whether an object has a method for its next piece, which raises StopIteration at the end.

    A method of its class, that is: a value may well have a field called "next".
    """
    return any(callable(getattr(type(item), name, None)) for name in NEXT)


def close(item: Any) -> None:
    """Close what can be closed."""
    ending = getattr(item, "close", None)
    if ending is not None:
        ending()
