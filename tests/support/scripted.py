"""Back-ends for tests of the HTTP client: servers that follow a script, in the test's own loop, and a client of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from skitai.backend.drivers.http import HttpDriver, HttpResult, locate, make
from skitai.backend.drivers.http.traced import Traced
from skitai.backend.errors import TimedOut
from skitai.backend.room import Room
from skitai.cachefs.cache import Cache
from skitai.config.aliases import Member
from skitai.config.sections.reaching import Backends
from skitai.config.tree import Config

PATIENCE_S = 20.0


@dataclass
class Place:
    """The process that a driver lives in."""

    config: Config
    loop: asyncio.AbstractEventLoop
    cache: Cache | None = None

    def on_loop(self, job: Callable[..., Any], *args: Any) -> None:
        self.loop.call_soon_threadsafe(job, *args)

    def in_loop(self) -> bool:
        return True

    def waiting(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


class Stale(Exception):
    """A connection that idled may have died long ago."""


class Waiting:
    """Waits for what comes of a request that was begun without a task; a `seam.Asker`."""

    def __init__(self) -> None:
        self.came: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def answered(self, result: Any) -> None:
        self.came.set_result(result)

    def failed(self, error: Exception, stale: bool = False) -> None:
        self.came.set_exception(Stale() if stale else error)


@dataclass
class Client:
    """Asks what a test says, and tells what came; without a task where a connection idles, as `backend.attempt` does.

    :ivar without_task: so many requests needed none.
    """

    driver: HttpDriver
    without_task: int = 0

    async def __call__(self, verb: str, url: str, *args: Any, timeout: float = PATIENCE_S, **options: Any) -> HttpResult:
        member, _ = locate(url)
        return await self.at(member, verb, url, *args, timeout=timeout, **options)

    async def at(
        self, member: Member, verb: str, url: str, *args: Any, timeout: float = PATIENCE_S, **options: Any
    ) -> HttpResult:
        deadline, request = asyncio.get_running_loop().time() + timeout, make(verb, url, *args, **options)
        waiting = Waiting()
        begun = self.driver.begin(member, Traced(request, None), waiting)
        if begun is None:
            return await self.driver.ask(member, request, deadline)
        self.without_task += 1
        try:
            async with asyncio.timeout_at(deadline):
                came: HttpResult = await waiting.came
                return came
        except TimeoutError:
            begun.cancel()
            raise TimedOut() from None
        except asyncio.CancelledError:
            begun.cancel()
            raise
        except Stale:
            return await self.driver.ask(member, request, deadline)


@contextlib.asynccontextmanager
async def client(cache: Cache | None = None, **options: Any) -> AsyncIterator[Client]:
    """A client with options of the section Backends."""
    loop, settings = asyncio.get_running_loop(), Backends(**options)
    driver = HttpDriver(Place(Config(backends=settings), loop, cache), Room(loop, settings.backend_total_connections))
    try:
        yield Client(driver)
    finally:
        await driver.close()


@dataclass
class Request:
    """What a scripted server was asked.

    :ivar behind: the lines behind a chunked body.
    """

    line: str
    fields: dict[str, str]
    body: bytes = b""
    behind: list[str] = field(default_factory=list)


@dataclass
class Peer:
    """One connection of a scripted server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int

    async def head(self) -> Request:
        """The next request without its body.

        :raises EOFError: the client has closed.
        """
        data = await self.reader.readuntil(b"\r\n\r\n")
        line, *lines = data.decode("latin-1").split("\r\n")[:-2]
        fields: dict[str, str] = {}
        for each in lines:
            name, _, value = each.partition(": ")
            assert name.lower() not in fields, f"{name} twice"
            fields[name.lower()] = value
        return Request(line, fields)

    async def request(self) -> Request:
        """The next request."""
        asked = await self.head()
        if "content-length" in asked.fields:
            asked.body = await self.reader.readexactly(int(asked.fields["content-length"]))
        elif "transfer-encoding" in asked.fields:
            while size := int(await self.reader.readline(), 16):
                asked.body += await self.reader.readexactly(size)
                await self.reader.readline()
            while (line := await self.reader.readline()) != b"\r\n":
                asked.behind.append(line.decode("latin-1").rstrip())
        return asked

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, body: bytes = b"", *fields: str, status: str = "200 OK") -> None:
        lines = "".join(f"{each}\r\n" for each in fields)
        await self.say(f"HTTP/1.1 {status}\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body)

    def reset(self) -> None:
        """Close so that the client gets a reset."""
        self.writer.transport.abort()


Talk = Callable[[Peer], Awaitable[None]]


@dataclass
class Upstream:
    """A server that does with each connection what its script says.

    :ivar connections: so many were accepted.
    """

    port: int = 0
    connections: int = 0
    scheme: str = "http"
    failures: list[BaseException] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def url(self, path: str = "/") -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}{path}"

    async def follow(self, script: Callable[[], Awaitable[None]], *gone: type[BaseException]) -> None:
        """Do what a script says, in a task of its own; what goes wrong fails the test.

        :param gone: errors that say that the client has closed.
        """
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            await script()
        except (asyncio.CancelledError, *gone):
            pass
        except BaseException as error:  # noqa: BLE001 - raised again in the test
            self.failures.append(error)
        finally:
            self.tasks.discard(task)

    @contextlib.asynccontextmanager
    async def serving(self, server: asyncio.Server, then: Callable[[], None] = lambda: None) -> AsyncIterator[Upstream]:
        """Around a test.

        :param then: called when the scripts have ended.
        """
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            tasks = tuple(self.tasks)
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            then()
            await asyncio.sleep(0)
        if self.failures:
            raise self.failures[0]


@contextlib.asynccontextmanager
async def upstream(talk: Talk, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[Upstream]:
    """A server on a port of its own; what goes wrong in its script fails the test, but for a client that closes."""
    running = Upstream(scheme="http" if tls is None else "https")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running.connections += 1
        await running.follow(partial(talked, reader, writer), EOFError, OSError)

    async def talked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(Peer(reader, writer, running.connections))
        finally:
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async with running.serving(await asyncio.start_server(serve, host, 0, ssl=tls)):
        yield running


def forever(talk: Talk) -> Talk:
    """The same again for each request of a connection."""

    async def again(peer: Peer) -> None:
        while True:
            await talk(peer)

    return again


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))
