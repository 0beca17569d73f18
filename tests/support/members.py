"""Servers behind a mounted alias: scripted ones in a loop of their own, and a worker that hands requests on to them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from skitai.config.aliases import Means, alias
from skitai.config.mounted import Upstream
from skitai.was import process
from tests.support import scripted
from tests.support.memory import Wire, mounted, wait_for, wire
from tests.support.scripted import Peer, Request, Talk

PLAIN = Means()


@contextlib.contextmanager
def served(*talks: Any, by: Any = scripted.upstream) -> Iterator[list[scripted.Upstream]]:
    """Servers that do what their scripts say, in a thread.

    :param by: makes one: `scripted.upstream`, or `scripted2.upstream2` for HTTP/2.
    """
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    stopping = asyncio.Event()
    running: list[scripted.Upstream] = []
    failures: list[BaseException] = []

    async def run() -> None:
        async with contextlib.AsyncExitStack() as stack:
            for talk in talks:
                running.append(await stack.enter_async_context(by(talk)))
            ready.set()
            await stopping.wait()

    def main() -> None:
        try:
            loop.run_until_complete(run())
        except BaseException as error:  # noqa: BLE001 - raised again in the test
            failures.append(error)
            ready.set()
        finally:
            loop.close()

    thread = threading.Thread(target=main, daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield running
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join(10)
    if failures:
        raise failures[0]


@contextlib.contextmanager
def passing(
    servers: Sequence[str], point: str = "/pets/", kind: str = "http", means: Means = PLAIN, **options: Any
) -> Iterator[Wire]:
    """A worker that passes requests on.

    :param servers: as of an alias, "127.0.0.1:8080 2".
    """
    named = alias("@pets", kind, list(servers), "", "", means, str)
    with wire(mounted(point, Upstream("pets")), aliases=(named,), **options) as server:
        yield server


@contextlib.contextmanager
def before(*talks: Talk, base: str = "", point: str = "/pets/", **options: Any) -> Iterator[Wire]:
    """A worker before servers with these scripts."""
    with (
        served(*talks) as running,
        passing([f"127.0.0.1:{each.port}{base}" for each in running], point, **options) as server,
    ):
        yield server


def under_way(server: Wire) -> list[int]:
    """So many requests each member has, as the worker counts."""

    def count() -> list[int]:
        return [each["running"] for each in process.backends().cluster("pets").stats()]

    found: list[int] = server.on_loop(count)
    return found


def settled(server: Wire) -> None:
    """No member has a request any more."""
    wait_for(lambda: not any(under_way(server)))


class Noting:
    """A script that answers everything, and notes what it was asked.

    :ivar asked: in the order of their coming.
    """

    def __init__(self, body: bytes = b"meow", *fields: str, status: str = "200 OK") -> None:
        self._said = (body, *fields)
        self._status = status
        self.asked: list[Request] = []

    async def __call__(self, peer: Peer) -> None:
        while True:
            self.asked.append(await peer.request())
            await peer.answer(*self._said, status=self._status)

    @property
    def fields(self) -> dict[str, str]:
        """Of the last request."""
        return self.asked[-1].fields
