"""Work before a handler when something has changed: once for each change, whoever asks at the same time."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from skitai import was as general
from skitai.config.tree import Config
from skitai.ipc.bus import Bus
from skitai.ipc.inboxes import Inboxes
from skitai.ipc.lastupdate import Table
from skitai.ipc.link import Child, Link
from skitai.ipc.rundir import Places
from skitai.ipc.scoreboard import Scoreboard
from skitai.saddle import Saddle, Was


@pytest.fixture
def app() -> Saddle:
    return Saddle(__name__)


@pytest.fixture
def was(app: Saddle) -> Was:
    return Was(app)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "settings"
    file.write_text("one")
    return file


@pytest.fixture
def worker(tmp_path: Path) -> Any:
    row = Scoreboard.create().row(0)
    ours, theirs = Link.pair()
    table = Table.create(["news"], 1000.0)
    general.attach(Child(Config(), [], 0, 1, row, table, theirs, Places(str(tmp_path)), Bus(Inboxes([]), row)))
    yield table
    general.attach(None)
    ours.close()
    theirs.close()


def change(file: Path, text: str) -> None:
    file.write_text(text)
    os.utime(file, ns=(0, time.monotonic_ns()))


def test_a_file_is_read_before_the_first_request_and_after_each_change(app: Saddle, was: Was, file: Path) -> None:
    read: list[tuple[str, bool]] = []

    def work(was: Any, path: str) -> None:
        read.append((Path(path).read_text(), was.app is app))

    @app.if_file_modified(str(file), work, interval=0)
    def index(was: Any, name: str, *, more: int = 1) -> str:
        return f"{name} {read[-1][0]}"

    assert list(inspect.signature(index).parameters) == ["was", "name", "more"]
    assert [index(was, "a"), index(was, "b")] == ["a one", "b one"]
    change(file, "two")
    assert [index(was, "a"), index(was, "b")] == ["a two", "b two"]
    assert read == [("one", True), ("two", True)]


def test_within_the_interval_nobody_looks(app: Saddle, was: Was, file: Path) -> None:
    read: list[str] = []

    @app.if_file_modified(str(file), lambda was, path: read.append(Path(path).read_text()), interval=0.1)
    def index(was: Any) -> str:
        return ""

    index(was)
    change(file, "two")
    index(was)
    assert read == ["one"]
    time.sleep(0.11)
    index(was)
    assert read == ["one", "two"]


def test_a_file_that_is_not_there_is_worked_on_when_it_comes(app: Saddle, was: Was, file: Path) -> None:
    read: list[str] = []

    @app.if_file_modified(file, lambda was, path: read.append(Path(path).read_text()), interval=0)
    def index(was: Any) -> str:
        return ""

    file.unlink()
    index(was)
    change(file, "back")
    index(was)
    file.unlink()
    index(was)
    change(file, "again")
    index(was)
    assert read == ["back", "again"]


def test_relative_paths_begin_in_the_app_s_folder(app: Saddle, was: Was) -> None:
    seen: list[str] = []

    @app.if_file_modified(os.path.basename(__file__), lambda was, path: seen.append(path))
    def index(was: Any) -> str:
        return ""

    index(was)
    assert seen == [os.path.abspath(__file__)]


def test_threads_that_ask_at_once_wait_for_one_of_them(app: Saddle, was: Was, file: Path) -> None:
    begun: list[int] = []
    done: list[int] = []
    gate = threading.Barrier(8)

    def work(was: Any, path: str) -> None:
        begun.append(1)
        time.sleep(0.05)
        done.append(1)

    @app.if_file_modified(str(file), work, interval=0.02)
    def index(was: Any) -> int:
        return len(done)

    def ask() -> int:
        gate.wait(5)
        return index(was)

    with ThreadPoolExecutor(8) as threads:
        for changes in (1, 2):
            answers = [each.result() for each in [threads.submit(ask) for _ in range(8)]]
            assert answers == [changes] * 8, "nobody goes on with what is old"
            change(file, "x" * changes)
            time.sleep(0.03)
    assert len(begun) == 2


def test_coroutines_that_ask_at_once_wait_for_one_of_them(app: Saddle, was: Was, file: Path) -> None:
    done: list[int] = []

    async def work(was: Any, path: str) -> None:
        await asyncio.sleep(0.02)
        done.append(1)

    @app.if_file_modified(str(file), work)
    async def index(was: Any) -> int:
        return len(done)

    async def ask() -> list[int]:
        return await asyncio.gather(*(index(was) for _ in range(8)))

    assert asyncio.run(ask()) == [1] * 8
    assert asyncio.run(ask()) == [1] * 8


def test_a_plain_handler_may_have_coroutine_work_and_the_other_way_round(app: Saddle, was: Was, file: Path) -> None:
    done: list[str] = []

    async def in_loop(was: Any, path: str) -> None:
        await asyncio.sleep(0)
        done.append("loop")

    @app.if_file_modified(file, in_loop)
    def plain(was: Any) -> str:
        return ",".join(done)

    @app.if_file_modified(file, lambda was, path: done.append("thread"))
    async def coroutine(was: Any) -> str:
        return ",".join(done)

    assert plain(was) == "loop"
    assert asyncio.run(coroutine(was)) == "loop,thread"


def test_work_that_fails_fails_the_request_and_is_tried_again(app: Saddle, was: Was, file: Path) -> None:
    tries: list[int] = []

    def work(was: Any, path: str) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise LookupError("not yet")

    @app.if_file_modified(str(file), work)
    def index(was: Any) -> int:
        return len(tries)

    for _ in range(2):
        with pytest.raises(LookupError, match="not yet"):
            index(was)
    assert [index(was), index(was)] == [3, 3]


def test_an_update_is_worked_on_once(app: Saddle, was: Was, worker: Table) -> None:
    seen: list[str] = []

    @app.if_updated("news", lambda was, key: seen.append(key), interval=0)
    def index(was: Any) -> int:
        return len(seen)

    assert [index(was), index(was)] == [1, 1]
    was.setlu("news")
    assert [index(was), index(was)] == [2, 2]
    assert seen == ["news", "news"]


def test_an_update_while_the_work_is_done_counts_as_another(app: Saddle, was: Was, worker: Table) -> None:
    seen: list[str] = []

    def work(was: Any, key: str) -> None:
        seen.append(key)
        if len(seen) == 1:
            was.setlu(key)

    @app.if_updated("news", work, interval=0)
    def index(was: Any) -> int:
        return len(seen)

    assert [index(was), index(was), index(was)] == [1, 2, 2]


def test_a_name_that_was_not_declared_is_an_error_that_says_so(app: Saddle, was: Was, worker: Table) -> None:
    @app.if_updated("olds", print)
    def index(was: Any) -> str:
        return ""

    with pytest.raises(KeyError, match="'olds' is not declared"):
        index(was)


def test_without_a_server_there_is_a_first_time_and_no_other(app: Saddle, was: Was) -> None:
    seen: list[str] = []

    @app.if_updated("news", lambda was, key: seen.append(key), interval=0)
    def index(was: Any) -> int:
        return len(seen)

    assert [index(was), index(was)] == [1, 1]


def test_work_has_to_be_a_function(app: Saddle) -> None:
    with pytest.raises(TypeError, match="'reload' cannot be called when 'news' has changed"):
        app.if_updated("news", "reload")  # type: ignore[arg-type]
