"""WebSocket: one message to a server, and the first that comes back. Each request has a connection of its own."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from dataclasses import dataclass
from typing import Any

from skitai.backend.dial import Dialler, Tls
from skitai.backend.errors import BackendError, Code, TimedOut
from skitai.backend.result import Result
from skitai.backend.room import Room
from skitai.backend.seam import Asker, Home
from skitai.config.aliases import Member
from skitai.http.status import phrase
from skitai.protocols.websocket.client import ClientTalk, Closed, Message, Opened, Refused
from skitai.protocols.websocket.names import WS_OPCODE_CLOSE, WS_OPCODE_PING, WS_OPCODE_PONG

NOTHING = -1
"""`WebSocketResult.opcode` when the server has closed without a message."""


@dataclass(frozen=True, slots=True)
class WebSocketRequest:
    """One message.

    :ivar target: path and query.
    :ivar fields: for the handshake.
    """

    target: str
    opcode: int
    data: bytes
    fields: tuple[tuple[str, str], ...] = ()
    auth: tuple[str, ...] | None = None

    method = "ws"
    repeatable = False

    def key(self) -> Any:
        return None


class WebSocketResult(Result):
    """What came back.

    :ivar opcode: 1 for text, 2 for bytes; -1 when the server has closed without a message.
    """

    def __init__(self, opcode: int, data: str | bytes | None) -> None:
        super().__init__(data=data, content=(opcode, data))
        self.opcode = opcode


class WebSocketDriver:
    """Speaks to servers of WebSocket.

    :param room: that the connections to all servers have.
    """

    def __init__(self, home: Home, room: Room) -> None:
        self._home = home
        self._room = room
        self._places: dict[Member, Room] = {}
        self._options = home.config.backends
        self._dialler = Dialler(home.loop, self._options.backend_connect_s)
        self._talks: set[_Talk] = set()
        self._closing = False

    def begin(self, member: Member, operation: WebSocketRequest, asker: Asker) -> None:
        """See `seam.Driver.begin`; no connection is kept."""

    async def ask(self, member: Member, operation: WebSocketRequest, deadline: float) -> Result:
        """See `seam.Driver.ask`."""
        if self._closing:
            raise BackendError(Code.SHUTDOWN, "the worker leaves")
        place = self._places.get(member)
        if place is None:
            most = member.connections or self._options.backend_connections
            place = self._places[member] = Room(self._home.loop, most)
        async with place.held(deadline), self._room.held(deadline):
            return await self._talk(member, operation, deadline)

    async def _talk(self, member: Member, operation: WebSocketRequest, deadline: float) -> Result:
        talk = _Talk(self._home.loop, url_of(member, operation), operation, self._fields(member, operation), self._options)
        opened = await self._dialler.open(
            member.host, member.port, Tls(member.verify, ("http/1.1",)) if member.secure else None, None, deadline
        )
        self._talks.add(talk)
        try:
            await self._dialler.attach(opened, talk)
            async with asyncio.timeout_at(deadline):
                return await talk.outcome
        except TimeoutError:
            raise TimedOut() from None
        finally:
            self._talks.discard(talk)
            talk.leave()

    @staticmethod
    def _fields(member: Member, operation: WebSocketRequest) -> list[tuple[str, str]]:
        auth = operation.auth or ((member.user, member.password) if member.user else None)
        if not auth:
            return list(operation.fields)
        said = f"Bearer {auth[0]}" if len(auth) == 1 else f"Basic {b64encode(':'.join(auth).encode()).decode()}"
        return [*operation.fields, ("Authorization", said)]

    def tick(self, now: float) -> None:
        """Forget the servers that nobody talks to; connections are not kept."""
        for member, place in tuple(self._places.items()):
            if place.unused:
                del self._places[member]

    def stats(self) -> dict[str, Any]:
        return {"talking": len(self._talks)}

    def connections(self) -> int:
        """See `seam.Driver.connections`."""
        return len(self._talks)

    async def close(self) -> None:
        self._closing = True
        for talk in tuple(self._talks):
            talk.fail(BackendError(Code.SHUTDOWN, "the worker leaves", sent=True))
        self._dialler.close()


class _Talk(asyncio.Protocol):
    """One connection.

    :ivar outcome: the result, or why there is none.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        url: str,
        operation: WebSocketRequest,
        fields: list[tuple[str, str]],
        options: Any,
    ) -> None:
        self._core = ClientTalk(url, fields, options.backend_body_bytes)
        self._operation = operation
        self._transport: Any = None
        self._opened = False
        self.outcome: asyncio.Future[Result] = loop.create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._core.begin()
        self._write()

    def data_received(self, data: bytes) -> None:
        for event in self._core.receive(data):
            self._happen(event)
        self._write()

    def eof_received(self) -> bool:
        self.data_received(b"")
        return False

    def connection_lost(self, error: Exception | None) -> None:
        if self._opened:
            self._settle(WebSocketResult(NOTHING, None))
        self.fail(BackendError(Code.REFUSED, f"the connection broke: {error or 'closed by the server'}", sent=True))

    def _happen(self, event: Any) -> None:
        match event:
            case Opened():
                self._opened = True
                self._core.send(self._operation.opcode, self._operation.data)
            case Refused(status, reason):
                if status >= 300:
                    self._settle(Result(status, reason or phrase(status), content=b"", data=b""))
                else:
                    said = f"there is no WebSocket: the server answers {status} {reason}".rstrip() if status else reason
                    self.fail(BackendError(Code.PROTOCOL, said, sent=True))
            case Message(opcode, data):
                if opcode != WS_OPCODE_PONG or self._operation.opcode == WS_OPCODE_PING:
                    self._settle(WebSocketResult(opcode, data))
            case Closed(code, reason):
                if self._operation.opcode == WS_OPCODE_CLOSE or code in (1000, 1001, 1005):
                    self._settle(WebSocketResult(NOTHING, None))
                else:
                    self.fail(BackendError(Code.PROTOCOL, f"the server closed with {code} {reason}".strip(), sent=True))

    def _settle(self, result: Result) -> None:
        if not self.outcome.done():
            self.outcome.set_result(result)

    def fail(self, error: BackendError) -> None:
        """There will be no result."""
        if not self.outcome.done():
            self.outcome.set_exception(error)

    def leave(self) -> None:
        """Say good-bye, and close."""
        if self.outcome.done() and not self.outcome.cancelled():
            self.outcome.exception()  # whoever waited has it, or is gone
        transport, self._transport = self._transport, None
        if transport is not None:
            if self._opened:
                self._core.close()
                transport.write(self._core.take())
            transport.close()

    def _write(self) -> None:
        data = self._core.take()
        if data and self._transport is not None:
            self._transport.write(data)


def url_of(member: Member, operation: WebSocketRequest) -> str:
    """As the handshake names the server."""
    host = f"[{member.host}]" if ":" in member.host else member.host
    return f"{'wss' if member.secure else 'ws'}://{host}:{member.port}{operation.target}"
