"""Every form of `mount` in one real server: what a script says is what a client gets."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import skitai

pytestmark = pytest.mark.process

APP = """\
from pathlib import Path

def {name}(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{text} at {{environ['SCRIPT_NAME']}} in {{Path.cwd()}}".encode()]
"""

SCRIPT = """\
import sys
import skitai
import unsub

def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]

if __name__ == "__main__":
    pref = skitai.pref()
    pref.debug = True
    pref.config.factor = 3
    pref.max_client_body_size = "1K"

    skitai.mount("/", "static")
    skitai.mount("/", hello)
    skitai.mount("/v1", "app_v1")
    skitai.mount("/v2", "versions/app_v2.py", "application")
    skitai.mount("/unsub", unsub)
    skitai.mount("/unsub1", (unsub, "app_v1.py"))
    skitai.mount("/shop", "shop/app", "app", pref)
    skitai.mount("/blog", "blog/__init__.py")
    skitai.mount("/", "site2.py", host="site2.example.com")
    skitai.run(threads=2)
"""

SHOP = """\
from flask import Flask
from .prices import LIST

app = Flask(__name__)
app.use_reloader = True

@app.route("/")
def prices():
    return f"{LIST} {app.config['total']} {app.debug} {app.use_reloader}"

@app.route("/", methods=["POST"])
def post():
    from flask import request
    return str(len(request.data))
"""

SHOP_INIT = """\
import skitai
from . import prices

def bootstrap(pref):
    pref.config.total = sum(prices.LIST) * pref.config.factor
    skitai.mount("/shop/pictures", "static")
"""

FILES = {
    "service.py": SCRIPT,
    "static/page.txt": "a page",
    "app_v1.py": APP.format(name="app", text="version 1"),
    "versions/app_v2.py": APP.format(name="application", text="version 2"),
    "unsub/__init__.py": "",
    "unsub/names.py": "NAME = 'export'",
    "unsub/export/skitai/__export__.py": "from ...names import NAME\n" + APP.format(name="app", text="{NAME}"),
    "unsub/export/skitai/app_v1.py": APP.format(name="app", text="export 1"),
    "unsub/export/skitai/__init__.py": "",
    "unsub/export/__init__.py": "",
    "shop/__init__.py": SHOP_INIT,
    "shop/prices.py": "LIST = [1, 2]",
    "shop/app.py": SHOP,
    "blog/__init__.py": "from flask import Flask\napp = Flask(__name__)\nfrom blog import views\n",
    "blog/views.py": "from blog import app\n@app.get('/')\ndef index(): return 'blog'\n",
    "site2.py": APP.format(name="app", text="site 2"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("forms")
    for name, code in FILES.items():
        path = made / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(code))
    return made


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[Any]:
    with skitai.launch(str(folder / "service.py"), port=0) as running:
        yield running


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/", "hello"),
        ("/page.txt", "a page"),
        ("/v1/", "version 1 at /v1 in {folder}"),
        ("/v2/x", "version 2 at /v2 in {folder}"),
        ("/unsub/", "export at /unsub in {folder}"),
        ("/unsub1/", "export 1 at /unsub1 in {folder}"),
        ("/blog/", "blog"),
        ("/shop/", "[1, 2] 9 True True"),
        ("/shop/pictures/page.txt", "a page"),
    ],
)
def test_each_form_serves_what_it_names(engine: Any, folder: Path, path: str, text: str) -> None:
    answer = engine.get(path)
    assert (answer.status_code, answer.text) == (200, text.format(folder=folder))


def test_a_host_has_a_site_of_its_own(engine: Any, folder: Path) -> None:
    assert engine.get("/page.txt", headers={"Host": "site2.example.com"}).text == f"site 2 at  in {folder}"


def test_one_size_limits_the_bodies_of_one_app(engine: Any) -> None:
    assert engine.post("/shop/", data=b"x" * 1024, headers={"Content-Type": "text/plain"}).text == "1024"
    assert engine.post("/shop/", data=b"x" * 1025, headers={"Content-Type": "text/plain"}).status_code == 413
    assert engine.post("/v1/", data=b"x" * 1025, headers={"Content-Type": "text/plain"}).status_code == 200


def test_production_is_a_kill_switch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKITAI_ENV", "PRODUCTION")
    with skitai.launch(str(folder / "service.py"), port=0) as engine:
        assert engine.get("/shop/").text == "[1, 2] 9 False False"
