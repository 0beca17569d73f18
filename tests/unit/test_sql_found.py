"""Whatever is filtered by is found again, and nothing else: of the builder's conditions, whatever they are, on SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skitai.sql import SQL
from tests.support import sqlfound
from tests.support.sqlfound import Bench
from tests.support.sqlproperties import *  # noqa: F403 - the tests


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute(sqlfound.CREATE)
        yield Bench("sqlite3", lambda rendered: connection.execute(*rendered).fetchall(), sqlfound.folded)


@pytest.fixture(scope="module")
def kept() -> Iterator[sqlite3.Connection]:
    """A table for values of any type."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE kept (value, price NUMERIC)")
        yield connection


zones = st.timezones() | st.just(UTC)
moments = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=zones, allow_imaginary=False)
prices = st.decimals(-(10**9), 10**9, places=2)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pair=st.one_of(
        st.tuples(moments, moments),
        st.tuples(st.datetimes(), st.datetimes()),
        st.tuples(st.dates(), st.dates()),
        st.tuples(st.times(), st.times()),
        st.tuples(prices, prices),
        st.tuples(st.integers(-(10**9), 10**9), prices),
        st.tuples(st.binary(max_size=4), st.binary(max_size=4)),
        st.tuples(st.booleans(), st.booleans()),
    )
)
def test_values_compare_in_sqlite_as_they_do_in_python(kept: sqlite3.Connection, pair: tuple[Any, Any]) -> None:
    sql = SQL("sqlite3")
    one, other = pair
    kept.execute(*sql.delete("kept").filter(__all=True).render())
    kept.execute(*sql.insert("kept", value=one, price=one).render())
    for column in ("value", "price"):
        for operator, true in (("eq", one == other), ("lt", one < other), ("gte", one >= other), ("neq", one != other)):
            found = kept.execute(*sql.select("kept").filter(**{f"{column}__{operator}": other}).render()).fetchall()
            assert bool(found) == true
