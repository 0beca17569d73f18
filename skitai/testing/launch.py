"""Start an app's script as a real server, ask it, stop it."""

from __future__ import annotations

import atexit
import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any

from skitai.errors import StartError
from skitai.testing.client import Session, unverified
from skitai.testing.paths import Path

START_S = 60.0
STOP_S = 40.0
"""Beyond the server's own grace time."""

OUTPUT_LINES = 40


class Process:
    """A server that runs a script on a port of 127.0.0.1, with a folder of its own for its state.

    :param secure: it speaks HTTPS.
    :param show: let it write to this terminal, everything.
    """

    def __init__(self, script: str, port: int, *, secure: bool, show: bool) -> None:
        self.script = os.path.abspath(script)
        self.port = port
        self.secure = secure
        self._show = show
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = ""

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def output(self) -> str:
        """What it has written to its standard streams; "" when it writes to the terminal."""
        try:
            with open(self._output_file, encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    @property
    def _output_file(self) -> str:
        return os.path.join(self._folder, "output")

    def start(self) -> None:
        """Start, and return when it answers.

        :raises StartError: no such script, a busy port, or it ended; then with what it wrote.
        """
        if not os.path.isfile(self.script):
            raise StartError(f"there is no script {self.script}")
        self.port = _free(self.port)
        self._folder = tempfile.mkdtemp(prefix="skitai-launch-")
        command = [sys.executable, self.script, "--bind", f"127.0.0.1:{self.port}", "--varpath", self._folder]
        with open(self._output_file, "wb") as output:
            stream = None if self._show else output
            self._process = subprocess.Popen(
                [*command, "--verbose"] if self._show else command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def _wait(self) -> None:
        assert self._process is not None
        deadline_s = time.monotonic() + START_S
        while time.monotonic() < deadline_s:
            if (code := self._process.poll()) is not None:
                raise StartError(f"{self.script} ended with exit code {code}{self._shown()}")
            if _answers(self.port, self.secure, deadline_s - time.monotonic()):
                return
            time.sleep(0.05)
        raise StartError(f"{self.script} did not answer on port {self.port} within {START_S:g} s{self._shown()}")

    @property
    def url(self) -> str:
        return f"{'https' if self.secure else 'http'}://127.0.0.1:{self.port}"

    def _shown(self) -> str:
        lines = self.output.rstrip().splitlines()[-OUTPUT_LINES:]
        return "".join(f"\n  {line}" for line in lines)

    def stop(self) -> None:
        """Stop it, and remove its folder. What is still there after its grace time is killed."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)


class Launch:
    """A server and a client for it.

    In a ``with`` block it runs as long as the block. Otherwise it starts at its first use, is shared by all launches of
    the same script and port, and stops when the interpreter ends.

    ``get post put patch delete head options upload`` take a path or URL and what `requests` takes. Any other attribute
    begins a path: ``engine.v1.user("434").get()``; see `paths.Path`. Cookies are kept.
    """

    def __init__(self, script: str | os.PathLike[str], port: int = 5000, ssl: bool = False, silent: bool = True) -> None:
        key = (os.path.abspath(os.fspath(script)), port)
        self._process = Process(*key, secure=ssl, show=not silent)
        self._key = key
        self._session: Session | None = None

    def __enter__(self) -> Launch:
        self._process = _shared.get(self._key, self._process)
        if not self._process.running:
            self._process.start()
        return self

    def __exit__(self, *failure: object) -> None:
        if self._key not in _shared:
            self._process.stop()
        self._session = None

    def stop(self) -> None:
        """Stop the server now."""
        _shared.pop(self._key, None)
        self._process.stop()
        self._session = None

    @property
    def port(self) -> int:
        """The port that it listens on; starts it."""
        self._client()
        return self._process.port

    @property
    def output(self) -> str:
        """What the server has written to its standard streams."""
        return self._process.output

    def _client(self) -> Session:
        if not self._process.running:
            self._process = _shared.setdefault(self._key, self._process)
        if not self._process.running:
            self._process.start()
        if self._session is None:
            self._session = Session(self._process.url)
        return self._session

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in VERBS:
            return getattr(self._client(), name)
        return Path(lambda *args, **options: self._client().request(*args, **options), f"/{name}")

    def __repr__(self) -> str:
        state = "running" if self._process.running else "not running"
        return f"<launch {self._process.script} port={self._process.port} {state}>"


VERBS = frozenset({"get", "post", "put", "patch", "delete", "head", "options", "upload", "request", "cookies"})

_shared: dict[tuple[str, int], Process] = {}
"""Servers that run until the interpreter ends."""


@atexit.register
def _stop_all() -> None:
    while _shared:
        _shared.popitem()[1].stop()


def _free(port: int) -> int:
    """The port, or any free one for 0.

    :raises StartError: somebody else listens on it.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            reason = "in use by another program" if error.errno == errno.EADDRINUSE else os.strerror(error.errno or 0)
            raise StartError(f"port {port} is {reason}") from error
        return int(probe.getsockname()[1])


def _answers(port: int, secure: bool, timeout_s: float) -> bool:
    """Whether a server answers what it answers by itself, without any app (RFC 9110, section 9.3.7)."""
    timeout_s = max(timeout_s, 0.1)
    connection = (
        HTTPSConnection("127.0.0.1", port, timeout=timeout_s, context=unverified())
        if secure
        else HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    )
    try:
        connection.request("OPTIONS", "*", headers={"Connection": "close"})
        connection.getresponse().read()
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
    return True


def launch(script: str | os.PathLike[str], port: int = 5000, ssl: bool = False, silent: bool = True) -> Launch:
    """A server that runs `script`, and a client for it.

    :param script: path of an app's script.
    :param port: to listen on, whatever the script says; 0 for a free one.
    :param ssl: the script serves HTTPS; its certificate may be any.
    :param silent: keep what the server writes and show it when it fails; otherwise it writes to this terminal.
    :raises StartError: when it is used: no such script, a busy port, or the server ended.
    """
    return Launch(script, port, ssl, silent)
