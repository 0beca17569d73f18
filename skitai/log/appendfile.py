"""A log file that several processes append to, whole lines at a time."""

from __future__ import annotations

import os
from contextlib import suppress

STDERR = 2
FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
MODE = 0o640


class AppendFile:
    """An open log file.

    Each `write` is one system call on a descriptor in append mode, so lines of several processes never mix. The number of
    the descriptor stays the same when the file is opened again: others (faulthandler, standard streams) may hold it.

    :param path: absolute path; the folder exists. A symbolic link is refused.
    """

    __slots__ = ("_descriptor", "_failing", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = -1
        self._failing = False

    def open(self) -> None:
        """Open the file, or open it again by its name after it has been moved away.

        :raises OSError: it cannot be opened; a file that was open before stays in use.
        """
        fresh = os.open(self.path, FLAGS, MODE)
        if self._descriptor < 0:
            self._descriptor = fresh
            return
        # dup2 swaps at once, so a thread that is writing meets the old file or the new one, never a closed descriptor.
        os.dup2(fresh, self._descriptor, inheritable=False)
        os.close(fresh)

    def write(self, lines: bytes) -> None:
        """Append complete lines. A full disk loses them and is told once on stderr, until writing works again."""
        try:
            while lines:
                lines = lines[os.write(self._descriptor, lines) :]
        except OSError as error:
            if not self._failing:
                complain(f"cannot write to {self.path}: {error.strerror}; lines are lost")
            self._failing = True
        else:
            self._failing = False

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1


def complain(text: str) -> None:
    """Tell stderr about a log that cannot tell it itself."""
    write_stderr(f"skitai: {text}\n".encode("utf-8", "backslashreplace"))


def write_stderr(lines: bytes) -> None:
    """A terminal or pipe that has gone must not take the server along, and there is nobody left to tell."""
    with suppress(OSError):
        os.write(STDERR, lines)
