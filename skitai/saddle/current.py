"""`was` for a function of an app that something else than a request of that app calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skitai.saddle.context import Was
from skitai.was.context import current

if TYPE_CHECKING:
    from skitai.saddle.app import Saddle


def was_of(app: Saddle) -> Was:
    """The running request's `was` as `app` sees it: with the same request, whichever app answers it.

    Without a request of Saddle's, one that has none.
    """
    exchange = current.get()
    running = exchange.context if exchange is not None else None
    if not isinstance(running, Was):
        return Was(app)
    if running.app is app:
        return running
    # Made now, so that both have the same.
    shared = {"request": running.request, "response": running.response, "g": running.g}
    beside = Was(app, running.exchange, running.route, running.values)
    beside.__dict__.update(shared)
    return beside
