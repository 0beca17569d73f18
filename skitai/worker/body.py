"""Request bodies as apps see them: whole (memory, then a spool file) or as a stream."""

from __future__ import annotations

import asyncio
import io
import os
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Callable
from math import inf
from time import monotonic
from typing import IO, Protocol

from skitai.errors import Gone
from skitai.exchange import Fields
from skitai.worker.services import Services

NO_TRAILERS = Fields(())

STREAM_BYTES = 131072
"""Read ahead of an app that takes its body as a stream."""


class Sink(Protocol):
    """Takes a body from the wire. All methods belong to the loop's thread.

    :ivar trailers: set before `end`, when there are some.
    """

    trailers: Fields

    def add(self, data: bytes) -> None: ...
    def end(self) -> None: ...
    def lost(self) -> None: ...


class NoBody:
    """The body of a request that has none."""

    __slots__ = ()

    trailers = NO_TRAILERS

    def open(self) -> IO[bytes]:
        return io.BytesIO()

    async def stream(self) -> AsyncIterator[bytes]:
        nothing: tuple[bytes, ...] = ()
        for piece in nothing:
            yield piece

    def lost(self) -> None: ...


NO_BODY = NoBody()


class Discard:
    """Takes what is left of a body that nobody wants."""

    __slots__ = ()

    trailers = NO_TRAILERS

    def add(self, data: bytes) -> None: ...
    def end(self) -> None: ...
    def lost(self) -> None: ...


DISCARD = Discard()


