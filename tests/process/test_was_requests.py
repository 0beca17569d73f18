"""Requests to back-ends from every kind of app, in a real server."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from typing import Any

import pytest

import skitai
from tests.support.dialogue import eventually
from tests.support.ports import free_port
from tests.support.upstream import Upstream, upstream

pytestmark = pytest.mark.process

APP = """
import asyncio, json, os, time

import skitai
from flask import Flask
from fastapi import FastAPI
from skitai import was as services
from skitai.saddle import Saddle

saddle = Saddle(__name__)
flask = Flask(__name__)
fastapi = FastAPI()


@saddle.route("/ten")
def ten(was):
    began = time.monotonic()
    requests = [was.get("@upstream/slow/0.1") for _ in range(10)]
    statuses = [each.getwait().status_code for each in requests]
    return {"statuses": statuses, "took": time.monotonic() - began}


@saddle.route("/ten/async")
async def ten_async(was):
    began = time.monotonic()
    results = await asyncio.gather(*(was.get("@upstream/slow/0.1") for _ in range(10)))
    return {"statuses": [each.status_code for each in results], "took": time.monotonic() - began}


@saddle.route("/slow")
def slow(was):
    return was.get("@upstream/slow/1").getwait(5).data["path"]


@saddle.route("/fast")
def fast(was):
    return "fast"


@saddle.route("/chain")
def chain(was):
    first, second = was.get("@upstream/a"), was.get("@upstream/b")
    told = [each.getwait().data["fields"] for each in (first, second)]
    return {"txn": was.txnid(), "told": [[each["x-gtxn-id"], each["x-ltxn-id"], each["traceparent"]] for each in told]}


@saddle.route("/page")
def page(was):
    was.g.one, was.g.two = was.get("@upstream/text/one"), was.get("@upstream/text/two")
    return saddle.jinja_env.from_string(
        "{% set r = was.g.one.getwait() %}{{ r.status }} {{ r.text }} "
        "{{ was.g.two.getwait_or_throw('502 Bad Gateway').text }}"
    ).render(was=was)


@saddle.route("/thrown")
def thrown(was):
    was.g.dead = was.get("http://127.0.0.1:1/")
    return saddle.jinja_env.from_string(
        "{{ was.g.dead.getwait_or_throw('503 Service Unavailable').text }}"
    ).render(was=was)


@saddle.route("/rows")
def rows(was):
    sql = "select name, age from people where age > ? order by age"
    found = was.backend("@db").execute(sql, (20,)).getwait(reraise=True)
    return [[row.name, row["age"]] for row in found.data]


@saddle.route("/built")
def built(was):
    wanted = was.backend("@db").select("people").get("name").filter(age__gt=20).order_by("-age")
    return {"names": [row.name for row in wanted.execute().getwait(reraise=True).data]}


@saddle.route("/cached")
def cached(was):
    use = was.getlu("tables.people")
    result = was.backend("@db", use_cache=use).execute("select count(*) as number from people").getwait(cache=60)
    return {"number": result.data[0].number, "cached": result.is_cached}


@saddle.route("/fresh")
def fresh(was, refreshed):
    result = was.get("@upstream/fresh", use_cache=refreshed != "yes").getwait(2, cache=60)
    return {"told": result.content.decode(), "cached": result.is_cached}


@saddle.route("/add")
def add(was):
    was.backend("@db").execute("insert into people values (?, ?)", ("dan", 50)).wait()
    was.setlu("tables.people")
    return "added"


@saddle.route("/callback")
def callback(was):
    done = []
    request = was.get("@upstream/text/called", callback=(lambda result, more: done.append(result.text + more), ("!",)))
    while not done:
        time.sleep(0.01)
    return done[0]


@saddle.route("/state")
def state(was):
    return was.status(["backends", "workers"], fancy=False)


@flask.route("/")
def in_flask():
    from skitai import was

    return was.get("@upstream/text/flask").getwait(2).text


