"""The cases of the Autobahn test suite, as `kosoku` drives them, against an echo behind each kind of app."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.site import Site

kosoku = pytest.importorskip("kosoku", reason="kosoku has no wheel for this machine")

ASGI = """
    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            while (message := await receive())["type"] != "lifespan.shutdown":
                await send({"type": message["type"] + ".complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})
"""

SADDLE = """
    import skitai
    from skitai.saddle import Saddle

    app = Saddle(__name__)


    @app.route("/")
    @app.websocket_config(skitai.WS_SIMPLE, 120)
    def echo(was, message):
        return message
"""

ALL_BUT_COMPRESSION = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*"]
COMPRESSION = ["12.*", "13.*"]
LARGE = {
    "websocket_message_bytes": 32 << 20,
    "websocket_outbox_bytes": 64 << 20,
    "websocket_fragments": 1 << 20,
    "websocket_compress_bytes": 0,
}
"""The suite's largest messages have 16 MiB, and 65,536 fragments. Where compression was agreed on, it wants to see it."""


@pytest.fixture(params=[ASGI, SADDLE], ids=["asgi", "saddle"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    running = Site(tmp_path, request.param, **LARGE)
    yield running.start()
    running.stop()


def verdicts(site: Site, cases: list[str]) -> dict[str, tuple[str, str]]:
    """What the suite says of each case: of the messages, and of the close."""

    async def run() -> Any:
        try:
            return await kosoku.run_fuzzingclient(f"ws://127.0.0.1:{site.port}/", cases=cases, concurrency=2)
        except kosoku.FailureError as error:
            return error.results

    return {each.case_id: (each.behavior.value, each.behavior_close.value) for each in asyncio.run(run())}


def failing(found: dict[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    good = {"OK", "NON-STRICT", "INFORMATIONAL"}
    return {case: said for case, said in found.items() if not good.issuperset(said)}


def test_everything_but_compression(site: Site) -> None:
    found = verdicts(site, ALL_BUT_COMPRESSION)
    assert len(found) > 290
    assert failing(found) == {}


@pytest.mark.parametrize("site", [ASGI], ids=["asgi"], indirect=True)
def test_compression(site: Site) -> None:
    """Takes ten minutes and more."""
    found = verdicts(site, COMPRESSION)
    assert len(found) > 200
    assert failing(found) == {}
