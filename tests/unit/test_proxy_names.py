"""The addresses of hosts that clients of the forward proxy name."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from skitai.worker.proxy.names import MOST, Names

FOUND = [
    (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0)),
    (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", 0, 0, 0)),
]


class Resolver:
    """:ivar asked: names, in order.
    :ivar knows: it answers from then on.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.knows = threading.Event()

    def __call__(self, host: str, port: Any, **options: Any) -> Any:
        self.asked.append(host)
        self.knows.wait(10)
        if host.startswith("no"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return FOUND


def run(test: Callable[[Names, Resolver], Any]) -> None:
    async def main() -> None:
        resolver = Resolver()
        names = Names(asyncio.get_running_loop(), resolver)
        try:
            await test(names, resolver)
        finally:
            names.close()

    asyncio.run(main())


def test_a_name_is_asked_for_once_and_remembered() -> None:
    async def test(names: Names, resolver: Resolver) -> None:
        asking = [asyncio.ensure_future(names("some.example", port)) for port in (80, 443, 80)]
        await asyncio.sleep(0)
        resolver.knows.set()
        first, second, third = await asyncio.gather(*asking)
        assert [info[4] for info in first] == [("192.0.2.1", 80), ("2001:db8::1", 80, 0, 0)]
        assert [info[4][1] for info in second] == [443, 443] and third == first
        await names("some.example", 80)
        await names("other.example", 80)
        assert resolver.asked == ["some.example", "other.example"]

    run(test)


def test_that_a_name_has_no_address_is_remembered_too() -> None:
    async def test(names: Names, resolver: Resolver) -> None:
        resolver.knows.set()
        errors = []
        for _ in range(3):
            with pytest.raises(socket.gaierror, match="not known") as failed:
                await names("nobody.example", 80)
            errors.append(failed.value)
        assert resolver.asked == ["nobody.example"]
        assert len(set(map(id, errors))) == 3, "each with a traceback of its own"

    run(test)


def test_but_not_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skitai.worker.proxy.names.KEPT_S", 0.0)

    async def test(names: Names, resolver: Resolver) -> None:
        resolver.knows.set()
        for _ in range(3):
            await names("some.example", 80)
            await asyncio.sleep(0.001)
        assert resolver.asked == ["some.example"] * 3

    run(test)


def test_who_waits_no_longer_leaves_the_others_waiting() -> None:
    async def test(names: Names, resolver: Resolver) -> None:
        hasty, patient = (asyncio.ensure_future(names("some.example", 80)) for _ in range(2))
        await asyncio.sleep(0)
        hasty.cancel()
        await asyncio.sleep(0)
        assert hasty.cancelled()
        resolver.knows.set()
        assert len(await patient) == 2

    run(test)


def test_so_many_are_remembered() -> None:
    async def test(names: Names, resolver: Resolver) -> None:
        resolver.knows.set()
        for number in range(MOST + 10):
            await names(f"{number}.example", 80)
        assert len(names._asked) <= MOST
        assert len(await names("some.example", 80)) == 2

    run(test)
