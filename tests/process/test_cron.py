"""The scheduler's process: runs, their ends, and what it does when things go wrong. A minute takes a second here."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.dialogue import Served, are_gone, eventually
from tests.support.fastcron import set_clock

MINUTE_S = 1.0


class Scheduled(Served):
    """A server whose only child is a scheduler."""

    def __init__(self, folder: Path, *jobs: dict[str, Any] | str, **options: Any) -> None:
        fixed = {
            "engine": "tests.support.fastcron:serve",
            "workers": 1,
            "helper_grace_s": 1,
            "logpath": str(folder / "logs"),
        }
        super().__init__(folder, **(fixed | options))
        self.jobs(*jobs)

    def jobs(self, *jobs: dict[str, Any] | str) -> None:
        given = [{"command": each} if isinstance(each, str) else each for each in jobs]
        (self.folder / "jobs.json").write_text(json.dumps(given))

    def set_clock(self, seconds: float) -> None:
        set_clock(self.folder, seconds)

    @property
    def state(self) -> Path:
        return self.var / "cron"

    @property
    def log(self) -> list[str]:
        """The lines of cron.log, without their dates."""
        file = self.folder / "logs" / "cron.log"
        return [line.split(" ", 2)[2] for line in file.read_text().splitlines()] if file.exists() else []

    def logs(self, pattern: str, times: int = 1, within_s: float = 10) -> list[str]:
        """Wait until so many lines of cron.log match; these lines."""

        def found() -> list[str]:
            return [line for line in self.log if re.search(pattern, line)]

        try:
            eventually(lambda: len(found()) >= times, f"{pattern!r} in cron.log", within_s)
        except AssertionError as error:
            raise AssertionError("\n".join([str(error), *self.log, self.said])) from None
        return found()

    def due(self, pattern: str = "") -> list[str]:
        """The minutes whose runs began."""
        return [
            match[1] for line in self.log if (match := re.search(rf"{pattern}.*: job started, due .* (\d\d:\d\d)$", line))
        ]

    @property
    def scheduler(self) -> int:
        """The pid of the one that is at work."""
        workers = self.workers()
        return workers[min(workers)]


@pytest.fixture
def scheduled(tmp_path: Path) -> Iterator[Callable[..., Scheduled]]:
    made: list[Scheduled] = []

    def make(*jobs: dict[str, Any] | str, **options: Any) -> Scheduled:
        made.append(Scheduled(tmp_path, *jobs, **options))
        made[-1].start()
        return made[-1]

    yield make
    for each in made:
        each.stop()


def processes(marker: str) -> list[psutil.Process]:
    """Those whose command line holds a word that no other test uses."""
    found = []
    for each in psutil.process_iter():
        try:
            if marker in each.cmdline() and each.status() != psutil.STATUS_ZOMBIE:
                found.append(each)
        except psutil.NoSuchProcess:
            continue
    return found


def in_a_row(minutes: list[str]) -> list[str]:
    """As many minutes from the first of these on."""
    first = int(minutes[0][-2:])
    return [f"10:{minute:02}" for minute in range(first, first + len(minutes))]


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

    assert server.logs(r"\['a b'\]")[0].split()[3] == os.path.abspath(os.sys.executable)
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
import os, threading
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
"""


def test_functions_of_the_script(scheduled: Any, tmp_path: Path) -> None:
    server = Scheduled(
        tmp_path, *({"command": {"function": name}, "name": name} for name in ("well", "later", "badly", "leave"))
    )
    server.write_script(SCRIPT.format(value="first"))
    try:
        server.start()
        server.logs(r"well \[\d+\]: value first app 1$")
        server.logs(r"later \[\d+\]: later True$")
        server.logs(r"badly \[\d+\]: LookupError: no luck$")
        server.logs(r"badly \[\d+\]: job finished with code 1")
        server.logs(r"leave \[\d+\]: job finished with code 7")
        server.logs(r"well \[\d+\]: job finished with code 0")
        eventually(lambda: "said by a job" in (tmp_path / "logs" / "app.log").read_text(), "app.log")
    finally:
        server.stop()


