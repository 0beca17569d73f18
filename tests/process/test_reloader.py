"""Apps of each framework in one server, replaced when their files change."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from skitai.testing import launch
from skitai.testing.launch import Launch

pytestmark = pytest.mark.process

START = """
import skitai

pref = skitai.pref()
pref.use_reloader = True
skitai.mount("/", "site/app.py", "app", pref)
skitai.mount("/api", "api/app.py", "app", pref)
skitai.mount("/dj", "proj/proj/wsgi.py", "application", pref)
skitai.mount("/fixed", "fixed.py")
skitai.run()
"""

START_BROKEN = """
import skitai

skitai.mount("/", "fixed.py")
skitai.mount("/broken", "broken.py")
skitai.run()
"""

FLASK = """
import skitai
from flask import Flask, request
from words import WORD

app = Flask(__name__)

@app.route("/")
def index():
    return f"flask {WORD}"

@app.route("/talk")
def talk():
    event = request.environ.get("websocket.event")
    if event == skitai.WS_EVT_INIT:
        request.environ["websocket.config"] = (skitai.WS_SIMPLE, 60, ("message",))
    return "" if event else WORD + " " + request.args["message"]
"""

FASTAPI = """
from contextlib import asynccontextmanager
from fastapi import FastAPI
from words import WORD

@asynccontextmanager
async def lifespan(app):
    app.state.started = "started"
    yield

app = FastAPI(lifespan=lifespan)

@app.get("/")
async def index():
    return f"fastapi {WORD} {app.state.started}"
"""

SETTINGS = """
SECRET_KEY = "x"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "proj.urls"
WSGI_APPLICATION = "proj.wsgi.application"
"""

URLS = """
from django.http import HttpResponse
from django.urls import path, reverse

urlpatterns = [path("", lambda request: HttpResponse("django one " + reverse("index")), name="index")]
"""

WSGI = """
import os
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "proj.settings")
application = get_wsgi_application()
"""

PLAIN = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"plain one"]
"""


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "start.py": START,
        "start_broken.py": START_BROKEN,
        "site/app.py": FLASK,
        "site/words.py": "WORD = 'one'",
        "api/app.py": FASTAPI,
        "api/words.py": "WORD = 'uno'",
        "proj/manage.py": "",
        "proj/proj/__init__.py": "",
        "proj/proj/settings.py": SETTINGS,
        "proj/proj/urls.py": URLS,
        "proj/proj/wsgi.py": WSGI,
        "fixed.py": PLAIN,
        "broken.py": "import no_such_module",
    }
    for name, text in files.items():
        write(tmp_path, name, text)
    return tmp_path


@pytest.fixture
def engine(folder: Path) -> Iterator[Launch]:
    with launch(folder / "start.py", port=0) as engine:
        yield engine


def becomes(engine: Launch, path: str, text: str) -> bool:
    """Whether the answer becomes `text` within some seconds, with no other than it and the one before on the way."""
    deadline = time.monotonic() + 15
    seen = []
    while time.monotonic() < deadline:
        answer = engine.get(path)
        if text in answer.text:
            return len(set(seen)) <= 1
        seen.append(answer.text)
        time.sleep(0.1)
    raise AssertionError(f"{path} stays {seen[-1]!r}\n{engine.output}")


def test_every_framework_is_served_and_replaced_when_its_files_change(engine: Launch, folder: Path) -> None:
    assert engine.get("/").text == "flask one"
    assert engine.get("/api/").json() == "fastapi uno started"
    assert engine.get("/dj/").text == "django one /dj/"
    assert engine.get("/fixed/").text == "plain one"

    with connect(f"ws://127.0.0.1:{engine.port}/talk") as old:
        old.send("hello")
        assert old.recv() == "one hello"
        write(folder, "site/words.py", "WORD = 'two'")
        assert becomes(engine, "/", "flask two")
        with pytest.raises(ConnectionClosed) as closed:
            old.recv(10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
    with connect(f"ws://127.0.0.1:{engine.port}/talk") as new:
        new.send("hello")
        assert new.recv() == "two hello"
    assert engine.get("/api/").json() == "fastapi uno started"

    write(folder, "api/words.py", "WORD = 'due'")
    assert becomes(engine, "/api/", "fastapi due started")

    write(folder, "proj/proj/urls.py", URLS.replace("one", "two"))
    assert becomes(engine, "/dj/", "django two /dj/")

    write(folder, "fixed.py", PLAIN.replace("one", "two"))
    time.sleep(1.5)
    assert engine.get("/fixed/").text == "plain one", "nobody asked for it to be watched"


@pytest.mark.parametrize(
    ("path", "name", "old", "new"),
    [("/", "site/app.py", "flask {WORD}", "mended"), ("/dj/", "proj/proj/urls.py", "django one", "mended")],
)
def test_broken_code_keeps_the_old_and_is_said_in_the_log(
    engine: Launch, folder: Path, path: str, name: str, old: str, new: str
) -> None:
    good = (folder / name).read_text()
    before = engine.get(path).text
    write(folder, name, "def broken(:")
    deadline = time.monotonic() + 15
    while f"{name}: SyntaxError" not in engine.output:
        assert engine.get(path).text == before
        assert time.monotonic() < deadline, engine.output
        time.sleep(0.1)
    assert engine.get(path).text == before
    write(folder, name, good.replace(old, new))
    assert becomes(engine, path, new)


def test_an_app_that_did_not_load_answers_503_until_its_file_is_mended(folder: Path) -> None:
    with launch(folder / "start_broken.py", port=0) as engine:
        assert engine.get("/broken/").status_code == 503
        assert engine.get("/").text == "plain one"
        assert "No module named 'no_such_module'" in engine.output
        write(folder, "broken.py", PLAIN)
        assert becomes(engine, "/broken/", "plain one")
        write(folder, "broken.py", PLAIN.replace("one", "two"))
        time.sleep(1.5)
        assert engine.get("/broken/").text == "plain one", "once it works, nobody asked for it to be watched"
