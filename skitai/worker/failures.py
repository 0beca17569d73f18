"""From an error to an answer: the one place where errors surface, are logged, and become a page."""

from __future__ import annotations

import logging
import traceback
from typing import Any

from skitai.errors import Answerable, Unanswerable
from skitai.exchange import Exchange
from skitai.http import pages

log = logging.getLogger("skitai.app")


def answer(exchange: Exchange, error: BaseException) -> bool:
    """Answer `error` if nothing was answered yet.

    What is the client's fault gets its status and its message. Anything else is a 500 with the traceback in the log, and in
    the page only where the app is under debug.

    :returns: whether this was the answer.
    """
    if isinstance(error, Unanswerable):
        return False
    accept = exchange.head.fields.text("accept")
    debug = getattr(exchange.app, "debug", False)
    shown = exchange.app.trouble if debug else ""
    extra: tuple[tuple[str, str], ...] = ()
    if isinstance(error, Answerable):
        status, message, extra = error.status, error.message, tuple(error.fields)
        if status >= 500:
            log.error("%s %s: %s", exchange.head.method, exchange.head.target, message, extra={"txn": exchange.txn})
    else:
        status, message = 500, ""
        log.error("%s %s", exchange.head.method, exchange.head.target, exc_info=error, extra={"txn": exchange.txn})
        if debug:
            shown += "".join(traceback.format_exception(error))
    content_type, body = pages.render(status, message, accept, shown or None)
    fields: list[tuple[Any, Any]] = [("Content-Type", content_type), ("Cache-Control", "no-store"), *extra]
    return exchange.respond(status, fields, body)
