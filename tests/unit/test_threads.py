"""The lazy thread pool: when threads wake and park, with the test as the clock; and that no job is lost."""

from __future__ import annotations

import asyncio
import logging
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from skitai.log import journal
from skitai.worker.threads import ALL_AWAKE_TICK_S, CALM_TICKS, SPARE, TICK_S, Inline, ThreadPool


def wait_for(condition: Callable[[], Any], patience_s: float = 10) -> None:
    end_s = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end_s, "it did not come to pass"
        time.sleep(0.0005)


class World:
    """A pool, and the clock that it is given."""

    def __init__(self, number: int) -> None:
        self.timers: list[Callable[[], None]] = []
        self.pool = ThreadPool(number, self._call_later)
        self.pool.start()
        self.ran: list[int] = []
        self._gates: list[threading.Event] = []

    def _call_later(self, delay_s: float, job: Callable[[], None]) -> None:
        assert delay_s == (TICK_S if self.awake < self.pool.number else ALL_AWAKE_TICK_S)
        self.timers.append(job)

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            timers, self.timers = self.timers, []
            for job in timers:
                job()

    def quick(self, number: int) -> None:
        self.pool.submit(lambda: self.ran.append(number))

    def block(self, number: int = 1) -> list[threading.Event]:
        """Submit jobs that stay inside until their event is set."""
        gates = [threading.Event() for _ in range(number)]
        self._gates += gates
        for gate in gates:
            self.pool.submit(lambda gate=gate: gate.wait(10))  # type: ignore[misc]
        return gates

    @property
    def awake(self) -> int:
        return len(self.pool._awake)

    def end(self) -> None:
        for gate in self._gates:
            gate.set()
        self.pool.stop()


@pytest.fixture
def world() -> Iterator[Callable[[int], World]]:
    made: list[World] = []

    def make(number: int) -> World:
        made.append(World(number))
        return made[-1]

    yield make
    for each in made:
        each.end()


def test_nothing_runs_and_nothing_ticks_without_jobs(world: Callable[[int], World]) -> None:
    it = world(4)
    assert (it.awake, it.timers, it.pool.queued, it.pool.busy, it.pool.begun) == (0, [], 0, 0, 0)


def test_one_thread_drains_the_queue_in_order(world: Callable[[int], World]) -> None:
    it = world(4)
    names = set()
    for number in range(1000):
        it.pool.submit(lambda number=number: (names.add(threading.get_ident()), it.ran.append(number)))  # type: ignore[misc]
    wait_for(lambda: len(it.ran) == 1000)
    assert it.ran == list(range(1000))
    assert len(names) == 1
    wait_for(lambda: it.awake == 0)
    assert it.pool.begun == 1000


def test_the_clock_runs_only_while_something_waits(world: Callable[[int], World]) -> None:
    it = world(1)
    it.quick(1)
    it.quick(2)
    assert len(it.timers) == 1
    wait_for(lambda: it.ran == [1, 2])
    it.tick()
    assert it.timers == []


def test_another_thread_wakes_when_the_first_sits_in_the_same_call(world: Callable[[int], World]) -> None:
    it = world(2)
    it.block()
    wait_for(lambda: it.pool.busy == 1)
    it.quick(1)
    it.tick()
    assert it.awake == 1, "it may have begun a moment ago"
    it.tick()
    wait_for(lambda: it.ran == [1])


def test_a_busy_thread_that_goes_on_from_call_to_call_wakes_nobody(world: Callable[[int], World]) -> None:
    it = world(4)
    for _ in range(10):
        (gate,) = it.block()
        (behind,) = it.block()
        wait_for(lambda: it.pool.busy == 1)
        it.tick()
        assert it.awake == 1
        begun = it.pool.begun
        gate.set()
        wait_for(lambda begun=begun: it.pool.begun > begun)  # type: ignore[misc]
        it.quick(0)
        it.tick()
        assert it.awake == 1
        behind.set()
        wait_for(lambda: not it.pool.queued and not it.pool.busy)


