"""Databases that are mounted: what can be read of files of SQLite, and that nothing else can be done."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skitai.config.aliases import Alias, Member
from skitai.config.mounted import View
from skitai.errors import BadRequest, LoadError, NotFound
from skitai.lib.jwt import gen_token
from skitai.worker.views import documents, wishes
from skitai.worker.views.tables import Table, Writer
from tests.support.memory import Wire, mounted, wait_for, wire

KEY = "8fa06210-e109-11e6-934f-001b216d6e71"
TOKEN = gen_token(KEY, {"user": "hans", "roles": ["user"]})
OPTIONS: dict[str, Any] = {"gateway_auth": True, "gateway_secret": KEY}

SCHEMA = """
    CREATE TABLE albums (id INTEGER PRIMARY KEY, title TEXT, year INTEGER, cover BLOB, anything);
    INSERT INTO albums VALUES (1, 'Rügen', 2019, x'00ff', 5), (2, 'Oslo', 2021, NULL, 'five'), (3, 'Pau', 2021, NULL, 5.5);
    CREATE TABLE "odd ""name%" ("a ""b%" TEXT PRIMARY KEY) WITHOUT ROWID;
    INSERT INTO "odd ""name%" VALUES ('x/y'), ('ü');
    CREATE TABLE pairs (a, b, PRIMARY KEY (a, b));
    CREATE VIEW recent AS SELECT title FROM albums WHERE year > 2020;
