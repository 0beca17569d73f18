"""Signals to the master: the handlers only enqueue, and a byte in a pipe wakes the loop."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Iterable

HANDLED = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTTIN,
    signal.SIGTTOU,
)
"""What the master acts on; its children get them back as they are by default. SIGCHLD only wakes."""


class Signals:
    """The queue of signals that have come.

    While the program is replaced by `exec` they are blocked, so that one that comes meanwhile is delivered to the next.
    """

    def __init__(self) -> None:
        self._queue: deque[signal.Signals] = deque()
        self._pipe: tuple[int, int] | None = None

    def install(self, pending: Iterable[int] = ()) -> None:
        """Begin to receive.

        :param pending: signals that the program before the exec had received and not acted on.
        """
        self._queue.extend(signal.Signals(each) for each in pending)
        self._pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
        for each in HANDLED:
            signal.signal(each, self._enqueue)
        signal.signal(signal.SIGCHLD, self._wake_only)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)

    def fileno(self) -> int:
        """Readable when a signal has come."""
        if self._pipe is None:
            raise ValueError("signals are not installed")
        return self._pipe[0]

    def take(self) -> list[signal.Signals]:
        """The signals that have come, oldest first."""
        try:
            while os.read(self.fileno(), 512):
                pass
        except BlockingIOError:
            pass
        taken = []
        while self._queue:
            taken.append(self._queue.popleft())
        return taken

    @staticmethod
    def block() -> None:
        """Hold signals back, for the program that follows an exec."""
        signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)

    @staticmethod
    def unblock() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)

    def reset(self) -> None:
        """Back to what a new process has, blocked signals aside: in children, and when the supervisor has ended."""
        signal.set_wakeup_fd(-1)
        for each in (*HANDLED, signal.SIGCHLD):
            signal.signal(each, signal.default_int_handler if each is signal.SIGINT else signal.SIG_DFL)
        if self._pipe:
            for fd in self._pipe:
                os.close(fd)
            self._pipe = None

    def _enqueue(self, number: int, frame: object) -> None:
        self._queue.append(signal.Signals(number))

    def _wake_only(self, number: int, frame: object) -> None:
        """The byte in the pipe is all."""
