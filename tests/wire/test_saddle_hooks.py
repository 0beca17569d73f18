"""What runs around a handler, in which order, and what becomes of errors on the way."""

from __future__ import annotations

import asyncio
import functools
import json
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from skitai.saddle import Saddle, Was, request_failed
from tests.support.memory import Wire

Serve = Callable[..., Wire]


@pytest.fixture
def app() -> Saddle:
    return Saddle(__name__)


@pytest.fixture
def said(app: Saddle) -> list[str]:
    """What the hooks and the handlers of the app said. The handler's are "/", "/broken" and "/coroutine"."""
    said: list[str] = []

    @app.before_request
    def before(was: Was) -> Any:
        said.append("before")
        if "stop" in was.request.args:
            return was.response("401 Unauthorized", "stopped")
        if "break" in was.request.args:
            raise LookupError("before")
        return None

    @app.finish_request
    def finish(was: Was) -> None:
        said.append("finish")
        was.response.set_header("X-Finished", "yes")

    @app.failed_request
    def failed(was: Was, exc_info: Any) -> Any:
        kind, error, trace = exc_info
        assert kind is type(error) and trace is error.__traceback__
        said.append(f"failed {error}")
        return "repaired" if "repair" in was.request.args else None

    @app.teardown_request
    def teardown(was: Was) -> None:
        said.append("teardown")

    @app.route("/")
    def index(was: Was, **more: str) -> str:
        said.append("handler")
        return "content"

    @app.route("/coroutine")
    async def coroutine(was: Was, **more: str) -> str:
        said.append("handler")
        return "content"

    @app.route("/broken")
    def broken(was: Was, **more: str) -> str:
        said.append("handler")
        raise ValueError("broken")

    @app.route("/none")
    def none(was: Was) -> None:
        said.append("handler")

    return said


@pytest.mark.parametrize(
    ("target", "status", "answer", "order"),
    [
        ("/", 200, b"content", ["before", "handler", "finish", "teardown"]),
        ("/coroutine", 200, b"content", ["before", "handler", "finish", "teardown"]),
        ("/?stop=1", 401, b"stopped", ["before", "teardown"]),
        ("/?break=1", 500, None, ["before", "failed before", "teardown"]),
        ("/broken", 500, None, ["before", "handler", "failed broken", "teardown"]),
        ("/broken?repair=1", 200, b"repaired", ["before", "handler", "failed broken", "teardown"]),
        (
            "/none",
            500,
            None,
            ["before", "handler", "failed none() returned None; return '' for an empty response", "teardown"],
        ),
        ("/nowhere", 404, None, []),
    ],
)
def test_the_order_of_hooks(
    saddle: Serve, app: Saddle, said: list[str], target: str, status: int, answer: bytes | None, order: list[str]
) -> None:
    got, fields, body = saddle(app).get(target)
    assert (got, said) == (status, order)
    assert answer in (None, body)
    assert ("x-finished" in fields) == ("finish" in order)


def test_arguments_that_do_not_fit_are_a_failure_of_the_request(saddle: Serve, app: Saddle, said: list[str]) -> None:
    @app.route("/number")
    def number(was: Was, a: int) -> int:
        return a

    assert saddle(app).get("/number?a=x")[0] == 400
    assert [each.partition(":")[0] for each in said] == ["before", "failed argument 'a'", "teardown"]


@pytest.mark.parametrize("is_async", [False, True])
def test_what_handles_a_failure_knows_the_error_as_in_an_except_block(saddle: Serve, app: Saddle, is_async: bool) -> None:
    seen: list[Any] = []

    @app.on(request_failed)
    def hear(was: Was, exc_info: Any) -> None:
        seen.append(sys.exception())

    def failed(was: Was, exc_info: Any) -> Any:
        seen.append(sys.exception())
        assert sys.exc_info() == exc_info
        return was.response.Fault("500 Internal Server Error", "oh", 7, traceback=True)

    async def failed_async(was: Was, exc_info: Any) -> Any:
        return failed(was, exc_info)

    app.failed_request(failed_async if is_async else failed)

    @app.route("/")
    def index(was: Was) -> str:
        raise LookupError("broken")

    status, _, body = saddle(app).get("/")
    assert (status, [str(each) for each in seen]) == (500, ["broken", "broken"])
    told = json.loads(body)["traceback"]
    assert told[0] == "broken" and "function index" in told[1]
    assert not any("_call_handling" in line for line in told)


