"""Workers from their start to their end, on real sockets: what they finish, what they write, what replaces them."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.dialogue import are_gone, eventually
from tests.support.memory import Client
from tests.support.site import Site

pytestmark = pytest.mark.process

APP = """
    import hashlib, os, time

    def app(environ, start_response):
        path = environ["PATH_INFO"]
        start_response("200 OK", [("Content-Type", "application/x")])
        if path.startswith("/sleep/"):
            time.sleep(float(path[7:]))
        if path == "/stream":
            return stream()
        if path == "/upload":
            digest = hashlib.sha256()
            for piece in iter(lambda: environ["wsgi.input"].read(65536), b""):
                digest.update(piece)
            return [digest.hexdigest().encode()]
        return [str(os.getpid()).encode()]

    def stream():
        for number in range(10):
            yield b"%d\\n" % number
            time.sleep(0.1)
"""
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    made: list[Site] = []

    def make(app: str = APP, **options: Any) -> Site:
        made.append(Site(tmp_path, app, **options))
        return made[-1].start()

    yield make
    for each in made:
        each.stop()


def asked(server: Site, path: str) -> Client:
    client = server.connect()
    client.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    time.sleep(0.2)
    return client


# Stop and retire


def test_a_graceful_stop_finishes_what_runs_and_closes_what_is_idle(site: Any) -> None:
    server = site()
    idle = server.connect()
    assert idle.ask(GET)[0] == 200
    running, streaming = asked(server, "/sleep/0.8"), asked(server, "/stream")
    family = server.family()
    began_s = time.monotonic()

    server.signal(signal.SIGTERM)

    assert idle.closed()
    assert time.monotonic() - began_s < 0.5
    status, fields, _ = running.response()
    assert (status, fields["connection"]) == (200, "close")
    assert streaming.response()[2] == b"".join(b"%d\n" % number for number in range(10))
    assert streaming.closed(), "its head had promised to keep the connection, but the worker does not wait for more"
    assert server.leaves() == 0
    assert are_gone(family)
    assert time.monotonic() - began_s < 2.9
    assert len(server.lines) == 3


def test_a_server_that_stops_can_be_asked_what_it_does(site: Any) -> None:
    server = site()
    running = asked(server, "/sleep/1")
    server.signal(signal.SIGTERM)

    said = [server.ask("status")]
    while said[-1].text != "stopping":
        said.append(server.ask("status"))
    assert said[-1].data["addresses"] == [f"http://127.0.0.1:{server.port}"]
    assert running.response()[0] == 200
    assert server.leaves() == 0


def test_what_does_not_finish_within_the_grace_time_is_cut(site: Any) -> None:
    server = site(grace_s=0.5)
    running = asked(server, "/sleep/20")

    server.signal(signal.SIGTERM)

    assert running.read() == b""
    server.hears_that(r"worker #0 leaves 1 connections and 1 busy threads behind")
    assert server.leaves() == 0
    assert [line.split()[8] for line in server.lines] == ["499"]


def test_a_retiring_worker_answers_on_idle_connections_once_more(site: Any) -> None:
    server = site(keep_alive=4)
    idle, silent = server.connect(), server.connect()
    pid = idle.ask(GET)[2].decode()
    assert silent.ask(GET)[0] == 200
    streaming = asked(server, "/stream")

    assert server.ask("reload").ok

    server.hears_that("generation 2 serves")
    # As soon as the old one has heard that it retires, which takes it a moment where the machine is busy.
    eventually(lambda: server.get() != pid, "new connections go to the new worker", within_s=3)
    status, fields, body = idle.ask(GET)
    assert (status, fields["connection"], body.decode()) == (200, "close", pid)
    assert idle.closed()
    assert streaming.response()[2].endswith(b"9\n")
    assert silent.closed(), "at most for the keep-alive time"
    server.has_workers(1)
    assert not psutil.pid_exists(int(pid))


# The request log


def test_a_killed_worker_has_written_the_lines_of_what_it_answered(site: Any) -> None:
    server = site()
    client = server.connect()
    for _ in range(50):
        assert client.ask(GET)[0] == 200
    time.sleep(0.05)

    os.kill(server.workers()[0], signal.SIGKILL)

    server.has_workers(1)
    assert len(server.lines) == 50


def test_a_worker_killed_under_load_loses_only_the_lines_of_a_moment(site: Any) -> None:
    server = site()
    answered = [0] * 4

    def load(number: int) -> None:
        client = server.connect()
        try:
            while True:
                client.ask(GET)
                answered[number] += 1
        except (EOFError, OSError):
            client.close()

    threads = [threading.Thread(target=load, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    eventually(lambda: min(answered) > 100, "load")
    os.kill(server.workers()[0], signal.SIGKILL)
    for thread in threads:
        thread.join()

    # A thread notes a line after it has answered, and the loop writes what it finds: on a busy machine, some later.
    assert sum(answered) - 4 * 10 <= len(server.lines) <= sum(answered) + 4
    assert all(line.endswith(" 0") and " GET / 1.1 0 200 " in line for line in server.lines)


def test_a_stop_under_load_loses_no_line(site: Any) -> None:
    server = site(workers=2)
    answered = [0] * 4

    def load(number: int) -> None:
        try:
            while True:
                client = server.client()
                for _ in range(20):
                    client.request("GET", "/")
                    client.getresponse().read()
                    answered[number] += 1
                client.close()
        except (HTTPException, OSError):
            client.close()

    threads = [threading.Thread(target=load, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    eventually(lambda: min(answered) > 50, "load")
    server.signal(signal.SIGTERM)
    assert server.leaves() == 0
    for thread in threads:
        thread.join()

    assert len(server.lines) == sum(answered)


# Bodies through real sockets


def test_a_large_upload_arrives_whole(site: Any) -> None:
    size = 40_000_000
    server = site(max_post_body_size=size)
    body = os.urandom(1 << 16) * (size >> 16)
    worker = psutil.Process(server.workers()[0])
    client = server.client()
    for chunked in (False, True):
        before = worker.memory_info().rss
        pieces = [body[at : at + 250_000] for at in range(0, len(body), 250_000)]
        fields = {} if chunked else {"Content-Length": str(len(body))}
        client.request("POST", "/upload", body=iter(pieces), headers=fields, encode_chunked=chunked)
        answer = client.getresponse()
        assert (answer.status, answer.read().decode()) == (200, hashlib.sha256(body).hexdigest())
        assert worker.memory_info().rss - before < 8_000_000
    client.request("POST", "/upload", body=b"x" * (size + 1))
    assert client.getresponse().status == 413
    client.close()


# Replacement


def test_a_stuck_loop_is_dumped_and_replaced(site: Any) -> None:
    server = site(threads=0, heartbeat_s=1, grace_s=0.3)
    eventually(lambda: server.get() != "", "an answer")
    time.sleep(1.5)
    assert "is stuck" not in server.said

    stuck = asked(server, "/sleep/8")

    server.hears_that(r"worker #0 .* is stuck: its event loop has not turned")
    server.hears_that(r'File ".*site.py", line \d+ in app')
    server.has_workers(1)
    assert stuck.read() == b""
    assert server.get().isdigit()


# Overload


def test_at_its_limit_a_worker_stops_accepting_until_some_leave(site: Any) -> None:
    server = site(connections=16)
    clients = [server.connect() for _ in range(16)]
    for client in clients:
        assert client.ask(GET)[0] == 200

    one, other = server.connect(), server.connect()  # the one that finds it full is still served
    one.send(GET)
    other.send(GET)
    server.hears_that(r"\[warn\] 16 connections: nothing more is accepted until some close")
    other.sock.settimeout(0.5)
    with pytest.raises(TimeoutError):
        other.sock.recv(1)

    for client in clients[:4]:
        client.close()
    other.sock.settimeout(5)
    assert other.response()[0] == 200
    assert one.response()[0] == 200
    assert clients[-1].ask(GET)[0] == 200


def test_without_descriptors_accepting_pauses_and_goes_on(site: Any) -> None:
    server = site()
    pid = server.workers()[0]
    assert server.get() == str(pid)
    used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    free = [number for number in range(1000) if number not in used]
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free[10], hard))

    clients = [server.connect() for _ in range(18)]
    server.hears_that(r"\[error\] cannot accept: Too many open files")
    assert psutil.Process(pid).cpu_percent(0.7) < 50, "it does not try again without a pause"
    for client in clients[:16]:
        client.close()

    assert clients[-1].ask(GET)[2] == str(pid).encode()
    assert server.get() == str(pid)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
    assert server.said.count("Traceback") == 0


# New code

VERSION = """
    def app(environ, start_response):
        if environ["PATH_INFO"] == "/raise":
            raise RuntimeError("a fault of the app's")
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"version {number}"]
"""


def answer(server: Site, path: str = "/") -> tuple[int, str, str | None]:
    """Status, body, and what is said of newer code."""
    client = server.client()
    client.request("GET", path)
    response = client.getresponse()
    found = response.status, response.read().decode(), response.getheader("X-Reload-Error")
    client.close()
    return found


@pytest.mark.parametrize("debug", [True, False])
def test_new_code_serves_within_two_seconds_and_broken_code_never(site: Any, debug: bool) -> None:
    server = site(VERSION.format(number=1), pref=f"pref.use_reloader, pref.debug = True, {debug}")
    assert answer(server) == (200, "version 1", None)

    server.write_app(VERSION.format(number=2))
    eventually(lambda: answer(server)[1] == "version 2", "new code", 2.5)

    server.write_app("def broken(:")
    server.hears_that(r"\[expt\] /: .*site.py: SyntaxError.*; the old code goes on")
    status, body, note = answer(server)
    assert (status, body) == (200, "version 2")
    status, page, _ = answer(server, "/raise")
    assert status == 500
    if debug:
        assert note and "SyntaxError" in note and "site.py" in note
        assert "def broken(:" in page and "a fault of the app" in page
    else:
        assert note is None
        assert "def broken(:" not in page and "a fault of the app" not in page

    server.write_app(VERSION.format(number=3))
    eventually(lambda: answer(server)[1] == "version 3", "mended code", 2.5)
    assert answer(server)[2] is None


@pytest.mark.parametrize("debug", [True, False])
def test_an_app_broken_from_the_start_is_503_until_it_is_mended(site: Any, debug: bool) -> None:
    server = site("import no_such_module", pref=f"pref.debug = {debug}")
    status, page, _ = answer(server)
    assert status == 503
    assert ("no_such_module" in page) is debug
    assert "No module named 'no_such_module'" in server.said

    server.write_app(VERSION.format(number=1))
    eventually(lambda: answer(server)[:2] == (200, "version 1"), "mended code", 2.5)
