"""Messages of the bus as datagrams; what is large travels as a memfd that is passed along."""

from __future__ import annotations

import array
import os
import socket
import struct
from dataclasses import dataclass

INLINE_BYTES = 16384
"""A larger payload travels as a memfd."""

LARGEST_BYTES = 64 << 20

_VERSION = 1
_HEAD = struct.Struct("!B?HB")  # version, whether a memfd comes with it, the sender's row, length of the topic
DATAGRAM_BYTES = _HEAD.size + 0xFF + INLINE_BYTES


@dataclass(frozen=True, slots=True)
class Message:
    """What a worker receives.

    :param sender: row of the worker that sent it.
    :param topic: whom it concerns.
    """

    sender: int
    topic: str
    payload: bytes


class Parcel:
    """A message on its way to several readers.

    :ivar fd: of the memfd; below 0 when there is none.
    :ivar size: of the payload.
    :ivar left: readers that it has not reached yet; the last one closes the memfd.
    """

    __slots__ = ("data", "fd", "left", "size")

    def __init__(self, data: bytes, fd: int, size: int, left: int) -> None:
        self.data = data
        self.fd = fd
        self.size = size
        self.left = left

    @classmethod
    def pack(cls, sender: int, topic: str, payload: bytes, readers: int) -> Parcel:
        """A parcel for so many readers, 1 or more.

        :raises OSError: there is no memory or descriptor for a large payload.
        """
        size, name = len(payload), topic.encode()
        head = _HEAD.pack(_VERSION, size > INLINE_BYTES, sender, len(name)) + name
        if size <= INLINE_BYTES:
            return cls(head + payload, -1, size, readers)
        fd = os.memfd_create("skitai-message", os.MFD_CLOEXEC)
        try:
            rest = memoryview(payload)
            while rest:
                rest = rest[os.write(fd, rest) :]
        except OSError:
            os.close(fd)
            raise
        return cls(head, fd, size, readers)

    def send(self, sock: socket.socket) -> None:
        """:raises OSError: it was not sent."""
        if self.fd < 0:
            sock.send(self.data, socket.MSG_DONTWAIT)
        else:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [self.fd]))]
            sock.sendmsg([self.data], rights, socket.MSG_DONTWAIT)

    def done(self) -> None:
        """One reader less."""
        self.left -= 1
        if self.left == 0 and self.fd >= 0:
            os.close(self.fd)


def unpack(data: bytes, ancillary: list[tuple[int, int, bytes]]) -> Message | None:
    """The message in a datagram; None for one of another version of this program.

    :param ancillary: what came with it; its descriptors are closed.
    :raises ValueError: it is cut short, or its memfd is missing or too large.
    """
    fds = array.array("i")
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(value[: len(value) - len(value) % fds.itemsize])
    try:
        version, by_memfd, sender, length = _HEAD.unpack_from(data)
        if version != _VERSION:
            return None
        begin = _HEAD.size + length
        topic = data[_HEAD.size : begin].decode()
        if not by_memfd:
            return Message(sender, topic, data[begin:])
        if not fds:
            raise ValueError("its memfd is missing")
        return Message(sender, topic, _contents(fds[0]))
    except struct.error as error:
        raise ValueError(f"it is cut short: {error}") from None
    finally:
        for fd in fds:
            os.close(fd)


def _contents(fd: int) -> bytes:
    """What a memfd holds. Its file offset is shared with other readers and therefore left alone.

    :raises ValueError: it is too large.
    """
    size = os.fstat(fd).st_size
    if size > LARGEST_BYTES:
        raise ValueError(f"its memfd holds {size} bytes")
    parts = []
    read = 0
    while read < size and (part := os.pread(fd, size - read, read)):
        parts.append(part)
        read += len(part)
    return b"".join(parts)
