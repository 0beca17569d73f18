"""The lifespan protocol of ASGI: one task per app and worker that hears of the start and of the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, MutableMapping
from typing import Any

from skitai.errors import LoadError

log = logging.getLogger("skitai.app")

Message = MutableMapping[str, Any]

LAST_WORDS_S = 1.0
"""An app that reported a failed start may take this long to raise what it failed with."""


class Lifespan:
    """Tells an app of start and end (ASGI specification, "Lifespan Protocol", version 2.0).

    :param name: of the app in messages: its mount point.
    :ivar state: what the app puts in here at its start, every request gets a copy of.
    :ivar supported: the app took part in its start.
    """

    def __init__(self, app: Any, asgi: Mapping[str, str], name: str) -> None:
        self.state: dict[str, Any] = {}
        self.supported = False
        self._app = app
        self._asgi = asgi
        self._name = name
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._reply: asyncio.Future[Message]
        self._expected = ""
        self._task: asyncio.Task[None]

    async def startup(self) -> None:
        """Let the app start. One that knows no lifespan goes on without.

        :raises LoadError: the app says that it failed.
        """
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"lifespan of {self._name}")
        try:
            reply = await self._tell("startup")
        except asyncio.CancelledError:
            self._task.cancel()
            raise
        if reply is None:
            error = None if self._task.cancelled() else self._task.exception()
            if isinstance(error, LoadError):
                raise error
            log.info("the app at %s takes no part in the lifespan protocol%s", self._name, f": {error!r}" if error else "")
        elif reply["type"] == "lifespan.startup.failed":
            await asyncio.wait([self._task], timeout=LAST_WORDS_S)
            error = self._task.exception() if self._task.done() and not self._task.cancelled() else None
            self._task.cancel()
            reason = str(reply.get("message", "")).strip().rsplit("\n", 1)[-1] or repr(error)
            raise LoadError(f"the app at {self._name} did not start: {reason}") from error
        else:
            self.supported = True
            self._task.add_done_callback(self._ended)

    async def shutdown(self, timeout_s: float) -> None:
        """Let the app clean up, for at most `timeout_s` seconds; what goes wrong is logged."""
        if not self.supported or self._task.done():
            return
        self._task.remove_done_callback(self._ended)
        try:
            async with asyncio.timeout(timeout_s):
                reply = await self._tell("shutdown")
                if reply is not None and reply["type"] == "lifespan.shutdown.failed":
                    log.error("the app at %s did not shut down well: %s", self._name, reply.get("message", ""))
                await asyncio.wait([self._task])
        except TimeoutError:
            log.error("the app at %s did not shut down within %.1f s", self._name, timeout_s)
        finally:
            self._task.cancel()
        self._ended(self._task)

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": self._asgi, "state": self.state}
        try:
            await self._app(scope, self._inbox.get, self._send)
        except SystemExit as error:  # would end the whole worker
            raise LoadError(f"the app at {self._name} asked to exit: {error}") from error

    async def _tell(self, event: str) -> Message | None:
        """Send an event; the app's reply to it, or None when its task ended without one."""
        self._reply = asyncio.get_running_loop().create_future()
        self._expected = event
        self._inbox.put_nowait({"type": f"lifespan.{event}"})
        awaited: list[asyncio.Future[Any]] = [self._reply, self._task]
        await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
        return self._reply.result() if self._reply.done() else None

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind not in (f"lifespan.{self._expected}.complete", f"lifespan.{self._expected}.failed") or self._reply.done():
            raise RuntimeError(f"{kind!r} is no answer to lifespan.{self._expected}, or a second one")
        self._reply.set_result(message)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """The app left its lifespan: log what it left with."""
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            log.error("the lifespan of the app at %s ended with an error", self._name, exc_info=error)