@fastapi.get("/")
async def in_fastapi():
    result = await services.get("@upstream/text/fastapi")
    return {"text": result.text}


@fastapi.get("/sync")
def in_a_thread():
    return {"text": services.get("@upstream/text/threads").getwait().text}


def plain(environ, start_response):
    result = services.post("@upstream/plain", {"a": 1}).getwait()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [result.data["body"].encode()]


if __name__ == "__main__":
    place, folder = os.environ["TEST_UPSTREAM"], os.environ["TEST_FOLDER"]
    skitai.alias("@upstream", skitai.PROTO_HTTP, place)
    skitai.alias("@db", skitai.DB_SQLITE3, os.path.join(folder, "people.db"))
    skitai.deflu("tables.people")
    skitai.mount("/", saddle)
    skitai.mount("/flask", flask)
    skitai.mount("/fastapi", fastapi)
    skitai.mount("/plain", plain)
    skitai.run(workers=1, threads=4, varpath=os.path.join(folder, "var"))
"""


@pytest.fixture(scope="module")
def other() -> Iterator[Upstream]:
    with upstream() as made:
        yield made


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, other: Upstream) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("requests")
    (folder / "app.py").write_text(textwrap.dedent(APP))
    database = sqlite3.connect(folder / "people.db")
    database.execute("create table people (name text, age integer)")
    database.executemany("insert into people values (?, ?)", [("ann", 30), ("bob", 10), ("cid", 40)])
    database.commit()
    database.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEST_UPSTREAM", other.place)
        patch.setenv("TEST_FOLDER", str(folder))
        with skitai.launch(str(folder / "app.py"), port=free_port()) as made:
            yield made


@pytest.mark.parametrize("path", ["/ten", "/ten/async"])
def test_ten_answers_take_the_time_of_one(server: Any, path: str) -> None:
    server.get(path)  # connections are open now
    answers = [server.get(path).json() for _ in range(3)]
    assert all(answer["statuses"] == [200] * 10 for answer in answers)
    assert min(answer["took"] for answer in answers) < 10 * 0.1


def test_slow_back_ends_do_not_keep_others_waiting(server: Any) -> None:
    def ask(_: int) -> bytes:
        connection = HTTPConnection("127.0.0.1", server.port, timeout=20)
        connection.request("GET", "/slow")
        data = connection.getresponse().read()
        connection.close()
        return data

    with ThreadPoolExecutor(12) as pool:
        began = time.monotonic()
        slow = [pool.submit(ask, number) for number in range(12)]
        time.sleep(0.1)
        assert server.get("/fast").text == "fast"
        assert not all(each.done() for each in slow), "four threads wait, and eight stand-ins, and one more serves"
        assert [each.result() for each in slow] == [b"/slow/1"] * 12
        assert time.monotonic() - began < 12


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/flask/", "flask"),
        ("/fastapi/", '{"text":"fastapi"}'),
        ("/fastapi/sync", '{"text":"threads"}'),
        ("/plain", "a=1"),
        ("/page", "3 one two"),
        ("/callback", "called!"),
    ],
)
def test_every_kind_of_app_may_ask(server: Any, path: str, text: str) -> None:
    assert server.get(path).text == text


def test_a_template_may_throw(server: Any) -> None:
    assert server.get("/thrown").status_code == 503


def test_transaction_ids_are_handed_on(server: Any) -> None:
    answer = server.get("/chain", headers={"X-Gtxn-Id": "mine-1", "X-Ltxn-Id": "1001"}).json()
    assert answer["txn"] == "mine-1/2001"
    assert [told[:2] for told in answer["told"]] == [["mine-1", "2002"], ["mine-1", "2003"]]
    (one, two) = (told[2].split("-") for told in answer["told"])
    assert (one[0], len(one[1]), len(one[2]), one[3]) == ("00", 32, 16, "01")
    assert one[1] == two[1]
    assert one[2] != two[2]


def test_databases_are_asked_by_their_aliases(server: Any) -> None:
    assert server.get("/rows").json() == [["ann", 30], ["cid", 40]]
    assert server.get("/built").json() == {"names": ["cid", "ann"]}


def test_a_result_is_kept_until_its_model_changes(server: Any) -> None:
    before = server.get("/cached").json()
    assert not before["cached"]
    assert server.get("/cached").json() == {"number": before["number"], "cached": True}
    assert server.get("/add").text == "added"
    assert server.get("/cached").json() == {"number": before["number"] + 1, "cached": False}


def test_a_fresh_result_takes_the_place_of_the_one_that_is_kept(server: Any) -> None:
    def ask(refreshed: str) -> Any:
        return server.get(f"/fresh?refreshed={refreshed}").json()

    first, second = ask("no"), ask("no")
    assert (second["cached"], second["told"]) == (True, first["told"])
    fresh, after = ask("yes"), ask("no")
    assert (fresh["cached"], fresh["told"] == first["told"]) == (False, False)
    assert (after["cached"], after["told"]) == (True, fresh["told"])


FORKED = """
import os, sys
from skitai.was import was

