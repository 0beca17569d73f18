"""Dialogues about new code: it is tried, it replaces the master's program in place, and no request is lost."""

from __future__ import annotations

import os
import signal
import socket
import sys
import sysconfig
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.dialogue import Served, eventually

pytestmark = pytest.mark.process

ONLY_IN_PLACE = """
import sys
if "_resume" in sys.orig_argv:
    raise RuntimeError("only in place")
"""

SLOW_IN_PLACE = """
import sys, time
if "_resume" in sys.orig_argv:
    open("replaced", "w").close()
    time.sleep(1.5)
"""


def generations(server: Served, requests: int = 8) -> set[str]:
    return {server.get().split()[2] for _ in range(requests)}


def descriptors(pid: int) -> list[str]:
    folder = Path(f"/proc/{pid}/fd")
    return sorted(os.readlink(entry).split(":")[0] for entry in folder.iterdir())


def test_reload_serves_new_code_under_the_same_pid(served: Any) -> None:
    server = served()
    server.toys(text="old")
    server.start()
    pid, port = server.pid, server.port
    server.toys(text="new")
    heard: list[str] = []

    outcome = server.ask("reload", on_progress=heard.append)

    assert (outcome.ok, outcome.text) == (True, "generation 2 serves")
    assert heard[:3] == ["checking the new code", "the new code loads", "starting generation 2"]
    assert [line.split(" (")[0] for line in heard[3:]] == ["worker #2", "worker #0", "worker #3", "worker #1"]
    server.has_workers(2, 3)
    assert server.pid == pid
    answer = server.get()
    assert answer.split()[1:3] == ["generation", "2"]
    assert answer.endswith("text new\n")
    assert server.port == port
    assert " ".join(server.family()[0].cmdline()).strip() == f"skitai({server.folder.name}/app): master"


def test_a_running_request_finishes_on_old_code_while_new_code_serves(served: Any) -> None:
    server = served(workers=1, keep_alive=3).start()
    answers: list[str] = []
    thread = threading.Thread(target=lambda: answers.append(server.get("/sleep/2")))
    thread.start()
    time.sleep(0.2)

    assert server.ask("reload").ok
    assert generations(server) == {"2"}
    thread.join()

    assert "generation 1 " in answers[0]
    server.has_workers(1)


