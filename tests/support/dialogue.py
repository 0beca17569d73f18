"""A dialogue with a real server of toys: start it, ask it, signal it, read what it said."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from skitai.ipc import control, pidfile

ROOT = Path(__file__).parent.parent.parent

SCRIPT = """\
import skitai
{before}
skitai.mount("/", ".")
skitai.run({options})
"""

OPTIONS = {
    "engine": "tests.support.toys:serve",
    "port": 0,
    "workers": 2,
    "grace_s": 3,
    "fast_grace_s": 0.3,
    "keep_alive": 0.3,
    "boot_s": 20,
    "heartbeat_s": 30,
}


def eventually(true: Callable[[], Any], what: str, within_s: float = 10) -> Any:
    """Wait until something is true; its value."""
    end_s = time.monotonic() + within_s
    while not (value := true()):
        assert time.monotonic() < end_s, f"not within {within_s} s: {what}"
        time.sleep(0.02)
    return value


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Makes servers of toys; they are ended with the test."""
    made: list[Served] = []

    def make(folder: Path = tmp_path, **options: Any) -> Served:
        made.append(Served(folder, **options))
        return made[-1]

    yield make
    for each in made:
        each.stop()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can reach; pytest's own are closed to them."""
    with tempfile.TemporaryDirectory(prefix="skitai-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


class Served:
    """A server of toys in a folder of its own.

    :ivar process: the one that was started; of a daemon, the starting process.
    """

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.var = folder / "var"
        self.options = OPTIONS | {"varpath": str(self.var)} | options
        self.process: subprocess.Popen[bytes] | None = None
        self._said = folder / "said"
        self.write_script()

    def write_script(self, before: str = "", **options: Any) -> None:
        """(Re)write the start script, with lines to run first."""
        self.options |= options
        given = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        (self.folder / "app.py").write_text(self.script(before, given))

    def script(self, before: str, options: str) -> str:
        """The start script.

        :param options: of `run`, as they are written.
        """
        return SCRIPT.format(before=before, options=options)

    def toys(self, **files: str) -> None:
        """What new toys find: ``text`` and ``boot`` (see `tests.support.toys`)."""
        for name, content in files.items():
            (self.folder / name).write_text(content)

    def start(self, *arguments: str, wait: bool = True, command: tuple[str, ...] = (), **popen: Any) -> Served:
        environ = {
            name: value for name, value in os.environ.items() if not name.startswith(("SKITAI_", "LISTEN_", "NOTIFY_"))
        }
        environ |= {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"} | popen.pop("environ", {})
        heard_before = len(re.findall("is ready$", self.said, re.MULTILINE))
        with self._said.open("ab") as said:
            self.process = subprocess.Popen(
                [*command, popen.pop("python", sys.executable), *popen.pop("options", ()), "app.py", *arguments],
                cwd=self.folder,
                stdin=popen.pop("stdin", subprocess.DEVNULL),
                stdout=said,
                stderr=said,
                env=environ,
                **popen,
            )
        if wait:
            self.hears_that(r"is ready$", times=heard_before + int(self.options["workers"]))
        return self

    @property
    def said(self) -> str:
        """Everything on its console and in its server.log so far."""
        logs = [self._said, self.var / "log" / "server.log", self.folder / "logs" / "server.log"]
        return "".join(file.read_text() for file in logs if file.exists())

    def hears_that(self, pattern: str, within_s: float = 10, times: int = 1) -> str:
        """Wait until it has said something; the first such line."""

        def heard() -> list[str]:
            return [line for line in self.said.splitlines() if re.search(pattern, line)]

        try:
            eventually(lambda: len(heard()) >= times, f"{pattern!r} said", within_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; it said:\n{self.said}") from None
        return heard()[0]

    @property
    def pid(self) -> int:
        pid = pidfile.read(str(self.var))
        assert pid is not None, f"not running; it said:\n{self.said}"
        return pid

    @property
    def port(self) -> int:
        found = re.search(r"http://127\.0\.0\.1:(\d+)", self.said)
        assert found, self.said
        return int(found[1])

    def get(self, path: str = "/", timeout_s: float = 10) -> str:
        """What a toy answers; empty when the connection was cut."""
        with socket.create_connection(("127.0.0.1", self.port), timeout_s) as sock:
            sock.settimeout(timeout_s)
            sock.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            data = b""
            try:
                while chunk := sock.recv(4096):
                    data += chunk
            except ConnectionResetError:
                return ""
        return data.partition(b"\r\n\r\n")[2].decode()

    def listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except ConnectionRefusedError:
            return False
        return True

    def ask(self, verb: str, **arguments: Any) -> control.Outcome:
        return control.ask(str(self.var), verb, timeout_s=20, **arguments)

    def workers(self, state: str = "serving") -> dict[int, int]:
        """The pids of the workers in a state, by number."""
        children = self.ask("status").data["children"]
        return {child["number"]: child["pid"] for child in children if child["state"] == state}

    def has_workers(self, *numbers: int, within_s: float = 10) -> dict[int, int]:
        """Wait until exactly these serve, and none is booting or leaving."""

        def exactly() -> dict[int, int] | None:
            children = self.ask("status").data["children"]
            states = {child["number"]: child["state"] for child in children}
            return self.workers() if states == dict.fromkeys(numbers, "serving") else None

        try:
            found: dict[int, int] = eventually(exactly, f"workers {numbers}", within_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; it said:\n{self.said}") from None
        return found

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def family(self) -> list[psutil.Process]:
        """The master and all processes below it."""
        master = psutil.Process(self.pid)
        return [master, *master.children(recursive=True)]

    def leaves(self, within_s: float = 10) -> int:
        """Wait until the process that was started has ended; its exit code."""
        assert self.process
        return self.process.wait(within_s)

    def stop(self) -> None:
        """End what may still run; for the end of a test."""
        try:
            pid = pidfile.read(str(self.var))
        except PermissionError:
            pid = None
        left = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)] if pid else []
        for process in left:
            if process.is_running():
                process.kill()
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait(10)


def are_gone(processes: list[psutil.Process], within_s: float = 10) -> bool:
    """Wait until none of them lives."""
    _, alive = psutil.wait_procs(processes, within_s)
    return not [each for each in alive if each.status() != psutil.STATUS_ZOMBIE]
