"""Request bodies of streams: what the client may send ahead is what its windows let through, given back as apps consume."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING

from skitai.errors import Answerable, TooLarge
from skitai.exchange import BodyMode, Fields
from skitai.protocols.http2.events import Pair
from skitai.worker.body import DISCARD, NO_TRAILERS, Sink, StreamBody, WholeBody
from skitai.worker.site import Route

if TYPE_CHECKING:
    from skitai.worker.http2.connection import Http2Connection
    from skitai.worker.http2.exchange import Http2Exchange

log = logging.getLogger("skitai.server")


class WindowBody(StreamBody):
    """A body as a stream, acknowledged as it is taken.

    :param taken: called with the size of every piece that the app takes.
    """

    __slots__ = ("_acknowledge",)

    def __init__(self, taken: Callable[[int], None], wanted: Callable[[StreamBody], None]) -> None:
        super().__init__(lambda pause: None, wanted)
        self._acknowledge = taken

    def add(self, data: bytes) -> None:
        self._pieces.append(data)
        self._wake()

    def _taken(self, size: int) -> None:
        self._acknowledge(size)


class Intake:
    """The body of one request on its way to the app. Belongs to the loop.

    :ivar ended: the client has sent all of it.
    :ivar handed: the app was called.
    """

    __slots__ = (
        "_body_since",
        "_connection",
        "_early",
        "_exchange",
        "_held",
        "_last",
        "_limit",
        "_paused",
        "_sink",
        "_trailers",
        "ended",
        "handed",
    )

    def __init__(self, connection: Http2Connection, exchange: Http2Exchange) -> None:
        self._connection = connection
        self._exchange = exchange
        self._sink: Sink | None = None
        self._early: list[bytes] = []
        self._trailers = NO_TRAILERS
        self._limit = 0
        self._held = 0
        self._paused = False
        self._body_since = self._last = monotonic()
        self.ended = False
        self.handed = False

    def receive(self, route: Route, mode: BodyMode, limit: int) -> None:
        """Take the body as the app wants it.

        :param limit: largest body in bytes.
        :raises TooLarge: at once, when the client has said how much it wants to send.
        """
        exchange, head = self._exchange, self._exchange.head
        if head.length > limit:
            raise TooLarge(f"body of {head.length} bytes; at most {limit} are taken here")
        self._limit = limit
        self._body_since = self._last = monotonic()
        if mode is BodyMode.WHOLE:
            exchange.body = self._sink = WholeBody(self._connection.services, self._pace, self._ready)
            if head.expects_continue and not self._early:
                exchange.inform(100)
        else:
            exchange.body = self._sink = WindowBody(self._acknowledge, self._wanted)
            exchange.taken = self.handed = True
            try:
                route.handle(exchange)
            except Exception as error:  # noqa: BLE001 - as in the pipeline; but the body has to be read all the same
                exchange.fail(error)
        early, self._early = self._early, []
        for data in early:
            self._take(data)
        if self.ended:
            self._end()

    def add(self, data: bytes, padding: int) -> None:
        """A piece has come."""
        self._last = monotonic()
        exchange = self._exchange
        exchange.received += len(data)
        if padding or not data:
            self._acknowledge(padding)
        length = exchange.head.length
        if 0 < length < exchange.received:
            self._connection.violate(exchange, "the body is longer than its Content-Length")
        elif self._sink is None:
            self._early.append(data)  # no more than the window of the stream: nothing is acknowledged
        else:
            self._take(data)

    def _take(self, data: bytes) -> None:
        sink = self._sink
        assert sink is not None
        if not data:
            return
        if self._exchange.received > self._limit and sink is not DISCARD:
            self._break(TooLarge(f"body of more than {self._limit} bytes"))
            return
        sink.add(data)
        if not isinstance(sink, WindowBody):
            self._held += len(data)
            if not self._paused:
                self._give_back()

    def take_trailers(self, pairs: Sequence[Pair]) -> None:
        """Fields have come behind the body."""
        if any(name in (b"content-length", b"host") for name, _ in pairs):
            self._connection.violate(self._exchange, "a field in trailers that must not be there")
            return
        self._trailers = Fields(pairs)

    def end(self) -> None:
        """The body is complete."""
        self.ended = True
        exchange = self._exchange
        if 0 < exchange.head.length != exchange.received:
            self._connection.violate(exchange, "the body is shorter than its Content-Length")
        elif self._sink is not None:
            self._end()

    def _end(self) -> None:
        sink = self._sink
        assert sink is not None
        if sink is not DISCARD:
            sink.trailers = self._trailers
        sink.end()

    def complete(self) -> None:
        """The response is."""
        if not self.ended:
            self._exchange.body.lost()

    def _break(self, error: Answerable) -> None:
        """What comes is not wanted; the answer says why, and ends the stream."""
        self._sink = DISCARD
        exchange = self._exchange
        exchange.body.lost()
        exchange.fail(error)

    def check(self, now: float) -> None:
        """Once a second: refuse a body that stops, or comes too slowly."""
        sink = self._sink
        if sink is None or sink is DISCARD or self.ended or self._paused:
            return
        timeouts = self._connection.services.config.timeouts
        if isinstance(sink, StreamBody):  # only the time counts that its reader waits
            idle, waited = sink.waits(now)
        else:
            idle, waited = now - self._last, now - self._body_since
        if idle > timeouts.request_timeout:
            self._break(Answerable("the body stopped coming", status=408))
        elif waited > timeouts.rate_grace_s and self._exchange.received < waited * timeouts.rate_bytes:
            self._break(Answerable("the body came too slowly", status=408))

    def _ready(self, body: WholeBody, error: OSError | None) -> None:
        exchange = self._exchange
        if exchange.body is not body or exchange.gone:
            body.lost()
            return
        if error is not None:
            log.error("spooling a request body: %s", error)
            exchange.fail(Answerable("the server cannot store the body", status=507))
            return
        exchange.began = monotonic()
        self.handed = True
        exchange.app.handle(exchange)

    def _wanted(self, body: StreamBody) -> None:
        if self._exchange.head.expects_continue:
            self._exchange.inform(100)

    def _pace(self, pause: bool) -> None:
        self._paused = pause
        if not pause:
            self._give_back()

    def _give_back(self) -> None:
        held, self._held = self._held, 0
        self._acknowledge(held)

    def _acknowledge(self, size: int) -> None:
        self._connection.acknowledge(self._exchange, size)
