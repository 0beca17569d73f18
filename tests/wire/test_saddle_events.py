"""Events of Saddle apps: the server's own, those of apps, broadcasts among the apps of a worker, and their errors."""

from __future__ import annotations

import asyncio
import datetime
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from skitai import saddle as events
from skitai import was as general
from skitai.config.sections.running import Log
from skitai.log import journal
from skitai.saddle import Saddle
from skitai.saddle.events import Emitted
from tests.support.memory import Wire, mounted, wire

Serve = Callable[..., Wire]


@pytest.fixture
def app_log(tmp_path: Path) -> Iterator[Path]:
    journal.setup(Log(), str(tmp_path), console=False)
    yield tmp_path / "app.log"
    journal.setup(Log(), None, console=False)


@pytest.fixture
def app() -> Saddle:
    return Saddle(__name__)


def text(answer: tuple[int, dict[str, str], bytes]) -> str:
    assert answer[0] == 200, answer
    return answer[2].decode()


# What an app emits


def test_handlers_are_called_in_their_order_with_was_and_the_arguments(saddle: Serve, app: Saddle) -> None:
    heard: list[Any] = []

    @app.on("user-updated", "user-added")
    def first(was: Any, user: str, **more: Any) -> None:
        heard.append(("first", was.request.uri, user, more))

    @app.on("user-updated")
    def second(was: Any, user: str, age: int = 0) -> None:
        heard.append(("second", was.app is app, user, age))

    @app.route("/users")
    def users(was: Any) -> str:
        app.emit("user-updated", "hans", age=30)
        app.emit("user-added", "rosa")
        app.emit("nobody-cares")
        return str(len(heard))

    assert text(saddle(app).get("/users")) == "3"
    assert heard == [("first", "/users", "hans", {"age": 30}), ("second", True, "hans", 30), ("first", "/users", "rosa", {})]


def test_events_follow_one_another_by_emit_after(saddle: Serve, app: Saddle) -> None:
    heard: list[str] = []

    @app.on("photo-updated")
    def photo_updated(was: Any) -> None:
        heard.append("photo")

    @app.on("user-updated")
    @app.emit_after("photo-updated")
    def user_updated(was: Any) -> None:
        heard.append("user")

    @app.route("/<int:id>")
    @app.emit_after("user-updated")
    def users(was: Any, id: int, name: str = "?") -> str:
        if id == 0:
            raise LookupError("nobody")
        heard.append(f"request {id} {name}")
        return ""

    wire = saddle(app)
    assert wire.get("/7?name=rosa")[0] == 200
    assert heard == ["request 7 rosa", "user", "photo"]
    assert wire.get("/0")[0] == 500
    assert len(heard) == 3, "what fails emits nothing"


def test_coroutine_functions_hear_plain_ones_and_the_other_way_round(saddle: Serve, app: Saddle) -> None:
    heard: list[Any] = []
    done = threading.Event()

    @app.on("said")
    async def in_loop(was: Any, what: str) -> None:
        await asyncio.sleep(0.01)
        heard.append(("loop", what, was.request.uri, general.txnid() == was.txnid()))
        done.set()

    @app.on("said")
    def in_thread(was: Any, what: str) -> None:
        heard.append(("thread", what))

    @app.route("/plain")
    def plain(was: Any) -> str:
        app.emit("said", "plain")
        return ""

    @app.route("/waits")
    async def waits(was: Any) -> str:
        emitted = app.emit("said", "waits")
        assert isinstance(emitted, Emitted)
        before = len(heard)
        await emitted
        return f"{before} {len(heard)}"

    @app.route("/after")
    @app.emit_after("said-without")
    async def after(was: Any) -> str:
        return ""

    @app.on("said-without")
    async def said_without(was: Any) -> None:
        await asyncio.sleep(0)
        heard.append("without")

    wire = saddle(app)
    assert wire.get("/plain")[0] == 200
    assert done.wait(5)
    assert sorted(heard, key=str) == [("loop", "plain", "/plain", True), ("thread", "plain")]
    heard.clear()
    assert text(wire.get("/waits")) == "1 2"
    assert wire.get("/after")[0] == 200
    assert heard[-1] == "without"


def test_an_error_in_a_handler_is_logged_and_stops_nobody(saddle: Serve, app: Saddle, app_log: Path) -> None:
    heard = []

    @app.on("said")
    def broken(was: Any) -> None:
        raise LookupError("nothing there")

    @app.on("said")
    async def broken_too(was: Any) -> None:
        raise ArithmeticError("nothing here")

    @app.on("said")
    def sound(was: Any, unexpected: int = 0) -> None:
        heard.append("sound")

    @app.route("/")
    def index(was: Any) -> str:
        app.emit("said")
        app.emit("said", 1, 2, 3)
        return was.txnid()  # type: ignore[no-any-return]

    txn = text(saddle(app).get("/"))

    assert heard == ["sound"]
    log = app_log.read_text()
    assert f"[expt:{txn}]" in log
    assert "test_an_error_in_a_handler_is_logged_and_stops_nobody.<locals>.broken failed on 'said'" in log
    assert "<class 'LookupError'> nothing there" in log
    assert "sound() takes from 1 to 2 positional arguments" in log


@pytest.mark.parametrize("names", [(), ("",), (lambda was: None,)])
def test_names_of_events_are_text(app: Saddle, names: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match="takes names of events"):
        app.on(*names)


