"""One answer on its way: what both versions of HTTP tell of it, and what the request that waits for it sees."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from skitai.backend.errors import BackendError, Code, TimedOut
from skitai.http.head import Fields
from skitai.protocols.http1.answer import AnswerHead

HIGH_BYTES = 262144
"""Of a stream that nobody takes, before the server is made to wait."""


INFINITE = float("inf")


class Broken(BackendError):
    """The connection ended before a byte of the answer had come.

    :param sent: the server may have seen the request.
    """

    def __init__(self, message: str, sent: bool = True) -> None:
        super().__init__(Code.REFUSED, message, sent)


class StreamReset(BackendError):
    """The server ended one request of an HTTP/2 connection.

    :ivar reset: its reason, a number of `protocols.http2.events.ErrorCodes` or an unknown one.
    """

    def __init__(self, code: Code, message: str, reset: int) -> None:
        super().__init__(code, message, sent=True)
        self.reset = reset


class Flow(Protocol):
    """The connection below an answer."""

    def pending(self) -> int:
        """Bytes of the request that wait for the server; below 0 while the request waits for its own source."""

    def hold(self) -> None:
        """The answer is not taken fast enough."""

    def taken(self, size: int) -> None:
        """So many bytes of it were taken."""

    def leave(self) -> None:
        """Nobody takes the rest, or there is none: the connection goes back to where it came from, or is closed."""


class Watched(Protocol):
    """What may take too long."""

    def look(self, now: float) -> float:
        """End it if it does; when to look again."""


class Receiver(Protocol):
    """Where an answer comes: `Incoming`, or whoever hands it on as it comes. Connections call it in the loop's thread.

    :ivar head: of the answer; None until it has come.
    :ivar error: why there will be no more.
    :ivar streaming: says by `Flow.taken` what it has taken.
    :ivar began_at: on the loop's clock.
    """

    @property
    def head(self) -> AnswerHead | None: ...
    @property
    def error(self) -> BackendError | None: ...
    @property
    def streaming(self) -> bool: ...
    @property
    def began_at(self) -> float: ...

    def begin(self, flow: Flow) -> None:
        """The request goes out on a connection."""

    def touch(self) -> None:
        """Something has happened."""

    def began(self, head: AnswerHead) -> None:
        """The head is here."""

    def got(self, piece: bytes) -> None:
        """A piece of the content."""

    def informed(self, head: AnswerHead) -> None:
        """An interim response (RFC 9110, section 15.2) is here, ahead of the answer."""

    def so_far(self) -> None:
        """That was all for now: what follows may take its time."""

    def end(self, trailers: Fields | None = None) -> None:
        """The answer is complete."""

    def whole(self, head: AnswerHead, body: bytes) -> None:
        """The answer is here, all at once: `began`, `got` and `end`."""

    def fail(self, error: BackendError) -> None:
        """There will be no more."""


class Watch:
    """Ends answers that take too long: one timer for all of them, for nearly all end before it.

    :param idle_s: so long nothing may happen.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, idle_s: float) -> None:
        self.loop = loop
        self.idle_s = idle_s
        self._watched: set[Watched] = set()
        self._alarm: asyncio.TimerHandle | None = None
        self._next = INFINITE
        self.remove = self._watched.discard
        """Called with one that has ended, or was never added."""

    def add(self, incoming: Watched, due: float) -> None:
        """Look at an answer at `due` of the loop's clock, or earlier."""
        self._watched.add(incoming)
        if due < self._next:
            self._set(due)

    def _set(self, due: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._next = due
        self._alarm = self.loop.call_at(due, self._look)

    def _look(self) -> None:
        self._alarm, self._next = None, INFINITE
        now = self.loop.time()
        dues = [each.look(now) for each in tuple(self._watched)]
        if dues and (due := min(dues)) < self._next:
            self._set(due)

    def close(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()


class Answer(ABC):
    """An answer that is gathered, or read as a stream.

    :param check: called with its head; raises a BackendError when the caller does not want the rest.
    :param most_bytes: longest content, as it is transferred.
    :param streaming: its reader takes it piece by piece.
    :ivar began_at: on the loop's clock.
    """

    __slots__ = (
        "_at",
        "_check",
        "_deadline",
        "_flow",
        "_held",
        "_loop",
        "_more",
        "_most_bytes",
        "_pending",
        "_size",
        "_told",
        "_watch",
        "began_at",
        "ended",
        "error",
        "head",
        "pieces",
        "streaming",
        "trailers",
    )

    def __init__(
        self,
        watch: Watch,
        check: Callable[[AnswerHead], None],
        most_bytes: int,
        deadline: float,
        streaming: bool,
    ) -> None:
        self._watch = watch
        self._loop = loop = watch.loop
        self._check = check
        self._most_bytes = most_bytes
        self._deadline = deadline
        self.streaming = streaming
        self._flow: Flow | None = None
        self._at = self.began_at = now = loop.time()
        self._pending = 0
        self._size = 0
        self._held = 0
        self._more: asyncio.Future[None] | None = None
        self.head: AnswerHead | None = None
        self.pieces: deque[bytes] = deque()
        self.trailers: Fields | None = None
        self.ended = False
        self.error: BackendError | None = None
        self._told = False
        due = now + watch.idle_s
        watch.add(self, due if due < deadline else deadline)

    @abstractmethod
    def _tell(self, error: BackendError | None) -> None:
        """Called once: the answer is there; of a stream, its head is; or (`error`) there will be none."""

    def begin(self, flow: Flow) -> None:
        """The request goes out on a connection."""
        self._flow = flow

    # What the connection tells

    def touch(self) -> None:
        """Something has happened."""
        self._at = self._loop.time()

    def began(self, head: AnswerHead) -> None:
        """The head is here."""
        self._at = self._loop.time()
        self.head = head
        try:
            self._check(head)
        except BackendError as error:
            self.fail(error)
            return
        if self.streaming:
            self._told = True
            self._tell(None)

    def got(self, piece: bytes) -> None:
        """Some of the content is here."""
        self._at = self._loop.time()
        self._size += len(piece)
        if self.streaming:
            self._held += len(piece)
            if self._held > HIGH_BYTES and self._flow is not None:
                self._flow.hold()
        elif self._size > self._most_bytes:
            self.fail(BackendError(Code.TOO_LARGE, f"more than {self._most_bytes} bytes of content", sent=True))
            return
        self.pieces.append(piece)
        self._wake()

    def informed(self, head: AnswerHead) -> None:  # noqa: B027 - as below
        """That is for clients that show what they get."""

    def so_far(self) -> None:  # noqa: B027 - there is nothing to be done
        """Who waits was woken already."""

    def whole(self, head: AnswerHead, body: bytes) -> None:
        """The answer is here, all at once."""
        self.began(head)
        if self.error is None and body:
            self.got(body)
        if self.error is None:
            self.end()

    def end(self, trailers: Fields | None = None) -> None:
        """The answer is complete."""
        self.trailers = trailers
        self.ended = True
        self._watch.remove(self)
        if not self._told:
            self._told = True
            self._tell(None)
        self._wake()

    def fail(self, error: BackendError) -> None:
        """There will be no more."""
        if self.ended or self.error is not None:
            return
        self.error = error
        self._watch.remove(self)
        if not self._told:
            self._told = True
            self._tell(error)
        elif self.streaming:
            self._wake()
            self.leave()

    def leave(self) -> None:
        """Nobody waits any longer."""
        self._watch.remove(self)
        flow, self._flow = self._flow, None
        if flow is not None:
            flow.leave()

    def _wake(self) -> None:
        if self._more is not None and not self._more.done():
            self._more.set_result(None)

    def look(self, now: float) -> float:
        """See whether it takes too long; when to look again."""
        if now >= self._deadline:
            self.fail(TimedOut(sent=self._flow is not None))
            return INFINITE
        idle_s = self._watch.idle_s
        pending = 0 if self._flow is None else self._flow.pending()
        if pending < 0 or pending != self._pending:
            self._at, self._pending = now, pending
        if now - self._at >= idle_s:
            self.fail(BackendError(Code.SLOW, f"nothing came for {idle_s:g} seconds", sent=True))
            return INFINITE
        return min(self._deadline, self._at + idle_s)

    # What a stream's reader sees

    async def stream(self) -> AsyncIterator[bytes]:
        """The pieces as they come.

        :raises BackendError: the rest does not come.
        """
        try:
            while True:
                while self.pieces:
                    piece = self.pieces.popleft()
                    self._held -= len(piece)
                    self._at = self._loop.time()
                    if self._flow is not None:
                        self._flow.taken(len(piece))
                    yield piece
                if self.error is not None:
                    raise self.error
                if self.ended:
                    return
                self._more = self._loop.create_future()
                await self._more
        finally:
            self.leave()


class Incoming(Answer):
    """An answer that is awaited.

    :ivar ready: done when the answer is there; of a stream, when its head is.
    """

    __slots__ = ("ready",)

    def __init__(
        self,
        watch: Watch,
        check: Callable[[AnswerHead], None],
        most_bytes: int,
        deadline: float,
        streaming: bool,
    ) -> None:
        super().__init__(watch, check, most_bytes, deadline, streaming)
        self.ready: asyncio.Future[None] = watch.loop.create_future()

    def _tell(self, error: BackendError | None) -> None:
        if self.ready.done():
            return  # nobody waits any more
        if error is None:
            self.ready.set_result(None)
        else:
            self.ready.set_exception(error)
