"""WebSocket for ASGI apps (ASGI specification 3.0, WebSocket version 2.4): each connection is a task of the loop."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from skitai.errors import Unavailable
from skitai.exchange import Flow
from skitai.log.failures import describe
from skitai.protocols.websocket.codes import ABNORMAL, INTERNAL, NORMAL, RESTART
from skitai.was.context import current
from skitai.worker.apps.disconnect import Disconnected, follows_disconnect
from skitai.worker.websocket import Conversation, asked

if TYPE_CHECKING:
    from skitai.worker.apps.asgi import Asgi
    from skitai.worker.apps.lifespan import Message

log = logging.getLogger("skitai.app")

CONNECT, ACCEPT, SEND, CLOSE = "websocket.connect", "websocket.accept", "websocket.send", "websocket.close"
DENY, DENY_BODY = "websocket.http.response.start", "websocket.http.response.body"

# How far it has come.
ASKED, ACCEPTED, DENYING, OVER = range(4)


class WebSocketCall:
    """One call of an app for a connection: its `receive` and `send`. A `Listener` of the conversation."""

    __slots__ = (
        "_asgi",
        "_connected",
        "_conversation",
        "_create_future",
        "_denial",
        "_exchange",
        "_handshake",
        "_phase",
        "_waiter",
        "task",
    )

    task: asyncio.Task[None]

    def __init__(self, asgi: Asgi, exchange: Any) -> None:
        self._asgi = asgi
        self._create_future = asgi.loop.create_future  # `get_running_loop` asks the system for our pid each time
        self._exchange = exchange
        self._handshake = asked(exchange)
        self._conversation = Conversation(exchange, self._handshake, self)
        self._phase = ASKED
        self._connected = False
        self._waiter: asyncio.Future[None] | None = None
        self._denial: tuple[int, list[tuple[bytes, bytes]], list[bytes]] = (0, [], [])

    @property
    def cut(self) -> bool:
        """There is nobody left to talk to."""
        if self._phase == ACCEPTED:
            return not self._conversation.open
        return self._phase == OVER or self._exchange.gone

    def leave(self) -> None:
        """The app makes room for another."""
        if self._phase == ACCEPTED:
            self._conversation.on_leave(False)

    async def run(self) -> None:
        """Call the app. Nothing is raised."""
        exchange = self._exchange
        current.set(exchange)
        try:
            await self._asgi.app(self._scope(), self.receive, self.send)
        except asyncio.CancelledError:
            if self._phase == ACCEPTED:
                self._conversation.close(RESTART, "the server restarts")
            else:
                exchange.fail(Unavailable("the request was cancelled"))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the app's errors, whatever they are, end the connection
            self._failed(error)
        else:
            if self._phase == ACCEPTED:
                self._conversation.close(NORMAL)
            elif self._phase != OVER and not exchange.gone:
                exchange.fail(RuntimeError("the app returned before it accepted the WebSocket connection"))
        finally:
            self._asgi.running.discard(self)
            exchange.task = None

    def _failed(self, error: BaseException) -> None:
        if follows_disconnect(error):
            log.debug("the client left its WebSocket connection", extra={"txn": self._exchange.txn})
        elif self._phase == ACCEPTED:
            describe(self._exchange, error)
            self._conversation.close(INTERNAL, "the app failed")
        else:
            self._exchange.fail(error)

    def _scope(self) -> dict[str, Any]:
        scope = self._asgi.scope(self._exchange)
        del scope["method"]
        scope["type"] = "websocket"
        scope["scheme"] = "wss" if scope["scheme"] == "https" else "ws"
        scope["subprotocols"] = list(self._handshake.subprotocols)
        scope["extensions"] = {"websocket.http.response": {}}
        return scope

    # The conversation

    def ready(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    ended = ready

    async def receive(self) -> Message:
        """The next event: the handshake, then messages, then the end."""
        if not self._connected:
            self._connected = True
            return {"type": CONNECT}
        if self._phase == ASKED:
            self._exchange.when_gone(self.ready)
        conversation = self._conversation
        while True:
            message = conversation.take()
            if message is not None:
                if type(message) is str:
                    return {"type": "websocket.receive", "text": message}
                return {"type": "websocket.receive", "bytes": message}
            if self.cut or self._phase == DENYING:
                code = conversation.code if self._phase != ASKED else ABNORMAL
                return {"type": "websocket.disconnect", "code": code, "reason": conversation.reason}
            self._waiter = self._create_future()
            await self._waiter

    async def send(self, message: Message) -> None:
        """Take a message of the app.

        :raises OSError: nobody will get it any more.
        :raises RuntimeError: it is not the turn of this message.
        :raises ValueError: a field, a subprotocol or a code is malformed.
        """
        kind, phase = message["type"], self._phase
        if kind == SEND and phase == ACCEPTED:
            text = message.get("text")
            content: str | bytes = text if text is not None else message["bytes"]
            flow = self._conversation.send(content)
            if flow is not Flow.ON:
                await self._wait(flow)
        elif kind == CLOSE and phase == ACCEPTED:
            self._phase = OVER
            self._conversation.close(message.get("code") or NORMAL, message.get("reason") or "")
            self.ready()
        elif kind == ACCEPT and phase == ASKED:
            self._phase = ACCEPTED
            if not self._conversation.begin(message.get("subprotocol"), list(message.get("headers", ()))):
                raise Disconnected("the client has gone, or was answered by the server")
        elif kind == CLOSE and phase == ASKED:
            self._phase = OVER
            self._exchange.respond(403, [("Content-Type", "text/plain")], b"")
        elif kind == DENY and phase == ASKED:
            self._phase = DENYING
            self._denial = (message["status"], list(message.get("headers", ())), [])
        elif kind == DENY_BODY and phase == DENYING:
            status, fields, pieces = self._denial
            pieces.append(message.get("body", b""))
            if not message.get("more_body", False):
                self._phase = OVER
                self._exchange.respond(status, fields, b"".join(pieces))
        elif phase == OVER and not self._exchange.gone:
            raise RuntimeError(f"the app sent {kind!r}, but it has ended the connection")
        else:
            raise RuntimeError(f"the app sent {kind!r}, and it is not the turn of that")

    async def _wait(self, flow: Flow) -> None:
        """Go on when the client has taken what was sent."""
        if flow is Flow.WAIT:
            taken = asyncio.Event()
            self._conversation.when_writable(taken.set)
            await taken.wait()
        if not self._conversation.open:
            raise Disconnected("the WebSocket connection has ended")
