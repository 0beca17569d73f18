"""gRPC-Web: trailers are a frame at the end of the body, and in its text form the body is base64, so that it passes wherever
a page's script may read text."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Iterable

from skitai.protocols.grpc.compression import Malformed
from skitai.protocols.grpc.framing import TRAILERS, frame
from skitai.protocols.grpc.metadata import Pair


def trailer_frame(fields: Iterable[Pair]) -> bytes:
    """The frame that ends a body: fields as HTTP/1.1 writes them, names in lower case."""
    lines = "".join(f"{name.lower()}: {value}\r\n" for name, value in fields)
    return frame(lines.encode("latin-1"), TRAILERS)


def parse_trailers(content: bytes) -> list[Pair]:
    """The fields in such a frame; names in lower case."""
    lines = content.decode("latin-1").split("\r\n")
    return [(name.strip().lower(), value.strip()) for name, colon, value in (each.partition(":") for each in lines) if colon]


def encoded(data: bytes) -> bytes:
    """A piece of a body in its text form. Pieces are padded by themselves, so that each can be read as it comes."""
    return b64encode(data)


class TextDecoder:
    """Decodes a body in its text form, whose pieces may have been padded anywhere."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """The bytes in what has come.

        :raises Malformed: it is no base64.
        """
        data = self._rest + data.translate(None, b"\r\n")
        whole = len(data) - len(data) % 4
        data, self._rest = data[:whole], data[whole:]
        made = []
        try:
            while data:
                end = data.find(b"=")
                end = len(data) if end < 0 else end - end % 4 + 4  # the rest of the four that are padded
                made.append(b64decode(data[:end], validate=True))
                data = data[end:]
        except binascii.Error as error:
            raise Malformed(f"the body is no base64: {error}") from None
        return b"".join(made)

    def end(self) -> None:
        """:raises Malformed: it ends within a group of four letters."""
        if self._rest:
            raise Malformed("the body's base64 ends too early")
