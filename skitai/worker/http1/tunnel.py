"""A connection that has left HTTP/1: bytes to and from whoever speaks through it (RFC 9110, section 7.8)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from skitai.exchange import Flow, TunnelGuest
from skitai.net.polling import reset_at_close

if TYPE_CHECKING:
    from skitai.worker.http1.connection import Http1Connection
    from skitai.worker.http1.exchange import Http1Exchange


class Http1Tunnel(asyncio.Protocol):
    """Implements `skitai.exchange.Tunnel`; takes the connection's place at the transport.

    What the client does not take waits here, and leaves in one piece when it has taken what went before.
    """

    __slots__ = ("_connection", "_ended", "_exchange", "_queue", "guest", "waiting")

    guest: TunnelGuest

    def __init__(self, connection: Http1Connection, exchange: Http1Exchange) -> None:
        self._connection = connection
        self._exchange = exchange
        self._queue: deque[bytes] = deque()
        self._ended = False
        self.waiting = 0

    def begin(self, guest: TunnelGuest) -> None:
        self.guest = guest
        connection = self._connection
        data = connection.enter_tunnel(self)
        if data:
            self.data_received(data)
        if connection.input_ended:
            guest.on_end()
        if connection.services.retiring:
            guest.on_leave(connection.services.stopping)

    # What the transport says

    def data_received(self, data: bytes) -> None:
        if self._connection.closing:
            self._connection.still_sending()
            return
        self._exchange.received += len(data)
        self.guest.on_data(data)

    def eof_received(self) -> bool:
        if self._connection.closing:
            return self._connection.spilled
        self.guest.on_end()
        return True

    def resume_writing(self) -> None:
        self._connection.resume_writing()

    def pause_writing(self) -> None:
        """As with the connection: `spilled` knows it already."""

    def connection_lost(self, error: Exception | None) -> None:
        self._connection.connection_lost(error)
        self.guest.on_lost()

    # Writing

    def write(self, data: bytes, *, last: bool = False) -> Flow:
        connection = self._connection
        lock = connection.lock
        lock.acquire()  # as for responses: `with` costs three times as much
        try:
            if connection.fd < 0 or connection.closing or self._ended:
                return Flow.GONE
            self._ended = last
            self._exchange.sent += len(data)
            if not connection.spilled:
                connection.put(data)
                return Flow.WAIT if connection.spilled else Flow.ON
            self._queue.append(data)
            self.waiting += len(data)
            return Flow.WAIT
        finally:
            lock.release()

    def drained(self) -> None:
        """The client has taken what went before; for the connection."""
        connection = self._connection
        with connection.lock:
            if self._queue and not connection.spilled:
                data = b"".join(self._queue)
                self._queue.clear()
                self.waiting = 0
                connection.put(data)

    def when_writable(self, job: Callable[[], None]) -> None:
        self._connection.when_drained(job)

    # Reading, time, and the end

    def pause(self) -> None:
        self._connection.pace(True)

    def resume(self) -> None:
        self._connection.pace(False)

    def wake_at(self, due: float) -> None:
        self._connection.due = due

    def write_eof(self) -> bool:
        connection = self._connection
        if not connection.plain:  # TLS has no way of ending one direction that all clients know
            self.half_close()
            return False
        with connection.lock:
            self._ended = True
        self._shut()
        return True

    def _shut(self) -> None:
        connection = self._connection
        if connection.spilled:
            connection.when_drained(self._shut)
        elif connection.fd >= 0:
            connection.transport.write_eof()

    def half_close(self) -> None:
        self._end(self._connection.linger)

    def close(self) -> None:
        self._end(self._connection.finish_closing)

    def _end(self, how: Callable[[], None]) -> None:
        connection = self._connection
        if connection.spilled:
            connection.when_drained(lambda: self._end(how))
        else:
            connection.due = min(connection.due, monotonic() + connection.services.config.timeouts.request_timeout)
            how()

    def abort(self) -> None:
        self._connection.abort()

    def reset(self) -> None:
        if self._connection.fd >= 0:
            reset_at_close(self._connection.transport)
        self._connection.abort()
