"""WebSocket connections of Saddle apps: handshakes, events and messages run where the app's functions run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from skitai.errors import Answerable
from skitai.saddle import talk
from skitai.saddle.context import Was
from skitai.saddle.hooks import Steps, is_async
from skitai.saddle.results import Outcome
from skitai.saddle.routing import Route
from skitai.saddle.talk import Opened, opening
from skitai.saddle.targets import Target
from skitai.worker.apps.listening import Talk
from skitai.worker.apps.saddle_call import Call

if TYPE_CHECKING:
    from skitai.worker.apps.saddle import SaddleApp


class SaddleTalk(Talk):
    """A connection of a Saddle app."""

    def __init__(self, driver: SaddleApp, exchange: Any) -> None:
        super().__init__(exchange)
        self.driver = driver
        self._was: Was | None = None
        self._route: Route
        self._values: Mapping[str, Any]
        self._opened: Opened

    def open(self, was: Was, opened: Opened) -> None:
        """The app takes it."""
        assert was.route is not None
        self._was, self._route, self._values, self._opened = was, was.route, was.values, opened
        self.begin(opened.socket, opened.plan.timeout_s)

    def turn(self, event: str | None, message: str | bytes) -> None:
        self._end_turn()
        was = self._was = Was(self.driver.app, self.exchange, self._route, self._values)
        self.exchange.context = was
        opened, in_loop = self._opened, self._route.is_async
        if event is None:
            steps = talk.message(was, opened, message)
        else:
            steps = talk.event(was, opened, event)
            if opened.plan.declared:
                function = opened.plan.onopen if event == "open" else opened.plan.onclose
                in_loop = function is not None and is_async(function)
        Turn(self, was, steps, in_loop)

    def over(self) -> None:
        self._end_turn()
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
