"""Whatever is filtered by is found again, and nothing else: of the builder's conditions, whatever they are, on SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.support import sqlfound
from tests.support.sqlfound import Bench
from tests.support.sqlproperties import *  # noqa: F403 - the tests


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute(sqlfound.CREATE)
        yield Bench("sqlite3", lambda rendered: connection.execute(*rendered).fetchall(), sqlfound.folded)
