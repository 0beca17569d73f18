"""What the wire tests share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from skitai.config.pref import Preference
from skitai.saddle import Saddle
from tests.support.memory import Wire, mounted, wire
from tests.support.visitor import Start, Visitor


def echo(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Answers with what it was asked: method, path, query, and the body."""
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    line = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}?{environ['QUERY_STRING']}".encode("latin-1")
    return [line + b" " + body if body else line]


@pytest.fixture(params=["asyncio", "uvloop"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[4, 0], ids=["threads", "inline"])
def threads(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def server(engine: str, threads: int) -> Iterator[Wire]:
    """An echo at "/", on every engine, with threads and without."""
    with wire(mounted("/", echo), engine=engine, threads=threads) as running:
        yield running


@pytest.fixture
def saddle(engine: str, threads: int) -> Iterator[Callable[..., Wire]]:
    """Serves a Saddle app, at "/" unless told otherwise, on every engine, with threads and without."""
    with contextlib.ExitStack() as running:

        def serve(app: Any, point: str = "/", pref: Preference | None = None, **values: Any) -> Wire:
            mount = mounted(point, app, pref=pref or Preference())
            return running.enter_context(wire(mount, kind="saddle", engine=engine, threads=threads, **values))

        yield serve


@pytest.fixture
def visit(threads: int) -> Iterator[Start]:
    """Serve one Saddle app, and come as a client that keeps cookies."""
    running: list[Any] = []

    def start(app: Saddle, point: str = "/", **values: Any) -> Visitor:
        context = wire(mounted(point, app), kind="saddle", threads=threads, **values)
        running.append(context)
        return Visitor(context.__enter__())

    yield start
    for context in running:
        context.__exit__(None, None, None)
