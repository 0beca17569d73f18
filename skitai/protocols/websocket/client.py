"""The client's side of a WebSocket connection (RFC 6455), for requests to back-ends. No input and output."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

from skitai.protocols.websocket.names import (
    WS_OPCODE_BINARY,
    WS_OPCODE_CLOSE,
    WS_OPCODE_PING,
    WS_OPCODE_PONG,
    WS_OPCODE_TEXT,
)

NORMAL = 1000
CONTROLS = (WS_OPCODE_CLOSE, WS_OPCODE_PING, WS_OPCODE_PONG)


class Opened(NamedTuple):
    """The server has agreed."""


class Refused(NamedTuple):
    """The server does not speak WebSocket here."""

    status: int
    reason: str


class Message(NamedTuple):
    """A whole message, or the answer to a ping."""

    opcode: int
    data: str | bytes


class Closed(NamedTuple):
    """The server has said good-bye, or broke the protocol."""

    code: int
    reason: str


Event = Opened | Refused | Message | Closed


class ClientTalk:
    """One connection, from the handshake to its close.

    :param url: ws or wss.
    :param fields: for the handshake, beside those that belong to it.
    :param most_bytes: longest message that is taken, inflated.
    :raises ValueError: the URL is none.
    """

    def __init__(self, url: str, fields: Iterable[tuple[str, str]], most_bytes: int) -> None:
        self._protocol = ClientProtocol(parse_uri(url), extensions=[ClientPerMessageDeflateFactory()], max_size=most_bytes)
        self._fields = list(fields)
        self._opcode = 0
        self._parts: list[bytes] = []
        self._closed = False

    def begin(self) -> None:
        """Ask for the handshake."""
        request = self._protocol.connect()
        for name, value in self._fields:
            request.headers[name] = value
        self._protocol.send_request(request)

    def send(self, opcode: int, data: bytes) -> None:
        """Send a message, or a control frame; nothing to a server that has said good-bye with its first words."""
        if self._protocol.state is not State.OPEN:
            return
        match opcode:
            case 1:
                self._protocol.send_text(data)
            case 2:
                self._protocol.send_binary(data)
            case 8:
                self._protocol.send_close(NORMAL, data.decode("utf-8", "replace"))
            case 9:
                self._protocol.send_ping(data)
            case _:
                self._protocol.send_pong(data)

    def close(self) -> None:
        """Say good-bye, unless the server has."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(NORMAL)

    def take(self) -> bytes:
        """What is to be sent to the server."""
        return b"".join(self._protocol.data_to_send())

    def receive(self, data: bytes) -> list[Event]:
        """Take in what has come; b"" for the end."""
        protocol = self._protocol
        if data:
            protocol.receive_data(data)
        else:
            protocol.receive_eof()
        events: list[Event] = []
        for event in protocol.events_received():
            if isinstance(event, Response):
                if protocol.handshake_exc is None:
                    events.append(Opened())
                else:
                    events.append(Refused(event.status_code, event.reason_phrase))
            elif isinstance(event, Frame):
                self._frame(event, events)
        if isinstance(protocol.handshake_exc, InvalidHandshake) and not events:
            events.append(Refused(0, str(protocol.handshake_exc)))
        if protocol.parser_exc is not None and not self._closed:
            self._closed = True
            events.append(Closed(protocol.close_code or 1006, protocol.close_reason or str(protocol.parser_exc)))
        return events

    def _frame(self, frame: Frame, events: list[Event]) -> None:
        match frame.opcode:
            case Opcode.PONG:
                events.append(Message(WS_OPCODE_PONG, bytes(frame.data)))
            case Opcode.CLOSE:
                self._closed = True
                said = self._protocol.close_rcvd
                events.append(Closed(said.code, said.reason) if said is not None else Closed(1005, ""))
            case Opcode.TEXT | Opcode.BINARY | Opcode.CONT:
                self._opcode = int(frame.opcode) or self._opcode
                self._parts.append(bytes(frame.data))
                if frame.fin:
                    whole = b"".join(self._parts)
                    self._parts.clear()
                    is_text = self._opcode == WS_OPCODE_TEXT
                    data = whole.decode("utf-8", "replace") if is_text else whole
                    events.append(Message(self._opcode, data))


def close(code: int, reason: str) -> bytes:
    """A close frame as clients send it, masked."""
    return Frame(Opcode.CLOSE, Close(code, reason).serialize()).serialize(mask=True)


def opcode_of(data: str | bytes | tuple[int, str | bytes]) -> tuple[int, bytes]:
    """What a caller wants to send: text, bytes, or ``(opcode, data)``.

    :raises TypeError: it is none of these.
    :raises ValueError: there is no such opcode.
    """
    if isinstance(data, tuple) and len(data) == 2:
        opcode, content = data
        if opcode not in (WS_OPCODE_TEXT, WS_OPCODE_BINARY, *CONTROLS):
            raise ValueError(f"there is no WebSocket message of opcode {opcode!r}")
    else:
        opcode, content = (WS_OPCODE_TEXT if isinstance(data, str) else WS_OPCODE_BINARY), data
    if isinstance(content, str):
        return opcode, content.encode()
    if isinstance(content, (bytes, bytearray, memoryview)):
        return opcode, bytes(content)
    raise TypeError(f"a WebSocket message is str, bytes or (opcode, data), not a {type(content).__name__}")