"""


def made(path: Path, script: str = SCHEMA) -> Path:
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()
    return path


def photos(*paths: Path) -> Alias:
    return Alias("photos", "sqlite3", tuple(Member("sqlite3", str(path)) for path in paths))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    path = made(tmp_path_factory.mktemp("views") / "a b?.db")
    with wire(mounted("/photos/", View("photos")), aliases=(photos(path),), view_rows=50, view_page_rows=2, **OPTIONS) as it:
        yield it


def read(server: Wire, path: str, **fields: str) -> tuple[int, Any]:
    status, told, body = server.get("/photos/" + path, Authorization=f"Bearer {TOKEN}", Accept="application/json", **fields)
    if status == 200:
        assert told["cache-control"] == "private, no-cache"
        assert told["content-type"] == "application/json"
    return status, json.loads(body) if body else None


def titles(server: Wire, query: str) -> list[str]:
    status, found = read(server, f"albums?{query}")
    assert status == 200, found
    return [row["title"] for row in found["rows"]]


def test_the_tables(server: Wire) -> None:
    status, found = read(server, "")
    assert status == 200
    assert found["tables"] == [
        {
            "name": "albums",
            "columns": ["id", "title", "year", "cover", "anything"],
            "key": ["id"],
            "url": "/photos/albums",
        },
        {"name": 'odd "name%', "columns": ['a "b%'], "key": ['a "b%'], "url": "/photos/odd%20%22name%25"},
        {"name": "pairs", "columns": ["a", "b"], "key": ["a", "b"], "url": "/photos/pairs"},
        {"name": "recent", "columns": ["title"], "key": [], "url": "/photos/recent"},
    ]


def test_nobody_reads_without_a_token(server: Wire) -> None:
    assert server.get("/photos/")[0] == 401
    assert server.get("/photos/albums/1", Authorization="Bearer x")[0] == 401


def test_pages_of_rows(server: Wire) -> None:
    _, first = read(server, "albums")
    assert [row["id"] for row in first["rows"]] == [1, 2]
    assert first["rows"][0] == {"id": 1, "title": "Rügen", "year": 2019, "cover": {"base64": "AP8="}, "anything": 5}
    assert (first["table"], first["limit"], first["offset"], first["previous"]) == ("albums", 2, 0, None)
    assert first["next"] == "/photos/albums?limit=2&offset=2"
    _, second = read(server, first["next"].removeprefix("/photos/"))
    assert [row["id"] for row in second["rows"]] == [3]
    assert (second["next"], second["previous"]) == (None, "/photos/albums?limit=2&offset=0")
    _, all_of_them = read(server, "albums/?limit=3")
    assert all_of_them["next"] is None
    _, filtered = read(server, "albums?limit=1&year=2021&order=-title&title__ne=%26")
    assert filtered["next"] == "/photos/albums?limit=1&offset=1&order=-title&year__eq=2021&title__ne=%26"
    _, none = read(server, "albums?limit=0")
    assert (none["rows"], none["next"]) == ([], None)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("year=2021", ["Oslo", "Pau"]),
        ("year__gt=2019&title__lt=P", ["Oslo"]),
        ("year__gte=2021&year__lte=2021", ["Oslo", "Pau"]),
        ("year__ne=2021", ["Rügen"]),
        ("title=R%C3%BCgen", ["Rügen"]),
        ("title__like=P%25", ["Pau"]),
        ("title__in=Oslo,Pau,Nowhere", ["Oslo", "Pau"]),
        ("cover__null=false", ["Rügen"]),
        ("cover__null=1", ["Oslo", "Pau"]),
        ("anything=5", ["Rügen"]),
        ("anything=5.5", ["Pau"]),
        ("anything=five", ["Oslo"]),
        ("order=-title&limit=3", ["Rügen", "Pau", "Oslo"]),
        ("order=-year,title&limit=3", ["Oslo", "Pau", "Rügen"]),
        ("title=' OR 1=1 --", []),
    ],
)
def test_filters_and_order(server: Wire, query: str, found: list[str]) -> None:
    assert titles(server, quote(query, safe="=&%_,-")) == found


def test_one_row(server: Wire) -> None:
    status, found = read(server, "albums/2")
    assert (status, found["table"], found["row"]["title"]) == (200, "albums", "Oslo")
    assert read(server, "odd%20%22name%25/x/y")[1]["row"] == {'a "b%': "x/y"}
    assert read(server, "odd%20%22name%25/x%2Fy")[1]["row"] == {'a "b%': "x/y"}
    assert read(server, "odd%20%22name%25/%C3%BC")[1]["row"] == {'a "b%': "ü"}
    assert read(server, "recent")[1]["rows"] == [{"title": "Oslo"}, {"title": "Pau"}]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("nowhere", 404),
        ("sqlite_master", 404),
        ("albums/9", 404),
        ("pairs/1", 404),
        ("recent/1", 404),
        ("/albums", 404),
        ("%FF", 404),
        ("albums%3BDROP%20TABLE%20albums", 404),
        ("albums?nocolumn=1", 400),
        ("albums?order=nocolumn", 400),
        ("albums?order=title;DROP", 400),
        ("albums?order=", 400),
        ("albums?limit=51", 400),
        ("albums?limit=-1", 400),
        ("albums?limit=x", 400),
        ("albums?limit=%D9%A1", 400),
        ("albums?offset=99999999999999999999", 400),
        ("albums?cover__null=maybe", 400),
        ("albums?title", 400),
        ("albums/1?title=a", 400),
        ("?limit=1", 400),
        ("albums?" + "&".join(["title=a"] * 40), 400),
        ("albums?title=%00", 400),
        ("albums?title=%FF", 400),
        ("albums?title__in=" + "," * 100, 400),
    ],
)
def test_what_cannot_be_read(server: Wire, path: str, status: int) -> None:
    assert read(server, path)[0] == status


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nothing_can_be_written(server: Wire, method: str) -> None:
    lines = (
        f"{method} /photos/albums/1 HTTP/1.1\r\nHost: e\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 2\r\n\r\n{{}}"
    )
    status, fields, _ = server.ask(lines.encode())
    assert (status, fields["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert read(server, "albums/1")[0] == 200


def test_the_connection_itself_cannot_write(tmp_path: Path) -> None:
    from skitai.backend.drivers.sqlite import opened

    connection = opened(str(made(tmp_path / "a#?%.db")), readonly=True)
    assert connection.execute("SELECT count(*) FROM albums").fetchone() == (3,)
    for statement in ("DELETE FROM albums", "CREATE TABLE x (a)", "PRAGMA user_version = 5"):
        with pytest.raises(sqlite3.OperationalError):
            connection.execute(statement)
    connection.close()
    with pytest.raises(sqlite3.OperationalError):
        opened(str(tmp_path / "nothing.db"), readonly=True)
    assert not (tmp_path / "nothing.db").exists()


def test_what_has_not_changed_is_not_sent_again(server: Wire) -> None:
    _, told, body = server.get("/photos/albums/1", Authorization=f"Bearer {TOKEN}")
    status, _, nothing = server.get("/photos/albums/1", Authorization=f"Bearer {TOKEN}", If_None_Match=told["etag"])
    assert (status, nothing) == (304, b"")
    lines = f"HEAD /photos/albums/1 HTTP/1.1\r\nHost: e\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    status, fields, nothing = server.ask(lines.encode())
    assert (status, fields["content-length"], nothing) == (200, str(len(body)), b"")


def test_several_members_take_turns_and_stand_in_for_each_other(tmp_path: Path) -> None:
    paths = [made(tmp_path / name, f"CREATE TABLE who (name); INSERT INTO who VALUES ('{name}')") for name in "ab"]
    alias = photos(*paths, tmp_path / "missing")
    with wire(mounted("/photos/", View("photos")), aliases=(alias,), **OPTIONS) as server:
        found = {read(server, "who")[1]["rows"][0]["name"] for _ in range(12)}
    assert found == {"a", "b"}


def test_what_others_write_is_seen(tmp_path: Path) -> None:
    """Also where they write ahead (WAL), with or without the files that belong to that."""
    path = made(tmp_path / "a", "PRAGMA journal_mode = WAL; CREATE TABLE who (name)")
    with wire(mounted("/photos/", View("photos")), aliases=(photos(path),), **OPTIONS) as server:
        assert read(server, "who")[1]["rows"] == []
        writer = sqlite3.connect(path, isolation_level=None)
        for number in range(3):
            writer.execute("INSERT INTO who VALUES (?)", (number,))
            assert len(read(server, "who")[1]["rows"]) == number + 1
        writer.execute("CREATE TABLE more (name)")
        writer.execute("DROP TABLE who")
        writer.close()
        assert read(server, "who")[0] in (404, 502)  # it may still be remembered, once
        assert read(server, "who")[0] == 404
        assert read(server, "more")[0] == 200


ENDLESS = "CREATE VIEW endless AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c"


def test_a_statement_without_an_end_is_ended(tmp_path: Path) -> None:
    path = made(tmp_path / "a", f"CREATE TABLE who (name); {ENDLESS}")
    with wire(mounted("/photos/", View("photos")), aliases=(photos(path),), view_wait_s=1, **OPTIONS) as server:
        assert read(server, "endless?x__lt=0")[0] == 504
        wait_for(lambda: read(server, "endless?limit=2")[1].get("rows") == [{"x": 1}, {"x": 2}], 30)
        wait_for(lambda: read(server, "who")[0] == 200, 30)


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with wire(mounted("/photos/", View("photos")), aliases=(photos(tmp_path / "missing"),), **OPTIONS) as server:
        assert read(server, "")[0] == 503
    assert not (tmp_path / "missing").exists()


def test_without_the_gateway_it_is_not_served(tmp_path: Path) -> None:
    alias = photos(made(tmp_path / "a"))
    with pytest.raises(LoadError, match="no gateway"), wire(mounted("/photos/", View("photos")), aliases=(alias,)):
        pass


# Pure parts

TABLE = Table("t", {"a": "TEXT", "b": ""}, ("a",))


@given(st.text(max_size=20), st.text(max_size=60))
def test_no_path_and_no_query_breaks_the_reading(path: str, query: str) -> None:
    try:
        wish = wishes.read(path.encode("utf-8", "replace").decode("latin-1"), quote(query, safe="=&%,_-"), 100, 10)
    except (BadRequest, NotFound):
        return
    assert 0 <= wish.limit <= 100
    if wish.table and wish.key is None:
        for kind in ("sqlite3", "postgresql"):
            try:
                sql, values = Writer(kind).rows(TABLE, wish)
            except BadRequest:
                continue
            assert sql.count("?" if kind == "sqlite3" else "%s") == len(values)


@given(st.text(min_size=1, max_size=20))
def test_whatever_a_column_is_called_it_is_one_name(name: str) -> None:
    table = Table(name, {name: ""}, (name,))
    sql, values = Writer("sqlite3").row(table, "1; DROP TABLE x")
    quoted = '"' + name.replace('"', '""') + '"'
    assert sql == f"SELECT {quoted} FROM {quoted} WHERE {quoted} = ? LIMIT ?"
    assert values == ("1; DROP TABLE x", 1)


def test_documents() -> None:
    def stages(query: str) -> Any:
        return documents.rows(wishes.read("posts", query, 100, 10))

    assert stages("by=ann&n=5&order=-n&offset=3") == [
        {"$match": {"by": {"$in": ["ann"]}, "n": {"$in": ["5", 5]}}},
        {"$sort": {"n": -1}},
        {"$skip": 3},
        {"$limit": 11},
    ]
    assert stages('a.b="5"&c__in=true,x')[0] == {"$match": {"a.b": {"$in": ["5"]}, "c": {"$in": ["true", True, "x"]}}}
    assert documents.row("7", lambda text: [text * 2])[0] == {"$match": {"_id": {"$in": ["7", 7, "77"]}}}
    for query in ("n__gt=5", "%24where=1", "a.%24b=1", "order=%24natural", "__proto__.%24=1"):
        with pytest.raises(BadRequest):
            stages(query)
    assert documents.same('{"$gt": ""}') == ['{"$gt": ""}']
