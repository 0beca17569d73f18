"""Ending with one's parent, however that ends."""

from __future__ import annotations

import ctypes
import signal

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Have this process killed when its parent ends (prctl(2), PR_SET_PDEATHSIG); undone by a change of user.

    Whoever calls this asks afterwards whether the parent is still there: it may have ended before.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
