"""Start, look at, reload, restart and stop real servers, by a script's own command line and by the `skitai` command."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

SCRIPT = """\
import skitai

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]

if __name__ == "__main__":
    skitai.mount("/", app)
    skitai.run(port=0)
"""


class Place:
    """A folder with a script, and the servers that are started there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        places = {"SKITAI_VARPATH": str(folder / "var"), "SKITAI_LOGPATH": str(folder / "logs")}
        self.environ = os.environ | places | {"SKITAI_GRACE_S": "5"}
        self.title = f"skitai({folder.name}/app)"
        self.write("app.py", SCRIPT)

    def write(self, name: str, code: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(code))
        return path

    def python(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words],
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def skitai(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.python("-m", "skitai", *words)

    def start(self, *words: str) -> None:
        done = self.skitai("start", *words)
        assert done.returncode == 0, done.stderr

    def status(self, app: str = "app.py") -> str:
        done = self.skitai("status", app)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def pid(self) -> int:
        return int((self.folder / "var" / ".pid").read_text())

    def get(self, path: str = "/", app: str = "app.py") -> str:
        address = re.search(r"listening on .*127\.0\.0\.1:(\d+)", self.status(app))
        assert address
        return get(int(address[1]), path)


def get(port: int, path: str = "/") -> str:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    assert answer.status == 200, text
    return text


def until(true: Callable[[], object], what: str, seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    for script in tmp_path.glob("*.py"):
        made.skitai("stop", str(script))
    made.skitai("stop", "app.py")


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
    until(lambda: not alive(pid), "the master has gone")
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
            until(lambda: " serving " in place.skitai("status", "app.py").stdout, "it serves")
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
    until(lambda: "/seen" in place.skitai("logs").stdout, "the request is in the log")
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
