"""Tests of what statements reach, for all kinds of databases: who imports them has a fixture `bench` with the database."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skitai.sql import BadStatement, F, Q, Rendered, Unfiltered, V
from tests.support.sqlfound import NUMBERS, TEXTS, Bench, Case, cases, integers, pieces, rows, texts, whole

__all__ = [
    "test_a_condition_finds_what_is_true_and_nothing_else",
    "test_a_delete_deletes_that_and_nothing_else",
    "test_a_list_in_a_template_finds_its_members",
    "test_a_template_finds_the_text_it_was_fed",
    "test_an_update_changes_that_and_nothing_else",
    "test_columns_from_outside_are_columns_or_refused",
    "test_orders_from_outside_are_orders_or_refused",
    "test_text_for_people_finds_the_same",
    "test_what_is_written_is_read_and_found",
]

tried = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

Rows = list[dict[str, Any]]


def expected(bench: Bench, things: dict[int, dict[str, Any]], case: Case) -> set[int]:
    return {number for number, row in things.items() if case.ignored or case.truth(row, bench.fold) is True}


def values_of(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[column] for column in (*TEXTS, *NUMBERS))


@tried
@given(rows=rows, case=cases, second=cases)
def test_a_condition_finds_what_is_true_and_nothing_else(bench: Bench, rows: Rows, case: Case, second: Case) -> None:
    things = bench.fill(rows)
    found = expected(bench, things, case)
    assert bench.ids(bench.sql.select("things").filter(case.q)) == found
    assert bench.ids(bench.sql.select("things").filter(case.q).filter(second.q)) == found & expected(bench, things, second)
    false = {number for number, row in things.items() if second.ignored or second.truth(row, bench.fold) is False}
    assert bench.ids(bench.sql.select("things").filter(case.q).exclude(second.q)) == found & false


@tried
@given(rows=rows, case=cases)
def test_a_delete_deletes_that_and_nothing_else(bench: Bench, rows: Rows, case: Case) -> None:
    things = bench.fill(rows)
    statement = bench.sql.delete("things").filter(case.q)
    if case.widened:
        with pytest.raises(Unfiltered):
            statement.render()
        with pytest.raises(Unfiltered):
            bench.sql.delete("things").filter(Q(case.q, id__gte=0)).render()
    else:
        bench.run(statement.render())
        assert set(bench.all()) == set(things) - expected(bench, things, case)


@tried
@given(rows=rows, case=whole, text=st.none() | texts, number=integers)
def test_an_update_changes_that_and_nothing_else(
    bench: Bench, rows: Rows, case: Case, text: str | None, number: int
) -> None:
    things = bench.fill(rows)
    bench.run(bench.sql.update("things").data(name=text, number=number, label=F("name")).filter(case.q).render())
    wanted = {each: values_of(row) for each, row in things.items()}
    for each in expected(bench, things, case):
        wanted[each] = (text, things[each]["name"], number, things[each]["size"])
    assert bench.all() == wanted


@tried
@given(rows=rows)
def test_what_is_written_is_read_and_found(bench: Bench, rows: Rows) -> None:
    things = bench.fill(rows)
    assert bench.all() == {number: values_of(row) for number, row in things.items()}
    for row in things.values():
        for column in (*TEXTS, *NUMBERS):
            same = {number for number, other in things.items() if other[column] == row[column]}
            asked = {f"{column}__isnull": True} if row[column] is None else {column: row[column]}
            assert bench.ids(bench.sql.select("things").filter(**asked)) == same


@tried
@given(rows=rows, text=texts, part=texts)
def test_a_template_finds_the_text_it_was_fed(bench: Bench, rows: Rows, text: str, part: str) -> None:
    things = bench.fill(rows)
    template = bench.sql.template("SELECT id FROM things WHERE name = {text} OR label LIKE {part} ORDER BY 1")
    found = bench.run(template.feed(text=text, part=V(__contains=part)).render())
    assert [row[0] for row in found] == [
        number
        for number, row in things.items()
        if row["name"] == text or (row["label"] is not None and bench.fold(part) in bench.fold(row["label"]))
    ]


@tried
@given(rows=rows, members=st.lists(texts, max_size=4))
def test_a_list_in_a_template_finds_its_members(bench: Bench, rows: Rows, members: list[str]) -> None:
    things = bench.fill(rows)
    wanted = [(number,) for number, row in things.items() if row["name"] in members]
    for text in (
        "SELECT id FROM things WHERE name IN {all} ORDER BY id",
        "SELECT id FROM things WHERE name IN ({all}) ORDER BY id",
    ):
        assert [tuple(row) for row in bench.run(bench.sql.template(text).feed(all=members).render())] == wanted


@tried
@given(rows=rows, case=whole)
def test_text_for_people_finds_the_same(bench: Bench, rows: Rows, case: Case) -> None:
    things = bench.fill(rows)
    text = str(bench.sql.select("things").get("id").filter(case.q))
    if bench.sql.engine == "postgresql":
        text = text.replace("%", "%%")
    assert {row[0] for row in bench.run(Rendered(text, ()))} == expected(bench, things, case)


words = st.lists(
    pieces | st.sampled_from(["id", "name", ",", " ", "DESC", "-", "(", ")", "count(*)", "AS", "."]), max_size=6
)
QUOTED = re.compile(r'"(?:[^"]|"")+"')
NAMES = re.compile(r"[\w ,.*()]*")


@tried
@given(text=words.map("".join))
def test_columns_from_outside_are_columns_or_refused(bench: Bench, text: str) -> None:
    template = bench.sql.template("SELECT {columns} FROM things").feed(columns=text)
    try:
        sql = template.render().sql
    except BadStatement:
        return
    assert NAMES.fullmatch(QUOTED.sub("quoted", sql))


@tried
@given(text=words.map("".join))
def test_orders_from_outside_are_orders_or_refused(bench: Bench, text: str) -> None:
    try:
        sql = bench.sql.select("things").order_by(text).render().sql
    except BadStatement:
        return
    assert re.fullmatch(r"SELECT \* FROM things\nORDER BY [\w ,.]+", QUOTED.sub("quoted", sql))
