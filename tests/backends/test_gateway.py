"""The gateway asks databases about tokens: the answer comes to a callback, which lets the request pass or not."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest

from skitai.config.aliases import Alias, Member, member
from skitai.config.mounted import Upstream
from skitai.saddle.wac import wac
from skitai.was import was
from tests.support.databases import Mongo, until
from tests.support.memory import Wire, mounted, wire
from tests.support.upstream import upstream


class OfMongo:
    """Looks tokens up as the documentation of databases has it."""

    def handle_user(self, response: Any, handler: Any, request: Any) -> None:
        username = response.data["username"]
        roles = response.data["roles"]
        expires = response.data["expires"]
        if expires and expires < time.time():
            was.mongodb("@tokens", "desk", callback=lambda result: None).delete("tokens", {"token": request.token})
            handler.continue_request(request)
        else:
            handler.continue_request(request, username, roles)

    def handle_token(self, handler: Any, request: Any) -> None:
        asked = was.mongodb("@tokens", "desk", callback=(self.handle_user, (handler, request)))
        asked.findone("tokens", {"token": request.token})


class OfSqlite:
    """The same of a file, whose rows are none where a token is unknown."""

    def handle_user(self, response: Any, handler: Any, request: Any) -> None:
        for row in response.data:
            handler.continue_request(request, row.username, row.roles)
        handler.continue_request(request)

    def handle_token(self, handler: Any, request: Any) -> None:
        asked = was.sqlite3("@tokens", callback=(self.handle_user, (handler, request)))
        asked.execute("SELECT username, roles FROM tokens WHERE token = ?", (request.token,))


@pytest.fixture(params=[4, 0], ids=["threads", "inline"])
def threads(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def gateway(tokens: Member, place: str, threads: int) -> Any:
    aliases = (Alias("members", "http", (member("http", place),), role="admin"), Alias("tokens", tokens.kind, (tokens,)))
    mount = mounted("/members/", Upstream("members"))
    return wire(mount, aliases=aliases, gateway_auth=True, gateway_secret="", threads=threads)


@pytest.fixture
def place() -> Iterator[str]:
    with upstream() as server:
        yield server.place
    wac.handler.set_auth_handler(None)


def ask(server: Wire, token: str) -> int:
    return server.get("/members/a", Authorization=f"Bearer {token}")[0]


def test_mongodb_knows_the_tokens(mongo: Mongo, place: str, threads: int) -> None:
    client: Any = pymongo.MongoClient("127.0.0.1", mongo.port)
    tokens = client["desk"]["tokens"]
    tokens.drop()
    tokens.insert_many(
        [
            {"token": "good", "username": "hans", "roles": ["admin"], "expires": time.time() + 100},
            {"token": "user", "username": "ann", "roles": ["user"], "expires": 0},
            {"token": "old", "username": "hans", "roles": ["admin"], "expires": 1},
        ]
    )
    with gateway(Member("mongodb", "127.0.0.1", mongo.port, database="other"), place, threads) as server:
        wac.handler.set_auth_handler(OfMongo())
        assert [ask(server, token) for token in ("good", "user", "old", "good")] == [200, 403, 401, 200]
        assert ask(server, "unknown") == 500  # the callback has a fault: there is no such document
        until(lambda: tokens.find_one({"token": "old"}) is None, "the old token is deleted")
        tokens.drop()
    client.close()


def test_sqlite_knows_the_tokens(tmp_path: Path, place: str, threads: int) -> None:
    path = tmp_path / "tokens.db"
    connection = sqlite3.connect(path)
    connection.executescript(
        "CREATE TABLE tokens (token, username, roles); INSERT INTO tokens VALUES ('a', 'hans', 'admin')"
    )
    connection.close()
    with gateway(Member("sqlite3", str(path)), place, threads) as server:
        wac.handler.set_auth_handler(OfSqlite())
        assert [ask(server, token) for token in ("a", "b", "a.b.c")] == [200, 401, 401]
