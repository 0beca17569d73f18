"""What outlives a request in a Saddle app: hooks of its life, what apps share by `wac`, storage and locks."""

from __future__ import annotations

import asyncio
import base64
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from skitai import was as general
from skitai.config.sections.running import Log
from skitai.errors import LoadError
from skitai.ipc.bus import Bus
from skitai.ipc.inboxes import Inboxes
from skitai.ipc.lastupdate import Table
from skitai.ipc.link import Child, Link
from skitai.ipc.rundir import Places
from skitai.ipc.scoreboard import Scoreboard
from skitai.log import journal
from skitai.saddle import Saddle, Was
from skitai.saddle.wac import wac
from tests.support.memory import Wire, make_config, mounted, wire

Serve = Callable[..., Wire]


@pytest.fixture(autouse=True)
def app_log(tmp_path: Path) -> Iterator[Path]:
    journal.setup(Log(), str(tmp_path), console=False)
    yield tmp_path / "app.log"
    journal.setup(Log(), None, console=False)


@pytest.fixture
def app() -> Saddle:
    return Saddle(__name__)


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Child]:
    row = Scoreboard.create().row(0)
    ours, theirs = Link.pair()
    places = Places(str(tmp_path), str(tmp_path), console=False)
    child = Child(
        make_config(threads=7), [], 0, 1, row, Table.create(["news"], 1000.0), theirs, places, Bus(Inboxes([]), row)
    )
    general.attach(child)
    yield child
    general.attach(None)
    ours.close()
    theirs.close()


def text(answer: tuple[int, dict[str, str], bytes]) -> str:
    assert answer[0] == 200, answer
    return answer[2].decode()


# Hooks


def test_hooks_run_where_no_loop_does_or_in_the_loop(saddle: Serve, app: Saddle) -> None:
    said: list[str] = []

    @app.before_mount
    def before_mount(wac: Any) -> None:
        asyncio.run(asyncio.sleep(0))
        said.append("before_mount")

    @app.mounted
    async def mounted(was: Was) -> None:
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match=r"was.request belongs to a request, .* \(a hook outside of requests\)"):
            _ = was.request
        said.append(f"mounted {was.app.basepath}")

    @app.mounted_or_reloaded
    def mounted_or_reloaded(was: Was) -> None:
        said.append("mounted_or_reloaded")

    saddle(app, "/there/")

    assert said == ["before_mount", "mounted /there/", "mounted_or_reloaded"]


def test_errors_in_hooks_are_logged_and_the_app_is_mounted(saddle: Serve, app: Saddle, app_log: Path) -> None:
    said: list[str] = []

    @app.before_mount
    def before_mount(wac: Any) -> None:
        raise LookupError("one")

    @app.mounted
    async def mounted(was: Was) -> None:
        raise SystemExit("two")

    @app.mounted_or_reloaded
    def mounted_or_reloaded() -> None:
        said.append("does not take was")

    app.route("/")(lambda was: "served")

    assert text(saddle(app).get("/")) == "served"
    log = app_log.read_text()
    assert "before_mount of the app at /: <class 'LookupError'> one" in log
    assert "mounted of the app at /: <class 'SystemExit'> two" in log
    assert "mounted_or_reloaded of the app at /: <class 'TypeError'>" in log


def test_the_last_hook_of_a_kind_counts_and_a_line_says_so(saddle: Serve, app: Saddle, app_log: Path) -> None:
    said: list[str] = []

    @app.mounted
    def first(was: Was) -> None:
        said.append("first")

    @app.mounted
    def second(was: Was) -> None:
        said.append("second")

    saddle(app)

    assert said == ["second"]
    assert "mounted: tests.wire" in app_log.read_text()


