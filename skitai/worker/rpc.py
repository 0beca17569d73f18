"""One call of gRPC over an exchange, whoever answers it: messages in, messages out, and how it ends.

gRPC and gRPC-Web differ here alone. Frames go out in the order of the calls; whoever ends the call first ends it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Iterable
from typing import Any

from skitai.errors import Answerable, Unanswerable, Unreached
from skitai.exchange import Flow, Settled
from skitai.http.status import phrase
from skitai.log.failures import describe
from skitai.protocols.grpc import compression, web
from skitai.protocols.grpc.compression import Malformed, TooLong
from skitai.protocols.grpc.framing import COMPRESSED, Deframer, Frame, frame
from skitai.protocols.grpc.request import Asked, kind_of
from skitai.protocols.grpc.status import DETAILS, MESSAGE, STATUS, RpcError, StatusCode, of_error, trailers

log = logging.getLogger("skitai.app")

EXPOSED = ", ".join((STATUS, MESSAGE, DETAILS))
"""What scripts of other origins may read, beside metadata."""

Pairs = list[tuple[str, str]]


class Answered(Settled):
    """The fields of a response.

    :ivar note: the status of the call, for the request log, once there is one: the status of HTTP says nothing of it.
    """

    note = ""


class Line:
    """A call, from what its head says to its status.

    :param most_bytes: longest message, unpacked.
    :ivar fields: of the head of the response, beside the protocol's own.
    :ivar packing: coding of the messages that follow.
    :ivar begun: the head of the response was sent.
    :ivar over: so was its end, or nobody is there to get it.
    """

    __slots__ = (
        "_answered",
        "_deframer",
        "_lock",
        "_most",
        "_text",
        "asked",
        "begun",
        "exchange",
        "fields",
        "over",
        "packing",
    )

    def __init__(self, exchange: Any, asked: Asked, most_bytes: int) -> None:
        self.exchange = exchange
        self.asked = asked
        self.begun = self.over = False
        self.packing = compression.IDENTITY
        self._most = most_bytes
        self.fields: Pairs = []
        self._answered: Answered
        self._deframer = Deframer(most_bytes)
        self._text = web.TextDecoder() if asked.kind.is_text else None
        self._lock = threading.Lock()

    # Receiving

    def message(self) -> bytes:
        """The one message of a whole body.

        :raises RpcError: it is none, or there is another number of them.
        """
        with self.exchange.body.open() as file:
            found = self.feed(file.read())
        self.end()
        if len(found) != 1:
            raise RpcError(StatusCode.UNIMPLEMENTED, f"one message is wanted, and {len(found) or 'none'} came")
        return found[0]

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are complete with this piece of the body.

        :raises RpcError: one cannot be read.
        """
        try:
            if self._text is not None:
                data = self._text.feed(data)
            return [self._unpacked(each) for each in self._deframer.feed(data)]
        except TooLong as error:
            raise RpcError(StatusCode.RESOURCE_EXHAUSTED, str(error)) from None
        except Malformed as error:
            raise RpcError(StatusCode.INTERNAL, str(error)) from None

    def _unpacked(self, received: Frame) -> bytes:
        flag, content = received
        return compression.unpack(content, self.asked.encoding, self._most) if flag & COMPRESSED else content

    def end(self) -> None:
        """The body has ended.

        :raises RpcError: in the middle of a message.
        """
        try:
            if self._text is not None:
                self._text.end()
            self._deframer.end()
        except Malformed as error:
            raise RpcError(StatusCode.INTERNAL, str(error)) from None

    @property
    def owed(self) -> bool:
        """Whether a message has begun to come."""
        return self._deframer.pending

    # Sending

    def use(self, wanted: str | None) -> None:
        """Pack the messages that follow, as far as the client can read that.

        :param wanted: a coding; None for that of the client's own messages.
        """
        name = self.asked.encoding if wanted is None else wanted
        readable = name == compression.IDENTITY or compression.accepts(self.asked.accepted, name)
        self.packing = name if readable else compression.IDENTITY

    def begin(self) -> None:
        """Send the head of the response, unless that was done."""
        with self._lock:
            if not self.begun and not self.over and self._start():
                self.exchange.write(b"")

    def _start(self) -> bool:
        """Begin the response; the caller holds the lock."""
        self.begun = True
        fields = self._head()
        fields.append(("grpc-encoding", self.packing))
        self._answered = Answered(fields)
        if self.exchange.start(200, self._answered):
            return True
        self.over = True
        return False

    def _head(self) -> Pairs:
        kind = self.asked.kind
        fields = [("content-type", kind.media_type), ("grpc-accept-encoding", compression.ACCEPTED), *self.fields]
        if kind.is_web and any(name.lower() == "access-control-allow-origin" for name, _ in self.fields):
            names = [name for name, _ in self.fields if not name.lower().startswith(("access-control-", "vary"))]
            fields.append(("access-control-expose-headers", ", ".join((EXPOSED, *names))))
        return fields

    def send(self, message: bytes) -> Flow:
        """Send a message."""
        with self._lock:
            if self.over or not (self.begun or self._start()):
                return Flow.GONE
            if self.packing != compression.IDENTITY:
                data = frame(compression.pack(message, self.packing), COMPRESSED)
            else:
                data = frame(message)
            flow: Flow = self.exchange.write(self._coded(data))
            return flow

    def _coded(self, data: bytes) -> bytes:
        return web.encoded(data) if self._text is not None else data

    def finish(
        self, code: StatusCode = StatusCode.OK, message: str = "", details: Any = (), metadata: Iterable[Any] = ()
    ) -> bool:
        """End the call; False when somebody else has.

        :param metadata: fields beside the status.
        """
        fields = [*trailers(code, message, details), *metadata]
        with self._lock:
            if self.over:
                return False
            self.over = True
            exchange = self.exchange
            if not self.begun:
                self.begun = True
                self._answered = Answered([*self._head(), *fields])
                self._answered.note = f"grpc:{code}"
                return bool(exchange.respond(200, self._answered))
            self._answered.note = f"grpc:{code}"
            if not self.asked.kind.is_web:
                return bool(exchange.finish(fields))
            exchange.write(self._coded(web.trailer_frame(fields)))
            return bool(exchange.finish())

    def settle(self) -> None:
        """Whoever answers has come to the end; a client that has left is told so for the server's books."""
        if not self.over:
            self.finish(StatusCode.CANCELLED, "the client has left")
        elif self.exchange.gone:
            self.exchange.finish() if self.begun else self.exchange.respond(200, Settled())


