"""Hearing of files that are renamed into a folder: inotify(7), which Python has no module for."""

from __future__ import annotations

import ctypes
import os
import struct

_IN_MOVED_TO = 0x80
_IN_DELETE_SELF = 0x400
_IN_MOVE_SELF = 0x800
_IN_Q_OVERFLOW = 0x4000
_IN_IGNORED = 0x8000
_IN_ONLYDIR = 0x0100_0000

_EVENT = struct.Struct("iIII")  # struct inotify_event: wd, mask, cookie, length of the name that follows
_READ_BYTES = 65536


class Watch:
    """Says which files have appeared in a folder.

    :ivar lost: the folder has gone; nothing is heard any more.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.lost = False

    @classmethod
    def open(cls, folder: str) -> Watch:
        """:raises OSError: this system cannot, or its number of watches is used up."""
        libc = ctypes.CDLL(None, use_errno=True)
        try:
            init, add = libc.inotify_init1, libc.inotify_add_watch
        except AttributeError as error:
            raise OSError("this system has no inotify") from error
        fd = init(os.O_NONBLOCK | os.O_CLOEXEC)
        if fd < 0:
            raise _error()
        mask = _IN_MOVED_TO | _IN_DELETE_SELF | _IN_MOVE_SELF | _IN_ONLYDIR
        if add(fd, os.fsencode(folder), ctypes.c_uint32(mask)) < 0:
            error_ = _error()
            os.close(fd)
            raise error_
        return cls(fd)

    def fileno(self) -> int:
        return self._fd

    def appeared(self) -> tuple[list[str], bool]:
        """The names that have appeared since the last call, and whether these are all."""
        names: list[str] = []
        complete = True
        while True:
            try:
                data = os.read(self._fd, _READ_BYTES)
            except BlockingIOError:
                return names, complete
            at = 0
            while at < len(data):
                _, mask, _, length = _EVENT.unpack_from(data, at)
                at += _EVENT.size
                if mask & _IN_MOVED_TO:
                    names.append(os.fsdecode(data[at : at + length].rstrip(b"\0")))
                if mask & (_IN_DELETE_SELF | _IN_MOVE_SELF | _IN_IGNORED):
                    self.lost = True
                if mask & (_IN_Q_OVERFLOW | _IN_DELETE_SELF | _IN_MOVE_SELF | _IN_IGNORED):
                    complete = False
                at += length

    def close(self) -> None:
        os.close(self._fd)


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
