"""What a client is sent at the end: an answer that is complete, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skitai.backend.errors import BackendError, Code
from skitai.errors import Unreached
from skitai.exchange import Settled


def send_rest(exchange: Any, data: bytes, trailers: Sequence[tuple[str, str]]) -> None:
    """The end of an answer that was begun."""
    if data:
        exchange.write(data)
    exchange.finish(trailers)


def send_whole(
    exchange: Any, status: int, fields: Settled, data: bytes, reason: str, trailers: Sequence[tuple[str, str]]
) -> None:
    """A whole answer, in one write where it has no trailers.

    :raises ValueError: something in it must not be sent, or its length is not what it says; nothing was sent.
    """
    if not trailers and exchange.head.method != "HEAD":
        exchange.respond(status, fields, data, reason)
    elif exchange.start(status, fields, reason):
        send_rest(exchange, data, trailers)


def refusal(error: BackendError, name: str) -> Unreached:
    """What a client is told of a member that gave no answer; the reason goes into the log alone."""
    message = f"{name}: {error.message}"
    if error.code is Code.SHUTDOWN:
        return Unreached(message, status=503)
    if error.code is Code.TIMEOUT and not error.sent:
        return Unreached(message, status=503, fields=[("Retry-After", "5")])
    return Unreached(message, status=504 if error.code in (Code.TIMEOUT, Code.SLOW) else 502)
