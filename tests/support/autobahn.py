"""The cases of the Autobahn test suite, as `kosoku` drives them, against an echo."""

from __future__ import annotations

import asyncio
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

LARGE = {
    "websocket_message_bytes": 32 << 20,
    "websocket_outbox_bytes": 64 << 20,
    "websocket_fragments": 1 << 20,
    "websocket_compress_bytes": 0,
}
"""The suite's largest messages have 16 MiB, and 65,536 fragments. Where compression was agreed on, it wants to see it."""

COMPRESSED = [*(f"12.{number}" for number in range(1, 6)), *(f"13.{number}" for number in range(1, 8))]
"""Groups of 18 cases, smallest messages first."""

LEAKS = pytest.mark.filterwarnings("ignore:unclosed file .*kosoku:ResourceWarning")
"""The suite leaves its own files open."""

GOOD = {"OK", "NON-STRICT", "INFORMATIONAL"}


class Verdicts:
    """What the suite says of a server.

    :ivar number: of cases that ran.
    :ivar failing: those that fail, each with what is said of its messages, and of its close.
    """

    def __init__(self, site: Site, cases: list[str]) -> None:
        found = asyncio.run(run(f"ws://127.0.0.1:{site.port}/", cases))
        said = {each.case_id: (each.behavior.value, each.behavior_close.value) for each in found}
        self.number = len(said)
        self.failing = {case: verdicts for case, verdicts in said.items() if not GOOD.issuperset(verdicts)}


async def run(url: str, cases: list[str]) -> Any:
    """The results of the cases, whatever they are.

    :param cases: their numbers, or patterns of them.
    """
    try:
        return await kosoku.run_fuzzingclient(url, cases=cases, concurrency=4)
    except kosoku.FailureError as error:
        return error.results
