"""A connection that speaks HTTP/2: many requests at a time, each with its own `Receiver`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from skitai.backend.drivers.http.bodies import Stream as Source
from skitai.backend.drivers.http.http1 import unreadable
from skitai.backend.drivers.http.incoming import HIGH_BYTES, Broken, Receiver, StreamReset
from skitai.backend.drivers.http.request import Field
from skitai.backend.errors import BackendError, Code
from skitai.http.head import Fields
from skitai.protocols.http1.answer import INTERIM, KNOWN_HEADS, UNTIL_CLOSE, AnswerHead
from skitai.protocols.http2.budget import Limits
from skitai.protocols.http2.client import ClientCore
from skitai.protocols.http2.events import (
    Ended,
    ErrorCodes,
    Event,
    Leaving,
    Pair,
    Received,
    Reset,
    Responded,
    Trailers,
)
from skitai.protocols.http2.stream import Stream

STREAM_WINDOW = 262144
"""Bytes of an answer that a server may send ahead of who reads it."""

OF_CONNECTIONS = frozenset(("connection", "content-length"))
"""Fields that are of no use here; the length is said anew."""


def limits(streams: int) -> Limits:
    """What a back-end may: it is no stranger, and has many requests at once to answer."""
    window = STREAM_WINDOW * min(streams, 64)
    return Limits(streams, STREAM_WINDOW, window, resets=2000, controls=10_000, updates=10_000)


class Heads:
    """Makes answer heads of pairs, and remembers them."""

    def __init__(self) -> None:
        self._known: dict[Sequence[Pair], AnswerHead] = {}

    def make(self, pairs: Sequence[Pair]) -> AnswerHead:
        head = self._known.get(pairs)
        if head is None:
            fields = Fields(pairs[1:])
            length = fields.get(b"content-length")
            said = int(length) if length is not None and length.isdigit() else UNTIL_CLOSE
            head = AnswerHead("2.0", int(pairs[0][1]), "", fields, True, said)
            if len(self._known) >= KNOWN_HEADS:
                self._known.clear()
            self._known[pairs] = head
        return head


class Http2Connection(asyncio.Protocol):
    """A connection.

    :param changed: called when there is room for more requests, or when the connection is of no more use.
    :ivar asked: requests that were made.
    :ivar idle_since: on the loop's clock.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, heads: Heads, streams: int, changed: Callable[[Http2Connection], None]
    ) -> None:
        self.loop = loop
        self._heads = heads
        self._changed = changed
        self._core = ClientCore(limits(streams))
        self._calls: dict[int, Call] = {}
        self._transport: Any = None
        self._told = False
        self._begun: dict[int, Call] = {}
        self._retiring = False
        self.asked = 0
        self.heard = self.idle_since = loop.time()

    @property
    def room(self) -> int:
        """Requests that may be made now."""
        return 0 if self.over or self._retiring else self._core.room_for_streams

    @property
    def over(self) -> bool:
        """It is closed."""
        return self._transport is None or bool(self._transport.is_closing())

    @property
    def leaving(self) -> bool:
        """It takes no more requests."""
        return self.over or self._retiring or self._core.leaving or bool(self._core.broken)

    @property
    def busy(self) -> int:
        """Requests that are on their way."""
        return len(self._calls)

    def ask(self, pairs: Sequence[Pair], body: bytes | Source | None, incoming: Receiver) -> Call:
        """Send a request, for which there has to be room.

        :param incoming: where the answer comes.
        """
        stream = self._core.request(pairs, not body)
        call = self._calls[stream.id] = Call(self, stream, incoming)
        self.asked += 1
        incoming.begin(call)
        if isinstance(body, Source):
            call.sending = self.loop.create_task(call.send(body))
        elif body:
            self._core.data(stream, body)
            self._core.finish(stream)
        self.flush_soon()
        return call

    # What calls want

    def data(self, stream: Stream, data: bytes) -> None:
        self._core.data(stream, data)
        self.flush_soon()

    def finish(self, stream: Stream, trailers: Sequence[Pair]) -> None:
        self._core.finish(stream, trailers)
        self.flush_soon()

    def acknowledge(self, stream: Stream, size: int) -> None:
        self._core.acknowledge(stream.id, size)
        self.flush_soon()

    def drop(self, call: Call, late: bool) -> None:
        """A request is over.

        :param late: it was given up while nothing at all came on this connection, which may be dead.
        """
        if self._calls.pop(call.stream.id, None) is None:
            return
        if call.stream.open:
            self._core.reset(call.stream, ErrorCodes.CANCEL)
            self.flush_soon()
        if late:
            self._retiring = True
        if not self._calls:
            self.idle_since = self.loop.time()
            if self.leaving:
                self.close()
        self._changed(self)

    def unsent(self) -> int:
        return int(self._transport.get_write_buffer_size())

    def flush_soon(self) -> None:
        """Write what there is to write, with what else is said in this turn of the loop."""
        if not self._told:
            self._told = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._told = False
        if self.over:
            return
        core, transport = self._core, self._transport
        size = transport.get_write_buffer_size()
        while size < HIGH_BYTES:  # beyond that, the transport tells when it has room
            core.pump(HIGH_BYTES - size)
            if not core.outgoing:
                break
            transport.write(core.take())
            size = transport.get_write_buffer_size()
        for call in tuple(self._calls.values()):
            call.flushed()
        if core.broken:
            self._fail(lambda call: BackendError(Code.PROTOCOL, f"HTTP/2: {core.broken}", sent=True))
            transport.abort()

    # What the transport tells

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(HIGH_BYTES >> 1)
        self._core.begin()
        self._flush()

    def data_received(self, data: bytes) -> None:
        self.heard = now = self.loop.time()
        room = self._core.room_for_streams
        self._told = True  # the flush below is enough
        for event in self._core.receive(data, now):
            self._take(event)
        begun, self._begun = self._begun, {}
        for call in begun.values():
            call.incoming.so_far()
        self._flush()
        if self._core.room_for_streams > room:
            self._changed(self)

    def _take(self, event: Event) -> None:
        call = None if isinstance(event, Leaving) else self._calls.get(getattr(event, "stream", 0))
        if call is None:
            if isinstance(event, Leaving):
                self._changed(self)
            return
        incoming = call.incoming
        match event:
            case Responded():
                if event.pairs[0][1][:1] == b"1":
                    incoming.touch()
                    call.informs += 1
                    if call.informs <= INTERIM:
                        incoming.informed(self._heads.make(event.pairs))
                else:
                    incoming.began(self._heads.make(event.pairs))
                    self._begun[call.stream.id] = call
            case Received():
                call.got(event.data, event.padding)
                self._begun[call.stream.id] = call
            case Trailers():
                call.trailers = Fields(event.pairs)
            case Ended():
                call.over = True
                self._begun.pop(call.stream.id, None)
                incoming.end(call.trailers)
                call.leave()
            case Reset():
                call.over = True
                self._begun.pop(call.stream.id, None)
                incoming.fail(refusal(event.code, incoming.head is not None))

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        said = f": {error}" if error is not None else ""

        def broken(call: Call) -> BackendError:
            if call.incoming.head is None:
                return Broken(f"the server closed the connection without an answer{said}")
            return BackendError(Code.REFUSED, f"the connection broke within the answer{said}", sent=True)

        self._fail(broken)
        self._changed(self)

    @property
    def waits(self) -> bool:
        """There is something to be written when there is room."""
        return any(call.stream.waiting for call in self._calls.values())

    def resume_writing(self) -> None:
        self._flush()

    def _fail(self, error: Callable[[Call], BackendError]) -> None:
        for call in tuple(self._calls.values()):
            call.over = True
            call.incoming.fail(error(call))

    def end(self, error: BackendError) -> None:
        """End all that runs, and close."""
        self._fail(lambda call: error)
        self.close()

    def close(self) -> None:
        """Close, with a good-bye."""
        if not self.over:
            self._core.leave()
            self._transport.write(self._core.take())
            self._transport.abort()