def test_a_restart_runs_no_minute_twice_and_skips_none_silently(scheduled: Any) -> None:
    server = scheduled("true")
    for _ in range(4):
        server.logs("job started", times=len(server.due()) + 1)
        os.kill(server.scheduler, signal.SIGKILL)
        eventually(server.workers, "another scheduler", within_s=20)

    minutes = server.due()
    assert minutes == sorted(set(minutes))
    assert minutes == in_a_row(minutes) or server.logs("missed")


def test_a_time_is_noted_before_it_is_run(scheduled: Any, tmp_path: Path) -> None:
    (tmp_path / "note.sh").write_text("grep handled var/cron/history.json >> runs; kill -9 $PPID")
    server = scheduled(". ./note.sh")

    server.logs("job added", times=4, within_s=20)  # it has been killed three times

    noted = (tmp_path / "runs").read_text().splitlines()
    assert len(noted) >= 3
    assert noted == sorted(set(noted))


def test_a_reload_runs_no_minute_twice_and_skips_none(scheduled: Any) -> None:
    server = scheduled("true")
    server.logs("job started")

    for _ in range(3):
        assert server.ask("reload").ok
    server.logs("job started", times=len(server.due()) + 2)

    minutes = server.due()
    assert minutes == in_a_row(minutes)


def test_a_run_outlives_a_reload_and_is_not_doubled(scheduled: Any) -> None:
    server = scheduled("sleep 5; echo end", grace_s=20)
    [pid] = re.findall(r"\[(\d+)\]", server.logs("job started")[0])

    assert server.ask("reload").ok

    server.logs("while its last run goes on \\(of the scheduler before this one\\), so this one is skipped")
    server.logs(rf"job \[{pid}\]: end")
    server.logs(rf"job \[{pid}\]: job finished with code 0")


def test_runs_missed_while_nobody_was_there(scheduled: Any) -> None:
    server = scheduled({"command": "true", "name": "none"}, {"command": "true", "name": "last", "missed": "last"})
    server.logs("none .*job started")
    server.logs("last .*job started")
    server.signal(signal.SIGTERM)
    server.leaves()
    before = len(server.log)

    server.set_clock(1800 - 15)  # the 15 s let it start between two minutes
    server.start()
    server.logs("last .*job started", times=2)

    line = next(line for line in server.log[before:] if line.startswith("[warn] none"))
    assert "and is missed: nobody was there to run it" in line or "earlier times" in line
    assert any("last" in line and "job started" in line for line in server.log[before:])


def test_a_clock_set_back_by_less_than_a_minute_runs_nothing_twice(scheduled: Any) -> None:
    server = scheduled("true")
    server.logs("job started", times=2)

    server.set_clock(-40)
    server.logs("job started", times=4)

    minutes = server.due()
    assert minutes == sorted(set(minutes))


def test_a_clock_set_back_by_an_hour(scheduled: Any) -> None:
    minute = {"command": "true", "name": "minute"}
    daily = {"command": "true", "name": "daily", "schedule": "1-4 10 * * *"}
    server = scheduled(minute, daily)
    server.logs("daily .*job started", times=2)

    server.set_clock(-150)
    server.logs("minute .*job started", times=8)

    assert server.due("daily") == sorted(set(server.due("daily"))), "what goes by the wall runs once"
    assert len(server.due("minute")) > len(set(server.due("minute"))), "what goes by real time goes on"


def test_a_clock_set_forward_runs_what_came_due_once(scheduled: Any) -> None:
    server = scheduled({"command": "true", "name": "late", "schedule": "30,31 10 * * *"})

    server.set_clock(3600)
    server.logs("late .*job started, due 2026-11-22 10:31")

    server.logs("late: earlier times than 2026-11-22 10:31 are missed")
    server.logs("late: is late: it was due 2026-11-22 10:31")
    assert len(server.due()) == 1


def test_a_history_that_cannot_be_understood_is_set_aside(scheduled: Any) -> None:
    server = scheduled("true")
    server.logs("job started")
    server.signal(signal.SIGTERM)
    server.leaves()

    (server.state / "history.json").write_text('{"version": 1, "jobs": {"x": 5}}')
    server.start()

    server.logs("history of jobs cannot be understood and begins anew: TypeError")
    server.logs("the old one is now .*history.unreadable")
    assert '"x": 5' in (server.state / "history.unreadable").read_text()
    server.logs("job finished", times=2)


