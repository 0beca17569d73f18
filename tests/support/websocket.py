"""A WebSocket client of raw frames, for saying what no library would say."""

from __future__ import annotations

import struct
import zlib
from typing import Any

from tests.support.http2 import Http2Client, Http2Pipe, http2
from tests.support.memory import Client, Wire

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""The example of RFC 6455, section 1.3."""

HANDSHAKE = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": KEY}
MASK = b"\x37\xfa\x21\x3d"


def masked(payload: bytes) -> bytes:
    return bytes(each ^ MASK[at % 4] for at, each in enumerate(payload))


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, bits: int = 0, mask: bool = True) -> bytes:
    """A frame as a client sends it."""
    size = len(payload)
    first = (0x80 if fin else 0) | bits | opcode
    flag = 0x80 if mask else 0
    if size < 126:
        head = struct.pack("!BB", first, flag | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, flag | 126, size)
    else:
        head = struct.pack("!BBQ", first, flag | 127, size)
    return head + (MASK + masked(payload) if mask else payload)


def close(code: int, reason: str = "") -> bytes:
    return frame(8, struct.pack("!H", code) + reason.encode())


def inflated(payload: bytes) -> bytes:
    """What a compressed message was (RFC 7692, section 7.2.2)."""
    return zlib.decompressobj(wbits=-15).decompress(payload + b"\0\0\xff\xff")


class Socket:
    """A WebSocket connection of a test.

    :ivar fields: of the server's answer to the handshake.
    """

    client: Client | Http2Pipe

    def __init__(self, client: Client, target: str = "/", **fields: Any) -> None:
        self.client = client
        client.send(handshake(target, **fields))
        status, self.fields, _ = client.response(head_only=True)
        assert status == 101, status

    def send(self, *frames: bytes) -> None:
        self.client.send(b"".join(frames))

    def text(self, message: str) -> None:
        self.send(frame(1, message.encode()))

    def receive(self) -> tuple[int, bytes]:
        """The next frame: its first byte without FIN, and its payload."""
        first, size = self.client.exactly(2)
        assert first & 0x80, "the server sends whole messages"
        assert size < 128, "the server masks nothing"
        if size == 126:
            (size,) = struct.unpack("!H", self.client.exactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self.client.exactly(8))
        return first & 0x7F, self.client.exactly(size)

    def hears(self) -> str:
        """The next message, a text."""
        opcode, payload = self.receive()
        assert opcode == 1, (opcode, payload)
        return payload.decode()

    def is_closed_with(self) -> int | None:
        """The code of the server's close frame, which comes next; None when it has none. Then the connection ends."""
        opcode, payload = self.receive()
        assert opcode == 8, (opcode, payload)
        assert self.client.closed(), "the server did not end the connection"
        return struct.unpack("!H", payload[:2])[0] if payload else None


class Http2Socket(Socket):
    """The same as a stream of HTTP/2 (RFC 8441)."""

    def __init__(self, client: Http2Client, target: str = "/", **fields: Any) -> None:
        given = {"Sec-WebSocket-Version": "13"} | {name.replace("_", "-"): value for name, value in fields.items()}
        pipe = Http2Pipe(client, target, [(name.lower(), value) for name, value in given.items() if value is not None])
        self.client = pipe
        answer = pipe.begun()
        assert answer.status == 200, answer.status
        self.fields = answer.fields


def handshake(target: str = "/", **fields: Any) -> bytes:
    """A handshake; `fields` replace its own, None leaves one out."""
    given = HANDSHAKE | {name.replace("_", "-"): value for name, value in fields.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items() if value is not None)
    return f"GET {target} HTTP/1.1\r\nHost: example\r\n{lines}\r\n".encode("latin-1")


def opened(server: Wire, target: str = "/", **fields: Any) -> Socket:
    """A new connection after its handshake."""
    return Socket(server.connect(), target, **fields)


def opened_by_http2(server: Wire, target: str = "/", **fields: Any) -> Http2Socket:
    """A new connection of HTTP/2, and on it a stream after its handshake."""
    return Http2Socket(http2(server), target, **fields)
