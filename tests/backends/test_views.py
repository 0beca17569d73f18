"""PostgreSQL and MongoDB that are mounted: what can be read of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pymongo
import pytest
from bson import ObjectId

from skitai.config.aliases import Alias, Member
from skitai.config.mounted import View
from skitai.lib.jwt import gen_token
from tests.support.databases import Mongo, Postgres
from tests.support.memory import Wire, mounted, wire

KEY = "8fa06210-e109-11e6-934f-001b216d6e71"
TOKEN = gen_token(KEY, {"user": "hans", "roles": ["user"]})

SCHEMA = """
    CREATE SCHEMA photos;
    SET search_path TO photos;
    CREATE TABLE albums
        (id uuid PRIMARY KEY, title text, year int, price numeric, taken timestamptz, cover bytea, tags text[]);
    INSERT INTO albums VALUES
        ('00000000-0000-0000-0000-000000000001', 'Rügen', 2019, 1.50, '2019-05-01 12:00+00', '\\x00ff', '{a,b}'),
        ('00000000-0000-0000-0000-000000000002', 'Oslo', 2021, NULL, NULL, NULL, NULL);
    CREATE TABLE "100%" ("a""%s" int PRIMARY KEY);
    INSERT INTO "100%" VALUES (7);
    CREATE VIEW titles AS SELECT title FROM albums;
    CREATE TABLE secret (a int);
    CREATE FUNCTION wipe() RETURNS int LANGUAGE sql AS 'DELETE FROM photos.albums RETURNING year';
    CREATE VIEW trap AS SELECT wipe() AS wiped;
    CREATE ROLE reader LOGIN PASSWORD 'reader';
    ALTER ROLE reader SET search_path TO photos;
    GRANT USAGE ON SCHEMA photos TO reader;
    GRANT SELECT, DELETE ON albums, titles, trap, "100%" TO reader;
"""


def served(member: Member) -> Any:
    alias = Alias("photos", member.kind, (member,))
    return wire(mounted("/photos/", View("photos")), aliases=(alias,), gateway_auth=True, gateway_secret=KEY)


def read(server: Wire, path: str) -> tuple[int, Any]:
    status, _, body = server.get("/photos/" + path, Authorization=f"Bearer {TOKEN}", Accept="application/json")
    return status, json.loads(body)


@pytest.fixture(scope="module")
def tables(postgres: Postgres) -> Iterator[Wire]:
    connection = postgres.connect()
    connection.cursor().execute(SCHEMA)
    member = Member("postgresql", "127.0.0.1", postgres.port, user="reader", password="reader", database="postgres")
    with served(member) as server:
        yield server
    connection.cursor().execute("DROP SCHEMA photos CASCADE; DROP ROLE reader")
    connection.close()


def test_tables_of_postgresql_that_may_be_read(tables: Wire) -> None:
    status, found = read(tables, "")
    assert status == 200
    assert [(each["name"], each["key"], each["url"]) for each in found["tables"]] == [
        ("100%", ['a"%s'], "/photos/100%25"),
        ("albums", ["id"], "/photos/albums"),
        ("titles", [], "/photos/titles"),
        ("trap", [], "/photos/trap"),
    ]
    assert read(tables, "secret")[0] == 404
    assert read(tables, "pg_authid")[0] == 404


def test_rows_of_postgresql(tables: Wire) -> None:
    _, found = read(tables, "albums?order=-year&limit=1")
    assert (found["rows"][0]["title"], found["next"]) == ("Oslo", "/photos/albums?limit=1&offset=1&order=-year")
    _, found = read(tables, "albums/00000000-0000-0000-0000-000000000001")
    assert found["row"] == {
        "id": "00000000-0000-0000-0000-000000000001",
        "title": "Rügen",
        "year": 2019,
        "price": "1.50",
        "taken": "2019-05-01T12:00:00+00:00",
        "cover": {"base64": "AP8="},
        "tags": ["a", "b"],
    }
    for query, number in (
        ("year__gte=2020", 1),
        ("title__like=%25%C3%BC%25", 1),
        ("year__in=2019,2021", 2),
        ("cover__null=true", 1),
        ("price=1.5", 1),
        ("title=%25s", 0),
    ):
        assert len(read(tables, f"albums?{query}")[1]["rows"]) == number, query
    assert read(tables, "100%25/7")[1]["row"] == {'a"%s': 7}


def test_values_that_do_not_fit_are_the_clients_fault(tables: Wire) -> None:
    for path in ("albums?year=x", "albums?year__like=2", "albums/1", "albums?year=99999999999"):
        assert read(tables, path)[0] == 400, path


def test_reading_never_writes(tables: Wire) -> None:
    assert read(tables, "trap")[0] == 502
    assert len(read(tables, "albums")[1]["rows"]) == 2


ONE = ObjectId("5f0000000000000000000001")


@pytest.fixture(scope="module")
def collections(mongo: Mongo) -> Iterator[Wire]:
    client: Any = pymongo.MongoClient("127.0.0.1", mongo.port)
    client["views"]["posts"].insert_many(
        [{"_id": ONE, "by": "ann", "n": 1}, {"_id": 2, "by": "bob", "n": 2}, {"_id": "three", "by": "ann", "n": "2"}]
    )
    with served(Member("mongodb", "127.0.0.1", mongo.port, database="views")) as server:
        yield server
    client.drop_database("views")
    client.close()


def test_collections_of_mongodb(collections: Wire) -> None:
    assert read(collections, "") == (200, {"tables": [{"name": "posts", "url": "/photos/posts"}]})
    assert read(collections, "system.users")[0] == 404
    for key in (str(ONE), "2", "three"):
        assert read(collections, f"posts/{key}")[1]["row"]["_id"] in (str(ONE), 2, "three")
    assert read(collections, "posts/4")[0] == 404
    assert read(collections, "posts?order=-by")[1]["rows"][0]["by"] == "bob"
    _, found = read(collections, "posts?by=ann&limit=1")
    assert (len(found["rows"]), found["next"]) == (1, "/photos/posts?limit=1&offset=1&by__eq=ann")
    assert len(read(collections, "posts?n=2")[1]["rows"]) == 2
    assert len(read(collections, "posts?by__in=ann,bob")[1]["rows"]) == 3
    assert read(collections, "posts?n__gt=1")[0] == 400
    assert read(collections, "posts?%24where=1")[0] == 400
