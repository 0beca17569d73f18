"""Writing to a socket from any thread without giving up the interpreter lock.

A non-blocking send of a small answer takes two microseconds. Giving the interpreter lock up for it, as `socket.send` does,
means asking for it again behind every other thread; measured, that costs more than the send.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import sys
from collections.abc import Callable

GIVE_WAY_BYTES = 65536
"""From this size on, the kernel's copying takes longer than another thread should wait."""

Send = Callable[[int, bytes], int]
"""(descriptor, data) -> bytes taken; BlockingIOError or another OSError like `os.write`."""


def make_send() -> Send:
    """The fastest sender that this system offers."""
    if sys.platform != "linux":
        return os.write
    flags = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
    keeping = ctypes.PyDLL(None, use_errno=True).send
    giving = ctypes.CDLL(None, use_errno=True).send
    for function in (keeping, giving):
        function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int)
        function.restype = ctypes.c_ssize_t
    get_errno = ctypes.get_errno

    def send(descriptor: int, data: bytes) -> int:
        size = len(data)
        taken: int = (keeping if size < GIVE_WAY_BYTES else giving)(descriptor, data, size, flags)
        if taken >= 0:
            return taken
        number = get_errno()
        if number == errno.EAGAIN:
            return 0
        raise OSError(number, os.strerror(number))

    return send
