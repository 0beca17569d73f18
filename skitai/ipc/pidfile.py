"""The pid file: who it names holds a lock on it, so a file that a dead server left behind is recognised as stale."""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import suppress

from skitai.errors import StartError
from skitai.ipc.lockfile import LockFile, lock, sign, signed

with suppress(ImportError):  # Windows
    import fcntl

NAME = ".pid"

# Whoever asks for the pid holds a shared lock for an instant; a starting server must not take that for a second server.
_ATTEMPTS = 10
_ATTEMPT_S = 0.03


class PidFile(LockFile):
    """A locked pid file."""

    __slots__ = ()

    @classmethod
    def acquire(cls, folder: str) -> PidFile:
        """Lock the pid file of a run directory and write our pid into it.

        :raises StartError: another server holds it, or the file is not ours, or a link.
        """
        path = os.path.join(folder, NAME)
        for _ in range(_ATTEMPTS):
            fd = _open(path)
            if not lock(fd):
                os.close(fd)
                time.sleep(_ATTEMPT_S)
                continue
            if is_at(path, fd):
                sign(fd)
                return cls(path, fd)
            os.close(fd)  # its former owner removed it between our opening and locking it
        raise StartError(f"already running, pid {read(folder) or 'unknown'} (see {path})")

    def release(self) -> None:
        """Remove the file and give up the lock."""
        if is_at(self.path, self.fd):
            with suppress(FileNotFoundError):
                os.unlink(self.path)
        os.close(self.fd)


def read(folder: str) -> int | None:
    """The pid of the server that runs in this run directory; None when there is none, or only a stale file.

    :raises PermissionError: the folder is another user's.
    """
    try:
        fd = os.open(os.path.join(folder, NAME), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            return None  # no server of ours writes its pid through a link
        raise
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return signed(fd)
    finally:
        os.close(fd)
    return None


def _open(path: str) -> int:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except OSError as error:
        reason = "it is a symbolic link" if error.errno == errno.ELOOP else os.strerror(error.errno or 0)
        raise StartError(f"cannot use the pid file {path}: {reason}") from error
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        os.close(fd)
        raise StartError(f"cannot use the pid file {path}: it belongs to another user or is not a plain file")
    return fd


def is_at(path: str, fd: int) -> bool:
    """Whether the open file is still the one with that name."""
    try:
        named = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    opened = os.fstat(fd)
    return (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)
