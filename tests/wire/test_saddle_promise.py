"""Responses that are made while back-ends answer."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from skitai.backend.result import Result
from skitai.saddle import Promise, Saddle, Was
from tests.support.memory import Wire, wait_for
from tests.support.upstream import Upstream, upstream

Serve = Callable[..., Wire]


@pytest.fixture(scope="module")
def server() -> Iterator[Upstream]:
    with upstream() as made:
        yield made


@pytest.fixture
def app(tmp_path: Path) -> Saddle:
    return Saddle(__name__)


def test_pieces_are_sent_as_answers_come(saddle: Serve, app: Saddle, server: Upstream) -> None:
    def handler(promise: Promise, response: Result) -> None:
        promise.send(f"{response.id}={response.data.decode()};")
        if promise.fulfilled():
            promise.settle("end")

    @app.route("/")
    def page(was: Was) -> Any:
        promise = was.promise(handler, "<", ">")
        for name in "abc":
            promise.get(name, f"{server.url}/text/{name.upper()}")
        assert (len(promise), promise.pending(), promise.fulfilled()) == (3, True, False)
        return promise

    status, fields, body = saddle(app).get("/")
    assert (status, fields["content-type"], fields["transfer-encoding"]) == (200, "text/html; charset=utf-8", "chunked")
    text = body.decode()
    assert (text[0], text[-4:]) == ("<", "end>")
    assert sorted(text[1:-4].strip(";").split(";")) == ["a=A", "b=B", "c=C"]


def test_no_thread_waits_meanwhile(saddle: Serve, app: Saddle, server: Upstream) -> None:
    def handler(promise: Promise, response: Result) -> None:
        promise.settle(str(response.status_code))

    @app.route("/")
    def page(was: Was) -> Any:
        promise = was.promise(handler)
        promise.get("slow", f"{server.url}/slow/0.4")
        return promise

    wire = saddle(app)
    clients = [wire.connect() for _ in range(10)]
    began = time.monotonic()
    for client in clients:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert [client.response()[2] for client in clients] == [b"200"] * 10
    assert time.monotonic() - began < 10 * 0.4


def test_the_response_may_have_status_and_fields_of_its_own(saddle: Serve, app: Saddle, server: Upstream) -> None:
    def handler(promise: Promise, response: Result) -> None:
        promise.send(f"{response.meta['made']} {response.id!r} ")
        promise.settle()

    @app.route("/")
    def page(was: Was) -> Any:
        promise = was.promise(handler)
        promise.get(None, server.url, meta={"made": "now"})
        return was.response("201 Created", promise, [("Content-Type", "text/plain")])

    status, fields, body = saddle(app).get("/")
    assert (status, fields["content-type"], body) == (201, "text/plain", b"now '' ")


def test_values_are_kept_for_templates(saddle: Serve, app: Saddle, server: Upstream, tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "each.html").write_text("[{{ r.text }}]")
    (tmp_path / "templates" / "final.html").write_text("{{ title }}: {{ one }} {{ was.request.method }}")
    app.home = str(tmp_path)

    def handler(promise: Promise, response: Result) -> None:
        promise[response.id] = promise.render("each.html", r=response)
        assert response.id in promise
        promise.set("title", promise["title"].upper())
        promise.settle(promise.render("final.html"))

    @app.route("/")
    def page(was: Was) -> Any:
        promise = was.promise(handler, title="both")
        promise.get("one", f"{server.url}/text/hi")
        return promise

    assert saddle(app).get("/")[2] == b"BOTH: [hi] GET"


def test_what_a_template_has_made_stands_in_another_as_it_is(
    saddle: Serve, app: Saddle, server: Upstream, tmp_path: Path
) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "each.html").write_text("<b>{{ text }}</b>")
    (tmp_path / "templates" / "final.html").write_text("{{ one }} {{ plain }} {{ joined }}")
    app.home = str(tmp_path)

    def handler(promise: Promise, response: Result) -> None:
        promise["one"] = promise.render("each.html", text="<i>" + response.text)
        promise["joined"] = promise["one"] + "<hr>"
        promise.send(promise["one"] + "<hr>" + promise["one"] + "\n")
        promise.settle(promise.render("final.html"))

    @app.route("/")
    def page(was: Was) -> Any:
        promise = was.promise(handler, plain="<u>")
        promise.get("one", f"{server.url}/text/hi")
        return promise

    sent, page_ = saddle(app).get("/")[2].split(b"\n")
    assert sent == b"<b>&lt;i&gt;hi</b><hr><b>&lt;i&gt;hi</b>"
    assert page_ == b"<b>&lt;i&gt;hi</b> &lt;u&gt; &lt;b&gt;&amp;lt;i&amp;gt;hi&lt;/b&gt;&lt;hr&gt;"


def test_databases_answer_to_templates_of_the_app(saddle: Serve, app: Saddle, tmp_path: Path) -> None:
    (tmp_path / "sqlmaps").mkdir()
    (tmp_path / "sqlmaps" / "default.sql").write_text('<sql name="twice">\nSELECT {number} * 2 AS found\n</sql>\n')
    app.home = str(tmp_path)
    app.setup_sqlphile("sqlite3")

    def handler(promise: Promise, response: Result) -> None:
        promise.settle(str(response.data[0].found if response.data else response.reason))

    @app.route("/")
    def page(was: Was) -> Any:
        promise = was.promise(handler)
        promise.sqlite3("rows", str(tmp_path / "some.db")).twice(number=21).execute()
        return promise

    assert saddle(app).get("/")[2] == b"42"


def test_values_become_json(saddle: Serve, app: Saddle, server: Upstream) -> None:
    def handler(promise: Promise, response: Result) -> None:
        stats = promise["stats"]
        stats["path"] = response.data["path"]
        promise.settle(promise.response.API(stats))

    @app.route("/")
    def page(was: Was) -> Any:
        promise = was.promise(handler, stats={"total": 100})
        promise.postjson("query", f"{server.url}/x", {"a": 1})
        return promise

    assert json.loads(saddle(app).get("/")[2]) == {"total": 100, "path": "/x"}


def test_requests_may_follow_answers(saddle: Serve, app: Saddle, server: Upstream) -> None:
    def handler(promise: Promise, response: Result) -> None:
        if response.id == "first":
            promise.get("second", f"{server.url}/text/{response.data.decode()}-two")
            assert promise.pending()
            assert not promise.fulfilled()
        else:
            promise.settle(response.data)

    @app.route("/")
    def page(was: Was) -> Any:
        promise = was.promise(handler)
        promise.get("first", f"{server.url}/text/one")
        return promise

    assert saddle(app).get("/")[2] == b"one-two"


def test_answers_that_come_early_wait_until_all_requests_are_made(saddle: Serve, app: Saddle, server: Upstream) -> None:
    seen: list[bool] = []

    def handler(promise: Promise, response: Result) -> None:
        seen.append(promise.fulfilled())
        if promise.fulfilled():
            promise.settle(str(len(promise)))

    @app.route("/")
    def page(was: Was) -> Any:
        promise = was.promise(handler)
        promise.get("a", f"{server.url}/text/a")
        time.sleep(0.3)
        promise.get("b", f"{server.url}/text/b")
        return promise

    assert saddle(app).get("/")[2] == b"2"
    assert seen == [False, True]


def test_what_is_rejected_hears_no_more(saddle: Serve, app: Saddle, server: Upstream) -> None:
    heard: list[str] = []

    def handler(promise: Promise, response: Result) -> None:
        heard.append(response.id)
        promise.reject("enough")
        assert promise.rejected()
        assert not promise.settled()

    @app.route("/")
    def page(was: Was) -> Any:
        promise = was.promise(handler)
        for name in "abc":
            promise.get(name, f"{server.url}/text/{name}")
        return promise

    assert saddle(app).get("/")[2] == b"enough"
    time.sleep(0.1)
    assert len(heard) == 1


def test_a_coroutine_function_handles_answers_in_the_loop(saddle: Serve, app: Saddle, server: Upstream) -> None:
    threads: set[str] = set()

    async def handler(promise: Promise, response: Result) -> None:
        threads.add(threading.current_thread().name)
        more = await promise.app_was.get(f"{server.url}/text/more")
        promise.send(response.data + more.data)
        if promise.fulfilled():
            promise.settle()

    @app.route("/")
    def page(was: Was) -> Any:
        promise = was.promise(handler)
        promise.app_was = was
        promise.get("a", f"{server.url}/text/a")
        promise.get("b", f"{server.url}/text/b")
        return promise

    body = saddle(app).get("/")[2]
    assert body in (b"amorebmore", b"bmoreamore")
    assert len(threads) == 1
    assert not next(iter(threads)).startswith("app-")


def test_without_threads_nobody_else_may_wait(saddle: Serve, app: Saddle, server: Upstream, threads: int) -> None:
    @app.route("/wait")
    def wait(was: Was) -> Any:
        return was.get(server.url).getwait().data

    assert saddle(app).get("/wait")[0] == (200 if threads else 500)


def test_a_failing_request_is_an_answer(saddle: Serve, app: Saddle) -> None:
    def handler(promise: Promise, response: Result) -> None:
        promise.settle(f"{response.status} {response.status_code}")

    @app.route("/")
    def page(was: Was) -> Any:
        promise = was.promise(handler)
        promise.get("dead", "http://127.0.0.1:1/")
        return promise

    assert saddle(app).get("/")[2] == b"2 701"


# What goes wrong


def test_an_error_before_the_first_piece_is_a_500(saddle: Serve, app: Saddle, server: Upstream) -> None:
    def handler(promise: Promise, response: Result) -> None:
        raise LookupError("nothing here")

    @app.route("/")
    def page(was: Was) -> Any:
        promise = was.promise(handler)
        promise.get("a", server.url)
        return promise

    status, _, body = saddle(app).get("/")
    assert status == 500
    assert b"nothing here" not in body


def test_an_error_behind_it_ends_the_connection(saddle: Serve, app: Saddle, server: Upstream) -> None:
    def handler(promise: Promise, response: Result) -> None:
        promise.send("begun")
        raise LookupError("nothing here")

    @app.route("/")
    def page(was: Was) -> Any:
        promise = was.promise(handler)
        promise.get("a", server.url)
        return promise

    client = saddle(app).connect()
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert not client.read().endswith(b"0\r\n\r\n")


def test_one_that_nobody_settles_ends_all_the_same(
    saddle: Serve, app: Saddle, server: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    @app.route("/")
    def page(was: Was) -> Any:
        promise = was.promise(lambda promise, response: promise.send(response.id))
        promise.get("a", server.url)
        return promise

    @app.route("/none")
    def none(was: Was) -> Any:
        return was.promise(lambda promise, response: None, "only this")

    wire = saddle(app)
    assert wire.get("/")[2] == b"a"
    assert wire.get("/none")[2] == b"only this"


def test_what_cannot_be_asked_or_said_is_an_error(saddle: Serve, app: Saddle, server: Upstream) -> None:
    said: list[str] = []

    def handler(promise: Promise, response: Result) -> None:
        promise.settle("done")
        for late in (promise.settle, promise.reject, lambda: promise.send("x")):
            try:
                late()
            except RuntimeError as error:
                said.append(str(error))

    @app.route("/")
    def page(was: Was) -> Any:
        promise = was.promise(handler)
        with pytest.raises(ValueError, match="not for promises"):
            promise.get("a", server.url, callback=print)
        with pytest.raises(ValueError, match=r"\.map"):
            promise.get.map  # noqa: B018
        with pytest.raises(KeyError, match="no alias"):
            promise.get("a", "@any/")
        with pytest.raises(TypeError, match="wants a function"):
            was.promise("handler")  # type: ignore[arg-type]
        promise.get("a", server.url)
        return promise

    assert saddle(app).get("/")[2] == b"done"
    wait_for(lambda: len(said) == 3)  # the answer leaves before its handler ends


def test_a_client_that_leaves_takes_its_requests_along(saddle: Serve, app: Saddle, server: Upstream) -> None:
    made: list[Promise] = []

    @app.route("/")
    def page(was: Was) -> Any:
        promise = was.promise(lambda promise, response: promise.settle("late"), "begun")
        promise.get("slow", f"{server.url}/slow/5")
        made.append(promise)
        return promise

    client = saddle(app).connect()
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    client.until(b"begun")
    client.close()
    wait_for(lambda: made[0]._tasks[0].done)
    assert made[0].rejected()