class Call:
    """One request on a connection.

    :ivar over: its stream is gone.
    :ivar informs: interim responses that came.
    """

    __slots__ = ("_connection", "_writable", "incoming", "informs", "over", "sending", "stream", "trailers")

    def __init__(self, connection: Http2Connection, stream: Stream, incoming: Receiver) -> None:
        self._connection = connection
        self._writable: asyncio.Future[None] | None = None
        self.stream = stream
        self.incoming = incoming
        self.sending: asyncio.Task[None] | None = None
        self.trailers: Fields | None = None
        self.over = False
        self.informs = 0

    async def send(self, body: Source) -> None:
        sent = 0
        try:
            async for piece in body.pieces():
                sent += len(piece)
                if 0 <= body.length < sent:
                    break
                self._connection.data(self.stream, piece)
                self.incoming.touch()
                if self.stream.waiting > HIGH_BYTES:
                    self._writable = self._connection.loop.create_future()
                    await self._writable
        except Exception as error:  # noqa: BLE001 - whatever the caller's iterable raises, the caller hears of it
            self.incoming.fail(unreadable(error))
            return
        if 0 <= body.length != sent:
            self.incoming.fail(BackendError(Code.FAILED, f"the body is not as long as its {body.length} bytes", sent=True))
            return
        self._connection.finish(self.stream, body.trailers())
        self.sending = None

    def flushed(self) -> None:
        """Something was sent, perhaps of this."""
        if self._writable is not None and self.stream.waiting <= HIGH_BYTES >> 1 and not self._writable.done():
            self._writable.set_result(None)

    def got(self, data: bytes, padding: int) -> None:
        if self.incoming.streaming:
            self._connection.acknowledge(self.stream, padding)
        else:
            self._connection.acknowledge(self.stream, len(data) + padding)
        if data:
            self.incoming.got(data)

    # What the answer's reader wants

    def pending(self) -> int:
        size = self.stream.waiting + self._connection.unsent()
        return -1 if self.sending is not None and not size else size

    def hold(self) -> None:
        """The window of the stream holds the server back."""

    def taken(self, size: int) -> None:
        self._connection.acknowledge(self.stream, size)

    def leave(self) -> None:
        if self.sending is not None:
            self.sending.cancel()
            self.sending = None
        error = self.incoming.error
        late = error is not None and error.code in (Code.TIMEOUT, Code.SLOW) and not self.over
        self._connection.drop(self, late and self._connection.heard < self.incoming.began_at)


