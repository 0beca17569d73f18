"""The standard library's event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from skitai.net import polling
from skitai.net.secure import Handshakes
from skitai.worker.engines import Secure


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
        tls: Secure | None = None,
    ) -> asyncio.AbstractServer | polling.Listener:
        loop = asyncio.get_running_loop()
        if polling.AVAILABLE:
            serve = Handshakes(tls.context, tls.handshake_s, tls.handshakes).serve if tls else None
            return polling.Listener(self._polled(loop), sock, factory, failed, serve)
        options: dict[str, Any] = {"ssl": tls.context, "ssl_handshake_timeout": tls.handshake_s} if tls else {}
        if sock.family == socket.AF_UNIX:
            return await loop.create_unix_server(factory, sock=sock, backlog=backlog, **options)
        return await loop.create_server(factory, sock=sock, backlog=backlog, **options)

    async def adopt(self, factory: Callable[[], asyncio.Protocol], sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        if polling.AVAILABLE:
            polling.SocketTransport(self._polled(loop), sock, factory(), sock.getpeername()).begin()
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
