"""MongoDB, asked in a worker's way: a server that speaks its protocol, killed, slow, with users and with TLS."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from typing import Any

import pymongo
import pytest

from skitai.backend.errors import BackendError, Code, Failed
from skitai.backend.result import Status
from skitai.config.aliases import Member
from tests.backends.conftest import Authority
from tests.support.asker import Asker
from tests.support.databases import PASSWORD, Mongo, Relay, running, until
from tests.support.ports import free_port

Makes = Callable[..., Any]

# pymongo lets go of sockets that it was opening when it was closed; they close when they are collected.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    yield
    gc.collect()


def member(port: int, **values: Any) -> Member:
    known = {"database": "desk"} | values
    return Member("mongodb", known.pop("host", "127.0.0.1"), port, **known)


def where(port: int) -> str:
    return f"127.0.0.1:{port}"


@pytest.fixture
def posts(mongo: Mongo) -> Iterator[Any]:
    """The collection, seen from outside, with three posts."""
    client: Any = pymongo.MongoClient("127.0.0.1", mongo.port)
    found = client["desk"]["posts"]
    found.drop()
    found.insert_many([{"_id": 1, "by": "ann", "n": 1}, {"_id": 2, "by": "bob", "n": 2}, {"_id": 3, "by": "ann", "n": 3}])
    yield found
    client.close()


@pytest.fixture
def stub(asker: Asker, mongo: Mongo) -> Any:
    return asker.stub(member(mongo.port))


def got(handle: Any) -> Any:
    return handle.getwait(30, reraise=True).data


def everything(posts: Any) -> list[dict[str, Any]]:
    return list(posts.find({}, sort=[("_id", 1)]))


def test_finding(stub: Any, posts: Any) -> None:
    assert got(stub.findone("posts", {"by": "bob"})) == {
        "starting_from": 0,
        "number_returned": 1,
        "cursor_id": 0,
        "data": [{"_id": 2, "by": "bob", "n": 2}],
    }
    assert [each["_id"] for each in got(stub.findall("posts", {"by": "ann"})).data] == [1, 3]
    assert [each["_id"] for each in got(stub.find("posts", {}, 1, 5))["data"]] == [2, 3]
    assert [each["_id"] for each in got(stub.find("posts", {}))["data"]] == [1]
    assert [each["_id"] for each in got(stub.find("posts", None, 0, -1))["data"]] == [1, 2, 3]
    nothing = stub.findone("posts", {"by": "zoe"}).getwait()
    assert (nothing.status_code, nothing.data["data"], nothing.number_returned) == (200, [], 0)
    assert stub.findall("posts", {}).getwait().content == everything(posts)


def test_a_kept_cursor_gives_more(stub: Any, asker: Asker, mongo: Mongo, posts: Any) -> None:
    posts.insert_many([{"_id": number} for number in range(4, 11)])
    first = got(stub.findkc("posts", {}, 0, 4))
    assert first["cursor_id"] != 0
    assert [each["_id"] for each in first["data"]] == [1, 2, 3, 4]
    others = [stub.findone("posts", {}) for _ in range(10)]  # they use the client's sessions meanwhile
    assert all(got(each)["number_returned"] for each in others)
    second = got(stub.get_more("posts", first["cursor_id"], 3))
    assert [each["_id"] for each in second["data"]] == [5, 6, 7]
    last = got(stub.get_more("posts", second["cursor_id"], 100))
    assert ([each["_id"] for each in last["data"]], last["cursor_id"]) == ([8, 9, 10], 0)
    assert asker.stats()[where(mongo.port)]["cursors"] == 0
    over = stub.get_more("posts", first["cursor_id"], 3).getwait()
    assert (over.status_code, over.reason) == (500, f"there is no open cursor {first['cursor_id']}")


def test_cursors_can_be_closed(stub: Any, asker: Asker, mongo: Mongo, posts: Any) -> None:
    open_one = got(stub.findkc("posts", {}, 0, 1))["cursor_id"]
    assert got(stub.kill_cursors([open_one, 12345])) == {"killed": [open_one], "unknown": [12345]}
    assert stub.get_more("posts", open_one, 1).getwait().status_code == 500
    got(stub.findkc("posts", {}, 0, 1))
    asker.tick(later=700)
    assert asker.stats()[where(mongo.port)]["cursors"] == 0


def test_inserting(stub: Any, posts: Any) -> None:
    assert got(stub.insert("posts", {"_id": 4})) == {"inserted_ids": [4], "number_inserted": 1}
    assert got(stub.insert("posts", [{"_id": 5}, {"_id": 6}]))["number_inserted"] == 2
    assert got(stub.insert("posts", {"title": "no id"}))["inserted_ids"][0] is not None
    result = stub.insert("posts", [{"_id": 7}, {"_id": 1}, {"_id": 8}]).getwait()
    assert (result.status, result.status_code) == (Status.FAILED, 500)
    assert "E11000" in result.reason
    assert posts.count_documents({"_id": {"$in": [7, 8]}}) == 1
    assert stub.insert("posts", [{"_id": 9}, {"_id": 1}, {"_id": 10}], 1).getwait().status_code == 500
    assert posts.count_documents({"_id": {"$in": [9, 10]}}) == 2


def test_updating(stub: Any, posts: Any) -> None:
    assert got(stub.update("posts", {"by": "ann"}, {"$set": {"n": 0}})) == {"matched": 2, "modified": 2, "upserted_id": None}
    assert got(stub.updateone("posts", {"by": "ann"}, {"$inc": {"n": 5}}))["modified"] == 1
    assert got(stub.updateone("posts", {"by": "bob"}, {"by": "rob"}))["modified"] == 1
    assert everything(posts) == [{"_id": 1, "by": "ann", "n": 5}, {"_id": 2, "by": "rob"}, {"_id": 3, "by": "ann", "n": 0}]
    assert got(stub.update("posts", {"by": "zoe"}, {"$set": {"n": 0}})) == {"matched": 0, "modified": 0, "upserted_id": None}
    assert posts.count_documents({}) == 3
    wrong = stub.update("posts", {"by": "ann"}, {"by": "all of them"}).getwait()
    assert (wrong.status_code, wrong.reason) == (500, "update only works with $ operators")


def test_upserting(stub: Any, posts: Any) -> None:
    assert got(stub.upsert("posts", {"by": "ann"}, {"$set": {"n": 9}})) == {"matched": 2, "modified": 2, "upserted_id": None}
    assert got(stub.upsert("posts", {"_id": 4}, {"$set": {"n": 9}}))["upserted_id"] == 4
    assert got(stub.upsertone("posts", {"_id": 5}, {"by": "eve"}))["upserted_id"] == 5
    assert got(stub.upsertone("posts", {"_id": 5}, {"by": "eva"}))["modified"] == 1
    assert everything(posts)[3:] == [{"_id": 4, "n": 9}, {"_id": 5, "by": "eva"}]


def test_deleting(stub: Any, posts: Any) -> None:
    assert got(stub.delete("posts", {"by": "ann"}, 1)) == {"deleted": 1}
    assert got(stub.delete("posts", {"by": {"$in": ["ann", "bob"]}})) == {"deleted": 2}
    assert everything(posts) == []
    with pytest.raises(TypeError, match="a document is a dict"):
        stub.delete("posts", None)


def test_aggregating(stub: Any, posts: Any) -> None:
    pipeline = [{"$group": {"_id": "$by", "n": {"$sum": "$n"}}}, {"$sort": {"_id": 1}}]
    result = got(stub.aggregate("posts", pipeline))
    assert (result["data"], result["number_returned"]) == ([{"_id": "ann", "n": 4}, {"_id": "bob", "n": 2}], 2)


def test_an_error_is_a_result(stub: Any, posts: Any) -> None:
    handle = stub.insert("posts", {"_id": 1})
    result = handle.getwait()
    assert (result.status, result.status_code, result.data) == (Status.FAILED, 500, None)
    with pytest.raises(Failed) as raised:
        handle.wait()
    assert isinstance(raised.value.__cause__, pymongo.errors.BulkWriteError)
    assert stub.find("posts", {"$nonsense": 1}).getwait().status_code == 500
    assert stub.insert("posts", {"a": object()}).getwait().status_code == 500
    assert stub.aggregate("posts", [{"$nonsense": 1}]).getwait().status_code == 500
    assert got(stub.findone("posts", {"_id": 1}))["number_returned"] == 1


def test_coroutines_await_and_many_ask_at_once(stub: Any, posts: Any, asker: Asker) -> None:
    async def work() -> Any:
        handles = [stub.findone("posts", {"_id": number % 3 + 1}) for number in range(30)]
        return [(await each).data["data"][0]["_id"] for each in handles]

    assert asker.run(work()) == [number % 3 + 1 for number in range(30)]


# Faults


def test_a_server_that_was_started_again_is_asked_again(ask_with: Makes) -> None:
    asker = ask_with(backend_connect_s=1)
    with running(Mongo) as server:
        stub = asker.stub(member(server.port))
        assert got(stub.insert("posts", {"_id": 1}))["number_inserted"] == 1
        server.pause()
        running_now = stub.insert("posts", {"_id": 3})
        until(lambda: asker.stats()[where(server.port)]["running"] == 1, "it is asked")
        server.kill()
        assert running_now.getwait(30).status_code in (Code.REFUSED, Code.SLOW)
        gone = stub.findone("posts", {}).getwait()
        assert (gone.status, gone.status_code) == (Status.FAILED, Code.REFUSED)
        server.start()
        assert got(stub.findall("posts", {"_id": {"$ne": 3}}))["number_returned"] <= 1


def test_a_dead_idle_connection_is_replaced_unnoticed(asker: Asker, mongo: Mongo, relay: Makes, posts: Any) -> None:
    between: Relay = relay(mongo.port)
    stub = asker.stub(member(between.port))
    assert got(stub.findone("posts", {"_id": 1}))["number_returned"] == 1
    between.cut()
    assert got(stub.findone("posts", {"_id": 1}))["number_returned"] == 1


def test_the_deadline(asker: Asker, mongo: Mongo, relay: Makes, posts: Any) -> None:
    between: Relay = relay(mongo.port)
    stub = asker.stub(member(between.port))
    got(stub.findone("posts", {"_id": 1}))
    between.stall()
    begun = time.monotonic()
    result = stub.findone("posts", {"_id": 1}).getwait(0.3)
    assert (result.status, result.status_code) == (Status.TIMED_OUT, 730)
    limited = asker.stub(member(between.port), timeout=0.3).findone("posts", {"_id": 1}).getwait()
    assert (limited.status, limited.status_code) == (Status.TIMED_OUT, 730)
    assert time.monotonic() - begun < 20
    until(lambda: asker.stats()[where(between.port)]["running"] == 0, "nothing runs any more")
    between.go_on()
    assert got(stub.findone("posts", {"_id": 1}))["number_returned"] == 1


def test_nothing_leaks_when_requests_are_abandoned(asker: Asker, mongo: Mongo, relay: Makes, posts: Any) -> None:
    between: Relay = relay(mongo.port)
    stub = asker.stub(member(between.port))
    got(stub.findone("posts", {"_id": 1}))
    between.stall()
    handles = [stub.findone("posts", {"_id": 1}) for _ in range(20)]
    asker.call(lambda: None)
    for handle in handles:
        asker.abandon(handle)
    between.go_on()
    until(lambda: asker.stats()[where(between.port)]["running"] == 0, "nothing runs any more")
    assert [got(each)["data"][0]["_id"] for each in [stub.findone("posts", {"_id": n}) for n in (1, 2, 3)]] == [1, 2, 3]


@pytest.mark.parametrize(
    ("values", "code"),
    [({"host": "no-such-host.invalid"}, Code.NO_HOST), ({"user": "ann", "password": "x"}, Code.FAILED)],
)
def test_why_there_is_no_connection(asker: Asker, mongo: Mongo, values: Any, code: Code) -> None:
    result = asker.stub(member(mongo.port, **values)).findone("posts", {}).getwait(30)
    assert (result.status, result.status_code) == (Status.FAILED, code), result.reason


def test_nobody_listens(asker: Asker) -> None:
    result = asker.stub(member(free_port())).findone("posts", {}).getwait()
    assert result.status_code == Code.REFUSED


def test_connecting_has_a_time_of_its_own(ask_with: Makes, mongo: Mongo, relay: Makes) -> None:
    between: Relay = relay(mongo.port)
    between.stall()
    asker = ask_with(backend_connect_s=0.3)
    assert asker.stub(member(between.port)).findone("posts", {}).getwait(30).status_code == Code.SLOW
    assert asker.stub(member(between.port), timeout=0.1).findone("posts", {}).getwait().status_code == Code.TIMEOUT


def test_closing_ends_what_runs(asker: Asker, mongo: Mongo, relay: Makes, posts: Any) -> None:
    between: Relay = relay(mongo.port)
    stub = asker.stub(member(between.port))
    got(stub.findone("posts", {}))
    between.stall()
    waiting = stub.findone("posts", {})
    until(lambda: asker.stats()[where(between.port)]["running"] == 1, "it is asked")
    asker.run(asker.backends.close())
    assert waiting.getwait().status_code == Code.SHUTDOWN
    assert stub.findone("posts", {}).getwait().status_code == Code.SHUTDOWN


# Users and TLS


@pytest.fixture(scope="module")
def guarded(authority: Authority) -> Iterator[Mongo]:
    """A server with users, and TLS for "localhost"."""
    with running(Mongo) as server:
        client: Any = pymongo.MongoClient("127.0.0.1", server.port)
        client["admin"].command("createUser", "ann", pwd=PASSWORD, roles=["root"])
        client["desk"].command("createUser", "bob", pwd=PASSWORD, roles=["readWrite"])
        client.close()
        server.kill(15)
        certificate, key = authority.pair("localhost")
        server.auth = True
        server.certificate = ["--tls-cert-file", certificate, "--tls-key-file", key]
        server.start()
        yield server


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"user": "ann", "password": PASSWORD}, 200),
        ({"user": "bob", "password": PASSWORD}, 200),
        ({"user": "ann", "password": PASSWORD, "database": ""}, 200),
        ({"user": "ann", "password": PASSWORD, "host": "127.0.0.1", "verify": False}, 200),
        ({"user": "ann", "password": PASSWORD, "host": "127.0.0.1"}, Code.TLS),
        ({"user": "ann", "password": "wrong"}, Code.FAILED),
        ({"user": "eve", "password": PASSWORD}, Code.FAILED),
        ({}, 500),
    ],
)
def test_users_and_tls(ask_with: Makes, guarded: Mongo, trusted: Authority, values: dict[str, Any], code: int) -> None:
    asker = ask_with(backend_connect_s=2)
    result = (
        asker.stub(member(guarded.port, **{"host": "localhost", "secure": True} | values)).insert("posts", {}).getwait(30)
    )
    assert result.status_code == code, result.reason
    assert PASSWORD not in result.reason


def test_tls_of_somebody_unknown(ask_with: Makes, guarded: Mongo) -> None:
    asker = ask_with(backend_connect_s=2)
    result = asker.stub(member(guarded.port, host="localhost", secure=True)).findone("posts", {}).getwait(30)
    assert result.status_code == Code.TLS, result.reason
    with pytest.raises(BackendError):
        result.reraise()
