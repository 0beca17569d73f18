"""Opening connections: addresses tried as RFC 8305 says ("happy eyeballs"), tunnels through proxies, TLS that is checked.

The loop's own `create_connection` does the first only in asyncio, not in uvloop.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from base64 import b64encode
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import chain, zip_longest
from typing import Any

from skitai.backend.errors import BackendError, Code, TimedOut
from skitai.net.polling import AVAILABLE, Poller, SocketTransport
from skitai.protocols.http1.answer import AnswerHeads, Answers, BadAnswer, request_head

NEXT_ADDRESS_S = 0.25
"""After which the next address is tried beside the first (RFC 8305, section 5)."""

REST_BYTES = 65536

AT_ONCE_BYTES = 65536
"""From this size on, the kernel's copying takes longer than another thread should wait."""

Protocols = tuple[str, ...]

Addresses = list[tuple[int, Any]]
"""(family, address), as sockets take them."""

Names = Callable[[str, int], Awaitable[list[tuple[Any, Any, Any, Any, Any]]]]
"""Takes a host and a port, and answers as `socket.getaddrinfo`."""

Admit = Callable[[str, Addresses], Addresses]
"""Takes a host and its addresses."""


class Dialler:
    """Opens connections in one loop.

    :param connect_s: opening one may take so long.
    :param admit: chooses from the addresses of a host those that may be connected to; raises when there are none.
    :param names: asks for addresses; by default the loop's own way, whose threads are few, and everybody's.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connect_s: float,
        admit: Admit | None = None,
        names: Names | None = None,
    ) -> None:
        self.loop = loop
        self._connect_s = connect_s
        self._admit = admit
        self._names = names
        self._contexts: dict[tuple[bool, Protocols], ssl.SSLContext] = {}
        self._poller: Poller | None = None

    async def open(
        self, host: str, port: int, tls: Tls | None, proxy: Proxy | None, deadline: float, through: bool = False
    ) -> Any:
        """A connected transport whose protocol is still to be set: `attach` does it.

        :param through: a proxy opens a tunnel also without TLS, where it could pass requests on.
        :raises BackendError: NO_HOST, REFUSED, TLS, SLOW; TimedOut.
        """
        until = min(deadline, self.loop.time() + self._connect_s)
        try:
            async with asyncio.timeout_at(until):
                return await self._open(host, port, tls, proxy, through)
        except TimeoutError:
            if until >= deadline:
                raise TimedOut(f"no connection to {host}:{port} in time", sent=False) from None
            message = f"no connection to {host}:{port} within {self._connect_s:g} seconds"
            raise BackendError(Code.SLOW, message) from None
        except ssl.SSLError as error:
            raise BackendError(Code.TLS, f"no TLS with {host}:{port}: {_reason(error)}") from error
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else error  # which asyncio says in words of its own
            raise BackendError(Code.REFUSED, f"no connection to {host}:{port}: {reason}") from error

    async def _open(self, host: str, port: int, tls: Tls | None, proxy: Proxy | None, through: bool) -> Any:
        there = (host, port) if proxy is None else (proxy.host, proxy.port)
        sock = await connect(self.loop, *there, self._admit if proxy is None else None, self._names)
        try:
            if proxy is not None and (tls is not None or through):
                await tunnel(self.loop, sock, host, port, proxy)
            if tls is None:
                return sock
            context = await self._context(tls.verify, tls.protocols)
            transport, _ = await self.loop.create_connection(
                _Waiting, sock=sock, ssl=context, server_hostname=host, ssl_handshake_timeout=self._connect_s + 1
            )
        except BaseException:
            sock.close()
            raise
        return transport

    async def attach(self, opened: Any, protocol: asyncio.Protocol) -> None:
        """Have a protocol speak on what `open` has given."""
        if isinstance(opened, socket.socket):
            if AVAILABLE:
                if self._poller is None:
                    self._poller = Poller(self.loop)
                _Transport(self._poller, opened, protocol).begin()
            else:
                await self.loop.create_connection(lambda: protocol, sock=opened)
            return
        waiting = opened.get_protocol()
        opened.set_protocol(protocol)
        protocol.connection_made(opened)
        waiting.hand_over(protocol)

    async def _context(self, verify: bool, protocols: Protocols) -> ssl.SSLContext:
        """Made once, off the loop: reading the system's certificates takes a tenth of a second."""
        key = (verify, protocols)
        context = self._contexts.get(key)
        if context is None:
            context = await self.loop.run_in_executor(None, trust, verify, protocols)
            context = self._contexts.setdefault(key, context)
        return context

    def close(self) -> None:
        if self._poller is not None:
            self._poller.close()
            self._poller = None


class _Transport(SocketTransport):
    """A transport for small requests, most of which go out at once and of which nobody waits to hear."""

    __slots__ = ()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._outgoing or self._fd < 0:
            super().write(data)
            return
        if type(data) is bytes and len(data) < AT_ONCE_BYTES:
            sent = self._poller.write(self._fd, data, len(data))  # keeps the interpreter lock, as reading does
            if sent == len(data):
                return
            sent = max(sent, 0)
        else:
            try:
                sent = self._sock.send(data)
            except OSError:
                sent = 0  # the same again, where errors are dealt with
        if sent < len(data):
            super().write(memoryview(data)[sent:])

    def _flushed(self) -> None:
        if getattr(self._protocol, "waits", True):
            super()._flushed()

    def rest(self) -> bytes:
        """What came before the connection was lost, and was not read yet; for `connection_lost`."""
        pieces = []
        with suppress(OSError):  # nothing more, or the error that it was lost with
            while piece := self._sock.recv(REST_BYTES):
                pieces.append(piece)
        return b"".join(pieces)


