"""ASGI projects under a real server: FastAPI at the root, Django and Starlette below mount points, two workers."""

from __future__ import annotations

import socket
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skitai.testing import launch

pytestmark = pytest.mark.process

SCRIPT = """\
import skitai

if __name__ == "__main__":
    skitai.mount("/", "api.py")
    skitai.mount("/dj", "dj.py", "application")
    skitai.mount("/star", "star.py")
    skitai.run(workers=2, thread_wait_s=0.1)  # which is for threads alone
"""

API = """\
import asyncio, contextlib, os
from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import StreamingResponse

FOLDER = os.path.dirname(os.path.abspath(__file__))

def note(text):
    with open(os.path.join(FOLDER, "events"), "a") as file:
        file.write(f"{text} {os.getpid()}\\n")

@contextlib.asynccontextmanager
async def lifespan(app):
    note("opened")
    yield {"worker": os.getpid()}
    note("closed")

app = FastAPI(lifespan=lifespan)

@app.get("/hello/{name}")
async def hello(name: str):
    return {"hello": name}

@app.get("/pid")
def pid():
    return os.getpid()

@app.get("/slow")
async def slow():
    await asyncio.sleep(1.2)
    return "slow but whole"

@app.get("/stuck")
async def stuck():
    await asyncio.sleep(60)

@app.get("/mail")
async def mail(tasks: BackgroundTasks):
    tasks.add_task(send)
    return "accepted"

async def send():
    await asyncio.sleep(1.5)
    note("sent")

@app.get("/ticks")
async def ticks():
    async def tick():
        for number in range(3):
            yield f"data: {number}\\n\\n"
            await asyncio.sleep(0.01)
    return StreamingResponse(tick(), media_type="text/event-stream")
"""

DJANGO = """\
import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path, reverse

async def where(request, name):
    own = reverse("where", args=[name])
    return JsonResponse({"url": request.build_absolute_uri(), "self": own, "info": request.path_info})

def form(request):
    return HttpResponse(f"{request.POST['a']} {len(request.FILES['f'].read())}")

async def stream(request):
    async def pieces():
        for number in range(3):
            yield f"{number};"
    return StreamingHttpResponse(pieces())

urlpatterns = [path("where/<name>", where, name="where"), path("form", form), path("stream", stream)]
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="test", DEBUG=False)
application = get_asgi_application()
"""

STARLETTE = """\
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

async def echo(request):
    return PlainTextResponse(await request.body(), headers={"x-path": request.url.path})

app = Starlette(routes=[Mount("/inner", Starlette(routes=[Route("/echo", echo, methods=["POST"])]))])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in {"app.py": SCRIPT, "api.py": API, "dj.py": DJANGO, "star.py": STARLETTE}.items():
        (tmp_path / name).write_text(textwrap.dedent(text))
    return tmp_path


@pytest.fixture
def site(folder: Path) -> Iterator[Any]:
    with launch(str(folder / "app.py"), port=0) as site:
        yield site


def events(folder: Path, kind: str) -> set[str]:
    """Process ids of those who noted this event."""
    file = folder / "events"
    lines = file.read_text().split("\n") if file.exists() else []
    return {line.split()[1] for line in lines if line.startswith(kind)}


def test_projects_run_unchanged_side_by_side(site: Any) -> None:
    assert site.get("/hello/kim").json() == {"hello": "kim"}
    assert site.get("/hello").status_code == 404
    assert site.get("/ticks").text == "data: 0\n\ndata: 1\n\ndata: 2\n\n"
    where = site.get("/dj/where/a%20b?x=1").json()
    assert where["url"].endswith("/dj/where/a%20b?x=1")
    assert (where["self"], where["info"]) == ("/dj/where/a%20b", "/where/a b")
    assert site.get("/dj/stream").text == "0;1;2;"
    assert site.post("/dj/form", data={"a": "1"}, files={"f": ("f.bin", b"x" * 100_000)}).text == "1 100000"
    answer = site.post("/star/inner/echo", data=b"abc" * 100_000)
    assert (len(answer.text), answer.headers["x-path"]) == (300_000, "/star/inner/echo")


def test_every_worker_lives_its_own_lifespan_to_the_end(folder: Path) -> None:
    with launch(str(folder / "app.py"), port=0) as site:
        assert site.get("/hello/kim").status_code == 200
        deadline_s = time.monotonic() + 10
        while len(events(folder, "opened")) < 2 and time.monotonic() < deadline_s:
            time.sleep(0.02)
        opened = events(folder, "opened")
        assert len(opened) == 2
        assert str(site.get("/pid").json()) in opened
    assert events(folder, "closed") == opened


def test_stopping_waits_for_requests_and_for_work_behind_them(folder: Path) -> None:
    answers: list[str] = []
    with launch(str(folder / "app.py"), port=0) as site:
        site.get("/hello/kim")
        thread = threading.Thread(target=lambda: answers.append(site.get("/slow").json()))
        thread.start()
        time.sleep(0.3)
        assert site.get("/mail").json() == "accepted"
    thread.join(10)
    assert answers == ["slow but whole"]
    assert len(events(folder, "sent")) == 1
    assert len(events(folder, "closed")) == 2


def test_a_request_that_does_not_end_keeps_no_app_from_cleaning_up(folder: Path) -> None:
    script = folder / "app.py"
    script.write_text(script.read_text().replace("workers=2", "workers=2, grace_s=0.5"))
    with launch(str(script), port=0) as site, socket.create_connection(("127.0.0.1", site.port)) as stuck:
        stuck.sendall(b"GET /stuck HTTP/1.1\r\nHost: a\r\n\r\n")
        assert site.get("/mail").json() == "accepted"  # and works on behind its answer
        time.sleep(0.3)
    assert len(events(folder, "closed")) == 2
    assert not events(folder, "sent")
