"""Saddle apps in real servers: preferences, the kill switch, reloading in place, and a start from the app's own file."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from textwrap import dedent

import pytest

from skitai.testing import launch
from tests.support.dialogue import eventually
from tests.support.site import Site

pytestmark = pytest.mark.process

HELLO = """
    from skitai.saddle import Saddle

    app = Saddle(__name__)

    @app.route("/")
    def index(was):
        return "Hello"
"""

SWITCHED = """
    import time
    from skitai.saddle import Saddle
    from decorative import words

    app = Saddle(__name__)
    app.debug = True
    app.use_reloader = True
    made = time.time()

    @app.route("/")
    def index(was):
        return words.WORD

    @app.route("/made")
    async def made_at(was):
        return str(made)

    @app.route("/broken")
    def broken(was):
        raise LookupError("shown under debug")

    @app.route("/slow")
    def slow(was):
        time.sleep(2.5)
        return f"slow {words.WORD} {made}"
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    made: list[Site] = []

    def make(app: str, pref: str = "", **environ: str) -> Site:
        made.append(Site(tmp_path, app, pref))
        made[-1].start(environ=environ)
        return made[-1]

    yield make
    for each in made:
        each.stop()


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """A module of the app that tests rewrite."""
    (tmp_path / "decorative").mkdir()
    file = tmp_path / "decorative" / "words.py"
    file.write_text("WORD = 'one'\n")
    return file


def get(site: Site, path: str = "/") -> tuple[int, str]:
    with closing(site.client()) as client:
        client.request("GET", path)
        response = client.getresponse()
        return response.status, response.read().decode()


def test_an_app_says_hello(site: Callable[..., Site]) -> None:
    assert get(site(HELLO)) == (200, "Hello")


def test_preferences_override_the_apps_attributes_and_its_config(site: Callable[..., Site]) -> None:
    app = """
        from skitai.saddle import Saddle

        app = Saddle(__name__)
        app.config["one"] = app.config["two"] = "the app's"
        app.realm = "the app's"

        @app.route("/")
        def index(was):
            config = was.app.config
            return f"{config.one} {config.two} {was.app.realm} {was.app.debug} {config.max_post_body_size}"
    """
    server = site(app, 'pref.config.two = pref.realm = "preferred"; pref.debug = True; pref.max_client_body_size = 1000')
    assert get(server) == (200, "the app's preferred preferred True 1000")
    with closing(server.client()) as client:
        client.request("POST", "/", b"x" * 1001)
        assert client.getresponse().status == 413


def test_changed_code_is_loaded_beside_the_old_which_ends_its_requests(site: Callable[..., Site], words: Path) -> None:
    server = site(SWITCHED)
    began = get(server, "/made")[1]
    slow: list[tuple[int, str]] = []
    waiting = threading.Thread(target=lambda: slow.append(get(server, "/slow")))
    waiting.start()
    words.write_text("WORD = 'two'\n")
    eventually(lambda: get(server) == (200, "two"), "the new word is served")
    assert get(server, "/made")[1] != began
    waiting.join()
    assert slow == [(200, f"slow one {began}")]


def test_broken_code_keeps_the_old_and_shows_why_under_debug(site: Callable[..., Site], words: Path) -> None:
    server = site(SWITCHED)
    began = get(server, "/made")[1]
    words.write_text("WORD = = 'two'\n")
    server.hears_that("the old code goes on")

    def shown() -> str | None:
        with closing(server.client()) as client:
            client.request("GET", "/")
            return client.getresponse().headers["X-Reload-Error"]

    assert "SyntaxError" in eventually(shown, "the answers say why")
    assert get(server) == (200, "one")
    status, page = get(server, "/broken")
    assert status == 500 and "SyntaxError" in page and "LookupError: shown under debug" in page
    assert get(server, "/made")[1] == began
    words.write_text("WORD = 'three'\n")
    eventually(lambda: get(server) == (200, "three"), "the repaired code is served")
    assert shown() is None


def test_in_production_neither_debug_nor_reloading_is_on(site: Callable[..., Site], words: Path) -> None:
    server = site(SWITCHED, "pref.debug = pref.use_reloader = True", SKITAI_ENV="PRODUCTION")
    status, page = get(server, "/broken")
    assert status == 500 and "LookupError" not in page
    words.write_text("WORD = 'two'\n")
    began = get(server, "/made")[1]
    get(server, "/slow")  # longer than the server takes to look
    assert (get(server)[1], get(server, "/made")[1]) == ("one", began)


def test_an_app_file_that_starts_itself_is_served(tmp_path: Path) -> None:
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "file.txt").write_text("static")
    file = tmp_path / "app.py"
    file.write_text(
        dedent(HELLO)
        + dedent("""
            if __name__ == "__main__":
                import skitai

                pref = skitai.pref()
                pref.config.word = "preferred"
                skitai.mount("/", "static")
                skitai.mount("/", app, "app", pref)
                skitai.run(workers=2)
        """)
    )
    with launch(str(file)) as server:
        assert server.get("/").text == "Hello"
        assert server.get("/file.txt").text == "static"


def test_importing_skitai_for_a_start_script_does_not_import_saddle() -> None:
    code = "import sys, skitai; print([name for name in sys.modules if 'saddle' in name or name == 'jinja2'])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"
