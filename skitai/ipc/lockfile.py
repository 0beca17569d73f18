"""A file by whose lock a server says what is its own, and which names its pid."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Self

with suppress(ImportError):  # Windows
    import fcntl


class LockFile:
    """A locked file. The lock belongs to the open file: it survives an exec and ends with the process.

    :ivar path: what is locked: the file itself, or the folder for which it stands.
    :ivar fd: of the file.
    """

    __slots__ = ("fd", "path")

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self.fd = fd

    @classmethod
    def adopt(cls, path: str, fd: int) -> Self:
        """What the program before the exec had locked."""
        os.set_inheritable(fd, False)
        return cls(path, fd)

    def hand_over(self) -> int:
        """Let the lock survive the next exec; its descriptor."""
        os.set_inheritable(self.fd, True)
        return self.fd

    def close(self) -> None:
        """Let go of the file; in a child the lock stays the master's."""
        os.close(self.fd)


def lock(fd: int) -> bool:
    """Lock an open file; False when another process has it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sign(fd: int) -> None:
    """Write our pid into a locked file."""
    os.ftruncate(fd, 0)
    os.pwrite(fd, b"%d\n" % os.getpid(), 0)


def signed(fd: int) -> int | None:
    """The pid in a file; None when none is there."""
    text = os.pread(fd, 32, 0).strip()
    return int(text) if text.isdigit() else None
