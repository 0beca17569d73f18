"""Process trees: what they use (from /proc), and starting and ending them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parent.parent
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
SERVER_CORE, LOAD_CORE = 0, 1
START_S, STOP_S = 30.0, 5.0


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the command's name; [] when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("latin-1")
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text[text.rindex(")") + 2 :].split()


def tree(root: int) -> list[int]:
    """`root` and all its living descendants."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal() and (stat := _stat(int(name))):
            children.setdefault(int(stat[1]), []).append(int(name))
    found = [root]
    for pid in found:
        found += children.get(pid, ())
    return found


def cpu_s(root: int) -> float:
    """CPU seconds, user and system, of a tree: of the living and of those that they have reaped."""
    ticks = sum(int(value) for pid in tree(root) for value in _stat(pid)[11:15])
    return ticks / TICKS_PER_S


def core_busy_s(core: int) -> float:
    """CPU seconds that a core has worked for anyone since boot."""
    for line in Path("/proc/stat").read_text("ascii").splitlines():
        name, *values = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, values[:8])
            return (user + nice + system + irq + softirq + steal) / TICKS_PER_S
    return 0.0


def _smaps(pid: int, key: str) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith(f"{key}:")), 0)


def worker_memory(root: int) -> int:
    """Resident bytes of the largest process of a tree below its root (of the root, when it is alone)."""
    pids = tree(root)
    return max(_smaps(pid, "Rss") for pid in pids[1:] or pids)


def tree_memory(root: int) -> int:
    """Resident bytes of a whole tree, shared pages counted once."""
    return sum(_smaps(pid, "Pss") for pid in tree(root))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pinned(core: int, command: Sequence[str]) -> list[str]:
    """The command held on one core, where the machine has it and `taskset` is there."""
    if shutil.which("taskset") is None or core not in os.sched_getaffinity(0):
        return list(command)
    return ["taskset", "-c", str(core), *command]


class Absent(Exception):
    """A server that cannot run here, and why."""


class Running:
    """A server under measurement: started on entry, ended with all its descendants, by pid, on leaving.

    :param command: runs in the foreground and serves `port` on 127.0.0.1.
    :param log: file for what the server prints.
    :param core: that it is held on.
    :ivar behind: the port of the server that it is a proxy for.
    """

    def __init__(
        self, command: Sequence[str], port: int, log: Path, env: Mapping[str, str], cwd: Path, core: int = SERVER_CORE
    ) -> None:
        self.command = command
        self.port = port
        self.log = log
        self.env = env
        self.cwd = cwd
        self.core = core
        self.behind = 0

    def __enter__(self) -> Running:
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(
                pinned(self.core, self.command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=self.cwd,
                env={**os.environ, **self.env},
                start_new_session=True,  # a Ctrl-C is for the benchmark, which then ends the server itself
            )
        self.pid = self.process.pid
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _wait_until_it_answers(self) -> None:
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            if self.process.poll() is not None:
                last = self.log.read_text("utf-8", "replace").strip().splitlines()[-1:]
                raise Absent(f"ended at start with {self.process.returncode}: {' '.join(last)[:160]}")
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                client.settimeout(5)
                client.recv(64)  # by HTTPS it may be nothing
                return
            time.sleep(0.05)
        raise Absent(f"no answer within {START_S:.0f} s")

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        family = tree(self.pid)
        if self.process.poll() is None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_S)
        started = {pid: stat[19] for pid in family if (stat := _stat(pid))}
        for pid, start_time in started.items():  # whoever is left of the family, and still the same process
            stat = _stat(pid)
            if stat and stat[19] == start_time and stat[0] != "Z":
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.process.wait(STOP_S)


@contextmanager
def told_to_stop() -> Iterator[None]:
    """SIGTERM ends the benchmark as Ctrl-C does: through every `with`, so that no server is left behind.

    Ctrl-C works too where a shell had SIGINT ignored, as it does for commands in the background.
    """

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
