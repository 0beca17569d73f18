"""Requests to databases: what they cost who asks, beside their drivers alone.

The servers are those of the tests. Who asks runs in a process of his own on uvloop, one after the other, in turns over
the passes; what is counted is that process's CPU time.
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
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.home import Home
from benchmarks.processes import LOAD_CORE, ROOT, Absent, pinned
from tests.support.databases import PASSWORD, Postgres, Redis, running

REQUESTS = 4000
PASSES = 5
WARM = 200
PARALLEL = 50
RATIO = 1.3

Ask = Callable[[], Awaitable[Any]]
Rounds = Callable[[int], Awaitable[None]]
"""Asks so many times."""
Make = Callable[[int, int, AsyncExitStack], Awaitable[Rounds]]
"""Gets the server's port and how many are asked at a time."""


def rounds_of(ask: Ask, parallel: int) -> Rounds:
    async def rounds(count: int) -> None:
        for _ in range(count // parallel):
            if parallel == 1:
                await ask()
            else:
                await asyncio.gather(*[ask() for _ in range(parallel)])

    return rounds


def in_a_thread(one: Callable[[], Any], stack: AsyncExitStack) -> Rounds:
    """All of them in one thread, which waits for each."""
    executor = stack.enter_context(ThreadPoolExecutor(1))

    def many(count: int) -> None:
        for _ in range(count):
            one()

    return lambda count: asyncio.wrap_future(executor.submit(many, count))


def member(kind: Any, port: int) -> Any:
    from skitai.config.aliases import Member

    user, database = ("postgres", "postgres") if kind == "postgresql" else ("", "")
    return Member(kind, "127.0.0.1", port, user=user, password=PASSWORD, database=database)


def lent(kind: Any, port: int, stack: AsyncExitStack) -> Any:
    """`was`, which knows the server as ``@db``."""
    from skitai import was
    from skitai.config.aliases import Alias
    from skitai.was import process

    home: Any = Home(asyncio.get_running_loop(), Alias("db", kind, (member(kind, port),)))
    backends = process.lend(home)
    stack.push_async_callback(backends.close)
    return was


async def by_handle(port: int, parallel: int, stack: AsyncExitStack) -> Rounds:
    """As a coroutine function of an app asks: handles, which are awaited."""
    was = lent("postgresql", port, stack)

    async def rounds(count: int) -> None:
        for _ in range(count // parallel):
            for handle in [was.postgresql("@db").execute("select 1") for _ in range(parallel)]:
                (await handle).data  # noqa: B018 - as apps read it

    return rounds


async def by_waiting(port: int, parallel: int, stack: AsyncExitStack) -> Rounds:
    """As a function of an app asks that runs in a thread."""
    was = lent("postgresql", port, stack)

    def one() -> Any:
        return was.postgresql("@db").execute("select 1").getwait().data

    await was.postgresql("@db").execute("select 1")
    return in_a_thread(one, stack)


async def by_driver(port: int, parallel: int, stack: AsyncExitStack) -> Rounds:
    from skitai.backend.drivers.postgresql import PostgresqlDriver
    from skitai.backend.drivers.statements import Statement
    from skitai.backend.room import Room

    loop = asyncio.get_running_loop()
    driver = PostgresqlDriver(Home(loop), Room(loop, 1000))  # type: ignore[arg-type]
    stack.push_async_callback(driver.close)
    server, statement = member("postgresql", port), Statement("select 1")

    async def ask() -> Any:
        return (await driver.ask(server, statement, loop.time() + 10)).data

    return rounds_of(ask, parallel)


def psycopg2_parameters(port: int) -> dict[str, Any]:
    return {
        "host": "127.0.0.1",
        "port": port,
        "user": "postgres",
        "password": PASSWORD,
        "dbname": "postgres",
        "sslmode": "disable",
    }


async def by_psycopg2(port: int, parallel: int, stack: AsyncExitStack) -> Rounds:
    """One connection, no deadline, no pool: what the driver costs by itself."""
    import psycopg2
    from psycopg2.extensions import POLL_OK, POLL_READ

    loop = asyncio.get_running_loop()
    connection: Any = psycopg2.connect(**psycopg2_parameters(port), async_=1)
    stack.callback(connection.close)

    async def ready() -> None:
        while (state := connection.poll()) != POLL_OK:
            turn = loop.create_future()
            descriptor = connection.fileno()
            if state == POLL_READ:
                loop.add_reader(descriptor, turn.set_result, None)
                await turn
                loop.remove_reader(descriptor)
            else:
                loop.add_writer(descriptor, turn.set_result, None)
                await turn
                loop.remove_writer(descriptor)

    await ready()

    async def ask() -> Any:
        cursor = connection.cursor()
        cursor.execute("select 1")
        await ready()
        return cursor.fetchall()

    return rounds_of(ask, parallel)


async def in_thread(port: int, parallel: int, stack: AsyncExitStack) -> Rounds:
    import psycopg2

    connection = psycopg2.connect(**psycopg2_parameters(port))
    connection.autocommit = True
    stack.callback(connection.close)

    def one() -> Any:
        cursor = connection.cursor()
        cursor.execute("select 1")
        return cursor.fetchall()

    return in_a_thread(one, stack)


async def redis_by_driver(port: int, parallel: int, stack: AsyncExitStack) -> Rounds:
    from skitai.backend.drivers.redis import RedisDriver
    from skitai.backend.drivers.redis_commands import Command
    from skitai.backend.room import Room

    loop = asyncio.get_running_loop()
    driver = RedisDriver(Home(loop), Room(loop, 1000))  # type: ignore[arg-type]
    stack.push_async_callback(driver.close)
    server, command = member("redis", port), Command((b"ECHO", b"hello"))

    async def ask() -> Any:
        return (await driver.ask(server, command, loop.time() + 10)).data

    return rounds_of(ask, parallel)


async def redis_by_redis(port: int, parallel: int, stack: AsyncExitStack) -> Rounds:
    from redis.asyncio import Redis as Client

    client = Client(host="127.0.0.1", port=port, password=PASSWORD)
    stack.push_async_callback(client.aclose)

    async def ask() -> Any:
        return await client.echo("hello")

    return rounds_of(ask, parallel)


@dataclass(frozen=True)
class Case:
    """One comparison.

    :ivar reference: whose cost the others' are compared with.
    :ivar judged: who has to keep to `ratio`.
    """

    title: str
    server: Callable[[Any], Any]
    askers: dict[str, Make]
    reference: str
    judged: str = ""
    ratio: float = 0


CASES = {
    "postgresql": Case(
        "PostgreSQL, `select 1`",
        Postgres,
        {
            "skitai, handle": by_handle,
            "skitai, in a thread": by_waiting,
            "skitai, driver": by_driver,
            "psycopg2 async": by_psycopg2,
            "psycopg2 in a thread": in_thread,
        },
        reference="psycopg2 async",
        judged="skitai, handle",
        ratio=RATIO,
    ),
    "redis": Case(
        "Redis, `ECHO`",
        lambda folder: Redis(folder, PASSWORD),
        {"skitai": redis_by_driver, "redis.asyncio": redis_by_redis},
        reference="redis.asyncio",
    ),
}
ONE_AT_A_TIME = {"skitai, in a thread", "psycopg2 async", "psycopg2 in a thread"}
LOADS = {"one after the other": 1, f"{PARALLEL} at a time": PARALLEL}


async def asked(make: Make, port: int, parallel: int) -> float:
    """CPU seconds for each request."""
    async with AsyncExitStack() as stack:
        rounds = await make(port, parallel, stack)
        await rounds(WARM)
        before = resource.getrusage(resource.RUSAGE_SELF)
        await rounds(REQUESTS)
        used = resource.getrusage(resource.RUSAGE_SELF)
    return (used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime) / REQUESTS


def run(case: str, name: str, port: str, parallel: str) -> None:
    """Ask, and print what it cost."""
    import uvloop

    began_s = time.perf_counter()
    cost_s = uvloop.run(asked(CASES[case].askers[name], int(port), int(parallel)))
    print(json.dumps({"cost_us": cost_s * 1e6, "took_s": time.perf_counter() - began_s}))


def one(case: str, name: str, port: int, parallel: int) -> float:
    """:raises Absent: it does not work."""
    command = pinned(LOAD_CORE, [sys.executable, "-m", "benchmarks.databases", case, name, str(port), str(parallel)])
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, check=False)
    if done.returncode:
        raise Absent(done.stderr.strip().splitlines()[-1])
    return float(json.loads(done.stdout)["cost_us"])


def table(name: str, passes: int) -> list[str]:
    case = CASES[name]
    lines = [f"### {case.title}", "", "| who asks             | how many            | us/request | ratio |"]
    lines.append("|----------------------|---------------------|-----------:|------:|")
    verdict = []
    with running(case.server) as server:
        for load, parallel in LOADS.items():
            askers = [each for each in case.askers if parallel == 1 or each not in ONE_AT_A_TIME]
            found: dict[str, list[float]] = {each: [] for each in askers}
            for _ in range(passes):
                for each, costs in found.items():
                    costs.append(one(name, each, server.port, parallel))
            base = median(found[case.reference]) if case.reference in found else 0
            for each, costs in found.items():
                ratio = f"{median(costs) / base:.2f}" if base else ""
                lines.append(f"| {each:<20} | {load:<19} | {median(costs):>10.1f} | {ratio:>5} |")
            if case.judged and base:
                got = median(found[case.judged]) / base
                said = "reached" if got <= case.ratio else "MISSED"
                verdict += ["", f"- {said}: CPU per request: target {case.ratio} of {case.reference}, here {got:.2f}"]
    return [*lines, *verdict, ""]


def measure(passes: int = PASSES) -> str:
    """The tables, as Markdown."""
    lines = ["## Requests to databases: CPU of who asks", ""]
    for name, case in CASES.items():
        try:
            lines += table(name, passes)
        except Absent as absent:
            lines += [f"{case.title} is absent: {absent}", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1:]:
        run(*sys.argv[1:])
    else:
        print(measure())
