"""A lock that one process of this host holds, and that ends with it."""

from __future__ import annotations

import fcntl
import os


class Lock:
    """An exclusive lock on a file.

    Processes that are forked meanwhile share it, so giving it up is an act of its own (flock(2), LOCK_UN).
    """

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def take(cls, path: str) -> Lock | None:
        """The lock; None when somebody else has it.

        :raises OSError: the file cannot be opened or made.
        """
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        return cls(fd)

    def give_up(self) -> None:
        fcntl.flock(self.fd, fcntl.LOCK_UN)
        os.close(self.fd)
