"""Saddle apps in real servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.site import Site

pytestmark = pytest.mark.process

HELLO = """
    from skitai.saddle import Saddle

    app = Saddle(__name__)

    @app.route("/")
    def index(was):
        return "Hello"
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    made: list[Site] = []

    def make(app: str, pref: str = "", **options: Any) -> Site:
        made.append(Site(tmp_path, app, pref, **options))
        made[-1].start()
        return made[-1]

    yield make
    for each in made:
        each.stop()


def get(site: Site, path: str = "/") -> tuple[int, str]:
    with closing(site.client()) as client:
        client.request("GET", path)
        response = client.getresponse()
        return response.status, response.read().decode()


def test_an_app_says_hello(site: Callable[..., Site]) -> None:
    assert get(site(HELLO)) == (200, "Hello")
