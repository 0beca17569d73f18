"""The handle of a request to a back-end: waiting, awaiting, time, fail-over, results that are kept."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from dataclasses import replace
from typing import Any

import pytest

from skitai.backend.errors import BackendError, Code, Failed, TimedOut
from skitai.backend.handle import thrown
from skitai.backend.result import Status
from skitai.errors import Answerable
from tests.support.backends import Ask, driver, options, toy, toys
from tests.support.memory import wait_for

WELL, BROKEN, LOST, NO, WRONG = toy("well"), toy("broken"), toy("lost"), toy("no"), toy("wrong")


def test_many_requests_are_under_way_at_once() -> None:
    with toys() as backends:
        began = time.monotonic()
        tasks = [backends.ask(WELL, Ask(number, slow_s=0.2)) for number in range(50)]
        assert [task.getwait().data[1] for task in tasks] == list(range(50))
        assert time.monotonic() - began < 50 * 0.2


def test_a_result_says_what_came() -> None:
    with toys() as backends:
        task = backends.ask(WELL, Ask("hi"), meta={"mine": 1}, id="first")
        assert task.status == 0 or task.done
        result = task.getwait()
        assert (result.status, result.status_code, result.code, result.reason, result.msg) == (3, 200, 200, "OK", "OK")
        assert (result.method, result.meta, result.id, result.node) == ("get", {"mine": 1}, "first", ("well", 80))
        assert (result.data, task.status, result.is_normal) == (("well", "hi", 1), 3, True)
        assert task.getwait() is result, "the same comes again"
        result.reraise()


def test_no_answer_is_a_status_and_raises_where_that_is_wished() -> None:
    with toys() as backends:
        result = backends.ask(BROKEN, Ask()).getwait()
        assert (result.status, result.status_code, result.data, result.is_normal) == (2, Code.REFUSED, None, False)
        assert result.reason == "broken does not listen"
        with pytest.raises(BackendError, match="does not listen"):
            result.raise_for_status()
        with pytest.raises(BackendError):
            backends.ask(BROKEN, Ask()).wait()
        backends.ask(BROKEN, Ask()).wait(reraise=False)
        with pytest.raises(BackendError):
            backends.ask(BROKEN, Ask()).getwait(reraise=True)


def test_an_answer_that_says_no_is_an_answer() -> None:
    with toys() as backends:
        task = backends.ask(NO, Ask())
        task.wait()
        result = task.getwait()
        assert (result.status, result.status_code) == (3, 500)
        with pytest.raises(Failed, match="500 No") as failed:
            task.getwait(reraise=True)
        assert isinstance(failed.value.__cause__, ValueError)


def test_a_fault_of_a_driver_is_a_result_too() -> None:
    with toys() as backends:
        result = backends.ask(WRONG, Ask()).getwait()
        assert (result.status, result.status_code) == (2, Code.FAILED)
        assert isinstance(result.error, ZeroDivisionError)


def test_waiting_ends_with_the_time_and_so_does_the_work() -> None:
    with toys() as backends:
        task = backends.ask(WELL, Ask(slow_s=60))
        result = task.getwait(0.05)
        assert (result.status, result.status_code, result.reason) == (1, Code.TIMEOUT, "Timeout")
        assert task.getwait(5) is result, "it does not change any more"
        wait_for(lambda: driver(backends).running == 0)
        with pytest.raises(TimedOut):
            task.wait()


def test_a_request_may_have_a_time_of_its_own() -> None:
    with toys() as backends:
        began = time.monotonic()
        assert backends.ask(WELL, Ask(slow_s=60), timeout=0.05).getwait(30).status == Status.TIMED_OUT
        assert time.monotonic() - began < 20


def test_who_says_nothing_waits_as_long_as_the_request_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skitai.backend.handle.WAIT_S", 0.1)
    with toys(two=[toy("well-1"), toy("well-2")]) as backends:
        long, short = backends.ask(WELL, Ask(1, slow_s=0.5), timeout=30), backends.ask(WELL, Ask(2, slow_s=0.5))
        group = backends.ask_all(backends.cluster("@two"), Ask(3, slow_s=0.5), timeout=30)
        assert (short.getwait().status, long.getwait().status) == (Status.TIMED_OUT, Status.DONE)
        assert group.getswait().status == [3, 3]


def test_who_waits_for_longer_gets_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skitai.backend.handle.WAIT_S", 0.2)
    with toys() as backends:
        patient, impatient = backends.ask(WELL, Ask(1, slow_s=0.8)), backends.ask(WELL, Ask(2, slow_s=0.8))
        assert patient.getwait(30).status == Status.DONE
        assert impatient.getwait(30).status == Status.TIMED_OUT, "its time was over before anybody came"


def test_in_the_loop_waiting_is_refused_and_awaiting_is_not() -> None:
    with toys() as backends:

        async def handler() -> Any:
            task = backends.ask(WELL, Ask())
            with pytest.raises(RuntimeError, match="would stop the very loop"):
                task.getwait()
            first = await task
            assert task.getwait() is first, "what is there may be taken"
            return first, await task

        first, again = asyncio.run_coroutine_threadsafe(handler(), backends._home.loop).result(5)
        assert first is again
        assert first.data[0] == "well"


def test_a_loop_within_the_loop_is_refused_to_await() -> None:
    with toys() as backends:
        inner = asyncio.new_event_loop()

        def without_threads() -> None:
            task = backends.ask(WELL, Ask())
            outer = asyncio.get_running_loop()
            asyncio._set_running_loop(None)  # as where handlers run in the loop's thread
            try:
                with pytest.raises(RuntimeError, match="would stop the very loop"):
                    inner.run_until_complete(_awaiting(task))
            finally:
                asyncio._set_running_loop(outer)
                inner.close()

        async def handler() -> None:
            without_threads()

        asyncio.run_coroutine_threadsafe(handler(), backends._home.loop).result(5)


def test_statuses_are_plain_numbers() -> None:
    with toys() as backends:
        results = [backends.ask(member, Ask()).getwait() for member in (WELL, BROKEN)]
        assert repr([(each.status, each.status_code) for each in results]) == "[(3, 200), (2, 701)]"


def test_another_loop_may_await_as_well() -> None:
    with toys() as backends:

        async def elsewhere() -> Any:
            return await asyncio.gather(*(backends.ask(WELL, Ask(number, slow_s=0.05)) for number in range(3)))

        assert [result.data[1] for result in asyncio.run(elsewhere())] == [0, 1, 2]


def test_several_threads_may_wait_for_one() -> None:
    with toys() as backends:
        task = backends.ask(WELL, Ask(slow_s=0.1))
        found: list[Any] = []
        threads = [threading.Thread(target=lambda: found.append(task.getwait())) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(5)
        assert found == [task.getwait()] * 8


def test_the_loop_is_told_what_came() -> None:
    with toys() as backends:
        told: list[Any] = []
        for member in (WELL, BROKEN):
            backends.ask(member, Ask(), then=lambda result: told.append((result.status, threading.get_ident())))
        late = backends.ask(WELL, Ask(slow_s=60), timeout=0.05, then=lambda result: told.append((result.status, 0)))
        wait_for(lambda: len(told) == 3)
        assert sorted(status for status, _ in told) == [1, 2, 3]
        assert late.done


def test_a_filter_makes_the_data() -> None:
    with toys() as backends:
        assert backends.ask(WELL, Ask(), filter=lambda result: result.data[0]).getwait().data == "well"
        failed = backends.ask(WELL, Ask(), filter=lambda result: 1 // 0).getwait()
        assert (failed.status, failed.status_code) == (2, Code.FAILED)
        assert backends.ask(BROKEN, Ask(), filter=lambda result: 1 // 0).getwait().status_code == Code.REFUSED


# Throwing


def test_a_failure_becomes_the_client_s_answer() -> None:
    with toys() as backends:
        with pytest.raises(Answerable) as answer:
            backends.ask(BROKEN, Ask()).getwait_or_throw("502 Bad Gateway")
        assert (answer.value.status, answer.value.message) == (502, "Bad Gateway")
        assert isinstance(answer.value.__cause__, BackendError)
        with pytest.raises(Answerable):
            backends.ask(NO, Ask()).wait_or_throw(503)
        with pytest.raises(Answerable):
            backends.ask(NO, Ask()).getswait_or_throw("500 Internal Server Error")
        assert backends.ask(WELL, Ask()).getwait_or_throw("502 Bad Gateway", 5).data[0] == "well"
        assert backends.ask(WELL, Ask()).getswait_or_throw("502 Bad Gateway").data[0][0] == "well"


@pytest.mark.parametrize("status", ["", "OK", 200, "200 OK", 600])
def test_what_is_no_error_cannot_be_thrown(status: str | int) -> None:
    with pytest.raises(ValueError, match="no status of an error"):
        thrown(status)


# Clusters


def test_members_take_turns() -> None:
    with toys(both=[toy("well-1"), toy("well-2")]) as backends:
        cluster = backends.cluster("@both")
        assert {backends.ask(cluster, Ask(number)).getwait().data[0] for number in range(4)} == {"well-1", "well-2"}


def test_one_that_cannot_be_reached_is_stood_in_for_and_left_alone() -> None:
    with toys(some=[toy("broken-1"), toy("broken-2"), toy("well")]) as backends:
        cluster = backends.cluster("some")
        for number in range(10):
            result = backends.ask(cluster, Ask(number, repeatable=False)).getwait()
            assert (result.status, result.node) == (3, ("well", 80))
        assert driver(backends).asked == {"broken-1": 1, "broken-2": 1, "well": 10}
        assert [each["failures"] for each in backends.stats()["clusters"]["@some"]] == [1, 1, 0]


def test_what_was_sent_is_sent_again_only_where_that_does_no_harm() -> None:
    with toys(some=[toy("lost", 100), toy("well")]) as backends:
        cluster = backends.cluster("@some")
        assert backends.ask(cluster, Ask(repeatable=True)).getwait().data[0] == "well"
    with toys(some=[toy("lost", 100), toy("well")]) as backends:
        result = backends.ask(backends.cluster("@some"), Ask(repeatable=False)).getwait()
        assert (result.status, result.status_code) == (2, Code.REFUSED)
        assert driver(backends).asked == {"lost": 1}


def test_where_nobody_can_be_reached_the_last_says_why_and_all_are_tried_again() -> None:
    with toys(options(backend_eject_s=60), none=[toy("broken-1"), toy("broken-2")]) as backends:
        cluster = backends.cluster("@none")
        assert backends.ask(cluster, Ask(1)).getwait().status_code == Code.REFUSED
        driver(backends).mended |= {"broken-1", "broken-2"}
        assert backends.ask(cluster, Ask(2)).getwait().status == 3


def test_an_answer_that_says_no_is_no_reason_to_ask_another() -> None:
    with toys(some=[toy("no", 100), toy("well")]) as backends:
        assert backends.ask(backends.cluster("@some"), Ask()).getwait().status_code == 500


def test_all_members_are_asked_and_each_has_its_result() -> None:
    with toys(three=[toy("well-1"), toy("broken"), toy("well-2")]) as backends:
        group = backends.ask_all(backends.cluster("@three"), Ask("all"), meta={"a": 1})
        results = group.getswait()
        assert results.status == [3, 2, 3]
        assert results.status_code == [200, 701, 200]
        assert [each.data and each.data[0] for each in results] == ["well-1", None, "well-2"]
        assert (len(results), results[0].meta, group.status) == (3, {"a": 1}, [3, 2, 3])
        with pytest.raises(BackendError):
            group.getswait(reraise=True)
        with pytest.raises(BackendError):
            group.wait()
        with pytest.raises(Answerable):
            group.getswait_or_throw(502)
        with pytest.raises(ValueError, match="getswait"):
            group.getwait()


def test_of_one_member_there_is_one_result() -> None:
    with toys(one=[WELL]) as backends:
        group = backends.ask_all(backends.cluster("@one"), Ask())
        assert group.getwait().data[0] == "well"
        assert backends.ask(WELL, Ask()).getswait().status == [3]


def test_an_alias_that_is_none_is_named_with_those_that_are() -> None:
    with toys(one=[WELL]) as backends, pytest.raises(KeyError, match="'@two'; there are: @one"):
        backends.cluster("@two")


# Results that are kept


def numbers(backends: Any, times: int = 1, **options: Any) -> list[int]:
    """Which request of the server the answers are of."""
    return [backends.ask(WELL, Ask(), **options).getwait().data[2] for _ in range(times)]


def test_a_result_that_is_kept_answers_equal_requests() -> None:
    with toys() as backends:
        result = backends.ask(WELL, Ask()).getwait()
        assert not result.is_cached
        result.cache(60)
        kept = backends.ask(WELL, Ask(), meta={"a": 1}, id="b").getwait()
        assert (kept.is_cached, kept.data, kept.meta, kept.id) == (True, result.data, {"a": 1}, "b")
        assert backends.ask(WELL, Ask("other")).getwait().data[2] == 2
        kept.cache(0)
        assert numbers(backends) == [3]


def test_getwait_keeps_what_is_well() -> None:
    with toys() as backends:
        for member in (BROKEN, NO):
            backends.ask(member, Ask()).getwait(cache=60)
            assert not backends.ask(member, Ask()).getwait().is_cached
        backends.ask(NO, Ask()).getwait(cache=60, cache_if=(200, 500))
        assert backends.ask(NO, Ask()).getwait().is_cached
        backends.ask(WELL, Ask()).getswait(cache=60)
        assert backends.ask(WELL, Ask()).getwait().is_cached


def test_a_task_keeps_its_result_once_it_is_there() -> None:
    with toys() as backends:
        task = backends.ask(WELL, Ask(slow_s=0.2))
        with pytest.raises(RuntimeError, match="nothing to keep yet"):
            task.cache(60)
        task.wait()
        task.cache(60, lambda result: result.data[0] == "other")
        assert numbers(backends) == [2]
        task.cache(60, lambda result: result.data[0] == "well")
        assert numbers(backends) == [1]


def test_who_wants_a_fresh_one_gets_it_and_may_keep_it() -> None:
    with toys() as backends:
        backends.ask(WELL, Ask()).getwait(cache=60)
        assert numbers(backends, use_cache=False) == [2]
        assert numbers(backends) == [1]
        backends.ask(WELL, Ask(), use_cache=False).getwait(cache=60)
        assert numbers(backends) == [3]


def test_what_is_older_than_the_model_is_asked_for_again() -> None:
    with toys() as backends:
        backends.ask(WELL, Ask()).getwait(cache=60)
        assert numbers(backends, use_cache=time.time() - 30) == [1]
        assert numbers(backends, use_cache=time.time() + 1) == [2]


def test_results_of_all_members_are_kept_together() -> None:
    with toys(two=[toy("well-1"), toy("well-2")]) as backends:
        cluster = backends.cluster("@two")
        group = backends.ask_all(cluster, Ask())
        with pytest.raises(RuntimeError):
            backends.ask_all(cluster, Ask("late", slow_s=0.5)).cache(60)
        group.getswait().cache(60)
        assert [each.is_cached for each in backends.ask_all(cluster, Ask()).getswait()] == [True, True]
        group.cache(0)
        assert [each.is_cached for each in backends.ask_all(cluster, Ask()).getswait()] == [False, False]


def test_equal_requests_of_which_results_are_kept_are_joined() -> None:
    with toys() as backends:
        backends.ask(WELL, Ask(slow_s=0.3)).getwait().cache(60).cache(0)
        tasks = [backends.ask(WELL, Ask(slow_s=0.3)) for _ in range(10)]
        assert {task.getwait().data[2] for task in tasks} == {2}
        assert driver(backends).asked == {"well": 2}


def test_who_wants_what_is_newer_joins_what_began_since_then() -> None:
    with toys() as backends:
        backends.ask(WELL, Ask()).getwait().cache(60).cache(0)
        old = backends.ask(WELL, Ask(slow_s=0.8))
        wait_for(lambda: driver(backends).running == 1)
        changed = time.time()
        tasks = [backends.ask(WELL, Ask(slow_s=0.8), use_cache=changed) for _ in range(5)]
        assert {task.getwait().data[2] for task in tasks} == {3}
        assert old.getwait().data[2] == 2
        wait_for(lambda: not backends._under_way)


def test_others_are_not() -> None:
    with toys() as backends:
        tasks = [backends.ask(WELL, Ask(slow_s=0.1)) for _ in range(3)]
        assert {task.getwait().data[2] for task in tasks} == {1, 2, 3}


def test_one_that_is_given_up_leaves_those_that_joined_it_their_own() -> None:
    with toys() as backends:
        backends.ask(WELL, Ask()).getwait().cache(60).cache(0)
        first = backends.ask(WELL, Ask(slow_s=0.4), timeout=0.1)
        second = backends.ask(WELL, Ask(slow_s=0.4))
        assert first.getwait().status == Status.TIMED_OUT
        assert second.getwait().status == Status.DONE


def test_a_filter_gets_what_came_also_from_what_is_kept() -> None:
    with toys() as backends:
        assert backends.ask(WELL, Ask(), filter=lambda result: result.data[0]).getwait(cache=60).data == "well"
        assert backends.ask(WELL, Ask(), filter=lambda result: result.data[0]).getwait().data == "well"
        assert backends.ask(WELL, Ask(), filter=lambda result: [result.data]).getwait().data == [("well", "hello", 1)]
        assert numbers(backends) == [1]


def test_a_filter_gets_what_came_also_from_one_that_was_joined() -> None:
    with toys() as backends:
        backends.ask(WELL, Ask()).getwait().cache(60).cache(0)
        tasks = [backends.ask(WELL, Ask(slow_s=0.2), filter=lambda result: result.data[0]) for _ in range(3)]
        assert [task.getwait().data for task in tasks] == ["well"] * 3
        assert driver(backends).asked == {"well": 2}


def test_what_came_of_an_older_request_is_as_old_as_that() -> None:
    with toys() as backends:
        backends.ask(WELL, Ask()).getwait().cache(60).cache(0)
        first = backends.ask(WELL, Ask(slow_s=0.8))
        wait_for(lambda: driver(backends).running == 1)
        changed = time.time()
        second = backends.ask(WELL, Ask(slow_s=0.4))
        assert second.getwait(cache=60).data == first.getwait().data
        assert numbers(backends, use_cache=changed) == [3]


def test_of_many_that_joined_one_that_is_given_up_one_asks_again() -> None:
    with toys() as backends:
        backends.ask(WELL, Ask()).getwait().cache(60).cache(0)
        first = backends.ask(WELL, Ask(slow_s=0.4), timeout=0.1)
        others = [backends.ask(WELL, Ask(slow_s=0.4)) for _ in range(10)]
        assert first.getwait().status == Status.TIMED_OUT
        assert {(task.getwait().status, task.getwait().data[2]) for task in others} == {(Status.DONE, 3)}


def test_an_alias_says_how_long_its_requests_may_take_unless_they_say_it() -> None:
    with toys(slow=[toy("well")]) as backends:
        cluster = backends.cluster("slow")
        cluster.alias = replace(cluster.alias, timeout=0.05)
        assert backends.ask(cluster, Ask(slow_s=5)).getwait(5).status == Status.TIMED_OUT
        assert backends.ask_all(cluster, Ask(slow_s=5)).getwait(5).status == Status.TIMED_OUT
        assert backends.ask(cluster, Ask(slow_s=0.1), timeout=5).getwait().status == Status.DONE


def test_requests_are_counted_but_for_those_that_nobody_has_to_ask() -> None:
    with toys(nobody=[toy("broken")]) as backends:
        backends.ask(WELL, Ask()).getwait().cache(60)
        backends.ask(WELL, Ask()).getwait()
        backends.ask(backends.cluster("nobody"), Ask("other")).getwait()
        backends.ask(WELL, Ask("late", slow_s=5), timeout=0.05).getwait()
        wait_for(lambda: not backends.asking)
        under_way = backends.ask(WELL, Ask("slow", slow_s=5))
        wait_for(lambda: backends.connections() == 1)
        told = backends.stats()
        assert (told["requests"], told["connections"]) == ({"asked": 4, "asking": 1, "unanswered": 2}, 1)
        backends.home.on_loop(under_way.give_up)


def test_the_state_is_told_by_the_loop_whose_it_is() -> None:
    with toys() as backends:
        backends.ask(WELL, Ask()).getwait()
        seen: list[int] = []

        def stats() -> dict[str, Any]:
            seen.append(threading.get_ident())
            return {}

        driver(backends).stats = stats  # type: ignore[method-assign]
        ours = asyncio.run_coroutine_threadsafe(_thread(), backends._home.loop).result(5)
        backends.stats()
        backends._home.on_loop(backends.stats)
        wait_for(lambda: len(seen) == 2)
        assert seen == [ours, ours]


async def _thread() -> int:
    return threading.get_ident()


def fail(result: Any) -> None:
    raise ZeroDivisionError(result)


def test_a_callback_that_fails_is_logged_and_holds_nobody_up(caplog: pytest.LogCaptureFixture) -> None:
    with toys() as backends:
        backends.ask(WELL, Ask()).getwait(cache=60)
        for _ in range(2):  # one that is kept, and one that is asked for
            failing = backends.ask(WELL, Ask(), then=fail)
            after = backends.ask(WELL, Ask("after"))
            assert [failing.getwait(2).status, after.getwait(2).status] == [3, 3]
            backends.ask(WELL, Ask()).getwait().cache(0)
        wait_for(lambda: len(caplog.records) == 2)
        assert "ZeroDivisionError" in caplog.text


def test_a_loop_that_has_ended_holds_nobody_up() -> None:
    with toys() as backends:
        task = backends.ask(WELL, Ask(slow_s=0.3))

        async def impatient() -> None:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(_awaiting(task), 0.05)

        asyncio.run(impatient())
        assert task.getwait().status == Status.DONE


async def _awaiting(task: Any) -> Any:
    return await task


@pytest.mark.parametrize("options", [{}, {"filter": lambda result: 1}, {"then": lambda result: None}])
@pytest.mark.parametrize("member", [WELL, BROKEN, NO])
def test_a_request_that_is_over_is_freed_at_once(member: Any, options: dict[str, Any]) -> None:
    with toys() as backends:
        backends.ask(member, Ask()).getwait()
        gc.collect()
        gc.disable()
        try:
            task = backends.ask(member, Ask(), **options)
            task.getwait(cache=60)
            freed = weakref.ref(task)
            del task
            wait_for(lambda: freed() is None)
        finally:
            gc.enable()


# The end


def test_what_is_asked_for_after_the_end_says_so() -> None:
    with toys() as backends:
        asyncio.run_coroutine_threadsafe(backends.close(), backends._home.loop).result(5)
        assert backends.ask(WELL, Ask()).getwait().status_code == Code.SHUTDOWN


def test_what_is_under_way_at_the_end_fails() -> None:
    with toys() as backends:
        task = backends.ask(WELL, Ask(slow_s=60))
        wait_for(lambda: task.running)
        asyncio.run_coroutine_threadsafe(backends.close(), backends._home.loop).result(5)
        assert task.getwait().status_code == Code.SHUTDOWN


def test_what_has_joined_or_not_begun_at_the_end_fails_too() -> None:
    with toys() as backends:
        backends.ask(WELL, Ask()).getwait().cache(60).cache(0)
        tasks = [backends.ask(WELL, Ask(slow_s=60)) for _ in range(3)]
        wait_for(lambda: driver(backends).running == 1)

        async def end() -> None:
            tasks.append(backends.ask(WELL, Ask("just now")))
            await asyncio.sleep(0)  # it was started in this turn, and runs in none
            await backends.close()

        began = time.monotonic()
        asyncio.run_coroutine_threadsafe(end(), backends._home.loop).result(5)
        assert [task.getwait(30).status_code for task in tasks] == [Code.SHUTDOWN] * 4
        assert time.monotonic() - began < 20


def test_drivers_are_tended_and_asked_how_they_are() -> None:
    with toys() as backends:
        toys_driver = driver(backends)
        backends.tick(1.0)
        assert toys_driver.ticks == 1
        assert backends.stats()["drivers"] == {"ToyDriver": {"running": 0}}
    assert toys_driver.closed
