"""Saddle apps: plain functions run in the worker's threads, coroutine functions in its loop.

`saddle.call` says what happens to a request, step by step; here the steps are taken, and the outcome is sent.
"""

from __future__ import annotations

import asyncio
import logging
import os
import weakref
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from functools import partial
from time import monotonic
from typing import Any

from skitai.config.tree import AppFile, AppObject, Mount
from skitai.errors import Answerable, LoadError, Unavailable
from skitai.exchange import BodyMode, Context, Flow
from skitai.loading.app import Loaded
from skitai.saddle import apps
from skitai.saddle.app import Saddle
from skitai.saddle.auth import check_schemes
from skitai.saddle.call import answer
from skitai.saddle.contents import FileBody
from skitai.saddle.context import Was
from skitai.saddle.hooks import Step, Steps, settled
from skitai.saddle.lifecycle import Stay
from skitai.saddle.limits import settle_limits
from skitai.saddle.pieces import AsyncPieces
from skitai.saddle.results import Outcome
from skitai.saddle.routing import Route
from skitai.saddle.seal import check_keys
from skitai.saddle.talk import Opened, opening, takes_messages
from skitai.saddle.targets import Ready, Target, find
from skitai.was.context import current
from skitai.worker.apps.pump import Pump
from skitai.worker.apps.saddle_websocket import SaddleTalk
from skitai.worker.apps.tasks import start

log = logging.getLogger("skitai.app")

LOOK_S = 0.02
"""How often a shutdown looks whether the requests are over."""

CANCEL_S = 0.2
"""What cancelled requests may take; the master waits for a second."""


class SaddleApp:
    """Serves a Saddle app at a mount point.

    :ivar running: the requests that are not over.
    :ivar tasks: what works for them in the loop.
    """

    body_mode = BodyMode.WHOLE
    in_threads = True

    def __init__(self, loaded: Loaded, mount: Mount) -> None:
        self.app: Saddle = loaded.app
        self.debug = loaded.debug
        self.limits: dict[str, Any] = {}
        self.running: set[Call | SaddleTalk] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self._mount = mount
        self._modules = loaded.modules
        self._context: Context
        self._stay: Stay

    async def startup(self, context: Context) -> None:
        """Get ready for requests.

        :raises LoadError: a size limit in the app's config is none, a route wants an authentication that there is not, or
            one of its modules cannot decorate it.
        """
        self._prepare(context)
        apps.register(self._mount.host, file_name(self._mount), self.app)
        try:
            await self._stay.begin(check=self._settle)
            self._settle()
        except LoadError:
            await self._stay.end()
            apps.unregister(self._mount.host, self.app)
            raise

    async def succeed(self, old: SaddleApp, context: Context) -> None:
        """Get ready to take the place of an older app, which still has its requests.

        :raises LoadError: as `startup`; the older app then goes on.
        """
        self._prepare(context)
        await self._stay.begin(old._stay, self._settle)
        try:
            self._settle()
        except LoadError:
            await self._stay.resign(old._stay)
            raise
        apps.replace(self._mount.host, old.app, self.app)

    def _prepare(self, context: Context) -> None:
        self._context = context
        self.app.mounted_at(self._mount.point)
        self.submit = context.run_in_thread
        self.on_loop = context.on_loop
        self.threads = context.config.server.threads
        self._settle()
        self.app._templates.prepare()
        check_keys(self.app.securekey, self._mount.point)
        self._stay = Stay(self.app, context, self._modules)

    def _settle(self) -> None:
        """Take the limits from the app's config, and see what its routes want; modules and hooks may have changed both."""
        self.limits = settle_limits(self.app, self._mount, self._context.config.bodies)
        check_schemes(self.app, self._mount.point)

    async def shutdown(self) -> None:
        """Let the requests end, cancel what the loop still does for them, then take the app down."""
        grace_s = self._context.config.timeouts.grace_s
        began = monotonic()
        for each in tuple(self.running):
            if isinstance(each, SaddleTalk):
                each.leave()
        while self.running and monotonic() < min(began + grace_s, self._context.leave_by):
            await asyncio.sleep(LOOK_S)
        if self.tasks:
            log.warning("%d requests of the app at %s were cancelled", len(self.tasks), self._mount.point)
            for task in self.tasks:
                task.cancel()
            ends = monotonic() + CANCEL_S
            while self.running and monotonic() < ends:
                await asyncio.sleep(LOOK_S)
        await self._stay.end()
        apps.unregister(self._mount.host, self.app)

    def handle(self, exchange: Any) -> None:
        target = self._target(exchange)
        if isinstance(target, Ready):
            exchange.body.lost()
            exchange.respond(target.status, target.fields)
        else:
            self._begin(Call(self, exchange, target), target[0])

    def upgrade(self, exchange: Any) -> None:
        """A handshake of WebSocket."""
        target = self._target(exchange)
        if isinstance(target, Ready) or not takes_messages(target[0]):
            self.handle(exchange)
        else:
            self._begin(Opening(self, exchange, target), target[0])

    def looks_first(self, exchange: Any) -> bool:
        """Let nobody send a body who is not known, where that is wanted."""
        target = self._target(exchange)
        if isinstance(target, Ready) or self.app._scheme(target[0]) is None:
            return False
        exchange.hold_body()
        self._begin(Admission(self, exchange, target), target[0])
        return True

    def _begin(self, call: Call, route: Route | None) -> None:
        self.running.add(call)
        if route is not None and route.is_async:
            call.begin_in_loop()
        else:
            self.submit(call.begin)

    def _target(self, exchange: Any) -> Target | Ready:
        """Who answers a request; kept on its head."""
        head = exchange.head
        target: Target | Ready | None = head.forms.get(self)
        if target is None:
            target = find(self.app, head, self._mount.point, exchange.peer.scheme)
            if head.method != "OPTIONS":  # whose answer depends on more
                head.forms[self] = target
        return target


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
        if self._open():
            self._advance(next, self._steps)

    def begin_in_loop(self) -> None:
        """Work on the request in the loop."""
        if self._open():
            self._task(self._advance_in_loop(next, self._steps))

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
                while step.is_async or not self._driver.threads:
                    try:
                        result = step.function(*step.args, **step.kwargs)
                        if step.is_async:
                            result = await settled(result)  # a decorator's wrapper may have none to wait for
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

    def _task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = start(work, asyncio.get_running_loop())
        if not task.done():
            self._driver.tasks.add(task)
            task.add_done_callback(self._driver.tasks.discard)
        return task

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


