"""Writing to a socket from any thread without giving up the interpreter lock.

A non-blocking send of a small answer takes two microseconds. Giving the interpreter lock up for it, as `socket.send` does,
means asking for it again behind every other thread; measured, that costs more than the send.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable

GIVE_WAY_BYTES = 65536
"""From this size on, the kernel's copying takes longer than another thread should wait."""

Send = Callable[[int, bytes], int]
"""(descriptor of a non-blocking socket, data) -> bytes taken; raises OSError."""


def polite(descriptor: int, data: bytes) -> int:
    """Send, and let other threads run meanwhile."""
    try:
        return os.write(descriptor, data)
    except BlockingIOError:
        return 0


def make_send() -> Send:
    """The fastest sender that this system offers."""
    if sys.platform != "linux":
        return polite
    # No `argtypes` and no `use_errno`: both double the cost of a call. An int and bytes pass as write(2) wants them.
    write = ctypes.PyDLL(None).write

    def send(descriptor: int, data: bytes) -> int:
        size = len(data)
        if size < GIVE_WAY_BYTES:
            taken: int = write(descriptor, data, size)
            if taken >= 0:
                return taken
        return polite(descriptor, data)  # which knows what was wrong, if anything still is

    return send
