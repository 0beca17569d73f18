"""Prints the ends of a server's log files, and what is added to them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import IO

from skitai.errors import StartError
from skitai.ipc.rundir import LOG_FILES

_TAIL_LINES = 20
_TAIL_BYTES = 1 << 16
_POLL_S = 0.2


class Tail:
    """The end of one log file, across rotations.

    :param path: the file need not exist yet.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._file: IO[bytes] | None = None
        self._rest = b""

    def last(self, count: int) -> list[bytes]:
        """The last whole lines; the next call of `added` goes on behind them."""
        if not self._open():
            return []
        assert self._file is not None
        size = self._file.seek(0, os.SEEK_END)
        self._file.seek(max(0, size - _TAIL_BYTES))
        lines = self._whole(self._file.read())
        if size > _TAIL_BYTES:
            del lines[:1]  # it began in the middle
        return lines[-count:]

    def added(self) -> list[bytes]:
        """The whole lines that have come since, those of a new file after a rotation included."""
        lines = self._whole(self._file.read()) if self._file else []
        if self._is_rotated() and self._open():
            assert self._file is not None
            lines += self._whole(self._file.read())
        return lines

    def close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None

    def _open(self) -> bool:
        self.close()
        self._rest = b""
        try:
            self._file = open(self.path, "rb")  # noqa: SIM115 - it stays open between two looks
        except FileNotFoundError:
            return False
        return True

    def _is_rotated(self) -> bool:
        try:
            named = os.stat(self.path)
        except FileNotFoundError:
            return False
        return self._file is None or not os.path.samestat(named, os.fstat(self._file.fileno()))

    def _whole(self, data: bytes) -> list[bytes]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        return lines


def print_logs(folders: list[str], *, follow: bool, names: Sequence[str] = LOG_FILES) -> int:
    """Print the ends of the log files of a server.

    :param folders: where they may be; the first that holds one counts.
    :param names: of the files.
    :param follow: go on with what is added, until interrupted.
    :raises StartError: there are no log files.
    """
    folder = next((each for each in folders if any(os.path.exists(os.path.join(each, name)) for name in names)), None)
    if folder is None:
        raise StartError(f"there are no log files in {' nor in '.join(folders)}; --file-logging makes a server write some")
    tails = [Tail(os.path.join(folder, name)) for name in names]
    try:
        for tail in tails:
            _print(tail.path, tail.last(_TAIL_LINES))
        while follow:
            time.sleep(_POLL_S)
            for tail in tails:
                _print("", tail.added())
    except KeyboardInterrupt:
        pass  # how one ends following
    finally:
        for tail in tails:
            tail.close()
    return 0


def _print(title: str, lines: list[bytes]) -> None:
    if title and lines:
        print(f"==> {title}")
    sys.stdout.flush()
    sys.stdout.buffer.writelines(line + b"\n" for line in lines)
    sys.stdout.buffer.flush()
