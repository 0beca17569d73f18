"""Starting processes: a child of a program by fork, and another interpreter by fork and exec."""

from __future__ import annotations

import faulthandler
import grp
import logging
import os
import pwd
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from setproctitle import setproctitle

from skitai.errors import StartError
from skitai.ipc.link import Child
from skitai.ipc.parent import end_with_parent
from skitai.log import journal
from skitai.master.program import Program
from skitai.master.signals import Signals

log = logging.getLogger("skitai.server")

Entry = TypeVar("Entry")

CANNOT_EXECUTE = 127


@dataclass(frozen=True, slots=True)
class Identity:
    """A user to become for good."""

    uid: int
    gid: int
    name: str = ""
    home: str = ""

    @classmethod
    def find(cls, user: str, group: str) -> Identity | None:
        """Look up names or numbers; None when neither is given.

        :raises StartError: unknown, or we have no right to become it.
        """
        if not user and not group:
            return None
        entry = _lookup(pwd.getpwuid, pwd.getpwnam, user, "user") if user else pwd.getpwuid(os.geteuid())
        gid = _lookup(grp.getgrgid, grp.getgrnam, group, "group").gr_gid if group else entry.pw_gid
        if os.geteuid() == 0:
            return cls(entry.pw_uid, gid, entry.pw_name, entry.pw_dir)
        if (entry.pw_uid, gid) == (os.geteuid(), os.getegid()):
            return None
        raise StartError(f"only root can become the user {entry.pw_name!r} with the group {gid}")

    def become(self) -> None:
        """Give up the rights of the present user for good.

        :raises OSError: it did not work; the process must not go on.
        """
        os.setgroups(os.getgrouplist(self.name, self.gid) if self.name else [self.gid])
        os.setgid(self.gid)
        os.setuid(self.uid)
        if self.uid != 0 and 0 in os.getresuid():
            raise PermissionError("the rights of root could not be given up")
        os.environ.update({"USER": self.name, "LOGNAME": self.name, "HOME": self.home})

    def unreadable(self, paths: Sequence[str]) -> str:
        """The first of the paths that this user cannot read; "" when there is none."""
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            try:
                self.become()
                os.write(theirs, os.fsencode(next((path for path in paths if not os.access(path, os.R_OK)), "")))
            finally:
                os._exit(0)
        os.close(theirs)
        with open(ours, "rb") as answer:
            found = os.fsdecode(answer.read())
        os.waitpid(pid, 0)
        return found


def _lookup(by_number: Callable[[int], Entry], by_name: Callable[[str], Entry], text: str, kind: str) -> Entry:
    try:
        return by_number(int(text)) if text.isdecimal() else by_name(text)
    except KeyError:
        raise StartError(f"there is no {kind} {text!r} on this machine") from None


def fork(program: Program, child: Child, identity: Identity | None, signals: Signals, release: Callable[[], None]) -> int:
    """Start a child of a program; its pid.

    :param release: closes, in the child, what is the master's alone.
    :raises OSError: no process can be started now.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    # Until the child has its own handlers, a signal to it must wait rather than run the master's.
    signals.block()
    try:
        pid = os.fork()
    except BaseException:
        signals.unblock()
        raise
    if pid == 0:
        _live(program, child, identity, signals, release)
    signals.unblock()
    return pid


def _live(
    program: Program, child: Child, identity: Identity | None, signals: Signals, release: Callable[[], None]
) -> NoReturn:
    """The whole life of a child."""
    code = 1
    try:
        setproctitle(f"{program.title}: {program.label(child.number)}")
        release()
        if identity:
            identity.become()
        signals.reset()
        # The terminal's Ctrl-C is for the master, and nobody dies of a log rotation or a dump of its stacks.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        faulthandler.register(signal.SIGUSR2, file=journal.descriptor(), all_threads=True)
        signals.unblock()
        os.environ.pop("NOTIFY_SOCKET", None)  # the service manager listens to the master alone
        child.start_watching()
        code = program.target(child)
    except SystemExit as leave:
        code = leave.code if isinstance(leave.code, int) else int(leave.code is not None)
    except BaseException as error:
        log.exception("%s failed", program.label(child.number))
        child.failed(f"{type(error).__name__}: {error}")
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                stream.flush()
        os._exit(code)


def execute(command: Sequence[str], environ: Mapping[str, str], folder: str, signals: Signals) -> tuple[int, int]:
    """Start another program: its pid and a descriptor to read its output from. It does not outlive this process.

    :raises OSError: no process can be started now.
    """
    ours, theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    os.set_blocking(theirs, True)
    master = os.getpid()
    signals.block()
    try:
        pid = os.fork()
    except BaseException:
        signals.unblock()
        os.close(ours)
        os.close(theirs)
        raise
    if pid == 0:
        try:
            signals.reset()
            signals.unblock()
            end_with_parent()
            if os.getppid() == master:
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                os.dup2(theirs, 1)
                os.dup2(theirs, 2)
                os.chdir(folder)
                os.execve(command[0], list(command), dict(environ))
        except BaseException as error:  # noqa: BLE001 - this process is about to end, and says why
            os.write(theirs, f"cannot execute {command[0]}: {error}\n".encode())
        finally:
            os._exit(CANNOT_EXECUTE)
    signals.unblock()
    os.close(theirs)
    return pid, ours