def test_no_request_is_lost_in_two_reloads(served: Any) -> None:
    server = served().start()
    answers: list[str] = []
    done = threading.Event()

    def keep_asking() -> None:
        while not done.is_set():
            answers.append(server.get())

    threads = [threading.Thread(target=keep_asking) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(2):
        assert server.ask("reload").ok
    time.sleep(0.3)
    done.set()
    for thread in threads:
        thread.join()

    assert len(answers) > 100
    assert not [answer for answer in answers if not answer.startswith("#")]
    assert {answer.split()[2] for answer in answers} == {"1", "2", "3"}


def test_hup_means_reload_and_a_second_one_follows(served: Any) -> None:
    server = served().start()

    server.signal(signal.SIGHUP)
    server.hears_that("checking the new code")
    server.signal(signal.SIGHUP)

    server.hears_that("reload: generation 2 serves")
    server.hears_that("reload: generation 3 serves")
    server.has_workers(4, 5)
    assert generations(server) == {"3"}


def test_a_broken_script_is_refused_and_the_old_code_goes_on(served: Any) -> None:
    server = served().start()
    workers = server.workers()
    server.write_script(before="import nonsense")

    outcome = server.ask("reload")

    assert not outcome.ok
    assert outcome.text.startswith("the new code does not load: ModuleNotFoundError: No module named 'nonsense'")
    assert outcome.text.endswith("the old code goes on serving")
    assert server.workers() == workers
    server.hears_that(r"\[error\] reload: the new code does not load")
    server.write_script()
    assert server.ask("reload").ok


def test_a_probe_that_dies_or_hangs_is_a_refusal(served: Any) -> None:
    server = served(boot_s=5).start()

    server.write_script(before="import os; print('good bye', flush=True); os.kill(os.getpid(), 9)")
    assert "the probe was killed by SIGKILL: good bye" in server.ask("reload").text
    server.write_script(before="import time; time.sleep(60)")
    assert "the probe was killed by SIGKILL" in server.ask("reload").text

    assert generations(server) == {"1"}


@pytest.mark.parametrize(
    ("boot", "why"),
    [
        ("fail", "left with code 3: the toy would not start"),
        ("raise", "LookupError: the toy broke"),
        ("hang", "is not ready after"),
    ],
)
def test_a_generation_that_does_not_start_leaves_the_old_one_serving(served: Any, boot: str, why: str) -> None:
    server = served(boot_s=4 if boot == "hang" else 30).start()  # the probe has to come through in that time
    workers = server.workers()
    server.toys(boot=boot)

    outcome = server.ask("reload")

    assert not outcome.ok
    assert outcome.text.startswith("generation 2 does not start: worker #2")
    assert why in outcome.text
    assert outcome.text.endswith("the old code goes on serving")
    assert server.has_workers(0, 1) == workers
    assert server.ask("status").data["generation"] == 1
    server.toys(boot="")
    assert server.ask("reload").text == "generation 3 serves"
    server.has_workers(3, 4)
    assert generations(server) == {"3"}


def test_after_a_refused_generation_a_dead_worker_is_replaced_by_what_there_is(served: Any) -> None:
    server = served().start()
    server.toys(boot="fail")
    server.ask("reload")
    server.toys(boot="")

    os.kill(server.workers()[0], signal.SIGKILL)

    server.has_workers(1, 3)
    assert generations(server, 20) == {"1", "2"}


def test_code_that_fails_only_in_place_leaves_the_old_workers_in_care(served: Any) -> None:
    server = served().start()
    pid = server.pid
    workers = server.workers()
    server.write_script(before=ONLY_IN_PLACE)

    outcome = server.ask("reload")

    assert not outcome.ok
    assert outcome.text.startswith("RuntimeError: only in place")
    assert outcome.text.endswith("the old code goes on serving")
    assert server.pid == pid
    assert server.workers() == workers
    assert server.ask("status").data["state"] == "caretaking"
    os.kill(workers[0], signal.SIGKILL)
    server.hears_that("worker #0 .* was killed by SIGKILL")
    assert server.ask("workers", change=1).text.startswith("the old workers are only being taken care of")
    assert server.get().startswith("#1 ")
    server.write_script(before="")
    assert server.ask("reload").ok
    server.has_workers(2, 3)


def test_a_server_in_care_can_be_stopped(served: Any) -> None:
    server = served().start()
    server.write_script(before=ONLY_IN_PLACE)
    server.ask("reload")

    assert server.ask("stop").ok
    assert server.leaves() == 0


def test_a_changed_script_changes_workers_and_address(served: Any) -> None:
    server = served(port=0).start()
    old_port = server.port
    server.write_script(workers=1, bind=("127.0.0.1:0", "unix:here.sock"))

    assert server.ask("reload").ok

    addresses = server.ask("status").data["addresses"]
    assert len(addresses) == 2
    assert addresses[1].endswith("here.sock")
    server.has_workers(2)
    assert addresses[0].endswith(f":{old_port}") == server.listens()


def test_a_new_address_that_is_busy_leaves_the_old_code_serving(served: Any) -> None:
    server = served().start()
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        server.write_script(port=busy.getsockname()[1])

        outcome = server.ask("reload")

    assert not outcome.ok
    assert "the address is already in use" in outcome.text
    assert generations(server) == {"1"}
    assert server.ask("reload").ok


def test_a_log_folder_that_cannot_be_made_leaves_the_old_code_serving(served: Any) -> None:
    server = served().start()
    server.toys(text="no folder")
    server.write_script(logpath="text")

    outcome = server.ask("reload")

    assert not outcome.ok
    assert "it is not a folder; the old code goes on serving" in outcome.text
    assert generations(server) == {"1"}
    server.write_script(logpath="logs")
    assert server.ask("reload").ok
    assert "is ready" in (server.folder / "logs" / "server.log").read_text()


def test_a_worker_that_dies_while_the_program_is_replaced_is_not_lost(served: Any) -> None:
    server = served().start()
    victim = server.workers()[0]
    server.write_script(before=SLOW_IN_PLACE)
    server.signal(signal.SIGHUP)
    eventually((server.folder / "replaced").exists, "the exec")

    os.kill(victim, signal.SIGKILL)

    server.hears_that(rf"worker #0 \(pid {victim}\) was killed by SIGKILL")
    server.hears_that("generation 2 serves")
    server.has_workers(2, 3)


def test_a_stop_that_comes_while_the_program_is_replaced_is_not_lost(served: Any) -> None:
    server = served().start()
    family = server.family()
    server.write_script(before=SLOW_IN_PLACE)
    server.signal(signal.SIGHUP)
    eventually((server.folder / "replaced").exists, "the exec")

    server.signal(signal.SIGTERM)

    assert server.leaves() == 0
    assert not [each for each in family if each.is_running()]


def test_a_stop_ends_a_reload(served: Any) -> None:
    server = served().start()
    server.write_script(before="import time; time.sleep(60)")
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(server.ask("reload")))
    thread.start()
    server.hears_that("checking the new code")

    assert server.ask("stop").ok

    thread.join()
    assert (answers[0].ok, answers[0].text) == (False, "the server stops")
    assert server.leaves() == 0


