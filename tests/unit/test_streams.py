"""The threads of streams: made as they are wanted, no more than there may be."""

from __future__ import annotations

import threading

from skitai.worker.streams import StreamPool
from tests.support.memory import wait_for

PATIENCE_S = 20


def test_a_thread_is_used_again():
    pool, ran = StreamPool(4), threading.Semaphore(0)
    for _ in range(20):
        pool.submit(ran.release)
        assert ran.acquire(timeout=PATIENCE_S)
        wait_for(lambda: pool._idle == pool.threads)
    assert pool.threads == 1


def test_as_many_threads_as_jobs_but_no_more_than_there_may_be():
    pool, going_on, begun = StreamPool(3), threading.Event(), threading.Semaphore(0)

    def job() -> None:
        begun.release()
        assert going_on.wait(PATIENCE_S)

    for _ in range(5):
        pool.submit(job)
    for _ in range(3):
        assert begun.acquire(timeout=PATIENCE_S)
    assert (pool.threads, begun.acquire(blocking=False)) == (3, False)
    going_on.set()
    for _ in range(2):
        assert begun.acquire(timeout=PATIENCE_S)


def test_a_job_that_fails_is_logged_and_costs_no_thread(caplog):
    pool, ran = StreamPool(1), threading.Event()
    pool.submit(lambda: 1 // 0)
    pool.submit(ran.set)
    assert ran.wait(PATIENCE_S)
    assert "ZeroDivisionError" in caplog.text


def test_unused_threads_end(monkeypatch):
    monkeypatch.setattr("skitai.worker.streams.IDLE_S", 0.01)
    pool, ran = StreamPool(1), threading.Event()
    pool.submit(ran.set)
    wait_for(lambda: not pool.threads)
    assert ran.is_set()
