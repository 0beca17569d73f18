"""Parts of a file as responses: one part, or several as multipart/byteranges (RFC 9110, sections 14.6 and 15.3.7)."""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import Iterable
from typing import IO, Any

from skitai.http import ranges
from skitai.http.ranges import Span

Pairs = tuple[tuple[str, str], ...]


def part_fields(fields: Iterable[tuple[str, str]], size: int, span: Span) -> Pairs:
    """Of a 206 with one part (RFC 9110, section 15.3.7.1).

    :param fields: of the 200.
    :param size: of the whole, in bytes.
    """
    return (
        *without(fields, "content-length"),
        ("Content-Length", str(span[1] - span[0])),
        ("Content-Range", ranges.content_range(span, size)),
    )


def multipart(fields: Iterable[tuple[str, str]], size: int, spans: tuple[Span, ...]) -> tuple[Pairs, list[bytes | Span]]:
    """Fields and body of a 206 with several parts (RFC 9110, section 14.6); spans in the body stand for their bytes.

    :param fields: of the 200, Content-Type among them.
    :param size: of the whole, in bytes.
    """
    fields = tuple(fields)
    boundary = secrets.token_hex(16)
    media_type = next(value for name, value in fields if name.lower() == "content-type")
    pieces: list[bytes | Span] = []
    for span in spans:
        content_range = ranges.content_range(span, size)
        lead = f"\r\n--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: {content_range}\r\n\r\n"
        pieces += [lead.encode("latin-1"), span]
    pieces.append(f"\r\n--{boundary}--\r\n".encode("ascii"))
    return (
        ("Content-Type", f"multipart/byteranges; boundary={boundary}"),
        *without(fields, "content-type", "content-length"),
        ("Content-Length", str(sum(map(length, pieces)))),
    ), pieces


def length(piece: bytes | Span) -> int:
    return len(piece) if isinstance(piece, bytes) else piece[1] - piece[0]


class Parts(io.RawIOBase):
    """Texts and parts of a file, one after the other, as one file that is read from its beginning to its end.

    :param file: closed together with this one.
    """

    def __init__(self, file: IO[bytes], pieces: list[bytes | Span]) -> None:
        super().__init__()
        self._file = file
        self._pieces = pieces
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence != os.SEEK_SET:
            raise io.UnsupportedOperation("only positions from the beginning")
        self._at = offset
        return offset

    def readinto(self, buffer: Any) -> int:
        skip = self._at
        for piece in self._pieces:
            size = length(piece)
            if skip < size:
                count = min(size - skip, len(buffer))
                if isinstance(piece, bytes):
                    data = piece[skip : skip + count]
                else:
                    self._file.seek(piece[0] + skip)
                    data = self._file.read(count)
                buffer[: len(data)] = data
                self._at += len(data)
                return len(data)
            skip -= size
        return 0

    def close(self) -> None:
        self._file.close()
        super().close()


def without(fields: Iterable[tuple[str, str]], *names: str) -> Pairs:
    """The fields that have none of these names, given in lower case."""
    return tuple(pair for pair in fields if pair[0].lower() not in names)
