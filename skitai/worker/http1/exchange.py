"""The exchange over HTTP/1.x: response verbs that any thread may call, each ending in one write where one will do."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any

from skitai.exchange import Dated, Flow, Head, Settled, Tunnel
from skitai.protocols.http1 import chunked
from skitai.protocols.http1.response import (
    CHUNKED,
    CLOSE,
    KEEP,
    OLD_CLOSE,
    OLD_KEEP,
    UNTIL_CLOSE,
    ResponseHeads,
    without_body,
)
from skitai.worker import coding, failures
from skitai.worker.body import NO_BODY
from skitai.worker.exchange import FINISHED, OPEN, STARTED, Answering, Pairs
from skitai.worker.http1.tunnel import Http1Tunnel

if TYPE_CHECKING:
    from skitai.worker.http1.connection import Http1Connection

HALF_CLOSED_S = 1.0
"""A request of a client that has ended its side is still begun within this time."""

log = logging.getLogger("skitai.server")


class Http1Exchange(Answering):
    """Implements `skitai.exchange.Exchange`."""

    __slots__ = (
        "_coder",
        "_framing",
        "_gone_jobs",
        "_pending",
        "app",
        "asked",
        "began",
        "body",
        "connection",
        "context",
        "environ",
        "head",
        "keep",
        "peer",
        "phase",
        "received",
        "sent",
        "serial",
        "taken",
        "user",
        "was",
    )

    connection: Http1Connection
    asked: int
    was: dict[str, Any]
    environ: dict[str, Any]

    def __init__(self, connection: Http1Connection, head: Head, began: float, serial: int, keep: bool) -> None:
        self.connection = connection
        self.head = head
        self.peer = connection.peer
        self.began = began
        self.serial = serial
        self.keep = keep
        self.body: Any = NO_BODY
        self.user = ""
        self.app: Any = None
        self.context: Any = None
        self.phase = OPEN
        self.taken = False
        self.received = 0
        self.sent = 0
        self._gone_jobs: list[Callable[[], None]] | None = None
        self._strand = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.head!r} {('open', 'started', 'finished')[self.phase]}>"

    # What is known of the request

    @property
    def gone(self) -> bool:
        return self.connection.fd < 0 or self.connection.exchange is not self

    # The body

    def hold_body(self) -> None:
        self.connection.hold_body(self)

    # Answering

    def respond(self, status: int, fields: Pairs, body: bytes = b"", reason: str = "") -> bool:
        connection = self.connection
        services = connection.services
        size = len(body)
        head = self.head
        if size >= services.compress_from and not isinstance(fields, Settled):
            coded = coding.complete(head, status, fields, body, services.config.responses, services.in_loop)
            if coded is None:
                return self.respond_off_loop(status, fields, body, reason)
            fields, body = coded
            size = len(body)
        keep = self.keep
        mode = (KEEP if keep else CLOSE) if head.version == "1.1" else (OLD_KEEP if keep else OLD_CLOSE)
        if head.method == "HEAD":
            return self._respond_to_head(status, fields, body, reason, mode)
        if type(fields) is Dated:
            responses, ending = services.dated_responses, connection.clock.end
        else:
            responses, ending = services.responses, connection.clock.date
        try:
            known = responses.known.get((status, reason, size, mode, *fields))
        except TypeError:
            known = None
        if known is None:
            known = responses.complete(status, reason, fields, size, mode)
        data = known + ending
        if size and not without_body(status):
            data += body
        return self._finish_with(data, status, fields)

    def _finish_with(self, data: bytes, status: int, fields: Pairs, before: int = OPEN) -> bool:
        """Send the last bytes of the response, if it is still in the phase `before`."""
        connection = self.connection
        now = monotonic()
        lock = connection.lock
        lock.acquire()  # `with` costs three times as much, and this is done for every request
        try:
            if self.phase != before:
                return False
            self.phase = FINISHED
            self.sent += len(data)
            if connection.exchange is not self:
                return False
            self.status = status
            self.fields = fields
            connection.put(data)
            waits = connection.spilled
            if waits:
                connection.unsent = (self, now)
                connection.due = inf
            elif self.keep:
                connection.due = now + connection.services.keep_alive_s
            if not self.keep:
                connection.closing = True
            connection.exchange = None  # from here on the loop may begin the next request
        finally:
            lock.release()
        connection.finished(self, now, waits)
        return True

    def _respond_to_head(self, status: int, fields: Pairs, body: bytes, reason: str, mode: int) -> bool:
        responses, ending = self._heads(fields)
        options = self.connection.services.config.responses
        if body:
            known = responses.complete(status, reason, fields, len(body), mode)
        else:  # the app left the body out itself: then as if the answer to GET were a stream
            if options.compress and options.compress_bytes <= coding.expected_size(fields) < coding.UNKNOWN:
                coder = coding.negotiate(self.head, status, fields)
                if coder is not None:
                    fields, _ = coding.stream(coder, fields, options)
            known, _, mode = responses.begun(status, reason, fields, mode, head_only=True)
        return self._finish_with(known + ending, status, fields)

    def _heads(self, fields: Pairs) -> tuple[ResponseHeads, bytes]:
        """Who makes the head of a response, and what ends it."""
        services, clock = self.connection.services, self.connection.clock
        return (services.dated_responses, clock.end) if type(fields) is Dated else (services.responses, clock.date)

    def start(self, status: int, fields: Pairs, reason: str = "") -> bool:
        services = self.connection.services
        fields, coder = coding.begun(self.head, status, fields, services.config.responses)
        mode = (KEEP if self.keep else CLOSE) if self.head.version == "1.1" else (OLD_KEEP if self.keep else OLD_CLOSE)
        responses, ending = self._heads(fields)
        data, framing, mode = responses.begun(status, reason, fields, mode, self.head.method == "HEAD")
        with self.connection.lock:
            if self.phase != OPEN:
                return False
            self.status = status
            self.fields = fields
            self.phase = STARTED
            if mode in (CLOSE, OLD_CLOSE):
                self.keep = False
            self._coder = coder
            self._framing = framing
            self._pending = data + ending
        return True

    def write(self, data: bytes) -> Flow:
        if self.phase == STARTED and self._coder is not None and data:
            data = self._coder.code(data)
        return self._write(data)

    def _write(self, data: bytes) -> Flow:
        connection = self.connection
        with connection.lock:
            if self.phase != STARTED or connection.exchange is not self or connection.fd < 0:
                return Flow.GONE
            data = self._pending + self._framed(data)
            self._pending = b""
            if data:
                self.sent += len(data)
                connection.put(data)
            return Flow.WAIT if connection.spilled else Flow.ON

    def _framed(self, data: bytes) -> bytes:
        if not data or self.head.method == "HEAD" or without_body(self.status):
            return b""
        if self._framing == CHUNKED:
            return chunked.encode(data)
        if self._framing != UNTIL_CLOSE:
            if len(data) > self._framing:
                log.warning("%s: the app sends more than its Content-Length; the rest is cut", self.head.target)
                data = data[: self._framing]
            self._framing -= len(data)
        return data

    def finish(self, trailers: Iterable[tuple[Any, Any]] = ()) -> bool:
        connection = self.connection
        last = b""
        if self.phase == STARTED:
            if self._coder is not None:
                last = self._coder.end()
            with connection.lock:
                last = self._pending + self._framed(last)
                self._pending = b""
            if self.head.method != "HEAD" and not without_body(self.status):
                if self._framing == CHUNKED:
                    last += chunked.END if not trailers else chunked.end_with(trailers)
                elif self._framing > 0:
                    log.warning("%s: the app sent %d bytes less than its Content-Length", self.head.target, self._framing)
                    connection.services.on_loop(connection.abort)
                    return False
        return self._finish_with(last, getattr(self, "status", 0), getattr(self, "fields", ()), STARTED)

    def lend_socket(self, count: int) -> int:
        """A duplicate of the client's socket, for passing the next `count` bytes of the body to it without blocking.

        The borrower closes it before anything else is written, and says with `passed` what it has sent.

        :returns: -1 where bytes have to go through `write`: they are coded or chunked, or others wait for the client.
        """
        connection = self.connection
        with connection.lock:
            if self.phase != STARTED or connection.exchange is not self or connection.fd < 0 or not connection.plain:
                return -1
            if self._coder is not None or self._framing < count or self.head.method == "HEAD" or without_body(self.status):
                return -1
            head, self._pending = self._pending, b""
            self.sent += len(head)
            connection.put(head)
            if connection.spilled or connection.fd < 0:
                return -1
            try:
                return os.dup(connection.fd)
            except OSError:  # no descriptor left: `write` needs none
                return -1

    def passed(self, count: int) -> None:
        """So many bytes of the body went through the lent socket."""
        with self.connection.lock:
            self._framing -= count
            self.sent += count

    def inform(self, status: int, fields: Pairs = ()) -> None:
        if self.head.version != "1.1":
            return  # RFC 9110, section 15.2: never to an HTTP/1.0 client
        data = self.connection.services.responses.interim(status, fields)
        with self.connection.lock:
            if self.phase == OPEN and self.connection.exchange is self:
                self.connection.put(data)

    def tunnel(self, status: int, fields: Pairs) -> Tunnel | None:
        connection = self.connection
        data = connection.services.responses.interim(status, fields)
        with connection.lock:
            if self.phase != OPEN or connection.exchange is not self or connection.fd < 0:
                return None
            self.phase = STARTED
            self.keep = False
            self.status, self.fields = status, fields
            self._coder, self._framing, self._pending = None, UNTIL_CLOSE, b""
            self.sent += len(data)
            connection.put(data)
        connection.due = inf
        return Http1Tunnel(connection, self)

    def fail(self, error: BaseException) -> None:
        failures.answer(self, error)
        if self.phase == STARTED:
            self.connection.services.on_loop(self.connection.abort)

    # Coming back

    def when_writable(self, job: Callable[[], None]) -> None:
        self.connection.when_drained(job)

    def when_gone(self, job: Callable[[], None]) -> None:
        connection = self.connection
        with connection.lock:
            if connection.exchange is self and connection.fd >= 0 and connection.ended_s == inf:
                if self._gone_jobs is None:
                    self._gone_jobs = [job]
                else:
                    self._gone_jobs.append(job)
                return
        connection.services.on_loop(job)

    def lost(self) -> None:
        """The connection went before the response was finished; belongs to the loop."""
        self.body.lost()
        self.client_left()

    def client_left(self) -> None:
        """Tell those who wanted to know; belongs to the loop."""
        with self.connection.lock:
            jobs, self._gone_jobs = self._gone_jobs, None
        for job in jobs or ():
            job()

    def take(self) -> bool:
        """Begin to work on the request; whoever leaves the queue with it calls this first.

        :returns: False when it was answered by somebody else, or nobody waits for the answer any more: a client that ended
            its side long enough ago has gone, for hardly any goes on listening.
        """
        self.taken = True
        connection = self.connection
        if self.phase or connection.exchange is not self or connection.fd < 0:
            return False
        if connection.ended_s != inf and monotonic() - connection.ended_s > HALF_CLOSED_S:
            connection.services.on_loop(connection.abort)
            return False
        return True