def test_a_history_that_cannot_be_written(scheduled: Any) -> None:
    server = scheduled("true")
    server.logs("job started")

    (server.state / "history.json.new").mkdir()
    lines = server.logs("the history of jobs cannot be written: Is a directory")
    server.logs("job started", times=len(server.due()) + 2)
    assert len(server.logs("cannot be written")) == len(lines) == 1
    (server.state / "history.json.new").rmdir()

    server.logs("the history of jobs is written again")
    assert json.loads((server.state / "history.json").read_text())["version"] == 1


def test_only_one_scheduler_of_a_folder_works(scheduled: Any, tmp_path: Path) -> None:
    server = scheduled("true")
    server.logs("job started")
    server.signal(signal.SIGTTIN)  # one more child

    server.logs("another scheduler is at work; this one waits for its end")
    server.logs("job started", times=3)
    minutes = server.due()
    assert minutes == sorted(set(minutes))
    os.kill(server.scheduler, signal.SIGKILL)
    server.logs("the schedule is taken over")
    server.logs("job started", times=len(minutes) + 2)
    assert server.due() == sorted(set(server.due()))


CRON_SCRIPT = """
import os
import skitai

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % os.getpid()]

def sweep():
    print("swept by", os.environ["GREETING"])

if __name__ == "__main__":
    skitai.cron("* * * * *", sweep)
    skitai.cron("* * * * *", "echo $GREETING; date +%s.%N", name="greet")
    skitai.cron("*/2 * * * *", "sleep 616; true", name="sleep")
    skitai.cron("1-59/2 * * * *", "sleep 616; true", name="sleep")
    skitai.mount("/", app)
    skitai.run(port=0, workers=2, varpath="var", logpath="logs")
"""


def crons(server: Served) -> list[dict[str, Any]]:
    """The schedulers of a server, the older first."""
    children = [child for child in server.ask("status").data["children"] if child["label"] == "cron"]
    return sorted(children, key=lambda child: int(child["number"]))


def test_jobs_of_a_server_run_on_the_minute_once(tmp_path: Path) -> None:
    """This one waits for the end of a real minute."""
    server = Scheduled(tmp_path)
    (tmp_path / "app.py").write_text(CRON_SCRIPT)
    server.options["workers"] = 3  # the scheduler says that it is ready, too
    try:
        server.start(environ={"GREETING": "good morning"})
        children = server.ask("status").data["children"]
        assert sorted(child["label"] for child in children) == ["cron", "worker #0", "worker #1"]
        assert any(" ".join(each.cmdline()).endswith("/app): cron") for each in server.family())

        server.logs("job finished", times=2, within_s=70)

        [moment] = server.logs(r"greet \[\d+\]: \d+\.\d+$")
        assert float(moment.split()[-1]) % 60 < 3, "on the minute"
        assert len(server.logs(r"greet \[\d+\]: good morning$")) == 1
        assert len(server.logs(r"sweep \[\d+\]: swept by good morning$")) == 1
        [cron] = crons(server)
        assert (cron["done"], cron["failed"], cron["running"]) == (2, 0, 1)

        assert server.ask("reload").ok
        old, new = crons(server)
        assert (old["pid"], old["state"], new["state"]) == (cron["pid"], "retiring", "serving")
        assert processes("616"), "a run outlives a reload"

        for each in (old, new):
            os.kill(each["pid"], signal.SIGKILL)
        eventually(lambda: not processes("616"), "the end of the job")
        eventually(lambda: [each for each in crons(server) if each["pid"] not in (old["pid"], new["pid"])], "another one")
        assert server.get()
        server.logs("job added", times=12)
        assert len(server.due("greet")) == 1, "neither a reload nor a restart runs a minute twice"

        family = server.family()
        server.signal(signal.SIGTERM)
        assert server.leaves() == 0
        assert are_gone(family)
    finally:
        server.stop()
