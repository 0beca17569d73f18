"""uvloop: libuv's event loop behind asyncio's interface, a third faster."""

from __future__ import annotations

import asyncio

import uvloop

from skitai.worker.engines.stdlib import AsyncioEngine


class UvloopEngine(AsyncioEngine):
    def new_loop(self) -> asyncio.AbstractEventLoop:
        loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        asyncio.set_event_loop(loop)
        return loop
