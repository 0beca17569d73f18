"""The protocol of Redis without input and output: commands in, bytes out; bytes in, replies out.

https://redis.io/docs/latest/develop/reference/protocol-spec/ (version 2)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from skitai.errors import SkitaiError

Word = str | bytes | bytearray | memoryview | int | float


class ServerError(SkitaiError):
    """Redis said no.

    :ivar code: the first word, such as "WRONGTYPE"; "ERR" where there is nothing more to say.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = message.partition(" ")[0]


class NotRedis(SkitaiError):
    """What came is not what the protocol says."""


class TooLong(SkitaiError):
    """A reply is longer than is wanted."""


def pack(words: Iterable[bytes]) -> bytes:
    """One command as it is sent."""
    parts = [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(parts)


def encoded(word: Any) -> bytes:
    """One word of a command.

    :raises TypeError: Redis knows texts, bytes and numbers alone.
    """
    if isinstance(word, str):
        return word.encode()
    if isinstance(word, bytes):
        return word
    if isinstance(word, int | float) and not isinstance(word, bool):
        return repr(word).encode()
    if isinstance(word, bytearray | memoryview):
        return bytes(word)
    raise TypeError(f"{word!r} is no word for Redis: it knows str, bytes, int and float")


def decoded(word: bytes) -> str | bytes:
    """A text where it is one, else the bytes."""
    try:
        return word.decode()
    except UnicodeDecodeError:
        return word


class Replies:
    """Puts replies together.

    :param limit: bytes that one reply may have.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._needed = 0
        self._size = 0
        self._open: list[tuple[list[Any], int]] = []  # arrays that are not full yet, outermost first

    def feed(self, data: bytes) -> list[Any]:
        """Take what came.

        :returns: the replies that are complete now: `str`, `bytes`, `int`, None, lists of these, and `ServerError`.
        :raises NotRedis: this is not the protocol.
        :raises TooLong: a reply has more bytes than it may have.
        """
        buffer = self._buffer
        buffer += data
        replies: list[Any] = []
        if len(buffer) < self._needed:
            return replies
        self._needed = position = 0
        while (end := buffer.find(b"\r\n", position)) >= 0:
            kind, line = buffer[position], bytes(buffer[position + 1 : end])
            following = end + 2
            value: Any
            if kind == 0x24:  # $
                length = number(line)
                if length < 0:
                    value = None
                else:
                    self._check(length)
                    following += length + 2
                    if len(buffer) < following:
                        self._needed = following - position
                        break
                    value = decoded(bytes(buffer[end + 2 : following - 2]))
            elif kind == 0x3A:  # :
                value = number(line)
            elif kind == 0x2B:  # +
                value = decoded(line)
            elif kind == 0x2D:  # -
                value = ServerError(line.decode(errors="replace"))
            elif kind == 0x2A:  # *
                length = number(line)
                self._check(length)
                if length > 0:
                    self._size += following - position
                    position = following
                    self._open.append(([], length))
                    continue
                value = None if length < 0 else []
            else:
                raise NotRedis(f"a reply begins with {chr(kind)!r}")
            self._size += following - position
            self._check(0)
            position = following
            self._close(value, replies)
        else:
            if len(buffer) - position > 65536:
                raise NotRedis("a line does not end")
        del buffer[:position]
        return replies

    def _close(self, value: Any, replies: list[Any]) -> None:
        """Put a value where it belongs, and the arrays that it fills."""
        while self._open:
            array, length = self._open[-1]
            array.append(value)
            if len(array) < length:
                return
            self._open.pop()
            value = array
        replies.append(value)
        self._size = 0

    def _check(self, more: int) -> None:
        if self._size + more > self._limit:
            raise TooLong(f"a reply has more than {self._limit} bytes")


def number(line: bytes) -> int:
    """:raises NotRedis: it is none."""
    try:
        return int(line)
    except ValueError:
        raise NotRedis(f"{line!r} is no number") from None
