"""What the drivers of apps with threads have in common for WebSocket: one turn after the other, at the client's pace."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from skitai.log.failures import describe
from skitai.protocols.websocket.codes import INTERNAL, INVALID
from skitai.was.websocket import Undecodable, WebSocket
from skitai.worker.websocket import Conversation, asked


class Talk(ABC):
    """A conversation and the app that listens to it: the open event, messages in order, the close event.

    A turn is under way in a thread or a task; `said` or `failed` ends it, from there. Everything else belongs to the loop.
    """

    def __init__(self, exchange: Any) -> None:
        self.exchange = exchange
        self.handshake = asked(exchange)
        self.conversation: Conversation
        self.socket: WebSocket
        self._on_loop = exchange.connection.services.on_loop
        self._busy = True
        self._failed = False
        self._closed = False
        self._begun = False

    @abstractmethod
    def turn(self, event: str | None, message: str | bytes) -> None:
        """Let the app work on an event, or on a message where that is None."""

    @abstractmethod
    def over(self) -> None:
        """The last turn has ended, or there will be none."""

    def begin(self, socket: WebSocket, idle_s: float) -> None:
        """Answer the handshake, and let the app know."""
        self.socket = socket
        self.conversation = Conversation(self.exchange, self.handshake, self, idle_s)
        if not self.conversation.begin():
            self.over()
            return
        self._begun = True
        socket.attach(self.conversation)
        self.turn("open", "")

    def leave(self) -> None:
        """The app makes room for another."""
        if self._begun:
            self.conversation.on_leave(False)

    def said(self, content: Any) -> None:
        """A turn has ended with this for the client.

        :raises TypeError: it cannot be sent.
        """
        self.socket.answer(content)
        self._turned()

    def failed(self, error: BaseException) -> None:
        """A turn has ended with an error: of the client, whose message cannot be read, or of the app. It is the last."""
        self._failed = True
        if isinstance(error, Undecodable):
            self.conversation.close(INVALID, str(error))
        else:
            describe(self.exchange, error)
            self.conversation.close(INTERNAL, "the app failed")
        self._turned()

    def _turned(self) -> None:
        """The loop is asked to go on only if there is something to do: asking costs as much as a turn does."""
        conversation = self.conversation
        if conversation.slow:
            self._soon(self._go_on)
            return
        self._busy = False  # announce first, then look: so nothing that comes meanwhile is left lying
        if not conversation.rests():
            self._soon(self.ready)

    def _soon(self, job: Callable[[], None]) -> None:
        services = self.exchange.connection.services
        if services.in_loop():
            services.loop.call_soon(job)  # without waking it
        else:
            self._on_loop(job)

    def _go_on(self) -> None:
        conversation = self.conversation
        if conversation.slow and conversation.open:
            conversation.slow = False
            conversation.when_writable(self._idle)
        else:
            self._idle()

    def _idle(self) -> None:
        self._busy = False
        self.ready()

    def ready(self) -> None:
        """Take the next turn, unless one is under way."""
        if self._busy:
            return
        message = self.conversation.take() if not self._failed else None
        if message is not None:
            self._busy = True
            self.turn(None, message)
        elif not self.conversation.open:
            self._busy = True
            if self._closed:
                self.over()
            else:
                self._closed = True
                self.socket.detach()
                self.turn("close", "")

    ended = ready
