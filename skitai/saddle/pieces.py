"""Bodies that are made while they are sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from skitai.lib import producers


class Pieces:
    """The pieces of a producer, as bytes."""

    __slots__ = ("_producer",)

    def __init__(self, producer: producers.Producer) -> None:
        self._producer = producer

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece = self._producer.more()
        if not piece:
            raise StopIteration
        return piece if type(piece) is bytes else as_bytes(piece)

    def close(self) -> None:
        producers.close(self._producer)


class AsyncPieces:
    """The pieces of an asynchronous iterator, as bytes."""

    __slots__ = ("_pieces", "_source")

    def __init__(self, source: Any) -> None:
        self._source = source
        self._pieces = source.__aiter__()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return as_bytes(await self._pieces.__anext__())

    async def aclose(self) -> None:
        """Close the source."""
        ending = getattr(self._pieces, "aclose", None)
        if ending is not None:
            await ending()


def as_bytes(piece: Any) -> bytes:
    """A piece of a body.

    :raises TypeError: neither str nor bytes.
    """
    if isinstance(piece, str):
        return piece.encode("utf-8", "replace")
    if isinstance(piece, (bytes, bytearray, memoryview)):
        return bytes(piece)
    raise TypeError(f"a piece of the body is a {type(piece).__name__}; str or bytes are wanted: {piece!r:.200}")
