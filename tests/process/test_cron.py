"""The scheduler's runs: how they begin, what they say, how they end. A minute takes a second here."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.dialogue import are_gone, eventually
from tests.support.scheduled import Scheduled, in_a_row, processes

pytestmark = pytest.mark.process


def test_every_minute_once_with_output_code_and_duration(scheduled: Any) -> None:
    server = scheduled("echo out; echo err >&2; printf unended; exit 3")

    server.logs("job finished", times=3)

    text = "\n".join(server.log)
    assert re.search(
        r"\[info\] job added: \* \* \* \* \* job\n"
        r"\[info\] job \[(\d+)\]: job started, due 2026-11-22 10:0(\d)\n"
        r"\[info\] job \[\1\]: out\n"
        r"\[info\] job \[\1\]: err\n"
        r"\[info\] job \[\1\]: unended\n"
        r"\[error\] job \[\1\]: job finished with code 3 after \d+ ms\n",
        text,
    ), text
    minutes = server.due()
    assert minutes == in_a_row(minutes)


def test_a_stop_ends_jobs_and_what_they_started(scheduled: Any) -> None:
    server = scheduled("trap 'echo bye; exit 0' TERM; echo here; sleep 611 & wait")
    server.logs("here")
    family = server.family()
    assert processes("611")

    server.signal(signal.SIGTERM)

    assert server.leaves() == 0
    assert are_gone(family)
    assert not processes("611")
    server.logs(": bye$")
    server.logs("job finished with code 0 .*was ended: the scheduler stops")


def test_a_job_that_ignores_term_is_killed(scheduled: Any) -> None:
    server = scheduled("trap '' TERM; echo here; while :; do sleep 0.1; done")
    server.logs("here")
    began_s = time.monotonic()

    server.signal(signal.SIGTERM)

    assert server.leaves() == 0
    assert 0.9 < time.monotonic() - began_s < 5
    server.logs("does not end: SIGKILL")
    server.logs("job finished with SIGKILL")


def test_a_fast_stop_waits_less(scheduled: Any) -> None:
    server = scheduled("trap '' TERM; echo here; while :; do sleep 0.1; done", helper_grace_s=20)
    server.logs("here")
    family = server.family()

    server.signal(signal.SIGINT)

    assert server.leaves() == 0
    assert are_gone(family)


def test_the_log_is_opened_again(scheduled: Any) -> None:
    server = scheduled("echo tick")
    server.logs("tick")
    log = server.folder / "logs" / "cron.log"
    log.rename(log.with_name("old.log"))

    server.signal(signal.SIGUSR1)

    server.logs("tick", times=2)


def test_what_a_run_prints_forges_no_line(scheduled: Any) -> None:
    server = scheduled("printf 'a\\r2026.01.01 00:00:00 [error] b\\033[2J\\n'")

    assert server.logs(r"\]: a\\r2026")[0].endswith(r"]: a\r2026.01.01 00:00:00 [error] b\x1b[2J")


@pytest.mark.parametrize("victim", ["scheduler", "master", "all but the guard"])
def test_no_orphans_whoever_is_killed(scheduled: Any, victim: str) -> None:
    server = scheduled("echo here; sh -c 'sleep 612; true' | sh -c 'trap \"\" TERM HUP PIPE; sleep 612; true'")
    server.logs("here")
    eventually(lambda: len(processes("612")) >= 2, "the pipeline")
    family = server.family()
    master, scheduler = server.pid, server.scheduler

    if victim == "all but the guard":
        os.kill(master, signal.SIGKILL)
    os.kill(master if victim == "master" else scheduler, signal.SIGKILL)

    assert are_gone([each for each in family if victim != "scheduler" or each.pid != master])


def test_a_killed_guard_is_replaced(scheduled: Any) -> None:
    server = scheduled("echo here; sleep 613; true")
    server.logs("here")
    [guard] = [each for each in server.family() if " ".join(each.cmdline()).rstrip().endswith("#0 guard")]

    guard.kill()
    server.logs("there is a new one")
    family = server.family()
    os.kill(server.scheduler, signal.SIGKILL)

    assert are_gone([each for each in family if each.pid != server.pid])


def test_a_command_that_does_not_exist(scheduled: Any) -> None:
    server = scheduled("/no/such/program --at all")

    server.logs(r": sh: .*/no/such/program: not found")
    server.logs("job finished with code 127")


def test_a_python_file_that_nobody_may_execute_runs_under_our_interpreter(scheduled: Any, tmp_path: Path) -> None:
    (tmp_path / "report.py").write_text("import sys; print(sys.executable, sys.argv[1:]); sys.exit(4)\n")
    server = scheduled("./report.py 'a b' 2>&1 # with $HOME")

    assert server.logs(r"\['a b'\]")[0].split()[3] == os.path.abspath(sys.executable)
    server.logs("code 4")


def test_the_shell_of_the_job_expands(scheduled: Any) -> None:
    server = scheduled("X=$(echo inner); echo \"<$X>\" '$X' `pwd`")

    server.logs(rf": <inner> \$X {server.folder}$")


def test_a_flood_is_cut(scheduled: Any) -> None:
    server = scheduled({"command": "head -c 30000000 /dev/zero | tr '\\0' x; echo; echo end", "schedule": "1 10 * * *"})

    server.logs("2999\\d+ bytes of output more are not in the log", within_s=20)
    server.logs("code 0")
    assert sum(map(len, server.log)) < 20_000


def test_a_flood_of_one_does_not_delay_another(scheduled: Any) -> None:
    server = scheduled({"command": "timeout 3 yes", "name": "flood"}, {"command": "echo tick", "name": "clock"})

    server.logs("clock .*: tick", times=4)
    minutes = server.due("clock")
    assert minutes == sorted(set(minutes))
    assert not [line for line in server.log if "clock" in line and "missed" in line]


def test_a_run_that_takes_too_long_is_ended(scheduled: Any) -> None:
    server = scheduled({"command": "sleep 614; true", "timeout_s": 0.3})

    server.logs("runs for 0.3.* s: SIGTERM")
    server.logs(r"\[error\].*job finished with SIGTERM after .*, was ended after 0.3 s")
    assert not processes("614")


def test_what_a_run_leaves_behind_is_ended(scheduled: Any) -> None:
    server = scheduled({"command": "sleep 615 & echo gone", "schedule": "1 10 * * *"})

    server.logs("has left processes behind; they are ended")
    server.logs("job finished with code 0")
    assert not processes("615")


def test_overlapping_runs_are_skipped_and_the_log_says_so(scheduled: Any) -> None:
    server = scheduled("sleep 2.5")

    server.logs(
        r"\[warn\] job: is due .* while its last run goes on \(job \[\d+\], for \d s\), so this one is skipped", times=2
    )
    server.logs("job started", times=2)
    assert int(server.due()[1][-2:]) - int(server.due()[0][-2:]) >= 3


def test_overlapping_runs_may_wait(scheduled: Any) -> None:
    server = scheduled({"command": "echo begin; sleep 1.4; echo end", "overlap": "wait"})

    server.logs(": end", times=2)
    server.logs("waits for the end of its last run")
    said = [line.rsplit(" ", 1)[1] for line in server.log if re.search(r": (begin|end)$", line)]
    assert said[:4] == ["begin", "end", "begin", "end"]


def test_overlapping_runs_may_be_parallel(scheduled: Any) -> None:
    server = scheduled({"command": "echo begin; sleep 2.5; echo end", "overlap": "parallel"})

    server.logs(": end")
    said = [line.rsplit(" ", 1)[1] for line in server.log if re.search(r": (begin|end)$", line)]
    assert said[:2] == ["begin", "begin"]


def test_the_old_run_may_be_ended_for_the_new(scheduled: Any) -> None:
    server = scheduled({"command": "sleep 20; true", "overlap": "replace"})

    server.logs("job started", times=3)
    server.logs("was ended for its next run", times=2)


def test_jitter_delays_the_start(scheduled: Any) -> None:
    server = scheduled(*({"command": f"echo {number}", "jitter_s": 0.8, "schedule": "1 10 * * *"} for number in range(12)))

    lines = server.logs("job started", times=12)
    assert len(lines) == 12
    order = [int(line.rsplit(" ", 1)[1]) for line in server.logs(r"\]: \d+$", times=12)]
    assert order != sorted(order)


SCRIPT = """
import os, threading, time
from skitai import was
VALUE = {value!r}
def well():
    print("value", VALUE, __name__, threading.active_count())
    was.log("said by a job")