assert was.get(sys.argv[1]).getwait().text == "parent"
child = os.fork()
if child == 0:
    os._exit(was.get(sys.argv[2]).getwait().text != "child")
assert os.waitpid(child, 0)[1] == 0
assert was.get(sys.argv[1]).getwait().text == "parent"
"""


def test_a_forked_process_asks_for_itself(other: Upstream) -> None:
    urls = f"{other.url}/text/parent", f"{other.url}/text/child"
    subprocess.run([sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKED, *urls], check=True, timeout=60)


SCRIPT = """
import sys
import skitai
from skitai import was
from skitai.saddle import Saddle

skitai.alias("@upstream", skitai.PROTO_HTTP, sys.argv[1])
skitai.set_backend_keep_alive(7)
assert was.get("@upstream/text/one").getwait().text == "one"
skitai.alias("@later", skitai.PROTO_HTTP, sys.argv[1], timeout=0.1)
assert was.get("@later/slow/5").getwait().status_code == 730
try:
    was.get("@other/")
except KeyError as error:
    assert "@upstream, @later" in str(error)
skitai.alias("@files", skitai.DB_SQLITE3, ":memory:")
assert was.backend("@files").execute("select 1 as one").getwait().data[0].one == 1

app = Saddle(__name__)

@app.route("/")
def front(was):
    return was.get("@upstream/text/two").getwait().text + was.get("@latest/text/three").getwait().text

with app.make_client() as client:
    skitai.alias("@latest", skitai.PROTO_HTTP, sys.argv[1])
    assert client.get("/").text == "twothree"
assert was.get("@latest/text/four").getwait().text == "four"
from skitai.was import process
assert process.backends().home.config.backends.backend_keep_alive == 7
skitai.alias("@upstream", skitai.PROTO_HTTP, "other")
try:
    was.get("@unknown/")
except skitai.errors.ConfigError as error:
    assert "there is another @upstream already" in str(error)
else:
    raise AssertionError
"""


def test_a_script_has_aliases_without_a_server(other: Upstream) -> None:
    subprocess.run([sys.executable, "-W", "ignore::DeprecationWarning", "-c", SCRIPT, other.place], check=True, timeout=60)


def test_the_state_tells_of_connections(server: Any) -> None:
    server.get("/ten")
    state = server.get("/state").json()["backends"]
    assert state["clusters"]["@upstream"][0]["running"] == 0
    assert "HttpDriver" in state["drivers"]


def test_the_scoreboard_tells_of_requests_to_back_ends(server: Any) -> None:
    server.get("/ten")

    def counted() -> bool:
        told = server.get("/state").json()
        (row,) = [each for each in told["workers"] if each["requests"]]
        return (
            row["asked"] >= 10 and not row["asking"] and 1 <= row["backend_connections"] == told["backends"]["connections"]
        )

    eventually(counted, "the row has what the worker knows")
