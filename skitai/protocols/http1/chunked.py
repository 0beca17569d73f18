"""Chunked bodies (RFC 9112, section 7.1): a decoder that takes the stream in any pieces, and an encoder."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from skitai.errors import BadRequest
from skitai.protocols.http1.response import checked

CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(;[\t -~\x80-\xff]*)?").fullmatch
LONGEST_SIZE_LINE = 64
END = b"0\r\n\r\n"


class ChunkedDecoder:
    """Decodes one body.

    :param extension_bytes: most bytes of chunk extensions in the whole body; nobody uses them but attackers.
    :param trailer_bytes: longest trailer section.
    :ivar done: the whole body, trailers included, has been taken.
    :ivar trailers: the raw trailer section with its empty line, when there is one.
    """

    __slots__ = ("_carry", "_expect", "_extensions_left", "_left", "_trailer_bytes", "done", "trailers")

    def __init__(self, extension_bytes: int, trailer_bytes: int) -> None:
        self.done = False
        self.trailers = b""
        self._carry = b""
        self._expect = "size"
        self._left = 0
        self._extensions_left = extension_bytes
        self._trailer_bytes = trailer_bytes

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Take a piece of the stream.

        :returns: the body data in it, and what is left over behind the end of the body (only once `done`).
        :raises BadRequest: anything that is not a chunked body; the stream cannot be used any more.
        """
        pieces: list[bytes] = []
        data, self._carry = self._carry + data, b""
        at = 0
        while not self.done:
            if self._expect == "data":
                piece = data[at : at + self._left]
                if not piece:
                    return pieces, b""
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if self._left:
                    return pieces, b""
                self._expect = "end of data"
            elif self._expect == "end of data":
                end = data[at : at + 2]
                if end != b"\r\n":
                    if end not in (b"", b"\r"):
                        raise BadRequest("chunk is longer than its size")
                    break
                at += 2
                self._expect = "size"
            elif self._expect == "size":
                cut = data.find(b"\r\n", at)
                if cut < 0:
                    self._check_unfinished(data[at:])
                    break
                self._size(data[at:cut])
                at = cut + 2
            else:
                rest = self._trailer(data, at)
                if rest is None:
                    break
                at = rest
        if self.done:
            return pieces, data[at:]
        self._carry = data[at:]
        return pieces, b""

    def _check_unfinished(self, line: bytes) -> None:
        if len(line) > LONGEST_SIZE_LINE + self._extensions_left:
            raise BadRequest("chunk extensions are too long")
        if b"\n" in line:
            raise BadRequest("chunk size line ends with LF instead of CRLF")

    def _size(self, line: bytes) -> None:
        match = CHUNK_LINE(line)
        if match is None:
            raise BadRequest("malformed chunk size")
        self._extensions_left -= len(match[2] or b"")
        if self._extensions_left < 0:
            raise BadRequest("chunk extensions are too long")
        self._left = int(match[1], 16)
        self._expect = "data" if self._left else "trailers"

    def _trailer(self, data: bytes, at: int) -> int | None:
        """Where the body ends, or None when its trailer section is not complete."""
        if data.startswith(b"\r\n", at):
            self.done = True
            return at + 2
        end = data.find(b"\r\n\r\n", at)
        if (end if end >= 0 else len(data)) - at > self._trailer_bytes:
            raise BadRequest("trailer section is too long")
        if end < 0:
            return None
        self.trailers = data[at : end + 4]
        self.done = True
        return end + 4


def end_with(trailers: Iterable[tuple[Any, Any]]) -> bytes:
    """The end of a body with a trailer section.

    :raises ValueError: a field that must not be sent.
    """
    return b"0\r\n" + "".join(checked(field)[1] for field in trailers).encode("latin-1") + b"\r\n"


def encode(data: bytes) -> bytes:
    """One chunk; `data` must not be empty, for an empty chunk ends the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)