async def later():
    print("later", os.getpid() == os.getpgrp())
def badly():
    raise LookupError("no luck")
def leave():
    raise SystemExit(7)
def give_up():
    raise SystemExit("enough")
def delegate():
    threading.Thread(target=lambda: (time.sleep(0.2), print("in a thread"))).start()
def slow():
    print("early \\u00fc \\udc80")
    time.sleep(600)
"""


NAMES = ("well", "later", "badly", "leave", "give_up", "delegate", "slow")


def test_functions_of_the_script(scheduled: Any, tmp_path: Path) -> None:
    server = Scheduled(tmp_path, *({"command": {"function": name}, "name": name} for name in NAMES))
    server.write_script(SCRIPT.format(value="first"))
    try:
        server.start()
        server.logs(r"well \[\d+\]: value first app 1$")
        server.logs(r"later \[\d+\]: later True$")
        server.logs(r"badly \[\d+\]: LookupError: no luck$")
        server.logs(r"badly \[\d+\]: job finished with code 1")
        server.logs(r"leave \[\d+\]: job finished with code 7")
        server.logs(r"give_up \[\d+\]: enough$")
        server.logs(r"give_up \[\d+\]: job finished with code 1")
        server.logs(r"delegate \[\d+\]: in a thread$")
        server.logs(r"slow \[\d+\]: early ü \\udc80$")
        server.logs(r"well \[\d+\]: job finished with code 0")
        eventually(lambda: "said by a job" in (tmp_path / "logs" / "app.log").read_text(), "app.log")
    finally:
        server.stop()