class Messages:
    """The messages of a body that comes as a stream, for the loop.

    While a message is under way the client owes the rest of it; between two it may take its time.
    """

    __slots__ = ("_line", "_pieces", "_ready")

    def __init__(self, line: Line) -> None:
        self._line = line
        self._ready: deque[bytes] = deque()
        self._pieces = line.exchange.body.stream()
        self._pace()

    def __aiter__(self) -> Messages:
        return self

    async def __anext__(self) -> bytes:
        ready, line = self._ready, self._line
        while not ready:
            try:
                piece = await self._pieces.__anext__()
            except StopAsyncIteration:
                line.end()
                raise
            ready.extend(line.feed(piece))
            self._pace()
        return ready.popleft()

    def _pace(self) -> None:
        body = self._line.exchange.body
        if hasattr(body, "patient"):
            body.patient = not self._line.owed


# How a call fails


class End:
    """The status of a call that failed."""

    __slots__ = ("code", "details", "message", "metadata")

    def __init__(self, code: StatusCode, message: str, details: Any = (), metadata: Iterable[Any] = ()) -> None:
        self.code = code
        self.message = message
        self.details = details
        self.metadata = metadata


def end_of(exchange: Any, error: BaseException) -> End:
    """What an error is to the client; what is the server's fault is logged."""
    if isinstance(error, RpcError):
        if error.code in (StatusCode.UNKNOWN, StatusCode.INTERNAL, StatusCode.DATA_LOSS):
            log.error("%s %s: %s", exchange.head.method, exchange.head.target, error, extra={"txn": exchange.txn})
        return End(error.code, error.message, error.details, error.trailers)
    if isinstance(error, Unanswerable):
        return End(StatusCode.CANCELLED, "the client has left")
    if isinstance(error, asyncio.CancelledError):
        return End(StatusCode.UNAVAILABLE, "the server ends")
    failure = describe(exchange, error)
    if isinstance(error, Answerable) and error.status < 500:
        return End(of_error(error.status), error.message or phrase(error.status))
    fault = phrase(failure.status) if isinstance(error, Unreached) else "the app failed"
    return End(of_error(failure.status), failure.shown or fault)


def refuse(exchange: Any, error: BaseException) -> bool:
    """Answer a call whose error is not that of whoever answers it: no thread was free, the message is too long.

    :returns: whether this was the answer.
    """
    try:
        kind = kind_of(exchange.head)
    except Answerable:
        return False
    end = end_of(exchange, error)
    fields = Answered([("content-type", kind.media_type), *trailers(end.code, end.message, end.details)])
    fields.note = f"grpc:{end.code}"
    return bool(exchange.respond(200, fields))
