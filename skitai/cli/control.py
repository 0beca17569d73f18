"""The verbs that speak to a running server: stop, reload, status, logs."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from skitai.cli import logs, status
from skitai.cli.line import Line
from skitai.config.tree import Config
from skitai.errors import StartError
from skitai.ipc import pidfile, rundir
from skitai.ipc.control import NotRunning, Outcome, ask

NOT_RUNNING = 3
"""Exit code of a question to a server that does not run, as init scripts have it (LSB 5.0, 22.2)."""

_ANSWER_S = 10.0
_LEAVING_S = 60.0


def act(line: Line, config: Config) -> int:
    """Do what the command line asks of the server of a script.

    :param config: as much of it as says where the server's files are.
    :return: the exit code.
    """
    if config.helper:
        folder = rundir.helper_folder(config.helper, config.paths.varpath)
    else:
        folder = rundir.find_var_folder(config.script, config.paths.varpath)
    try:
        match line.verb:
            case "stop":
                return stop(folder, config.title)
            case "reload":
                return _reload(folder, config.title)
            case "status":
                return _status(folder, config.title)
        names = [f"{config.helper}.log"] if config.helper else rundir.LOG_FILES
        return logs.print_logs(_log_folders(folder, config), follow=line.follow, names=names)
    except PermissionError as error:
        raise StartError(
            f"{error.filename}: {error.strerror}: another user's server is theirs or root's to control"
        ) from error


def stop(folder: str, title: str) -> int:
    """Stop a server and wait until its process has gone; that none runs is fine too."""
    pid = pidfile.read(folder)
    if pid is None:
        print(f"{title} is not running")
        return 0
    with suppress(ProcessLookupError), _watched(pid) as gone:
        try:
            outcome = ask(folder, "stop", on_progress=_say, timeout_s=_ANSWER_S)
            if not outcome.ok:
                raise StartError(f"{title}, pid {pid}, does not stop: {outcome.text}")
        except NotRunning:
            # It may be leaving already, or too busy to talk; a signal means the same.
            signal.pidfd_send_signal(gone, signal.SIGTERM)
        if not select.select([gone], [], [], _LEAVING_S)[0]:
            raise StartError(f"{title}, pid {pid}, does not leave; kill -9 {pid} ends it, and its workers follow")
    print(f"{title} has stopped, pid {pid}")
    return 0


@contextmanager
def _watched(pid: int) -> Iterator[int]:
    """A descriptor that becomes readable when the process has ended.

    :raises ProcessLookupError: it has ended already.
    """
    fd = os.pidfd_open(pid)
    try:
        yield fd
    finally:
        os.close(fd)


def status_of_all() -> int:
    """Print the state of every server of this user; one that does not answer does not hide the others."""
    found = 0
    for folder in rundir.running():
        if found:
            print()
        try:
            found += _status(folder, folder) == 0
        except StartError as error:  # it may be leaving
            print(error)
    if not found:
        print("nothing is running")
    return 0 if found else NOT_RUNNING


def _reload(folder: str, title: str) -> int:
    outcome = _asked(folder, title, "reload", timeout_s=None)
    if outcome is None:
        return NOT_RUNNING
    print(outcome.text, file=sys.stdout if outcome.ok else sys.stderr)
    return 0 if outcome.ok else 1


def _status(folder: str, title: str) -> int:
    outcome = _asked(folder, title, "status", timeout_s=_ANSWER_S)
    if outcome is None:
        return NOT_RUNNING
    for text in status.lines(outcome.data, outcome.text):
        print(text)
    return 0 if outcome.ok else 1


def _log_folders(folder: str, config: Config) -> list[str]:
    """Where the logs of a server may be, the likeliest place first."""
    if config.log.logpath:
        return [config.log.logpath]
    identity = rundir.identity("" if config.helper else config.script)
    usual = os.path.join(rundir.LOG_BASE, rundir.user_name(), identity)
    try:
        told = str(ask(folder, "status", timeout_s=_ANSWER_S).data["log"] or "")
    except NotRunning:
        told = ""
    return [place for place in (told, usual, os.path.join(folder, "log")) if place]


def _asked(folder: str, title: str, verb: str, timeout_s: float | None) -> Outcome | None:
    """The server's answer; None, and a line that says so, when it does not run.

    :raises StartError: it runs, but does not answer.
    """
    try:
        return ask(folder, verb, on_progress=_say, timeout_s=timeout_s)
    except NotRunning as error:
        pid = pidfile.read(folder)
        if pid is not None:
            raise StartError(f"{title}, pid {pid}: {error}") from error
    print(f"{title} is not running", file=sys.stdout if verb == "status" else sys.stderr)
    return None


def _say(text: str) -> None:
    print(text, flush=True)
