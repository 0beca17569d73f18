"""Sends a client what the HTTP cache has stored."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import IO, Any, cast

from skitai.cachefs.asked import Asked
from skitai.cachefs.decision import Decision
from skitai.cachefs.infile import InFile
from skitai.cachefs.record import SMALL_BYTES, Content
from skitai.cachefs.reply import reply
from skitai.errors import Answerable
from skitai.exchange import Dated, Exchange, passed_on
from skitai.http.byteranges import Parts
from skitai.http.ranges import Span


def serve(exchange: Exchange, asked: Asked, decision: Decision, now: float) -> None:
    """Answer with what is stored: whole, in parts, or that nothing has changed. What is large is sent at the client's pace.

    :param decision: says what is stored.
    :param now: in seconds since the epoch.
    """
    stored, content = decision.stored, decision.content
    assert stored is not None
    wishes = asked.terms.wishes
    if wishes.plain and not isinstance(content, InFile) and len(content) <= SMALL_BYTES:
        exchange.respond(stored.status, stored.shown(decision.label, now, Dated), bytes(content))
        return
    answer = reply(exchange.head.method, wishes, stored, decision.label, now)
    size = len(content) if answer.pieces is None else answer.size
    if not size or (size <= SMALL_BYTES and not isinstance(content, InFile)):
        exchange.respond(answer.status, passed_on(answer.fields), answer.body(content))
    elif exchange.start(answer.status, passed_on((*answer.fields, ("Content-Length", str(size))))):
        if exchange.head.method == "HEAD":
            exchange.finish()
        else:
            _send(exchange, content, answer.pieces or ((0, len(content)),), size)


def _send(exchange: Exchange, content: Content, pieces: Sequence[bytes | Span], size: int) -> None:
    """Send the rest of an answer that was begun."""
    first = pieces[0]
    if isinstance(content, InFile) and not isinstance(first, bytes):  # nothing stands before or behind it
        exchange.send_file(cast("IO[bytes]", content), content.offset + first[0], size)
    else:
        exchange.send_file(cast("IO[bytes]", Parts(cast("IO[bytes]", Held(content)), list(pieces))), 0, size)


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
