"""Helpers beside the workers of a real server: started, watched, restarted, renewed, stopped; no worker is touched."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import socket
import stat
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from skitai.ipc import control, rundir
from tests.support.dialogue import are_gone, eventually
from tests.support.place import Place, alive
from tests.support.user import FOR_EVERYBODY, python_for_everybody

pytestmark = pytest.mark.process

SCRIPT = """\
import skitai

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]

if __name__ == "__main__":
    {calls}
    skitai.mount("/", app)
    skitai.run(port=0)
"""
MAIL = "skitai.enable_smtpda('127.0.0.1:9', 'ann', 'sesame', keep_days=3)"
JOB = "skitai.cron('@yearly', 'true')"


def started(place: Place, *calls: str) -> Place:
    write(place, *calls)
    place.start("app.py")
    return place


def write(place: Place, *calls: str) -> None:
    place.write("app.py", SCRIPT.format(calls="; ".join(calls) or "pass"))


def child(place: Place, name: str, state: str = "serving") -> psutil.Process:
    """The process of a helper, or of the worker, as soon as there is exactly one."""

    def found() -> psutil.Process | None:
        pids = [each["pid"] for each in told(place) if each["program"] == name]
        serving = [each["pid"] for each in told(place) if each["program"] == name and each["state"] == state]
        return psutil.Process(pids[0]) if pids == serving and len(pids) == 1 else None

    process: psutil.Process = eventually(found, f"one {name} {state}")
    return process


def told(place: Place) -> list[dict[str, Any]]:
    """What the master tells of its children."""
    children: list[dict[str, Any]] = control.ask(str(place.folder / "var"), "status", timeout_s=10).data["children"]
    return children


def log(place: Place) -> str:
    return (place.folder / "logs" / "server.log").read_text()


def test_helpers_are_started_titled_and_shown(place: Place) -> None:
    write(place, MAIL, JOB)
    assert "\n  helpers    smtpda, cron\n" in place.skitai("start", "app.py").stdout

    smtpda, cron = child(place, "smtpda"), child(place, "cron")

    assert " ".join(smtpda.cmdline()).strip() == f"{place.title}: smtpda"
    assert " ".join(cron.cmdline()).strip() == f"{place.title}: cron"
    eventually(lambda: re.search(rf"cron +{cron.pid} +serving +\S+ s +0 +0 +0 +1 ", place.status()), "its one job")
    status = place.status()
    assert re.search(r"pid +state +up +done +failed +running +waiting", status)
    assert re.search(rf"smtpda +{smtpda.pid} +serving +\S+ s +0 +0 +0 +0 ", status)
    assert place.get() == "hello"


def test_a_server_without_them_has_none(place: Place) -> None:
    started(place)
    assert "waiting" not in place.status()


@pytest.mark.parametrize("name", ["smtpda", "cron"])
def test_a_killed_helper_comes_back_and_no_worker_notices(place: Place, name: str) -> None:
    started(place, MAIL, JOB)
    worker, helper = child(place, "worker"), child(place, name)

    helper.kill()

    assert eventually(lambda: child(place, name).pid != helper.pid, "another")
    assert f"{name} (pid {helper.pid}) was killed by SIGKILL" in log(place)
    assert child(place, "worker").pid == worker.pid
    assert place.get() == "hello"


def test_a_helper_that_dies_again_and_again_waits_longer_and_longer(place: Place) -> None:
    started(place, MAIL)
    worker = child(place, "worker")
    began_s = time.monotonic()
    for deaths in range(1, 4):
        child(place, "smtpda").kill()
        eventually(lambda deaths=deaths: log(place).count("was killed by SIGKILL") >= deaths, "its death")
    assert time.monotonic() - began_s > 2.5  # 1 s and 2 s have passed
    eventually(lambda: "crash loop: 3 times in a row a smtpda left" in log(place), "what the log says")
    assert child(place, "worker").pid == worker.pid


def test_a_stopped_helper_that_does_not_beat_is_replaced(place: Place) -> None:
    place.environ["SKITAI_HEARTBEAT_S"] = "2"
    started(place, MAIL, JOB)
    worker = child(place, "worker")
    helpers = [child(place, "smtpda"), child(place, "cron")]

    for each in helpers:  # before or after its first beat
        each.suspend()

    for each, name in zip(helpers, ("smtpda", "cron"), strict=True):
        eventually(lambda each=each: not alive(each.pid), "its end", within_s=20)
        assert child(place, name).pid != each.pid
        assert f"{name} (pid {each.pid}) is stuck" in log(place)
    assert child(place, "worker").pid == worker.pid


def test_a_stop_ends_workers_first_and_then_helpers(place: Place) -> None:
    started(place, MAIL, JOB)
    family = [child(place, name) for name in ("worker", "smtpda", "cron")]

    assert place.skitai("stop").returncode == 0

    assert are_gone(family)
    said = log(place)
    names = ("worker #0", "smtpda", "cron")
    ends = [said.index(f"{name} (pid {each.pid}) left with code 0") for name, each in zip(names, family, strict=True)]
    assert ends[0] == min(ends)


def test_a_fast_stop_is_fast(place: Place) -> None:
    started(place, MAIL, JOB)
    family = [child(place, name) for name in ("worker", "smtpda", "cron")]
    began_s = time.monotonic()

    os.kill(place.pid(), signal.SIGQUIT)

    assert are_gone(family)
    assert time.monotonic() - began_s < 5


def test_a_helper_that_is_slow_to_stop_keeps_no_port_open(place: Place) -> None:
    started(place, MAIL, JOB)
    address = re.search(r"listening on .*127\.0\.0\.1:(\d+)", place.status())
    assert address
    worker, smtpda = child(place, "worker"), child(place, "smtpda")
    smtpda.suspend()

    os.kill(place.pid(), signal.SIGTERM)

    assert are_gone([worker])
    assert alive(smtpda.pid)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(address[1])), 5)
    assert are_gone([smtpda])


def test_killing_the_master_leaves_no_helper_behind(place: Place) -> None:
    started(place, MAIL, JOB)
    family = [child(place, name) for name in ("worker", "smtpda", "cron")]

    os.kill(place.pid(), signal.SIGKILL)

    assert are_gone(family, within_s=15)


def test_a_reload_gives_helpers_the_new_configuration(place: Place) -> None:
    started(place, MAIL, JOB)
    smtpda, cron = child(place, "smtpda"), child(place, "cron")
    write(place, MAIL, JOB, "skitai.cron('@monthly', 'false')")

    done = place.skitai("reload")

    assert (done.returncode, done.stderr) == (0, "")
    assert not alive(smtpda.pid)
    assert not alive(cron.pid)
    pid = child(place, "cron").pid
    eventually(lambda: re.search(rf"cron +{pid} +serving +\S+ s +0 +0 +0 +2 ", place.status()), "its two jobs")


def test_a_reload_brings_and_takes_helpers(place: Place) -> None:
    started(place, MAIL)
    smtpda = child(place, "smtpda")
    write(place, JOB)

    assert place.skitai("reload").returncode == 0

    child(place, "cron")
    eventually(lambda: not alive(smtpda.pid), "the end of the one that is not wanted any more")
    assert "smtpda" not in place.status()


def test_a_job_outlives_a_reload_while_the_new_scheduler_is_at_work(place: Place) -> None:
    job = "skitai.cron('* * * * *', 'echo began; until test -e go; do sleep 0.1; done; echo ended')"
    started(place, job)
    cron = child(place, "cron")
    cron_log = place.folder / "logs" / "cron.log"
    eventually(lambda: "job started" in cron_log.read_text(), "a real minute to begin", within_s=75)
    write(place, job, JOB)

    done = place.skitai("reload")

    assert (done.returncode, done.stderr) == (0, "")
    states = {row["pid"]: row["state"] for row in told(place) if row["program"] == "cron"}
    assert states.pop(cron.pid) == "retiring"
    assert list(states.values()) == ["serving"]
    (place.folder / "go").touch()
    eventually(lambda: not alive(cron.pid), "the end of the job and of its scheduler")
    assert re.search(r"ended\n(.*\n)*.*job finished with code 0 ", cron_log.read_text())
    assert child(place, "cron").pid in states


def test_a_refused_reload_leaves_helpers_alone(place: Place) -> None:
    started(place, MAIL, JOB)
    before = child(place, "smtpda").pid, child(place, "cron").pid
    write(place, MAIL, "skitai.cron('61 * * * *', 'true')")

    done = place.skitai("reload")

    assert done.returncode == 1
    assert "app.py:8: minute 61 is outside 0-59" in done.stderr
    assert (child(place, "smtpda").pid, child(place, "cron").pid) == before


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        ("skitai.cron('* * * *', 'true')", "app.py:8: "),
        ("skitai.cron('* * * * *', ' ')", "app.py:8: the job * * * * * has no command"),
        ("skitai.cron('* * * * *', 'x', overlap='maybe')", "app.py:8: cron() overlap: 'maybe' is not one of skip, wait, "),
        (
            "skitai.cron('* * * * *', 'x', timeout=3)",
            "app.py:8: cron() timeout: there is no such option; did you mean timeout_s?",
        ),
        ("skitai.cron('* * * * *', 'x', time_zone='Nowhere/At_all')", "app.py:8: there is no time zone 'Nowhere/At_all'"),
        ("skitai.enable_smtpda('a b')", "app.py:8: smtpda_server: 'a b' is no mail server: "),
        ("skitai.enable_smtpda(max_retry=-1)", "app.py:8: smtpda_max_retry: -1 is below 0"),
        ("skitai.enable_smtpda(password=7)", "app.py:8: smtpda_password: is not plain text; what was given is not shown"),
        (
            "skitai.enable_smtpda(bounces=True)",
            "app.py:8: smtpda_bounces: there is no such option; did you mean smtpda_bounce?",
        ),
    ],
)
def test_what_is_wrong_is_said_before_anything_starts(place: Place, call: str, fault: str) -> None:
    write(place, call)
    done = place.skitai("start", "app.py")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(fault)


def test_passwords_are_neither_shown_nor_taken_on_a_command_line(place: Place) -> None:
    started(place, MAIL)
    shown = place.skitai("check").stdout + place.status() + place.skitai("logs").stdout
    shown += "".join(" ".join(each.cmdline()) for each in [child(place, "smtpda"), child(place, "worker")])
    assert "ann" in shown
    assert "sesame" not in shown
    refused = place.skitai("check", "app.py", "--smtpda-password", "sesame")
    assert refused.returncode == 2
    assert "use SKITAI_SMTPDA_PASSWORD or a configuration file" in refused.stderr


def test_a_generation_that_is_given_up_takes_no_helper_with_it(served: Any) -> None:
    server = served(smtpda_enabled=True).start()

    def smtpda() -> list[int]:
        children = server.ask("status").data["children"]
        return [each["pid"] for each in children if each["program"] == "smtpda" and each["state"] == "serving"]

    [pid] = eventually(smtpda, "a mail agent")
    server.write_script(smtpda_enabled=False)
    server.toys(boot="fail")

    assert not server.ask("reload").ok

    time.sleep(0.5)
    assert smtpda() == [pid]
    server.toys(boot="")
    assert server.ask("reload").ok
    eventually(lambda: not psutil.pid_exists(pid), "its end, as the code that serves now does without")


def test_there_is_one_of_each_whatever_is_asked_for(served: Any) -> None:
    server = served(smtpda_enabled=True).start()
    assert server.ask("workers", change=1).text == "worker: 3 wanted"
    server.ask("stop")


MAILING = """\
import skitai
from skitai import was

