"""Requests on connections that idle: they need no task, unless they fail and are made once more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from skitai.backend.backends import Backends
from skitai.backend.errors import BackendError, Code
from skitai.backend.result import Result, Status
from tests.support.backends import Ask, Begun, ToyDriver, driver, toy, toys
from tests.support.memory import wait_for

WELL = toy("well")


def idling(backends: Backends, *hosts: str) -> ToyDriver:
    made = driver(backends)
    made.idle.update(hosts)
    return made


def begun(toy_driver: ToyDriver) -> Begun:
    wait_for(lambda: toy_driver.begun)
    return toy_driver.begun.pop(0)


def tell(backends: Backends, what: Callable[..., None], *args: Any) -> None:
    backends.home.on_loop(what, *args)


def books(backends: Backends, alias: str) -> list[tuple[int, int]]:
    """Requests under way, and failures, of each member."""
    return [(each["running"], each["failures"]) for each in backends.cluster(alias).stats()]


def refused(sent: bool = True) -> BackendError:
    return BackendError(Code.REFUSED, "it broke", sent=sent)


def test_an_answer_comes_without_a_task() -> None:
    with toys(one=[WELL]) as backends:
        toy_driver = idling(backends, "well")
        task = backends.ask(backends.cluster("@one"), Ask(), meta={"mine": 1})
        request = begun(toy_driver)
        assert (backends.asking, books(backends, "@one")) == (1, [(1, 0)])
        tell(backends, request.asker.answered, Result(data="there"))
        result = task.getwait()
        assert (result.data, result.member, result.meta, result.method) == ("there", WELL, {"mine": 1}, "get")
        assert (toy_driver.asked, request.cancelled) == ({}, 0)
        wait_for(lambda: backends.asking == 0)
        assert (books(backends, "@one"), backends.asked, backends.unanswered) == ([(0, 0)], 1, 0)


def test_where_none_idles_a_task_asks() -> None:
    with toys() as backends:
        idling(backends, "other")
        assert backends.ask(WELL, Ask("hi")).getwait().data == ("well", "hi", 1)


def test_one_that_died_long_ago_is_no_matter() -> None:
    with toys(one=[WELL]) as backends:
        toy_driver = idling(backends, "well")
        task = backends.ask(backends.cluster("@one"), Ask("hi"))
        tell(backends, begun(toy_driver).asker.failed, refused(), True)
        assert task.getwait().data == ("well", "hi", 1)
        wait_for(lambda: backends.asking == 0)
        assert (books(backends, "@one"), backends.unanswered) == ([(0, 0)], 0), "it says nothing of the server"


def test_another_member_is_asked_and_the_books_are_kept() -> None:
    with toys(two=[toy("well-1"), toy("well-2")]) as backends:
        toy_driver = idling(backends, "well-1")
        task = backends.ask(backends.cluster("@two"), Ask("hi"))
        tell(backends, begun(toy_driver).asker.failed, refused())
        assert task.getwait().data == ("well-2", "hi", 1)
        wait_for(lambda: backends.asking == 0)
        assert books(backends, "@two") == [(0, 1), (0, 0)]


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        (Ask(repeatable=False), refused()),
        (Ask(), BackendError(Code.FAILED, "no")),
    ],
    ids=["harm", "its own fault"],
)
def test_what_may_not_be_repeated_is_not(ask: Ask, error: BackendError) -> None:
    with toys(two=[toy("well-1"), toy("well-2")]) as backends:
        toy_driver = idling(backends, "well-1")
        task = backends.ask(backends.cluster("@two"), ask)
        tell(backends, begun(toy_driver).asker.failed, error)
        result = task.getwait()
        assert (result.status, result.status_code) == (Status.FAILED, error.code)
        wait_for(lambda: backends.asking == 0)
        assert (toy_driver.asked, backends.unanswered) == ({}, 1)


def test_the_last_member_s_error_is_the_result() -> None:
    with toys(one=[WELL]) as backends:
        toy_driver = idling(backends, "well")
        task = backends.ask(backends.cluster("@one"), Ask())
        tell(backends, begun(toy_driver).asker.failed, refused())
        assert task.getwait().reason == "it broke"
        wait_for(lambda: backends.asking == 0)
        assert books(backends, "@one") == [(0, 1)]


def test_a_fault_of_a_driver_is_a_result(caplog: pytest.LogCaptureFixture) -> None:
    with toys() as backends:
        toy_driver = idling(backends, "well")
        task = backends.ask(WELL, Ask())
        tell(backends, begun(toy_driver).asker.failed, ZeroDivisionError("a fault"))
        assert isinstance(task.getwait().error, ZeroDivisionError)
    assert "a request to a back-end failed: get" in caplog.text


@pytest.mark.parametrize("by_handle", [True, False], ids=["whoever waits", "its own time"])
def test_time_ends_it_once(by_handle: bool) -> None:
    with toys(one=[WELL]) as backends:
        toy_driver = idling(backends, "well")
        task = backends.ask(backends.cluster("@one"), Ask(), timeout=None if by_handle else 0.05)
        request = begun(toy_driver)
        result = task.getwait(0.05 if by_handle else 30)
        assert (result.status, result.status_code) == (Status.TIMED_OUT, Code.TIMEOUT)
        wait_for(lambda: request.cancelled)
        assert (backends.asking, books(backends, "@one"), backends.unanswered) == (0, [(0, 0)], 1)
        tell(backends, task.give_up)
        task.wait(reraise=False)
        assert request.cancelled == 1


def test_members_take_turns_though_not_all_idle() -> None:
    with toys(two=[toy("well-1"), toy("well-2")]) as backends:
        toy_driver = idling(backends, "well-1")

        def one() -> None:
            task = backends.ask(backends.cluster("@two"), Ask())
            wait_for(lambda: toy_driver.begun or task.done)
            while toy_driver.begun:
                tell(backends, toy_driver.begun.pop().asker.answered, Result(data=("well-1", "", 0)))
            task.getwait(reraise=True)

        for _ in range(4):
            one()
        assert toy_driver.asked["well-2"] == 2
