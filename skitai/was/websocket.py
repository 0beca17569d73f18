"""`was.websocket`: one WebSocket connection, as apps see it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from math import inf
from typing import Any, NamedTuple, Protocol

from skitai.exchange import Flow
from skitai.http import jsontext
from skitai.protocols import xmlrpc
from skitai.protocols.websocket.names import (
    ENCODINGS,
    SPECS,
    WS_GROUPCHAT,
    WS_MSG_JSON,
    WS_MSG_TEXT,
    WS_MSG_XMLRPC,
    WS_SIMPLE,
)
from skitai.protocols.websocket.outgoing import Shared
from skitai.was.rooms import rooms

ID_BITS = 52
"""Of a client's number: unique among the workers of a server as good as certainly, and exact in JavaScript."""


class Undecodable(ValueError):
    """A client's message is not what the connection's encoding says."""


class Plan(NamedTuple):
    """What an app wants of a connection.

    :ivar timeout_s: without a message it is closed after so long.
    :ivar names: of the arguments that message and room become, for apps of WSGI.
    :ivar onopen: called, if not None, in place of the function, when it begins.
    :ivar onclose: the same when it has ended.
    :ivar declared: by a decorator, so the function gets messages alone.
    """

    spec: int = WS_SIMPLE
    timeout_s: float = inf
    encoding: str = WS_MSG_TEXT
    names: tuple[str, ...] = ()
    onopen: Callable[..., Any] | None = None
    onclose: Callable[..., Any] | None = None
    declared: bool = False


def plan(spec: Any, timeout: Any = 60, encoding: Any = None, **more: Any) -> Plan:
    """A checked plan.

    :param timeout: in seconds; 0 or None for never.
    :raises ValueError: one of them cannot be.
    """
    if spec not in SPECS:
        raise ValueError(f"{spec!r} is none of skitai.WS_SIMPLE, WS_THREADSAFE and WS_GROUPCHAT")
    encoding = encoding or WS_MSG_TEXT
    if encoding not in ENCODINGS:
        raise ValueError(f"{encoding!r} is none of skitai.WS_MSG_TEXT, WS_MSG_JSON and WS_MSG_XMLRPC")
    timeout_s = float(timeout or inf)
    if timeout_s <= 0:
        raise ValueError(f"timeout={timeout!r}: seconds are wanted")
    return Plan(spec, timeout_s, encoding, **more)


class Line(Protocol):
    """What a connection is sent through (`worker.websocket.Conversation`)."""

    @property
    def open(self) -> bool: ...
    def send(self, message: str | bytes) -> Flow: ...
    def share(self, message: Shared) -> Flow: ...
    def close(self, code: int = 1000, reason: str = "") -> None: ...


class WebSocket:
    """One connection. All of it may be used from any thread.

    :ivar id: number of the client, unique in the server.
    """

    def __init__(self) -> None:
        self.id = secrets.randbits(ID_BITS)
        self._plan = Plan()
        self._room = ""
        self._line: Line | None = None

    def settle(self, plan: Plan, room: str = "") -> None:
        """The app has said what it should be.

        :param room: where everybody hears what is said; for `WS_GROUPCHAT`.
        """
        self._plan = plan
        self._room = room if plan.spec == WS_GROUPCHAT else ""

    def attach(self, line: Line) -> None:
        """The handshake is done. In the loop's thread."""
        self._line = line
        if self._room:
            rooms.join(self._room, self.id, line.share)

    def detach(self) -> None:
        """The connection has ended. In the loop's thread."""
        if self._room:
            rooms.leave(self._room, self.id)

    @property
    def open(self) -> bool:
        """Whether messages reach the client."""
        return self._line is not None and self._line.open

    @property
    def clients(self) -> dict[int, bool]:
        """The numbers of all in the room, and whether each is connected to this worker; without a room, its own."""
        return rooms.members(self._room) if self._room else {self.id: True}

    def send(self, message: Any, client: int | None = None) -> None:
        """Send a message: str as text, bytes as binary, else what the encoding makes of it. It never waits.

        :param client: its number, in a room; None for all in the room.
        :raises TypeError: it cannot be encoded.
        :raises RuntimeError: the handshake is not done, or there is no room for a message to another.
        """
        if self._line is None:
            raise RuntimeError("the WebSocket connection is not open yet: send in its open event, or later")
        content = encoded(message, self._plan.encoding)
        if self._room:
            rooms.say(self._room, content, client)
        elif client in (None, self.id):
            self._line.send(content)
        else:
            raise RuntimeError("messages go to other clients in rooms only: skitai.WS_GROUPCHAT")

    def answer(self, content: Any) -> None:
        """Send what a handler has returned: nothing for None, a pair of message and client to that client in a room."""
        if content is None:
            return
        if not self._room and self._line is not None:
            self._line.send(encoded(content, self._plan.encoding))
        elif isinstance(content, tuple) and len(content) == 2 and isinstance(content[1], int):
            self.send(*content)
        else:
            self.send(content)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection.

        :param code: of RFC 6455, section 7.4.
        :raises ValueError: the code must not be sent.
        """
        if self._line is not None:
            self._line.close(code, reason)

    def decoded(self, message: str | bytes) -> Any:
        """A client's message as the encoding says.

        :raises Undecodable: it is none.
        """
        encoding = self._plan.encoding
        try:
            if encoding == WS_MSG_JSON:
                return jsontext.loads(message)
            if encoding == WS_MSG_XMLRPC:
                params = xmlrpc.parse_params(message if isinstance(message, bytes) else message.encode("utf-8"))
                return params[0] if len(params) == 1 else params
        except ValueError as error:
            raise Undecodable(f"the message is not {encoding}: {error}") from error
        return message

    def __repr__(self) -> str:
        return f"<WebSocket {self.id} {'open' if self.open else 'closed'}{' ' + self._room if self._room else ''}>"


def encoded(message: Any, encoding: str) -> str | bytes:
    """A message as it is sent.

    :raises TypeError: it has no such form.
    """
    if encoding == WS_MSG_TEXT and isinstance(message, str):
        return message
    if encoding == WS_MSG_XMLRPC:
        return xmlrpc.dump_response(message).decode("utf-8")
    if encoding == WS_MSG_JSON:
        return jsontext.dumps(message).decode("utf-8")
    if isinstance(message, (bytes, bytearray, memoryview)):
        return bytes(message)
    return jsontext.dumps(message).decode("utf-8")
