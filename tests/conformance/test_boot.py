"""A machine that starts: lines of rc.local with a real su and a real account, and units that systemd reads."""

from __future__ import annotations

import os
import pwd
import re
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from skitai.ipc import control
from tests.conformance.conftest import program
from tests.conformance.test_systemd import complaints
from tests.support.dialogue import ROOT, eventually
from tests.support.place import SCRIPT, get
from tests.support.user import FOR_EVERYBODY, python_for_everybody

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has an rc.local")

CONF = """\
[smtpda]
smtp-server = 127.0.0.1:9
password = sesame
[:crontab]
@yearly true
"""


class Machine:
    """A machine with an account and programs for everybody, and a boot script.

    :ivar name: of the account.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self.home = Path(pwd.getpwnam(name).pw_dir)
        for each in ("skitai", "skitai-smtpda", "skitai-cron"):
            self.write(
                folder / each,
                f'#!/bin/sh\nPYTHONPATH={FOR_EVERYBODY} exec {python_for_everybody()} {ROOT}/bin/{each} "$@"\n',
            ).chmod(0o755)
        self.theirs(".skitai.conf", CONF, 0o600)
        self.theirs("app.py", SCRIPT, 0o644)

    def write(self, path: Path, text: str) -> Path:
        path.write_text(text)
        return path

    def theirs(self, name: str, text: str, mode: int) -> None:
        """A file in the account's home."""
        entry = pwd.getpwnam(self.name)
        path = self.write(self.home / name, text)
        path.chmod(mode)
        os.chown(path, entry.pw_uid, entry.pw_gid)

    def boot(self, *lines: str) -> subprocess.CompletedProcess[str]:
        """Run an rc.local of these lines, as init does: without terminal, with hardly any environment."""
        script = self.write(self.folder / "rc.local", "\n".join(["#!/bin/sh -e", *lines, "exit 0", ""]))
        return subprocess.run(
            ["/bin/sh", "-e", str(script)],
            cwd="/",
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def line(self, command: str) -> str:
        """How one writes that into rc.local."""
        return f'su - {self.name} -c "{self.folder}/{command}"'

    def says(self, command: str) -> str:
        done = self.boot(self.line(command))
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        return done.stdout

    def running(self) -> dict[str, psutil.Process]:
        """The account's processes by title."""
        uid = pwd.getpwnam(self.name).pw_uid
        found: dict[str, psutil.Process] = {}
        for each in psutil.process_iter():
            try:
                if uid in each.uids():
                    found[" ".join(each.cmdline()).strip()] = each
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue  # it has ended
        return found


@pytest.fixture
def machine(open_folder: Path) -> Iterator[Machine]:
    name = f"skitai-{secrets.token_hex(4)}"
    subprocess.run([program("useradd"), "--create-home", "--shell", "/bin/sh", name], check=True, capture_output=True)
    made = Machine(open_folder, name)
    try:
        yield made
    finally:
        for command in ("skitai-smtpda stop", "skitai-cron stop", "skitai stop app.py"):
            made.boot(made.line(command))
        subprocess.run([program("userdel"), "--remove", name], check=True, capture_output=True)
        for base in ("/var/tmp/skitai", "/var/log/skitai"):
            shutil.rmtree(f"{base}/{name}", ignore_errors=True)


@only_root
def test_the_lines_of_rc_local_start_helpers_as_their_user_and_outlive_the_boot_script(machine: Machine) -> None:
    done = machine.boot(machine.line("skitai-smtpda start"), machine.line("skitai-cron start"))

    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(machine.running()) == [
        "skitai-cron: cron",
        "skitai-cron: cron guard",
        "skitai-cron: master",
        "skitai-smtpda: master",
        "skitai-smtpda: smtpda",
    ]
    assert {each.cwd() for each in machine.running().values()} == {str(machine.home)}
    assert {each.terminal() for each in machine.running().values()} == {None}
    home = f"/var/tmp/skitai/{machine.name}/default"
    assert f"var        {home}\n" in done.stdout
    assert machine.says("skitai-smtpda queue") == f"0 messages in {home}/smtpda/mail/spool\n"
    assert machine.says("skitai-cron status").startswith("skitai-cron: serving")
    assert machine.says("skitai-smtpda restart").startswith("skitai-smtpda has stopped")
    assert machine.says("skitai-smtpda stop").startswith("skitai-smtpda has stopped")
    assert machine.says("skitai-cron stop").startswith("skitai-cron has stopped")
    assert machine.running() == {}


@only_root
def test_a_server_with_helpers_starts_from_rc_local(machine: Machine) -> None:
    machine.theirs(
        "app.py", SCRIPT.replace("    skitai.mount(", "    skitai.enable_smtpda('127.0.0.1:9')\n    skitai.mount("), 0o644
    )

    machine.says("skitai start app.py")

    status = machine.says("skitai status app.py")
    assert re.search(r"\n  smtpda +\d+ +serving", status)
    port = re.search(r"listening on .*127\.0\.0\.1:(\d+)", status)
    assert port
    assert get(int(port[1])) == "hello"
    assert " has stopped, pid " in machine.says("skitai stop app.py")
    assert machine.running() == {}


@only_root
def test_a_faulty_file_stops_no_boot_script_silently(machine: Machine) -> None:
    machine.theirs(".skitai.conf", CONF + "sometimes true\n", 0o600)
    done = machine.boot(machine.line("skitai-cron start"))
    assert done.returncode == 1
    assert done.stderr.startswith(f"{machine.home}/.skitai.conf:6: 'sometimes true' is no job")


def test_the_units_of_install_are_in_order(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(SCRIPT)
    me = pwd.getpwuid(os.geteuid()).pw_name
    commands = [
        [str(tmp_path / "app.py"), "install", "--user", me, "--name", "plain"],
        [str(tmp_path / "app.py"), "install", "--user", me, "--name", "both", "--socket", "--bind", "127.0.0.1:8080"],
        [str(tmp_path / "app.py"), "install", "--user", me, "--name", "low", "--port", "80", "--server-name", "a 50% $b"],
        [str(ROOT / "bin" / "skitai-smtpda"), "install", "--as", me],
        [str(ROOT / "bin" / "skitai-cron"), "install", "--as", me],
    ]
    for command in commands:
        subprocess.run([sys.executable, *command, "--to", str(tmp_path)], check=True, capture_output=True)
    files = sorted(str(each) for each in tmp_path.glob("*.s*"))
    assert len(files) == 6
    assert complaints(*files) == ""
    (tmp_path / "both.socket").write_text((tmp_path / "both.socket").read_text().replace("127.0.0.1", "nowhere"))
    assert complaints(*files)


def test_systemd_hands_its_socket_over_at_the_first_visit(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(SCRIPT)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    activate = [program("systemd-socket-activate"), "--listen", f"127.0.0.1:{port}"]
    serve = [sys.executable, "app.py", "run", "--varpath", str(tmp_path / "var")]
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen([*activate, *serve], cwd=tmp_path, text=True, **streams) as process:
        try:
            eventually(lambda: visited(port), "an answer")
            told = control.ask(str(tmp_path / "var"), "status", timeout_s=10).data
            assert (told["pid"], told["addresses"]) == (process.pid, [f"http://127.0.0.1:{port}"])
        finally:
            process.terminate()
            said, _ = process.communicate(timeout=20)
    assert process.returncode == 0, said


def visited(port: int) -> bool:
    """Whether somebody answers, be it after a while."""
    try:
        return get(port) == "hello"
    except ConnectionRefusedError:
        return False
