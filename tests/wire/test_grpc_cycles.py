"""A call is freed when it has ended, however it ends: nothing of it waits for the garbage collector, which runs seldom."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from skitai.saddle import RpcError, Saddle, StatusCode
from skitai.worker.apps.saddle_rpc import RpcCall
from tests.support.guide import asked, pb
from tests.support.memory import wait_for

PATIENCE_S = 20
CALLS = 5


@pytest.fixture(autouse=True)
def without_collector() -> Iterator[None]:
    logging.disable()  # or pytest would keep what is logged, with its traceback
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    logging.disable(logging.NOTSET)


def alive() -> list[Any]:
    return [each for each in gc.get_objects() if type(each) is RpcCall]


def one(was, point):
    was.call.add_trailer("a", "b")
    return pb.Feature(name=was.call.method)


async def one_in_loop(was, point):
    await asyncio.sleep(0)
    return pb.Feature(name=was.call.method)


def failing(was, point):
    raise ZeroDivisionError


async def failing_in_loop(was, point):
    raise RpcError(StatusCode.ABORTED)


def late(was, point):
    wait_for(lambda: was.call.cancelled)
    return pb.Feature()


async def late_in_loop(was, point):
    await asyncio.Event().wait()


def several(was, area):
    for _ in range(3):
        yield pb.Feature()


async def several_in_loop(was, area):
    for _ in range(3):
        yield pb.Feature()


def chat(was, notes):
    yield from notes


async def chat_in_loop(was, notes):
    async for note in notes:
        yield note


async def broken_chat(was, notes):
    async for note in notes:
        yield note
        raise RpcError(StatusCode.ABORTED)


def deaf(was, notes):
    yield pb.Note()


SINGLE = [one, one_in_loop, failing, failing_in_loop, late_in_loop]


@pytest.mark.parametrize(
    ("function", "threads"),
    [*((function, threads) for function in SINGLE for threads in (4, 0)), (late, 4)],  # in a loop, `late` would wait
    ids=lambda it: getattr(it, "__name__", it),
)
def test_single_messages(function, threads):
    ends(
        function,
        "/GetFeature",
        threads,
        lambda guide: guide.GetFeature(pb.Point(), timeout=0.1 if "late" in str(function) else 20),
    )


@pytest.mark.parametrize("function", [several, several_in_loop], ids=lambda f: f.__name__)
def test_streams_of_responses(function):
    ends(function, "/ListFeatures", 4, lambda guide: list(guide.ListFeatures(pb.Area(), timeout=PATIENCE_S)))


@pytest.mark.parametrize("function", [chat, chat_in_loop, broken_chat, deaf], ids=lambda f: f.__name__)
def test_streams_both_ways(function):
    def talk(guide):
        assert len(list(guide.RouteChat(iter([pb.Note(), pb.Note()]), timeout=PATIENCE_S))) == (1 if function is deaf else 2)

    ends(function, "/RouteChat", 4, talk)


@pytest.mark.parametrize("function", [chat, chat_in_loop], ids=lambda f: f.__name__)
def test_calls_that_the_client_gives_up(function):
    def begin(guide):
        endless = iter(pb.Note, None)
        call = guide.RouteChat(endless, timeout=PATIENCE_S)
        next(call)
        call.cancel()

    ends(function, "/RouteChat", 4, begin)


def ends(function: Any, rule: str, threads: int, ask: Any) -> None:
    app = Saddle(__name__)
    app.add_route(rule, function)
    with asked(app, threads=threads) as (guide, server):
        for _ in range(CALLS):
            with contextlib.suppress(grpc.RpcError):
                ask(guide)
        wait_for(lambda: not server.services.pipeline.site.routes[0].app.running)
        try:
            wait_for(lambda: not alive(), 2)
        except AssertionError:
            left = alive()
            raise AssertionError(f"{len(left)} are left: {[str(r)[:150] for r in gc.get_referrers(left[0])]}") from None
