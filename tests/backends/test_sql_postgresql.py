"""The builder's statements on a real PostgreSQL: all documented forms, and that whatever is filtered by is found again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from skitai.sql import SQL, Rendered, Statement
from tests.support import sqlfound
from tests.support.databases import Postgres
from tests.support.sqlforms import ROWS, SCHEMA, Row, made
from tests.support.sqlfound import Bench
from tests.support.sqlproperties import *  # noqa: F403 - the tests


class Session:
    """A connection with tables of its own."""

    def __init__(self, raw: Any) -> None:
        self._cursor = raw.cursor()
        for each in (*SCHEMA, sqlfound.CREATE):
            self._cursor.execute(each.replace("CREATE TABLE", "CREATE TEMPORARY TABLE"))

    def run(self, rendered: Rendered) -> Sequence[Any]:
        self._cursor.execute(*rendered)
        return list(self._cursor.fetchall()) if self._cursor.description else []

    def run_text(self, statement: Statement) -> Sequence[Any]:
        """The statement as people read it."""
        self._cursor.execute(str(statement))
        return list(self._cursor.fetchall()) if self._cursor.description else []


@pytest.fixture(scope="module")
def session(postgres: Postgres) -> Iterator[Session]:
    with closing(postgres.connect()) as raw:
        yield Session(raw)


@pytest.fixture(scope="module")
def bench(session: Session) -> Bench:
    return Bench("postgresql", session.run, lambda text: text)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_postgresql_takes_what_is_documented(row: Row, session: Session) -> None:
    session.run(made(row, "postgresql").render())
    session.run_text(made(row, "postgresql"))


@pytest.mark.parametrize(
    ("type", "value"),
    [
        ("boolean", True),
        ("numeric", Decimal("1.10")),
        ("double precision", -0.1),
        ("bytea", b"\0'\\x"),
        ("date", date(2018, 6, 1)),
        ("time", time(12, 30, 0, 5)),
        ("timestamp", datetime(2018, 6, 1, 12, 30, 0, 5)),
        ("timestamptz", datetime(2018, 6, 1, 12, 30, tzinfo=UTC)),
        ("uuid", UUID(int=7)),
        ("jsonb", {"a": ["it's", None, 1.5]}),
        ("integer[]", [1, None, 3]),
        ("integer[]", (1, 2)),
        ("text[]", ["a'b", "{c}", "%"]),
    ],
)
def test_values_of_all_types_are_found_again(session: Session, type: str, value: Any) -> None:
    sql = SQL("postgresql")
    session.run(Rendered(f"CREATE TEMPORARY TABLE kept (value {type})", ()))
    try:
        session.run(sql.insert("kept", value=value).render())
        found = session.run(sql.select("kept").filter(value=value).render())
        assert len(found) == len(session.run_text(sql.select("kept").filter(value=value))) == 1
        got = found[0][0]
        if type == "bytea":
            got = bytes(got)
        assert got == (str(value) if type == "uuid" else list(value) if isinstance(value, tuple) else value)
        assert session.run(sql.select("kept").filter(value__neq=value).render()) == []
    finally:
        session.run(Rendered("DROP TABLE kept", ()))
