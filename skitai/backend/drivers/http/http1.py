"""A connection that speaks HTTP/1.1: one request at a time."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import Any

from skitai.backend.drivers.http.bodies import Stream
from skitai.backend.drivers.http.incoming import HIGH_BYTES, Broken, Receiver
from skitai.backend.errors import BackendError, Code
from skitai.protocols.http1 import chunked
from skitai.protocols.http1.answer import AnswerHeads, Answers, BadAnswer

JOINED_BYTES = 65536
"""A body up to this size goes out in one write with its head."""


class Http1Connection(asyncio.Protocol):
    """A connection of a pool.

    :param done: takes the connection back, once the answer to a request was taken or given up.
    :ivar usable: it is open, and ready for a request.
    :ivar asked: requests that were made.
    """

    version = "1.1"

    def __init__(self, loop: asyncio.AbstractEventLoop, heads: AnswerHeads, done: Callable[[Http1Connection], None]) -> None:
        self._loop = loop
        self._done = done
        self._answers = Answers(heads)
        self._transport: Any = None
        self._incoming: Receiver | None = None
        self._sending: asyncio.Task[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._held = False
        self._lent = False
        self.usable = False
        self.asked = 0

    # What the request wants

    def ask(self, verb: str, head: bytes, body: bytes | Stream | None, incoming: Receiver) -> None:
        """Send a request.

        :param incoming: where the answer comes; the connection goes back to its pool by itself once that has left it.
        """
        self.usable = False
        self.asked += 1
        self._lent = True
        self._incoming = incoming
        self._answers.begin(verb)
        incoming.begin(self)
        if isinstance(body, Stream):
            self._transport.write(head)
            self._sending = self._loop.create_task(self._send(body, incoming))
        elif not body:
            self._transport.write(head)
        elif len(body) <= JOINED_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._transport.write(body)

    async def _send(self, body: Stream, incoming: Receiver) -> None:
        sent, transport = 0, self._transport
        try:
            async for piece in body.pieces():
                if not piece:
                    continue
                sent += len(piece)
                if 0 <= body.length < sent:
                    break
                transport.write(piece if body.length >= 0 else chunked.encode(piece))
                incoming.touch()
                if transport.get_write_buffer_size() > HIGH_BYTES:
                    self._writable = self._loop.create_future()
                    await self._writable
        except Exception as error:  # noqa: BLE001 - whatever the caller's iterable raises, the caller hears of it
            incoming.fail(unreadable(error))
            return
        if body.length < 0:
            transport.write(chunked.end_with(body.trailers()))
        elif sent != body.length:
            incoming.fail(BackendError(Code.FAILED, f"the body is not as long as its {body.length} bytes", sent=True))
            return
        self._sending = None

    @property
    def silent(self) -> bool:
        """Whether nothing has come that nobody has asked for: above all, the end of a kept connection."""
        socket = self._transport.get_extra_info("socket")
        poll = select.poll()
        poll.register(socket.fileno(), select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        self.usable = False
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None
        if self._transport is not None:
            self._transport.abort()

    # What the answer's reader wants

    def pending(self) -> int:
        size = int(self._transport.get_write_buffer_size())
        return -1 if self._sending is not None and not size else size

    def hold(self) -> None:
        if not self._held and not self._transport.is_closing():
            self._held = True
            self._transport.pause_reading()

    def taken(self, size: int) -> None:
        if self._held:
            self._held = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def leave(self) -> None:
        self._incoming = None
        if self._lent:
            self._lent = False
            self._done(self)

    def part(self) -> None:
        """The next request is the last."""
        done = self._done

        def close_first(connection: Http1Connection) -> None:
            connection.close()
            done(connection)

        self._done = close_first

    def end(self, error: BackendError) -> None:
        """There will be no answer."""
        if self._incoming is not None:
            self._incoming.fail(error)

    # What the transport tells

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(HIGH_BYTES)
        self.usable = True

    def data_received(self, data: bytes) -> None:
        incoming, answers = self._incoming, self._answers
        if incoming is None:
            self.close()  # nobody has asked for that
            return
        body = answers.whole(data)
        if body is not None:
            head = answers.head
            assert head is not None
            if self._sending is None and not self._held:
                self._incoming = None
                self.usable = head.keep_alive
                incoming.whole(head, body)
            else:
                incoming.began(head)
                incoming.got(body)
                self._complete(incoming)
            return
        try:
            pieces = answers.receive(data)
        except BadAnswer as error:
            self._fail(BackendError(Code.PROTOCOL, str(error), sent=True))
            return
        if answers.informed:
            informed, answers.informed = answers.informed, []
            for head in informed:
                incoming.informed(head)
        if answers.head is None:
            incoming.touch()
            return
        if incoming.head is None:
            incoming.began(answers.head)
        for piece in pieces:
            incoming.got(piece)
        if answers.ended:
            self._complete(incoming)
        else:
            incoming.so_far()

    def _complete(self, incoming: Receiver) -> None:
        answers = self._answers
        assert answers.head is not None
        self._incoming = None
        self.usable = (
            answers.head.keep_alive and not answers.rest and self._sending is None and not self._transport.is_closing()
        )
        if self._sending is not None:
            self._sending.cancel()  # the server does not want the rest
            self._sending = None
        self.taken(0)
        if incoming.error is None:
            incoming.end(answers.trailers)

    def eof_received(self) -> bool:
        incoming, answers = self._incoming, self._answers
        if incoming is not None and not answers.ended and answers.begun:
            try:
                answers.end()
            except BadAnswer as error:
                self._fail(BackendError(Code.PROTOCOL, str(error), sent=True))
            else:
                self._complete(incoming)
        self.close()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.usable = False
        self.resume_writing()
        if self._incoming is not None and self._sending is not None and hasattr(self._transport, "rest"):
            answer = self._transport.rest()  # a server that does not want a body may say so, and close
            if answer:
                self.data_received(answer)
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None
        if self._incoming is not None:
            if self._answers.begun:
                self._fail(BackendError(Code.REFUSED, f"the connection broke within the answer{_said(error)}", sent=True))
            else:
                self._fail(Broken(f"the server closed the connection without an answer{_said(error)}"))

    @property
    def waits(self) -> bool:
        """There is something to be written when there is room."""
        return self._writable is not None

    def resume_writing(self) -> None:
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    def _fail(self, error: BackendError) -> None:
        incoming, self._incoming = self._incoming, None
        self.close()
        if incoming is not None:
            incoming.fail(error)


def unreadable(error: Exception) -> BackendError:
    """What a request ends with whose own body fails."""
    failed = BackendError(Code.FAILED, f"the request's body could not be read: {type(error).__name__}: {error}", sent=True)
    failed.__cause__ = error
    return failed


def _said(error: Exception | None) -> str:
    return f": {error}" if error is not None else ""
