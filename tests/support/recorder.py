"""A server behind a proxy that trusts nobody: it writes down every byte and every oddity, and answers by a script.

It reads HTTP/1.1 by rules of its own, stricter than those for servers: a proxy has to send what is beyond doubt. What it has
recorded is read by h11 a second time.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import h11

TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
VALUE = re.compile(rb"[!-~\x80-\xff]([ \t!-~\x80-\xff]*[!-~\x80-\xff])?")
TARGET = re.compile(rb"/[!\"$-~]*|\*")
SIZE = re.compile(rb"[0-9a-fA-F]{1,16}")
BETWEEN_NEIGHBOURS = frozenset(
    b"connection keep-alive proxy-connection te upgrade http2-settings proxy-authorization".split()
)


@dataclass
class Seen:
    """A request that came whole."""

    method: str
    target: str
    fields: list[tuple[bytes, bytes]]
    body: bytes = b""
    trailers: bytes = b""

    def all(self, name: str) -> list[str]:
        return [value.decode("latin-1") for known, value in self.fields if known == name.encode()]

    def get(self, name: str) -> str:
        """The field's only value; empty without."""
        found = self.all(name)
        assert len(found) < 2, f"{name} twice: {found}"
        return found[0] if found else ""


class Torn(Exception):
    """The proxy has left within a request, which then is none."""


@dataclass
class Peer:
    """One connection, as answers see it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int
    raw: bytearray = field(default_factory=bytearray)
    complete: int = 0

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, body: bytes = b"", *fields: str, status: str = "200 OK") -> None:
        lines = "".join(f"{each}\r\n" for each in fields)
        await self.say(f"HTTP/1.1 {status}\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body)

    async def until_left(self) -> None:
        """Wait until the proxy leaves this connection."""
        while await self.reader.read(65536):
            pass

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """Close so that the proxy gets a reset."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def _line(self) -> bytes:
        try:
            line = await self.reader.readuntil(b"\n")
        except asyncio.IncompleteReadError as error:
            self.raw += error.partial
            raise Torn(error.partial) from None
        self.raw += line
        return line

    async def _exactly(self, size: int) -> bytes:
        try:
            data = await self.reader.readexactly(size)
        except asyncio.IncompleteReadError as error:
            self.raw += error.partial
            raise Torn("within a body") from None
        self.raw += data
        return data


Script = Callable[[Peer, Seen], Awaitable[None]]