class Opening(Call):
    """The handshake of a WebSocket connection: the app takes it, or answers like any request."""

    __slots__ = ("_talk",)

    def __init__(self, driver: SaddleApp, exchange: Any, target: Target) -> None:
        super().__init__(driver, exchange, target)
        self._talk = SaddleTalk(driver, exchange, Turn)

    def _answer(self, was: Was, error: Answerable | None) -> Steps:
        return opening(was)

    def _send(self, outcome: Outcome | Opened) -> bool:
        if isinstance(outcome, Outcome):
            return super()._send(outcome)
        self._driver.running.add(self._talk)
        self._driver.running.discard(self)
        self._driver.on_loop(self._talk.open, self._was, outcome)
        return False


class Turn(Call):
    """One event or message of a WebSocket connection."""

    __slots__ = ("_talk",)

    def __init__(self, talk: SaddleTalk, was: Was, steps: Steps, in_loop: bool) -> None:
        driver = talk.driver
        super().__init__(driver, talk.exchange, (was.route, {}, None))
        self._talk = talk
        self._was = was
        self._steps = steps
        if in_loop:
            self._task(self._advance_in_loop(next, steps))
        else:
            driver.submit(self.begin)

    def begin(self) -> None:
        self._advance(next, self._steps)

    def _send(self, outcome: Any) -> bool:
        self._talk.said(outcome)
        return False

    def _fail(self, error: BaseException) -> None:
        self._talk.failed(error)


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


def file_name(mount: Mount) -> str:
    """By what name other apps find an app: that of its file, without folder and ``.py``."""
    target = mount.target
    path = target.path if isinstance(target, AppFile) else target.script if isinstance(target, AppObject) else ""
    return os.path.splitext(os.path.basename(path))[0]


def cancel(task: weakref.ref[asyncio.Task[None]]) -> None:
    """The client has left a stream that may be waiting for something else."""
    running = task()
    if running is not None:
        running.cancel()


def given(step: Step) -> Step:
    """The step with which one goes on where another stopped."""
    return step
