"""One WebSocket connection of this worker: what the client says waits for the app in order, within bounds; what the app says
leaves at the client's pace.

The closing handshake (RFC 6455, section 7), pings, and the limits are here. What is done with messages is the listener's
business.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from skitai.exchange import Flow, Tunnel
from skitai.protocols.websocket import outgoing
from skitai.protocols.websocket.codes import (
    ABNORMAL,
    BINARY,
    GOING_AWAY,
    INTERNAL,
    NO_CODE,
    NORMAL,
    PING,
    POLICY,
    PONG,
    RESTART,
    TEXT,
    TRY_LATER,
)
from skitai.protocols.websocket.handshake import Handshake, read
from skitai.protocols.websocket.incoming import Broken, Closed, Event, Incoming, Ping
from skitai.worker.packing import LONG, Packing

if TYPE_CHECKING:
    from skitai.config.sections.serving import WebSocket

OPEN, CLOSING, CLOSED = range(3)

PING_PAYLOAD = b"skitai"


class Listener(Protocol):
    """Who works with a conversation. All methods are called in the loop's thread."""

    def ready(self) -> None:
        """A message has come, and none was waiting."""

    def ended(self) -> None:
        """The conversation is over: `Conversation.code` and `reason` say how. What has come before may still be taken."""


class Conversation:
    """A `TunnelGuest` that speaks WebSocket. `send` and `close` may be called from any thread, the rest in the loop's.

    :param exchange: of the handshake.
    :param idle_s: it is closed when there is no message of either side for so long; `inf` for never.
    :ivar slow: the client has not taken yet what was sent last.
    :ivar code: how it ended, as the client said, or as we did; 1006 as long as nobody has.
    """

    __slots__ = (
        "_compress_bytes",
        "_controls",
        "_controls_since",
        "_exchange",
        "_handshake",
        "_heard",
        "_idle_due",
        "_idle_s",
        "_inbox",
        "_inbox_bytes",
        "_incoming",
        "_listener",
        "_on_loop",
        "_options",
        "_packing",
        "_paused",
        "_ping_due",
        "_pinged",
        "_services",
        "_state",
        "_tunnel",
        "_window_bits",
        "code",
        "reason",
        "slow",
    )

    def __init__(self, exchange: Any, handshake: Handshake, listener: Listener, idle_s: float = inf) -> None:
        services = exchange.connection.services
        options: WebSocket = services.config.websocket
        self._exchange = exchange
        self._services = services
        self._on_loop = services.on_loop
        self._options = options
        self._listener = listener
        self._handshake = handshake
        self._window_bits = handshake.window_bits if handshake.deflate else 0
        self._compress_bytes = options.websocket_compress_bytes
        self._packing: Packing | None = None  # once a message was packed in a thread
        self._incoming = Incoming(
            deflates=bool(handshake.deflate),
            most_bytes=options.websocket_message_bytes,
            most_fragments=options.websocket_fragments,
            most_events=options.websocket_inbox_messages,
        )
        self._inbox: deque[str | bytes] = deque()
        self._inbox_bytes = 0
        self._paused = False
        self._state = CLOSED
        self._heard = False
        self._pinged = False
        self._controls = 0
        self._controls_since = 0.0
        self._idle_s = idle_s
        self._idle_due = inf
        self._ping_due = inf
        self._tunnel: Tunnel
        self.slow = False
        self.code = ABNORMAL
        self.reason = ""

    def begin(self, subprotocol: str | None = None, fields: Sequence[tuple[Any, Any]] = ()) -> bool:
        """Take the handshake, and speak. The listener may hear something before this returns.

        :param fields: to be sent beside those of the handshake.
        :returns: False when nobody waits for it any more; then the listener hears nothing.
        :raises ValueError: a field, or the subprotocol, is malformed.
        """
        tunnel = self._exchange.tunnel(self._handshake.status, [*self._handshake.fields(subprotocol), *fields])
        if tunnel is None:
            return False
        now = monotonic()
        self._tunnel = tunnel
        self._state = OPEN
        self._idle_due = now + self._idle_s
        self._ping_due = now + self._options.websocket_ping_s
        tunnel.wake_at(min(self._ping_due, self._idle_due))
        tunnel.begin(self)
        return True

    @property
    def open(self) -> bool:
        """Whether messages can be sent."""
        return self._state == OPEN

    def rests(self) -> bool:
        """Whether there is nothing to do: neither messages wait nor the client is slow, and it goes on. From any thread."""
        return not self._inbox and not self.slow and self._state == OPEN

    # What the app does

    def take(self) -> str | bytes | None:
        """The next message; None when none is there."""
        if not self._inbox:
            return None
        message = self._inbox.popleft()
        self._inbox_bytes -= len(message)
        if self._paused and self._has_room(2):
            self._paused = False
            self._heard = True  # what it answered in the meantime was not read
            if self._incoming.pending:
                self._on_loop(self._hear_more)  # not now: whoever takes this message would be told of the next
            else:
                self._tunnel.resume()
        return message

    def _has_room(self, share: int = 1) -> bool:
        options = self._options
        return (
            len(self._inbox) * share <= options.websocket_inbox_messages
            and self._inbox_bytes * share <= options.websocket_message_bytes
        )

    def send(self, message: str | bytes) -> Flow:
        """Send a text or binary message; never blocks.

        :returns: `Flow.WAIT` asks to wait for `when_writable`; `Flow.GONE`: nobody gets it.
        :raises UnicodeEncodeError: the text has lone surrogates.
        """
        if self._state != OPEN:
            return Flow.GONE
        bits = self._window_bits
        if self._packing is not None or (bits and len(message) >= LONG):
            return self.share(outgoing.Shared(message))
        if isinstance(message, str):
            return self._put(outgoing.message(TEXT, message.encode("utf-8"), bits, self._compress_bytes))
        return self._put(outgoing.message(BINARY, bytes(message), bits, self._compress_bytes))

    def share(self, message: outgoing.Shared) -> Flow:
        """`send` a message that others get, too."""
        if self._state != OPEN:
            return Flow.GONE
        bits = self._window_bits
        long = bits > 0 and message.size >= LONG and not message.is_made(bits) and self._services.in_loop()
        if long and self._packing is None:
            self._packing = Packing(self._services, self._pack_and_put, self._cannot_pack)
        if self._packing is not None and self._packing.take(message, at_once=not long):
            self.slow = True
            if self._packing.waiting - message.size > self._options.websocket_outbox_bytes:
                self._on_loop(self._close, TRY_LATER, "the client takes too little")
            return Flow.WAIT
        return self._put(message.message(bits, self._compress_bytes))

    def _pack_and_put(self, message: outgoing.Shared) -> None:
        if self._state == OPEN:
            self._put(message.message(self._window_bits, self._compress_bytes))

    def _cannot_pack(self) -> None:
        self._on_loop(self._close, INTERNAL, "a message could not be sent")

    def _put(self, data: bytes) -> Flow:
        if self._idle_s != inf:
            self._idle_due = monotonic() + self._idle_s
        flow = self._tunnel.write(data)
        self.slow = flow is Flow.WAIT
        if self.slow and self._tunnel.waiting > self._options.websocket_outbox_bytes:
            self._on_loop(self._close, TRY_LATER, "the client takes too little")
        return flow

    def when_writable(self, job: Callable[[], None]) -> None:
        """Call `job` in the loop when the client has taken what was sent, or has gone."""
        if self._packing is None or not self._packing.then(partial(self._tunnel.when_writable, job)):
            self._tunnel.when_writable(job)

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Say that it is over, and wait for the client to say so, too.

        :raises ValueError: the code must not be sent.
        """
        outgoing.close(code, reason)  # says what is wrong with it to the one who asked
        self._on_loop(self._close_behind, code, reason)

    def _close_behind(self, code: int, reason: str) -> None:
        """Close when what the app has said is on its way."""
        if self._packing is None or not self._packing.then(partial(self._close, code, reason)):
            self._close(code, reason)

    def _close(self, code: int, reason: str = "") -> None:
        if self._state == OPEN:
            self._state = CLOSING
            self.code, self.reason = code, reason
            self._tunnel.write(outgoing.close(code, reason), last=True)
            self._tunnel.wake_at(monotonic() + self._options.websocket_close_s)
            if self._paused:
                self._tunnel.resume()
                self._hear(())
            self._listener.ended()

    # What the tunnel says

    def on_data(self, data: bytes) -> None:
        self._heard = True
        self._hear(self._incoming.receive(data))

    def _hear(self, events: Sequence[Event]) -> None:
        """Take these, and what else has come, as far as there is room for it."""
        incoming = self._incoming
        while True:
            for event in events:
                kind = type(event)
                if kind is str or kind is bytes:
                    if self._state == OPEN:
                        self._accept(event)  # type: ignore[arg-type]
                elif self._state != CLOSED:
                    self._heed(event)
            if not incoming.pending or self._paused and self._state == OPEN:
                return
            events = incoming.more()

    def _hear_more(self) -> None:
        self._hear(())
        if not self._paused:
            self._tunnel.resume()

    def _heed(self, event: Event) -> None:
        """Take what is no message."""
        kind = type(event)
        if kind is Closed:
            self._answer_close(event)  # type: ignore[arg-type]
        elif kind is Broken:
            self._fail(event.code, event.reason)  # type: ignore[union-attr]
        elif self._too_many_controls():
            self._fail(POLICY, "too many control frames")
        elif kind is Ping and self._state == OPEN:
            self._tunnel.write(outgoing.frame(PONG, event.payload))  # type: ignore[union-attr]

    def _too_many_controls(self) -> bool:
        now = monotonic()
        if now - self._controls_since > 1:
            self._controls, self._controls_since = 0, now
        self._controls += 1
        return self._controls > self._options.websocket_controls

    def _accept(self, message: str | bytes) -> None:
        inbox = self._inbox
        inbox.append(message)
        self._inbox_bytes += len(message)
        if self._idle_s != inf:
            self._idle_due = monotonic() + self._idle_s
        if len(inbox) == 1:  # there is always room for one
            self._listener.ready()
        elif not self._paused and not self._has_room():
            self._paused = True
            self._tunnel.pause()

    def _answer_close(self, closed: Closed) -> None:
        if self._state == OPEN:
            self.code, self.reason = closed.code, closed.reason
            self._tunnel.write(outgoing.close(closed.code if closed.code != NO_CODE else NORMAL), last=True)
            self._over()
        self._tunnel.close()

    def _fail(self, code: int, reason: str) -> None:
        """The client breaks a rule: say which, and read no more (section 7.1.7)."""
        if self._state == OPEN:
            self.code, self.reason = code, reason
            self._tunnel.write(outgoing.close(code, reason), last=True)
            self._tunnel.wake_at(monotonic() + self._options.websocket_close_s)
            self._over()
        self._state = CLOSED
        self._tunnel.half_close()

    def _over(self) -> None:
        self._state = CLOSED
        self._listener.ended()

    def on_end(self) -> None:
        """Without a close frame, as the client has not sent one; nothing can come any more."""
        if self._state == OPEN:
            self._over()
        self._tunnel.close()

    def on_lost(self) -> None:
        if self._state == OPEN:
            self._over()
        self._state = CLOSED

    def on_leave(self, stopping: bool) -> None:
        """RFC 6455, section 7.4.1, and IANA's registry of close codes: 1001 for going away, 1012 for a restart."""
        self._close_behind(*((GOING_AWAY, "the server stops") if stopping else (RESTART, "the server restarts")))

    def on_time(self, now: float) -> None:
        if self._state != OPEN:
            self._tunnel.abort()
            return
        if now >= self._idle_due:
            self._close(NORMAL, "nothing was said for too long")
            return
        options = self._options
        if now >= self._ping_due:
            if self._pinged and not self._heard and not self._paused:
                self._close(INTERNAL, "a ping was not answered")
                self._tunnel.abort()
                return
            self._pinged = not self._heard
            if self._pinged:
                self._tunnel.write(outgoing.frame(PING, PING_PAYLOAD))
            self._heard = False
            self._ping_due = now + (options.websocket_pong_s if self._pinged else options.websocket_ping_s)
        self._tunnel.wake_at(min(self._ping_due, self._idle_due))


def asked(exchange: Any) -> Handshake:
    """The handshake of a request, with the worker's options.

    :raises Answerable: it is none that can be taken.
    """
    return read(exchange.head, deflate=exchange.connection.services.config.websocket.websocket_compress)
