"""One request of a Saddle app, from its first step to the end of its response: its steps are taken where they belong."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from functools import partial
from inspect import isawaitable
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from skitai.errors import Answerable, Unavailable
from skitai.exchange import Flow
from skitai.saddle.call import answer
from skitai.saddle.contents import FileBody
from skitai.saddle.context import Was
from skitai.saddle.hooks import Step, Steps
from skitai.saddle.pieces import AsyncPieces
from skitai.saddle.results import Outcome
from skitai.saddle.targets import Target
from skitai.was.context import current
from skitai.worker.apps.pump import Pump

if TYPE_CHECKING:
    from skitai.worker.apps.saddle import SaddleApp

log = logging.getLogger("skitai.app")


class Call(Pump):
    """One request, from its first step to the end of its response."""

    __slots__ = ("_driver", "_outcome", "_started", "_steps", "_target", "_was")

    def __init__(self, driver: SaddleApp, exchange: Any, target: Target) -> None:
        self._driver = driver
        self._submit = driver.submit
        self._target = target
        self.exchange = exchange
        self._started = False
        self._outcome: Outcome | None = None
        self._was: Was
        self._steps: Steps

    def begin(self) -> None:
        """Work on the request in this thread. Errors become answers; nothing is raised."""
        if not (self.exchange.crowded and self.exchange.held_back(self.begin)) and self._open():
            self._advance(next, self._steps)

    def begin_in_loop(self) -> None:
        """Work on the request in the loop."""
        self._task(self._begin_in_loop())

    async def _begin_in_loop(self) -> None:
        # Asked here, not before: what other tasks of this turn have answered may wait for the client by now.
        if not (self.exchange.crowded and self.exchange.held_back(self.begin_in_loop)) and self._open():
            await self._advance_in_loop(next, self._steps)

    def _open(self) -> bool:
        if not self.exchange.take():
            self.exchange.body.lost()
            self._driver.running.discard(self)
            return False
        route, values, error = self._target
        was = self.exchange.context
        if was is None or was.app is not self._driver.app:
            self.exchange.context = was = Was(self._driver.app, self.exchange, route, values)
        self._was = was
        self._steps = self._answer(was, error)
        return True

    def _answer(self, was: Was, error: Answerable | None) -> Steps:
        return answer(was, error)

    # Taking steps

    def _advance(self, resume: Callable[..., Step], *args: Any) -> None:
        """Take the steps that may be taken in a thread, beginning with what `resume` gives."""
        current.set(self.exchange)
        steps = self._steps
        try:
            try:
                step = resume(*args)
                while not step.is_async:
                    try:
                        result = step.function(*step.args, **step.kwargs)
                    except BaseException as error:  # noqa: BLE001 - the steps decide what becomes of it
                        step = steps.throw(error)
                    else:
                        step = steps.send(result)
            except StopIteration as end:
                outcome = end.value
            else:
                self._driver.on_loop(self._go_on_in_loop, step)
                return
            if self._send(outcome):
                self._pump()
        except BaseException as error:  # noqa: BLE001 - sys.exit() too: no thread ends with a request
            self._fail(error)
        finally:
            current.set(None)

    def _go_on_in_loop(self, step: Step) -> None:
        self._task(self._advance_in_loop(lambda: step))

    async def _advance_in_loop(self, resume: Callable[..., Step], *args: Any) -> None:
        """The same in the loop; plain functions go to a thread if there are any."""
        current.set(self.exchange)  # in this task's own context
        steps = self._steps
        try:
            try:
                step = resume(*args)
                while step.is_async or not self._has_threads:
                    try:
                        result = step.function(*step.args, **step.kwargs)
                        if step.is_async and (type(result) is CoroutineType or isawaitable(result)):
                            result = await result  # a decorator's wrapper may have nothing to wait for
                    except BaseException as error:  # noqa: BLE001 - as in `_advance`
                        step = steps.throw(error)
                    else:
                        step = steps.send(result)
            except StopIteration as end:
                outcome = end.value
            else:
                self._submit(partial(self._advance, given, step))
                return
            if self._send(outcome):
                self._resume()
        except BaseException as error:  # noqa: BLE001 - as in `_advance`
            self._fail(error)

    @property
    def _has_threads(self) -> bool:
        return bool(self._driver.threads)

    def _task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._driver.hold(work)

    # Sending

    def _send(self, outcome: Outcome) -> bool:
        """Send the outcome, or begin to.

        :returns: whether there are pieces left that a thread has to send.
        """
        body = outcome.body
        exchange = self.exchange
        if isinstance(body, bytes):
            exchange.respond(outcome.status, outcome.fields, body, outcome.reason)
            self._end()
            return False
        self._outcome = outcome
        if exchange.head.method == "HEAD":
            if exchange.start(outcome.status, outcome.fields, outcome.reason):
                exchange.finish()
            self._end()
        elif isinstance(body, FileBody):
            if exchange.start(outcome.status, outcome.fields, outcome.reason):
                self._outcome = None  # closing the file is the sender's business now
                exchange.send_file(body.file, body.offset, body.count)
            self._end()
        elif isinstance(body, AsyncPieces):
            self._driver.on_loop(self._stream, body)
        else:
            self._pieces = body
            return True
        return False

    def _put(self, piece: bytes) -> Flow:
        if not self._started:
            outcome = self._outcome
            assert outcome is not None
            self._started = True
            if not self.exchange.start(outcome.status, outcome.fields, outcome.reason):
                return Flow.GONE
        flow: Flow = self.exchange.write(piece)
        return flow

    def _complete(self) -> None:
        if not self._started:
            self._put(b"")
        self.exchange.finish()

    def _stream(self, pieces: AsyncPieces) -> None:
        task = self._task(self._pump_in_loop(pieces))
        # Weakly, for the task refers to the exchange.
        self.exchange.when_gone(partial(cancel, weakref.ref(task)))

    async def _pump_in_loop(self, pieces: AsyncPieces) -> None:
        """Send what an asynchronous iterator yields, at the client's pace."""
        exchange = self.exchange
        current.set(exchange)
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    flow = self._put(piece) if piece else Flow.ON
                    if flow is Flow.GONE:
                        break
                    if flow is Flow.WAIT:
                        taken = asyncio.Event()
                        exchange.when_writable(taken.set)
                        await taken.wait()
                else:
                    self._complete()
        except asyncio.CancelledError:
            if not exchange.gone:
                exchange.fail(Unavailable("the request was cancelled"))
        except BaseException as error:  # noqa: BLE001 - as in `_advance`
            exchange.fail(error)
        finally:
            self._end()

    def _fail(self, error: BaseException) -> None:
        self._end()
        cancelled = isinstance(error, asyncio.CancelledError)
        self.exchange.fail(Unavailable("the request was cancelled") if cancelled else error)

    def _end(self) -> None:
        """Let go of what belongs to the request."""
        self.exchange.context = None
        outcome, self._outcome = self._outcome, None
        if outcome is not None:
            close = getattr(outcome.body, "close", None)
            if close is not None:
                try:
                    close()
                except BaseException:  # noqa: BLE001 - whatever it is, the response is what it is
                    log.exception("close() of the response's body failed", extra={"txn": self.exchange.txn})
        self._was.close()
        if self.exchange.received:
            self.exchange.body.lost()  # if the app did not read it
        self._driver.running.discard(self)


class Admission(Call):
    """What comes before the body of a request: the client says who it is, or is turned away."""

    __slots__ = ()

    def _answer(self, was: Was, error: Answerable | None) -> Steps:
        return answer(was, error, before_body=True)

    def _send(self, outcome: Outcome | None) -> bool:
        if outcome is not None:
            return super()._send(outcome)
        self._driver.running.discard(self)
        self.exchange.receive_body()
        return False


def cancel(task: weakref.ref[asyncio.Task[None]]) -> None:
    """The client has left a stream that may be waiting for something else."""
    running = task()
    if running is not None:
        running.cancel()


def given(step: Step) -> Step:
    """The step with which one goes on where another stopped."""
    return step
