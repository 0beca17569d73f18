"""Going to the background: a double fork, and a pipe by which the starting process learns how it went."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from skitai.errors import ConfigError, StartError


class Starter:
    """The process that started the server and waits to hear that it is ready.

    Everything may be called at any time: once the starter has its answer there is nobody to tell any more.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def ready(self, text: str) -> None:
        """:param text: for the console."""
        self._tell({"ready": text})

    def failed(self, reason: str) -> bool:
        """The server cannot start; whether anybody waited to hear that."""
        return self._tell({"failed": reason})

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _tell(self, answer: dict[str, str]) -> bool:
        if self._fd < 0:
            return False
        try:
            os.write(self._fd, json.dumps(answer).encode())
        except BrokenPipeError:
            return False
        finally:
            self.close()
        return True


def daemonize(run: Callable[[Starter], int]) -> int:
    """Run the server in the background.

    :returns: in the starting process 0 as soon as the server is ready; in the server its exit code, when it has stopped.
    :raises StartError: in the starting process, with the reason why the server could not start.
    """
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        os.close(theirs)
        os.waitpid(pid, 0)
        return _await(ours)
    os.setsid()
    if os.fork():
        os._exit(0)
    os.close(ours)
    os.umask(0o022)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    starter = Starter(theirs)
    try:
        return run(starter)
    except ConfigError as error:
        _leave(starter, "; ".join(error.faults))
    except StartError as error:
        _leave(starter, str(error))


def _leave(starter: Starter, reason: str) -> NoReturn:
    starter.failed(reason)
    os._exit(1)


def _await(fd: int) -> int:
    with open(fd, "rb") as pipe:
        data = pipe.read()
    answer: dict[str, str] = json.loads(data) if data else {"failed": "the server ended before it was ready; see its log"}
    if "failed" in answer:
        raise StartError(answer["failed"])
    sys.stdout.write(answer["ready"])
    sys.stdout.flush()
    return 0
