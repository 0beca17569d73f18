"""Every form of a statement that is documented, with the SQL that it becomes; for all kinds of databases.

`SCHEMA` has the tables that the statements name, so that each can be executed.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from skitai.sql import SQL, B, D, F, Q, Statement, V
from skitai.sql.maps import parse

TODAY = datetime.date(2018, 6, 1)

SCHEMA = (
    "CREATE TABLE tbl_file (id INTEGER, _id INTEGER, type TEXT, org INTEGER, name TEXT, filename TEXT, email TEXT, "
    "score REAL, n_view INTEGER, moddate DATE, created DATE, modified DATE, isdeleted BOOLEAN, area TEXT)",
    'CREATE TABLE tbl_words (id INTEGER, "create" INTEGER, "order" INTEGER, "group" TEXT)',
    "CREATE TABLE names (id INTEGER, name TEXT)",
    "CREATE TABLE tbl_project (id INTEGER, name TEXT)",
    "CREATE TABLE tbl_record (id INTEGER, score REAL)",
    "CREATE TABLE tbl_member (id INTEGER, name TEXT)",
    "CREATE TABLE tbl_profile (id INTEGER, name TEXT, birth_year INTEGER, email TEXT, age INTEGER)",
    "CREATE TABLE tbl_stat (count INTEGER, birth_year INTEGER)",
)

FILE_SQL = """
<sqlmap version="1.0">

<!-- what the pages of files show -->
<sql name="get_stat">
  SELECT type, org, count(*) cnt FROM tbl_file
  WHERE {_filters} {_group_by} {_having} {_order_by} {_limit} {_offset}
</sql>

<sql name="live">
  SELECT type, org, count(*) cnt FROM tbl_file
  WHERE isdeleted is false AND {_filters}
  GROUP BY type, org
  ORDER BY org, cnt DESC
  {_limit} {_offset}
</sql>

<sql name="get_file">
  SELECT {cols} FROM {tbl}
  WHERE {_filters}
  {_order_by}
</sql>

<sql name="conditions">
  SELECT * FROM tbl_file
  WHERE {id} AND {name} AND n_view BETWEEN {seen}
</sql>

<sql name="update_profile">
  UPDATE tbl_profile SET {_pairs} WHERE {_filters} {_returning};
</sql>

<sql name="insert_profile">
  INSERT INTO tbl_profile ({_columns}) VALUES ({_values})
</sql>

<sql name="insert_more">
  INSERT INTO tbl_file ({_columns}, {additional_columns})
  VALUES ({_values}, {additional_values})
  {_returning};
</sql>

<sql name="pairs_of_more">
  UPDATE tbl_file SET {additional_pairs} WHERE {_filters}
</sql>

<sql name="of_members">
  UPDATE tbl_profile SET {_pairs}
  WHERE id IN (
    SELECT id FROM tbl_member
    WHERE name = {name}
  )
</sql>

<sql name="count_years">
  UPDATE tbl_stat SET count = count + 1
  WHERE birth_year IN {birth_year}
</sql>
"""

DEFAULT_SQL = """
<sql name="newest">
  SELECT * FROM tbl_file {_order_by} {_limit}
