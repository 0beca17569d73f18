"""Replacing the master's program by new code, in place: same pid, same children.

1. `Probe`: a fresh interpreter runs the script up to `run` and loads its apps. If it cannot, nothing has happened.
2. `replace`: what must survive is described in a memfd, its descriptors are made inheritable, and the process executes a
   fresh interpreter around the script. Signals are blocked meanwhile, so that those that come are delivered afterwards;
   children that end meanwhile stay zombies until the new program asks for them.
3. `inherit`: the new program reads the memfd, and goes on.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from skitai.ipc.control import Conversation
from skitai.master.children import in_words
from skitai.master.estate import Estate, Origin
from skitai.master.signals import Signals
from skitai.master.spawn import execute

INHERIT = "SKITAI_INHERIT"
"""Environment variable with the descriptor of the memfd."""

_TAIL_BYTES = 65536
_OPTIONS_WITH_VALUE = ("-W", "-X", "--check-hash-based-pycs")


class Reloads:
    """The reload under way, if any, and the one that was asked for meanwhile.

    :ivar probe: while the new code is tried.
    :ivar proven: a child of the new generation has become ready.
    :ivar clients: who asked for it and waits for the outcome.
    :ivar wanted: another one was asked for.
    :ivar next_clients: who asked for that.
    """

    def __init__(self) -> None:
        self.under_way = False
        self.probe: Probe | None = None
        self.proven = False
        self.clients: list[Conversation] = []
        self.wanted = False
        self.next_clients: list[Conversation] = []

    @property
    def starting(self) -> bool:
        """The new code is in place and its children are being started."""
        return self.under_way and self.probe is None

    def begin(self, client: Conversation | None) -> None:
        """Those who had asked for another take part in this one."""
        self.under_way, self.proven, self.wanted = True, False, False
        self.clients, self.next_clients = [*self.next_clients, *([client] if client else [])], []

    def ask_again(self, client: Conversation | None) -> None:
        self.wanted = True
        if client:
            client.progress("another reload is under way; this one follows")
            self.next_clients.append(client)

    def progress(self, text: str) -> None:
        for client in self.clients:
            client.progress(text)

    def end(self, ok: bool, text: str) -> bool:
        """Tell everybody; whether another reload has to begin."""
        for client in self.clients if self.wanted else (*self.clients, *self.next_clients):
            client.finish(ok, text)
        self.under_way, self.clients = False, []
        return self.wanted

    def hand_over(self) -> dict[str, Any]:
        clients = [client.hand_over() for client in self.clients]
        return {"clients": clients, "wanted": self.wanted, "next": [client.hand_over() for client in self.next_clients]}

    def keep(self) -> None:
        """The exec did not come about."""
        for client in (*self.clients, *self.next_clients):
            if client.fileno() >= 0:
                os.set_inheritable(client.fileno(), False)

    def adopt(self, data: Mapping[str, Any]) -> None:
        """Go on with the reload of the program before the exec."""
        self.under_way, self.wanted = True, data["wanted"]
        self.clients = [Conversation.adopt(fd, "reload") for fd in data["clients"] if fd >= 0]
        self.next_clients = [Conversation.adopt(fd, "reload") for fd in data["next"] if fd >= 0]


class Probe:
    """A fresh interpreter that finds out whether the script and its apps load."""

    def __init__(self, pid: int, fd: int, deadline_s: float) -> None:
        self.pid = pid
        self.deadline_s = deadline_s
        self._fd = fd
        self._output = b""

    @classmethod
    def start(cls, origin: Origin, signals: Signals, deadline_s: float) -> Probe:
        """:raises OSError: no process can be started now."""
        pid, fd = execute(command(origin, "_probe"), os.environ, _folder(origin), signals)
        return cls(pid, fd, deadline_s)

    def fileno(self) -> int:
        """-1 once it has nothing more to say."""
        return self._fd

    def read(self) -> None:
        """Take what it has printed."""
        while self._fd >= 0:
            try:
                data = os.read(self._fd, _TAIL_BYTES)
            except BlockingIOError:
                return
            if not data:
                self.close()
            self._output = (self._output + data)[-_TAIL_BYTES:]

    def verdict(self, exit_code: int) -> str:
        """Why the new code will not do; "" when it will. For when the probe has left."""
        self.read()
        lines = self._output.decode("utf-8", "replace").strip().splitlines()
        for line in reversed(lines):
            if answer := _answer(line):
                return "" if answer["ok"] else str(answer.get("reason") or "the probe gave no reason")
        return f"the probe {in_words(exit_code)}: {lines[-1] if lines else 'it said nothing'}"

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _answer(line: str) -> dict[str, Any] | None:
    try:
        answer = json.loads(line)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) and "ok" in answer else None


def command(origin: Origin, role: str) -> list[str]:
    """The command line of a fresh interpreter around the script.

    `sys.executable` is not resolved: where it leads through a link that was swapped meanwhile, that counts.
    """
    safe = [] if "-P" in (options := interpreter_options(sys.orig_argv)) else ["-P"]
    what = (f"{role}_{origin.helper}",) if origin.helper else (role, origin.script)
    return [sys.executable, *options, *safe, "-m", "skitai", *what, *origin.arguments]


def interpreter_options(arguments: Sequence[str]) -> list[str]:
    """Python's own options in a command line such as ``python -X dev -m skitai ...``."""
    options: list[str] = []
    rest = iter(arguments[1:])
    for each in rest:
        # What comes with -c and -m is the program; options may be bundled in front of it, as in -Pm.
        if not each.startswith("-") or each in ("-", "--"):
            break
        if not each.startswith("--") and each[1:2] not in ("W", "X") and each[-1] in "cm":
            options += [each[:-1]] if len(each) > 2 else []
            break
        if each[:2] in ("-c", "-m"):
            break
        options.append(each)
        if each in _OPTIONS_WITH_VALUE:
            options += [value for value in [next(rest, None)] if value is not None]
    return options


def _folder(origin: Origin) -> str:
    """Where the server was started; the script's folder when that has gone."""
    return origin.folder if os.path.isdir(origin.folder) else os.path.dirname(origin.script)


@dataclass(frozen=True, slots=True)
class Inheritance:
    """What the program before the exec left: the estate's description and the supervisor's state, in JSON types."""

    estate: Mapping[str, Any]
    state: Mapping[str, Any]


def replace(estate: Estate, state: Mapping[str, Any], signals: Signals) -> NoReturn:
    """Execute new code in place of this program. Signals are blocked already.

    :param state: the supervisor's, in JSON types; its descriptors are inheritable already.
    :raises OSError: it did not come about; this program goes on.
    """
    fd = os.memfd_create("skitai-state", os.MFD_CLOEXEC)
    here = os.getcwd()
    try:
        os.write(fd, json.dumps({"estate": estate.hand_over(), "state": state}).encode())
        os.set_inheritable(fd, True)
        line = command(estate.origin, "_resume")
        os.chdir(_folder(estate.origin))
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(line[0], line, os.environ | {INHERIT: str(fd)})
    except BaseException:
        os.close(fd)
        os.chdir(here)
        estate.keep()
        signals.unblock()
        raise


def inherit(fd: int) -> Inheritance:
    """Read what `replace` left."""
    with open(fd, "rb") as file:
        file.seek(0)
        data = json.load(file)
    return Inheritance(data["estate"], data["state"])