def test_errors_of_hooks_are_errors_of_the_request_and_teardown_runs_all_the_same(saddle: Serve, app: Saddle) -> None:
    torn: list[str] = []

    @app.finish_request
    def finish(was: Was) -> None:
        raise ValueError("finish")

    @app.failed_request
    async def failed(was: Was, exc_info: Any) -> None:
        raise ValueError("failed")

    @app.teardown_request
    def teardown(was: Was) -> None:
        torn.append(was.request.uri)

    @app.route("/")
    def index(was: Was) -> str:
        return "x"

    @app.route("/broken")
    def broken(was: Was) -> str:
        raise ValueError("broken")

    server = saddle(app)
    assert server.get("/")[0] == server.get("/broken")[0] == 500
    assert torn == ["/", "/broken"]


def test_an_error_in_teardown_is_a_500(saddle: Serve, app: Saddle) -> None:
    @app.teardown_request
    def teardown(was: Was) -> None:
        raise ValueError("teardown")

    @app.route("/")
    def index(was: Was) -> str:
        return "x"

    assert saddle(app).get("/")[0] == 500


def test_what_a_request_set_is_dropped_with_its_error(saddle: Serve, app: Saddle) -> None:
    @app.route("/")
    def index(was: Was) -> str:
        was.response.set_status("201 Created")
        was.response.set_header("Content-Type", "image/png")
        was.cookie["a"] = "b"
        raise ValueError("on purpose")

    status, fields, _ = saddle(app).get("/")
    assert (status, fields["content-type"]) == (500, "text/html; charset=utf-8")
    assert "set-cookie" not in fields


# Error handlers


