"""A folder with scripts, and the commands that are run there: dialogues by the command line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.support.dialogue import ROOT

SCRIPT = """\
import skitai

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]

if __name__ == "__main__":
    skitai.mount("/", app)
    skitai.run(port=0)
"""

Done = subprocess.CompletedProcess[str]


class Place:
    """A folder with a script, and the servers and helpers that are started there.

    :ivar environ: of all that is run: servers keep their files below the folder, which is the home, too.
    :ivar interpreter: that runs it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.interpreter = sys.executable
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("SKITAI_", "LISTEN_", "NOTIFY_"))}
        places = {"SKITAI_VARPATH": str(folder / "var"), "SKITAI_LOGPATH": str(folder / "logs"), "HOME": str(folder)}
        self.environ = ours | places | {"SKITAI_GRACE_S": "5"}
        self.title = f"skitai({folder.name}/app)"
        self.write("app.py", SCRIPT)

    def write(self, name: str, code: str, mode: int = 0o644) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(code))
        path.chmod(mode)
        return path

    def python(self, *words: str, cwd: Path | None = None) -> Done:
        return subprocess.run(
            [self.interpreter, *words],
            cwd=cwd or self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def skitai(self, *words: str, cwd: Path | None = None) -> Done:
        return self.python("-m", "skitai", *words, cwd=cwd)

    def helper(self, name: str, *words: str) -> Done:
        """What `skitai-NAME` does."""
        return self.python(str(ROOT / "bin" / f"skitai-{name}"), *words)

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

    def stop(self) -> None:
        """End what may still run; for the end of a test."""
        for script in (*self.folder.glob("*.py"), "app.py"):
            self.skitai("stop", str(script))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    if (tmp_path / "var").exists():
        made.stop()


def get(port: int, path: str = "/") -> str:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    assert answer.status == 200, text
    return text


def alive(pid: int) -> bool:
    """Whether a process runs; it may end while this looks."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