class _Waiting(asyncio.Protocol):
    """Keeps what a server says before somebody listens; in HTTP/2 it may speak first."""

    def __init__(self) -> None:
        self._came: list[bytes] = []
        self._ended = False
        self._lost: tuple[Exception | None] | None = None

    def data_received(self, data: bytes) -> None:
        self._came.append(data)

    def eof_received(self) -> bool:
        self._ended = True
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = (error,)

    def hand_over(self, protocol: asyncio.Protocol) -> None:
        for data in self._came:
            protocol.data_received(data)
        if self._lost is not None:
            protocol.connection_lost(self._lost[0])
        elif self._ended:
            protocol.eof_received()


class Tls:
    """How a connection is made secure.

    :ivar protocols: what we would speak on it (ALPN), the best first.
    """

    __slots__ = ("protocols", "verify")

    def __init__(self, verify: bool, protocols: Protocols) -> None:
        self.verify = verify
        self.protocols = protocols


class Proxy:
    """A proxy for HTTP.

    :ivar fields: what it wants to know of who asks.
    """

    __slots__ = ("fields", "host", "port")

    def __init__(self, host: str, port: int, user: str, password: str) -> None:
        self.host = host
        self.port = port
        self.fields: list[tuple[str, str]] = []
        if user:
            self.fields.append(("Proxy-Authorization", f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"))


def trust(verify: bool, protocols: Protocols) -> ssl.SSLContext:
    """What is trusted: the system's certificates, or those of SSL_CERT_FILE and SSL_CERT_DIR. Without `verify`, anybody."""
    if verify:
        context = ssl.create_default_context()
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


async def connect(
    loop: asyncio.AbstractEventLoop,
    host: str,
    port: int,
    admit: Admit | None = None,
    names: Names | None = None,
) -> socket.socket:
    """A connected socket.

    :param admit, names: see `Dialler`.
    :raises OSError: the error of the first address.
    :raises BackendError: NO_HOST.
    """
    addresses = await addresses_of(loop, host, port, names)
    addresses = in_turns(addresses if admit is None else admit(host, addresses))
    if len(addresses) == 1:
        return await _connect(loop, addresses[0])
    running: set[asyncio.Task[socket.socket]] = set()
    failures: list[OSError] = []
    try:
        while addresses or running:
            if addresses:
                running.add(loop.create_task(_connect(loop, addresses.pop(0))))
            timeout = NEXT_ADDRESS_S if addresses else None
            over, running = await asyncio.wait(running, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            for each in over:
                error = each.exception()
                if error is None:
                    running |= over - {each}  # closed below
                    return each.result()
                if not isinstance(error, OSError):
                    raise error
                failures.append(error)
        raise failures[0]
    finally:
        for each in running:
            each.cancel()
            each.add_done_callback(_close_late)


def _close_late(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def _connect(loop: asyncio.AbstractEventLoop, address: tuple[int, Any]) -> socket.socket:
    sock = socket.socket(address[0], socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(sock, address[1])
    except BaseException:
        sock.close()
        raise
    return sock


async def addresses_of(loop: asyncio.AbstractEventLoop, host: str, port: int, names: Names | None = None) -> Addresses:
    """(family, address) of a host, as the system's resolver knows it.

    :raises BackendError: NO_HOST.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except OSError:
        try:
            if names is None:
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            else:
                found = await names(host, port)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise BackendError(Code.NO_HOST, f"{host} has no address: {reason}") from error
    return [(family, address) for family, _, _, _, address in found]


def in_turns(addresses: Addresses) -> Addresses:
    """The families in turns, in the resolver's order otherwise (RFC 8305, section 4)."""
    first = [each for each in addresses if each[0] == addresses[0][0]]
    others = [each for each in addresses if each[0] != addresses[0][0]]
    return [each for each in chain.from_iterable(zip_longest(first, others)) if each is not None]


async def tunnel(loop: asyncio.AbstractEventLoop, sock: socket.socket, host: str, port: int, proxy: Proxy) -> None:
    """Have a proxy pass bytes on (RFC 9110, section 9.3.6).

    :raises BackendError: it does not.
    """
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    await loop.sock_sendall(sock, request_head("CONNECT", target, target, proxy.fields))
    answers = Answers(AnswerHeads())
    answers.begin("CONNECT")
    try:
        while answers.head is None:
            data = await loop.sock_recv(sock, 65536)
            if data:
                answers.receive(data)
            else:
                answers.end()
    except BadAnswer as error:
        raise BackendError(Code.PROTOCOL, f"the proxy {proxy.host}:{proxy.port}: {error}") from None
    head = answers.head
    if head.status >= 300 or answers.rest:
        message = f"the proxy {proxy.host}:{proxy.port} opens no way to {target}: {head.status} {head.reason}"
        raise BackendError(Code.REFUSED, message)


def _reason(error: ssl.SSLError) -> str:
    return error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else error.reason or str(error)
