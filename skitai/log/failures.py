"""What an error means for the request that it ends: its status, what the client may read of it, and its lines in the log."""

from __future__ import annotations

import logging
import traceback
from typing import Any, NamedTuple

from skitai.errors import Answerable

log = logging.getLogger("skitai.app")


class Failure(NamedTuple):
    """An error as it will be answered.

    :ivar reason: a reason phrase of the app's own, or "".
    :ivar message: what to tell the client; "" leaves it at the reason phrase.
    :ivar fields: extra response fields.
    :ivar shown: tracebacks for the page; "" where the app is not under debug and the error does not bring its own.
    """

    status: int
    reason: str
    message: str
    fields: tuple[tuple[str, str], ...]
    shown: str


def describe(exchange: Any, error: BaseException) -> Failure:
    """Say how an error is to be answered, and log what is the server's fault.

    What is the client's fault gets its status and its message. Anything else is a 500 with the traceback in the log, and in
    the page only where the app is under debug.

    :param exchange: whose request it ends.
    """
    debug = getattr(exchange.app, "debug", False)
    shown = exchange.app.trouble if debug else ""
    where = exchange.head.method, exchange.head.target
    if isinstance(error, Answerable):
        if error.status >= 500:
            log.error("%s %s: %s", *where, error.message, extra={"txn": exchange.txn})
        shown = getattr(error, "shown", "") or shown
        message = error.message if error.public else ""
        return Failure(error.status, getattr(error, "reason", ""), message, tuple(error.fields), shown)
    log.error("%s %s", *where, exc_info=error, extra={"txn": exchange.txn})
    if debug:
        shown += "".join(traceback.format_exception(error))
    return Failure(500, "", "", (), shown)
