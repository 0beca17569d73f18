"""`was` in real workers: what it asks of the master, and what all workers share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from skitai.testing import launch
from skitai.testing.launch import Launch

pytestmark = pytest.mark.process

SCRIPT = """
import os
import skitai
from flask import Flask, request
from skitai import was

app = Flask(__name__)

@app.route("/pid")
def pid():
    return str(os.getpid())

@app.route("/set")
def set_users():
    was.setlu("users")
    return str(was.getlu("users"))

@app.route("/get")
def get_users():
    return f"{os.getpid()} {was.getlu('users', 'photos')}"

@app.route("/unknown")
def unknown():
    try:
        was.getlu("user")
    except KeyError as error:
        return str(error)

@app.route("/restart")
def restart():
    was.restart()
    return str(os.getpid())

@app.route("/shutdown")
def shutdown():
    was.shutdown(float(request.args.get("in", 0)))
    return str(os.getpid())

@app.route("/status")
def status():
    return was.status("workers", fancy=False)

@app.route("/page")
def page():
    return was.status()

@app.route("/temp")
def temp():
    path = was.gentemp()
    with open(path, "x") as file:
        file.write("x")
    return path

@app.route("/log")
def log():
    was.log("called with 100%", "warn")
    try:
        1 / 0
    except ZeroDivisionError:
        was.traceback()
    return was.txnid()

if __name__ == "__main__":
    skitai.deflu("users", "photos")
    skitai.mount("/", app)
    skitai.run(workers=WORKERS)
"""


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[int], Launch]]:
    started: list[Launch] = []

    def serve(workers: int) -> Launch:
        script = tmp_path / "app.py"
        script.write_text(SCRIPT.replace("WORKERS", str(workers)))
        started.append(engine := launch(script, port=0).__enter__())
        return engine

    yield serve
    for engine in started:
        engine.__exit__()


def until(true: Callable[[], bool], engine: Launch) -> None:
    deadline = time.monotonic() + 15
    while not true():
        assert time.monotonic() < deadline, engine.output
        time.sleep(0.05)


def pids(engine: Launch) -> set[int]:
    return {each["pid"] for each in engine.get("/status").json()["workers"]}


def test_all_workers_share_the_last_updates(serve: Callable[[int], Launch]) -> None:
    engine = serve(2)
    until(lambda: len(pids(engine)) == 2, engine)
    started = float(engine.get("/get").text.split()[1])
    changed = float(engine.get("/set").text)
    assert changed > started
    seen = dict(engine.get("/get").text.split() for _ in range(50))
    assert set(seen.values()) == {str(changed)}
    assert "skitai.deflu('user')" in engine.get("/unknown").text


def test_the_only_worker_restarts_the_whole_server(serve: Callable[[int], Launch]) -> None:
    engine = serve(1)
    before = engine.get("/restart").text
    until(lambda: engine.get("/pid").text != before, engine)
    assert engine.get("/status").json()["workers"][-1]["generation"] == 2


def test_one_of_several_restarts_itself(serve: Callable[[int], Launch]) -> None:
    engine = serve(2)
    until(lambda: len(pids(engine)) == 2, engine)
    before = pids(engine)
    left = int(engine.get("/restart").text)
    until(lambda: left not in pids(engine) and len(pids(engine)) == 2, engine)
    assert before - {left} <= pids(engine)


def test_the_only_worker_stops_the_whole_server(serve: Callable[[int], Launch]) -> None:
    engine = serve(1)
    assert engine.get("/shutdown").status_code == 200
    until(lambda: repr(engine).endswith("not running>"), engine)


def test_status_shows_all_workers(serve: Callable[[int], Launch]) -> None:
    engine = serve(2)
    until(lambda: [each["state"] for each in engine.get("/status").json()["workers"]] == ["serving"] * 2, engine)
    assert "<h2>workers</h2>" in engine.get("/page").text


def test_logs_and_temporary_files(serve: Callable[[int], Launch]) -> None:
    engine = serve(1)
    txn = engine.get("/log", headers={"X-Gtxn-Id": "my-chain"}).text
    assert txn == "my-chain/1000"
    assert "[warn:my-chain/1000] called with 100%\n" in engine.output
    assert "[expt:my-chain/1000] <class 'ZeroDivisionError'> division by zero\n  - " in engine.output
    path = Path(engine.get("/temp").text)
    assert path.read_text() == "x"
    assert path.parent.stat().st_mode & 0o777 == 0o700
