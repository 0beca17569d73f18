"""The scheduler and time: restarts, reloads, set clocks, what it remembers. A minute takes a second here, but for one."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.dialogue import Served, are_gone, eventually
from tests.support.scheduled import Scheduled, in_a_row, processes

pytestmark = pytest.mark.process


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

    noted = [line for line in (tmp_path / "runs").read_text().splitlines() if "handled" in line]
    assert len(noted) >= 3
    assert noted == sorted(set(noted))
    assert len(server.logs(r"\[error\] job: its run that was due .* was cut off: the scheduler died", times=3)) == 3


def test_a_reload_runs_no_minute_twice_and_skips_none(scheduled: Any) -> None:
    server = scheduled("true")
    server.logs("job started")

    for _ in range(3):
        assert server.ask("reload").ok
    server.logs("job started", times=len(server.due()) + 2)

    minutes = server.due()
    assert minutes == in_a_row(minutes)
    assert not [line for line in server.log if "cut off" in line]


def test_a_run_outlives_a_reload_and_is_not_doubled(scheduled: Any) -> None:
    server = scheduled("sleep 5; echo end", grace_s=20)
    [pid] = re.findall(r"\[(\d+)\]", server.logs("job started")[0])

    assert server.ask("reload").ok

    server.logs("while its last run goes on \\(of the scheduler before this one\\), so this one is skipped")
    server.logs(rf"job \[{pid}\]: end")
    server.logs(rf"job \[{pid}\]: job finished with code 0")
    assert not [line for line in server.log if "cut off" in line]


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


def in_the_way(path: Path) -> None:
    """Make a folder where the scheduler, which is at work, makes a file and renames it."""

    def made() -> bool:
        try:
            path.mkdir()
        except FileExistsError:
            return False  # just then the file was there
        return True

    eventually(made, f"a folder {path.name}")


def test_a_history_that_cannot_be_written(scheduled: Any) -> None:
    server = scheduled("true")
    server.logs("job started")

    in_the_way(server.state / "history.json.new")
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
from skitai import was
from skitai.saddle import Saddle

app = Saddle(__name__)

@app.route("/")
def index(was):
    return str(os.getpid())

@app.on_broadcast("swept", "model-changed:files")
def heard(was, *args):
    was.log(f"worker {os.getpid()} heard {args}")

def sweep():
    print("swept by", os.environ["GREETING"])
    was.broadcast("swept", 3)
    was.setlu("files")

if __name__ == "__main__":
    skitai.deflu("files")
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
        app_log = tmp_path / "logs" / "app.log"
        for said in ("(3,)", "()"):
            eventually(lambda said=said: app_log.read_text().count(f"heard {said}") == 2, f"{said} heard by both workers")
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


def test_a_scheduler_that_cannot_work_disturbs_nobody(tmp_path: Path) -> None:
    server = Scheduled(tmp_path)
    (tmp_path / "app.py").write_text(CRON_SCRIPT)
    server.var.mkdir(mode=0o700)
    (server.var / "cron").write_text("in the way")
    server.options["workers"] = 2
    try:
        server.start()
        assert server.get()
        server.hears_that(r"cron \(pid \d+\) left with code 1: cannot use .*/var/cron: it is not a folder")

        (server.var / "cron").unlink()
        server.hears_that(r"cron \(pid \d+\) is ready")
        server.logs("job added", times=4)
    finally:
        server.stop()
