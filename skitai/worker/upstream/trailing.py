"""The body of a request that is passed on as it comes, and what stands behind it (RFC 9110, section 6.5)."""

from __future__ import annotations

from collections.abc import AsyncIterable, Sequence
from typing import Any

from skitai.backend.drivers.http.bodies import Stream
from skitai.protocols.http2.events import Pair
from skitai.worker.upstream.heads import announced, connection_options, may_trail


class Body(Stream):
    """See `Stream`.

    :param exchange: whose body it is.
    :param strictly: of the fields behind it, only those go on that were announced: who speaks HTTP/1.1 expects no others.
    """

    def __init__(self, pieces: AsyncIterable[bytes], exchange: Any, strictly: bool) -> None:
        super().__init__([pieces])
        self.length = exchange.head.length
        self._exchange = exchange
        self._strictly = strictly

    def trailers(self) -> Sequence[Pair]:
        pairs, fields = self._exchange.body.trailers.pairs, self._exchange.head.fields
        if not pairs:
            return ()
        own: frozenset[bytes] = connection_options(fields)
        kept = [each for each in pairs if may_trail(each[0]) and each[0] not in own]
        if not self._strictly:
            return kept
        wanted = announced(fields)
        return [each for each in kept if each[0] in wanted]
