"""Dialogues with a supervisor of toys: it starts them, replaces those that die, are ill or due, and stops them."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from typing import Any

import psutil
import pytest

from tests.support.dialogue import Served, are_gone, eventually

pytestmark = pytest.mark.process


def in_background(server: Served, path: str) -> tuple[threading.Thread, list[str]]:
    answers: list[str] = []
    thread = threading.Thread(target=lambda: answers.append(server.get(path)))
    thread.start()
    time.sleep(0.2)
    return thread, answers


def test_it_starts_its_workers_and_says_what_and_where(served: Any) -> None:
    server = served().start()

    assert re.match("#[01] generation 1 ", server.get())
    assert f"listens on http://127.0.0.1:{server.port}" in server.said
    assert re.search(r"workers +2", server.said)
    assert f"var        {server.var}" in server.said
    titles = sorted(" ".join(each.cmdline()) for each in server.family())
    name = server.folder.name
    assert titles == [f"skitai({name}/app): master", f"skitai({name}/app): worker #0", f"skitai({name}/app): worker #1"]
    assert {each.cwd() for each in server.family()} == {str(server.folder)}


def test_status_describes_the_server_and_its_workers(served: Any) -> None:
    server = served().start()
    server.get()

    told = server.ask("status").data

    assert (told["pid"], told["state"], told["generation"]) == (server.pid, "serving", 1)
    assert told["addresses"] == [f"http://127.0.0.1:{server.port}"]
    assert [child["label"] for child in told["children"]] == ["worker #0", "worker #1"]
    assert sum(child["requests"] for child in told["children"]) == told["requests"] == 1
    assert all(child["memory_bytes"] > 1_000_000 for child in told["children"])


def test_a_killed_worker_is_replaced_and_its_requests_still_count(served: Any) -> None:
    server = served(workers=1).start()
    server.get()
    victim = server.workers()[0]

    os.kill(victim, signal.SIGKILL)

    server.hears_that(rf"\[error\] worker #0 \(pid {victim}\) was killed by SIGKILL")
    server.has_workers(1)
    assert server.get().startswith("#1 ")
    assert server.ask("status").data["requests"] == 2


def test_an_exit_code_is_logged(served: Any) -> None:
    server = served(workers=1).start()

    assert server.get("/exit/3") == ""

    server.hears_that(r"\[error\] worker #0 \(pid \d+\) left with code 3$")


def test_a_crash_loop_backs_off_and_says_why(served: Any) -> None:
    server = served(workers=1)
    server.toys(boot="early")
    server.start()
    began_s = time.monotonic()

    os.kill(server.workers()[0], signal.SIGKILL)

    line = server.hears_that("crash loop")
    assert re.search(r"3 times in a row a worker left within 10 s of its start, at last worker #2 .* left with code 4", line)
    assert "the next starts in 4 s" in line
    assert 2.8 < time.monotonic() - began_s < 6  # 1 s and 2 s have passed
    server.toys(boot="")
    server.has_workers(3)
    assert server.get().startswith("#3 ")


def test_a_worker_that_raises_says_so(served: Any) -> None:
    server = served(workers=1)
    server.toys(boot="raise")

    server.start(wait=False)

    server.hears_that(r"\[expt\] worker #0 failed: <class 'LookupError'> the toy broke")
    server.hears_that(r"left with code 1: LookupError: the toy broke")


def test_a_worker_that_never_becomes_ready_is_dumped_and_killed(served: Any) -> None:
    server = served(workers=1, boot_s=1)
    server.toys(boot="hang")

    server.start(wait=False)

    server.hears_that(r"worker #0 .* is not ready after 1 s")
    server.hears_that(r'File ".*toys.py", line \d+ in serve')
    server.hears_that(r"worker #0 .* was killed by SIGKILL: is not ready after 1 s")
    server.toys(boot="")
    server.has_workers(1)


def test_a_stuck_worker_is_dumped_replaced_and_ended(served: Any) -> None:
    server = served(workers=1, heartbeat_s=0.5, grace_s=0.2).start()
    server.get("/beat")

    thread, _ = in_background(server, "/stuck")

    server.hears_that(r"worker #0 .* is stuck: its event loop has not turned for \d\.\d s; it will be replaced")
    server.hears_that(r'File ".*toys.py", line \d+ in _answer')
    server.has_workers(1)
    told = server.said
    assert told.index("worker #1") < told.index("did not stop in time: SIGKILL")
    assert server.get().startswith("#1 ")
    thread.join()


def test_a_worker_that_burns_cpu_is_replaced(served: Any) -> None:
    server = served(workers=1, critical_cpu_percent=10, critical_continuous=2, critical_interval_s=0.4).start()

    thread, answers = in_background(server, "/burn/4")

    server.hears_that(r"worker #0 .* is overloaded: \d+ % CPU in 2 readings in a row; it will be replaced")
    server.has_workers(1)
    thread.join()
    assert answers[0].startswith("#0 ")  # it finished its request


def test_workers_are_replaced_by_number_of_requests(served: Any) -> None:
    server = served(workers=1, worker_requests=3, jitter_percent=0).start()

    for _ in range(3):
        assert server.get().startswith("#0 ")

    server.hears_that(r"\[info\] worker #0 .* has answered 3 requests; it will be replaced")
    server.has_workers(1)


def test_workers_are_replaced_by_memory(served: Any) -> None:
    server = served(workers=1, worker_memory_bytes=1_000_000).start()

    server.hears_that(r"\[info\] worker #0 .* uses \d+ MiB of memory; it will be replaced")
    server.hears_that(r"worker #0 .* left with code 0")


def test_ttin_and_ttou_change_the_number_of_workers(served: Any) -> None:
    server = served().start()

    server.signal(signal.SIGTTIN)
    server.has_workers(0, 1, 2)
    server.signal(signal.SIGTTOU)
    server.has_workers(1, 2)
    assert server.ask("workers", change=-1).text == "worker: 1 wanted"
    server.has_workers(2)
    refused = server.ask("workers", change=-1)

    assert (refused.ok, refused.text) == (False, "1 to 128 are possible")
    assert server.get().startswith("#2 ")


def test_usr1_opens_the_logs_again_in_all_processes(served: Any) -> None:
    server = served(logpath="logs").start()
    log = server.folder / "logs" / "server.log"
    log.rename(log.with_name("old.log"))

    server.signal(signal.SIGUSR1)

    eventually(lambda: log.exists() and "logs are open again" in log.read_text(), "a new server.log")
    for pid in server.workers().values():
        eventually(lambda pid=pid: (server.folder / f"reopened-{pid}").exists(), "the worker's turn")
    assert server.ask("reopen").ok


def test_term_lets_running_requests_finish(served: Any) -> None:
    server = served().start()
    family = server.family()
    thread, answers = in_background(server, "/sleep/1")

    server.signal(signal.SIGTERM)

    assert server.leaves() == 0
    assert not server.listens()
    thread.join()
    assert answers[0].startswith("#")
    assert are_gone(family)
    assert os.listdir(server.var) == []


def test_a_fast_stop_does_not_wait(served: Any) -> None:
    server = served().start()
    family = server.family()
    thread, answers = in_background(server, "/sleep/20")
    began_s = time.monotonic()

    server.signal(signal.SIGINT)

    assert server.leaves() == 0
    assert time.monotonic() - began_s < 3
    server.hears_that("did not stop in time: SIGKILL")
    assert are_gone(family)
    thread.join()
    assert answers == [""]


def test_a_fast_stop_overtakes_a_graceful_one(served: Any) -> None:
    server = served(grace_s=60).start()
    thread, _ = in_background(server, "/sleep/20")
    server.signal(signal.SIGTERM)
    time.sleep(0.2)

    server.signal(signal.SIGQUIT)

    assert server.leaves(4) == 0
    thread.join()


def test_workers_that_do_not_listen_are_killed_after_the_grace_time(served: Any) -> None:
    server = served(engine="tests.support.toys:deaf", grace_s=0.2).start()
    family = server.family()

    assert server.ask("stop").ok

    assert server.leaves() == 0
    assert are_gone(family)


def test_the_stop_verb_answers_when_everything_has_gone(served: Any) -> None:
    server = served().start()
    port = server.port

    outcome = server.ask("stop")

    assert (outcome.ok, outcome.text) == (True, "stopped")
    assert not (server.var / ".pid").exists()
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", port))
    assert server.leaves() == 0


@pytest.mark.parametrize("engine", ["serve", "deaf"])
def test_killing_the_master_leaves_no_process_and_no_port(served: Any, engine: str) -> None:
    server = served(engine=f"tests.support.toys:{engine}", grace_s=0.1).start()
    master, *workers = server.family()
    assert len(workers) == 2

    master.kill()

    assert are_gone(workers)
    assert server.leaves() == -signal.SIGKILL
    assert not server.listens()
    assert (server.var / ".pid").exists()
    server.start()  # what it left behind is in nobody's way
    assert psutil.pid_exists(server.pid)


def test_an_app_restarts_or_stops_its_only_worker_and_so_the_server(served: Any) -> None:
    server = served(workers=1).start()

    server.get("/restart")
    server.hears_that("reload: generation 2 serves")
    server.get("/shutdown")

    assert server.leaves() == 0


def test_with_several_workers_an_app_restarts_its_own(served: Any) -> None:
    server = served().start()

    answer = server.get("/restart")

    number = int(answer[1])
    server.hears_that(rf"worker #{number} .* was asked to leave by its app")
    server.has_workers(1 - number, 2)