def refusal(code: int, begun: bool) -> BackendError:
    """What the end of a stream means."""
    if code == ErrorCodes.REFUSED_STREAM and not begun:
        return Broken("the server takes no more requests on this connection", sent=False)
    try:
        name = ErrorCodes(code).name
    except ValueError:
        name = f"code {code}"
    kind = Code.PROTOCOL if code in (ErrorCodes.PROTOCOL_ERROR, ErrorCodes.STREAM_CLOSED) else Code.REFUSED
    return StreamReset(kind, f"the server's stream ended too early: {name}", code)


def request_pairs(verb: str, scheme: str, authority: str, target: str, fields: Iterable[Field], length: int) -> list[Pair]:
    """A request head (RFC 9113, section 8.3.1).

    :param length: of the body; -1 leaves it out.
    """
    pairs = [
        (b":method", verb.encode("ascii")),
        (b":scheme", scheme.encode("ascii")),
        (b":authority", authority.encode("latin-1")),
        (b":path", target.encode("ascii")),
    ]
    for name, value in fields:
        lower = name.lower()
        if lower not in OF_CONNECTIONS:
            pairs.append((lower.encode("ascii"), value.encode("latin-1")))
    if length >= 0:
        pairs.append((b"content-length", b"%d" % length))
    return pairs