def test_reloads_leave_no_descriptor_behind(served: Any) -> None:
    server = served().start()
    assert server.ask("reload").ok
    server.has_workers(2, 3)
    time.sleep(0.1)  # the last client's socket is closed
    before = descriptors(server.pid)

    for first in (4, 6, 8):
        assert server.ask("reload").ok
        server.has_workers(first, first + 1)

    eventually(lambda: descriptors(server.pid) == before, "the same descriptors")


def test_what_a_script_starts_gets_nothing_of_the_master_s(served: Any) -> None:
    server = served(workers=1)
    server.write_script(before="import os; os.system('ls /proc/self/fd > fds; env > env')")
    server.start()

    assert server.ask("reload").ok

    assert sorted((server.folder / "fds").read_text().split()) == ["0", "1", "2", "3"]  # and 3 is the folder it lists
    assert "SKITAI_INHERIT" not in (server.folder / "env").read_text()


def test_the_last_update_table_outlives_a_reload_that_adds_names(served: Any) -> None:
    server = served()
    server.write_script(before="skitai.deflu('users')")
    server.start()
    started_s = float(server.get("/getlu/users").split()[-1])
    server.get("/setlu/users")
    server.write_script(before="skitai.deflu('photos', 'users')")

    assert server.ask("reload").ok

    server.has_workers(2, 3)
    assert float(server.get("/getlu/users").split()[-1]) > started_s
    assert float(server.get("/getlu/photos").split()[-1]) == started_s


def test_a_swapped_virtual_environment_counts(served: Any) -> None:
    server = served(workers=1)
    packages = sysconfig.get_path("purelib")
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    for name in ("old", "new"):
        venv = server.folder / f"venv-{name}"
        (venv / "bin").mkdir(parents=True)
        (venv / "bin" / "python").symlink_to(Path(sys.executable).resolve())
        (venv / "pyvenv.cfg").write_text(f"home = {Path(sys.executable).resolve().parent}\n")
        site = venv / "lib" / version / "site-packages"
        site.mkdir(parents=True)
        (site / "marker.py").write_text(f"NAME = {name!r}\n")
    link = server.folder / "venv"
    link.symlink_to("venv-old")
    server.write_script(before="import marker; open('text', 'w').write(marker.NAME)")
    server.start(python=str(link / "bin" / "python"), environ={"PYTHONPATH": f"{Path(__file__).parents[2]}:{packages}"})
    assert server.get().endswith("text old\n")

    link.unlink()
    link.symlink_to("venv-new")
    assert server.ask("reload").ok

    server.has_workers(1)
    assert server.get().endswith("text new\n")


def test_arguments_and_interpreter_options_are_kept(served: Any) -> None:
    server = served(workers=1)
    server.write_script(
        before="import sys; open('text', 'w').write(f'{sys.flags.dev_mode} {sys.argv[1:]}'.replace(' ', ''))"
    )
    server.start("--threads", "1", options=("-X", "dev"))
    before = server.get().split("text ")[1]

    assert server.ask("reload").ok

    server.has_workers(1)
    assert server.get().split("text ")[1] == before == "True['--threads','1']\n"
