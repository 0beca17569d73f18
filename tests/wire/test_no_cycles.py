"""A request is freed when it is answered: nothing of it waits for the garbage collector, which runs seldom."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from jinja2 import DictLoader

from skitai.saddle import Saddle, Was
from skitai.worker.http1.exchange import Http1Exchange
from tests.support.memory import Wire, mounted, wire

REQUESTS = 20

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
REQUEST = {"get": GET, "post": POST, "chunked": CHUNKED}


def whole(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [environ["wsgi.input"].read()]


def pieces(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [])
    yield b"one"
    yield environ["wsgi.input"].read()


def broken(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    raise ValueError("on purpose")


async def body_of(receive: Callable[[], Awaitable[dict[str, Any]]]) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    return body


async def joined(scope: dict[str, Any], receive: Any, send: Any) -> None:
    body = await body_of(receive)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def streamed(scope: dict[str, Any], receive: Any, send: Any) -> None:
    body = await body_of(receive)
    watching = asyncio.create_task(receive())
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"one", "more_body": True})
    await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": body})
    await watching


async def raising(scope: dict[str, Any], receive: Any, send: Any) -> None:
    raise ValueError("on purpose")


def alive(server: Wire) -> int:
    """Exchanges that exist, with none under way."""
    server.on_loop(lambda: None)
    return sum(type(each) is Http1Exchange for each in gc.get_objects())


@pytest.mark.parametrize("request_", REQUEST)
@pytest.mark.parametrize("app", [whole, pieces, broken, joined, streamed, raising], ids=lambda app: app.__name__)
@pytest.mark.parametrize("threads", [0, 4])
def test_an_answered_request_is_gone(app: Any, request_: str, threads: int) -> None:
    kind = "asgi" if asyncio.iscoroutinefunction(app) else "wsgi"
    with wire(mounted("/", app), kind=kind, threads=threads) as server:
        assert_freed(server, REQUEST[request_])


def saddle(handler: Callable[..., Any]) -> Saddle:
    """An app with one handler, and hooks of both kinds that look at everything."""
    app = Saddle(__name__)
    app.securekey = "s" * 32
    app.route("/")(handler)

    @app.before_request
    def before(was: Was) -> None:
        was.g.was = was.request.args, dict(was.session), was.mbox.get(), was.env

    @app.teardown_request
    async def teardown(was: Was) -> None:
        was.response.set_header("X-Was", repr(was))

    return app


def text(was: Was) -> str:
    return was.request.uri


async def coroutine(was: Was) -> Any:
    await asyncio.sleep(0)
    return {"body": was.request.get_content_length()}


def some_pieces(was: Was) -> Any:
    return (each for each in (was.request.uri, "two"))


def async_pieces(was: Was) -> Any:
    async def made() -> AsyncIterator[str]:
        yield was.request.uri
        await asyncio.sleep(0)
        yield "two"

    return made()


def failing(was: Was) -> Any:
    raise ValueError("on purpose")


def explained(was: Was) -> Any:
    return was.response.with_explain("404 Not Found", "on purpose")


def thrown(was: Was) -> Any:
    was.response.throw("404 Not Found")


def page(was: Was) -> Any:
    return None, 404


def file(was: Was) -> Any:
    return was.response.file(__file__)


def missing(was: Was) -> Any:
    return was.response.file("/nowhere")


def told(was: Was) -> Any:
    try:
        raise ValueError("on purpose")
    except ValueError:
        return [was.response.traceback(), was.response("500 Internal Server Error", exc_info=sys.exc_info()).shown]


def rendered(was: Was) -> Any:
    was.app.jinja_env.loader = DictLoader({"a.html": "{{ was.request.uri }}{{ was.response.throw('404 Not Found') }}"})
    return was.render("a.html")


HANDLERS = [text, coroutine, some_pieces, async_pieces, failing, explained, thrown, page, file, missing, told, rendered]


@pytest.mark.parametrize("request_", REQUEST)
@pytest.mark.parametrize("handler", HANDLERS, ids=lambda handler: handler.__name__)
@pytest.mark.parametrize("threads", [0, 4])
def test_an_answered_request_of_saddle_is_gone(handler: Any, request_: str, threads: int) -> None:
    with wire(mounted("/", saddle(handler)), kind="saddle", threads=threads) as server:
        assert_freed(server, REQUEST[request_])


def assert_freed(server: Wire, request: bytes) -> None:
    client = server.connect()
    client.ask(request)
    gc.collect()
    gc.disable()
    logging.disable()  # for pytest keeps what is logged, and with it the frames of a traceback
    try:
        before = alive(server)
        for _ in range(REQUESTS):
            client.ask(request)
        assert alive(server) - before <= 2  # the last ones may still be in somebody's hands
    finally:
        logging.disable(logging.NOTSET)
        gc.enable()
