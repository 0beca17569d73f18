"""PostgreSQL, asked in a worker's way: a real server, killed, slow, and with TLS before it."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import psycopg2
import pytest

from skitai.backend.cluster import Cluster
from skitai.backend.drivers.postgresql import Stub
from skitai.backend.errors import BackendError, Code, Failed, TimedOut
from skitai.backend.result import Status
from skitai.config.aliases import Alias, Member
from tests.backends.conftest import Authority
from tests.support.asker import Asker
from tests.support.databases import PASSWORD, Postgres, Relay, running, until
from tests.support.ports import free_port

Makes = Callable[..., Any]


def member(port: int, **values: Any) -> Member:
    known = {"user": "postgres", "password": PASSWORD, "database": "postgres"} | values
    return Member("postgresql", known.pop("host", "127.0.0.1"), port, **known)


@pytest.fixture
def stub(asker: Asker, postgres: Postgres) -> Any:
    return asker.stub(member(postgres.port))


@pytest.fixture
def table(postgres: Postgres) -> str:
    postgres.ask("DROP TABLE IF EXISTS cities; CREATE TABLE cities (id serial primary key, name text unique, high int)")
    return "cities"


def names(postgres: Postgres) -> list[str]:
    return [row[0] for row in postgres.ask("SELECT name FROM cities ORDER BY id")]


def test_rows_are_dicts_with_attributes(stub: Any) -> None:
    result = stub.execute("SELECT 'Oslo' AS city, 21 AS high UNION ALL SELECT 'Rome', 33").getwait()
    assert [(row.city, row["high"]) for row in result.data] == [("Oslo", 21), ("Rome", 33)]
    assert result.data[0] == {"city": "Oslo", "high": 21}
    assert (result.status, result.status_code, result.rowcount, result.columns) == (3, 200, 2, ["city", "high"])
    with pytest.raises(AttributeError, match="no column 'low'; there are: city, high"):
        _ = result.data[0].low


def test_parameters_are_bound(stub: Any, table: str, postgres: Postgres) -> None:
    evil = "'); DROP TABLE cities; --"
    assert stub.execute("INSERT INTO cities (name, high) VALUES (%s, %s)", (evil, 7)).getwait(reraise=True).data is None
    assert stub.execute("SELECT high FROM cities WHERE name = %(name)s", {"name": evil}).getwait().data == [{"high": 7}]
    assert names(postgres) == [evil]
    values = stub.execute(
        "SELECT %s::numeric AS n, %s::date AS d, %s AS t, %s AS l", (Decimal("1.10"), date(2020, 2, 29), None, [1, 2])
    )
    assert values.getwait(reraise=True).data == [{"n": Decimal("1.10"), "d": date(2020, 2, 29), "t": None, "l": [1, 2]}]


def test_a_percent_sign_is_one_without_parameters_and_doubled_with_them(stub: Any) -> None:
    assert stub.execute("SELECT '100%' AS a").getwait().data[0].a == "100%"
    assert stub.execute("SELECT '100%%' AS a, %s AS b", [1]).getwait().data == [{"a": "100%", "b": 1}]


@pytest.mark.parametrize(
    ("sql", "rowcount", "rows"),
    [
        ("INSERT INTO cities (name) VALUES ('a'), ('b')", 2, None),
        ("INSERT INTO cities (name) VALUES ('a') RETURNING name", 1, [{"name": "a"}]),
        ("UPDATE cities SET high = 1", 0, None),
        ("DELETE FROM cities", 0, None),
        ("SELECT name FROM cities", 0, []),
    ],
)
def test_what_statements_give(stub: Any, table: str, sql: str, rowcount: int, rows: Any) -> None:
    result = stub.execute(sql).getwait(reraise=True)
    assert (result.data, result.rowcount) == (rows, rowcount)


def test_an_error_of_the_database_is_a_result(stub: Any, table: str) -> None:
    stub.execute("INSERT INTO cities (name) VALUES ('Oslo')").wait()
    handle = stub.execute("INSERT INTO cities (name) VALUES ('Oslo')")
    result = handle.getwait()
    assert (result.status, result.status_code, result.data) == (Status.FAILED, 500, None)
    assert result.reason == 'duplicate key value violates unique constraint "cities_name_key"'
    with pytest.raises(Failed) as raised:
        result.reraise()
    assert isinstance(raised.value.__cause__, psycopg2.errors.UniqueViolation)
    with pytest.raises(Failed):
        handle.wait()
    assert stub.execute("SELECT 1 AS one").getwait().data == [{"one": 1}]


@pytest.mark.parametrize("parameters", [(), (1, 2), {"a": 1}, (object(),)])
def test_parameters_that_do_not_fit_are_a_result_too(stub: Any, parameters: Any) -> None:
    result = stub.execute("SELECT %s", parameters).getwait()
    assert (result.status, result.status_code) == (Status.FAILED, 500)
    assert result.reason
    assert stub.execute("SELECT %s AS one", (1,)).getwait().data == [{"one": 1}]


@pytest.mark.parametrize("parameters", ["abc", b"abc", 5, {1}])
def test_one_value_is_no_sequence_of_parameters(stub: Any, parameters: Any) -> None:
    with pytest.raises(TypeError, match=r"for one, \(value,\)"):
        stub.execute("SELECT %s", parameters)


def test_a_statement_is_text(stub: Any) -> None:
    with pytest.raises(TypeError, match="a statement is a str"):
        stub.execute(b"SELECT 1")


def test_statements_run_side_by_side(stub: Any, asker: Asker, postgres: Postgres) -> None:
    handles = [stub.execute("SELECT pg_sleep(0.3), %s AS number", (number,)) for number in range(10)]
    assert [handle.getwait(30).data[0].number for handle in handles] == list(range(10))
    stats = asker.stats()[f"127.0.0.1:{postgres.port}"]
    assert stats == {"busy": 0, "idle": 10, "waiting": 0, "opened": 10}
    stub.execute("SELECT 1").wait()
    assert asker.stats()[f"127.0.0.1:{postgres.port}"]["opened"] == 10
    asker.tick(later=1300)
    assert asker.stats() == {}


def test_coroutines_await(stub: Any, asker: Asker) -> None:
    async def work() -> Any:
        first, second = stub.execute("SELECT 1 AS n"), stub.execute("SELECT 2 AS n")
        return (await first).data + (await second).data

    assert asker.run(work()) == [{"n": 1}, {"n": 2}]


def test_many_rows_and_long_statements(stub: Any) -> None:
    assert len(stub.execute("SELECT generate_series(1, 5000) AS n").getwait(30).data) == 5000
    long = "ä" * 3_000_000
    assert stub.execute("SELECT length(%s) AS n", (long,)).getwait(30, reraise=True).data[0].n == 3_000_000


def test_copying_is_refused_and_does_no_harm(stub: Any, table: str) -> None:
    assert stub.execute("COPY cities TO STDOUT").getwait().status_code == 500
    assert stub.execute("COPY cities FROM STDIN").getwait().status_code == 500
    assert stub.execute("SELECT 1 AS one").getwait().data == [{"one": 1}]


# Transactions


def test_a_transaction_is_committed_at_the_end_of_its_block(stub: Any, table: str, postgres: Postgres) -> None:
    with stub.transaction() as t:
        t.execute("INSERT INTO cities (name) VALUES (%s)", ("Oslo",)).wait()
        assert t.execute("SELECT count(*) AS n FROM cities").getwait().data[0].n == 1
        assert names(postgres) == []
    assert names(postgres) == ["Oslo"]


def test_and_rolled_back_when_the_block_raises(stub: Any, table: str, postgres: Postgres, asker: Asker) -> None:
    with pytest.raises(ZeroDivisionError), stub.transaction() as t:
        t.execute("INSERT INTO cities (name) VALUES ('Oslo')").wait()
        raise ZeroDivisionError
    assert names(postgres) == []
    assert asker.stats()[f"127.0.0.1:{postgres.port}"]["idle"] == 1


def test_or_when_a_statement_has_failed_that_nobody_looked_at(stub: Any, table: str, postgres: Postgres) -> None:
    with pytest.raises(Failed, match="a statement has failed: column") as raised, stub.transaction() as t:
        t.execute("INSERT INTO cities (name) VALUES ('Oslo')")
        t.execute("INSERT INTO cities (nmae) VALUES ('Rome')")
    assert isinstance(raised.value.__cause__, psycopg2.errors.UndefinedColumn)
    assert names(postgres) == []


def test_up_to_a_savepoint_a_failure_can_be_undone(stub: Any, table: str, postgres: Postgres) -> None:
    with stub.transaction("isolation level serializable") as t:
        t.execute("INSERT INTO cities (name) VALUES ('Oslo')")
        t.execute("SAVEPOINT here")
        t.execute("INSERT INTO cities (name) VALUES ('Oslo')")
        t.execute("ROLLBACK TO here")
        assert t.execute("SHOW transaction_isolation").getwait().data[0].transaction_isolation == "serializable"
    assert names(postgres) == ["Oslo"]


def test_in_coroutines(stub: Any, table: str, postgres: Postgres, asker: Asker) -> None:
    async def work(fails: bool) -> None:
        async with stub.transaction() as t:
            await t.execute("INSERT INTO cities (name) VALUES ('Oslo')")
            if fails:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asker.run(work(True))
    assert names(postgres) == []
    asker.run(work(False))
    assert names(postgres) == ["Oslo"]


def test_a_transaction_may_end_before_its_block(stub: Any, table: str, postgres: Postgres) -> None:
    with stub.transaction() as t:
        t.execute("INSERT INTO cities (name) VALUES ('Oslo')")
        t.rollback().wait()
        late = t.execute("INSERT INTO cities (name) VALUES ('Rome')").getwait()
        assert (late.status_code, late.reason) == (Code.FAILED, "the transaction is over: it was rolled back")
    with stub.transaction() as t:
        t.execute("INSERT INTO cities (name) VALUES ('Rome')")
        t.commit().wait()
    with pytest.raises(BackendError, match="a statement has ended it"), stub.transaction() as t:
        t.execute("COMMIT").wait()
    assert names(postgres) == ["Rome"]


def test_statements_of_a_transaction_need_its_block(stub: Any) -> None:
    with pytest.raises(RuntimeError, match="begins with its block"):
        stub.transaction().execute("SELECT 1")
    with pytest.raises(ValueError, match="no mode"):
        stub.transaction("; DROP TABLE cities")
    with pytest.raises(Failed, match="syntax error"), stub.transaction("anyhow"):
        pass
    assert stub.execute("SELECT 1 AS one").getwait().data == [{"one": 1}]


def test_a_transaction_that_nobody_holds_is_rolled_back(stub: Any, table: str, postgres: Postgres, asker: Asker) -> None:
    t = stub.transaction()
    t.__enter__()
    t.execute("INSERT INTO cities (name) VALUES ('Oslo')").wait()
    t = None
    gc.collect()
    until(lambda: asker.stats()[f"127.0.0.1:{postgres.port}"]["busy"] == 0, "it is given up")
    until(lambda: not postgres.ask("SELECT 1 FROM pg_stat_activity WHERE state ~ 'in transaction'"), "it is rolled back")
    assert names(postgres) == []


def test_and_one_in_which_nothing_happens(stub: Any, table: str, postgres: Postgres, asker: Asker) -> None:
    with pytest.raises(BackendError, match="nothing was asked for 30 s"), stub.transaction() as t:
        t.execute("INSERT INTO cities (name) VALUES ('Oslo')").wait()
        asker.tick(later=20)
        t.execute("SELECT 1").wait()
        asker.tick(later=31)
        assert t.execute("SELECT 1").getwait().status_code == Code.FAILED
    assert names(postgres) == []


def test_a_statement_cannot_leave_a_transaction_open(stub: Any, table: str, postgres: Postgres) -> None:
    result = stub.execute("BEGIN; INSERT INTO cities (name) VALUES ('Oslo')").getwait()
    assert result.status_code == 500
    assert "use transaction()" in result.reason
    until(lambda: not postgres.ask("SELECT 1 FROM pg_stat_activity WHERE state ~ 'in transaction'"), "it is rolled back")
    assert stub.execute("BEGIN; INSERT INTO cities (name) VALUES ('Rome'); COMMIT").getwait().status_code == 200
    assert names(postgres) == ["Rome"]


# Faults


def test_a_dead_idle_connection_is_replaced_unnoticed(stub: Any, table: str, postgres: Postgres) -> None:
    pid = stub.execute("SELECT pg_backend_pid() AS pid").getwait().data[0].pid
    postgres.ask(f"SELECT pg_terminate_backend({pid})")
    until(lambda: not postgres.ask(f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid}"), "it ended")
    assert stub.execute("INSERT INTO cities (name) VALUES ('Oslo')").getwait().status_code == 200
    assert names(postgres) == ["Oslo"]


def test_a_server_that_was_started_again_is_asked_again(asker: Asker) -> None:
    with running(Postgres) as server:
        stub = asker.stub(member(server.port))
        assert stub.execute("SELECT 1 AS one").getwait().data == [{"one": 1}]
        server.kill(signal.SIGINT)
        gone = stub.execute("SELECT 1").getwait()
        assert (gone.status, gone.status_code) == (Status.FAILED, Code.REFUSED)
        server.start()
        assert stub.execute("SELECT 1 AS one").getwait().data == [{"one": 1}]
        running_now = stub.execute("SELECT pg_sleep(60)")
        until(lambda: server.ask("SELECT 1 FROM pg_stat_activity WHERE query ~ '^SELECT pg_sleep'"), "it runs")
        server.kill(signal.SIGQUIT)
        assert running_now.getwait(30).status_code == Code.REFUSED


def test_what_is_cut_off_is_asked_again_only_if_that_does_no_harm(
    asker: Asker, postgres: Postgres, relay: Makes, table: str
) -> None:
    between = relay(postgres.port)
    stub = asker.stub(member(between.port))
    for sql, code in [("SELECT 1 FROM pg_sleep(0.5)", 200), ("INSERT INTO cities (name) SELECT '' FROM pg_sleep(0.5)", 701)]:
        stub.execute("SELECT 1").wait()
        handle = stub.execute(sql)
        until(lambda sql=sql: postgres.ask(f"SELECT 1 FROM pg_stat_activity WHERE query LIKE $${sql}$$"), "it runs")
        between.cut()
        assert handle.getwait(30).status_code == code


def test_the_deadline_ends_the_statement_too(stub: Any, asker: Asker, postgres: Postgres) -> None:
    handle = stub.execute("SELECT pg_sleep(61)")
    until(lambda: postgres.ask("SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(61)'"), "it runs")
    result = handle.getwait(0.1)
    assert (result.status, result.status_code, result.reason, result.data) == (Status.TIMED_OUT, 730, "Timeout", None)
    with pytest.raises(TimedOut):
        handle.wait()
    until(
        lambda: not postgres.ask("SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(61)' AND state = 'active'"),
        "it is cancelled",
    )
    assert asker.stats()[f"127.0.0.1:{postgres.port}"]["busy"] == 0
    assert stub.execute("SELECT 1 AS one").getwait().data == [{"one": 1}]


def test_nothing_leaks_when_requests_are_abandoned(asker: Asker, postgres: Postgres) -> None:
    stub = asker.stub(member(postgres.port))
    for _ in range(5):
        handles = [stub.execute("SELECT pg_sleep(62)") for _ in range(4)]
        asker.call(lambda: None)
        for handle in handles:
            asker.abandon(handle)
    until(lambda: asker.stats()[f"127.0.0.1:{postgres.port}"]["busy"] == 0, "they are gone")
    until(
        lambda: not postgres.ask("SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(62)' AND state = 'active'"),
        "they are cancelled",
    )


def test_an_abandoned_transaction_is_rolled_back(stub: Any, table: str, postgres: Postgres, asker: Asker) -> None:
    async def work() -> None:
        async with stub.transaction() as t:
            await t.execute("INSERT INTO cities (name) VALUES ('Oslo')")
            await asyncio.sleep(60)

    async def cut_short() -> None:
        task = asyncio.ensure_future(work())
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asker.run(cut_short())
    assert names(postgres) == []
    stats = asker.stats()[f"127.0.0.1:{postgres.port}"]
    assert (stats["busy"], stats["idle"]) == (0, 1)


def test_a_pool_has_its_limit(ask_with: Makes, postgres: Postgres) -> None:
    asker = ask_with(backend_connections=2)
    server = member(postgres.port)
    slow = [asker.stub(server).execute("SELECT pg_sleep(1.5)") for _ in range(2)]
    hasty = asker.stub(server, timeout=0.2).execute("SELECT 1").getwait()
    assert (hasty.status, hasty.status_code) == (Status.TIMED_OUT, 730)
    patient = asker.stub(server).execute("SELECT 1 AS one")
    assert patient.getwait(30).data == [{"one": 1}]
    assert [each.getwait(30).status_code for each in slow] == [200, 200]
    assert asker.stats()[f"127.0.0.1:{postgres.port}"]["opened"] == 2


@pytest.mark.parametrize(
    ("values", "code", "reason"),
    [
        ({"password": "wrong"}, Code.FAILED, "password authentication failed"),
        ({"user": "nobody"}, Code.FAILED, "password authentication failed"),
        ({"database": "none"}, Code.FAILED, 'database "none" does not exist'),
        ({"host": "no-such-host.invalid"}, Code.NO_HOST, "no-such-host.invalid has no address"),
        ({"secure": True}, Code.TLS, "server does not support SSL"),
    ],
)
def test_why_there_is_no_connection(asker: Asker, postgres: Postgres, values: Any, code: Code, reason: str) -> None:
    result = asker.stub(member(postgres.port, **values)).execute("SELECT 1").getwait(30)
    assert (result.status, result.status_code) == (Status.FAILED, code)
    assert reason in result.reason
    assert PASSWORD not in result.reason


def test_nobody_listens(asker: Asker) -> None:
    result = asker.stub(member(free_port())).execute("SELECT 1").getwait()
    assert result.status_code == Code.REFUSED
    assert "Connection refused" in result.reason


def test_somebody_else_is_asked(asker: Asker, postgres: Postgres) -> None:
    result = asker.stub(Member("redis", "127.0.0.1", postgres.port)).get("a").getwait()
    assert result.status_code in (Code.PROTOCOL, Code.REFUSED)


def test_connecting_has_a_time_of_its_own(ask_with: Makes, postgres: Postgres, relay: Makes) -> None:
    between: Relay = relay(postgres.port)
    between.stall()
    asker = ask_with(backend_connect_s=0.2)
    result = asker.stub(member(between.port)).execute("SELECT 1").getwait(30)
    assert (result.status_code, result.reason) == (Code.SLOW, f"connecting to 127.0.0.1:{between.port} takes too long")
    assert asker.stub(member(between.port), timeout=0.1).execute("SELECT 1").getwait().status_code == Code.TIMEOUT


def test_tls(asker: Asker, postgres: Postgres, relay: Makes, trusted: Authority) -> None:
    between = relay(postgres.port, tls=trusted.context("localhost"), postgres=True)
    good = asker.stub(member(between.port, host="localhost", secure=True))
    assert good.execute("SELECT 1 AS one").getwait(reraise=True).data == [{"one": 1}]
    wrong_name = asker.stub(member(between.port, secure=True)).execute("SELECT 1").getwait()
    assert wrong_name.status_code == Code.TLS, wrong_name.reason
    unchecked = asker.stub(member(between.port, secure=True, verify=False))
    assert unchecked.execute("SELECT 1 AS one").getwait(reraise=True).data == [{"one": 1}]


def test_tls_of_somebody_unknown(asker: Asker, postgres: Postgres, relay: Makes, authority: Authority) -> None:
    between = relay(postgres.port, tls=authority.context("localhost"), postgres=True)
    result = asker.stub(member(between.port, host="localhost", secure=True)).execute("SELECT 1").getwait()
    assert result.status_code == Code.TLS, result.reason


def test_closing_ends_what_runs(asker: Asker, postgres: Postgres) -> None:
    stub = asker.stub(member(postgres.port))
    handle = stub.execute("SELECT pg_sleep(63)")
    until(lambda: postgres.ask("SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(63)'"), "it runs")
    asker.run(asker.backends.close())
    assert handle.getwait().status_code == Code.SHUTDOWN
    assert stub.execute("SELECT 1").getwait().status_code == Code.SHUTDOWN
    until(
        lambda: not postgres.ask("SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(63)' AND state = 'active'"),
        "it is cancelled",
    )


def test_a_transaction_of_an_alias_stays_with_its_member(asker: Asker, table: str, postgres: Postgres) -> None:
    both = tuple(member(postgres.port, weight=weight) for weight in (1, 2))
    cluster = Cluster(Alias("db", "postgresql", both), 10)
    stub = Stub(lambda operation: asker.backends.ask(cluster, operation))
    for number in range(3):
        with stub.transaction() as t:
            pids = {t.execute("SELECT pg_backend_pid() AS pid").getwait().data[0].pid for _ in range(3)}
            t.execute("INSERT INTO cities (name) VALUES (%s)", (str(number),))
        assert len(pids) == 1
    assert len(names(postgres)) == 3