</sql>
"""

MAPS = {"file": parse(FILE_SQL, "file.sql"), "default": parse(DEFAULT_SQL, "default.sql")}

Make = Callable[[SQL], Any]


@dataclass(frozen=True)
class Row:
    """
    :ivar text: for people, as PostgreSQL has it, on one line.
    :ivar sqlite: the same for SQLite, where that differs.
    """

    make: Make
    text: str
    sqlite: str = ""


def condition(make: Callable[[Any], Any], text: str, sqlite: str = "") -> Row:
    """A row for a condition alone."""
    start = "SELECT * FROM tbl_file AS t1 WHERE "
    return Row(lambda sql: make(sql.select("tbl_file", "t1")), start + text, sqlite and start + sqlite)


CONDITIONS: dict[str, Row] = {
    "None is ignored": condition(lambda q: q.filter(id__eq=1, name=None), "id = 1"),
    "None with an operator": condition(lambda q: q.filter(id=1, score__gte=None), "id = 1"),
    "all": condition(lambda q: q.filter(__all=True), "1 = 1"),
    "all of a column": condition(lambda q: q.filter(id__all=True), "1 = 1"),
    "none": condition(lambda q: q.filter(id__all=False), "1 = 0"),
    "equal": condition(lambda q: q.filter(id=1), "id = 1"),
    "with an alias": condition(lambda q: q.filter(t1__id=1), "t1.id = 1"),
    "exact": condition(lambda q: q.filter(id__exact=1), "id = 1"),
    "eq": condition(lambda q: q.filter(id__eq=1), "id = 1"),
    "exclude": condition(lambda q: q.exclude(id=1), "NOT (id = 1)"),
    "exclude several": condition(lambda q: q.exclude(id=1, org=2), "NOT (id = 1 AND org = 2)"),
    "neq": condition(lambda q: q.filter(id__neq=1), "id <> 1"),
    "alias and operator": condition(lambda q: q.filter(t1__id__neq=1), "t1.id <> 1"),
    "gt": condition(lambda q: q.filter(id__gt=1), "id > 1"),
    "gte": condition(lambda q: q.filter(id__gte=1), "id >= 1"),
    "lt": condition(lambda q: q.filter(id__lt=1), "id < 1"),
    "lte": condition(lambda q: q.filter(id__lte=-1), "id <= -1"),
    "between": condition(lambda q: q.filter(id__between=(10, 20)), "id BETWEEN 10 AND 20"),
    "nbetween": condition(lambda q: q.filter(id__nbetween=(10, 20)), "id NOT BETWEEN 10 AND 20"),
    "in": condition(lambda q: q.filter(id__in=[1, 2, 3]), "id IN (1,2,3)"),
    "in nothing": condition(lambda q: q.filter(id__in=[]), "1 = 0"),
    "notin": condition(lambda q: q.filter(id__notin=(1, 2)), "id NOT IN (1,2)"),
    "nin": condition(lambda q: q.filter(id__nin={1}), "id NOT IN (1)"),
    "notin nothing": condition(lambda q: q.filter(id__notin=[]), "1 = 1"),
    "contains": condition(lambda q: q.filter(name__contains="fire"), "name LIKE '%fire%'"),
    "ncontains": condition(lambda q: q.filter(name__ncontains="fire"), "name NOT LIKE '%fire%'"),
    "exclude contains": condition(lambda q: q.exclude(name__contains="fire"), "NOT name LIKE '%fire%'"),
    "startswith": condition(lambda q: q.filter(name__startswith="fire"), "name LIKE 'fire%'"),
    "escaped": condition(
        lambda q: q.filter(name__startswith="fire%20ice"),
        r"name LIKE 'fire\%20ice%'",
        r"name LIKE 'fire\%20ice%' ESCAPE '\'",
    ),
    "all of it escaped": condition(
        lambda q: q.filter(name__contains="a_b\\"),
        r"name LIKE '%a\_b\\%'",
        r"name LIKE '%a\_b\\%' ESCAPE '\'",
    ),
    "endswith": condition(lambda q: q.filter(name__endswith="fire"), "name LIKE '%fire'"),
    "nendswith": condition(lambda q: q.filter(name__nendswith="fire"), "name NOT LIKE '%fire'"),
    "like": condition(lambda q: q.filter(name__like="_irginia%"), "name LIKE '_irginia%'"),
    "nlike": condition(lambda q: q.filter(name__nlike="a%"), "name NOT LIKE 'a%'"),
    "isnull": condition(lambda q: q.filter(name__isnull=True), "name IS NULL"),
    "is not null": condition(lambda q: q.filter(name__isnull=False), "name IS NOT NULL"),
    "several": condition(lambda q: q.filter(name__isnull=False, id=4), "name IS NOT NULL AND id = 4"),
    "several calls": condition(
        lambda q: q.filter(id=4).exclude(org=1).filter(org=2), "id = 4 AND NOT (org = 1) AND org = 2"
    ),
    "a quote": condition(lambda q: q.filter(name="O'Neill"), "name = 'O''Neill'"),
    "or": condition(
        lambda q: q.filter(Q(id=4) | Q(email__contains="org"), name__isnull=False),
        "(id = 4 OR email LIKE '%org%') AND name IS NOT NULL",
    ),
    "or later": condition(
        lambda q: q.filter(name__isnull=False).filter(Q(id=4) | Q(email__contains="org")),
        "(id = 4 OR email LIKE '%org%') AND name IS NOT NULL",
    ),
    "or not": condition(lambda q: q.filter(Q(id=4) | ~Q(email__contains="org")), "(id = 4 OR NOT email LIKE '%org%')"),
    "several keywords in a Q": condition(lambda q: q.filter(Q(id=4, org=1) | Q(id=5)), "((id = 4 AND org = 1) OR id = 5)"),
    "and": condition(lambda q: q.filter(Q(id=4) & Q(org=1)), "id = 4 AND org = 1"),
    "not or": condition(lambda q: q.filter(~(Q(id=4) | Q(org=1))), "NOT (id = 4 OR org = 1)"),
    "not not": condition(lambda q: q.filter(~~Q(id=4)), "NOT (NOT (id = 4))"),
    "None in a Q": condition(lambda q: q.filter(Q(id=4) | Q(org=None)), "id = 4"),
    "a column": condition(lambda q: q.filter(Q(email=F("t1.name"))), "email = t1.name"),
    "contains a column": condition(lambda q: q.filter(Q(email__contains=F("name"))), "email LIKE '%' || name || '%'"),
    "starts with a column": condition(lambda q: q.filter(email__startswith=F("name")), "email LIKE name || '%'"),
    "between columns": condition(lambda q: q.filter(id__between=(F("org"), 9)), "id BETWEEN org AND 9"),
    "SQL of one's own": condition(
        lambda q: q.filter(F("lower(name) = {name} OR id = {id}", name="ann", id=1), org=2),
        "(lower(name) = 'ann' OR id = 1) AND org = 2",
    ),
    "a value": condition(lambda q: q.filter(name=V("Hans")), "name = 'Hans'"),
    "a date": condition(lambda q: q.filter(created__gte=TODAY), "created >= DATE '2018-06-01'", "created >= '2018-06-01'"),
    "a bool": condition(lambda q: q.filter(isdeleted=False), "isdeleted = false", "isdeleted = 0"),
}

STATEMENTS: dict[str, Row] = {
    "select": Row(lambda sql: sql.select("tbl_file"), "SELECT * FROM tbl_file"),
    "columns": Row(
        lambda sql: sql.select("tbl_file").get("id", "name", "moddate").filter(id=1),
        "SELECT id, name, moddate FROM tbl_file WHERE id = 1",
    ),
    "columns in one text": Row(
        lambda sql: sql.select("tbl_file").get("id, name").filter(id=4), "SELECT id, name FROM tbl_file WHERE id = 4"
    ),
    "words that SQL has for itself": Row(
        lambda sql: sql.select("tbl_words").get("id", "create").filter(order=1, group="a").order_by("-order"),
        'SELECT id, "create" FROM tbl_words WHERE "order" = 1 AND "group" = \'a\' ORDER BY "order" DESC',
    ),
    "everything": Row(
        lambda sql: (
            sql.select("tbl_file")
            .get("type", "org", "count(*) cnt")
            .filter(org=1, name__endswith="OCD")
            .group_by("type", "org")
            .order_by("org", "-cnt")[10:20]
        ),
        "SELECT type, org, count(*) cnt FROM tbl_file WHERE org = 1 AND name LIKE '%OCD' GROUP BY type, org "
        "ORDER BY org, cnt DESC LIMIT 10 OFFSET 10",
    ),
    "order": Row(
        lambda sql: sql.select("tbl_file").get("id", "modified").order_by("id", "-modified"),
        "SELECT id, modified FROM tbl_file ORDER BY id, modified DESC",
    ),
    "order in words": Row(
        lambda sql: sql.select("tbl_file").order_by("org, id desc nulls last", F("lower(name)")),
        "SELECT * FROM tbl_file ORDER BY org, id DESC NULLS LAST, lower(name)",
    ),
    "groups": Row(
        lambda sql: sql.select("tbl_file").get("name", "count(*) cnt").group_by("name").having("count(*) > 10"),
        "SELECT name, count(*) cnt FROM tbl_file GROUP BY name HAVING count(*) > 10",
    ),
    "groups with values": Row(
        lambda sql: (
            sql.select("tbl_file").get("name").group_by("name").having(F("count(*) > {least}", least=10), name__neq="a")
        ),
        "SELECT name FROM tbl_file GROUP BY name HAVING (count(*) > 10) AND name <> 'a'",
    ),
    "the first": Row(lambda sql: sql.select("tbl_file")[:100], "SELECT * FROM tbl_file LIMIT 100"),
    "some": Row(lambda sql: sql.select("tbl_file")[10:30], "SELECT * FROM tbl_file LIMIT 20 OFFSET 10"),
    "the others": Row(
        lambda sql: sql.select("tbl_file")[10:],
        "SELECT * FROM tbl_file OFFSET 10",
        "SELECT * FROM tbl_file LIMIT -1 OFFSET 10",
    ),
    "limit and offset": Row(
        lambda sql: sql.select("tbl_file").limit(20).offset(10), "SELECT * FROM tbl_file LIMIT 20 OFFSET 10"
    ),
    "insert": Row(
        lambda sql: sql.insert("tbl_file").data(_id=1, score=1.3242, name="file-A", moddate=TODAY),
        "INSERT INTO tbl_file (_id, score, name, moddate) VALUES (1, 1.3242, 'file-A', DATE '2018-06-01')",
        "INSERT INTO tbl_file (_id, score, name, moddate) VALUES (1, 1.3242, 'file-A', '2018-06-01')",
    ),
    "insert NULL": Row(lambda sql: sql.insert("tbl_file", score=None), "INSERT INTO tbl_file (score) VALUES (NULL)"),
    "returning": Row(
        lambda sql: sql.insert("tbl_file").data(name="Hans", n_view=1).returning("id", "name"),
        "INSERT INTO tbl_file (name, n_view) VALUES ('Hans', 1) RETURNING id, name",
    ),
    "insert a sub query": Row(
        lambda sql: sql.insert("tbl_file").data(id=sql.select("names").get("max(id)"), name="a"),
        "INSERT INTO tbl_file (id, name) VALUES ((SELECT max(id) FROM names), 'a')",
    ),
    "update": Row(
        lambda sql: sql.update("tbl_file").data(name="Jenny", modified=None).filter(id=1).returning("*"),
        "UPDATE tbl_file SET name = 'Jenny', modified = NULL WHERE id = 1 RETURNING *",
    ),
    "update by itself": Row(
        lambda sql: sql.update("tbl_file", n_view=F("n_view + 1")).filter(id=1),
        "UPDATE tbl_file SET n_view = n_view + 1 WHERE id = 1",
    ),
    "update all": Row(
        lambda sql: sql.update("tbl_file", n_view=0).filter(__all=True), "UPDATE tbl_file SET n_view = 0 WHERE 1 = 1"
    ),
    "update from": Row(
        lambda sql: (
            sql.update("tbl_file", "t1")
            .from_("tbl_record", "t2", t1__id=F("t2.id"))
            .data(score=F("t2.score"))
            .filter(t1__id=1)
        ),
        "UPDATE tbl_file AS t1 SET score = t2.score FROM tbl_record AS t2 WHERE t1.id = t2.id AND t1.id = 1",
    ),
    "delete": Row(lambda sql: sql.delete("tbl_file").filter(id__lt=3), "DELETE FROM tbl_file WHERE id < 3"),
    "delete returning": Row(
        lambda sql: sql.delete("tbl_file").filter(Q(id=3) | Q(id=4)).returning("id"),
        "DELETE FROM tbl_file WHERE (id = 3 OR id = 4) RETURNING id",
    ),
    **{
        method: Row(
            lambda sql, method=method: (
                getattr(sql.select("tbl_file", "t1"), method)("names", "t2", t1__name=F("t2.name"))
                .filter(t1__id__gt=100)
                .get("score", "t2.name")
            ),
            f"SELECT score, t2.name FROM tbl_file AS t1 {words} JOIN names AS t2 ON t1.name = t2.name WHERE t1.id > 100",
        )
        for method, words in {"join": "INNER", "left_join": "LEFT", "right_join": "RIGHT", "full_join": "FULL"}.items()
    },
    "join a sub query": Row(
        lambda sql: (
            sql.select("tbl_file", "t1")
            .join(sql.select("tbl_project").get("name").filter(id=2), "t2", t1__name=F("t2.name"))
            .filter(id__gt=100)
            .get("score", "t2.name")
        ),
        "SELECT score, t2.name FROM tbl_file AS t1 INNER JOIN (SELECT name FROM tbl_project WHERE id = 2) AS t2 "
        "ON t1.name = t2.name WHERE id > 100",
    ),
    "join by a Q": Row(
        lambda sql: sql.select("tbl_file t1").join("names AS t2", Q(t1__name=F("t2.name")) | Q(t2__id=1)).get("t1.id"),
        "SELECT t1.id FROM tbl_file AS t1 INNER JOIN names AS t2 ON (t1.name = t2.name OR t2.id = 1)",
    ),
    "from a sub query": Row(
        lambda sql: sql.select(sql.select("names").filter(id=1), "n").filter(name="a"),
        "SELECT * FROM (SELECT * FROM names WHERE id = 1) AS n WHERE name = 'a'",
    ),
    "in a sub query": Row(
        lambda sql: sql.select("tbl_file").filter(id__in=sql.select("names").get("id").filter(name="a"), org=1),
        "SELECT * FROM tbl_file WHERE id IN (SELECT id FROM names WHERE name = 'a') AND org = 1",
    ),
    "equal to a sub query": Row(
        lambda sql: sql.select("tbl_file").filter(id=sql.select("names").get("max(id)")),
        "SELECT * FROM tbl_file WHERE id = (SELECT max(id) FROM names)",
    ),
    "exists": Row(
        lambda sql: sql.select("tbl_file", "t1").filter(__exists=sql.select("names", "n").filter(n__id=F("t1.id"))),
        "SELECT * FROM tbl_file AS t1 WHERE EXISTS (SELECT * FROM names AS n WHERE n.id = t1.id)",
    ),
    "does not exist": Row(
        lambda sql: sql.delete("tbl_file").filter(__nexists=sql.select("names", "n").filter(n__id=F("tbl_file.id"))),
        "DELETE FROM tbl_file WHERE NOT EXISTS (SELECT * FROM names AS n WHERE n.id = tbl_file.id)",
    ),
    "a column of values": Row(
        lambda sql: sql.select("tbl_file").get("id", F("coalesce(score, {none}) AS score", none=0.5)),
        "SELECT id, coalesce(score, 0.5) AS score FROM tbl_file",
    ),
}

TEMPLATES: dict[str, Row] = {
    "a text": Row(
        lambda sql: (
            sql.template("SELECT {columns} FROM tbl_file WHERE {_filters} {_order_by}")
            .feed(columns="id, name")
            .filter(id__eq=6)
            .order_by("-id")
        ),
        "SELECT id, name FROM tbl_file WHERE id = 6 ORDER BY id DESC",
    ),
    "a text by its other name": Row(
        lambda sql: sql.from_string("SELECT id FROM tbl_file WHERE name = {name}").feed(name="O'Neill"),
        "SELECT id FROM tbl_file WHERE name = 'O''Neill'",
    ),
    "of a file": Row(
        lambda sql: (
            sql.file.get_stat.filter(org=1, name__endswith="OCD").group_by("type", "org").order_by("org", "-cnt")[10:20]
        ),
        "SELECT type, org, count(*) cnt FROM tbl_file WHERE org = 1 AND name LIKE '%OCD' GROUP BY type, org "
        "ORDER BY org, cnt DESC LIMIT 10 OFFSET 10",
    ),
    "having": Row(
        lambda sql: sql.file.get_stat.group_by("type, org").having("count(*) > 10")[10:],
        "SELECT type, org, count(*) cnt FROM tbl_file WHERE 1 = 1 GROUP BY type, org HAVING count(*) > 10 OFFSET 10",
        "SELECT type, org, count(*) cnt FROM tbl_file WHERE 1 = 1 GROUP BY type, org HAVING count(*) > 10 "
        "LIMIT -1 OFFSET 10",
    ),
    "of the default file": Row(
        lambda sql: sql.newest.order_by("-id")[:3], "SELECT * FROM tbl_file ORDER BY id DESC LIMIT 3"
    ),
    "all": Row(
        lambda sql: sql.file.live.filter(__all=True, id__gte=None),
        "SELECT type, org, count(*) cnt FROM tbl_file WHERE isdeleted is false AND 1 = 1 GROUP BY type, org "
        "ORDER BY org, cnt DESC",
    ),
    "all and more": Row(
        lambda sql: sql.file.live.filter(__all=True, id__gte=1).order_by("-id"),
        "SELECT type, org, count(*) cnt FROM tbl_file WHERE isdeleted is false AND 1 = 1 AND id >= 1 GROUP BY type, org "
        "ORDER BY org, cnt DESC",
    ),
    "fed names": Row(
        lambda sql: sql.file.get_file.feed(cols="id, name, created", tbl="tbl_file").filter(id__gte=1000),
        "SELECT id, name, created FROM tbl_file WHERE id >= 1000",
    ),
    "fed by a call": Row(
        lambda sql: sql.file.get_file(cols="count(*) cnt", tbl="tbl_file AS t").filter(t__id=1),
        "SELECT count(*) AS cnt FROM tbl_file AS t WHERE t.id = 1",
    ),
    "fed conditions": Row(
        lambda sql: sql.file.conditions.feed(id=Q(id__in=[1, 2, 3, 4, 5]), name="Hans").feed(seen=B(1, 4)),
        "SELECT * FROM tbl_file WHERE id IN (1,2,3,4,5) AND name = 'Hans' AND n_view BETWEEN 1 AND 4",
    ),
    "a fed condition of None": Row(
        lambda sql: sql.file.conditions(id=Q(id__in=[1, 2]), name=Q(name=None), seen=V(__between=[1, 4])),
        "SELECT * FROM tbl_file WHERE id IN (1,2) AND 1 = 1 AND n_view BETWEEN 1 AND 4",
    ),
    "pairs": Row(
        lambda sql: (
            sql.file.update_profile.data(name="Hans Roh", birth_year=2000)
            .data(email=None, age=20)
            .filter(id=1)
            .returning("id")
        ),
        "UPDATE tbl_profile SET name = 'Hans Roh', birth_year = 2000, email = NULL, age = 20 WHERE id = 1 RETURNING id;",
    ),
    "columns and values": Row(
        lambda sql: sql.file.insert_profile.data(name="Hans Roh", birth_year=2000).data(email=None, age=20),
        "INSERT INTO tbl_profile (name, birth_year, email, age) VALUES ('Hans Roh', 2000, NULL, 20)",
    ),
    "a D": Row(
        lambda sql: sql.file.insert_more.data(area="730", additional=D(name="Hans", id=1)).returning("id"),
        "INSERT INTO tbl_file (area, name, id) VALUES ('730', 'Hans', 1) RETURNING id;",
    ),
    "pairs of a D": Row(
        lambda sql: sql.file.pairs_of_more.feed(additional=D(name="Hans", email=None)).filter(id=1),
        "UPDATE tbl_file SET name = 'Hans', email = NULL WHERE id = 1",
    ),
    "data as a value": Row(
        lambda sql: sql.file.of_members.data(name="Hans Roh"),
        "UPDATE tbl_profile SET name = 'Hans Roh' WHERE id IN ( SELECT id FROM tbl_member WHERE name = 'Hans Roh' )",
    ),
    "a V in a list": Row(
        lambda sql: sql.file.count_years.feed(birth_year=V(__in=(2000, 2002, 2004))),
        "UPDATE tbl_stat SET count = count + 1 WHERE birth_year IN (2000,2002,2004)",
    ),
    "a list": Row(
        lambda sql: sql.file.count_years.feed(birth_year=[2000, 2002]),
        "UPDATE tbl_stat SET count = count + 1 WHERE birth_year IN (2000,2002)",
    ),
    "several statements": Row(
        lambda sql: (
            sql.template(
                "UPDATE tbl_profile SET {_pairs} WHERE {_filters}; INSERT INTO tbl_profile ({_columns}) VALUES ({_values});"
            )
            .data(name="Hans")
            .filter(id=1)
        ),
        "UPDATE tbl_profile SET name = 'Hans' WHERE id = 1; INSERT INTO tbl_profile (name) VALUES ('Hans');",
    ),
    "a sub query": Row(
        lambda sql: sql.template("SELECT * FROM tbl_file WHERE id IN ({ids}) AND org = {org}").feed(
            ids=sql.select("names").get("id").filter(name="a"), org=sql.select("names").get("max(id)")
        ),
        "SELECT * FROM tbl_file WHERE id IN (SELECT id FROM names WHERE name = 'a') AND org = (SELECT max(id) FROM names)",
    ),
    "WITH and UNION": Row(
        lambda sql: (
            sql.template(
                "WITH few AS (SELECT id FROM names WHERE name = {name}) "
                "SELECT id FROM few UNION ALL SELECT id FROM tbl_file WHERE {_filters} {_order_by} {_limit}"
            )
            .feed(name="a")
            .filter(org=1)
            .order_by("-1")[:3]
        ),
        "WITH few AS (SELECT id FROM names WHERE name = 'a') "
        "SELECT id FROM few UNION ALL SELECT id FROM tbl_file WHERE org = 1 ORDER BY 1 DESC LIMIT 3",
    ),
    "ON CONFLICT": Row(
        lambda sql: (
            sql.template("INSERT INTO names ({_columns}) VALUES ({_values}) ON CONFLICT DO NOTHING {_returning}")
            .data(id=7, name="a")
            .returning("id")
        ),
        "INSERT INTO names (id, name) VALUES (7, 'a') ON CONFLICT DO NOTHING RETURNING id",
    ),
    "SQL of one's own among conditions": Row(
        lambda sql: (
            sql.template("SELECT * FROM tbl_file WHERE org = 1 AND {_filters} AND NOT {more}")
            .filter(F("id = 1 OR id = 2"))
            .feed(more=Q(id=3, org=4))
        ),
        "SELECT * FROM tbl_file WHERE org = 1 AND (id = 1 OR id = 2) AND NOT (id = 3 AND org = 4)",
    ),
    "a template as a sub query": Row(
        lambda sql: sql.select("names").filter(id__in=sql.template("SELECT id FROM tbl_file WHERE org = {org}")(org=1)),
        "SELECT * FROM names WHERE id IN (SELECT id FROM tbl_file WHERE org = 1)",
    ),
}

ROWS: dict[str, Row] = {
    **{f"condition: {name}": row for name, row in CONDITIONS.items()},
    **{f"statement: {name}": row for name, row in STATEMENTS.items()},
    **{f"template: {name}": row for name, row in TEMPLATES.items()},
}


def made(row: Row, engine: str) -> Statement:
    """The statement of a row."""
    statement: Statement = row.make(SQL(engine, maps=MAPS))
    return statement