class WholeBody:
    """Collects a body, then calls `ready`. What exceeds the memory allowed goes to an unnamed file, written off the loop.

    :param pace: called with True when the client should pause, because the disk is slower, and False to go on.
    :param ready: called once the body is complete, with it, and with None or the error of the disk.
    """

    __slots__ = (
        "_file",
        "_gone",
        "_memory",
        "_pace",
        "_pieces",
        "_ready",
        "_services",
        "_size",
        "_writing",
        "complete",
        "trailers",
    )

    def __init__(
        self, services: Services, pace: Callable[[bool], None], ready: Callable[[WholeBody, OSError | None], None]
    ) -> None:
        self._services = services
        self._pace = pace
        self._ready = ready
        self._pieces: list[bytes] = []
        self._memory = 0
        self._size = 0
        self._file: IO[bytes] | None = None
        self._writing = False
        self._gone = False
        self.complete = False
        self.trailers = NO_TRAILERS

    def add(self, data: bytes) -> None:
        size = len(data)
        self._pieces.append(data)
        self._memory += size
        self._size += size
        services = self._services
        services.body_bytes += size
        limits = services.config.bodies
        if self._memory > limits.body_memory_bytes or services.body_bytes > limits.worker_body_bytes:
            self._spool()

    def end(self) -> None:
        self.complete = True
        if self._writing:
            return
        if self._file is not None and self._pieces:
            self._spool()
        else:
            self._ready(self, None)

    def lost(self) -> None:
        """The client left: what was collected is of no use."""
        self._gone = True
        self._take()
        if not self._writing:
            self._close()

    def _take(self) -> list[bytes]:
        """What is in memory, not counted any more. Loop and thread may meet here: only one gets it."""
        memory, self._memory = self._memory, 0
        self._services.body_bytes -= memory
        pieces, self._pieces = self._pieces, []
        return pieces

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _spool(self) -> None:
        if self._writing:
            self._pace(True)
            return
        self._writing = True
        pieces, self._pieces = self._pieces, []
        size, self._memory = self._memory, 0
        future = self._services.disk.submit(self._write, pieces)
        future.add_done_callback(lambda done: self._services.on_loop(self._written, size, done.exception()))

    def _write(self, pieces: list[bytes]) -> None:
        if self._file is None:
            # `open` hands it to the app, `lost` closes it
            self._file = tempfile.TemporaryFile(dir=self._services.spool_folder, buffering=0)  # noqa: SIM115
        for piece in pieces:
            view = memoryview(piece)
            while view:
                view = view[self._file.write(view) :]

    def _written(self, size: int, error: BaseException | None) -> None:
        self._writing = False
        self._services.body_bytes -= size
        if self._gone:
            self._close()
            return
        if (
            error is None
            and self._pieces
            and (self.complete or self._memory > self._services.config.bodies.body_memory_bytes)
        ):
            self._spool()
            return
        self._pace(False)
        if error is not None:
            self.lost()
            self._ready(self, error if isinstance(error, OSError) else OSError(str(error)))
        elif self.complete:
            self._ready(self, None)

    def open(self) -> IO[bytes]:
        """The whole body, from its beginning; the memory is the caller's from now on.

        :raises Gone: the client has left, and its body with it.
        """
        pieces = self._take()
        file, self._file = self._file, None
        if self._gone:
            if file is not None:
                file.close()
            raise Gone("the client left before its request was begun")
        if file is None:
            return io.BytesIO(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        return io.BufferedReader(file)  # type: ignore[type-var]

    @property
    def size(self) -> int:
        """Bytes of the whole body."""
        return self._size

    async def stream(self) -> AsyncIterator[bytes]:
        with self.open() as file:
            while data := file.read(65536):
                yield data


class StreamBody:
    """Hands a body on as it arrives; asks the client to pause while nobody takes it.

    :param pace: as for `WholeBody`.
    :param wanted: called, with the body, when the app first asks; the time for 100 (Continue).
    :ivar patient: the client owes nothing now, however long its reader waits.
    """

    __slots__ = (
        "_ended",
        "_held",
        "_lost",
        "_pace",
        "_paused",
        "_pieces",
        "_since",
        "_waited",
        "_waiter",
        "_wanted",
        "_whole",
        "patient",
        "trailers",
    )

    def __init__(self, pace: Callable[[bool], None], wanted: Callable[[StreamBody], None]) -> None:
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._paused = self._ended = self._lost = False
        self._waiter: asyncio.Future[None] | None = None
        self._pace = pace
        self._wanted = wanted
        self._since = inf
        self._waited = 0.0
        self._whole: Callable[[bytes | None], None] | None = None
        self.patient = False
        self.trailers = NO_TRAILERS

    def add(self, data: bytes) -> None:
        self._pieces.append(data)
        self._held += len(data)
        if self._held > STREAM_BYTES and not self._paused:
            self._paused = True
            self._pace(True)
        self._wake()

    def end(self) -> None:
        self._ended = True
        self._wake()

    def lost(self) -> None:
        self._lost = True
        self._wake()

    def _taken(self, size: int) -> None:
        """The app takes so many bytes."""
        self._held -= size
        if self._paused and self._held <= STREAM_BYTES // 2:
            self._paused = False
            self._pace(False)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        elif self._whole is not None:
            self._gather(self._whole)

    def whole(self, job: Callable[[bytes | None], None]) -> None:
        """Instead of `stream`, for a body of no more than `STREAM_BYTES`: have `job` called with all of it.

        :param job: called in the loop when it is complete, maybe at once, or with None when it does not come. It raises
            nothing.
        """
        self._whole = job
        self._since = monotonic()
        if not self._pieces and not self._ended:
            self._wanted(self)
        self._gather(job)

    def _gather(self, job: Callable[[bytes | None], None]) -> None:
        now = monotonic()
        self._waited += now - self._since
        self._since = now
        if self._ended or self._lost:
            self._since, self._whole = inf, None
            data = b"".join(self._pieces)
            self._pieces.clear()
            self._taken(len(data))
            job(data if self._ended else None)

    def waits(self, now: float) -> tuple[float, float]:
        """How long the reader has been waiting for the client: since the last data, and in all, in seconds."""
        idle = max(now - self._since, 0.0)
        return idle, self._waited + idle

    def open(self) -> IO[bytes]:
        raise TypeError("a streamed body cannot be opened whole")

    async def stream(self) -> AsyncIterator[bytes]:
        if not self._pieces and not self._ended:
            self._wanted(self)
        while True:
            while self._pieces:
                data = self._pieces.popleft()
                self._taken(len(data))
                yield data
            if self._ended:
                return
            if self._lost:
                raise Gone("the client left before the end of its body")
            self._waiter = asyncio.get_running_loop().create_future()
            since = monotonic()
            self._since = inf if self.patient else since
            try:
                await self._waiter
            finally:
                self._waiter = None
                self._since = inf
                if not self.patient:
                    self._waited += monotonic() - since
