"""Locks between processes."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from skitai.ipc.locks import ProcessLock

pytestmark = pytest.mark.process


@pytest.fixture
def fd() -> Iterator[int]:
    fd = os.memfd_create("locks")
    yield fd
    os.close(fd)


@pytest.fixture
def elsewhere() -> Iterator[Callable[[ProcessLock], int]]:
    """Takes a lock in another process, which keeps it until it is killed; its pid."""
    pids = []

    def take(lock: ProcessLock) -> int:
        ours, theirs = os.pipe()
        pid = os.fork()
        if pid == 0:
            lock.acquire()
            os.write(theirs, b"taken")
            time.sleep(600)
        pids.append(pid)
        assert os.read(ours, 5) == b"taken"
        os.close(ours)
        os.close(theirs)
        return pid

    yield take
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)


def test_what_another_process_has_cannot_be_taken_until_it_ends(fd: int, elsewhere: Callable[[ProcessLock], int]) -> None:
    lock, other = ProcessLock(fd, 1), ProcessLock(fd, 2)
    pid = elsewhere(lock)

    assert not lock.acquire(blocking=False)
    assert not lock.acquire(timeout=0.05)
    with other:
        pass
    threading.Timer(0.1, os.kill, (pid, signal.SIGKILL)).start()
    began_s = time.monotonic()
    with lock:
        assert time.monotonic() - began_s > 0.05


def test_what_another_thread_has_cannot_be_taken(fd: int) -> None:
    lock = ProcessLock(fd, 1)
    taken: list[bool] = []
    with lock:
        thread = threading.Thread(target=lambda: taken.append(lock.acquire(timeout=0.02)))
        thread.start()
        thread.join()
    assert taken == [False]
    assert lock.acquire(blocking=False)
    lock.release()


def test_the_thread_that_has_it_may_take_it_again(fd: int, elsewhere: Callable[[ProcessLock], int]) -> None:
    lock = ProcessLock(fd, 1)
    with lock, lock:
        pass
    with lock:
        with lock:
            pass
        with pytest.raises(OSError):  # noqa: PT011 - whichever the system says
            _taken_now(fd)
    elsewhere(lock)


def _taken_now(fd: int) -> None:
    """Try from another process."""
    pid = os.fork()
    if pid == 0:
        os._exit(0 if ProcessLock(fd, 1).acquire(blocking=False) else 1)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        raise OSError


def test_only_its_thread_gives_it_back(fd: int) -> None:
    lock = ProcessLock(fd, 1)
    with pytest.raises(RuntimeError, match="this thread does not have"):
        lock.release()


def test_without_a_file_it_is_for_this_process_alone(elsewhere: Callable[[ProcessLock], int]) -> None:
    lock = ProcessLock(-1, 1)
    elsewhere(lock)
    assert lock.acquire(blocking=False)
    lock.release()