def test_error_handlers_make_the_pages_of_every_error_in_the_app(saddle: Serve, app: Saddle) -> None:
    @app.error_handler(404)
    def missing(was: Was, error: Any) -> str:
        return f"{error.code} {error['message']}|{error.detail}|{error.url}|{error.traceback}"

    @app.default_error_handler
    async def others(was: Was, error: Any) -> dict[str, Any]:
        assert error.time.endswith("GMT")
        return {"code": error.code, "detail": error.detail}

    @app.route("/thrown")
    def thrown(was: Was) -> str:
        was.response.throw("503 On Holiday", "come back later")

    @app.route("/explained")
    def explained(was: Was) -> Any:
        return was.response.with_explain("404 Not Found", "no such book", [("X-Shelf", "3")])

    @app.route("/returned", methods=["GET"])
    def returned(was: Was) -> Any:
        return was.response("409 Conflict")

    @app.route("/broken")
    def broken(was: Was) -> str:
        raise ValueError("a secret")

    server = saddle(app)
    assert server.get("/nowhere?a=1")[::2] == (404, b"404 Not Found||/nowhere?a=1|None")
    status, fields, body = server.get("/explained")
    assert (status, fields["x-shelf"], body) == (404, "3", b"404 Not Found|no such book|/explained|None")
    client = server.connect()
    client.send(b"GET /thrown HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.until(b"\r\n") == b"HTTP/1.1 503 On Holiday\r\n"
    assert client.until(b"}").endswith(b'{"code":503,"detail":"come back later"}')
    assert server.get("/returned")[::2] == (409, b'{"code":409,"detail":""}')
    assert server.get("/broken")[::2] == (500, b'{"code":500,"detail":""}')
    status, fields, body = server.ask(b"POST /returned HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    assert (status, fields["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert b'"code":405' in body


def test_an_error_handler_knows_the_error_as_in_an_except_block(saddle: Serve, app: Saddle) -> None:
    @app.default_error_handler
    def others(was: Was, error: Any) -> str:
        return repr(sys.exception())

    @app.route("/")
    def index(was: Was) -> str:
        raise LookupError("broken")

    server = saddle(app)
    assert server.get("/")[::2] == (500, b"LookupError('broken')")
    assert server.get("/nowhere")[::2] == (404, b"None")


def test_an_error_handler_may_set_another_status(saddle: Serve, app: Saddle) -> None:
    @app.default_error_handler
    def gone(was: Was, error: Any) -> Any:
        return was.response("410 Gone", "long ago")

    assert saddle(app).get("/nowhere")[::2] == (410, b"long ago")


def test_an_error_handler_that_fails_leaves_the_servers_page(saddle: Serve, app: Saddle) -> None:
    @app.default_error_handler
    def broken(was: Was, error: Any) -> Any:
        raise ValueError("on purpose")

    status, _, body = saddle(app).get("/nowhere")
    assert status == 500
    assert b"<h1" in body


def test_an_error_page_that_is_returned_keeps_what_the_request_set(saddle: Serve, app: Saddle) -> None:
    app.securekey = "s" * 32

    @app.route("/")
    def index(was: Was) -> Any:
        was.session["tries"] = 1
        was.response.set_header("X-Tries", "1")
        return was.response("403 Forbidden")

    status, fields, _ = saddle(app).get("/")
    assert (status, fields["x-tries"]) == (403, "1")
    assert fields["set-cookie"].startswith("sdlsess_=")


def test_handlers_of_statuses_that_are_no_errors_are_refused(app: Saddle) -> None:
    for code in (200, 399, 600, "404"):
        with pytest.raises(ValueError, match="from 400 to 599"):
            app.error_handler(code)(lambda was, error: "")  # type: ignore[arg-type]


# Guards of one handler


def test_run_before_and_run_after(saddle: Serve, app: Saddle) -> None:
    said: list[str] = []

    def first(was: Was) -> None:
        said.append("first")

    def second(was: Was) -> Any:
        said.append("second")
        return "stopped" if "stop" in was.request.args else None

    def last(was: Was) -> str:
        said.append("last")
        return "ignored"

    @app.route("/<name>")
    @app.run_before(first, second)
    @app.run_after(last)
    def index(was: Was, name: str, **more: str) -> str:
        said.append(name)
        return "content"

    server = saddle(app)
    assert server.get("/me")[2] == b"content"
    assert said == ["first", "second", "me", "last"]
    said.clear()
    assert server.get("/me?stop=1")[2] == b"stopped"
    assert said == ["first", "second"]


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_guards_jobs_and_handlers_of_either_kind_run_where_they_belong(
    saddle: Serve, app: Saddle, threads: int, kind: str
) -> None:
    places: dict[str, str] = {}

    def note(name: str) -> None:
        places[name] = threading.current_thread().name[:4]

    async def guard(was: Was) -> Any:
        note("coroutine")
        await asyncio.sleep(0)
        return was.response("403 Forbidden", "no") if "stop" in was.request.args else None

    def other_guard(was: Was) -> None:
        note("plain")

    async def job(was: Was) -> None:
        was.response.set_header("X-Job", "done")

    def plain(was: Was) -> str:
        note("handler")
        return "content"

    async def coroutine(was: Was) -> str:
        note("handler")
        return "content"

    handler = plain if kind == "plain" else coroutine
    app.route("/")(app.run_before(other_guard)(app.run_before(guard)(app.run_after(job)(handler))))
    server = saddle(app)
    status, fields, body = server.get("/")
    assert (status, fields["x-job"], body) == (200, "done", b"content")
    loop = server.on_loop(lambda: threading.current_thread().name)[:4]
    thread = "app-" if threads else loop
    assert places == {"coroutine": loop, "plain": thread, "handler": thread if kind == "plain" else loop}
    assert server.get("/?stop=1")[::2] == (403, b"no")


def test_another_decorator_over_one_of_ours_is_not_passed_by(saddle: Serve, app: Saddle) -> None:
    def shout(function: Callable[..., str]) -> Callable[..., str]:
        @functools.wraps(function)
        def wrapper(was: Was, *args: Any, **kwargs: Any) -> str:
            return function(was, *args, **kwargs).upper()

        return wrapper

    @app.route("/")
    @shout
    @app.run_before(lambda was: "stopped" if "stop" in was.request.args else None)
    def index(was: Was, name: str = "content") -> str:
        return name

    server = saddle(app)
    assert server.get("/?name=me")[2] == b"ME"
    assert server.get("/?stop=1")[0] == 400  # the handler does not take it, and nothing is passed by


def test_a_guarded_function_may_be_called_directly(app: Saddle) -> None:
    said: list[str] = []

    async def guard(was: Was) -> None:
        said.append("guard")

    @app.run_before(lambda was: said.append("plain guard"))
    @app.run_after(lambda was: said.append("job"))
    def index(was: Was, a: int) -> int:
        return a

    @app.run_before(guard)
    def other(was: Was, a: int) -> int:
        return a

    was = Was(app)
    assert index(was, a=1) == 1
    assert asyncio.run(other(was, 2)) == 2  # type: ignore[arg-type]
    assert said == ["plain guard", "job", "guard"]


def test_guards_that_cannot_be_called_are_refused_at_once(app: Saddle) -> None:
    def index(was: Was) -> str:
        return ""

    with pytest.raises(TypeError, match="'no' is no function to call before or after it"):
        app.run_after("no")(index)  # type: ignore[arg-type]


def test_of_two_hooks_the_later_counts_and_the_log_says_so(app: Saddle, caplog: pytest.LogCaptureFixture) -> None:
    @app.before_request
    def one(was: Was) -> None: ...

    @app.before_request
    def two(was: Was) -> None: ...

    assert "two takes the place of" in caplog.text
    assert app._hooks.before is not None and app._hooks.before.function is two
