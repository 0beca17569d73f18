"""One HTTP/1.x connection: cuts requests out of the stream and answers them in order, one at a time.

Bytes that arrive while a request is answered are kept up to a bound, so that a reset shows and pipelined requests wait.
"""

from __future__ import annotations

import logging
from math import inf
from time import monotonic

from skitai.errors import Answerable, TooLarge
from skitai.exchange import BodyMode, Fields, Head
from skitai.protocols.http1.chunked import ChunkedDecoder
from skitai.worker.body import DISCARD, Sink, StreamBody, WholeBody
from skitai.worker.connection import Connection, vouched_for
from skitai.worker.exchange import OPEN
from skitai.worker.http1.exchange import Http1Exchange
from skitai.worker.http1.tunnel import Http1Tunnel
from skitai.worker.services import Dispatcher, Services
from skitai.worker.site import Route

log = logging.getLogger("skitai.server")

KNOWN_BYTES = 4096
"""No longer input is looked up among the known heads: the look-up reads every byte."""

NO_HEAD = Head("-", "-", "origin", "-", "-", "", "", "1.1", Fields(()), keep_alive=False)
"""Stands for a head that could not be read."""


class Http1Connection(Connection):
    """:ivar exchange: the request being received or answered, or None. A thread that finishes it sets None under the lock.
    :ivar unsent: the last one answered, as long as the client has not taken its response, and when it was finished.
    :ivar ended_s: when the client ended its side, while its request was out; `inf` if it has not.
    :ivar tunnel: what became of the connection once it left HTTP.
    """

    __slots__ = (
        "_body_since",
        "_buffer",
        "_decoder",
        "_dispatch",
        "_head_since",
        "_input_ended",
        "_keep_continued",
        "_known",
        "_left",
        "_limit",
        "_most",
        "_paused",
        "_refused",
        "_sink",
        "ended_s",
        "exchange",
        "served",
        "tunnel",
        "unsent",
    )

    def __init__(self, services: Services, dispatcher: Dispatcher | None = None) -> None:
        """:param dispatcher: brings requests to whoever answers; the worker's by default."""
        super().__init__(services)
        self._dispatch = (dispatcher or services.pipeline).dispatch
        self.exchange: Http1Exchange | None = None
        self.served = 0
        self.ended_s = inf
        self._known = services.heads.known
        self._buffer = b""
        self._head_since = 0.0
        self._input_ended = False
        self._paused = False
        self._refused = False
        self._sink: Sink | None = None
        self._decoder: ChunkedDecoder | None = None
        self._left = 0
        self._limit = 0
        self._most = 0 if services.retiring else services.keep_alive_requests
        self._body_since = 0.0
        self.unsent: tuple[Http1Exchange, float] | None = None
        self.tunnel: Http1Tunnel | None = None

    # Reading

    def data_received(self, data: bytes) -> None:
        if self.exchange is None and not self._buffer and not self.closing and not self.spilled:
            head = self._known.get(data) if len(data) <= KNOWN_BYTES else None
            if head is not None:
                self._begin(head)
                return
        if self.closing:
            self.still_sending()
            return
        if self._sink is not None:
            self._receive_body(data)
            return
        self._buffer = self._buffer + data if self._buffer else data
        if self.exchange is None and not self.spilled:  # looked at after the buffer was filled: see `finished`
            self._read_requests()
        elif len(self._buffer) > self.services.config.http1.read_ahead_bytes:
            self.pace(True)

    def eof_received(self) -> bool:
        """The client will send no more; it may still be waiting for the answer to what it sent."""
        if self._sink is not None:
            self.abort()  # half a body never becomes a request
            return False
        if b"\r\n\r\n" in self._buffer and not self.closing:
            self._input_ended = True  # what it sent ahead is answered yet, as soon as `proceed` or `drained` comes to it
            return True
        self.closing = True
        if self.lingering:
            return False
        if self.exchange is not None:
            self.ended_s = monotonic()
            self.exchange.keep = False
            self.exchange.client_left()
            return True
        if self.spilled:
            self.when_drained(self.finish_closing)
        return self.spilled

    def _read_requests(self) -> None:
        """Begin the requests in the buffer, one after the other while they are answered at once and the client takes the
        answers, or they would pile up here."""
        while self._buffer and self.exchange is None and not self.closing and not self.spilled:
            buffer = self._buffer
            while buffer.startswith(b"\r\n"):
                buffer = buffer[2:]  # RFC 9112, section 2.2: some clients send one too many
            end = buffer.find(b"\r\n\r\n")
            try:
                if end < 0:
                    self._buffer = buffer
                    self._wait_for_head(buffer)
                    return
                end += 4
                if end > self.services.config.http1.head_bytes:
                    self.services.heads.check_partial(buffer[:end])
                self._buffer = buffer[end:]
                head = self.services.heads.parse(buffer[:end])
            except Answerable as error:
                self.refuse(error, buffer)
                return
            if self._input_ended and b"\r\n\r\n" not in self._buffer:
                self._most = 0  # the last one
                self.ended_s = monotonic()
            self._begin(head)
            if self._input_ended and self._sink is not None:
                self.abort()  # half a body never becomes a request
        if self._paused and self._sink is None and not self.closing and not self.spilled:
            self.pace(len(self._buffer) > self.services.config.http1.read_ahead_bytes)

    def _wait_for_head(self, buffer: bytes) -> None:
        if not buffer:
            return  # an empty line behind the last request begins no other
        self.services.heads.check_partial(buffer)
        if not self._head_since:
            self._head_since = monotonic()
            self.due = self._head_since + min(
                self.services.config.timeouts.head_s, self.services.config.timeouts.request_timeout
            )

    def _begin(self, head: Head) -> None:
        services = self.services
        now = monotonic()
        self._head_since = 0.0
        if head.protocol and self.change_protocol(head):
            return
        self.served = served = self.served + 1
        services.served += 1
        keep = head.keep_alive and served < self._most
        self.exchange = exchange = Http1Exchange(self, head, now, services.next_serial(), keep)
        if self.proxied:
            exchange.peer = vouched_for(self.peer, head.fields, services.trusted)
        self.due = now + services.thread_wait_s
        self._dispatch(exchange)

    def change_protocol(self, head: Head) -> bool:
        """Whether another protocol takes over, as the client wishes, and answers the request."""
        return False

    def refuse(self, error: Answerable, buffer: bytes) -> None:
        """Answer what is no request, and close."""
        self._buffer = b""
        self._head_since = 0.0
        self._refused = True
        self.exchange = exchange = Http1Exchange(self, NO_HEAD, monotonic(), self.services.next_serial(), keep=False)
        self.services.flush_soon()
        exchange.fail(error)

    # Bodies

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

    # Answering

    def finished(self, exchange: Http1Exchange, now: float, waits: bool) -> None:
        """The response of `exchange` is complete; called by whichever thread completed it, without the lock.

        :param waits: the client has not taken all of it; see `drained`.
        """
        services = self.services
        if not waits:
            services.request_log.add((exchange, now, now))
            if not services.flushing:
                services.flush_soon()
        if exchange.keep and self._sink is None and not self._buffer and not services.retiring:
            return
        self.services.on_loop(self.proceed, exchange.keep)

    def proceed(self, keep: bool = True) -> None:
        """Go on behind a finished response: the next request, or the end. Belongs to the loop."""
        if self.exchange is not None or self.fd < 0 or self.lingering:
            return
        if not keep:
            self._end()
        elif self._sink is None:
            self._read_requests()
            if self.services.retiring and self.exchange is None:  # the response had begun before anybody knew
                self.due = monotonic() + self.services.keep_alive_s
                if self.services.stopping:
                    self.stop()
        elif self._sink is not DISCARD:  # the app answered without taking the body to its end
            self._sink = DISCARD
            self.due = monotonic() + self.services.config.timeouts.request_timeout
            self.pace(False)

    def _end(self) -> None:
        """Close behind the last response; where input may still come, so gently that the client can read that response."""
        self.closing = True
        if self._sink is None and not self._refused and not self._buffer and not self._paused:
            self.finish_closing()
            return
        self._sink = None
        self._buffer = b""
        self.linger_when_sent()

    def linger_when_sent(self) -> None:
        """Half-close behind what is still to be sent."""
        if self.spilled:
            self.when_drained(self.linger)
        else:
            self.linger()

    @property
    def input_ended(self) -> bool:
        """Whether the client has ended its side."""
        return self._input_ended or self.ended_s != inf

    def enter_tunnel(self, tunnel: Http1Tunnel) -> bytes:
        """Leave HTTP: what comes goes to `tunnel`.

        :returns: what has come already.
        """
        self.tunnel = tunnel
        self.transport.set_protocol(tunnel)
        data, self._buffer = self._buffer, b""
        self.pace(False)
        return data

    def drained(self) -> None:
        if self.tunnel is not None:
            self.tunnel.drained()
            return
        unsent, self.unsent = self.unsent, None
        if unsent is not None:
            exchange, finished = unsent
            self.services.request_log.add((exchange, finished, monotonic()))
            self.services.flush_soon()
        if self.exchange is None and self._sink is None and not self.closing:
            self.due = monotonic() + self.services.keep_alive_s
            self._read_requests()

    def lost(self) -> None:
        self.closing = True
        self.drained()
        with self.lock:  # or a thread would finish what is abandoned here
            exchange, self.exchange = self.exchange, None
        self._sink = None
        self._buffer = b""
        if exchange is not None:
            exchange.lost()
            exchange.abandon()
            now = monotonic()
            self.services.request_log.add((exchange, now, now))
            self.services.flush_soon()

    # Time

    def overdue(self, now: float) -> None:
        exchange = self.exchange
        if self.lingering:
            self.abort()
        elif self.tunnel is not None:
            self.tunnel.guest.on_time(now)
        elif self._sink is not None and exchange is not None:
            exchange.keep = False
            self._break_body(Answerable("the body stopped coming", status=408))
        elif exchange is not None:
            if exchange.taken or exchange.phase != OPEN:
                self.due = inf
            elif now - exchange.began >= self.services.thread_wait_s:
                exchange.fail(Answerable("no thread was free in time", status=503, fields=[("Retry-After", "5")]))
        elif self._head_since:
            self.refuse(Answerable("the request head took too long", status=408), self._buffer)
        else:
            self.closing = True
            self.finish_closing()

    def check(self, now: float) -> None:
        if now - self.opened > self.services.keep_alive_age_s:
            self._most = 0
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

    def check_flow(self, now: float) -> None:
        if self.tunnel is None:  # whose guest has limits of its own
            super().check_flow(now)

    def retire(self) -> None:
        if self.tunnel is not None:
            self.tunnel.guest.on_leave(False)
            return
        self._most = 0
        exchange = self.exchange
        if exchange is not None and exchange.phase == OPEN:
            exchange.keep = False

    def stop(self) -> None:
        if self.tunnel is not None:
            self.tunnel.guest.on_leave(True)
            return
        self.retire()
        if self.exchange is None and not self._buffer and not self.closing:
            self.finish_closing()
