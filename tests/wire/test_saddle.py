"""Saddle apps through real connections: the way of a request from its route to its answer."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from skitai import was as general
from skitai.config.pref import Preference
from skitai.errors import LoadError
from skitai.saddle import Saddle, Was
from tests.support.memory import Wire, mounted, wait_for, wire

Serve = Callable[..., Wire]


@pytest.fixture
def app() -> Saddle:
    return Saddle(__name__)


def ask(server: Wire, method: str, target: str = "/", body: bytes = b"", **fields: str) -> tuple[int, dict[str, str], bytes]:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    if body:
        lines += f"Content-Length: {len(body)}\r\n"
    return server.ask(f"{method} {target} HTTP/1.1\r\nHost: example\r\n{lines}\r\n".encode() + body)


# Answers


def test_a_route_answers(saddle: Serve, app: Saddle) -> None:
    @app.route("/")
    def index(was: Was) -> str:
        return "Hello"

    status, fields, body = saddle(app).get("/")
    assert (status, body) == (200, b"Hello")
    assert fields["content-type"] == "text/html; charset=utf-8"


def test_below_a_mount_point_paths_and_urls_are_the_apps_own(saddle: Serve, app: Saddle) -> None:
    @app.route("/page/<name>")
    def page(was: Was, name: str) -> str:
        return f"{name} {was.ab('page', 'other')} {was.env['SCRIPT_NAME']} {was.env['PATH_INFO']}"

    server = saddle(app, "/my site/")
    assert server.get("/my%20site/page/one")[2] == b"one /my%20site/page/other /my site /page/one"
    assert server.get("/page/one")[0] == 404


def test_an_app_that_is_mounted_twice_builds_the_urls_of_each_mount(app: Saddle) -> None:
    mounted_once: list[str] = []

    @app.mounted
    def note(was: Was) -> None:
        mounted_once.append(was.ab("index"))

    @app.route("/")
    def index(was: Was) -> str:
        was.cookie["a"] = "b"
        return was.ab("index")

    with wire(mounted("/one/", app), mounted("/two/", app), kind="saddle") as server:
        for point in ("/one", "/two"):
            _, fields, body = server.get(f"{point}/")
            assert body.decode() == f"{point}/"
            assert f"path={point}" in fields["set-cookie"]
    assert mounted_once == ["/one/"]


def test_a_missing_slash_is_put_right_with_the_query(saddle: Serve, app: Saddle) -> None:
    @app.route("/list/")
    def all_of_them(was: Was) -> str:
        return "all"

    server = saddle(app, "/app/")
    status, fields, _ = server.get("/app/list?page=2")
    assert (status, fields["location"]) == (301, "/app/list/?page=2")
    assert ask(server, "POST", "/app/list", b"x")[0] == 308


def test_what_no_route_takes_gets_the_status_that_says_so(saddle: Serve, app: Saddle) -> None:
    @app.route("/", methods=["GET"])
    def index(was: Was) -> str:
        return "x"

    @app.route("/xml", content_types=["text/xml"])
    def xml(was: Was) -> str:
        return was.request.body

    @app.route("/number/<int:id>")
    def number(was: Was, id: int, more: str) -> int:
        return id

    server = saddle(app)
    status, fields, _ = ask(server, "POST", "/", b"x")
    assert (status, fields["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert ask(server, "POST", "/xml", b"x", Content_Type="text/plain")[0] == 415
    assert ask(server, "POST", "/xml", b"<a/>", Content_Type="text/xml; charset=utf-8")[::2] == (200, b"<a/>")
    assert server.get("/nowhere")[0] == 404
    assert server.get("/number/x?more=1")[0] == 404
    status, _, body = server.get("/number/1?moer=1", Accept="application/json")
    assert status == 400
    assert b"'more': it is missing" in body and b"'moer': it is unknown" in body
    assert server.get("/number/7?more=1")[::2] == (200, b"7")


def test_options_are_answered_and_do_not_reach_the_route(saddle: Serve, app: Saddle) -> None:
    @app.route("/", methods=["GET", "POST"])
    def index(was: Was) -> str:
        return "x"

    status, fields, body = ask(saddle(app), "OPTIONS")
    assert (status, fields["allow"], body) == (204, "GET, HEAD, POST, OPTIONS", b"")


def test_a_foreign_origin_is_refused_and_an_allowed_one_may_read_the_answer_even_of_an_error(
    saddle: Serve, app: Saddle
) -> None:
    app.access_control_allow_origin = ["https://friend.example"]

    @app.route("/")
    def index(was: Was) -> str:
        raise was.response.throw("402 Payment Required", "a coin")

    server = saddle(app)
    assert server.get("/", Origin="https://evil.example")[0] == 403
    status, fields, _ = server.get("/", Origin="https://friend.example")
    assert (status, fields["access-control-allow-origin"]) == (402, "https://friend.example")


@pytest.mark.parametrize("kind", ["text", "pieces", "async pieces", "file"])
def test_head_is_answered_wherever_get_is_without_a_body(saddle: Serve, app: Saddle, kind: str, tmp_path: Path) -> None:
    closed: list[str] = []

    def pieces() -> Iterator[str]:
        yield "never"

    async def async_pieces() -> AsyncIterator[str]:
        yield "never"

    file = tmp_path / "file"
    file.write_text("12345")
    contents = {"text": lambda: "12345", "pieces": pieces, "async pieces": async_pieces, "file": lambda: file.open("rb")}

    @app.route("/", methods=["GET"])
    def index(was: Was) -> Any:
        return contents[kind]()

    @app.teardown_request
    def teardown(was: Was) -> None:
        closed.append(was.request.method)

    client = saddle(app).connect()
    for _ in range(2):
        status, fields, body = client.ask(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (status, body) == (200, b"")
        assert fields.get("content-length", "5") == "5"
    assert closed == ["HEAD", "HEAD"]


# Where functions run


def test_a_coroutine_function_runs_in_the_loop(saddle: Serve, app: Saddle) -> None:
    @app.route("/")
    async def index(was: Was, name: str = "nobody") -> str:
        await asyncio.sleep(0)
        return f"{name} {threading.current_thread().name}"

    server = saddle(app)
    loop = server.on_loop(lambda: threading.current_thread().name)
    assert server.get("/?name=me")[2].decode() == f"me {loop}"


def test_each_function_runs_where_it_belongs_and_was_is_the_same_everywhere(
    saddle: Serve, app: Saddle, threads: int
) -> None:
    places: list[tuple[str, str]] = []

    def note(was: Was) -> None:
        places.append((threading.current_thread().name[:4], general.request.uri))
        was.g.count = was.g.get("count", 0) + 1

    @app.before_request
    async def before(was: Was) -> None:
        await asyncio.sleep(0)
        note(was)

    @app.finish_request
    async def finish(was: Was) -> None:
        note(was)

    app.teardown_request(note)

    @app.route("/plain")
    def plain(was: Was) -> str:
        note(was)
        return str(was.g.count)

    @app.route("/coroutine")
    async def coroutine(was: Was) -> str:
        note(was)
        return str(was.g.count)

    server = saddle(app)
    loop = server.on_loop(lambda: threading.current_thread().name)[:4]
    thread = "app-" if threads else loop
    assert server.get("/plain")[2] == server.get("/coroutine")[2] == b"2"
    assert places == [
        *((each, "/plain") for each in (loop, thread, loop, thread)),
        *((each, "/coroutine") for each in (loop, loop, loop, thread)),
    ]


def test_many_requests_wait_in_coroutines_at_once(app: Saddle) -> None:
    together = 20
    waiting: list[asyncio.Event] = []

    @app.route("/")
    async def index(was: Was) -> str:
        mine = asyncio.Event()
        waiting.append(mine)
        if len(waiting) == together:
            for each in waiting:
                each.set()
        await mine.wait()
        return "together"

    with wire(mounted("/", app), kind="saddle", threads=1) as server:
        clients = [server.connect() for _ in range(together)]
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert [client.response()[2] for client in clients] == [b"together"] * together


def test_requests_that_do_not_end_are_cancelled_with_the_worker_and_torn_down(app: Saddle, threads: int) -> None:
    said: list[str] = []

    @app.route("/")
    async def index(was: Was) -> str:
        said.append("begun")
        try:
            await asyncio.sleep(60)
        finally:
            said.append("cancelled")
        return ""

    @app.teardown_request
    def teardown(was: Was) -> None:
        said.append("torn down")

    with wire(mounted("/", app), kind="saddle", threads=threads, grace_s=0.1) as server:
        server.connect().send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_for(lambda: said == ["begun"])
    assert said == ["begun", "cancelled", "torn down"]


# Streams


def pieces_of(total: int, note: Callable[[str], None]) -> Iterator[bytes]:
    try:
        for _ in range(total):
            yield b"x" * 65536
    finally:
        note("closed")


async def async_pieces_of(total: int, note: Callable[[str], None]) -> AsyncIterator[bytes]:
    try:
        for _ in range(total):
            yield b"x" * 65536
    finally:
        note("closed")


@pytest.mark.parametrize("source", [pieces_of, async_pieces_of])
@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "coroutine"])
def test_a_slow_client_parks_the_stream_and_gets_it_all(app: Saddle, source: Any, engine: str, is_async: bool) -> None:
    notes: list[str] = []

    def stream(was: Was) -> Any:
        return source(100, notes.append)

    async def stream_of_coroutine(was: Was) -> Any:
        return source(100, notes.append)

    app.route("/stream")(stream_of_coroutine if is_async else stream)

    @app.route("/")
    def index(was: Was) -> str:
        return "meanwhile"

    with wire(mounted("/", app), kind="saddle", engine=engine, threads=1) as server:
        slow = server.connect()
        slow.send(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(0.05)
        assert server.get("/")[2] == b"meanwhile"  # the only thread does not wait for the client
        assert notes == []
        assert len(slow.response()[2]) == 100 * 65536
        wait_for(lambda: notes == ["closed"])


@pytest.mark.parametrize("source", [pieces_of, async_pieces_of])
def test_a_stream_whose_client_leaves_is_closed(saddle: Serve, app: Saddle, source: Any) -> None:
    notes: list[str] = []

    @app.route("/")
    def stream(was: Was) -> Any:
        return source(1000, notes.append)

    client = saddle(app).connect()
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    client.until(b"xxxx")
    client.close()
    wait_for(lambda: notes == ["closed"])


def test_a_stream_that_waits_for_something_else_is_closed_when_its_client_leaves(saddle: Serve, app: Saddle) -> None:
    notes: list[str] = []

    @app.route("/")
    async def news(was: Was) -> AsyncIterator[str]:
        async def pieces() -> AsyncIterator[str]:
            try:
                yield "first"
                await asyncio.sleep(60)
            finally:
                notes.append("closed")

        return pieces()

    server = saddle(app)
    client = server.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    client.until(b"first")
    client.close()
    wait_for(lambda: notes == ["closed"])


def test_was_is_there_while_the_pieces_are_made(saddle: Serve, app: Saddle) -> None:
    @app.route("/")
    def stream(was: Was) -> Iterator[str]:
        def pieces() -> Iterator[str]:
            yield was.request.uri
            yield general.request.uri

        return pieces()

    assert saddle(app).get("/?a=1")[2] == b"/?a=1/?a=1"


@pytest.mark.parametrize("is_async", [False, True])
def test_a_stream_that_fails_first_is_a_500_and_later_an_aborted_connection(
    saddle: Serve, app: Saddle, is_async: bool
) -> None:
    def early() -> Iterator[str]:
        raise ValueError("early")
        yield ""

    def late() -> Iterator[str]:
        yield "some"
        raise ValueError("late")

    async def as_async(pieces: Iterator[str]) -> AsyncIterator[str]:
        for each in pieces:
            yield each

    @app.route("/<when>")
    def stream(was: Was, when: str) -> Any:
        made = early() if when == "early" else late()
        return as_async(made) if is_async else made

    server = saddle(app)
    assert server.get("/early")[0] == 500
    client = server.connect()
    client.send(b"GET /late HTTP/1.1\r\nHost: a\r\n\r\n")
    assert not client.read().endswith(b"0\r\n\r\n")


# Errors


def test_an_apps_error_is_a_500_whose_traceback_only_debug_shows(saddle: Serve, app: Saddle) -> None:
    @app.route("/")
    def index(was: Was) -> str:
        raise LookupError("a secret")

    @app.route("/none")
    def none(was: Was) -> None:
        pass

    server = saddle(app)
    status, _, body = server.get("/")
    assert status == 500 and b"secret" not in body
    assert server.get("/none")[0] == 500


def test_under_debug_it_is_shown_as_a_page_and_as_json(app: Saddle) -> None:
    app.debug = True

    @app.route("/")
    def index(was: Was) -> str:
        raise LookupError("shown")

    with Debug(app) as server:
        assert b"LookupError: shown" in server.get("/")[2]
        assert b'"debug": "see traceback"' in server.get("/", Accept="application/json")[2]


class Debug:
    """Serves an app under debug, as `loading` reports it."""

    def __init__(self, app: Saddle) -> None:
        self._wire = wire(mounted("/", app), kind="saddle")

    def __enter__(self) -> Wire:
        server = self._wire.__enter__()
        for route in server.services.pipeline.site.routes:
            route.debug = True
        return server

    def __exit__(self, *_: object) -> None:
        self._wire.__exit__(None, None, None)


def test_leaving_the_interpreter_is_an_error_like_others(saddle: Serve, app: Saddle) -> None:
    torn: list[bool] = []

    @app.route("/")
    def index(was: Was) -> str:
        raise SystemExit(3)

    @app.route("/coroutine")
    async def coroutine(was: Was) -> str:
        raise SystemExit(3)

    @app.teardown_request
    def teardown(was: Was) -> None:
        torn.append(True)

    server = saddle(app)
    assert server.get("/")[0] == server.get("/coroutine")[0] == server.get("/")[0] == 500
    assert len(torn) == 3


# Bodies and limits


def test_a_body_is_whole_before_the_function_is_called(saddle: Serve, app: Saddle) -> None:
    @app.route("/")
    def index(was: Was) -> str:
        return f"{was.request.method} {len(was.request.body)}"

    @app.route("/coroutine")
    async def coroutine(was: Was, a: list[str], b: str) -> Any:
        return {"a": a, "b": b}

    server = saddle(app)
    assert ask(server, "POST", "/", b"x" * 500_000)[2] == b"POST 500000"
    form = b"a=1&a=2&b=3"
    got = ask(server, "POST", "/coroutine", form, Content_Type="application/x-www-form-urlencoded")
    assert got[2] == b'{"a":["1","2"],"b":"3"}'


def test_broken_json_is_the_clients_fault_and_a_raw_body_is_always_readable(saddle: Serve, app: Saddle) -> None:
    @app.route("/keys")
    def keys(was: Was, a: int) -> Any:
        return a

    @app.route("/raw")
    def raw(was: Was) -> Any:
        return was.request.body

    server = saddle(app)
    for body, kind, status in [
        (b'{"a": 1}', "application/json", 200),
        (b'{"a": ', "application/json", 400),
        (b"[1]", "application/json", 400),
        (b"a", "text/plain", 415),
    ]:
        assert ask(server, "POST", "/keys", body, Content_Type=kind)[0] == status, (body, kind)
        assert ask(server, "POST", "/raw", body, Content_Type=kind)[::2] == (200, body)


@pytest.mark.parametrize("size", [1000, 500_000], ids=["in memory", "in a file"])
def test_bodies_that_nobody_reads_are_let_go(saddle: Serve, app: Saddle, size: int) -> None:
    @app.route("/unread")
    def unread(was: Was) -> str:
        return "x"

    @app.route("/coroutine")
    async def coroutine(was: Was) -> str:
        return "x"

    @app.route("/list/")
    def all_of_them(was: Was) -> str:
        return "x"

    server = saddle(app)
    for target, status in [("/unread", 200), ("/coroutine", 200), ("/list", 308), ("/nowhere", 404)]:
        assert ask(server, "POST", target, b"x" * size)[0] == status
    wait_for(lambda: server.services.body_bytes == 0)


def test_limits_of_the_app_bound_its_requests(saddle: Serve, app: Saddle) -> None:
    app.max_client_body_size = 1000

    @app.route("/")
    def index(was: Was) -> str:
        return str(len(was.request.body))

    server = saddle(app)
    assert ask(server, "POST", "/", b"x" * 1000)[::2] == (200, b"1000")
    assert ask(server, "POST", "/", b"x" * 1001)[0] == 413


def test_limits_that_the_app_leaves_alone_are_the_servers(saddle: Serve, app: Saddle) -> None:
    @app.route("/")
    def index(was: Was) -> str:
        return str(was.app.config.max_post_body_size)

    server = saddle(app, max_post_body_size=100)
    assert server.get("/")[2] == b"100"
    assert ask(server, "POST", "/", b"x" * 101)[0] == 413


def test_a_limit_that_is_no_size_keeps_the_app_from_being_served(app: Saddle) -> None:
    app.config.max_post_body_size = "much"
    with pytest.raises(LoadError, match="max_post_body_size: 'much' is not a size"), wire(mounted("/", app), kind="saddle"):
        pass


def test_a_limit_in_the_preferences_wins_over_the_servers(app: Saddle) -> None:
    preferred = Preference()
    preferred.config["max_post_body_size"] = app.config["max_post_body_size"] = 5 << 20
    with wire(mounted("/", app, pref=preferred), kind="saddle", max_post_body_size=100) as server:
        assert server.get("/nowhere")[0] == 404
    assert app.config.max_post_body_size == 5 << 20


def test_a_hook_may_set_the_limits(saddle: Serve, app: Saddle) -> None:
    @app.before_mount
    def before(wac: Any) -> None:
        app.max_client_body_size = 10

    @app.route("/")
    def index(was: Was) -> str:
        return ""

    assert ask(saddle(app), "POST", "/", b"x" * 11)[0] == 413


# One request and the next


def test_nothing_of_one_request_is_seen_by_the_next(saddle: Serve, app: Saddle) -> None:
    app.securekey = "s" * 32
    seen: list[Any] = []

    @app.route("/")
    def index(was: Was) -> str:
        seen.append((was.g.get("mine"), getattr(was, "mine", None), was.response.get_headers(), dict(was.session)))
        was.g.mine = was.mine = "mine"
        was.session["mine"] = "mine"
        was.cookie["mine"] = "mine"
        was.response.set_header("X-Mine", "mine")
        if "fail" in was.request.args:
            raise ValueError("on purpose")
        return "ok"

    client = saddle(app).connect()
    for target in ("/", "/?fail=1", "/", "/"):
        status, fields, _ = client.ask(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert status == (500 if "fail" in target else 200)
        assert ("set-cookie" in fields) == ("x-mine" in fields) == ("fail" not in target)
    assert seen == [(None, None, [], {})] * 4


def test_an_answered_request_is_freed_at_once(app: Saddle, threads: int) -> None:
    alive: list[weakref.ref[Was]] = []

    def note(was: Was) -> str:
        alive.append(weakref.ref(was))
        was.response.set_header("X-A", "b")
        was.g.was = 1
        return was.request.uri

    @app.route("/")
    def index(was: Was) -> Any:
        return note(was)

    @app.route("/stream")
    def stream(was: Was) -> Any:
        note(was)
        return iter([b"a", b"b"])

    @app.route("/news")
    def news(was: Was) -> Any:
        async def pieces() -> AsyncIterator[str]:
            yield note(was)

        return pieces()

    @app.route("/coroutine")
    async def coroutine(was: Was) -> Any:
        return note(was)

    @app.route("/broken")
    def broken(was: Was) -> Any:
        note(was)
        raise ValueError("on purpose")

    @app.error_handler(404)
    def missing(was: Was, error: Any) -> Any:
        return note(was)

    with wire(mounted("/", app), kind="saddle", threads=threads) as server:
        gc.collect()
        gc.disable()
        logging.disable()  # for pytest keeps what is logged, and with it the frames of a traceback
        try:
            client = server.connect()
            for target in ("/", "/stream", "/news", "/coroutine", "/broken", "/nowhere", "/") * 3:
                client.ask(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            wait_for(lambda: sum(each() is not None for each in alive) <= 1)
        finally:
            logging.disable(logging.NOTSET)
            gc.enable()


# The general was


def test_the_general_was_reaches_the_same_members(saddle: Serve, app: Saddle) -> None:
    @app.route("/")
    def index(was: Was) -> str:
        general.mine = 1
        assert was.mine == 1 and general.request is was.request and general.g is was.g and general.app is app
        assert was.txnid() == general.txnid() == f"{was.gtxid}/{was.ltxid}"
        assert "mine" in dir(general) and "session" in dir(general)
        del general.mine
        assert not hasattr(was, "mine") and not hasattr(general, "nothing")
        return was.txnid()

    assert saddle(app).get("/", X_Gtxn_Id="g")[2] == b"g/1000"


def test_was_that_is_handed_to_a_thread_still_knows_its_request(saddle: Serve, app: Saddle) -> None:
    @app.route("/")
    def index(was: Was) -> str:
        found: list[str] = []

        def work() -> None:
            was.log("from elsewhere")
            found.append(was.txnid())

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert general.env["PATH_INFO"] == was.env["PATH_INFO"]
        return found[0]

    assert saddle(app).get("/", X_Gtxn_Id="g")[2] == b"g/1000"


def test_without_a_request_its_members_say_so(app: Saddle) -> None:
    was = Was(app)
    assert was.app is app
    was.g.free = 1
    for name in ("request", "response", "cookie", "session", "mbox", "env"):
        with pytest.raises(RuntimeError, match=rf"was.{name} belongs to a request|was.request belongs"):
            getattr(was, name)