def test_an_app_that_is_mounted_twice_lives_once(engine: str, threads: int, app: Saddle) -> None:
    said: list[str] = []
    app.before_mount(lambda wac: said.append("before_mount"))
    app.before_umount(lambda was: said.append("before_umount"))
    app.umounted(lambda wac: said.append("umounted"))
    app.route("/")(lambda was: "served")

    with wire(mounted("/a", app), mounted("/b", app), kind="saddle", engine=engine, threads=threads) as served:
        assert text(served.get("/a/")) == text(served.get("/b/")) == "served"
        assert said == ["before_mount"]
    assert said == ["before_mount", "before_umount", "umounted"]


def test_a_hook_that_does_not_end_is_left_behind(app: Saddle, app_log: Path) -> None:
    @app.before_umount
    async def before_umount(was: Was) -> None:
        await asyncio.sleep(600)

    with wire(mounted("/", app), kind="saddle") as served:
        served.services.leave_by = 0.0
    assert "it was not taken down in time" in app_log.read_text()


# What apps share


def test_what_is_registered_is_on_was_of_every_app(engine: str, threads: int) -> None:
    first, second = Saddle(__name__), Saddle(__name__)
    searcher = object()

    @first.before_mount
    def before_mount(wac: Any) -> None:
        wac.register("searcher", searcher)
        assert wac.searcher is searcher

    @second.mounted
    def second_mounted(was: Was) -> None:
        second.storage["early"] = was.searcher

    @second.route("/")
    def index(was: Was) -> str:
        assert was.searcher is general.searcher is searcher
        assert second.storage["early"] is searcher
        return "found"

    @first.umounted
    def umounted(wac: Any) -> None:
        wac.unregister("searcher")

    apps = (mounted("/", first), mounted("/second", second))
    with wire(*apps, kind="saddle", engine=engine, threads=threads) as served:
        assert text(served.get("/second/")) == "found"
        assert general.searcher is searcher, "outside of requests, too"
    with pytest.raises(AttributeError, match="wac has no 'searcher'"):
        _ = wac.searcher


@pytest.mark.parametrize("name", ["request", "log", "app", "register", "logger", "config", "_private", "no name", "setlu"])
def test_names_that_are_taken_cannot_be_registered(name: str) -> None:
    with pytest.raises(AttributeError):
        wac.register(name, object())


def test_a_name_is_registered_once() -> None:
    wac.register("engine", 1)
    try:
        with pytest.raises(AttributeError, match="was.engine is taken"):
            wac.register("engine", 2)
        assert wac.engine == 1
    finally:
        wac.unregister("engine")
    wac.unregister("engine")


def test_wac_knows_the_configuration(worker: Child) -> None:
    assert wac.config is worker.config
    assert wac.numthreads == 7
    with pytest.raises(AttributeError):
        wac.config.server.threads = 1  # type: ignore[misc]


def test_logs_of_one_s_own(worker: Child, tmp_path: Path, app_log: Path) -> None:
    login = wac.logger.make_logger("login", "monthly")
    login("somebody came", "warn")
    login.log("somebody left")
    try:
        raise LookupError("nobody")
    except LookupError:
        wac.logger.get("login").trace("T1")
    wac.logger.get("app").log("of the app", "error")

    lines = (tmp_path / "login.log").read_text().splitlines()
    assert [line[20:] for line in lines[:2]] == ["[warn] somebody came", "[info] somebody left"]
    assert "[expt:T1] <class 'LookupError'> nobody" in lines[2]
    assert (tmp_path / ".login.monthly").exists()
    assert "[error] of the app" in app_log.read_text()


def test_without_log_files_it_goes_to_the_app_s_log(app_log: Path) -> None:
    wac.logger.make_logger("login").log("somebody came")
    assert "[info] [login] somebody came" in app_log.read_text()


def test_logs_that_cannot_be(worker: Child) -> None:
    with pytest.raises(ValueError, match="there is no log 'nowhere'"):
        wac.logger.get("nowhere")
    with pytest.raises(ValueError, match="daily, weekly, monthly, not 'hourly'"):
        wac.logger.make_logger("login", "hourly")
    for name in ("app", "server", "request", "../login", "", "a/b"):
        with pytest.raises(ValueError, match="cannot be the name of a log"):
            wac.logger.make_logger(name)


