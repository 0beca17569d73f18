"""Shared memory of 8-byte slots on a memfd: mapped before the fork, and it outlives an exec.

An aligned 8-byte store is one machine instruction, so a slot is never seen half written and needs no lock; a lock would
stay locked for ever when its holder is killed. Slots are stored, never incremented by two processes.
"""

from __future__ import annotations

import mmap
import os

SLOT_BYTES = 8


class Memory:
    """A mapped memfd, seen as whole numbers and as floats.

    :ivar ints: every slot as a signed 64-bit number.
    :ivar floats: every slot as a double.
    """

    __slots__ = ("_map", "fd", "floats", "ints")

    def __init__(self, fd: int, mapping: mmap.mmap) -> None:
        self.fd = fd
        self._map = mapping
        self.ints: memoryview[int] = memoryview(mapping).cast("q")
        self.floats: memoryview[float] = memoryview(mapping).cast("d")

    @classmethod
    def create(cls, name: str, slots: int) -> Memory:
        """New memory, all zero."""
        fd = os.memfd_create(f"skitai-{name}", os.MFD_CLOEXEC)
        return cls.adopt(fd, slots)

    @classmethod
    def adopt(cls, fd: int, slots: int) -> Memory:
        """Memory that another program of this process made; it grows when it holds fewer slots."""
        os.set_inheritable(fd, False)
        size = slots * SLOT_BYTES
        if os.fstat(fd).st_size < size:
            os.ftruncate(fd, size)
        return cls(fd, mmap.mmap(fd, size))

    def hand_over(self) -> int:
        """Let the memory survive the next exec; its descriptor."""
        os.set_inheritable(self.fd, True)
        return self.fd

    def __repr__(self) -> str:
        return f"<Memory fd={self.fd} slots={len(self.ints)}>"
