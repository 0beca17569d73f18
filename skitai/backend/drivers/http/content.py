"""Content that a back-end has compressed (RFC 9110, section 8.4), unpacked within limits as it comes."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from skitai.backend.errors import BackendError, Code
from skitai.http.head import Fields

try:
    import brotli
except ImportError:
    brotli = None
if brotli is not None and not hasattr(brotli.Decompressor, "can_accept_more_data"):
    brotli = None  # older ones unpack whatever comes at once, however much it is

ACCEPTED = "gzip, deflate, br" if brotli is not None else "gzip, deflate"

PIECE_BYTES = 65536

MOST_CODINGS = 3
"""Of one answer; more than one is rare enough."""


class Unpacker(Protocol):
    """Undoes one coding."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What comes out of some more of it, in pieces of `PIECE_BYTES` at most."""

    def end(self) -> None:
        """:raises BackendError: it is not complete."""


class _Zlib:
    """gzip (RFC 1952), also of several members, and deflate, which some servers send without its zlib head."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._engine: Any = zlib.decompressobj(31) if name == "gzip" else None
        self._any = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        if not data:
            return
        self._any = True
        if self._engine is None:
            self._engine = zlib.decompressobj(15 if data[0] & 15 == 8 else -15)
        rest, full = data, False
        try:
            while rest or full:
                if self._engine.eof and rest:
                    if self._name != "gzip":
                        raise broken(self._name)
                    self._engine = zlib.decompressobj(31)
                made = self._engine.decompress(rest, PIECE_BYTES)
                rest = self._engine.unconsumed_tail or self._engine.unused_data
                full = len(made) == PIECE_BYTES
                if made:
                    yield made
        except zlib.error:
            raise broken(self._name) from None

    def end(self) -> None:
        if self._any and not self._engine.eof:
            raise broken(self._name)


class _Brotli:
    """br (RFC 7932)."""

    def __init__(self) -> None:
        self._engine: Any = brotli.Decompressor()
        self._any = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        if not data:
            return
        self._any = True
        try:
            made = self._engine.process(data, output_buffer_limit=PIECE_BYTES)
            while made:
                yield made
                made = b"" if self._engine.is_finished() else self._engine.process(b"", output_buffer_limit=PIECE_BYTES)
        except brotli.error:
            raise broken("br") from None

    def end(self) -> None:
        if self._any and not self._engine.is_finished():
            raise broken("br")


def broken(name: str) -> BackendError:
    return BackendError(Code.PROTOCOL, f"the content is not {name}, or ends too early", sent=True)


def unpackers(fields: Fields) -> list[Unpacker]:
    """What undoes the codings of an answer, the last one first. Empty where there is none, or one that is not known here:
    then the content stays as it came."""
    value = fields.get(b"content-encoding")
    if value is None:
        return []
    names = [each.strip().lower() for each in value.decode("latin-1").split(",")]
    found: list[Unpacker] = []
    for name in reversed([each for each in names if each not in ("", "identity")]):
        if name in ("gzip", "x-gzip", "deflate"):
            found.append(_Zlib(name.removeprefix("x-")))
        elif name == "br" and brotli is not None:
            found.append(_Brotli())
        else:
            return []
    return found if len(found) <= MOST_CODINGS else []


def unpacked(pieces: Iterable[bytes], codings: Sequence[Unpacker], most_bytes: int) -> bytes:
    """The whole content.

    :raises BackendError: more than `most_bytes` come out of it, or it is not what it says.
    """
    made: list[bytes] = []
    size = 0
    for piece in pieces:
        for each in through(piece, codings):
            size += len(each)
            if size > most_bytes:
                raise too_large(most_bytes)
            made.append(each)
    for coding in codings:
        coding.end()
    return b"".join(made)


def through(piece: bytes, codings: Sequence[Unpacker]) -> Iterator[bytes]:
    """What comes out of a piece."""
    if not codings:
        yield piece
        return
    first, *rest = codings
    for each in first.feed(piece):
        yield from through(each, rest)


def too_large(most_bytes: int) -> BackendError:
    return BackendError(Code.TOO_LARGE, f"more than {most_bytes} bytes of content", sent=True)
