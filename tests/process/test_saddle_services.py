"""Several Saddle apps in one real server: URLs across them, and remote calls by Python's own clients."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from urllib.request import Request, urlopen
from xmlrpc.client import Fault, MultiCall, ServerProxy

import pytest

from skitai.testing import launch

pytestmark = pytest.mark.process

FILES = {
    "main.py": """
        from skitai.saddle import Saddle

        app = Saddle(__name__)

        @app.route("/links")
        def links(was):
            return {"apps": sorted(was.apps), "found": was.ab("search:query", "Your Name"), "own": was.ab("links")}
    """,
    "search.py": """
        from skitai.saddle import Saddle

        app = Saddle(__name__)
        app.users = {"ann": "secret"}

        @app.route("/query")
        def query(was, q):
            return was.apps["main"].build_url("links") + " " + q

        @app.route("/add")
        def add(was, num1: int, num2: int):
            return num1 + num2

        @app.route("/who", authenticate="basic")
        def who(was):
            return was.user.name
    """,
    "elsewhere.py": """
        from skitai.saddle import Saddle

        app = Saddle(__name__)

        @app.route("/links")
        def links(was):
            return {"apps": sorted(was.apps)}
    """,
    "start.py": """
        import skitai

        if __name__ == "__main__":
            skitai.mount("/", "main.py")
            skitai.mount("/search", "search.py")
            skitai.mount("/", "elsewhere.py", host="elsewhere.example")
            skitai.run(workers=2, threads=2)
    """,
}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("apps")
    for name, text in FILES.items():
        (folder / name).write_text(dedent(text))
    with launch(folder / "start.py", port=0) as server:
        yield f"http://127.0.0.1:{server.port}"


def asked(url: str, **fields: str) -> str:
    with urlopen(Request(url, headers=fields), timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def test_apps_of_one_host_know_each_others_urls(url: str) -> None:
    assert json.loads(asked(f"{url}/links")) == {
        "apps": ["main", "search"],
        "found": "/search/query?q=Your%20Name",
        "own": "/links",
    }
    assert asked(f"{url}/search/query?q=Your%20Name") == "/links Your Name"


def test_those_of_another_host_do_not(url: str) -> None:
    assert json.loads(asked(f"{url}/links", Host="elsewhere.example")) == {"apps": ["elsewhere"]}


def test_pythons_own_client_calls(url: str) -> None:
    with ServerProxy(f"{url}/search/") as server:
        assert server.add(10000, 5000) == 15000
        with pytest.raises(Fault, match="HTTP Error: 400 Bad Request: argument 'num2': it is missing"):
            server.add(1)
        calls = MultiCall(server)
        calls.add(1, 2)
        calls.add(3, 4)
        assert list(calls()) == [3, 7]


def test_it_signs_in(url: str) -> None:
    with ServerProxy(f"{url.replace('//', '//ann:secret@')}/search/") as server:
        assert server.who() == "ann"
