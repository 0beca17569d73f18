"""The C library's allocator, tuned for bodies.

As it comes, glibc hands memory back to the system as soon as 128 KiB at the end of its heap are free, and takes large blocks
from the system one by one. A worker that reads bodies then gives and takes the same pages with every request, each of them
cleared by the kernel: more than half the cost of a 64 KiB POST, measured. With these thresholds a worker keeps a few
megabytes instead.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Names of parameters in glibc's malloc.h."""

KEPT_BYTES = 8 << 20
"""Free memory at the end of the heap that is kept."""

BLOCK_BYTES = 1 << 20
"""Smallest block that is taken from the system by itself, and given back when it is freed."""

SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory(environ: Mapping[str, str] = os.environ) -> bool:
    """Set the thresholds for this process.

    :param environ: where the administrator may have set them otherwise; then nothing is changed.
    :returns: whether they are set; False on other C libraries.
    """
    if sys.platform != "linux" or any(name in environ for name in SETTINGS):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    mallopt.argtypes = (ctypes.c_int, ctypes.c_int)
    return bool(mallopt(M_MMAP_THRESHOLD, BLOCK_BYTES)) and bool(mallopt(M_TRIM_THRESHOLD, KEPT_BYTES))
