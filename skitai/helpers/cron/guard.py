"""The guard: a process that kills the groups of running jobs when the scheduler has died, however that happened.

A job may be a shell with a pipeline below it; the kernel's own means (`ipc.parent`) reaches the shell alone. The guard reads
process groups from a pipe, ``+123`` and ``-123``, and the end of the pipe is the end of the scheduler.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress

from setproctitle import getproctitle, setproctitle

from skitai.helpers.cron.fork import fork


class Guard:
    """The scheduler's end of the pipe.

    :ivar pid: of the guard; 0 before its start.
    :ivar fd: where groups are written; a job writes its own before it becomes anything else.
    """

    def __init__(self) -> None:
        self.pid = 0
        self.fd = -1

    def start(self, groups: Iterable[int] = ()) -> None:
        """Start a guard, or another one when it has been killed.

        :param groups: that run already.
        :raises OSError: no process can be started now.
        """
        reading, writing = os.pipe2(os.O_CLOEXEC)
        pid = fork()
        if pid == 0:
            try:
                os.close(writing)
                _live(reading)
            finally:
                os._exit(0)
        os.close(reading)
        os.set_blocking(writing, False)
        if self.fd >= 0:
            os.close(self.fd)
        self.pid, self.fd = pid, writing
        for group in groups:
            self.add(group)

    def look(self, groups: Iterable[int]) -> bool:
        """Whether the guard had died; there is a new one then.

        :raises OSError: no process can be started now.
        """
        if self.pid:
            pid, _ = os.waitpid(self.pid, os.WNOHANG)
            if pid == 0:
                return False
            self.pid = 0
        self.start(groups)
        return True

    def add(self, group: int) -> None:
        self._write(b"+%d\n" % group)

    def remove(self, group: int) -> None:
        """The group is no more."""
        self._write(b"-%d\n" % group)

    def _write(self, line: bytes) -> None:
        # A guard that was killed is started again with all groups, as soon as its end is known; one that was stopped must
        # not stop the scheduler, too.
        with suppress(BrokenPipeError, BlockingIOError):
            os.write(self.fd, line)

    def stop(self) -> None:
        """Nothing runs any more."""
        if self.fd >= 0:
            os.close(self.fd)
            os.waitpid(self.pid, 0)
        self.pid, self.fd = 0, -1


def _live(reading: int) -> None:
    """The whole life of a guard."""
    os.setsid()  # whoever kills the server's group does not mean the guard
    setproctitle(f"{getproctitle()} guard")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    os.dup2(reading, 0)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    groups: set[int] = set()
    with open(0, "rb", closefd=False) as lines:
        for line in lines:
            (groups.add if line[:1] == b"+" else groups.discard)(int(line[1:]))
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