class Recorder:
    """The server, in a thread of its own.

    :ivar port: of 127.0.0.1.
    :ivar seen: the requests that came whole, in their order.
    :ivar oddities: what a strict reader does not take for HTTP/1.1, or what should not have come through a proxy.
    :ivar torn: requests within which the proxy left.
    :ivar connections: so many were accepted.
    :ivar scripts: what to do by the path's first segment; others are answered with their method, target and body.
    :ivar early: the same, once the head has come and nothing of the body was read.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.port = 0
        self.seen: list[Seen] = []
        self.oddities: list[str] = []
        self.torn: list[str] = []
        self.connections = 0
        self.scripts: dict[str, Script] = {}
        self.early: dict[str, Script] = {}
        self._open: dict[int, Peer] = {}
        self._ended: list[Peer] = []
        self._tls = tls

    @property
    def open(self) -> int:
        """Connections that neither side has left."""
        return len(self._open)

    @property
    def peers(self) -> list[Peer]:
        """The connections that are open."""
        return list(self._open.values())

    def forget(self) -> None:
        """Begin anew; connections stay."""
        self.seen, self.oddities, self.torn = [], [], []

    def by_h11(self) -> list[tuple[str, str, bytes]]:
        """Method, target and body of all whole requests of all connections so far, as h11 reads them."""
        found = []
        for peer in (*self._ended, *self._open.values()):
            found += by_h11(bytes(peer.raw))
        return found

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        peer = Peer(reader, writer, self.connections)
        self._open[peer.number] = peer
        try:
            while await self._one(peer):
                pass
        except Torn as torn:
            self.torn.append(str(torn))
        except (OSError, EOFError):
            pass
        finally:
            self._ended.append(self._open.pop(peer.number))
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _one(self, peer: Peer) -> bool:
        """Read a request and answer it; False when there is none any more."""
        try:
            seen = await self._head(peer)
        except Torn:
            if peer.complete == len(peer.raw):
                return False
            raise
        name = seen.target.strip("/").partition("/")[0].partition("?")[0]
        early = self.early.get(name)
        if early is not None:
            await early(peer, seen)
            return not peer.writer.is_closing()
        await self._body(peer, seen)
        peer.complete = len(peer.raw)
        self.seen.append(seen)
        await self.scripts.get(name, told)(peer, seen)
        return not peer.writer.is_closing()

    async def _head(self, peer: Peer) -> Seen:
        line = await peer._line()
        parts = self._plain(line).split(b" ")
        if len(parts) != 3 or not TOKEN.fullmatch(parts[0]) or parts[2] != b"HTTP/1.1" or not TARGET.fullmatch(parts[1]):
            self._odd(f"request line {line!r}")
        fields = []
        while (line := await peer._line()) not in (b"\r\n", b"\n"):
            name, sign, value = self._plain(line).partition(b": ")
            if not sign or not TOKEN.fullmatch(name) or (value and not VALUE.fullmatch(value)):
                self._odd(f"field {line!r}")
            fields.append((name.lower(), value))
        if line != b"\r\n":
            self._odd("a bare LF")
        seen = Seen(parts[0].decode("latin-1"), parts[min(1, len(parts) - 1)].decode("latin-1"), fields)
        self._judge(seen)
        return seen

    def _judge(self, seen: Seen) -> None:
        names = [name for name, _ in seen.fields]
        if names.count(b"host") != 1:
            self._odd(f"{names.count(b'host')} Host")
        for name in (b"content-length", b"transfer-encoding", b"expect", b"content-type", b"authorization"):
            if names.count(name) > 1:
                self._odd(f"{name!r} more than once")
        if b"content-length" in names and b"transfer-encoding" in names:
            self._odd("two lengths")
        upgrades = "websocket" in seen.all("upgrade")
        for name, value in seen.fields:
            if name == b"content-length" and not re.fullmatch(rb"0|[1-9][0-9]*", value):
                self._odd(f"length {value!r}")
            if name == b"transfer-encoding" and value != b"chunked":
                self._odd(f"coding {value!r}")
            if name in BETWEEN_NEIGHBOURS and not upgrades:
                self._odd(f"{name!r}: {value!r} came through")
            if b"_" in name:
                self._odd(f"{name!r} came through")

    async def _body(self, peer: Peer, seen: Seen) -> None:
        if length := seen.get("content-length"):
            seen.body = await peer._exactly(int(length))
        elif seen.get("transfer-encoding"):
            while True:
                line = self._plain(await peer._line())
                if not SIZE.fullmatch(line):
                    self._odd(f"chunk {line!r}")
                    raise Torn("a chunk that is none")
                if not (size := int(line, 16)):
                    break
                seen.body += await peer._exactly(size)
                if await peer._exactly(2) != b"\r\n":
                    self._odd("a chunk without its end")
            while (line := await peer._line()) != b"\r\n":
                seen.trailers += line

    def _plain(self, line: bytes) -> bytes:
        """A line without its end."""
        if not line.endswith(b"\r\n"):
            self._odd(f"a bare LF behind {line!r}")
        plain = line.rstrip(b"\n").removesuffix(b"\r")
        if re.search(rb"[\x00-\x08\n-\x1f\x7f]", plain):
            self._odd(f"control characters in {line!r}")
        return plain

    def _odd(self, what: str) -> None:
        self.oddities.append(what)


async def told(peer: Peer, seen: Seen) -> None:
    """Answer with what was asked."""
    said = f"{seen.method} {seen.target} ".encode("latin-1") + seen.body
    if seen.method == "HEAD":
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(said))
    else:
        await peer.answer(said)


def by_h11(raw: bytes) -> list[tuple[str, str, bytes]]:
    """The whole requests within what came on one connection."""
    reader = h11.Connection(h11.SERVER)
    reader.receive_data(raw)
    reader.receive_data(b"")
    found: list[tuple[str, str, bytes]] = []
    asked: h11.Request | None = None
    body = b""
    while True:
        try:
            event = reader.next_event()
        except h11.RemoteProtocolError as error:
            assert "incomplete" in str(error) or "closed" in str(error) or "without sending" in str(error), error
            return found
        match event:
            case h11.Request():
                asked, body = event, b""
            case h11.Data():
                body += bytes(event.data)
            case h11.EndOfMessage() if asked is not None:
                found.append((asked.method.decode(), asked.target.decode(), body))
                reader.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
                reader.send(h11.EndOfMessage())
                if reader.our_state is not h11.DONE or reader.their_state is not h11.DONE:
                    return found
                reader.start_next_cycle()
            case _:
                return found


@contextlib.contextmanager
def recorder(tls: ssl.SSLContext | None = None) -> Iterator[Recorder]:
    """A recorder that listens."""
    record = Recorder(tls)
    loop = asyncio.new_event_loop()
    ready, stop = threading.Event(), asyncio.Event()

    async def run() -> None:
        server = await asyncio.start_server(record.serve, "127.0.0.1", 0, ssl=tls, backlog=1024)
        record.port = server.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        server.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for each in left:
            each.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def main() -> None:
        with contextlib.closing(loop):
            loop.run_until_complete(run())

    thread = threading.Thread(target=main, name="recorder")
    thread.start()
    try:
        assert ready.wait(10)
        yield record
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