def test_their_number_doubles_while_all_are_stuck(world: Callable[[int], World]) -> None:
    it = world(8)
    it.block(20)
    wait_for(lambda: it.pool.busy == 1)
    seen = []
    for _ in range(8):
        it.tick()
        wait_for(lambda: it.pool.busy == it.awake)
        if it.awake not in seen:
            seen.append(it.awake)
    assert seen == [1, 2, 4, 8]
    it.tick(10)
    assert it.awake == 8
    assert it.pool.queued == 12


def test_one_that_moves_keeps_the_others_asleep(world: Callable[[int], World]) -> None:
    it = world(4)
    it.block(2)
    wait_for(lambda: it.pool.busy == 1)
    it.tick(2)
    wait_for(lambda: it.pool.busy == 2)
    it.block(3)
    it._gates[1].set()
    wait_for(lambda: it.pool.begun == 3)
    it.tick()
    assert it.awake == 2, "the second has begun another call since the last tick"


def test_one_parks_after_a_spell_of_calm(world: Callable[[int], World]) -> None:
    it = world(2)
    (first, second) = it.block(2)
    wait_for(lambda: it.pool.busy == 1)
    it.tick(2)
    wait_for(lambda: it.pool.busy == 2)
    gates = [first, second]
    for _ in range(CALM_TICKS):
        gates += it.block(2)
        gates.pop(0).set()
        gates.pop(0).set()
        begun = it.pool.begun
        wait_for(lambda begun=begun: it.pool.begun >= begun and it.pool.busy == 2)  # type: ignore[misc]
        it.tick()
    assert it.awake == 2
    it.block(2)
    for gate in it._gates:
        gate.set()
    wait_for(lambda: not it.pool.queued and not it.pool.busy)
    assert it.awake <= 1


