"""What the builder does not write, and why: names that are none, values that do not fit, updates without a condition."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from skitai.sql import SQL, BadStatement, D, F, Q, Unfiltered, V
from skitai.sql.forms import Place, Slot, parse
from skitai.sql.maps import parse as parse_map

Make = Callable[[SQL], Any]

NOTHING: dict[str, Any] = {}

WIDER: dict[str, Make] = {
    "a delete without a condition": lambda sql: sql.delete("t"),
    "an update without a condition": lambda sql: sql.update("t", a=1),
    "an emptied delete": lambda sql: sql.delete("t").filter(id=None),
    "an emptied update": lambda sql: sql.update("t", a=1).filter(id=None, name__contains=None),
    "one of two": lambda sql: sql.delete("t").filter(owner=1, id=None),
    "without keywords": lambda sql: sql.delete("t").filter(Q(**NOTHING)),
    "an empty Q": lambda sql: sql.delete("t").filter(Q()),
    "in a Q": lambda sql: sql.delete("t").filter(Q(id=1) | Q(name=None)),
    "turned around": lambda sql: sql.delete("t").filter(id=1).exclude(name=None),
    "in a sub query": lambda sql: sql.delete("t").filter(id__in=sql.select("u").get("id").filter(name=None)),
    "in the value of a sub query": lambda sql: sql.update("t", a=sql.select("u").filter(id=None)).filter(id=1),
    "in a join of a sub query": lambda sql: sql.delete("t").filter(
        id__in=sql.select("u").join("v", u__id=F("v.id"), v__name=None)
    ),
    "from another table": lambda sql: sql.update("t", a=1).from_("u", u__id=None).filter(id=1),
    "a template": lambda sql: sql.template("DELETE FROM t WHERE {_filters}"),
    "an emptied template": lambda sql: sql.template("UPDATE t SET a = 1 WHERE {_filters}").filter(id=None),
    "a template of two": lambda sql: sql.template("SELECT 1; delete from t where {_filters}"),
    "a template's sub query": lambda sql: sql.template("DELETE FROM t WHERE id IN ({ids})")(
        ids=sql.select("u").filter(a=None)
    ),
    "a fed Q": lambda sql: sql.template("DELETE FROM t WHERE {id}").feed(id=Q(id=None)),
    "a fed condition": lambda sql: sql.template("DELETE FROM t WHERE {id}").feed(id=None),
    "after WITH": lambda sql: sql.template("WITH x AS (SELECT 1) UPDATE t SET a = 1 WHERE {_filters}"),
    "within WITH": lambda sql: sql.template("WITH x AS (DELETE FROM t WHERE {_filters} RETURNING *) SELECT * FROM x"),
    "on a conflict": lambda sql: sql.template(
        "INSERT INTO t (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET b = 1 WHERE {_filters}"
    ),
}


@pytest.mark.parametrize("make", WIDER.values(), ids=WIDER.keys())
@pytest.mark.parametrize("engine", ["postgresql", "sqlite3"])
def test_no_update_or_delete_reaches_more_than_it_says(make: Make, engine: str) -> None:
    statement = make(SQL(engine, execute=lambda sql, parameters: pytest.fail("it was executed")))
    for ask in (statement.render, statement.execute, statement.as_sql):
        with pytest.raises(Unfiltered):
            ask()
    assert repr(statement)


def test_all_rows_are_meant_where_that_is_said() -> None:
    sql = SQL()
    assert str(sql.delete("t").filter(__all=True)) == "DELETE FROM t\nWHERE 1 = 1"
    assert str(sql.template("DELETE FROM t WHERE {_filters}").filter(__all=True)) == "DELETE FROM t WHERE 1 = 1"
    assert str(sql.template("SELECT * FROM t WHERE {_filters} FOR UPDATE")) == "SELECT * FROM t WHERE 1 = 1 FOR UPDATE"


EVIL = "x; DROP TABLE users; --"

REFUSED: dict[str, tuple[Make, str]] = {
    "a table": (lambda sql: sql.select(EVIL), "no name of a table"),
    "no table": (lambda sql: sql.select(""), "no name of a table"),
    "a table of another type": (lambda sql: sql.select(5), "no name of a table"),
    "an alias": (lambda sql: sql.select("t", "a b"), "no name for a table"),
    "two aliases": (lambda sql: sql.select("t a", "b"), "second alias"),
    "a table to insert into": (lambda sql: sql.insert(EVIL), "no name of a table"),
    "a table to update": (lambda sql: sql.update('t" SET a = 1; --'), "no name of a table"),
    "a table to delete from": (lambda sql: sql.delete("t WHERE 1 = 1"), "no name of a table"),
    "a joined table": (lambda sql: sql.select("t").join(EVIL, id=1), "no name of a table"),
    "a sub query without an alias": (lambda sql: sql.select(sql.select("t")), "needs an alias"),
    "a column of a condition": (lambda sql: sql.select("t").filter(**{EVIL: 1}), "no name of a table or column"),
    "a column in quotes": (lambda sql: sql.select("t").filter(**{'a" = 1 OR "b': 1}), "no name of a table or column"),
    "an empty column": (lambda sql: sql.select("t").filter(**{"": 1}), "a column is wanted"),
    "an operator alone": (lambda sql: sql.select("t").filter(__gt=1), "a column is wanted"),
    "an operator that does not exist": (lambda sql: sql.select("t").filter(t1__id__gtt=1), "no operator 'gtt'"),
    "a column of data": (lambda sql: sql.insert("t", **{"a, b": 1}), "no name of a table or column"),
    "a column of a D": (lambda sql: D(**{"a, b": 1}), "no name of a table or column"),
    "an order": (lambda sql: sql.select("t").order_by(EVIL), "no column to order by"),
    "an order by a call": (lambda sql: sql.select("t").order_by("pg_sleep(9)"), "no column to order by"),
    "an order twice over": (lambda sql: sql.select("t").order_by("-id DESC"), "no column to order by"),
    "an empty order": (lambda sql: sql.select("t").order_by("id,"), "no column to order by"),
    "a group": (lambda sql: sql.select("t").group_by(EVIL), "is no column"),
    "no column": (lambda sql: sql.select("t").get(""), "is no column"),
    "a column of another type": (lambda sql: sql.select("t").get(5), "is no column"),
    "text as a condition": (lambda sql: sql.select("t").filter("id > 1"), "is no condition"),
    "a truth as a condition": (lambda sql: sql.select("t").filter(True), "is no condition"),
    "Q and Q": (lambda sql: Q(a=1) and Q(b=2), "joined? by &|join them by &"),
    "a list that is none": (lambda sql: sql.select("t").filter(id__in=5), "no list of values"),
    "text as a list": (lambda sql: sql.select("t").filter(id__in="abc"), "no list of values"),
    "None in a list": (lambda sql: sql.select("t").filter(id__notin=[1, None]), "has a None"),
    "a range of one": (lambda sql: sql.select("t").filter(id__between=[1]), "is no range"),
    "a range that is open": (lambda sql: sql.select("t").filter(id__between=(None, 1)), "is no range"),
    "a range of text": (lambda sql: sql.select("t").filter(id__between="ab"), "is no range"),
    "a pattern that is no text": (lambda sql: sql.select("t").filter(id__contains=["a"]), "is no text"),
    "a pattern with a NUL": (lambda sql: sql.select("t").filter(id__contains="a\0"), "NUL"),
    "isnull of something": (lambda sql: sql.select("t").filter(id__isnull="false"), "True or False"),
    "all of something": (lambda sql: sql.select("t").filter(__all=1), "True or False"),
    "exists without a select": (lambda sql: sql.select("t").filter(__exists=True), "a select is wanted"),
    "a join without a condition": (lambda sql: sql.select("t").join("u"), "has no condition"),
    "a join that lost its condition": (lambda sql: sql.select("t").left_join("u", "v", v__id=None), "has no condition"),
    "a negative limit": (lambda sql: sql.select("t").limit(-1), "no number of rows"),
    "a limit of text": (lambda sql: sql.select("t").limit("5; DROP TABLE t"), "no number of rows"),
    "a true offset": (lambda sql: sql.select("t").offset(True), "no number of rows"),
    "one row": (lambda sql: sql.select("t")[5], "a slice is wanted"),
    "rows from the end": (lambda sql: sql.select("t")[-5:], "no number of rows"),
    "every second row": (lambda sql: sql.select("t")[::2], "a slice is wanted"),
    "an insert of nothing": (lambda sql: sql.insert("t"), "no data"),
    "an update of nothing": (lambda sql: sql.update("t").filter(id=1), "no data"),
    "a D in an insert": (lambda sql: sql.insert("t", a=1, more=D(b=1)), "is for templates"),
    "an engine": (lambda sql: SQL("mysql"), "there is no SQL for 'mysql'"),
    "no engine": (lambda sql: SQL(None), "there is no SQL for None"),  # type: ignore[arg-type]
    "another engine": (lambda sql: sql.select("t").render("oracle"), "there is no SQL for 'oracle'"),
    "an empty F": (lambda sql: F(" "), "SQL is wanted"),
    "an F with a place left": (lambda sql: F("{a} + {b}", a=1), "b: a place without a value"),
    "an F with a value left": (lambda sql: F("{a}", a=1, b=1), "b: a place without a value"),
    "an F with quotes around a place": (lambda sql: F("'{a}'", a=1), "stands in quotes"),
    "a V of two": (lambda sql: V(1, 2), "one value"),
    "a V of a column": (lambda sql: V(id__eq=1), "an operator is wanted"),
    "a V of an operator without a value": (lambda sql: V(__isnull=True), "an operator is wanted"),
    "text with a NUL in literals": (lambda sql: sql.select("t").filter(a="\0"), "NUL"),
    "a number that is none": (lambda sql: SQL("sqlite3").select("t").filter(a=Decimal("NaN")), "no number of SQLite"),
    # Templates
    "a place without a value": (lambda sql: sql.template("SELECT {a} FROM t"), "nothing was fed for {a}"),
    "a place in quotes": (lambda sql: sql.template("SELECT * FROM t WHERE a = '{a}'").feed(a=1), "{a} stands in quotes"),
    "a place in quotes of names": (lambda sql: sql.template('SELECT "{a}" FROM t').feed(a="x"), "{a} stands in quotes"),
    "a place in a quoted pattern": (lambda sql: sql.template("SELECT 1 WHERE a LIKE '%{a}%'")(a="x"), "stands in quotes"),
    "a place in dollars": (lambda sql: sql.template("SELECT $x$ {a} $x$").feed(a=1), "stands in quotes"),
    "its own place in quotes": (lambda sql: sql.template("SELECT '{_filters}'"), "{_filters} stands in quotes"),
    "an open quote": (lambda sql: sql.template("SELECT\n'a"), "line 2: what ' begins"),
    "an open comment": (lambda sql: sql.template("SELECT /* a"), r"what /\* begins"),
    "a comment in a comment": (lambda sql: sql.template("SELECT /* a /* b */ {x} */ 1"), "begins again inside"),
    "columns that are none": (
        lambda sql: sql.template("SELECT {a} FROM t").feed(a="1; DROP TABLE t"),
        "{a} is columns or tables",
    ),
    "a column that is text": (lambda sql: sql.template("SELECT {a} FROM t").feed(a="'x'"), r"V\(...\)"),
    "a table that is none": (lambda sql: sql.template("SELECT * FROM {t}").feed(t="(SELECT 1)"), "is no column"),
    "an order that is none": (
        lambda sql: sql.template("SELECT * FROM t ORDER BY {o}").feed(o="(SELECT 1)"),
        "no column to order by",
    ),
    "part of a name": (lambda sql: sql.template("SELECT * FROM t.{t}").feed(t="a b"), "{t} is a name"),
    "a place of its own": (lambda sql: sql.template("SELECT 1").feed(_filters=1), "filter.., data.. and the others"),
    "a filter without a place": (lambda sql: sql.template("SELECT * FROM t").filter(id=1), "no place {_filters}"),
    "a limit without a place": (lambda sql: sql.template("SELECT * FROM t")[:5], "no place {_limit}"),
    "groups without a place": (lambda sql: sql.template("SELECT * FROM t").group_by("a"), "no place {_group_by}"),
    "data without a place": (lambda sql: sql.template("SELECT {a}").data(a=1, b=2), "no place for the data b"),
    "a D without a place": (lambda sql: sql.template("SELECT 1").data(a=D(b=2)), "no place for the columns of a"),
    "a place without data": (lambda sql: sql.template("INSERT INTO t ({_columns}) VALUES (1)"), "no data for {_columns}"),
    "a list that is none in a template": (
        lambda sql: sql.template("SELECT * FROM t WHERE a IN {a}").feed(a=[None]),
        "{a} is a list of values, and .* has a None",
    ),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_it_says_what_is_wrong(make: Make, message: str) -> None:
    with pytest.raises(BadStatement, match=message.replace("{", r"\{")):
        str(make(SQL("postgresql")))


def test_a_statement_without_a_database_is_not_executed() -> None:
    with pytest.raises(RuntimeError, match=r"was.backend\(\"@alias\"\).execute"):
        SQL().select("t").execute()


def test_what_executes_gets_the_sql_and_its_values() -> None:
    asked: list[Any] = []

    def execute(sql: str, parameters: tuple[Any, ...]) -> str:
        asked.append((sql, parameters))
        return "a handle"

    assert SQL("sqlite3", execute).delete("t").filter(id=1).execute() == "a handle"
    assert SQL("postgresql", execute).select("t").get("7 % 4").execute() == "a handle"
    assert asked == [("DELETE FROM t\nWHERE id = ?", (1,)), ("SELECT 7 %% 4 FROM t", ())]


def test_a_copy_is_a_statement_of_its_own() -> None:
    one = SQL().select("t").filter(a=1)
    other = one.copy().filter(b=2)[:5]
    assert (str(one), str(other)) == ("SELECT * FROM t\nWHERE a = 1", "SELECT * FROM t\nWHERE a = 1 AND b = 2\nLIMIT 5")
    with pytest.raises(TypeError, match="not iterable"):
        list(one)  # type: ignore[call-overload]


def test_lists_are_taken_as_they_are_when_they_are_given() -> None:
    members = [1, 2]
    q = SQL().select("t").filter(id__in=members, n__in=(each for each in members))
    members.clear()
    assert [str(q), str(q)] == ["SELECT * FROM t\nWHERE id IN (1,2) AND n IN (1,2)"] * 2


def test_conditions_may_be_many() -> None:
    many = Q()
    for number in range(3000):
        many |= Q(id=number)
    sql, parameters = SQL("sqlite3").select("t").filter(many).render()
    assert (sql.count(" OR "), parameters) == (2999, tuple(range(3000)))


def test_names_with_underscores_work_in_classes() -> None:
    """Python puts the name of a class before names that begin with two underscores."""

    class Page:
        def all(self) -> str:
            return str(SQL().delete("t").filter(__all=True)) + str(V(__in=[1]))

    assert Page().all() == "DELETE FROM t\nWHERE 1 = 1(1)"


@pytest.mark.parametrize(
    ("value", "postgresql", "sqlite"),
    [
        (True, "true", "1"),
        (-1.5, "-1.5", "-1.5"),
        (float("inf"), "'inf'", "'inf'"),
        (Decimal("1.10"), "1.10", "1.1"),
        (Decimal(10**20), str(10**20), "'1e+20'"),
        (Decimal("5.00"), "5.00", "5"),
        (b"\x01'", "'\\x0127'::bytea", "X'0127'"),
        (date(2018, 6, 1), "DATE '2018-06-01'", "'2018-06-01'"),
        (time(12, 30), "TIME '12:30:00'", "'12:30:00'"),
        (datetime(2018, 6, 1, 12), "TIMESTAMP '2018-06-01 12:00:00'", "'2018-06-01 12:00:00'"),
        (
            datetime(2018, 6, 1, 12, tzinfo=timezone(timedelta(hours=9))),
            "TIMESTAMPTZ '2018-06-01 12:00:00+09:00'",
            "'2018-06-01 03:00:00+00:00'",
        ),
        (datetime(2018, 6, 1, 12, tzinfo=UTC), "TIMESTAMPTZ '2018-06-01 12:00:00+00:00'", "'2018-06-01 12:00:00+00:00'"),
        (UUID(int=1), "'00000000-0000-0000-0000-000000000001'", "'00000000-0000-0000-0000-000000000001'"),
        ({"a": [1, "it's"]}, """'{"a":[1,"it''s"]}'""", """'{"a":[1,"it''s"]}'"""),
        ([1, None, "a"], "ARRAY[1, NULL, 'a']", """'[1,null,"a"]'"""),
        ((1, 2), "ARRAY[1, 2]", "'[1,2]'"),
    ],
)
def test_values_are_what_the_engine_has(value: Any, postgresql: str, sqlite: str) -> None:
    assert str(SQL("postgresql").insert("t", a=value)).endswith(f"VALUES ({postgresql})")
    assert str(SQL("sqlite3").insert("t", a=value)).endswith(f"VALUES ({sqlite})")


def test_a_negative_value_after_a_minus_begins_no_comment() -> None:
    assert str(SQL().select("t").get(F("a -{b}", b=-1))) == "SELECT a - -1 FROM t"


def slots(text: str) -> list[tuple[str, Place]]:
    return [(each.name, each.place) for each in parse(text).parts if isinstance(each, Slot)]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("SELECT {x}, b FROM t", Place.NAMES),
        ("SELECT DISTINCT {x} FROM t", Place.NAMES),
        ("SELECT a, {x} FROM t", Place.NAMES),
        ("SELECT * FROM {x}", Place.NAMES),
        ("SELECT * FROM a, {x}", Place.NAMES),
        ("SELECT * FROM a LEFT JOIN {x} ON a.id = 1", Place.NAMES),
        ("INSERT INTO {x} (a) VALUES (1)", Place.NAMES),
        ("INSERT INTO t ({x}) VALUES (1)", Place.NAMES),
        ("INSERT OR REPLACE INTO t (a, {x}) VALUES (1)", Place.NAMES),
        ("REPLACE INTO {x} (a) VALUES (1)", Place.NAMES),
        ("UPDATE {x} SET a = 1", Place.NAMES),
        ("DELETE FROM {x} WHERE a = 1", Place.NAMES),
        ("DELETE FROM t WHERE a = 1 RETURNING {x}", Place.NAMES),
        ("SELECT a FROM t GROUP BY a, {x}", Place.NAMES),
        ("SELECT a FROM t ORDER BY {x}", Place.ORDER),
        ("SELECT a FROM t ORDER BY a DESC, {x} LIMIT 1", Place.ORDER),
        ("SELECT a AS {x} FROM t", Place.NAME),
        ("SELECT t.{x} FROM t", Place.NAME),
        ("SELECT {x}.a FROM t", Place.NAME),
        ("SELECT a FROM t WHERE {x}", Place.CONDITION),
        ("SELECT a FROM t WHERE b = 1 AND {x} AND c = 1", Place.CONDITION),
        ("SELECT a FROM t WHERE ({x} OR b = 1)", Place.CONDITION),
        ("SELECT a FROM t WHERE NOT {x} ORDER BY a", Place.CONDITION),
        ("SELECT a FROM t WHERE {x} {_order_by}", Place.CONDITION),
        ("SELECT a FROM t JOIN u ON {x} WHERE a = 1", Place.CONDITION),
        ("SELECT a FROM t WHERE a IN {x}", Place.LIST),
        ("SELECT a FROM t WHERE a IN ({x})", Place.LIST),
        ("SELECT a FROM t WHERE a NOT IN (1, {x})", Place.LIST),
        ("SELECT a FROM t WHERE a = {x}", Place.VALUE),
        ("SELECT a FROM t WHERE {x} = a", Place.VALUE),
        ("SELECT a FROM t WHERE a BETWEEN 1 AND {x}", Place.VALUE),
        ("SELECT a FROM t WHERE a BETWEEN {x} AND 2", Place.VALUE),
        ("SELECT a FROM t WHERE b = 'FROM' AND a > {x}", Place.VALUE),
        ("SELECT a FROM t WHERE a IS DISTINCT FROM {x}", Place.VALUE),
        ("SELECT a IS DISTINCT FROM {x} FROM t", Place.VALUE),
        ("SELECT substring({x} from 2) FROM t", Place.VALUE),
        ("SELECT trim(both 'a' from {x}) FROM t", Place.VALUE),
        ("SELECT coalesce(a, {x}) FROM t", Place.VALUE),
        ("SELECT a || {x} FROM t", Place.VALUE),
        ("SELECT ARRAY[a, {x}] FROM t", Place.VALUE),
        ("SELECT a FROM t ORDER BY b[1], ARRAY[a, {x}]", Place.VALUE),
        ("SELECT replace(a, 'b', {x}) FROM t", Place.VALUE),
        ("SELECT a FROM t LIMIT {x}", Place.VALUE),
        ("SELECT a FROM t WHERE a = ANY({x})", Place.VALUE),
        ("INSERT INTO t (a, b) VALUES (1, {x})", Place.VALUE),
        ("UPDATE t SET a = 1, b = {x}", Place.VALUE),
        ("SELECT a -- FROM\n|| {x}", Place.VALUE),
        ("SELECT a /* FROM */ || {x}", Place.VALUE),
        ("SELECT a FROM t WHERE a = $$ FROM $$ || {x}", Place.VALUE),
        ("SELECT E'\\' FROM ' || {x}", Place.VALUE),
    ],
)
def test_what_stands_at_a_place_follows_from_the_words_before_it(text: str, place: Place) -> None:
    assert ("x", place) in slots(text)


def test_a_name_that_looks_like_a_column_is_a_value_where_values_stand() -> None:
    q = SQL("sqlite3").template("SELECT * FROM users WHERE password = {password}").feed(password="password")
    assert q.render() == ("SELECT * FROM users WHERE password = ?", ("password",))
    assert str(q) == "SELECT * FROM users WHERE password = 'password'"


def test_braces_in_quotes_that_nothing_is_fed_for_are_text() -> None:
    assert str(SQL().template("SELECT '{a}'::text[], '{1,2}' WHERE b = {b}").feed(b=1)) == (
        "SELECT '{a}'::text[], '{1,2}' WHERE b = 1"
    )


BROKEN_MAPS = {
    "SELECT 1": "a.sql, line 1: 'SELECT 1' is no <sql name=\"...\">",
    '<sql name="a">\nSELECT 1': "a.sql, line 1: the </sql> of a is missing",
    '<sql name="a">\n<sql name="b">\n</sql>': 'a.sql, line 2: <sql name="b"> comes before the </sql> of a',
    '<sql name="a">\nSELECT 1\n</sql>\n<sql name="a">\nSELECT 1\n</sql>': "a.sql, line 4: there is an a already",
    '<sql name="a">\n\n</sql>': "there is no SQL",
    '<sql name="_a">\nSELECT 1\n</sql>': "line 1",
    '<sql name="a b">\nSELECT 1\n</sql>': "line 1",
    '<sql name="a">SELECT 1</sql>': "a tag is alone in its line",
    '\n<sql name="a">\nSELECT "a\n</sql>': 'a.sql, from line 2 on: line 1: what " begins does not end',
}


@pytest.mark.parametrize("text", BROKEN_MAPS)
def test_a_broken_file_says_where(text: str) -> None:
    with pytest.raises(BadStatement) as told:
        parse_map(text, "a.sql")
    assert BROKEN_MAPS[text] in str(told.value)


def test_a_file_is_taken_as_it_stands() -> None:
    lines = [
        '\ufeff<sqlmap version="1.0">',
        "",
        "<sql name='a'>",
        "    SELECT 1 < 2",
        "",
        "      AND 'a  b'",
        "</sql>",
        "</sqlmap>",
    ]
    (form,) = parse_map("\r\n".join(lines), "a.sql").values()
    assert form.parts == ("SELECT 1 < 2\n\n  AND 'a  b'",)
