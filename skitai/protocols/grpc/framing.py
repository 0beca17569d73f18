"""Messages in a stream of bytes: a flag, a length of four bytes, the message."""

from __future__ import annotations

from collections.abc import Iterator

from skitai.protocols.grpc.compression import Malformed, TooLong

PREFIX = 5
"""Bytes before a message."""

COMPRESSED = 1
TRAILERS = 0x80
"""The flag of gRPC-Web's last frame."""

Frame = tuple[int, bytes]
"""Flag and content."""


def frame(data: bytes, flag: int = 0) -> bytes:
    return bytes((flag,)) + len(data).to_bytes(4, "big") + data


class Deframer:
    """Finds the frames in what has come.

    :param most_bytes: of one frame; it is refused by its length, before any of it is kept.
    """

    __slots__ = ("_buffer", "_most", "_trailers")

    def __init__(self, most_bytes: int, *, trailers: bool = False) -> None:
        """:param trailers: frames of gRPC-Web's trailers may come, too, which clients get."""
        self._most = most_bytes
        self._buffer = bytearray()
        self._trailers = trailers

    @property
    def pending(self) -> bool:
        """Whether a frame has begun to come, and the rest of it is owed."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are complete now. Take all of them before the next call.

        :raises TooLong: a frame is longer than the limit.
        :raises Malformed: a flag that there is not.
        """
        buffer = self._buffer
        buffer += data
        at = 0
        try:
            while len(buffer) - at >= PREFIX:
                flag = buffer[at]
                if flag & ~COMPRESSED and not (self._trailers and flag & ~COMPRESSED == TRAILERS):
                    raise Malformed(f"a message with the flag {flag:#x}")
                size = int.from_bytes(buffer[at + 1 : at + PREFIX], "big")
                if size > self._most:
                    raise TooLong(self._most, size)
                end = at + PREFIX + size
                if len(buffer) < end:
                    return
                content = bytes(memoryview(buffer)[at + PREFIX : end])
                at = end
                yield flag, content
        finally:
            del buffer[:at]

    def end(self) -> None:
        """Nothing more comes.

        :raises Malformed: in the middle of a frame.
        """
        if self._buffer:
            raise Malformed("the stream ends within a message")
