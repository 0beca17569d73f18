"""Dialogues about starting: files and rights, the background, users, sockets from outside, and clear refusals."""

from __future__ import annotations

import os
import pty
import pwd
import queue
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from skitai.ipc import pidfile
from skitai.ipc.sd_notify import Notifier
from tests.support.dialogue import Served, are_gone, eventually
from tests.support.user import FOR_EVERYBODY, python_for_everybody

pytestmark = pytest.mark.process

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def test_the_run_directory_is_private_and_empty_afterwards(served: Any) -> None:
    server = served().start()

    assert sorted(os.listdir(server.var)) == [".pid", "control"]
    assert stat.S_IMODE(server.var.stat().st_mode) == 0o700
    assert stat.S_IMODE((server.var / "control").stat().st_mode) == 0o600
    assert (server.var / ".pid").read_text() == f"{server.pid}\n"
    server.ask("stop")
    assert os.listdir(server.var) == []


def test_a_second_start_is_refused_in_one_line(served: Any) -> None:
    server = served().start()
    before = server.said

    second = Served(server.folder).start(wait=False)

    assert second.leaves() == 1
    assert server.said.removeprefix(before) == f"already running, pid {server.pid} (see {server.var}/.pid)\n"
    assert server.get()


def test_a_busy_port_is_refused_in_one_line_and_leaves_nothing_behind(served: Any) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]

        server = served(port=port).start(wait=False)

        assert server.leaves() == 1
    assert server.said == f"cannot listen on http://127.0.0.1:{port}: the address is already in use\n"
    assert os.listdir(server.var) == []


def test_a_stale_pid_file_is_in_nobodys_way(served: Any) -> None:
    server = served()
    server.var.mkdir(mode=0o700)
    (server.var / ".pid").write_text(f"{os.getpid()}\n")  # a living process, but not its owner
    assert pidfile.read(str(server.var)) is None

    server.start()

    assert server.pid == psutil.Process(server.pid).pid != os.getpid()


def test_a_pid_file_that_is_a_link_is_refused(served: Any) -> None:
    server = served()
    server.var.mkdir(mode=0o700)
    target = server.folder / "precious"
    target.write_text("text")
    (server.var / ".pid").symlink_to(target)

    server.start(wait=False)

    assert server.leaves() == 1
    assert server.said.strip().endswith(".pid: it is a symbolic link")
    assert target.read_text() == "text"


def test_a_var_path_longer_than_a_socket_address_works(served: Any, tmp_path: Path) -> None:
    var = tmp_path / ("long" * 30) / "var"
    server = served(varpath=str(var))
    server.var = var

    server.start()

    assert server.ask("status").ok
    assert server.ask("stop").ok


def test_the_background(served: Any) -> None:
    server = served(logpath="logs").start("-d", wait=False)

    assert server.leaves() == 0  # only when it is ready
    assert server.get().startswith("#")
    assert re.search(r"listens on http://127\.0\.0\.1:\d+\n", (server.folder / "said").read_text())
    master = server.family()[0]
    assert master.pid != server.process.pid
    assert master.terminal() is None
    assert os.getsid(master.pid) != os.getsid(0)
    streams = [os.readlink(f"/proc/{master.pid}/fd/{fd}") for fd in range(3)]
    log = str(server.folder / "logs" / "server.log")
    assert streams == [os.devnull, log, log]

    family = server.family()
    assert server.ask("stop").ok
    assert are_gone(family)


def test_the_background_after_a_reload_and_with_new_logs(served: Any) -> None:
    server = served(logpath="logs").start("-d", wait=False)
    assert server.leaves() == 0
    assert server.ask("reload").ok
    log = server.folder / "logs" / "server.log"
    log.rename(log.with_name("old.log"))

    assert server.ask("reopen").ok

    eventually(log.exists, "a new log")
    assert {os.readlink(f"/proc/{server.pid}/fd/{fd}") for fd in (1, 2)} == {str(log)}


def test_the_background_says_why_it_cannot_start(served: Any) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()

        server = served(port=busy.getsockname()[1], logpath="logs").start("-d", wait=False)

        assert server.leaves() == 1
    assert (server.folder / "said").read_text().endswith("the address is already in use\n")


def test_the_background_gives_up_when_no_worker_ever_starts(served: Any) -> None:
    server = served(workers=1, logpath="logs")
    server.toys(boot="raise")

    server.start("-d", wait=False)

    assert server.leaves() == 1
    assert "left with code 1: LookupError: the toy broke" in (server.folder / "said").read_text()
    eventually(lambda: pidfile.read(str(server.var)) is None, "no server")


def test_the_background_does_not_wait_for_ever(served: Any) -> None:
    server = served(workers=1, boot_s=1, logpath="logs")
    server.toys(boot="hang")

    server.start("-d", wait=False)

    assert server.leaves() == 1
    assert (server.folder / "said").read_text().endswith("was killed by SIGKILL: is not ready after 1 s\n")


def test_logs_of_an_earlier_day_are_put_away_at_the_start(served: Any) -> None:
    server = served(logpath="logs")
    (server.folder / "logs").mkdir()
    old = server.folder / "logs" / "app.log"
    old.write_text("2001.09.09 01:46:40 [info] old\n")
    os.utime(old, (1e9, 1e9))

    server.start()

    [kept] = (server.folder / "logs").glob("app-2001090*.log")
    assert kept.read_text().endswith("old\n")
    assert old.read_text() == ""


