"""Every documented form of a statement: what it becomes, and that SQLite takes it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from skitai.backend.drivers.sqlite import parted
from skitai.sql import SQL, D, V
from tests.support.sqlforms import ROWS, SCHEMA, TODAY, Row, made

rows = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())


@pytest.fixture(scope="module")
def database() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for each in SCHEMA:
            connection.execute(each)
        yield connection


def on_one_line(text: str) -> str:
    return " ".join(text.split())


@rows
def test_what_people_read(row: Row) -> None:
    assert on_one_line(str(made(row, "postgresql"))) == row.text
    assert on_one_line(str(made(row, "sqlite3"))) == (row.sqlite or row.text)


@rows
def test_what_databases_are_given_has_no_value_in_it(row: Row) -> None:
    for engine, placeholder in (("postgresql", "%s"), ("sqlite3", "?")):
        sql, parameters = made(row, engine).render()
        assert sql.count(placeholder) == len(parameters)
        for value in parameters:
            assert not isinstance(value, str) or f"'{value}'" not in sql


@rows
def test_sqlite_takes_it(row: Row, database: sqlite3.Connection) -> None:
    for sql, parameters in parted(*made(row, "sqlite3").render()):
        database.execute(sql, parameters or ()).fetchall()
    database.executescript(str(made(row, "sqlite3")))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (V(1), "1"),
        (V(__eq=1), "1"),
        (V(TODAY), "DATE '2018-06-01'"),
        (V("Hans"), "'Hans'"),
        (V(None), "NULL"),
        (V(), "NULL"),
        (V(__eq="Hans"), "'Hans'"),
        (V(__contains="Hans"), "'%Hans%'"),
        (V(__in=[1, 2]), "(1,2)"),
        (V(__in=[]), "(NULL)"),
        (V(__between=[1, 2]), "1 AND 2"),
        (D(name="Hans", id=1, email=None).values, "'Hans', 1, NULL"),
        (D(name="Hans", id=1, email=None).columns, "name, id, email"),
        (D(name="Hans", id=1, email=None).pairs, "name = 'Hans', id = 1, email = NULL"),
    ],
)
def test_what_values_are_in_templates(value: V, text: str) -> None:
    assert str(value) == text


def test_a_statement_is_text_for_people_too() -> None:
    statement = SQL("postgresql").select("names").filter(id=1)
    assert statement.as_sql() == str(statement) == "SELECT * FROM names\nWHERE id = 1"
