"""Calls of gRPC to Saddle apps: their functions run where they belong, and their messages come and go at their pace.

A plain function of a single request and a single response runs in the worker's threads. One that has to do with a stream
runs in threads of their own (`worker.streams`), and while its client is slow to read it holds none. Coroutine functions
and asynchronous generators run in the loop.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any

from skitai.errors import Answerable
from skitai.exchange import Flow
from skitai.protocols.grpc.request import Asked
from skitai.protocols.grpc.status import RpcError, StatusCode
from skitai.saddle import grpc
from skitai.saddle import grpc_call as saddle
from skitai.saddle.context import Was
from skitai.saddle.grpc_methods import Method, Target
from skitai.saddle.hooks import Steps
from skitai.was.context import current
from skitai.worker.apps.saddle_call import Call
from skitai.worker.rpc import Line, Messages, end_of

if TYPE_CHECKING:
    from skitai.worker.apps.saddle import SaddleApp

AHEAD = 64
"""Messages that are read ahead of a function in a thread."""

AHEAD_BYTES = 65536

SMALL_BYTES = 65536
"""A request up to this size is read in the loop."""

LATE = StatusCode.DEADLINE_EXCEEDED, "the deadline has passed"
LEFT = StatusCode.CANCELLED, "the client has left"
BUSY = StatusCode.UNAVAILABLE, "no thread was free in time"
LEAVING = StatusCode.UNAVAILABLE, "the server ends"

Why = tuple[StatusCode, str]
"""Why a call ends before its handler does."""


class RpcCall(Call):
    """One call, from its head to its status."""

    __slots__ = (
        "__weakref__",
        "_deadline",
        "_inbox",
        "_is_parked",
        "_line",
        "_method",
        "_rpc",
        "_timer",
        "_waiting",
        "_work",
    )

    def __init__(self, driver: SaddleApp, exchange: Any, target: Target, asked: Asked, most_bytes: int) -> None:
        super().__init__(driver, exchange, (target.route, dict(target.values), None))
        self._rpc = target
        method = target.method
        if method is not None and (method.takes_stream or method.gives_stream):
            self._submit = driver.streams.submit
        self._method = method
        self._inbox: Inbox | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: asyncio.TimerHandle | None = None
        self._work: weakref.ref[asyncio.Task[None]] | None = None
        self._is_parked = False
        self._deadline = inf
        self._line = Line(exchange, asked, most_bytes)

    # Beginning and ending

    def start(self) -> None:
        """Begin, in the loop."""
        timeout_s = self._line.asked.timeout_s
        self._deadline = monotonic() + timeout_s
        if timeout_s != inf:
            self._timer = asyncio.get_running_loop().call_later(timeout_s, self._interrupt, LATE)
        method = self._method
        if method is not None and (self._rpc.in_loop or method.takes_stream or method.gives_stream):
            self.exchange.when_gone(partial(interrupted, weakref.ref(self)))
        if self._rpc.in_loop:
            self.begin_in_loop()
        else:
            if method is not None and method.takes_stream:
                self._inbox = Inbox(self._line, method, self._driver.on_loop)
                self._inbox.task = self._driver.hold(self._inbox.fill())
            if self._submit == self._driver.streams.submit:
                wait_s = self._driver.thread_wait_s
                self._waiting = asyncio.get_running_loop().call_later(wait_s, self._interrupt, BUSY)
            self._submit(self.begin)

    def begin(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._driver.on_loop(waiting.cancel)
        super().begin()

    def _answer(self, was: Was, error: Answerable | None) -> Steps:
        rpc, line, method = self._rpc, self._line, self._method
        if method is None or not method.takes_stream:
            request = partial(single, line, method)
        else:
            request = partial(several, line, method, self._inbox)
        call = saddle.Call(rpc.service, rpc.name, self.exchange, line, self._deadline, request)
        call.is_large = method is not None and not method.takes_stream and self.exchange.received > SMALL_BYTES
        return grpc.answer(was, rpc, call)

    def _task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = super()._task(work)
        self._work = weakref.ref(task)
        return task

    @property
    def _has_threads(self) -> bool:
        return super()._has_threads or self._submit == self._driver.streams.submit

    def leave(self) -> None:
        """The server cannot wait any longer."""
        self._interrupt(LEAVING)

    def _interrupt(self, why: Why) -> None:
        """The call ends before its handler does, which is told. Belongs to the loop."""
        line = self._line
        if line.over:
            return
        if why is LEFT:
            line.over = True
        else:
            line.finish(*why)
        if self._inbox is not None:
            self._inbox.break_off(why)
        work = self._work() if self._work is not None else None
        if work is not None:
            work.cancel()
        self._unpark()

    # Sending

    def _send(self, content: Any) -> bool:
        method = self._method
        assert method is not None
        self._line.use(self._compression())
        if not method.gives_stream:
            self._line.send(method.dump(content))
            self._complete()
            self._end()
            return False
        if hasattr(content, "__aiter__"):
            self._driver.on_loop(self._stream, content)
            return False
        self._pieces = Dumped(method, content)
        return True

    def _compression(self) -> str | None:
        call = self._was._call
        wanted = call.compression if call is not None else None
        return wanted or self._driver.app._grpc.compression

    def _put(self, piece: bytes) -> Flow:
        return self._line.send(piece)

    def _complete(self) -> None:
        call = self._was._call
        self._line.finish(metadata=call.trailers if call is not None else ())

    def _pump(self) -> None:
        for piece in self._pieces:
            flow = self._line.send(piece)
            if flow is Flow.WAIT:
                self._is_parked = True
                self.exchange.when_writable(self._unpark)
                if self._line.over:  # meanwhile: nobody would wake us
                    self._driver.on_loop(self._unpark)
                return
            if flow is Flow.GONE:
                self._end()
                return
        self._complete()
        self._end()

    def _unpark(self) -> None:
        """Let the iterator go on that waits for the client. Belongs to the loop."""
        if self._is_parked:
            self._is_parked = False
            self._resume()

    async def _pump_in_loop(self, responses: Any) -> None:
        method = self._method
        assert method is not None
        current.set(self.exchange)
        try:
            async for message in responses:
                flow = self._line.send(method.dump(message))
                if flow is Flow.GONE:
                    break
                if flow is Flow.WAIT:
                    taken = asyncio.Event()
                    self.exchange.when_writable(taken.set)
                    await taken.wait()
            else:
                self._complete()
        except BaseException as error:  # noqa: BLE001 - the app's own, whatever it is
            self._tell(error)
        finally:
            close = getattr(responses, "aclose", None)
            if close is not None:
                await self._closed(close)
            self._end()

    async def _closed(self, close: Callable[[], Any]) -> None:
        try:
            await close()
        except BaseException as error:  # noqa: BLE001 - as above
            self._tell(error)

    def _fail(self, error: BaseException) -> None:
        self._tell(error)
        self._end()

    def _tell(self, error: BaseException) -> None:
        """End the call with what an error means."""
        line = self._line
        if line.over and isinstance(error, (RpcError, asyncio.CancelledError)):
            return  # the handler's answer to being told that the call is over
        end = end_of(self.exchange, error)
        line.finish(end.code, end.message, end.details, end.metadata)

    def _end(self) -> None:
        if self._timer is not None:
            timer, self._timer = self._timer, None
            self._driver.on_loop(timer.cancel)
        if self._inbox is not None:
            self._driver.on_loop(self._inbox.break_off, LEFT)
        pieces = getattr(self, "_pieces", None)
        if pieces is not None:
            try:
                pieces.close()
            except BaseException as error:  # noqa: BLE001 - as above
                self._tell(error)
        self._line.settle()
        super()._end()


class Dumped:
    """The responses of a plain iterator, as bytes."""

    __slots__ = ("_method", "_responses", "_source")

    def __init__(self, method: Method, responses: Any) -> None:
        self._method = method
        if hasattr(responses, "SerializeToString"):
            raise TypeError(f"the method gives a stream, so messages are wanted, and not one {type(responses).__name__}")
        self._source = responses
        self._responses: Iterator[Any] = iter(responses)

    def __iter__(self) -> Dumped:
        return self

    def __next__(self) -> bytes:
        return self._method.dump(next(self._responses))

    def close(self) -> None:
        close = getattr(self._source, "close", None)
        if close is not None:
            close()


class Requests:
    """The requests of a client, for a function in the loop."""

    __slots__ = ("_messages", "_method")

    def __init__(self, line: Line, method: Method) -> None:
        self._messages = Messages(line)
        self._method = method

    def __aiter__(self) -> Requests:
        return self

    async def __anext__(self) -> Any:
        return self._method.parse(await self._messages.__anext__())


class Inbox:
    """The requests of a client, for a function in a thread: read ahead, within limits, by a task of the loop."""

    def __init__(self, line: Line, method: Method, on_loop: Callable[..., None]) -> None:
        self._line = line
        self._method = method
        self._on_loop = on_loop
        self._messages: deque[bytes] = deque()
        self._size = 0
        self._error: BaseException | None = None
        self._ended = False
        self._ready = threading.Condition()
        self._room: asyncio.Event | None = None
        self.task: asyncio.Task[None] | None = None

    def __iter__(self) -> Inbox:
        return self

    def __next__(self) -> Any:
        with self._ready:
            self._ready.wait_for(lambda: self._messages or self._ended)
            if self._messages:
                message = self._messages.popleft()
                self._size -= len(message)
            elif self._error is not None:
                error, self._error = self._error, None  # or both would keep each other, by the traceback
                try:
                    raise error
                finally:
                    del error
            else:
                raise StopIteration
            room = self._room if self._is_low else None
            if room is not None:
                self._room = None
        if room is not None:
            self._on_loop(room.set)
        return self._method.parse(message)

    @property
    def _is_low(self) -> bool:
        return len(self._messages) <= AHEAD // 2 and self._size <= AHEAD_BYTES // 2

    async def fill(self) -> None:
        """Read what the client sends, as long as there is room."""
        error: BaseException | None = None
        try:
            async for message in Messages(self._line):
                room = None
                with self._ready:
                    if self._ended:
                        return
                    self._messages.append(message)
                    self._size += len(message)
                    if len(self._messages) >= AHEAD or self._size >= AHEAD_BYTES:
                        room = self._room = asyncio.Event()
                    self._ready.notify()
                if room is not None:
                    await room.wait()
        except BaseException as failed:  # noqa: BLE001 - it is the reader's
            error = failed
        with self._ready:
            if not self._ended:
                self._ended, self._error = True, error
                self._ready.notify_all()

    def break_off(self, why: Why) -> None:
        """There will be no more: whoever waits gets the error. Belongs to the loop."""
        with self._ready:
            if not self._ended:
                self._ended, self._error = True, RpcError(*why)
                self._messages.clear()
                self._ready.notify_all()
        if self.task is not None:
            self.task.cancel()


def single(line: Line, method: Method | None) -> Any:
    """The request of a client that makes one."""
    assert method is not None
    return method.parse(line.message())


def several(line: Line, method: Method, inbox: Inbox | None) -> Any:
    """What gives the requests of a client."""
    return inbox if inbox is not None else Requests(line, method)


def interrupted(call: weakref.ref[RpcCall]) -> None:
    """The client of a call has left."""
    running = call()
    if running is not None:
        running._interrupt(LEFT)
