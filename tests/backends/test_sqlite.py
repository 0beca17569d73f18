"""SQLite files, asked in a worker's way."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import threading
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from skitai.backend.cluster import Cluster
from skitai.backend.drivers.sqlite import Stub, pieces
from skitai.backend.errors import BackendError, Code, Failed
from skitai.backend.result import Status
from skitai.config.aliases import Alias, Member
from tests.support.asker import Asker
from tests.support.databases import until

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "people.db")


@pytest.fixture
def stub(asker: Asker, path: str) -> Any:
    made = asker.stub(Member("sqlite3", path))
    made.execute("CREATE TABLE people (name TEXT UNIQUE, age INT)").wait()
    return made


def names(path: str) -> list[str]:
    connection = sqlite3.connect(path)
    found = [row[0] for row in connection.execute("SELECT name FROM people ORDER BY rowid")]
    connection.close()
    return found


def test_rows_and_parameters(stub: Any) -> None:
    evil = "'; DROP TABLE people; --"
    inserted = stub.execute("INSERT INTO people VALUES (?, ?)", (evil, 7)).getwait(reraise=True)
    assert (inserted.data, inserted.rowcount, inserted.lastrowid) == (None, 1, 1)
    result = stub.execute("SELECT name, age FROM people WHERE age = :age", {"age": 7}).getwait()
    assert (result.status, result.status_code, result.columns) == (3, 200, ["name", "age"])
    assert [(row.name, row["age"]) for row in result.data] == [(evil, 7)]
    assert stub.execute("SELECT 1 WHERE 0").getwait().data == []


def test_without_parameters_it_may_be_a_script(stub: Any, path: str) -> None:
    script = """
        -- people; and more
        drop table if exists people;
        create table people (name text);
        create trigger polite after insert on people begin
            update people set name = 'Mr ' || new.name where rowid = new.rowid; select 'a;b';
        end;
        insert into people values ('Cho;'); insert into people values ('Ann')
    """
    assert stub.execute(script).getwait(reraise=True).rowcount == 1
    assert names(path) == ["Mr Cho;", "Mr Ann"]
    wrong = stub.execute("DELETE FROM people; DELETE FROM nowhere").getwait()
    assert (wrong.status_code, wrong.reason) == (500, "no such table: nowhere")
    assert names(path) == []
    assert stub.execute("DELETE FROM people; DELETE FROM people", ()).getwait().status_code == 500


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("select 1", ["select 1"]),
        ("select 1;", ["select 1"]),
        ("select ';' ; ;; select 2 -- x;y\n", ["select ';' ", " select 2 -- x;y\n"]),
        ("", []),
        (" ;\n; ", []),
        ("/* ; */ select 1; /* end; */", ["/* ; */ select 1", " /* end; */"]),
    ],
)
def test_the_statements_of_a_script(script: str, found: list[str]) -> None:
    assert list(pieces(script)) == found


def test_an_error_is_a_result(stub: Any) -> None:
    stub.execute("INSERT INTO people VALUES ('Ann', 1)").wait()
    handle = stub.execute("INSERT INTO people VALUES ('Ann', 2)")
    result = handle.getwait()
    assert (result.status, result.status_code, result.reason) == (
        Status.FAILED,
        500,
        "UNIQUE constraint failed: people.name",
    )
    with pytest.raises(Failed) as raised:
        result.reraise()
    assert isinstance(raised.value.__cause__, sqlite3.IntegrityError)
    with pytest.raises(Failed):
        handle.wait()


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [("SELECT ?", ()), ("SELECT ?", (1, 2)), ("SELECT :a", {"b": 1}), ("SELECT ?", (object(),)), ("SELECT ?", (1 << 70,))],
)
def test_parameters_that_do_not_fit_are_a_result_too(stub: Any, sql: str, parameters: Any) -> None:
    result = stub.execute(sql, parameters).getwait()
    assert (result.status, result.status_code) == (Status.FAILED, 500)
    assert result.reason


def test_points_in_time_are_kept_as_sqlite_reads_them(stub: Any) -> None:
    result = stub.execute("SELECT ? AS day, datetime(?) AS moment", (date(2020, 2, 29), datetime(2020, 2, 29, 12, 30)))
    assert result.getwait(reraise=True).data == [{"day": "2020-02-29", "moment": "2020-02-29 12:30:00"}]


def test_requests_from_many_threads_take_their_turns(stub: Any, path: str) -> None:
    def insert(number: int) -> None:
        for each in range(20):
            stub.execute("INSERT INTO people VALUES (?, ?)", (f"{number}-{each}", each)).wait(30)

    threads = [threading.Thread(target=insert, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names(path)) == 160


def test_a_transaction_has_the_file_to_itself(stub: Any, path: str) -> None:
    with stub.transaction() as t:
        t.execute("INSERT INTO people VALUES ('Ann', 1)")
        others = stub.execute("SELECT count(*) AS n FROM people")
        assert t.execute("SELECT count(*) AS n FROM people").getwait().data[0].n == 1
        assert others.status == Status.BEGUN
        assert names(path) == []
    assert others.getwait().data[0].n == 1
    assert names(path) == ["Ann"]


def test_a_transaction_is_all_or_nothing(stub: Any, path: str) -> None:
    with pytest.raises(ZeroDivisionError), stub.transaction() as t:
        t.execute("INSERT INTO people VALUES ('Ann', 1)")
        raise ZeroDivisionError
    with pytest.raises(Failed, match="UNIQUE") as raised, stub.transaction("deferred") as t:
        t.execute("INSERT INTO people VALUES ('Ann', 1); INSERT INTO people VALUES ('Ann', 1)")
    assert isinstance(raised.value.__cause__, sqlite3.IntegrityError)
    assert names(path) == []


def test_transactions_in_coroutines(stub: Any, path: str, asker: Asker) -> None:
    async def work() -> None:
        async with stub.transaction() as t:
            await t.execute("INSERT INTO people VALUES ('Ann', 1)")

    asker.run(work())
    assert names(path) == ["Ann"]


def test_transactions_that_are_given_up_are_rolled_back(stub: Any, path: str, asker: Asker) -> None:
    t = stub.transaction()
    t.__enter__()
    t.execute("INSERT INTO people VALUES ('Ann', 1)").wait()
    t = None
    gc.collect()
    assert stub.execute("SELECT count(*) AS n FROM people").getwait().data[0].n == 0
    with pytest.raises(BackendError, match="nothing was asked"), stub.transaction() as t:
        asker.tick(later=31)
        assert stub.execute("SELECT count(*) AS n FROM people").getwait().data[0].n == 0


def test_a_transaction_stays_with_the_member_that_it_began_with(asker: Asker, tmp_path: Path) -> None:
    members = tuple(Member("sqlite3", str(tmp_path / f"{number}.db")) for number in range(3))
    cluster = Cluster(Alias("files", "sqlite3", members), 10)
    stub = Stub(partial(asker.backends.ask, cluster))
    for _ in range(3):
        with stub.transaction() as t:
            results = [
                t.execute("CREATE TABLE IF NOT EXISTS t (n)"),
                t.execute("SELECT 1 AS one"),
                t.execute("SELECT 2 AS two"),
            ]
            (there,) = {result.getwait().member for result in results}
            assert there in members
            assert t.commit().getwait().member == there
    assert sorted(path.name for path in tmp_path.glob("?.db")) == ["0.db", "1.db", "2.db"]
    assert asker.call(lambda: [seat.running for seat in cluster.balance.seats]) == [0, 0, 0]


def test_errors_are_freed_without_the_garbage_collector(stub: Any) -> None:
    stub.execute("SELECT nonsense").getwait()
    gc.collect()
    gc.disable()
    try:
        for _ in range(5):
            assert stub.execute("SELECT nonsense").getwait().status_code == 500
        until(lambda: not any(isinstance(each, sqlite3.Error) for each in gc.get_objects()), "they are gone")
    finally:
        gc.enable()


def test_a_statement_cannot_leave_a_transaction_open(stub: Any, path: str) -> None:
    result = stub.execute("BEGIN; INSERT INTO people VALUES ('Ann', 1)").getwait()
    assert result.status_code == 500
    assert "use transaction()" in result.reason
    assert stub.execute("BEGIN; INSERT INTO people VALUES ('Cho', 1); COMMIT").getwait().status_code == 200
    assert names(path) == ["Cho"]


def test_the_deadline_ends_the_statement(stub: Any, asker: Asker, path: str) -> None:
    handle = stub.execute(ENDLESS)
    waiting = stub.execute("SELECT 1 AS one")
    result = handle.getwait(0.2)
    assert (result.status, result.status_code) == (Status.TIMED_OUT, 730)
    assert waiting.getwait(30).data == [{"one": 1}]
    abandoned = stub.execute(ENDLESS)
    until(lambda: asker.stats()[path]["busy"], "it runs")
    asker.abandon(abandoned)
    assert stub.execute("SELECT 1 AS one").getwait(30).data == [{"one": 1}]
    assert asker.stats()[path] == {"busy": 0, "waiting": 0}


def test_another_process_that_writes_is_waited_for(asker: Asker, stub: Any, path: str) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    late = asker.stub(Member("sqlite3", path), timeout=0.3).execute("INSERT INTO people VALUES ('Ann', 1)").getwait()
    assert late.status in (Status.TIMED_OUT, Status.FAILED)
    patient = stub.execute("INSERT INTO people VALUES ('Cho', 1); INSERT INTO people VALUES ('Bob', 1)")
    assert stub.execute("SELECT 1 AS one").status == Status.BEGUN
    other.execute("COMMIT")
    other.close()
    patient.wait(30)
    assert names(path) == ["Cho", "Bob"]


def test_readers_do_not_wait_for_writers(stub: Any, path: str) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO people VALUES ('Ann', 1)")
    assert stub.execute("SELECT count(*) AS n FROM people").getwait().data[0].n == 0
    other.close()


def test_a_database_in_memory_lasts_as_long_as_the_worker(asker: Asker) -> None:
    stub = asker.stub(Member("sqlite3", ":memory:"))
    stub.execute("CREATE TABLE t (n INT); INSERT INTO t VALUES (1)").wait()
    asker.tick(later=5000)
    assert stub.execute("SELECT n FROM t").getwait().data == [{"n": 1}]


def test_an_idle_file_is_closed(asker: Asker, stub: Any, path: str) -> None:
    asker.tick(later=1300)
    assert asker.stats() == {}
    until(lambda: not Path(path + "-wal").exists(), "it is closed")
    assert stub.execute("SELECT count(*) AS n FROM people").getwait().data == [{"n": 0}]


def test_files_that_cannot_be_opened(asker: Asker, tmp_path: Path) -> None:
    nowhere = asker.stub(Member("sqlite3", str(tmp_path / "none" / "x.db"))).execute("SELECT 1").getwait()
    assert (nowhere.status_code, nowhere.reason) == (
        Code.REFUSED,
        f"{tmp_path}/none/x.db: unable to open database file",
    )
    (tmp_path / "text.db").write_text("This is a text, and not a database at all." * 100)
    text = asker.stub(Member("sqlite3", str(tmp_path / "text.db"))).execute("SELECT 1").getwait()
    assert (text.status_code, text.reason) == (Code.REFUSED, f"{tmp_path}/text.db: file is not a database")


def test_closing_ends_what_runs(asker: Asker, stub: Any, path: str) -> None:
    running = stub.execute(ENDLESS)
    waiting = stub.execute("SELECT 1")
    until(lambda: asker.stats()[path] == {"busy": 1, "waiting": 1}, "both were asked")
    asker.run(asker.backends.close())
    assert (running.getwait().status_code, waiting.getwait().status_code) == (Code.SHUTDOWN, Code.SHUTDOWN)
    assert not Path(path + "-wal").exists()


def test_an_abandoned_wait_leaves_its_place(stub: Any, asker: Asker, path: str) -> None:
    async def work() -> None:
        async with stub.transaction():
            waiting = asyncio.ensure_future(_awaited(stub.execute("SELECT 1")))
            await asyncio.sleep(0.05)
            waiting.cancel()

    asker.run(work())
    assert stub.execute("SELECT 1 AS one").getwait().data == [{"one": 1}]


async def _awaited(handle: Any) -> Any:
    return await handle
