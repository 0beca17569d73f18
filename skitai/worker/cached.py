"""Sends a client what the HTTP cache has stored."""

from __future__ import annotations

import io
from typing import IO, Any, cast

from skitai.cachefs.asked import Asked
from skitai.cachefs.decision import Decision
from skitai.cachefs.record import Content
from skitai.cachefs.reply import reply
from skitai.errors import Answerable
from skitai.exchange import Dated, Exchange, passed_on
from skitai.http.byteranges import Parts
from skitai.http.ranges import Span

AT_ONCE_BYTES = 262144
"""What is larger is sent at the client's pace: it is held once, however many clients are taking it."""


def serve(exchange: Exchange, asked: Asked, decision: Decision, now: float) -> None:
    """Answer with what is stored: whole, in parts, or that nothing has changed.

    :param decision: says what is stored.
    :param now: in seconds since the epoch.
    """
    stored, content = decision.stored, decision.content
    assert stored is not None
    wishes = asked.terms.wishes
    if wishes.plain and len(content) <= AT_ONCE_BYTES:
        exchange.respond(stored.status, stored.shown(decision.label, now, Dated), bytes(content))
        return
    answer = reply(exchange.head.method, wishes, stored, decision.label, now)
    size = len(content) if answer.pieces is None else answer.size
    if size <= AT_ONCE_BYTES:
        exchange.respond(answer.status, passed_on(answer.fields), answer.body(content))
    elif exchange.start(answer.status, passed_on((*answer.fields, ("Content-Length", str(size))))):
        if exchange.head.method == "HEAD":
            exchange.finish()
        else:
            pieces: list[bytes | Span] = [(0, len(content))] if answer.pieces is None else [*answer.pieces]
            exchange.send_file(cast("IO[bytes]", Parts(cast("IO[bytes]", Held(content)), pieces)), 0, size)


def refuse(exchange: Exchange) -> None:
    """Answer a client that wants nothing that has to be asked for (RFC 9111, section 5.2.1.7)."""
    exchange.fail(Answerable("this is not in the cache", status=504))


class Held(io.RawIOBase):
    """Bytes as a file that does not copy them.

    :param content: held as long as somebody reads from it.
    """

    def __init__(self, content: Content) -> None:
        super().__init__()
        self._content = content
        self._at = 0

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset
        return offset

    def readinto(self, buffer: Any) -> int:
        piece = self._content[self._at : self._at + len(buffer)]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)
