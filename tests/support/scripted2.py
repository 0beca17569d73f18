"""Servers of HTTP/2 for tests of the HTTP client, in the words of the h2 library, and what makes any server secure."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import h2.events as its
import trustme
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from tests.support.scripted import Upstream


@dataclass
class Call:
    """One request that such a server was asked.

    :ivar number: of its stream; `connection` counts from 1.
    :ivar behind: the fields behind its body, once that has ended.
    """

    peer: Peer2
    number: int
    connection: int
    fields: dict[str, str]
    pieces: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)
    behind: dict[str, str] = field(default_factory=dict)
    reset: int | None = None

    @property
    def path(self) -> str:
        return self.fields[":path"]

    async def body(self) -> bytes:
        data = b""
        while (piece := await self.pieces.get()) is not None:
            data += piece
        return data

    def head(self, status: int, *fields: tuple[str, str], ended: bool = False) -> None:
        self.peer.h2.send_headers(self.number, [(":status", str(status)), *fields], end_stream=ended)
        self.peer.flush()

    async def data(self, data: bytes, ended: bool = False) -> None:
        """Send some content, as the client's windows take it."""
        while data:
            window = min(self.peer.h2.local_flow_control_window(self.number), self.peer.h2.max_outbound_frame_size)
            if window <= 0:
                self.peer.widened.clear()
                await self.peer.widened.wait()
                continue
            self.peer.h2.send_data(self.number, data[:window])
            self.peer.flush()
            data = data[window:]
        if ended:
            self.peer.h2.end_stream(self.number)
            self.peer.flush()

    async def answer(self, body: bytes = b"", *fields: tuple[str, str], status: int = 200) -> None:
        self.head(status, *fields, ended=not body)
        if body:
            await self.data(body, ended=True)

    def trailers(self, *fields: tuple[str, str]) -> None:
        self.peer.h2.send_headers(self.number, fields, end_stream=True)
        self.peer.flush()

    def refuse(self, code: int) -> None:
        self.peer.h2.reset_stream(self.number, code)
        self.peer.flush()


Answers = Callable[[Call], Awaitable[None]]


class Peer2(asyncio.Protocol):
    """One connection of such a server."""

    def __init__(self, server: Upstream, answers: Answers, streams: int, window: int) -> None:
        self.server = server
        self.answers = answers
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="latin-1"))
        self.streams = streams
        self.window = window
        self.calls: dict[int, Call] = {}
        self.widened = asyncio.Event()
        self.transport: Any = None
        server.connections += 1
        self.connection = server.connections

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        mine = {SettingCodes.MAX_CONCURRENT_STREAMS: self.streams, SettingCodes.INITIAL_WINDOW_SIZE: self.window}
        self.h2.local_settings = Settings(client=False, initial_values=mine)
        self.h2.initiate_connection()
        if self.window > 65535:
            self.h2.increment_flow_control_window(self.window - 65535)
        self.flush()

    def flush(self) -> None:
        self.transport.write(self.h2.data_to_send())

    def data_received(self, data: bytes) -> None:
        try:
            events = self.h2.receive_data(data)
        except ProtocolError as error:
            self.server.failures.append(error)
            self.transport.abort()
            return
        for event in events:
            self._take(event)
        self.flush()

    def _take(self, event: its.Event) -> None:
        match event:
            case its.RequestReceived():
                fields = {str(name): str(value) for name, value in event.headers or []}
                call = self.calls[event.stream_id or 0] = Call(self, event.stream_id or 0, self.connection, fields)
                self._spawn(call)
            case its.DataReceived():
                if event.data:
                    self.calls[event.stream_id or 0].pieces.put_nowait(bytes(event.data))
                self.h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
            case its.TrailersReceived():
                behind = self.calls[event.stream_id or 0].behind
                behind.update((str(name), str(value)) for name, value in event.headers or [])
            case its.StreamEnded():
                self.calls[event.stream_id or 0].pieces.put_nowait(None)
            case its.StreamReset():
                self.calls[event.stream_id or 0].reset = event.error_code
                self.widened.set()
            case its.WindowUpdated() | its.RemoteSettingsChanged():
                self.widened.set()

    def _spawn(self, call: Call) -> None:
        task = asyncio.get_running_loop().create_task(self.server.follow(partial(self.answers, call), ProtocolError))
        self.server.tasks.add(task)  # at once: it may end before it begins
        task.add_done_callback(self.server.tasks.discard)


@contextlib.asynccontextmanager
async def upstream2(
    answers: Answers, tls: ssl.SSLContext | None = None, streams: int = 100, window: int = 65535
) -> AsyncIterator[Upstream]:
    """A server of HTTP/2 on a port of its own; without TLS by prior knowledge.

    :param streams: that it takes at once.
    :param window: bytes of bodies that it takes before it has read any.
    """
    running = Upstream(scheme="http" if tls is None else "https")
    peers: list[Peer2] = []

    def make() -> Peer2:
        peers.append(Peer2(running, answers, streams, window))
        return peers[-1]

    def abort() -> None:
        for peer in peers:
            if peer.transport is not None:  # or the client did not like the certificate
                peer.transport.abort()

    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0, ssl=tls)
    async with running.serving(server, abort):
        yield running


AUTHORITY = trustme.CA()
"""Whom tests trust."""


def secured(
    *protocols: str, names: tuple[str, ...] = ("127.0.0.1", "localhost"), by: trustme.CA = AUTHORITY
) -> ssl.SSLContext:
    """For a server.

    :param protocols: what it speaks (ALPN).
    :param names: in its certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    by.issue_cert(*names).configure_cert(context)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context
