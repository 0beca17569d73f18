"""Redis, asked in a worker's way: a real server with a password, killed, slow, and with TLS before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from skitai.backend.drivers.resp import ServerError
from skitai.backend.errors import Code, Failed
from skitai.backend.result import Status
from skitai.config.aliases import Member
from tests.backends.conftest import Authority
from tests.support.asker import Asker
from tests.support.databases import PASSWORD, Redis, Relay, running, until
from tests.support.ports import free_port

Makes = Callable[..., Any]


def member(port: int, **values: Any) -> Member:
    known = {"password": PASSWORD, "database": "3"} | values
    return Member("redis", known.pop("host", "127.0.0.1"), port, **known)


def where(port: int) -> str:
    return f"127.0.0.1:{port}"


@pytest.fixture
def stub(asker: Asker, redis: Redis) -> Any:
    made = asker.stub(member(redis.port))
    made.flushall().wait()
    return made


def got(handle: Any) -> Any:
    return handle.getwait(30, reraise=True).data


def test_commands_are_methods(stub: Any) -> None:
    assert got(stub.set("session", "Zoë")) == "OK"
    assert got(stub.get("session")) == "Zoë"
    assert got(stub.get("none")) is None
    assert got(stub.rpush("docs", 1, 2.5, "three", b"\xff\x00")) == 4
    assert got(stub.lrange("docs", 0, -1)) == ["1", "2.5", "three", b"\xff\x00"]
    assert got(stub.hset("user", "name", "Ann", "age", 7)) == 2
    assert got(stub.hgetall("user")) == {"name": "Ann", "age": "7"}
    assert got(stub.delete("docs")) == got(stub.del_("user")) == 1
    assert got(stub.EXISTS("docs")) == 0


def test_names_of_two_words_and_names_that_no_attribute_can_have(stub: Any) -> None:
    assert got(stub.config_get("maxmemory")) == ["maxmemory", "0"]
    assert got(stub.command("CONFIG GET", "maxmemory")) == ["maxmemory", "0"]
    assert got(stub.object_encoding("none")) is None
    assert got(stub.eval("return {1, {2, 'x'}, false}", 0)) == [1, [2, "x"], None]
    assert "unknown command `JSON.GET`" in stub.command("JSON.GET", "x").getwait().reason


def test_an_alias_says_the_database(stub: Any, asker: Asker, redis: Redis) -> None:
    stub.set("here", "3").wait()
    assert got(asker.stub(member(redis.port, database="")).get("here")) is None
    assert got(asker.stub(member(redis.port)).get("here")) == "3"


def test_an_error_is_a_result(stub: Any) -> None:
    stub.set("text", "x").wait()
    handle = stub.incr("text")
    result = handle.getwait()
    assert (result.status, result.status_code) == (Status.FAILED, 500)
    assert result.reason == "ERR value is not an integer or out of range"
    with pytest.raises(Failed) as raised:
        handle.wait()
    assert isinstance(raised.value.__cause__, ServerError)
    assert stub.lpush("text", 1).getwait().error.code == "WRONGTYPE"
    assert got(stub.get("text")) == "x"


@pytest.mark.parametrize("value", [None, True, ["a"], {"a": 1}, object()])
def test_what_redis_does_not_know_is_refused_at_once(stub: Any, value: Any) -> None:
    with pytest.raises(TypeError, match="no word for Redis"):
        stub.set("a", value)


@pytest.mark.parametrize("name", ["subscribe", "monitor", "multi", "watch", "auth", "select", "quit", "client_reply"])
def test_what_would_take_the_connection_from_others_is_refused(stub: Any, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be asked here"):
        stub.command(name.replace("_", " "), "on")
    with pytest.raises(ValueError, match="cannot be asked here"):
        getattr(stub.pipeline(), name)("on")
    with pytest.raises(ValueError, match="CLIENT REPLY cannot be asked here"):
        stub.client("reply", "off")


def test_many_at_once_share_a_connection(stub: Any, asker: Asker, redis: Redis) -> None:
    handles = [stub.incr("count") for _ in range(500)]
    assert [handle.getwait().data for handle in handles] == list(range(1, 501))
    assert asker.stats() == {where(redis.port): {"open": 1, "waiting": 0, "opened": 1}}
    asker.tick(later=1300)
    assert asker.stats() == {}
    assert got(stub.incr("count")) == 501


def test_coroutines_await(stub: Any, asker: Asker) -> None:
    async def work() -> Any:
        await stub.set("a", 1)
        return (await stub.get("a")).data

    assert asker.run(work()) == "1"


def test_long_values_and_long_lists(stub: Any) -> None:
    long = b"\x00\xff" * 2_000_000
    assert got(stub.set("long", long)) == "OK"
    assert got(stub.get("long")) == long
    stub.rpush("list", *range(20_000)).wait()
    assert got(stub.lrange("list", 0, -1)) == [str(number) for number in range(20_000)]


def test_a_reply_may_be_too_long(ask_with: Makes, redis: Redis) -> None:
    stub = ask_with(backend_body_bytes=1000).stub(member(redis.port))
    stub.set("long", "x" * 2000).wait()
    result = stub.get("long").getwait()
    assert (result.status_code, result.reason) == (Code.TOO_LARGE, "a reply has more than 1000 bytes")
    stub.rpush("list", *range(500)).wait()
    assert stub.lrange("list", 0, -1).getwait().status_code == Code.TOO_LARGE
    assert got(stub.strlen("long")) == 2000


# Pipelines


def test_a_pipeline_is_sent_at_once(stub: Any) -> None:
    pipeline = stub.pipeline().set("a", 1).incr("a").hset("h", "x", 1)
    pipeline.hgetall("h")
    assert len(pipeline) == 4
    assert got(pipeline.execute()) == ["OK", 2, 1, {"x": "1"}]
    assert len(pipeline) == 0
    with pytest.raises(ValueError, match="without commands"):
        pipeline.execute()


@pytest.mark.parametrize("transaction", [False, True])
def test_errors_in_a_pipeline_are_in_their_place(stub: Any, transaction: bool) -> None:
    result = stub.pipeline(transaction).set("a", "x").incr("a").get("a").execute().getwait()
    assert (result.status, result.status_code) == (Status.FAILED, 500)
    assert (result.data[0], result.data[2]) == ("OK", "x")
    assert isinstance(result.data[1], ServerError)


def test_a_transaction_is_not_begun_when_a_command_is_wrong(stub: Any) -> None:
    result = stub.pipeline(transaction=True).set("a", 1).command("NOSUCH").execute().getwait()
    assert (result.status_code, result.data) == (500, None)
    assert "unknown command" in result.reason
    assert got(stub.get("a")) is None
    assert got(stub.pipeline(transaction=True).set("a", 1).get("a").execute()) == ["OK", "1"]


# Commands that wait


def test_who_waits_has_a_connection_of_his_own(stub: Any, asker: Asker, redis: Redis) -> None:
    waiting = stub.blpop("queue", 0)
    until(lambda: got(stub.info("clients")).count("blocked_clients:1"), "it waits")
    assert got(stub.ping()) == "PONG"
    stub.rpush("queue", "job").wait()
    assert got(waiting) == ["queue", "job"]
    assert asker.stats()[where(redis.port)]["blocking"] == {"busy": 0, "idle": 1, "waiting": 0, "opened": 1}
    with pytest.raises(ValueError, match="ask it alone"):
        stub.pipeline().blpop("queue", 0)


def test_and_stops_waiting_at_its_deadline(stub: Any, asker: Asker, redis: Redis) -> None:
    result = stub.xread("BLOCK", 0, "STREAMS", "events", "$").getwait(0.2)
    assert (result.status, result.status_code) == (Status.TIMED_OUT, 730)
    abandoned = stub.blpop("queue", 0)
    until(lambda: got(stub.info("clients")).count("blocked_clients:1"), "it waits")
    asker.abandon(abandoned)
    until(lambda: got(stub.info("clients")).count("blocked_clients:0"), "nobody waits")
    assert asker.stats()[where(redis.port)]["blocking"]["busy"] == 0


# Faults


def test_a_dead_idle_connection_is_replaced_unnoticed(stub: Any, asker: Asker, redis: Redis) -> None:
    for _ in range(3):
        stub.client_kill("TYPE", "normal", "SKIPME", "no").getwait()
        assert got(stub.incr("count"))
    assert got(stub.get("count")) == "3"


def test_a_server_that_was_started_again_is_asked_again(asker: Asker) -> None:
    with running(Redis) as server:
        stub = asker.stub(member(server.port, password="", database=""))
        assert got(stub.ping()) == "PONG"
        server.kill()
        gone = stub.ping().getwait()
        assert (gone.status, gone.status_code) == (Status.FAILED, Code.REFUSED)
        server.start()
        assert got(stub.ping()) == "PONG"
        server.pause()
        running_now = [stub.incr("a"), stub.get("a")]
        until(lambda: asker.stats()[where(server.port)]["waiting"] == 2, "they are sent")
        server.kill()
        assert [each.getwait(30).status_code for each in running_now] == [Code.REFUSED, Code.REFUSED]


def test_what_is_cut_off_is_asked_again_only_if_that_does_no_harm(asker: Asker, redis: Redis, relay: Makes) -> None:
    between: Relay = relay(redis.port)
    stub = asker.stub(member(between.port))
    got(stub.set("count", 5))
    between.stall()
    reading, writing = stub.get("count"), stub.incr("count")
    until(lambda: asker.stats()[where(between.port)]["waiting"] == 2, "they are sent")
    between.cut()
    between.go_on()
    assert reading.getwait(30).data == "5"
    assert writing.getwait(30).status_code == Code.REFUSED


def test_a_connection_that_is_silent_is_not_waited_for_twice(asker: Asker, redis: Redis, relay: Makes) -> None:
    between: Relay = relay(redis.port)
    stub = asker.stub(member(between.port))
    got(stub.set("a", 1))
    between.stall()
    assert stub.get("a").getwait(1.2).status_code == 730
    asker.tick()
    asker.tick()  # it has been given up by now
    between.go_on()
    assert got(stub.get("a")) == "1"
    assert asker.stats()[where(between.port)]["opened"] == 2
    asker.tick()
    until(lambda: between.open == 1, "the old one is closed")


def test_a_reply_that_comes_too_late_is_nobody_elses(stub: Any) -> None:
    late = stub.eval("local n = 0 for i = 1, 1e7 do n = n + i end return 'late'", 0)
    late.getwait(0.001)
    assert [got(stub.echo(str(number))) for number in range(5)] == [str(number) for number in range(5)]


@pytest.mark.parametrize(
    ("values", "code", "reason"),
    [
        ({"password": "wrong"}, Code.FAILED, "WRONGPASS"),
        ({"password": "", "database": ""}, 500, "NOAUTH"),
        ({"user": "nobody"}, Code.FAILED, "WRONGPASS"),
        ({"database": "99"}, Code.FAILED, "DB index is out of range"),
        ({"database": "mydb"}, Code.FAILED, "a database of Redis is a number, not 'mydb'"),
        ({"host": "no-such-host.invalid"}, Code.NO_HOST, "no-such-host.invalid has no address"),
    ],
)
def test_why_there_is_no_connection(asker: Asker, redis: Redis, values: Any, code: Code, reason: str) -> None:
    result = asker.stub(member(redis.port, **values)).get("a").getwait(30)
    assert (result.status, result.status_code) == (Status.FAILED, code), result.reason
    assert reason in result.reason
    assert PASSWORD not in result.reason


def test_nobody_listens(asker: Asker) -> None:
    assert asker.stub(member(free_port())).get("a").getwait().status_code == Code.REFUSED


def test_connecting_has_a_time_of_its_own(ask_with: Makes, redis: Redis, relay: Makes) -> None:
    between: Relay = relay(redis.port)
    between.stall()
    asker = ask_with(backend_connect_s=0.2)
    assert asker.stub(member(between.port)).get("a").getwait(30).status_code == Code.SLOW
    assert asker.stub(member(between.port), timeout=0.1).get("a").getwait().status_code == Code.TIMEOUT


def test_tls(asker: Asker, redis: Redis, relay: Makes, trusted: Authority) -> None:
    between = relay(redis.port, tls=trusted.context("localhost"))
    good = asker.stub(member(between.port, host="localhost", secure=True))
    assert got(good.ping()) == "PONG"
    wrong_name = asker.stub(member(between.port, secure=True)).ping().getwait()
    assert wrong_name.status_code == Code.TLS, wrong_name.reason
    assert got(asker.stub(member(between.port, secure=True, verify=False)).ping()) == "PONG"


def test_tls_of_somebody_unknown(asker: Asker, redis: Redis, relay: Makes, authority: Authority) -> None:
    between = relay(redis.port, tls=authority.context("localhost"))
    result = asker.stub(member(between.port, host="localhost", secure=True)).ping().getwait()
    assert result.status_code == Code.TLS, result.reason


def test_closing_ends_what_runs(asker: Asker, redis: Redis) -> None:
    stub = asker.stub(member(redis.port))
    waiting = stub.blpop("queue", 0)
    until(lambda: got(stub.info("clients")).count("blocked_clients:1"), "it waits")
    asker.run(asker.backends.close())
    assert waiting.getwait().status_code == Code.SHUTDOWN
    assert stub.ping().getwait().status_code == Code.SHUTDOWN
