"""Locks between processes that end with their holder, however it ends."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

with suppress(ImportError):  # Windows: one process, whose locks have no file
    import fcntl

_BEYOND = 1 << 40
"""Locks are on bytes that the file does not have."""

_RETRY_S = 0.01


class ProcessLock:
    """A lock for the threads of several processes; the thread that has it may take it again.

    :param fd: of a file that all these processes have open, and none of them closes; below 0, for this process alone.
    :param key: which lock, from 0 to 2**32.
    """

    def __init__(self, fd: int, key: int) -> None:
        self._fd = fd
        self._offset = _BEYOND + key
        self._threads = threading.RLock()
        self._depth = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock.

        :param timeout: seconds to wait for it; for ever by default.
        :returns: whether it was taken.
        :raises OSError: this process and another wait for each other (EDEADLK).
        """
        end_s = time.monotonic() + timeout
        if not self._threads.acquire(blocking, timeout):
            return False
        try:
            taken = self._depth > 0 or self._fd < 0 or self._take(blocking, timeout >= 0, end_s)
        except BaseException:
            self._threads.release()
            raise
        if taken:
            self._depth += 1
        else:
            self._threads.release()
        return taken

    def release(self) -> None:
        """Give it back.

        :raises RuntimeError: this thread does not have it.
        """
        if not self._threads._is_owned():  # type: ignore[attr-defined]
            raise RuntimeError("cannot release a lock that this thread does not have")
        self._depth -= 1
        if self._depth == 0 and self._fd >= 0:
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, self._offset)
        self._threads.release()

    def _take(self, blocking: bool, limited: bool, end_s: float) -> bool:
        """Lock the byte. The system's own wait has no end, so a limited one asks again and again."""
        if blocking and not limited:
            fcntl.lockf(self._fd, fcntl.LOCK_EX, 1, self._offset)
            return True
        while True:
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, self._offset)
            except OSError:
                if not blocking or time.monotonic() >= end_s:
                    return False
                time.sleep(_RETRY_S)
            else:
                return True

    def __enter__(self) -> ProcessLock:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> Literal[False]:
        self.release()
        return False


TRIES = 50
"""So often a lock for a moment is asked for: longer than the moment takes, unless its holder is kept from going on."""


@contextmanager
def for_a_moment(fd: int, key: int) -> Iterator[bool]:
    """A lock for one process among several, around a moment's work. Nobody waits for a holder that does not go on.

    :param fd: as of `ProcessLock`.
    :param key: which lock; not one that a `ProcessLock` of the same file has.
    :returns: whether it was taken: where another process keeps it, or there is no file, the work is done without.
    """
    taken = fd >= 0 and _taken_soon(fd, _BEYOND + key)
    try:
        yield taken
    finally:
        if taken:
            fcntl.lockf(fd, fcntl.LOCK_UN, 1, _BEYOND + key)


def _taken_soon(fd: int, offset: int) -> bool:
    for _ in range(TRIES):
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)
        except OSError:
            os.sched_yield()
        else:
            return True
    return False
