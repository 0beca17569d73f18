"""Requests to a back-end over HTTP: what they cost who asks, beside other clients.

The server is granian, which answers faster than any of them asks. A client runs in a process of its own, one after the
other, in turns over the passes; what is counted is that process's CPU time.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.apps.plain import HELLO
from benchmarks.contenders import granian
from benchmarks.home import Home
from benchmarks.processes import LOAD_CORE, ROOT, Absent, pinned

PARALLEL = 10
REQUESTS = 4000
PASSES = 5
RATIO = 0.5

Get = Callable[[], Awaitable[bytes]]
Round = Callable[[], Awaitable[list[bytes]]]
"""Asks so many at a time."""


@dataclass
class Handling:
    """As much of a client's request as goes into those that are made for it.

    :ivar asked: so many were.
    """

    txn: tuple[str, str] = ("0123-456789abcdef-1", "1000")
    context: None = None
    asked: int = 0


def together(get: Get, parallel: int) -> Round:
    async def round_() -> list[bytes]:
        return await asyncio.gather(*[get() for _ in range(parallel)]) if parallel > 1 else [await get()]

    return round_


async def ours(url: str, http2: bool, parallel: int, stack: AsyncExitStack) -> Round:
    """As a coroutine function of an app asks: handles, which are awaited."""
    from skitai import was
    from skitai.backend.drivers.http import locate
    from skitai.config.aliases import Alias
    from skitai.was import process
    from skitai.was.context import current

    member, path = locate(url)
    alias = Alias("server", "http", (replace(member, http2=http2),))
    home: Any = Home(asyncio.get_running_loop(), alias)
    backends = process.lend(home)
    stack.push_async_callback(backends.close)
    current.set(Handling())  # type: ignore[arg-type]

    async def round_() -> list[bytes]:
        handles = [was.get(f"@server{path}") for _ in range(parallel)]
        return [(await handle).content for handle in handles]

    return round_


async def by_driver(url: str, http2: bool, parallel: int, stack: AsyncExitStack) -> Round:
    from skitai.backend.drivers.http import HttpDriver, locate, make
    from skitai.backend.room import Room

    loop = asyncio.get_running_loop()
    driver = HttpDriver(Home(loop), Room(loop, 1000))  # type: ignore[arg-type]
    stack.push_async_callback(driver.close)

    async def get() -> bytes:
        member, _ = locate(url)
        result = await driver.ask(member, make("get", url, http2=http2), loop.time() + 10)
        return result.binary

    return together(get, parallel)


async def by_aiohttp(url: str, http2: bool, parallel: int, stack: AsyncExitStack) -> Round:
    import aiohttp

    session = await stack.enter_async_context(aiohttp.ClientSession())

    async def get() -> bytes:
        async with session.get(url) as response:
            return await response.read()

    return together(get, parallel)


async def by_httpx(url: str, http2: bool, parallel: int, stack: AsyncExitStack) -> Round:
    import httpx

    client = await stack.enter_async_context(httpx.AsyncClient(http1=not http2, http2=http2))

    async def get() -> bytes:
        return (await client.get(url)).content

    return together(get, parallel)


async def by_requests(url: str, http2: bool, parallel: int, stack: AsyncExitStack) -> Round:
    """In threads, a session for each; the loop only waits for them, as a handler would."""
    import threading

    import requests

    local = threading.local()
    executor = stack.enter_context(ThreadPoolExecutor(PARALLEL))

    def one() -> bytes:
        if not hasattr(local, "session"):
            local.session = requests.Session()
        return bytes(local.session.get(url).content)

    async def get() -> bytes:
        return await asyncio.wrap_future(executor.submit(one))

    return together(get, parallel)


@dataclass(frozen=True)
class Asker:
    """A client.

    :ivar needs: a module that it cannot do without.
    """

    name: str
    needs: str
    make: Callable[[str, bool, int, AsyncExitStack], Awaitable[Round]]
    uvloop: bool = True


ASKERS = {
    each.name: each
    for each in (
        Asker("skitai", "skitai", ours),
        Asker("skitai asyncio", "skitai", ours, uvloop=False),
        Asker("skitai, driver", "skitai", by_driver),
        Asker("aiohttp", "aiohttp", by_aiohttp),
        Asker("aiohttp asyncio", "aiohttp", by_aiohttp, uvloop=False),
        Asker("httpx", "httpx", by_httpx),
        Asker("requests in threads", "requests", by_requests),
    )
}

ONE_BY_ONE, TOGETHER, STREAMS = "one after the other", f"{PARALLEL} at a time", f"{PARALLEL} at a time, HTTP/2"
LOADS = {ONE_BY_ONE: (1, False), TOGETHER: (PARALLEL, False), STREAMS: (PARALLEL, True)}
"""How many at a time, and whether over HTTP/2."""

REFERENCES = {ONE_BY_ONE: "aiohttp", TOGETHER: "aiohttp", STREAMS: "httpx"}


async def ask(asker: Asker, url: str, parallel: int, http2: bool, count: int) -> dict[str, float]:
    async with AsyncExitStack() as stack:
        asked = await asker.make(url, http2, parallel, stack)

        async def round_() -> None:
            answers = await asked()
            if any(answer != HELLO for answer in answers):
                raise RuntimeError(f"{asker.name} was answered {answers[0][:60]!r}")

        for _ in range(20):
            await round_()
        before, began_s = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        for _ in range(count // parallel):
            await round_()
        took_s, used = time.perf_counter() - began_s, resource.getrusage(resource.RUSAGE_SELF)
        cpu_s = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return {"cost_us": cpu_s / count * 1e6, "rate": count / took_s}


def run(name: str, url: str, parallel: str, http2: str, count: str) -> None:
    """Ask, and print what it cost."""
    asker = ASKERS[name]
    work = ask(asker, url, int(parallel), http2 == "yes", int(count))
    if asker.uvloop:
        import uvloop

        print(json.dumps(uvloop.run(work)))
    else:
        print(json.dumps(asyncio.run(work)))


def asked(name: str, port: int, load: str, count: int) -> dict[str, float]:
    """:raises Absent: it is not installed, or does not work."""
    parallel, http2 = LOADS[load]
    words = [name, f"http://127.0.0.1:{port}/", str(parallel), "yes" if http2 else "no", str(count)]
    command = pinned(LOAD_CORE, [sys.executable, "-m", "benchmarks.backends", *words])
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, check=False)
    if done.returncode:
        raise Absent(done.stderr.strip().splitlines()[-1])
    return dict(json.loads(done.stdout))


def takes_part(asker: Asker, load: str) -> bool:
    return load != STREAMS or asker.make in (ours, by_driver, by_httpx)


def measure(passes: int = PASSES, count: int = REQUESTS) -> str:
    """The tables, as Markdown."""
    lines = ["## Requests to a back-end: CPU of who asks", ""]
    with (
        TemporaryDirectory(prefix="bench-") as folder,
        granian("asgi", "benchmarks.apps.plain:hello_asgi").start(Path(folder)) as server,
    ):
        for load in LOADS:
            lines += table(load, server.port, passes, count)
    return "\n".join(lines)


def table(load: str, port: int, passes: int, count: int) -> list[str]:
    samples: dict[str, list[dict[str, float]]] = {each.name: [] for each in ASKERS.values() if takes_part(each, load)}
    absent: dict[str, str] = {name: f"{ASKERS[name].needs} is not installed" for name in samples if not there(name)}
    for _ in range(passes):
        for name, found in samples.items():
            if name not in absent:
                try:
                    found.append(asked(name, port, load, count))
                except Absent as error:
                    absent[name] = str(error)
    reference = REFERENCES[load]
    base = middle(samples[reference], "cost_us") if reference not in absent else 0
    rows = [f"### {load[0].upper()}{load[1:]}", "", "| client              | us/request | ratio | requests/s |"]
    rows.append("|---------------------|-----------:|------:|-----------:|")
    for name, found in samples.items():
        if name in absent:
            rows.append(f"| {name:<19} | {absent[name]} |||")
            continue
        cost = middle(found, "cost_us")
        ratio = f"{cost / base:.2f}" if base else "-"
        rows.append(f"| {name:<19} | {cost:>10.1f} | {ratio:>5} | {middle(found, 'rate'):>10,.0f} |")
    if base and "skitai" not in absent and load != STREAMS:
        got = middle(samples["skitai"], "cost_us") / base
        said = "reached" if got <= RATIO else "MISSED"
        rows += ["", f"- {said}: CPU per request: target {RATIO} of {reference}, here {got:.2f}"]
    return [*rows, ""]


def there(name: str) -> bool:
    return find_spec(ASKERS[name].needs) is not None


def middle(found: list[dict[str, float]], figure: str) -> float:
    return median(each[figure] for each in found)


if __name__ == "__main__":
    if sys.argv[1:]:
        run(*sys.argv[1:])
    else:
        print(measure())
