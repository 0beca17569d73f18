"""What a driver needs is imported when somebody needs the driver."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import sys
import skitai.worker.main, skitai.saddle, skitai.was.verbs, skitai.backend.backends
from importlib import import_module
from skitai.was.databases import STUBS
for kind in {kinds!r}:
    import_module(STUBS[kind].partition(":")[0])
print(*sorted({{name.partition(".")[0] for name in sys.modules}} & {{"psycopg2", "redis", "pymongo", "bson", "sqlite3"}}))
"""


@pytest.mark.parametrize(
    ("kinds", "imported"),
    [
        ([], ""),
        (["postgresql"], "psycopg2"),
        (["sqlite3"], "sqlite3"),
        (["redis"], ""),
        (["mongodb"], "bson pymongo"),
    ],
)
def test_third_parties(kinds: list[str], imported: str) -> None:
    code = CODE.format(kinds=kinds)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == imported, done.stderr
