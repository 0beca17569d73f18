"""The standard library's event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable


class AsyncioEngine:
    def new_loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        return loop

    async def listen(
        self, factory: Callable[[], asyncio.Protocol], sock: socket.socket, backlog: int
    ) -> asyncio.AbstractServer:
        loop = asyncio.get_running_loop()
        if sock.family == socket.AF_UNIX:
            return await loop.create_unix_server(factory, sock=sock, backlog=backlog)
        return await loop.create_server(factory, sock=sock, backlog=backlog)
