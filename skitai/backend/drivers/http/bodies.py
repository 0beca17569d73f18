"""What goes out as a body: forms, JSON and multipart from Python values, and streams piece by piece."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from io import UnsupportedOperation
from typing import Any, BinaryIO
from urllib.parse import urlencode

from skitai.http.media import type_of

FORM_TYPE = "application/x-www-form-urlencoded; charset=utf-8"

PIECE_BYTES = 65536

_END = b""


def pairs_of(data: Any) -> list[tuple[str, Any]]:
    """The names and values of a form, of a dictionary or of pairs. Lists repeat a name, None leaves it out.

    :raises TypeError: it is neither.
    """
    found: list[tuple[str, Any]] = []
    for name, value in data.items() if isinstance(data, Mapping) else data:
        values = value if isinstance(value, (list, tuple)) else (value,)
        found += [(str(name), each) for each in values if each is not None]
    return found


def urlencoded(data: Any) -> str:
    """A form or query string, in UTF-8."""
    return urlencode(pairs_of(data))


class Stream:
    """A body that is sent piece by piece.

    :param parts: bytes, open binary files, iterables or asynchronous iterables of bytes or str.
    :ivar length: bytes in all, -1 where only the end tells.
    :ivar repeatable: it can be sent again.
    """

    def __init__(self, parts: Sequence[Any]) -> None:
        self._parts = [_File(each) if hasattr(each, "read") else each for each in parts]
        self.length = 0
        self.repeatable = True
        for each in self._parts:
            if isinstance(each, bytes):
                self.length += len(each)
                continue
            size = each.size if isinstance(each, _File) else -1
            self.length = -1 if size < 0 or self.length < 0 else self.length + size
            again = isinstance(each, _File) and each.start >= 0
            self.repeatable &= again or isinstance(each, (list, tuple))

    def trailers(self) -> Sequence[tuple[bytes, bytes]]:
        """The fields behind it (RFC 9110, section 6.5), once its pieces were taken; only a body without length has any."""
        return ()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body from its beginning; whatever may block does so in a thread.

        :raises TypeError: a piece is neither bytes nor str.
        """
        for part in self._parts:
            if isinstance(part, bytes):
                yield part
            elif isinstance(part, AsyncIterable):
                async for piece in part:
                    yield _data(piece)
            elif isinstance(part, (list, tuple)):
                for piece in part:
                    yield _data(piece)
            else:
                following = part.next if isinstance(part, _File) else _Pulled(part).next
                if isinstance(part, _File):
                    part.rewind()
                loop = asyncio.get_running_loop()
                while (piece := await loop.run_in_executor(None, following)) is not _END:
                    yield piece


class _File:
    """An open file from where it stands.

    :ivar start: its position, -1 where it has none.
    :ivar size: from there to its end; -1 unknown.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.start = self.size = -1
        with suppress(OSError, UnsupportedOperation, AttributeError):
            self.start = file.tell()
            self.size = file.seek(0, os.SEEK_END) - self.start
            file.seek(self.start)

    def rewind(self) -> None:
        if self.start >= 0:
            self._file.seek(self.start)

    def next(self) -> bytes:
        return _data(self._file.read(PIECE_BYTES))


class _Pulled:
    """An iterable, piece by piece, without empty ones."""

    def __init__(self, source: Iterable[Any]) -> None:
        self._pieces: Iterator[Any] = iter(source)

    def next(self) -> bytes:
        for piece in self._pieces:
            if data := _data(piece):
                return data
        return _END


def _data(piece: Any) -> bytes:
    if isinstance(piece, bytes):
        return piece
    if isinstance(piece, str):
        return piece.encode()
    if isinstance(piece, (bytearray, memoryview)):
        return bytes(piece)
    raise TypeError(f"a piece of a body has to be bytes or str, and open files have to be binary; this is {piece!r}")


def multipart(data: Any) -> tuple[str, bytes | Stream]:
    """A form of multipart/form-data (RFC 7578).

    :param data: a dictionary or pairs. Open files are uploaded; so is ``(name, content)`` or ``(name, content, media
        type)``, with content as bytes, text or an open file. Other values are text; lists repeat a name.
    :returns: its Content-Type, and the body; a stream when files are in it.
    """
    boundary = secrets.token_hex(16)
    parts: list[Any] = []
    for name, value in _fields(data):
        parts += [f"--{boundary}\r\n".encode(), *_part(name, value), b"\r\n"]
    parts.append(f"--{boundary}--\r\n".encode())
    body = b"".join(parts) if all(isinstance(each, bytes) for each in parts) else Stream(parts)
    return f"multipart/form-data; boundary={boundary}", body


def _fields(data: Any) -> Iterator[tuple[str, Any]]:
    for name, value in data.items() if isinstance(data, Mapping) else data:
        for each in value if isinstance(value, list) else (value,):
            if each is not None:
                yield str(name), each


def _part(name: str, value: Any) -> list[Any]:
    head = f'Content-Disposition: form-data; name="{_escaped(name)}"'
    file_name, media_type = "", ""
    if isinstance(value, tuple):
        file_name, value, *rest = value
        media_type = rest[0] if rest else type_of(file_name)
    elif hasattr(value, "read"):
        called = getattr(value, "name", "")
        file_name = os.path.basename(called) if isinstance(called, str) and called else name
        media_type = type_of(file_name)
    if file_name:
        if not media_type.isprintable():
            raise ValueError(f"{media_type!r} is no media type")
        head += f'; filename="{_escaped(file_name)}"\r\nContent-Type: {media_type}'
    if isinstance(value, str):
        value = value.encode()
    elif not isinstance(value, bytes) and not hasattr(value, "read"):
        value = bytes(value) if isinstance(value, (bytearray, memoryview)) else str(value).encode()
    return [f"{head}\r\n\r\n".encode(), value]


def _escaped(text: str) -> str:
    """As browsers write names (HTML, "multipart/form-data encoding algorithm")."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A").replace("\0", "%00")
