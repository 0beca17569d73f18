"""The standard library's event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from skitai.net import polling


class AsyncioEngine:
    """Plain sockets are read through one epoll where the system has it, else through the loop's own transports."""

    def __init__(self) -> None:
        self._poller: polling.Poller | None = None

    def new_loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        return loop

    async def listen(
        self,
        factory: Callable[[], asyncio.Protocol],
        sock: socket.socket,
        backlog: int,
        failed: Callable[[OSError], object],
    ) -> asyncio.AbstractServer | polling.Listener:
        loop = asyncio.get_running_loop()
        if polling.AVAILABLE:
            return polling.Listener(self._polled(loop), sock, factory, failed)
        if sock.family == socket.AF_UNIX:
            return await loop.create_unix_server(factory, sock=sock, backlog=backlog)
        return await loop.create_server(factory, sock=sock, backlog=backlog)

    async def adopt(self, factory: Callable[[], asyncio.Protocol], sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        if polling.AVAILABLE:
            polling.SocketTransport(self._polled(loop), sock, factory(), sock.getpeername())
        else:
            await loop.connect_accepted_socket(factory, sock)

    def _polled(self, loop: asyncio.AbstractEventLoop) -> polling.Poller:
        if self._poller is None:
            self._poller = polling.Poller(loop)
        return self._poller

    def close(self) -> None:
        if self._poller is not None:
            self._poller.close()
            self._poller = None