class Ear(logging.Handler):
    """Takes down what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append((record.getMessage(), record.exc_info and record.exc_info[0]))


def test_a_job_that_raises_is_logged_and_costs_no_thread(world: Callable[[int], World], monkeypatch: Any) -> None:
    ear = Ear()
    monkeypatch.setattr(journal.server, "handlers", [ear])
    it = world(1)

    def fail() -> None:
        raise ZeroDivisionError

    for job in (fail, sys.exit, fail):
        it.pool.submit(job)
    it.quick(1)
    wait_for(lambda: it.ran == [1])
    message = "a job of the thread pool failed"
    assert ear.heard == [(message, ZeroDivisionError), (message, SystemExit), (message, ZeroDivisionError)]


def test_a_stop_lets_the_queue_run_out_and_ends_all_threads(world: Callable[[int], World]) -> None:
    before = {thread.ident for thread in threading.enumerate()}
    it = world(4)
    (gate,) = it.block()
    for number in range(100):
        it.quick(number)
    it.pool.stop()
    gate.set()
    wait_for(lambda: len(it.ran) == 100)
    wait_for(lambda: {thread.ident for thread in threading.enumerate()} <= before)


@pytest.mark.parametrize("number", [1, 2, 4, 16])
def test_a_hundred_thousand_tiny_jobs_all_run_once(number: int) -> None:
    jobs = 100_000
    counts = [0] * jobs
    chance = random.Random(number)

    async def submit() -> float:
        loop = asyncio.get_running_loop()
        pool = ThreadPool(number, loop.call_later)
        pool.start()
        began = loop.time()

        def count(at: int) -> None:
            counts[at] += 1

        at = 0
        while at < jobs:
            for _ in range(chance.choice((1, 1, 2, 5, 50, 500))):
                if at < jobs:
                    pool.submit(lambda at=at: count(at))  # type: ignore[misc]
                    at += 1
            await asyncio.sleep(0 if chance.random() < 0.9 else 0.0005)
        while pool.queued or pool.busy:
            await asyncio.sleep(0.001)
        pool.stop()
        return loop.time() - began

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        assert asyncio.run(submit()) < 20
    finally:
        sys.setswitchinterval(before)
    assert counts == [1] * jobs


def test_a_lonely_job_is_never_left_lying() -> None:
    """Each job is submitted just when the only thread goes to sleep."""

    async def ping() -> None:
        loop = asyncio.get_running_loop()
        pool = ThreadPool(1, lambda delay, job: None)  # no tick comes to the rescue
        pool.start()
        for _ in range(3000):
            done = loop.create_future()
            pool.submit(lambda done=done: loop.call_soon_threadsafe(done.set_result, None))  # type: ignore[misc]
            await asyncio.wait_for(done, 5)
        pool.stop()

    asyncio.run(ping())


class Backend:
    """What jobs of a pool wait for, saying so."""

    def __init__(self, pool: ThreadPool) -> None:
        self.pool = pool
        self.answer = threading.Event()
        self.asked = 0

    def ask(self) -> None:
        self.asked += 1
        with self.pool.waiting():
            assert self.answer.wait(10)


def test_threads_that_wait_for_a_backend_leave_their_places_to_others(world: Callable[[int], World]) -> None:
    here = world(2)
    backend = Backend(here.pool)
    for number in range(1, 21):
        here.pool.submit(backend.ask)
        wait_for(lambda: backend.asked == number)  # noqa: B023
    here.quick(1)
    wait_for(lambda: here.ran == [1])
    assert len(here.pool._seats) <= 22
    backend.answer.set()
    wait_for(lambda: here.pool.busy == 0)
    here.quick(2)
    wait_for(lambda: here.ran == [1, 2])


def test_no_more_than_so_many_stand_in(world: Callable[[int], World]) -> None:
    here = world(1)
    backend = Backend(here.pool)
    for _ in range(SPARE + 10):
        here.pool.submit(backend.ask)
    wait_for(lambda: backend.asked == SPARE + 1)
    here.tick(50)
    assert (backend.asked, here.pool.queued) == (SPARE + 1, 9)
    backend.answer.set()
    wait_for(lambda: backend.asked == SPARE + 10)


def test_stand_ins_are_no_licence_for_more_work_at_once(world: Callable[[int], World]) -> None:
    here = world(2)
    backend = Backend(here.pool)
    for _ in range(6):
        here.pool.submit(backend.ask)
    wait_for(lambda: backend.asked == 6)
    backend.answer.set()
    wait_for(lambda: not here.pool.busy and not here.awake)
    here.block(6)

    def two_work() -> bool:
        here.tick()
        return (here.awake, here.pool.queued) == (2, 4)

    wait_for(two_work)
    here.tick(50)
    assert two_work()


def test_who_stood_in_ends_when_nobody_needs_him_any_more() -> None:
    pool = ThreadPool(2, lambda delay, job: None, spare_s=0.05)
    pool.start()
    backend = Backend(pool)
    for round in (1, 2):
        backend.answer.clear()
        for number in range(12):
            pool.submit(backend.ask)
            wait_for(lambda: backend.asked == (round - 1) * 12 + number + 1)  # noqa: B023
        assert len(pool._seats) >= 12
        threads = threading.active_count()
        begun = pool.begun
        backend.answer.set()
        wait_for(lambda: len(pool._seats) == 2)
        wait_for(lambda: threading.active_count() <= threads - 10)  # noqa: B023
        assert pool.begun >= begun
    pool.stop()


def test_no_job_is_lost_while_those_who_stood_in_end() -> None:
    pool = ThreadPool(1, lambda delay, job: None, spare_s=0.001)
    pool.start()
    ran: list[int] = []

    def job() -> None:
        with pool.waiting():
            time.sleep(0.0005)
        ran.append(1)

    for number in range(600):
        pool.submit(job)
        if number % 7 == 0:
            time.sleep(0.0015)
    wait_for(lambda: len(ran) == 600)
    wait_for(lambda: len(pool._seats) == 1)
    pool.stop()


def test_other_threads_may_wait_as_well(world: Callable[[int], World]) -> None:
    with world(1).pool.waiting():
        pass


def test_without_threads_jobs_run_at_once_as_if_no_loop_ran() -> None:
    async def one() -> int:
        return 1

    async def worker() -> None:
        ran: list[int] = []
        loop = asyncio.get_running_loop()
        inline = Inline(loop)
        inline.start()
        inline.submit(lambda: ran.append(asyncio.run(one())))
        assert ran == [1]
        with pytest.raises(ZeroDivisionError):
            inline.submit(lambda: ran.append(1 // 0))
        assert asyncio.get_running_loop() is loop
        assert (inline.number, inline.queued, inline.busy, inline.begun) == (0, 0, 0, 0)
        inline.stop()

    asyncio.run(worker())
