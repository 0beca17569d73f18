"""WebSocket connections of Saddle apps: handshakes, events and messages run where the app's functions run."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from inspect import isawaitable
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from skitai.errors import Answerable
from skitai.saddle import talk
from skitai.saddle.context import Was
from skitai.saddle.hooks import Steps, is_async, is_guarded
from skitai.saddle.results import Outcome
from skitai.saddle.routing import Route
from skitai.saddle.talk import Opened, opening
from skitai.saddle.targets import Target
from skitai.was.context import current
from skitai.worker.apps.listening import Talk
from skitai.worker.apps.saddle_call import Call

if TYPE_CHECKING:
    from skitai.worker.apps.saddle import SaddleApp


class SaddleTalk(Talk):
    """A connection of a Saddle app.

    Most turns are messages. A handler without guards hears them on a shorter way than that of steps: a plain function in a
    thread each time, a coroutine function in one task for all. Each event, and each message to a handler with guards, is a
    `Turn`.
    """

    def __init__(self, driver: SaddleApp, exchange: Any) -> None:
        super().__init__(exchange)
        self.driver = driver
        self._was: Was | None = None
        self._bare = 0
        self._message: str | bytes = ""
        self._waiter: asyncio.Future[None] | None = None
        self._left = False
        self._route: Route
        self._values: Mapping[str, Any]
        self._opened: Opened
        self._guarded = False

    def open(self, was: Was, opened: Opened) -> None:
        """The app takes it."""
        assert was.route is not None
        self._was, self._route, self._values, self._opened = was, was.route, was.values, opened
        self._guarded = is_guarded(was.route.function)
        self.begin(opened.socket, opened.plan.timeout_s)

    def turn(self, event: str | None, message: str | bytes) -> None:
        opened, in_loop = self._opened, self._route.is_async
        if event is None and not self._guarded:
            self._message = message
            if not in_loop:
                self.driver.submit(self._hear)
            elif self._waiter is None:
                self.driver.hold(self._listen())
            else:
                self._waiter.set_result(None)
            return
        was = self._fresh_was()
        if event is None:
            steps = talk.message(was, opened, message)
        else:
            steps = talk.event(was, opened, event)
            if opened.plan.declared:
                function = opened.plan.onopen if event == "open" else opened.plan.onclose
                in_loop = function is not None and is_async(function)
        Turn(self, was, steps, in_loop)

    def _hear(self) -> None:
        """A message's turn in a thread."""
        current.set(self.exchange)
        try:
            self.said(self._call())
        except BaseException as error:  # noqa: BLE001 - sys.exit() too: no thread ends with a turn
            self.failed(error)
        finally:
            current.set(None)

    async def _listen(self) -> None:
        """Messages' turns in the loop. A task for each would cost as much as all else that is done for a short one."""
        current.set(self.exchange)  # in this task's own context
        create_future = self.driver.create_future
        while not self._left:
            try:
                content = self._call()
                if type(content) is CoroutineType or isawaitable(content):  # a decorator's wrapper may be neither
                    content = await content
                self.said(content)
            except BaseException as error:  # noqa: BLE001 - a cancelled turn ends the connection, too
                self.failed(error)
                return
            content = None  # which may be long, and the next message far
            self._waiter = create_future()
            await self._waiter

    def _call(self) -> Any:
        """Call the handler with the message."""
        was = self._was
        if was is None or len(vars(was)) != self._bare:
            was = self._fresh_was()
            talk.enter(was, self._opened, None)
            if self._opened.user is None:
                self._bare = len(vars(was))  # as long as no handler leaves anything there, it is as good as a fresh one
        message, self._message = self._message, ""
        args, kwargs = self._opened.heard(message)
        return self._route.function(was, *args, **kwargs)

    def _fresh_was(self) -> Was:
        self._end_turn()
        self._bare = 0
        was = self._was = self.exchange.context = Was(self.driver.app, self.exchange, self._route, self._values)
        return was

    def over(self) -> None:
        self._end_turn()
        self._left = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        self.exchange.context = None
        self.driver.running.discard(self)

    def _end_turn(self) -> None:
        if self._was is not None:
            self._was.close()


class Opening(Call):
    """The handshake of a WebSocket connection: the app takes it, or answers like any request."""

    __slots__ = ("_talk",)

    def __init__(self, driver: SaddleApp, exchange: Any, target: Target) -> None:
        super().__init__(driver, exchange, target)
        self._talk = SaddleTalk(driver, exchange)

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
