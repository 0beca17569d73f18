"""The benchmark's hands: it counts what a tree of processes uses, and leaves none of them behind."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from benchmarks import backends, calls, client, contenders, load, talk
from benchmarks.load import Load
from benchmarks.processes import Absent, Running, cpu_s, free_port, tree, worker_memory

pytestmark = pytest.mark.process

# A master that forks a worker, which answers, burns CPU in a child of its own for every request, and reaps it.
SERVER = """
import os, signal, socket, sys, time
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=64)
if os.fork():
    signal.signal(signal.SIGTERM, signal.SIG_IGN if "stubborn" in sys.argv else signal.SIG_DFL)
    os.wait()
while True:
    connection, _ = listener.accept()
    while data := connection.recv(65536):
        if b"burn" in data:
            if not (child := os.fork()):
                while time.process_time() < 0.2: pass
                os._exit(0)
            os.waitpid(child, 0)
        connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
"""


def server(folder: Path, *words: str) -> Running:
    script = folder / "server.py"
    script.write_text(SERVER, "utf-8")
    port = free_port()
    return Running([sys.executable, str(script), str(port), *words], port, folder / "log", {}, folder)


def test_reaped_descendants_count_and_none_survives(tmp_path: Path) -> None:
    with server(tmp_path, "stubborn") as running:
        pids = tree(running.pid)
        assert len(pids) == 2
        before = cpu_s(running.pid)
        figures = client.run(running.port, "/burn", 1, 0.5, 0)
        assert figures["requests"] >= 1
        assert figures["errors"] == 0
        assert cpu_s(running.pid) - before >= 0.15
        assert worker_memory(running.pid) > 1_000_000
    for pid in pids:
        assert not alive(pid)


def alive(pid: int) -> bool:
    """Still running; an orphan that nobody reaps does not count."""
    end = time.monotonic() + 2
    while time.monotonic() < end:
        try:
            if ") Z " in Path(f"/proc/{pid}/stat").read_text("latin-1"):
                return False
            os.kill(pid, 0)
        except (FileNotFoundError, ProcessLookupError):
            return False
        time.sleep(0.02)
    return True


def test_a_server_that_ends_at_start_says_why(tmp_path: Path) -> None:
    port = free_port()
    broken = Running([sys.executable, "-c", "raise SystemExit('no such app')"], port, tmp_path / "log", {}, tmp_path)
    with pytest.raises(Absent, match="ended at start with 1: no such app"):
        broken.__enter__()


@pytest.mark.parametrize("path", ["", os.environ["PATH"]])
def test_load_comes_from_wrk_or_from_our_own_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setenv("PATH", path)
    with server(tmp_path) as running:
        result = load.apply(Load(connections=1), running.port, 1, tmp_path)
    assert result.requests > 100
    assert result.errors == 0
    assert 0.9 < result.seconds < 2
    assert 0 < result.p50_us <= result.p99_us


def test_a_post_carries_its_body(tmp_path: Path) -> None:
    with server(tmp_path) as running:
        figures = client.run(running.port, "/", 1, 0.3, 3000)
    assert figures["requests"] > 0
    assert figures["errors"] == 0


def test_messages_are_heard_and_counted(tmp_path: Path) -> None:
    with contenders.skitai("talks.py:app").start(tmp_path) as running:
        for path, kind in (("/echo", "echo"), ("/chat?room=a", "group")):
            assert talk.asked(running.port, path) == talk.ANSWERED
            figures = talk.run(running.port, path, 3, 0.3, kind)
            assert figures["requests"] > 0
            assert figures["errors"] == 0
        with pytest.raises(OSError, match="404"):
            talk.asked(running.port, "/nowhere")


def test_calls_are_answered_and_counted(tmp_path: Path) -> None:
    with contenders.skitai("grpc_app.py:coroutine").start(tmp_path) as running:
        assert calls.asked(running.port, "/bench.Greeter/Hello") == calls.ANSWERED
        figures = load.apply(Load("/bench.Greeter/Hello", connections=3, calls=True), running.port, 0.3, tmp_path)
    assert figures.requests > 0
    assert figures.errors == 0


def test_a_client_that_gets_another_answer_is_not_measured(tmp_path: Path) -> None:
    with server(tmp_path) as running, pytest.raises(Absent, match="was answered b'ok'"):
        backends.asked("skitai asyncio", running.port, backends.ONE_BY_ONE, 10)
