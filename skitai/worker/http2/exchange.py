"""The exchange over a stream of HTTP/2: response verbs that any thread may call, gathered and written by the loop."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from time import monotonic
from typing import TYPE_CHECKING, Any

from skitai.errors import Answerable
from skitai.exchange import Dated, Flow, Head, Settled, Tunnel
from skitai.protocols.http1.response import without_body
from skitai.protocols.http2.core import ErrorCodes
from skitai.protocols.http2.heads import encoded, preload, promised
from skitai.protocols.http2.stream import Stream
from skitai.worker import coding, failures
from skitai.worker.body import NO_BODY
from skitai.worker.exchange import FINISHED, OPEN, STARTED, Answering, Pairs

if TYPE_CHECKING:
    from skitai.worker.http2.connection import Http2Connection
    from skitai.worker.http2.intake import Intake
    from skitai.worker.http2.tunnel import Http2Tunnel

log = logging.getLogger("skitai.server")


class Http2Exchange(Answering):
    """Implements `skitai.exchange.Exchange`.

    :ivar stream: in the core; what is written to it when it is gone goes nowhere.
    :ivar intake: takes what the client sends behind the head; None without such.
    :ivar gone: the stream was reset, or the connection lost.
    :ivar ended: when the response was complete on our side.
    """

    __slots__ = (
        "_coder",
        "_gone_jobs",
        "_head",
        "_left",
        "_progress",
        "app",
        "asked",
        "began",
        "body",
        "connection",
        "context",
        "ended",
        "environ",
        "gone",
        "head",
        "intake",
        "peer",
        "phase",
        "received",
        "serial",
        "stream",
        "taken",
        "user",
        "was",
        "writable_jobs",
    )

    connection: Http2Connection
    asked: int
    was: dict[str, Any]
    environ: dict[str, Any]

    def __init__(self, connection: Http2Connection, stream: Stream, head: Head, began: float, serial: int) -> None:
        self.connection = connection
        self.stream = stream
        self.head = head
        self.peer = connection.peer
        self.began = began
        self.serial = serial
        self.intake: Intake | Http2Tunnel | None = None
        self.body: Any = NO_BODY
        self.user = ""
        self.app: Any = None
        self.context: Any = None
        self.phase = OPEN
        self.taken = False
        self.received = 0
        self.gone = False
        self.ended = 0.0
        self._progress = (0.0, 0)
        self.writable_jobs: tuple[Callable[[], None], ...] = ()
        self._gone_jobs: tuple[Callable[[], None], ...] = ()
        self._head: Any = None
        self._strand = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.stream.id} {self.head!r} {('open', 'started', 'finished')[self.phase]}>"

    @property
    def unheard(self) -> bool:
        """Whether nothing that is sent can reach the client any more; the caller holds the lock."""
        connection = self.connection
        return not self.stream.open or connection.fd < 0 or bool(connection.core.broken)

    @property
    def sent(self) -> int:
        """Bytes of the response that went out."""
        return self.stream.sent

    # The body

    def hold_body(self) -> None:
        """The client sends no more than its window lets through, as long as nothing is acknowledged."""

    # Answering

    def respond(self, status: int, fields: Pairs, body: bytes = b"", reason: str = "") -> bool:
        services = self.connection.services
        size = len(body)
        if size >= services.compress_from and not isinstance(fields, Settled):
            coded = coding.complete(self.head, status, fields, body, services.config.responses, services.in_loop)
            if coded is None:
                return self.respond_off_loop(status, fields, body)
            fields, body = coded
            size = len(body)
        if self.head.method == "HEAD" and not body:  # the app left the body out itself: as if GET's were a stream
            return self.start(status, fields) and self.finish()
        if type(fields) is Dated:
            pairs, ending = services.http2_dated_responses.complete(status, fields, size), self.connection.clock.end_pairs
        else:
            pairs, ending = services.http2_responses.complete(status, fields, size), self.connection.clock.pairs
        if self.head.method == "HEAD" or without_body(status):
            body = b""
        connection = self.connection
        with connection.lock:
            if self.phase != OPEN:
                return False
            self.phase = FINISHED
            self.ended = monotonic()
            if self.unheard:
                connection.settle(self)
                return False
            self.status = status
            self.fields = fields
            if connection.core.waiting > connection.most_waiting and self._is_too_much(body):
                return False
            connection.core.answer(self.stream, pairs, ending, body)
            connection.write_soon()
        return True

    def start(self, status: int, fields: Pairs, reason: str = "") -> bool:
        services = self.connection.services
        fields, coder = coding.begun(self.head, status, fields, services.config.responses)
        if type(fields) is Dated:
            responses, ending = services.http2_dated_responses, self.connection.clock.end_pairs
        else:
            responses, ending = services.http2_responses, self.connection.clock.pairs
        pairs, left = responses.begun(status, fields)
        with self.connection.lock:
            if self.phase != OPEN:
                return False
            self.status = status
            self.fields = fields
            self.phase = STARTED
            self._coder = coder
            self._left = left
            self._head = [*pairs, *ending]
        return True

    def write(self, data: bytes) -> Flow:
        if self.phase == STARTED and self._coder is not None and data:
            data = self._coder.code(data)
        connection = self.connection
        with connection.lock:
            if self.phase != STARTED or self.unheard:
                connection.settle(self)
                return Flow.GONE
            if connection.core.waiting > connection.most_waiting and self._is_too_much(data):
                return Flow.GONE
            self._send_head()
            connection.core.data(self.stream, self._fitting(data))
            connection.advance()
            return Flow.WAIT if self.waits else Flow.ON

    def _is_too_much(self, data: bytes) -> bool:
        """Whether the client lets so much wait that this, too, has no place; then its stream is reset. Holds the lock."""
        connection = self.connection
        if not data or not connection.gate.overflows():
            return False
        connection.services.on_loop(connection.reset, self, ErrorCodes.ENHANCE_YOUR_CALM)
        return True

    def _send_head(self, ended: bool = False) -> None:
        head, self._head = self._head, None
        if head is not None:
            self.connection.core.head(self.stream, head, ended)

    def _fitting(self, data: bytes) -> bytes:
        """What of `data` is part of the response."""
        if not data or self.head.method == "HEAD" or without_body(self.status):
            return b""
        if self._left >= 0:
            if len(data) > self._left:
                log.warning("%s: the app sends more than its Content-Length; the rest is cut", self.head.target)
                data = data[: self._left]
            self._left -= len(data)
        return data

    @property
    def waits(self) -> bool:
        """Whether the client has to take something before more is written."""
        return self.stream.waiting > 0 or self.connection.spilled

    def finish(self, trailers: Iterable[tuple[Any, Any]] = ()) -> bool:
        connection = self.connection
        last = b""
        if self.phase == STARTED and self._coder is not None:
            last = self._coder.end()
        ending = [encoded(field) for field in trailers]
        with connection.lock:
            if self.phase != STARTED:
                return False
            self.ended = monotonic()
            if self.unheard:
                self.phase = FINISHED
                connection.settle(self)
                return False
            core = connection.core
            last = self._fitting(last)
            if self.head.method == "HEAD" or without_body(self.status):
                self.phase = FINISHED
                if self._head is not None:
                    self._send_head(ended=True)
                else:
                    core.finish(self.stream)
            elif self._left > 0:
                log.warning("%s: the app sent %d bytes less than its Content-Length", self.head.target, self._left)
                connection.services.on_loop(connection.reset, self, ErrorCodes.INTERNAL_ERROR)
                return False
            else:
                self.phase = FINISHED
                self._send_head()
                core.data(self.stream, last)
                core.finish(self.stream, ending)
            connection.advance()
        return True

    def lend_socket(self, count: int) -> int:
        """None: all bytes have to be framed."""
        return -1

    def inform(self, status: int, fields: Pairs = ()) -> None:
        if not self.stream.id % 2:
            return  # nobody waits for what was pushed
        pairs = self.connection.services.http2_responses.interim(status, fields)
        connection = self.connection
        with connection.lock:
            if self.phase == OPEN and not self.unheard:
                connection.core.head(self.stream, pairs)
                connection.advance()

    def push(self, uri: str, fields: Pairs = ()) -> bool:
        """A push (RFC 9113, section 8.4); to a client that takes none, a 103 response (RFC 8297)."""
        connection = self.connection
        pairs = promised(self.head, uri, connection.peer.scheme, fields)
        stream = None
        with connection.lock:
            if pairs and self.phase == OPEN and not self.unheard:
                stream = connection.core.push(self.stream, pairs)
                if stream is not None:
                    connection.write_soon()
        if stream is None:
            self.inform(103, [("Link", preload(uri))])
            return False
        connection.services.on_loop(connection.begin_promised, stream, pairs)
        return True

    def tunnel(self, status: int, fields: Pairs) -> Tunnel | None:
        """None: only a request with the method CONNECT can leave HTTP (`worker.http2.tunnel`)."""
        self.fail(Answerable("only CONNECT leaves HTTP/2", status=501))
        return None

    def fail(self, error: BaseException) -> None:
        failures.answer(self, error)
        if self.phase == STARTED:
            self.connection.services.on_loop(self.connection.reset, self, ErrorCodes.INTERNAL_ERROR)

    # Coming back

    def when_writable(self, job: Callable[[], None]) -> None:
        with self.connection.lock:
            if self.waits and not self.gone:
                self.writable_jobs += (job,)
                return
        self.connection.services.on_loop(job)

    def when_gone(self, job: Callable[[], None]) -> None:
        with self.connection.lock:
            if not self.gone and self.phase != FINISHED:
                self._gone_jobs += (job,)
                return
        self.connection.services.on_loop(job)

    def lost(self) -> None:
        """The client has left before the response was complete; belongs to the loop."""
        with self.connection.lock:
            self.gone = True
            jobs = self._gone_jobs + self.writable_jobs
            self._gone_jobs = self.writable_jobs = ()
        self.body.lost()
        for job in jobs:
            job()
        self.abandon()

    def leave(self, stopping: bool) -> None:
        """The worker wants to leave: who answers, answers yet."""

    def check_progress(self, now: float) -> None:
        """A client that keeps the window of a stream shut does not make us keep its response for ever."""
        if not self.stream.waiting or self.connection.spilled:
            self._progress = (0.0, 0)
            return
        since, sent = self._progress
        timeouts = self.connection.services.config.timeouts
        if not since:
            self._progress = (now, self.sent)
        elif now - since > timeouts.request_timeout:
            if self.sent - sent < (now - since) * timeouts.rate_bytes:
                self.connection.reset(self, ErrorCodes.CANCEL)
            else:
                self._progress = (now, self.sent)

    @property
    def crowded(self) -> bool:  # type: ignore[override]
        connection = self.connection
        return connection.core.waiting > connection.most_waiting

    def held_back(self, job: Callable[[], None]) -> bool:
        return self.connection.gate.holds(self, job)

    def take(self) -> bool:
        """Begin to work on the request; whoever leaves the queue with it calls this first.

        :returns: False when it was answered by somebody else, or nobody waits for the answer any more.
        """
        self.taken = True
        if self.phase or self.gone or self.connection.fd < 0:
            with self.connection.lock:
                self.connection.settle(self)
            return False
        return True
