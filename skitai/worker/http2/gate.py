"""What clients that take nothing of their responses may cost: their requests wait, and what is too much is dropped."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from skitai.worker.exchange import OPEN

if TYPE_CHECKING:
    from skitai.worker.http2.connection import Http2Connection
    from skitai.worker.http2.exchange import Http2Exchange

AHEAD = 4
"""So many requests of a connection are answered whatever waits: one large response must not hold up all others."""

Job = Callable[[], None]


class Gate:
    """Stands between the requests of one connection and whoever answers.

    It is open as long as no more than `most_waiting` bytes of responses wait for the client's windows; then all requests are
    answered at once. While more waits, only `AHEAD` of them are, and the others follow as those are taken.

    Whether a response is large is known when it is there, and by then all requests may have begun. So there is a bound for
    all connections of the worker, too: beyond it each keeps `AHEAD` responses, and others are dropped.

    :ivar held: the requests that wait, first come first, each with what goes on with it; None for those that have not met
        their app. Threads only add to it.
    """

    __slots__ = ("_connection", "_worker_bytes", "held")

    def __init__(self, connection: Http2Connection) -> None:
        self._connection = connection
        self._worker_bytes = connection.services.config.http2.http2_worker_waiting_bytes
        self.held: dict[Http2Exchange, Job | None] = {}

    def holds(self, exchange: Http2Exchange, job: Job | None = None) -> bool:
        """Whether a request has to wait; asked where too much waits. From any thread.

        :param job: called later, where the app runs; also when nobody wants the response any more.
        """
        connection = self._connection
        if self._begun() <= AHEAD or exchange.gone or exchange.phase != OPEN:
            return False
        self.held[exchange] = job
        connection.services.on_loop(self.release)  # it may have opened meanwhile
        return True

    def _begun(self) -> int:
        """Requests that are being answered, or whose responses wait. Tunnels have bounds of their own."""
        exchanges = tuple(self._connection.exchanges.values())
        return sum(not exchange.stream.tunnel for exchange in exchanges) - len(self.held)

    def release(self) -> None:
        """Let go on whoever may. Belongs to the loop."""
        held, connection = self.held, self._connection
        while held and (connection.core.waiting <= connection.most_waiting or self._begun() < AHEAD):
            self.let(next(iter(held)))

    def let(self, exchange: Http2Exchange) -> None:
        """A request waits no longer: its turn has come, or there is nobody to answer. Belongs to the loop."""
        if exchange not in self.held:
            return
        job = self.held.pop(exchange)
        exchange.began = monotonic()  # it was the client that let it wait
        if job is not None:
            self._connection.services.run_for(exchange.app, job)
        elif exchange.phase == OPEN and not exchange.gone:
            self._connection.dispatch(exchange)

    def overflows(self) -> bool:
        """Whether one more response that waits is too much; asked where too much waits. From any thread."""
        connection, hoards = self._connection, self._connection.services.hoards
        hoards.add(connection)
        total = 0
        for each in tuple(hoards):
            if each.core.waiting > connection.most_waiting:
                total += each.core.waiting
            else:
                hoards.discard(each)
        if total <= self._worker_bytes:
            return False
        return sum(exchange.stream.waiting > 0 for exchange in tuple(connection.exchanges.values())) >= AHEAD
