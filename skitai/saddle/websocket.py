"""WebSocket connections of Saddle apps: their decorator, and the members of `was` for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from skitai.protocols.websocket.names import WS_EVT_CLOSE, WS_EVT_INIT, WS_EVT_OPEN
from skitai.was.websocket import Plan, WebSocket, plan

F = TypeVar("F", bound=Callable[..., Any])

PLAN = "saddle_websocket"
"""Attribute of a handler: its plan."""


class WebSocketAppFacet:
    """The decorator of `Saddle` for handlers of messages."""

    def websocket_config(
        self,
        spec: int,
        timeout: float | None = 60,
        onopen: Callable[..., Any] | None = None,
        onclose: Callable[..., Any] | None = None,
        encoding: str | None = None,
    ) -> Callable[[F], F]:
        """Let a route take WebSocket connections; stands below `route`. The handler gets each message as its first argument
        after `was`, and what it returns is sent.

        :param spec: ``skitai.WS_SIMPLE``, ``WS_THREADSAFE`` or ``WS_GROUPCHAT``.
        :param timeout: a connection without a message of either side for so many seconds is closed; 0 or None for never.
        :param onopen: called with `was` when a connection begins; what it returns is sent.
        :param onclose: the same when it has ended.
        :param encoding: of messages: ``skitai.WS_MSG_TEXT``, ``WS_MSG_JSON`` or ``WS_MSG_XMLRPC``.
        :raises ValueError: one of them cannot be.
        """
        made = plan(spec, timeout, encoding, onopen=onopen, onclose=onclose, declared=True)

        def mark(function: F) -> F:
            setattr(function, PLAN, made)
            return function

        return mark


class WebSocketFacet:
    """The members of `Was` for WebSocket connections."""

    _ws: WebSocket | None = None
    _ws_event: str | None = None
    _ws_plan: Plan | None = None

    @property
    def websocket(self) -> WebSocket:
        """The connection, the same object as long as it lives.

        :raises RuntimeError: this request is none, or its handshake is not done.
        """
        if self._ws is None:
            raise RuntimeError("was.websocket: this is no WebSocket connection, or its handshake is still in progress")
        return self._ws

    def wsconfig(self, spec: int, keep_alive_timeout: float | None = 60, message_encoding: str | None = None) -> None:
        """In a handshake (`wsinit`): say what the connection should be; see `Saddle.websocket_config`.

        :raises RuntimeError: there is no handshake.
        :raises ValueError: one of the arguments cannot be.
        """
        if not self.wsinit():
            raise RuntimeError("was.wsconfig() belongs to the handshake of a WebSocket connection: was.wsinit() says when")
        self._ws_plan = plan(spec, keep_alive_timeout, message_encoding)

    def wshasevent(self) -> bool:
        """Whether the handler is called for an event, not for a message."""
        return self._ws_event is not None

    def wsinit(self) -> bool:
        """Whether a handshake is in progress."""
        return self._ws_event == WS_EVT_INIT

    def wsopened(self) -> bool:
        """Whether the connection has just begun."""
        return self._ws_event == WS_EVT_OPEN

    def wsclosed(self) -> bool:
        """Whether it has ended."""
        return self._ws_event == WS_EVT_CLOSE

    def wsclient(self) -> int | None:
        """The number of the client; None where there is no WebSocket connection."""
        return self._ws.id if self._ws is not None else None
