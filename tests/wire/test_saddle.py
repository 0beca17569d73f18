"""Saddle apps through real connections: the way of a request from its route to its answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from skitai.saddle import Saddle, Was
from tests.support.memory import Wire, mounted, wire


@pytest.fixture
def serve(engine: str, threads: int) -> Iterator[Callable[..., Wire]]:
    """Serve one app at a point on this engine, with these threads."""
    running: list[Any] = []

    def start(app: Saddle, point: str = "/", **values: Any) -> Wire:
        context = wire(mounted(point, app), kind="saddle", engine=engine, threads=threads, **values)
        running.append(context)
        return context.__enter__()

    yield start
    for context in running:
        context.__exit__(None, None, None)


@pytest.fixture
def app() -> Saddle:
    return Saddle(__name__)


def test_a_route_answers(serve: Callable[..., Wire], app: Saddle) -> None:
    @app.route("/")
    def index(was: Was) -> str:
        return "Hello"

    status, fields, body = serve(app).get("/")
    assert (status, body) == (200, b"Hello")
    assert fields["content-type"] == "text/html; charset=utf-8"


def test_a_coroutine_function_answers(serve: Callable[..., Wire], app: Saddle) -> None:
    @app.route("/")
    async def index(was: Was) -> str:
        await asyncio.sleep(0)
        return threading.current_thread().name

    server = serve(app)
    loop = server.on_loop(lambda: threading.current_thread().name)
    assert server.get("/")[2].decode() == loop


def test_a_path_without_a_route_is_not_found(serve: Callable[..., Wire], app: Saddle) -> None:
    assert serve(app).get("/nowhere")[0] == 404
