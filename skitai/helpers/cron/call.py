"""What a job's process does when the job is a function."""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn, TextIO

from setproctitle import getproctitle, setproctitle

from skitai.loading.importer import load_file, unique_name
from skitai.was import host


def call(function: Callable[[], object], name: str, script: str) -> NoReturn:
    """Call a function, and leave with 0, its own exit code, or 1 and a traceback for any other exception.

    :param name: of the job, for the process title.
    :param script: the start script, which the function is looked up in anew.
    """
    code = 0
    try:
        setproctitle(f"{getproctitle()}: {name}")
        sys.stdout, sys.stderr = _by_the_line(1), _by_the_line(2)
        function = _anew(function, script)
        with _heard():
            result = function()
            if inspect.isawaitable(result):
                asyncio.run(_finish(result))
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()  # as at the end of any Python program
    except SystemExit as leave:
        code = leave.code if isinstance(leave.code, int) else int(leave.code is not None)
        if isinstance(leave.code, str):
            sys.stderr.write(f"{leave.code}\n")
    except BaseException:  # noqa: BLE001 - whatever a job raises ends it, and is its output
        traceback.print_exc()
        code = 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


@contextmanager
def _heard() -> Iterator[None]:
    """Let what a function broadcasts reach the Saddle apps of the workers, if the script has any."""
    worker = host.attached()
    if worker is None or "skitai.saddle" not in sys.modules:
        yield
        return
    from skitai.saddle import broadcasts  # which the script has imported; others do without

    broadcasts.send_only(worker.bus)
    try:
        yield
    finally:
        worker.bus.close()


def _by_the_line(fd: int) -> TextIO:
    """A stream whose lines come out as they are printed, whatever the server's own are."""
    return open(fd, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


async def _finish(result: Any) -> None:
    await result


def _anew(function: Callable[[], object], script: str) -> Callable[[], object]:
    """A function of the start script as its module, imported now as workers import it, holds it.

    Any other is what it was when the server started: nobody can look it up.
    """
    path = getattr(function, "__qualname__", "")
    if getattr(function, "__module__", "") != "__main__" or not path or "<" in path:
        return function
    folder, name = os.path.split(script)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    name = os.path.splitext(name)[0].replace(".", "_")
    taken = name in sys.modules or name in sys.stdlib_module_names
    found: Any = load_file(unique_name(name, script) if taken else name, script)
    for part in path.split("."):
        found = getattr(found, part, None)
    return found if callable(found) else function
