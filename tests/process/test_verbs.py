"""Start, look at, reload, restart and stop real servers, by a script's own command line and by the `skitai` command."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.dialogue import eventually
from tests.support.place import SCRIPT, Place, alive

pytestmark = pytest.mark.process


def test_a_day_in_the_life_of_a_daemon(place: Place) -> None:
    started = place.python("app.py", "start")
    assert (started.returncode, started.stderr) == (0, "")

    status = place.python("app.py", "status")
    pid = place.pid()
    assert status.returncode == 0
    assert status.stdout.startswith(f"{place.title}: ")
    assert f"pid {pid}, up " in status.stdout
    assert re.search(r"worker #0 +\d+ +serving ", status.stdout)
    assert place.skitai("app.py", "status").returncode == 0
    assert place.get() == "hello"

    again = place.python("app.py", "-d")
    assert again.returncode == 1
    assert again.stderr.count("\n") == 1
    assert f"already running, pid {pid}" in again.stderr

    stopped = place.python("app.py", "stop")
    assert (stopped.returncode, stopped.stdout) == (0, f"{place.title} has stopped, pid {pid}\n")
    assert not alive(pid)
    assert place.python("app.py", "status").returncode == 3


def test_a_status_without_an_app_shows_every_server(place: Place, tmp_path: Path) -> None:
    other = Place(tmp_path / "other")
    place.start("app.py")
    other.start("app.py")
    done = place.skitai("status")
    assert done.returncode == 0
    assert f"{place.title}: " in done.stdout
    assert f"{other.title}: " in done.stdout
    assert other.skitai("stop").returncode == 0
    done = place.skitai("status")
    assert f"{other.title}: " not in done.stdout


def test_restart_is_stop_and_start(place: Place) -> None:
    place.start("app.py")
    before = place.pid()
    place.write("app.py", SCRIPT.replace("hello", "later"))
    done = place.python("app.py", "-r")
    assert (done.returncode, done.stderr) == (0, "")
    assert not alive(before)
    assert place.pid() != before
    assert place.get() == "later"


def test_restart_starts_what_does_not_run(place: Place) -> None:
    done = place.skitai("restart")
    assert (done.returncode, done.stderr) == (0, "")
    assert place.get() == "hello"


def test_restart_with_a_faulty_configuration_leaves_the_old_server_alone(place: Place) -> None:
    place.start("app.py")
    done = place.skitai("restart", "app.py", "--workers", "none")
    assert (done.returncode, done.stderr) == (1, "--workers: 'none' is not a whole number\n")
    assert place.get() == "hello"


def test_reload_takes_new_code_over_in_place(place: Place) -> None:
    place.start("app.py")
    pid = place.pid()
    place.write("app.py", SCRIPT.replace("hello", "later"))
    done = place.python("app.py", "reload")
    assert (done.returncode, done.stderr) == (0, "")
    assert (place.pid(), place.get()) == (pid, "later")


def test_a_reload_that_is_refused_says_why(place: Place) -> None:
    place.start("app.py")
    pid = place.pid()
    place.write("app.py", SCRIPT.replace("import skitai", "import skitai, gone_for_good"))
    done = place.skitai("reload")
    assert done.returncode == 1
    assert "No module named 'gone_for_good'" in done.stderr
    assert (place.pid(), place.get()) == (pid, "hello")


def test_a_script_that_fails_after_the_exec_leaves_the_old_workers_serving(place: Place) -> None:
    place.start("app.py")
    pid = place.pid()
    place.write("app.py", "import sys\nif '_resume' in sys.orig_argv: raise LookupError('late')\n" + SCRIPT)
    done = place.skitai("reload")
    assert done.returncode == 1
    assert "LookupError: late" in done.stderr
    assert (place.pid(), place.get()) == (pid, "hello")
    place.write("app.py", SCRIPT.replace("hello", "mended"))
    done = place.skitai("reload")
    assert (done.returncode, done.stderr) == (0, "")
    assert (place.pid(), place.get()) == (pid, "mended")


def test_a_busy_port_is_one_line(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for words in (["run"], ["start"]):
            done = place.skitai(*words, "app.py", "--port", port)
            assert done.returncode == 1
            assert done.stderr.count("\n") == 1
            assert port in done.stderr
    assert place.skitai("status", "app.py").returncode == 3


def test_a_killed_server_leaves_a_stale_pid_file_that_bothers_nobody(place: Place) -> None:
    place.start("app.py")
    pid = place.pid()
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not alive(pid), "the master has gone")
    assert place.pid() == pid
    assert place.skitai("status", "app.py").returncode == 3
    place.start("app.py")
    assert place.pid() != pid
    assert place.get() == "hello"


def test_a_server_that_keeps_its_files_elsewhere_is_found_without_running_its_script(place: Place) -> None:
    del place.environ["SKITAI_VARPATH"]
    place.write("app.py", SCRIPT.replace("port=0", "port=0, varpath='elsewhere'"))
    place.start("app.py")
    assert (place.folder / "elsewhere" / ".pid").exists()
    place.write("app.py", "this is no Python any more")
    assert " serving " in place.status()
    done = place.skitai("stop", "app.py")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_without_a_verb_it_serves_in_the_foreground_until_it_is_stopped(place: Place, how: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "app.py"],
        cwd=place.folder,
        env=place.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            eventually(lambda: " serving " in place.skitai("status", "app.py").stdout, "it serves")
            assert place.pid() == process.pid
            assert place.get() == "hello"
            process.send_signal(how)
            output, _ = process.communicate(timeout=20)
            assert process.returncode == 0, output
        finally:
            process.kill()


def test_variables_and_folders_are_served_and_reloaded_without_a_script(place: Place) -> None:
    place.write("shop/wsgi.py", SCRIPT.partition("if __name__")[0].replace("def app", "def application"))
    place.start("shop.wsgi:application", "--port", "0")
    assert place.get(app="shop.wsgi:application") == "hello"
    place.write("shop/wsgi.py", (place.folder / "shop/wsgi.py").read_text().replace("hello", "later"))
    done = place.skitai("reload", "shop.wsgi:application")
    assert (done.returncode, done.stderr) == (0, "")
    assert place.get(app="shop.wsgi:application") == "later"
    assert place.skitai("stop", "shop.wsgi:application").returncode == 0

    place.write("public/page.txt", "a page")
    place.start("public", "--port", "0")
    assert place.get("/page.txt", app="public") == "a page"
    assert place.skitai("stop", "public").returncode == 0


def test_logs_prints_the_ends_of_the_files(place: Place) -> None:
    del place.environ["SKITAI_LOGPATH"]
    logs = place.folder / "logs of app"
    place.start("app.py", "--logpath", str(logs))
    place.get("/seen")
    eventually(lambda: "/seen" in place.skitai("logs").stdout, "the request is in the log")
    done = place.skitai("logs", "app.py")
    assert f"==> {logs}/server.log" in done.stdout
    assert place.skitai("stop").returncode == 0
    assert "/seen" in place.skitai("logs", "--logpath", str(logs)).stdout


def heed_interrupts() -> None:
    """Whoever runs the tests in the background has them ignore SIGINT, and what they start with them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_logs_follows_what_is_added(place: Place) -> None:
    place.start("app.py")
    with subprocess.Popen(
        [sys.executable, "-m", "skitai", "logs", "-f"],
        cwd=place.folder,
        env=place.environ,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,  # noqa: PLW1509 - no threads run here
    ) as follower:
        try:
            assert follower.stdout
            assert "server.log" in follower.stdout.readline()
            place.get("/followed")
            assert any("/followed" in line for line in follower.stdout)
            follower.send_signal(signal.SIGINT)
            follower.communicate(timeout=10)
            assert follower.returncode == 0
        finally:
            follower.kill()
