"""SQL statements as operations, and what is said of them."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from skitai.backend.drivers.base import fingerprint
from skitai.backend.drivers.statements import Row, Statement, bound


@pytest.mark.parametrize(
    ("sql", "repeatable"),
    [
        ("SELECT 1", True),
        ("\n  select * from t", True),
        ("VALUES (1)", True),
        ("SHOW all", True),
        ("SELECT * INTO copy FROM t", False),
        ("WITH x AS (INSERT INTO t VALUES (1)) SELECT 1", False),
        ("INSERT INTO t VALUES (1)", False),
        ("selection", False),
        ("", False),
    ],
)
def test_what_may_be_asked_twice(sql: str, repeatable: bool) -> None:
    assert Statement(sql).repeatable is repeatable


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ((1, "a"), (1, "a"), True),
        ((1,), (True,), False),
        ((1,), (1.0,), False),
        (([1, 2],), ([1, 2],), True),
        (([1, 2],), ((1, 2),), False),
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"a": 2}, False),
        (None, (), False),
    ],
)
def test_equal_statements_are_recognised(one: Any, other: Any, same: bool) -> None:
    assert (Statement("SELECT 1", one).key() == Statement("SELECT 1", other).key()) is same


def test_what_has_no_hash_is_equal_to_nothing() -> None:
    assert fingerprint("SELECT 1", ({1, 2},)) is None
    assert fingerprint("SELECT 1", (bytearray(b"x"),)) is None


def test_parameters_are_copied() -> None:
    given = [1, 2]
    taken = bound(given)
    given.append(3)
    assert taken == (1, 2)


def test_a_row_is_a_dict() -> None:
    row = Row(city="Oslo", items=3)
    assert (row.city, row["items"], dict(row)) == ("Oslo", 3, {"city": "Oslo", "items": 3})
    assert pickle.loads(pickle.dumps(row)) == row  # noqa: S301 - what was pickled here
    assert not hasattr(row, "country")
