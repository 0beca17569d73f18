"""Statements that begin at a database, and those of `was.sql` that are given to one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skitai.config.aliases import Member
from skitai.sql import SQL, F, Unfiltered
from skitai.sql.maps import parse
from tests.support.asker import Asker
from tests.support.databases import PASSWORD, Postgres

MAPS = {"cities": parse('<sql name="high">\nSELECT name FROM cities WHERE {_filters} {_order_by}\n</sql>', "cities.sql")}


@pytest.fixture(params=["postgresql", "sqlite3"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """A database of either kind with an empty table of cities."""
    asker = Asker()
    if request.param == "sqlite3":
        member = Member("sqlite3", str(tmp_path / "cities.db"), 0)
    else:
        server: Postgres = request.getfixturevalue("postgres")
        member = Member("postgresql", "127.0.0.1", server.port, user="postgres", password=PASSWORD, database="postgres")
    stub = asker.stub(member)
    stub.execute("DROP TABLE IF EXISTS cities").getwait(reraise=True)
    stub.execute("CREATE TABLE cities (id integer, name text, high integer)").getwait(reraise=True)
    yield stub
    asker.close()


def fill(database: Any) -> None:
    for number, name in enumerate(["Oslo", "Virginia Beach", "50%_off'"], 1):
        database.insert("cities", id=number, name=name).execute().getwait(reraise=True)


def test_a_statement_is_executed_where_it_began(database: Any) -> None:
    fill(database)
    found = database.select("cities").get("id, name").filter(name__like="Virginia%").execute().getwait(reraise=True)
    assert found.data == [{"id": 2, "name": "Virginia Beach"}]
    assert found.data[0].name == "Virginia Beach"
    found = database.select("cities").get("id").filter(name__endswith="%_off'").execute().getwait(reraise=True)
    assert [row.id for row in found.data] == [3]
    changed = database.update("cities", high=F("id + 1")).filter(id__gte=2).returning("high").execute().getwait(reraise=True)
    assert sorted(row.high for row in changed.data) == [3, 4]
    database.delete("cities").filter(high__isnull=True).execute().getwait(reraise=True)
    assert len(database.template("SELECT * FROM cities WHERE high > {high}").feed(high=0).execute().getwait().data) == 2


def test_was_sql_writes_for_any_engine(database: Any) -> None:
    fill(database)
    for engine in ("postgresql", "sqlite3"):
        q = SQL(engine).select("cities").get("name").filter(id=1)
        assert database.execute(q).getwait(reraise=True).data == [{"name": "Oslo"}]
    with pytest.raises(TypeError, match="its own parameters"):
        database.execute(SQL().select("cities"), (1,))


def test_what_would_reach_too_much_is_never_sent(database: Any) -> None:
    fill(database)
    with pytest.raises(Unfiltered):
        database.delete("cities").filter(id=None).execute()
    with pytest.raises(Unfiltered):
        database.execute(SQL().update("cities", name="gone"))
    assert len(database.select("cities").filter(high__isnull=True).execute().getwait().data) == 3


def test_a_percent_sign_without_values_stays_one(database: Any) -> None:
    fill(database)
    found = database.select("cities").get("7 % 4 AS rest").limit(1).execute().getwait(reraise=True)
    assert found.data == [{"rest": 3}]
    assert database.select("cities").get("7 % 4 AS rest").execute().getwait(reraise=True).data == [{"rest": 3}] * 3


def test_transactions_have_it_too(database: Any) -> None:
    with database.transaction() as t:
        t.insert("cities", id=1, name="Oslo").execute().getwait(reraise=True)
        t.execute(SQL().insert("cities", id=2, name="Rome")).getwait(reraise=True)
        t.rollback().getwait()
    assert database.select("cities").execute().getwait().data == []


def test_templates_are_attributes(database: Any) -> None:
    with pytest.raises(AttributeError, match="no templates of SQL"):
        _ = database.cities
    database.maps = MAPS
    fill(database)
    found = database.cities.high.filter(id__lte=2).order_by("-id").execute().getwait(reraise=True)
    assert [row.name for row in found.data] == ["Virginia Beach", "Oslo"]
    with database.transaction() as t:
        assert len(t.cities.high.execute().getwait(reraise=True).data) == 3
    with pytest.raises(AttributeError, match=r"no towns\.sql"):
        _ = database.towns


def test_a_template_may_be_several_statements(database: Any) -> None:
    fill(database)
    two = "UPDATE cities SET {_pairs} WHERE {_filters}; INSERT INTO cities ({_columns}, id) VALUES ({_values}, {id}); -- '?'"
    database.template(two).data(name="a;b").filter(id=1).feed(id=9).execute().getwait(reraise=True)
    found = database.select("cities").get("id").filter(name="a;b").order_by("id").execute().getwait(reraise=True)
    assert [row.id for row in found.data] == [1, 9]
