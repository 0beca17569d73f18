"""SQL of a Saddle app: `was.sql`, the engine it is for, and files of templates, read again when they change."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from skitai import was as general
from skitai.errors import LoadError
from skitai.saddle import Saddle
from skitai.saddle.context import Was
from skitai.sql import BadStatement

Write = Callable[..., None]


@pytest.fixture
def app(tmp_path: Path) -> Saddle:
    made = Saddle(__name__)
    made.home = str(tmp_path)
    return made


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def make(name: str, text: str) -> None:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        draft = file.with_name("." + file.name)
        draft.write_text(text)
        draft.replace(file)  # another inode, so that it differs however coarse the clock is

    return make


def query(name: str, text: str) -> str:
    return f'<sql name="{name}">\n{text}\n</sql>\n'


def test_it_is_for_postgresql_unless_said_otherwise(app: Saddle) -> None:
    assert Was(app).sql.engine == "postgresql"
    app.setup_sqlphile("*sqlite3")
    assert Was(app).sql.engine == "sqlite3"
    assert Was(app).sql.select("users").filter(id=4).render() == ("SELECT * FROM users\nWHERE id = ?", (4,))
    app.setup_sqlphile("postgresql")
    assert Was(app).sql.select("users").filter(id=4).render() == ("SELECT * FROM users\nWHERE id = %s", (4,))
    with pytest.raises(BadStatement, match="'\\*redis'"):
        app.setup_sqlphile("*redis")


def test_general_was_has_it_too() -> None:
    assert str(general.sql.select("users").filter(id=4)) == "SELECT * FROM users\nWHERE id = 4"


def test_files_are_templates(app: Saddle, write: Write) -> None:
    write("sqlmaps/users.sql", query("one", "SELECT * FROM users WHERE {_filters}") + query("all", "SELECT * FROM users"))
    write("sqlmaps/default.sql", query("now", "SELECT {time} AS now"))
    write("sqlmaps/README", "no template")
    write("sqlmaps/.users.sql.swp.sql", "<sql")
    app._sqlmaps.prepare()
    sql = Was(app).sql
    assert str(sql.users.one.filter(id=4)) == "SELECT * FROM users WHERE id = 4"
    assert str(sql.now(time=1)) == str(sql.default.now(time=1)) == "SELECT 1 AS now"
    assert dir(sql.users) == ["all", "one"]
    with pytest.raises(AttributeError, match="there is no people.sql, and no .* in default.sql"):
        _ = sql.people
    with pytest.raises(AttributeError, match="in users.sql"):
        _ = sql.users.two


def test_each_access_begins_a_new_statement(app: Saddle, write: Write) -> None:
    write("sqlmaps/users.sql", query("one", "SELECT * FROM users WHERE {_filters}"))
    sql = app.sqlphile
    sql.users.one.filter(id=4)
    assert str(sql.users.one) == "SELECT * FROM users WHERE 1 = 1"


def test_no_folder_is_needed_and_another_one_may_be_named(app: Saddle, write: Write) -> None:
    app._sqlmaps.prepare()
    assert list(app._sqlmaps) == []
    app.setup_sqlphile("sqlite3", "queries")
    with pytest.raises(LoadError, match="queries"):
        app._sqlmaps.prepare()
    write("queries/users.sql", query("one", "SELECT 1"))
    app._sqlmaps.prepare()
    assert str(app.sqlphile.users.one) == "SELECT 1"
    assert len(app._sqlmaps) == 1


@pytest.mark.parametrize("switch", ["debug", "use_reloader"])
def test_changed_files_are_read_again_where_that_is_wanted(app: Saddle, write: Write, switch: str) -> None:
    setattr(app, switch, True)
    write("sqlmaps/users.sql", query("one", "SELECT 1"))
    app._sqlmaps.prepare()
    write("sqlmaps/users.sql", query("one", "SELECT 2"))
    write("sqlmaps/others.sql", query("one", "SELECT 3"))
    assert (str(app.sqlphile.users.one), str(app.sqlphile.others.one)) == ("SELECT 2", "SELECT 3")
    os.remove(app._sqlmaps.path + "/others.sql")
    with pytest.raises(AttributeError):
        _ = app.sqlphile.others


def test_they_are_read_once_otherwise(app: Saddle, write: Write) -> None:
    write("sqlmaps/users.sql", query("one", "SELECT 1"))
    app._sqlmaps.prepare()
    write("sqlmaps/users.sql", query("one", "SELECT 2"))
    assert str(app.sqlphile.users.one) == "SELECT 1"


BROKEN = {
    "users.sql": (query("one", "SELECT 'open"), "users.sql, from line 1 on: line 1: what ' begins does not end"),
    "select.sql": (query("one", "SELECT 1"), "select cannot be its name"),
    "transaction.sql": (query("one", "SELECT 1"), "transaction cannot be its name"),
    "default.sql": (query("insert", "SELECT 1"), "insert cannot be its name, or that of a template in it"),
    "my-users.sql": (query("one", "SELECT 1"), "one that an attribute can have"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_keeps_the_app_from_starting(app: Saddle, write: Write, name: str) -> None:
    text, message = BROKEN[name]
    write(f"sqlmaps/{name}", text)
    with pytest.raises(LoadError, match=message):
        app._sqlmaps.prepare()
    with pytest.raises(LoadError, match=message), app.make_client():
        pass


def test_bytes_that_are_no_text_are_a_broken_file(app: Saddle, tmp_path: Path) -> None:
    (tmp_path / "sqlmaps").mkdir()
    (tmp_path / "sqlmaps" / "users.sql").write_bytes(b"\xff")
    with pytest.raises(LoadError, match="users.sql: .*utf-8"):
        app._sqlmaps.prepare()


def test_a_file_that_breaks_under_way_fails_alone_until_it_is_mended(
    app: Saddle, write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    app.debug = True
    write("sqlmaps/users.sql", query("one", "SELECT 1"))
    write("sqlmaps/default.sql", query("two", "SELECT 2"))
    with caplog.at_level(logging.ERROR, "skitai.app"):
        app._sqlmaps.prepare()
        write("sqlmaps/default.sql", "SELECT 2")
        with pytest.raises(BadStatement, match="default.sql, line 1"):
            _ = app.sqlphile.two
    assert "default.sql, line 1" in caplog.text
    assert str(app.sqlphile.users.one) == "SELECT 1"
    write("sqlmaps/default.sql", query("two", "SELECT 3"))
    assert str(app.sqlphile.two) == "SELECT 3"


def test_handlers_have_it(app: Saddle, write: Write) -> None:
    write("sqlmaps/users.sql", query("one", "SELECT * FROM users WHERE {_filters}"))
    app.setup_sqlphile("sqlite3")

    @app.route("/mine")
    def mine(was: Was, name: str) -> str:
        return str(was.sql.users.one.filter(name=name))

    @app.route("/anyones")
    def anyones(was: Was) -> str:
        return general.sql.users.one.engine.name

    with app.make_client() as client:
        assert client.get("/mine?name=O'Neill").text == "SELECT * FROM users WHERE name = 'O''Neill'"
        assert client.get("/anyones").text == "sqlite3"


def test_the_old_name_says_by_what_it_was_replaced(app: Saddle) -> None:
    with pytest.raises(AttributeError, match="superseded: was.sql"):
        _ = app.sqlmaps
