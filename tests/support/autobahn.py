"""The cases of the Autobahn test suite, as `kosoku` drives them, against an echo."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from importlib import import_module

from tests.support.site import Site

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

GOOD = {"OK", "NON-STRICT", "INFORMATIONAL"}


class Verdicts:
    """What the suite says of a server.

    :ivar number: of cases that ran.
    :ivar failing: those that fail, each with what is said of its messages, and of its close.
    """

    def __init__(self, site: Site, cases: list[str]) -> None:
        command = [sys.executable, "-m", __name__, f"ws://127.0.0.1:{site.port}/", *cases]
        said = {case: verdicts for case, *verdicts in json.loads(subprocess.check_output(command))}
        self.number = len(said)
        self.failing = {case: verdicts for case, verdicts in said.items() if not GOOD.issuperset(verdicts)}


def main(url: str, *cases: str) -> None:
    """Print what the suite says, as JSON. In a process of its own, for the suite changes the interpreter that it runs in.

    :param cases: their numbers, or patterns of them.
    """
    kosoku = import_module("kosoku")
    try:
        found = asyncio.run(kosoku.run_fuzzingclient(url, cases=list(cases), concurrency=4))
    except kosoku.FailureError as error:
        found = error.results
    print(json.dumps([(each.case_id, each.behavior.value, each.behavior_close.value) for each in found]))


if __name__ == "__main__":
    main(*sys.argv[1:])
