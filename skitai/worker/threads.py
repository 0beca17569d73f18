"""The thread pool for synchronous apps: lazy, because Python threads that are awake fight for one lock.

One thread drains the queue. Another wakes only when every awake one has sat in the same call for a whole tick, which is the
sign that they wait for something outside Python; the number doubles with each such tick, and one thread parks again after
a spell of calm. Waking on "a thread is inside the app" alone would make all of them fight (measured: half as slow again).

A thread that waits for a back-end says so (`waiting`), and does not count meanwhile: a spare one takes its place if need be,
and ends when it was not needed for a while.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

TICK_S = 0.001
ALL_AWAKE_TICK_S = 0.02
CALM_TICKS = 20
SPARE = 64
"""So many threads more, at most, stand in for those that wait for back-ends."""
SPARE_S = 60.0
"""One of those ends that had nothing to do for so long."""

log = logging.getLogger("skitai.server")

Job = Callable[[], None]


class Seat:
    """One thread's place: the lock it sleeps on, and how many calls it has begun."""

    __slots__ = ("calls", "idle", "lock", "seen")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.lock.acquire()
        self.idle = True
        self.calls = 0
        self.seen = -1


class ThreadPool:
    """Runs jobs in up to `number` threads.

    `submit` belongs to the loop's thread. A job must not raise; if it does, the error is logged and the thread goes on.

    :param number: of threads, 1 or more.
    :param call_later: the loop's.
    :param spare_s: a thread that stood in for one that waits ends when it had nothing to do for so long.
    """

    def __init__(self, number: int, call_later: Callable[..., Any], spare_s: float = SPARE_S) -> None:
        self.number = number
        self._spare_s = spare_s
        self._begun_by_spare = 0
        self._call_later = call_later
        self._ready: deque[Job] = deque()
        self._parked: list[Seat] = []
        self._awake: list[Seat] = []
        self._seats: list[Seat] = []
        self._ticking = False
        self._calm = 0
        self._surplus = False
        self._done = False
        self._out = 0
        self._mine = threading.local()
        self._growing = threading.Lock()

    def start(self) -> None:
        for _ in range(self.number):
            self._add()

    def _add(self) -> None:
        seat = Seat()
        self._seats.append(seat)
        self._parked.append(seat)
        threading.Thread(target=self._drain, args=(seat,), name=f"app-{len(self._seats) - 1}", daemon=True).start()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around what the calling thread waits for; another may take jobs meanwhile."""
        seat: Seat | None = getattr(self._mine, "seat", None)
        if seat is None:
            yield  # no thread of ours
            return
        with self._growing:
            self._out += 1
        self._awake.remove(seat)
        if self._ready and not self._awake:
            self._wake()
        try:
            yield
        finally:
            self._awake.append(seat)
            seat.calls += 1  # it has moved
            with self._growing:
                self._out -= 1

    def stop(self) -> None:
        """Let the threads end once the queue is empty; does not wait for them."""
        self._done = True
        with suppress(IndexError):
            while True:
                self._rouse(self._parked.pop())

    def submit(self, job: Job) -> None:
        """Queue a job."""
        self._ready.append(job)
        if not self._awake:
            self._wake()
        if not self._ticking:
            self._tick_later()

    @property
    def queued(self) -> int:
        """Jobs that wait for a thread."""
        return len(self._ready)

    @property
    def busy(self) -> int:
        """Threads inside a job."""
        return sum(not seat.idle for seat in tuple(self._seats))

    @property
    def begun(self) -> int:
        """Jobs begun so far; while it grows, the pool lives."""
        return self._begun_by_spare + sum(seat.calls for seat in tuple(self._seats))

    def _wake(self) -> bool:
        if len(self._awake) >= self.number:
            return False
        while True:
            try:
                seat = self._parked.pop()
                break
            except IndexError:
                if not self._grow():
                    return False
        self._rouse(seat)
        return True

    def _rouse(self, seat: Seat) -> None:
        self._awake.append(seat)
        seat.lock.release()

    def _grow(self) -> bool:
        """Add a thread for one that waits."""
        with self._growing:
            if self._done or len(self._seats) >= self.number + min(self._out, SPARE):
                return False
            self._add()
            return True

    def _tick(self) -> None:
        self._ticking = False
        awake = tuple(self._awake)
        stuck = 0
        for seat in awake:
            if not seat.idle and seat.calls == seat.seen:
                stuck += 1
            seat.seen = seat.calls
        if self._ready and stuck == len(awake):
            for _ in range(stuck or 1):
                self._wake()
        self._calm = self._calm + 1 if not stuck and len(awake) > 1 else 0
        if self._calm >= CALM_TICKS:
            self._surplus, self._calm = True, 0
        if self._ready:
            self._tick_later()

    def _tick_later(self) -> None:
        """Look again in a tick; less often while every thread is awake, for then there is none to wake."""
        self._ticking = True
        self._call_later(TICK_S if len(self._awake) < self.number else ALL_AWAKE_TICK_S, self._tick)

    def _sleep(self, seat: Seat) -> bool:
        """Wait to be woken.

        :returns: False for a thread that nobody has needed for long, which is to end.
        """
        while len(self._seats) > self.number:  # who sleeps while there are no more than that is none too many
            if seat.lock.acquire(timeout=self._spare_s):
                return True
            with self._growing:
                if len(self._seats) > self.number:
                    try:
                        self._parked.remove(seat)
                    except ValueError:
                        continue  # somebody is waking us
                    self._seats.remove(seat)
                    self._begun_by_spare += seat.calls
                    return False
        seat.lock.acquire()
        return True

    def _drain(self, seat: Seat) -> None:
        """One thread's life."""
        self._mine.seat = seat
        ready, awake, parked = self._ready, self._awake, self._parked
        while self._sleep(seat):  # whoever wakes us has put us among the awake
            while True:
                if self._surplus and len(awake) > 1:
                    self._surplus = False
                    awake.remove(seat)
                    parked.append(seat)
                    break
                try:
                    job = ready.popleft()
                except IndexError:
                    if self._done:
                        return
                    awake.remove(seat)
                    parked.append(seat)  # announce first, then look again: so no wake-up is lost
                    if not ready and not self._done:
                        break
                    try:
                        parked.remove(seat)
                    except ValueError:
                        break  # somebody is waking us already
                    awake.append(seat)
                    continue
                seat.calls += 1
                seat.idle = False
                try:
                    job()
                except BaseException:  # noqa: BLE001 - nothing that a job does may cost a thread
                    log.exception("a job of the thread pool failed")
                seat.idle = True
                del job


class Inline:
    """Stands in for the pool where there are no threads: a job runs at once, in the loop's thread.

    It runs as if there were no loop: `asyncio.run` works in it, and Django's ORM is not refused.
    """

    number = queued = busy = begun = 0

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def submit(self, job: Job) -> None:
        asyncio._set_running_loop(None)
        try:
            job()
        finally:
            asyncio._set_running_loop(self._loop)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """As `ThreadPool.waiting`; here nobody stands in."""
        yield

    def start(self) -> None: ...

    def stop(self) -> None: ...
