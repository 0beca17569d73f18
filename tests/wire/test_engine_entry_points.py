"""An event loop of somebody else: a distribution offers it as an entry point, the configuration names it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skitai.errors import StartError
from skitai.loading.importer import load_object
from skitai.worker import engines
from tests.support.memory import mounted, wire
from tests.wire.conftest import echo

MODULE = """\
import asyncio

class Engine:
    adopted = 0

    def new_loop(self):
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        return loop

    async def listen(self, factory, sock, backlog, failed):
        return await asyncio.get_running_loop().create_server(factory, sock=sock, backlog=backlog)

    async def adopt(self, factory, sock):
        Engine.adopted += 1
        await asyncio.get_running_loop().connect_accepted_socket(factory, sock)

    def close(self):
        pass
"""
ENTRY_POINTS = """\
[skitai.engines]
carousel = carousel_engine:Engine
broken = carousel_engine:NoSuchEngine

[another.group]
stranger = carousel_engine:Engine
"""


@pytest.fixture
def carousel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed distribution that offers the engine `carousel`."""
    (tmp_path / "carousel_engine.py").write_text(MODULE)
    installed = tmp_path / "carousel_engine-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: carousel-engine\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("carousel_engine", None)


@pytest.mark.usefixtures("carousel")
def test_an_engine_of_a_distribution_is_found_by_its_name_and_serves() -> None:
    with wire(mounted("/", echo), engine="carousel") as server:
        client = server.connect()
        for body in (b"one", b"two"):
            request = b"POST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n" + body
            assert client.ask(request)[::2] == (200, b"POST /a?b " + body)
        module: Any = sys.modules["carousel_engine"]
        assert type(server.engine) is module.Engine
        assert module.Engine.adopted == 1


@pytest.mark.usefixtures("carousel")
def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(StartError, match="^no engine is named 'carrousel'; there are auto, asyncio, uvloop, .*carousel"):
        engines.find("carrousel", load_object)
    with pytest.raises(StartError, match="^no engine is named 'stranger'"):
        engines.find("stranger", load_object)


@pytest.mark.usefixtures("carousel")
def test_an_entry_point_that_leads_nowhere_is_an_error_of_its_own() -> None:
    with pytest.raises(AttributeError, match="NoSuchEngine"):
        engines.find("broken", load_object)


def test_what_is_not_installed_is_not_known() -> None:
    with pytest.raises(StartError) as raised:
        engines.find("carousel", load_object)
    assert "carousel" not in str(raised.value).partition("there are")[2]
