"""One HTTP/1.x connection: cuts requests out of the stream and answers them in order, one at a time.

Bytes that arrive while a request is answered are kept up to a bound, so that a reset shows and pipelined requests wait.
"""

from __future__ import annotations

from math import inf
from time import monotonic

from skitai.errors import Answerable
from skitai.exchange import Fields, Head
from skitai.worker.body import DISCARD
from skitai.worker.connection import vouched_for
from skitai.worker.exchange import OPEN
from skitai.worker.http1.bodies import BodyConnection
from skitai.worker.http1.exchange import Http1Exchange
from skitai.worker.http1.tunnel import Http1Tunnel
from skitai.worker.services import Dispatcher, Services

KNOWN_BYTES = 4096
"""No longer input is looked up among the known heads: the look-up reads every byte."""

NO_HEAD = Head("-", "-", "origin", "-", "-", "", "", "1.1", Fields(()), keep_alive=False)
"""Stands for a head that could not be read."""


class Http1Connection(BodyConnection):
    """:ivar unsent: the last one answered, as long as the client has not taken its response, and when it was finished.
    :ivar tunnel: what became of the connection once it left HTTP.
    """

    __slots__ = (
        "_dispatch",
        "_head_since",
        "_known",
        "tunnel",
        "unsent",
    )

    def __init__(self, services: Services, dispatcher: Dispatcher | None = None) -> None:
        """:param dispatcher: brings requests to whoever answers; the worker's by default."""
        super().__init__(services)
        self._dispatch = (dispatcher or services.pipeline).dispatch
        self._known = services.heads.known
        self._head_since = 0.0
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
        self.check_body(now)

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
