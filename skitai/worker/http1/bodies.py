"""Bodies of requests over HTTP/1.x: cut out of the stream, within limits of size and time, and given to who wants them."""

from __future__ import annotations

import logging
from abc import abstractmethod
from math import inf
from time import monotonic

from skitai.errors import Answerable, TooLarge
from skitai.exchange import BodyMode
from skitai.protocols.http1.chunked import ChunkedDecoder
from skitai.worker.body import DISCARD, Sink, StreamBody, WholeBody
from skitai.worker.connection import Connection
from skitai.worker.exchange import OPEN
from skitai.worker.http1.exchange import Http1Exchange
from skitai.worker.services import Services
from skitai.worker.site import Route

log = logging.getLogger("skitai.server")


class BodyConnection(Connection):
    """The part of an HTTP/1.x connection that takes bodies.

    :ivar exchange: the request being received or answered, or None. A thread that finishes it sets None under the lock.
    :ivar ended_s: when the client ended its side, while its request was out; `inf` if it has not.
    """

    __slots__ = (
        "_body_since",
        "_buffer",
        "_decoder",
        "_input_ended",
        "_keep_continued",
        "_left",
        "_limit",
        "_most",
        "_paused",
        "_refused",
        "_sink",
        "ended_s",
        "exchange",
        "served",
    )

    _keep_continued: bool

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self.exchange: Http1Exchange | None = None
        self.served = 0
        self.ended_s = inf
        self._buffer = b""
        self._input_ended = False
        self._paused = False
        self._refused = False
        self._sink: Sink | None = None
        self._decoder: ChunkedDecoder | None = None
        self._left = 0
        self._limit = 0
        self._most = 0 if services.retiring else services.keep_alive_requests
        self._body_since = 0.0

    @abstractmethod
    def proceed(self, keep: bool = True) -> None:
        """Go on behind a finished response: the next request, or the end. Belongs to the loop."""

    def receive_body(self, exchange: Http1Exchange, route: Route, mode: BodyMode, limit: int) -> None:
        """Take the body that follows the head of `exchange`, as its app wants it.

        :param limit: largest body in bytes.
        :raises TooLarge: at once, when the client has said how much it wants to send.
        """
        head = exchange.head
        if head.length > limit:
            exchange.keep = False
            self._refused = True
            raise TooLarge(f"body of {head.length} bytes; at most {limit} are taken here")
        http1 = self.services.config.http1
        self._left = head.length
        self._limit = limit
        self._decoder = ChunkedDecoder(http1.chunk_extension_bytes, http1.head_bytes) if head.length < 0 else None
        self._body_since = monotonic()
        self.due = self._body_since + self.services.config.timeouts.request_timeout
        if mode is BodyMode.WHOLE:
            whole = WholeBody(self.services, self.pace, self._body_ready)
            exchange.body = self._sink = whole
            if head.expects_continue and not self._buffer:
                exchange.inform(100)
        else:
            stream = StreamBody(self.pace, self._continue)
            exchange.body = self._sink = stream
            if head.expects_continue:
                self._keep_continued = exchange.keep
                exchange.keep = False  # an answer without 100 leaves open whether the body will come
            self.due = inf
            exchange.taken = True
            try:
                route.handle(exchange)
            except Exception as error:  # noqa: BLE001 - as in the pipeline; but the body has to be read all the same
                exchange.fail(error)
        data, self._buffer = self._buffer, b""
        self.pace(False)  # what was read ahead is taken; from here on the body says when to pause
        if data:
            self._receive_body(data)

    def hold_body(self, exchange: Http1Exchange) -> None:
        """Leave the body of `exchange` where it is. An answer without it ends the connection: nobody reads past it."""
        self._keep_continued = exchange.keep
        exchange.keep = False
        self._refused = True

    def receive_held_body(self, exchange: Http1Exchange) -> None:
        """Take the body that `hold_body` left."""
        if exchange is not self.exchange or exchange.phase != OPEN:
            return
        self._refused = exchange.taken = False
        if self._input_ended and b"\r\n\r\n" not in self._buffer[max(exchange.head.length, 0) :]:
            self._most = 0  # the last one
            self.ended_s = monotonic()
        exchange.keep = self._keep_continued and self.served < self._most and not self.closing
        route = exchange.app
        try:
            self.receive_body(exchange, route, route.body_mode, route.limit(exchange.head))
        except Exception as error:  # noqa: BLE001 - as in the pipeline
            exchange.fail(error)
        if self._sink is not None and (self._input_ended or self.closing):
            self.abort()  # half a body never becomes a request

    def _continue(self, body: StreamBody) -> None:
        exchange = self.exchange
        if exchange is not None and exchange.body is body and exchange.head.expects_continue and exchange.phase == OPEN:
            exchange.inform(100)
            exchange.keep = self._keep_continued

    def _receive_body(self, data: bytes) -> None:
        sink, exchange = self._sink, self.exchange
        assert sink is not None
        if self._decoder is None:
            pieces = [data] if len(data) <= self._left else [data[: self._left]]
            rest = data[self._left :]
            self._left -= len(pieces[0])
            ended = not self._left
        else:
            try:
                pieces, rest = self._decoder.feed(data)
                ended = self._decoder.done
                if ended and self._decoder.trailers:
                    trailers = self.services.heads.trailers(self._decoder.trailers)
                    if sink is not DISCARD:
                        sink.trailers = trailers
            except Answerable as error:
                self._break_body(error)
                return
        size = sum(map(len, pieces))
        if exchange is not None:
            exchange.received += size
            if exchange.received > self._limit:
                self._break_body(TooLarge(f"body of more than {self._limit} bytes"))
                return
        for piece in pieces:
            sink.add(piece)
        if size and exchange is not None and self.due != inf:
            self.due = monotonic() + self.services.config.timeouts.request_timeout
        if ended:
            self._sink = self._decoder = None
            if rest:
                self._buffer = rest
            self.due = inf
            sink.end()
            if self.exchange is None and not self.closing:  # it was answered before its body had ended
                self.proceed()

    def _break_body(self, error: Answerable) -> None:
        """The body breaks the grammar or its limit: nothing behind it can be read as a request."""
        self._sink = self._decoder = None
        self._refused = True
        exchange = self.exchange
        if exchange is None:
            self.linger()
            return
        exchange.keep = False
        exchange.body.lost()
        if exchange.phase == OPEN:
            exchange.fail(error)
        else:
            self.abort()

    def _body_ready(self, body: WholeBody, error: OSError | None) -> None:
        exchange = self.exchange
        if exchange is None or exchange.body is not body:
            return
        if error is not None:
            exchange.keep = False
            log.error("spooling a request body: %s", error)
            exchange.fail(Answerable("the server cannot store the body", status=507))
            return
        exchange.began = monotonic()
        self.due = exchange.began + self.services.thread_wait_s
        exchange.app.handle(exchange)

    def pace(self, pause: bool) -> None:
        """Let the client pause or go on."""
        if self.fd < 0 or pause == self._paused:
            return
        self._paused = pause
        if pause:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def check_body(self, now: float) -> None:
        """See whether it comes, and fast enough."""
        sink, exchange = self._sink, self.exchange
        if sink is None or exchange is None or self._paused:
            return
        timeouts = self.services.config.timeouts
        if isinstance(sink, StreamBody):  # only the time counts that its reader waits
            idle, waited = sink.waits(now)
        else:
            idle, waited = 0.0, now - self._body_since
        if idle > timeouts.request_timeout:
            self._break_body(Answerable("the body stopped coming", status=408))
        elif waited > timeouts.rate_grace_s and exchange.received < waited * timeouts.rate_bytes:
            self._break_body(Answerable("the body came too slowly", status=408))
