"""Passing requests on to the servers behind an alias: the reverse proxy."""

from __future__ import annotations

import asyncio
from typing import Any

from skitai.backend.drivers.http.bodies import Stream
from skitai.backend.drivers.http.request import HttpRequest
from skitai.backend.errors import BackendError
from skitai.config.mounted import Mount, Upstream
from skitai.errors import Answerable
from skitai.exchange import BodyMode, Context, Exchange
from skitai.was import process


class UpstreamApp:
    """An alias at a mount point.

    :param mount: its target is an `Upstream`.
    """

    body_mode = BodyMode.STREAM
    in_threads = False

    def __init__(self, mount: Mount) -> None:
        if not isinstance(mount.target, Upstream):
            raise TypeError(f"{mount.target!r} is no alias")
        self._mount = mount
        self._alias = mount.target.alias
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<UpstreamApp {self._mount.point} @{self._alias}>"

    async def startup(self, context: Context) -> None:
        self._backends = process.backends()
        self._cluster = self._backends.cluster(self._alias)

    async def shutdown(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks)

    def handle(self, exchange: Exchange) -> None:
        task = asyncio.get_running_loop().create_task(self._pass_on(exchange))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, exchange: Exchange) -> None:
        head = exchange.head
        target = head.raw_path[len(self._mount.point) - 1 :] + (f"?{head.query}" if head.query else "")
        own = {b"host", b"content-length", b"connection"}
        fields = tuple((name.decode(), value.decode("latin-1")) for name, value in head.fields.pairs if name not in own)
        body = Stream([exchange.body.stream()]) if head.length else None
        request = HttpRequest(head.method.lower(), target, target, fields, body, (), stream=True, decode=False)
        loop = asyncio.get_running_loop()
        try:
            driver: Any = self._backends.driver(self._cluster.alias.kind)
            result = await self._cluster.ask(driver, request, loop.time() + 60, loop.time)
        except BackendError as error:
            exchange.fail(Answerable(error.message, status=502))
            return
        answer: Any = result
        pairs = [each for each in answer.fields.pairs if each[0] not in {b"connection", b"transfer-encoding"}]
        exchange.start(answer.status_code, pairs)
        async for piece in answer.pieces:
            exchange.write(piece)
        exchange.finish()