@as_root
def test_workers_become_another_user_and_the_master_does_not(served: Any, open_folder: Path) -> None:
    server = served(open_folder, user="nobody", logpath="logs")
    server.start(python=python_for_everybody(), environ={"PYTHONPATH": FOR_EVERYBODY})
    nobody = pwd.getpwnam("nobody")

    master, *workers = server.family()

    assert master.uids().real == 0
    for worker in workers:
        assert set(worker.uids()) == {nobody.pw_uid}
        assert set(worker.gids()) == {nobody.pw_gid}
        status = Path(f"/proc/{worker.pid}/status").read_text()
        assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)
    log = open_folder / "logs" / "server.log"
    assert log.stat().st_uid == nobody.pw_uid
    assert log.parent.stat().st_uid == 0
    log.rename(log.with_name("old.log"))
    server.signal(signal.SIGUSR1)
    eventually(lambda: log.exists() and log.stat().st_uid == nobody.pw_uid, "a new log for nobody")
    assert server.ask("reload").ok
    server.has_workers(2, 3)
    assert {worker.uids().real for worker in server.family()[1:]} == {nobody.pw_uid}
    server.write_script(before="import sys; assert '_resume' not in sys.orig_argv")
    assert not server.ask("reload").ok
    log.rename(log.with_name("older.log"))
    assert server.ask("reopen").ok  # also while the old workers are only taken care of
    eventually(lambda: log.exists() and log.stat().st_uid == nobody.pw_uid, "a new log for nobody")


@as_root
def test_a_user_who_cannot_read_what_workers_need_is_refused(served: Any, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    server = served(user="nobody")

    server.start(python=python_for_everybody(), wait=False, environ={"PYTHONPATH": FOR_EVERYBODY})

    assert server.leaves() == 1
    assert server.said == f"the user 'nobody' cannot read {tmp_path}, which workers need\n"
    assert os.listdir(server.var) == []


@as_root
def test_an_unknown_user_is_refused(served: Any) -> None:
    server = served(user="nosuchuser").start(wait=False)

    assert server.leaves() == 1
    assert server.said == "there is no user 'nosuchuser' on this machine\n"


def listening() -> socket.socket:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    return sock


def test_a_descriptor_from_outside_is_served_and_kept_in_a_reload(served: Any) -> None:
    with listening() as sock:
        server = served(bind=(f"fd:{sock.fileno()}",)).start(pass_fds=[sock.fileno()])
        assert server.port == sock.getsockname()[1]

        assert server.ask("reload").ok

        server.has_workers(2, 3)
        assert server.get().split()[2] == "2"


def test_a_service_manager_opens_the_socket_and_is_told(served: Any, tmp_path: Path) -> None:
    notes = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notes.bind(str(tmp_path / "notify"))
    heard: queue.Queue[str] = queue.Queue()

    def listen() -> None:
        while note := notes.recv(4096).decode():
            heard.put(note)

    def next_note(beginning: str) -> str:
        end_s = time.monotonic() + 20
        while not (note := heard.get(timeout=20)).startswith(beginning):
            assert note.startswith("WATCHDOG=1"), note
            assert time.monotonic() < end_s, f"no {beginning}"
        return note

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    with listening() as sock, notes:
        activate = (sys.executable, "-c", ACTIVATE, str(sock.fileno()))
        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
        server = served().start(command=activate, pass_fds=[sock.fileno()], environ=environ)
        assert server.port == sock.getsockname()[1]
        assert f"MAINPID={server.pid}" in next_note("READY=1")
        next_note("WATCHDOG=1")

        assert server.ask("reload").ok

        assert re.search(r"MONOTONIC_USEC=\d+", next_note("RELOADING=1"))
        next_note("READY=1")
        server.has_workers(2, 3)
        assert server.get().split()[2] == "2"
        server.ask("stop")
        next_note("STOPPING=1")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as farewell:
            farewell.sendto(b"", str(tmp_path / "notify"))
        listener.join(10)


def test_a_busy_service_manager_still_hears_what_changes(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notes:
        notes.bind(str(tmp_path / "notify"))
        notifier = Notifier(str(tmp_path / "notify"))
        while notifier.watchdog():
            pass
        reader = threading.Timer(0.1, notes.recv, (4096,))
        reader.start()
        assert notifier.stopping()
        reader.join()


ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
os.execv(sys.argv[2], sys.argv[2:])
"""


ON_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY)
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_the_descriptor_limit_is_raised_and_a_low_one_is_said(served: Any) -> None:
    server = served().start(command=("sh", "-c", 'ulimit -Sn 500; ulimit -Hn 1000; exec "$@"', "sh"))

    assert psutil.Process(server.pid).rlimit(psutil.RLIMIT_NOFILE) == (1000, 1000)
    server.hears_that(r"\[warn\] a process may open only 1000 files here, so each worker takes at most 744 connections")


def test_a_closing_terminal_stops_the_server_that_ran_in_it(served: Any) -> None:
    ours, theirs = pty.openpty()
    server = served()
    server.start(command=(sys.executable, "-c", ON_TERMINAL), stdin=theirs, start_new_session=True, wait=False)
    os.close(theirs)
    server.hears_that("is ready", times=2)

    os.close(ours)

    assert server.leaves() == 0


def test_an_engine_that_does_not_exist_is_said_at_the_start(open_folder: Path) -> None:
    (open_folder / "app.py").write_text(
        "import skitai\n\ndef app(environ, start_response): ...\n\n"
        "skitai.mount('/', app)\nskitai.run(port=0, engine='turbo')\n"
    )
    started = subprocess.run(
        [sys.executable, str(open_folder / "app.py"), "--varpath", str(open_folder / "var")],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )

    assert started.returncode == 1
    assert "no engine is named 'turbo'; there are auto, asyncio, uvloop" in started.stderr