def test_apps_of_other_kinds_broadcast_too(saddle: Serve, app: Saddle) -> None:
    said: list[Any] = []
    app.on_broadcast("said")(lambda was, *args: said.append(args))
    app.on_broadcast("gone")(lambda was: sys.exit("no reason to leave"))
    saddle(app)

    general.broadcast("said", 1, 2)
    general.broadcast("gone")

    assert said == [(1, 2)]


# Storage and locks


def test_storage_keeps_things_from_one_request_to_the_next(saddle: Serve, app: Saddle) -> None:
    @app.route("/")
    def index(was: Was) -> str:
        count = int(was.app.storage.get("count", 0)) + 1
        was.app.storage.set("count", count)
        return str(count)

    wire = saddle(app)
    assert [text(wire.get("/")) for _ in range(3)] == ["1", "2", "3"]
    storage = app.storage
    storage["other"] = 1
    assert (sorted(storage), len(storage), "count" in storage) == (["count", "other"], 2, True)
    storage.remove("count")
    storage.remove("count")
    del storage["other"]
    assert dict(storage) == {}
    with pytest.raises(KeyError):
        _ = storage["count"]


def test_both_locks_may_be_taken_again_by_their_thread(app: Saddle) -> None:
    for lock in (app.lock, app.plock):
        with lock, lock:
            taken: list[bool] = []
            thread = threading.Thread(target=lambda lock=lock, taken=taken: taken.append(lock.acquire(blocking=False)))
            thread.start()
            thread.join()
            assert taken == [False]


def test_in_a_worker_the_process_lock_is_for_all_of_them(app: Saddle, worker: Child) -> None:
    assert app.plock._fd == worker.table.memory.fd
    assert app.plock._offset != Saddle("tests.support.memory").plock._offset


# Modules


def test_a_module_that_is_named_decorates_when_the_app_starts(saddle: Serve, app: Saddle) -> None:
    accounts: Any = ModuleType("accounts")

    def decorate(app: Saddle) -> None:
        @app.route("/secret")
        def secret(was: Was) -> str:
            return "secret"

        @app.route("/open", authenticate=False)
        def open_to_all(was: Was) -> str:
            return f"{was.ab(secret)} {was.ab('accounts.open_to_all')} {accounts.__options__['word']}"

    accounts.decorate = decorate
    app.users = {"rosa": "pass"}
    app.decorate_with(accounts, mount="/accounts", ns="accounts", authenticate="basic", word="hello")

    wire = saddle(app, "/shop")

    assert wire.get("/shop/accounts/secret")[0] == 401
    assert text(wire.get("/shop/accounts/open")) == "/shop/accounts/secret /shop/accounts/open hello"
    credentials = base64.b64encode(b"rosa:pass").decode()
    assert text(wire.get("/shop/accounts/secret", Authorization=f"Basic {credentials}")) == "secret"


def test_a_module_may_take_its_time_to_let_go_but_not_to_decorate(app: Saddle) -> None:
    said: list[str] = []
    module: Any = ModuleType("module")
    module.decorate = lambda app: None

    async def dettach(app: Saddle) -> None:
        await asyncio.sleep(0)
        said.append("let go")

    module.dettach = dettach
    app.decorate_with(module)
    with wire(mounted("/", app), kind="saddle"):
        assert said == []
    assert said == ["let go"]

    other = Saddle(__name__)
    module.decorate = dettach
    other.decorate_with(module)
    with pytest.raises(LoadError, match="it is a coroutine function"):
        other.decorate()
    assert said == ["let go", "let go"]


def test_a_module_that_cannot_decorate_is_an_app_that_does_not_load(app: Saddle) -> None:
    broken: Any = ModuleType("broken")
    broken.decorate = lambda: None
    app.decorate_with(broken)
    with pytest.raises(LoadError, match=r"broken: decorate\(app\): TypeError"), wire(mounted("/", app), kind="saddle"):
        pass
