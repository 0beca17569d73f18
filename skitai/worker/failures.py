"""From an error to an answer: where errors that no app took care of surface and become a page."""

from __future__ import annotations

from typing import Any

from skitai.errors import Unanswerable
from skitai.exchange import Exchange
from skitai.http import pages
from skitai.log.failures import describe


def answer(exchange: Exchange, error: BaseException) -> bool:
    """Answer `error` if nothing was answered yet.

    :returns: whether this was the answer.
    """
    if isinstance(error, Unanswerable):
        return False
    refuse = getattr(exchange.app, "refuse", None)
    if refuse is not None and refuse(exchange, error):
        return True
    failure = describe(exchange, error)
    accept = exchange.head.fields.text("accept")
    content_type, body = pages.render(failure.status, failure.message, accept, failure.shown or None)
    fields: list[tuple[Any, Any]] = [("Content-Type", content_type), ("Cache-Control", "no-store"), *failure.fields]
    return exchange.respond(failure.status, fields, body, failure.reason)
