"""WebSocket connections of Saddle apps: handshakes, events and messages run where the app's functions run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from skitai.saddle import talk
from skitai.saddle.context import Was
from skitai.saddle.hooks import is_async
from skitai.saddle.routing import Route
from skitai.saddle.talk import Opened
from skitai.worker.apps.listening import Talk

if TYPE_CHECKING:
    from skitai.worker.apps.saddle import SaddleApp


class SaddleTalk(Talk):
    """A connection of a Saddle app.

    :param make_turn: takes the steps of one turn: called with this, a `was`, the steps, and whether to begin in the loop.
    """

    def __init__(self, driver: SaddleApp, exchange: Any, make_turn: Any) -> None:
        super().__init__(exchange)
        self.driver = driver
        self._make_turn = make_turn
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
        self._make_turn(self, was, steps, in_loop)

    def over(self) -> None:
        self._end_turn()
        self.exchange.context = None
        self.driver.running.discard(self)

    def _end_turn(self) -> None:
        if self._was is not None:
            self._was.close()
