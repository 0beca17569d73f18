"""The allocator keeps the pages that bodies come and go in."""

from __future__ import annotations

import subprocess
import sys

import pytest

from skitai.worker.allocator import keep_freed_memory

FAULTS = """
import resource, sys
from skitai.worker.allocator import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        bodies = [b"x" * size for size in (70_000, 140_000) * 15]
        del bodies
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults(), keep_freed_memory({}), faults() and faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a parameter of glibc")
def test_a_body_takes_the_pages_of_the_last_one() -> None:
    """Three megabytes: glibc raises its thresholds by itself, to twice the largest block that the imports have freed."""
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    before, kept, after = done.stdout.split()
    assert kept == "True"
    assert int(before) > 2000
    assert int(after) < 200


def test_what_the_administrator_has_set_stays() -> None:
    assert keep_freed_memory({"MALLOC_TRIM_THRESHOLD_": "131072"}) is False
    assert keep_freed_memory({"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=1"}) is False
