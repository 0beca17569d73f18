"""Starting the processes of a job."""

from __future__ import annotations

import faulthandler
import os
import shlex
import signal
import sys
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import NoReturn

from skitai.helpers.cron.call import call
from skitai.ipc.parent import end_with_parent

CANNOT_EXECUTE = 127

_CAUGHT = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGCHLD,
)


def fork() -> int:
    """Fork; the child has no handlers of signals and is not woken by any.

    :raises OSError: no process can be started now.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    signal.pthread_sigmask(signal.SIG_BLOCK, _CAUGHT)
    try:
        with warnings.catch_warnings():
            # The only other thread waits in a system call for the master's end: it holds no lock that a child could miss.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            faulthandler.unregister(signal.SIGUSR2)
            signal.set_wakeup_fd(-1)
            for number in _CAUGHT:
                signal.signal(number, signal.SIG_DFL)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _CAUGHT)
    return pid


def launch(
    command: str | Callable[[], object], name: str, script: str, guard_fd: int, private: Iterable[int]
) -> tuple[int, int]:
    """Start a job in a session, and so in a process group, of its own.

    :param command: for the shell, or a function.
    :param script: the start script, which a function is looked up in anew.
    :param guard_fd: of the guard, which the job reports itself to.
    :param private: descriptors of the scheduler that a function must not hold.
    :returns: the pid, which is the group's number too; and a descriptor, never blocking, to read output from.
    :raises OSError: no process can be started now.
    """
    ours, theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    os.set_blocking(theirs, True)
    scheduler = os.getpid()
    try:
        pid = fork()
    except BaseException:
        os.close(ours)
        os.close(theirs)
        raise
    if pid == 0:
        try:
            _begin(scheduler, guard_fd, theirs)
            if isinstance(command, str):
                _execute(command)
            for fd in (*private, guard_fd, ours):
                os.close(fd)
            call(command, name, script)
        except BaseException as error:  # noqa: BLE001 - this process is about to end, and says why
            os.write(theirs, f"cannot start: {type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(CANNOT_EXECUTE)
    os.close(theirs)
    return pid, ours


def shell_line(command: str) -> str:
    """The command as the shell gets it: a ``.py`` file that nobody may execute runs under this interpreter."""
    try:
        first = shlex.split(command)[0]
    except (ValueError, IndexError):  # the shell itself will say what is wrong
        return command
    if first.endswith(".py") and os.path.isfile(first) and not os.access(first, os.X_OK):
        return f"{shlex.quote(sys.executable)} {command}"
    return command


def _begin(scheduler: int, guard_fd: int, output: int) -> None:
    os.setsid()
    end_with_parent()
    if os.getppid() != scheduler:
        os._exit(CANNOT_EXECUTE)
    with suppress(BrokenPipeError, BlockingIOError):  # it has just been killed; the next guard will be told of this group
        os.write(guard_fd, b"+%d\n" % os.getpid())
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)


def _execute(command: str) -> NoReturn:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    os.execv("/bin/sh", ["sh", "-c", shell_line(command)])
