"""Starlette and FastAPI projects as their authors write them, at the root and below a mount point."""

from __future__ import annotations

import asyncio
import contextlib
import io
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, HTTPException, UploadFile
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.background import BackgroundTasks
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from skitai.was.context import current
from tests.support.memory import Client, Wire, mounted, wire
from tests.wire.test_asgi import GET, errors, eventually, leave, tcp


@pytest.fixture(params=["asyncio", "uvloop"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextlib.contextmanager
def serving(app: Any, engine: str, point: str = "/", **values: Any) -> Iterator[Wire]:
    with wire(mounted(point, app), kind="asgi", engine=engine, **values) as server:
        yield server


def starlette(handler: Callable[[Request], Any], path: str = "/", **options: Any) -> Starlette:
    return Starlette(routes=[Route(path, handler, methods=["GET", "POST"])], **options)


def post(client: Client | Wire, target: str, body: bytes, content_type: str) -> tuple[int, dict[str, str], bytes]:
    head = f"POST {target} HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return client.ask(head.encode("latin-1") + body)


class Item(BaseModel):
    name: str
    price: float = 1.0


def items() -> FastAPI:
    """A small API with most of what FastAPI is used for."""
    app = FastAPI(title="Items")

    async def user(request: Request) -> str:
        return request.headers.get("x-user", "nobody")

    @app.get("/items/{number}")
    async def item(number: int, q: str = "", user: str = Depends(user)) -> dict[str, Any]:
        if not number:
            raise HTTPException(404, "no such item")
        return {"number": number, "q": q, "user": user}

    @app.post("/items", status_code=201)
    async def create(item: Item) -> Item:
        return item

    @app.get("/thread")
    def thread() -> dict[str, Any]:
        exchange = current.get()
        return {"main": threading.current_thread().name == "MainThread", "target": exchange.head.target if exchange else ""}

    @app.post("/upload")
    async def upload(file: Annotated[UploadFile, "any file"]) -> dict[str, Any]:
        return {"name": file.filename, "size": len(await file.read())}

    return app


@pytest.mark.parametrize("point", ["/", "/api/"])
def test_fastapi_routes_validates_and_documents(engine: str, point: str) -> None:
    prefix = point.rstrip("/")
    with serving(items(), engine, point) as server:
        assert server.get(f"{prefix}/items/7?q=%C3%A9", x_user="kim")[2] == '{"number":7,"q":"é","user":"kim"}'.encode()
        assert server.get(f"{prefix}/items/0")[::2] == (404, b'{"detail":"no such item"}')
        assert server.get(f"{prefix}/items/x")[0] == 422
        assert server.get(f"{prefix}/nothing")[0] == 404
        assert post(server, f"{prefix}/items", b'{"name": "pen"}', "application/json")[::2] == (
            201,
            b'{"name":"pen","price":1.0}',
        )
        assert post(server, f"{prefix}/items", b"{", "application/json")[0] == 422
        assert server.get(f"{prefix}/openapi.json")[0] == 200
        assert f"{prefix}/openapi.json".encode() in server.get(f"{prefix}/docs")[2]
        status, _, body = server.get(f"{prefix}/thread")
        assert (status, body) == (200, f'{{"main":false,"target":"{prefix}/thread"}}'.encode())


def test_fastapi_takes_uploads(engine: str) -> None:
    content = bytes(range(256)) * 8000
    form = io.BytesIO()
    form.write(b'--cut\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n')
    form.write(content)
    form.write(b"\r\n--cut--\r\n")
    with serving(items(), engine) as server:
        answer = post(server, "/upload", form.getvalue(), "multipart/form-data; boundary=cut")
    assert answer[::2] == (200, b'{"name":"a.bin","size":%d}' % len(content))


def test_an_exception_is_a_500_and_logged_once(engine: str, caplog: pytest.LogCaptureFixture) -> None:
    async def broken(request: Request) -> Response:
        raise ValueError("a bug")

    with serving(starlette(broken), engine) as server:
        client = server.connect()
        assert client.ask(GET)[::2] == (500, b"Internal Server Error")  # Starlette's own page
        assert client.ask(GET)[0] == 500
    assert caplog.text.count("ValueError: a bug") == 2


def test_a_streaming_response_flows(engine: str) -> None:
    step = threading.Event()

    async def numbers() -> AsyncIterator[str]:
        for number in range(3):
            yield f"{number}\n"
            while number == 0 and not step.is_set():
                await asyncio.sleep(0.005)

    async def stream(request: Request) -> Response:
        return StreamingResponse(numbers(), media_type="text/plain")

    with serving(starlette(stream), engine, compress=False) as server:
        client = server.connect()
        client.send(GET)
        assert client.until(b"0\n\r\n").endswith(b"2\r\n0\n\r\n")
        step.set()
        assert client.until(b"\r\n0\r\n\r\n") == b"2\r\n1\n\r\n2\r\n2\n\r\n0\r\n\r\n"
        client.send(GET)
        client.until(b"\r\n0\r\n\r\n")


def test_a_stream_ends_when_its_client_leaves(engine: str, caplog: pytest.LogCaptureFixture) -> None:
    ended = threading.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"data: tick\n\n"
                await asyncio.sleep(0.005)
        finally:
            ended.set()

    async def stream(request: Request) -> Response:
        return StreamingResponse(endless(), media_type="text/event-stream")

    with serving(starlette(stream), engine) as server:
        client = tcp(server)
        client.send(GET)
        client.until(b"data: tick")
        leave(client)
        assert ended.wait(5)
        time.sleep(0.02)
    assert not errors(caplog)


def test_is_disconnected_can_be_polled(engine: str) -> None:
    seen: list[bool] = []

    async def poll(request: Request) -> Response:
        while not await request.is_disconnected():
            seen.append(False)
            await asyncio.sleep(0.005)
        seen.append(True)
        return PlainTextResponse("too late")

    async def quick(request: Request) -> Response:
        body = await request.body()
        return PlainTextResponse(f"{await request.is_disconnected()} {len(body)}")

    app = Starlette(routes=[Route("/", poll), Route("/quick", quick, methods=["POST"])])
    with serving(app, engine) as server:
        assert post(server, "/quick", b"abc", "text/plain")[2] == b"False 3"
        client = tcp(server)
        client.send(GET)
        assert eventually(lambda: len(seen) > 3)
        assert not any(seen)
        leave(client)
        assert eventually(lambda: seen[-1])


def test_background_tasks_run_behind_the_response(engine: str, caplog: pytest.LogCaptureFixture) -> None:
    go = threading.Event()
    done: list[str] = []

    async def later(name: str) -> None:
        while not go.is_set():
            await asyncio.sleep(0.005)
        done.append(name)

    def fail() -> None:
        raise KeyError("background")

    async def handler(request: Request) -> Response:
        tasks = BackgroundTasks()
        tasks.add_task(later, request.url.path)
        tasks.add_task(fail)
        return PlainTextResponse("accepted", background=tasks)

    with serving(starlette(handler), engine) as server:
        client = server.connect()
        assert client.ask(GET)[2] == b"accepted"  # before the task has ended
        assert client.ask(GET)[2] == b"accepted"  # and so is the next on the same connection
        assert not done
        go.set()
        assert eventually(lambda: len(done) == 2)
        assert eventually(lambda: caplog.text.count("KeyError: 'background'") >= 2)


def test_the_state_of_a_lifespan_reaches_requests(engine: str) -> None:
    events: list[str] = []

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        events.append("opened")
        yield {"pool": [1, 2, 3]}
        events.append("closed")

    async def handler(request: Request) -> Response:
        return JSONResponse(request.state.pool)

    with serving(starlette(handler, lifespan=lifespan), engine) as server:
        assert events == ["opened"]
        assert server.get("/")[2] == b"[1,2,3]"
        assert server.get("/")[2] == b"[1,2,3]"
    assert events == ["opened", "closed"]


@pytest.mark.parametrize("point", ["/", "/site/"])
def test_apps_mounted_within_apps_know_where_they_are(engine: str, point: str) -> None:
    async def where(request: Request) -> Response:
        return JSONResponse([str(request.url), str(request.url_for("inner:where", name="b")), request.scope["root_path"]])

    inner = Starlette(routes=[Route("/where/{name}", where, name="where")])
    app = Starlette(routes=[Mount("/inner", inner, name="inner")])
    prefix = point.rstrip("/")
    with serving(app, engine, point) as server:
        status, _, body = server.get(f"{prefix}/inner/where/a")
    assert status == 200
    base = f"http://example{prefix}/inner"
    assert body == f'["{base}/where/a","{base}/where/b","{prefix}/inner"]'.encode()


def test_middleware_that_wraps_the_response(engine: str) -> None:
    async def stamp(request: Request, call_next: Callable[[Request], Any]) -> Response:
        response: Response = await call_next(request)
        response.headers["x-stamp"] = request.method
        return response

    async def handler(request: Request) -> Response:
        return PlainTextResponse(await request.body())

    app = starlette(handler, middleware=[Middleware(BaseHTTPMiddleware, dispatch=stamp)])
    with serving(app, engine) as server:
        client = server.connect()
        for body in (b"one", b"two"):
            status, fields, answer = post(client, "/", body, "text/plain")
            assert (status, fields["x-stamp"], answer) == (200, "POST", body)


def test_a_file_response_is_whole_and_ranged(engine: str, tmp_path: Path) -> None:
    content = bytes(range(256)) * 3000
    (tmp_path / "a.bin").write_bytes(content)

    async def handler(request: Request) -> Response:
        return FileResponse(tmp_path / "a.bin")

    with serving(starlette(handler), engine) as server:
        client = server.connect()
        for _ in range(2):
            status, fields, body = client.ask(GET)
            assert (status, fields["content-length"], body) == (200, str(len(content)), content)
        status, fields, body = client.ask(b"GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=10-19\r\n\r\n")
        assert (status, body) == (206, content[10:20])
        assert client.ask(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")[1]["content-length"] == str(len(content))


def test_a_body_that_ends_early_is_starlettes_client_disconnect(engine: str, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []
    reading = threading.Event()

    async def handler(request: Request) -> Response:
        reading.set()
        try:
            await request.body()
        except Exception as error:
            seen.append(type(error).__name__)
            raise
        return PlainTextResponse("whole")

    with serving(starlette(handler), engine) as server:
        client = tcp(server)
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
        assert reading.wait(5)
        leave(client)
        assert eventually(lambda: seen == ["ClientDisconnect"])