def app(environ, start_response):
    mail = was.email("hello", "a@example.com", "b@example.com")
    mail.add_content("text", "text/plain")
    mail.send()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"sent"]

if __name__ == "__main__":
    skitai.enable_smtpda("127.0.0.1:{port}")
    skitai.mount("/", app)
    skitai.run(port=0, user="nobody")
"""


def only_message(spool: Path) -> os.stat_result | None:
    """Whose it is; None while the agent, which tries to deliver it, gives its file another name."""
    try:
        [message] = spool.glob("*.mail")
        return message.stat()
    except (ValueError, FileNotFoundError):
        return None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_helpers_become_the_user_that_workers_become_and_share_their_spool(open_folder: Path) -> None:
    place = Place(open_folder)
    place.environ["PYTHONPATH"] = FOR_EVERYBODY
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        place.write("app.py", MAILING.format(port=closed.getsockname()[1]))
    nobody = pwd.getpwnam("nobody")
    home = Path(rundir.var_folder(str(open_folder / "app.py"), user="nobody"))
    place.interpreter = python_for_everybody()
    try:
        place.start("app.py")
        assert child(place, "smtpda").uids().real == nobody.pw_uid
        assert place.get() == "sent"
        message = eventually(lambda: only_message(home / "smtpda" / "mail" / "spool"), "one message")
        assert message.st_uid == nobody.pw_uid
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        eventually(lambda: re.search(r"smtpda +\d+ +serving +\S+ s +0 +0 +\d +1 ", place.status()), "what waits")
    finally:
        place.stop()
        shutil.rmtree(home, ignore_errors=True)