def test_was_emit_says_what_has_taken_its_place(saddle: Serve, app: Saddle) -> None:
    @app.route("/")
    def index(was: Any) -> str:
        with pytest.raises(AttributeError, match=r"superseded: app.emit\(\) is for one app, was.broadcast\(\) for all"):
            was.emit("said")
        return "told"

    assert text(saddle(app).get("/")) == "told"


def test_outside_of_requests_handlers_get_a_was_without_one(app: Saddle) -> None:
    heard = []

    @app.on("said")
    def plain(was: Any) -> None:
        with pytest.raises(RuntimeError, match="was.request belongs to a request"):
            _ = was.request
        heard.append(was.app)

    @app.on("said")
    async def coroutine(was: Any) -> None:
        heard.append(was.app)

    app.emit("said")

    assert heard == [app, app]


# The server's own events


def test_the_events_of_a_request_come_in_order(saddle: Serve, app: Saddle) -> None:
    heard: list[str] = []
    hook = {"said": heard.append}

    for event in ("request_starting", "request_success", "request_tearing_down", "request_finished"):
        name = getattr(events, event)
        app.on(name)(lambda was, name=name: heard.append(f"{name} {was.request.uri}"))
    app.on(events.request_failed)(lambda was, exc_info: heard.append(f"failed {exc_info[1]}"))
    app.before_request(lambda was: hook["said"]("before"))
    app.finish_request(lambda was: hook["said"]("finish"))
    app.failed_request(lambda was, exc_info: hook["said"]("failed hook"))
    app.teardown_request(lambda was: hook["said"]("teardown"))

    @app.route("/")
    def index(was: Any) -> str:
        heard.append("handler")
        return ""

    @app.route("/broken")
    def broken(was: Any) -> str:
        raise LookupError("broken")

    wire = saddle(app)
    assert wire.get("/")[0] == 200
    ends = ["request:teardown {0}", "teardown", "request:finished {0}"]
    begins = ["request:started {0}", "before"]
    wanted = [*begins, "handler", "request:success {0}", "finish", *ends]
    assert heard == [each.format("/") for each in wanted]
    heard.clear()
    assert wire.get("/broken")[0] == 500
    wanted = [*begins, "failed broken", "failed hook", *ends]
    assert heard == [each.format("/broken") for each in wanted]


def test_a_broken_handler_of_the_server_s_events_does_not_harm_the_request(
    saddle: Serve, app: Saddle, app_log: Path
) -> None:
    for event in (events.request_starting, events.request_success, events.request_tearing_down, events.request_finished):

        @app.on(event)
        async def broken(was: Any) -> None:
            raise LookupError("in the event")

    @app.route("/")
    def index(was: Any) -> str:
        return "fine"

    assert text(saddle(app).get("/")) == "fine"
    assert app_log.read_text().count("<class 'LookupError'> in the event") == 4


# Broadcasts among the apps of a worker


def test_all_apps_of_a_worker_hear_a_broadcast_with_the_very_arguments(engine: str, threads: int) -> None:
    users, photos, deaf = Saddle(__name__), Saddle(__name__), Saddle(__name__)
    heard: list[Any] = []
    said = object()

    @users.route("/users")
    def add(was: Any, name: str) -> str:
        was.g.name = name
        was.broadcast("user:added", said, when=datetime.date(2026, 11, 22))
        return " ".join(map(str, heard))

    @users.on_broadcast("user:added")
    def in_users(was: Any, what: Any, when: Any) -> None:
        heard.append((was.app is users, what is said, was.g.name, when.year))

    @photos.on_broadcast("user:added", "user:left")
    @photos.emit_after("photos:refreshed")
    def in_photos(was: Any, what: Any, when: Any) -> None:
        heard.append((was.app is photos, what is said, was.g.name, was.request.uri))

    @photos.on("photos:refreshed")
    def refreshed(was: Any) -> None:
        heard.append("refreshed")

    deaf.on("user:added")(lambda was, what, when: heard.append("the app's own events are others"))

    mounts = (mounted("/", users), mounted("/photos", photos), mounted("/deaf", deaf))
    with wire(*mounts, kind="saddle", engine=engine, threads=threads) as served:
        assert text(served.get("/users?name=rosa"))
        assert heard == [(True, True, "rosa", 2026), (True, True, "rosa", "/users?name=rosa"), "refreshed"]
    users.broadcast_after("user:added")
    heard.clear()
    photos.emit("photos:refreshed")
    assert heard == ["refreshed"]


def test_apps_that_were_taken_down_hear_nothing(app: Saddle) -> None:
    heard = []
    app.on_broadcast("said")(lambda was: heard.append("said"))
    other = Saddle(__name__)

    @other.route("/")
    @other.broadcast_after("said")
    def index(was: Any) -> str:
        return str(len(heard))

    with wire(mounted("/", other), mounted("/app", app), kind="saddle") as served:
        assert text(served.get("/")) == "0"
        assert heard == ["said"]
    with wire(mounted("/", other), kind="saddle") as served:
        assert text(served.get("/")) == "1"
        assert heard == ["said"]


def test_a_handler_of_a_broadcast_that_fails_is_logged_and_the_others_hear(
    saddle: Serve, app: Saddle, app_log: Path
) -> None:
    heard = []

    @app.on_broadcast("said")
    def broken(was: Any) -> None:
        raise LookupError("not understood")

    @app.on_signal("said")
    async def sound(was: Any) -> None:
        heard.append("sound")

    @app.route("/")
    async def index(was: Any) -> str:
        was.broadcast("said")
        await asyncio.sleep(0.01)
        return ",".join(heard)

    assert text(saddle(app).get("/")) == "sound"
    assert "broken failed on 'said'" in app_log.read_text()
