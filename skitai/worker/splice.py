"""Two connections joined: what a client says in a tunnel goes to a server, and what that says goes back.

Each side goes at the other's pace: who does not take what was sent is not read for, so that little waits here. Each
direction ends by itself, as the sides end it; a side that breaks off takes the other one with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Any

from skitai.exchange import Flow, Tunnel
from skitai.net.polling import reset_at_close
from skitai.worker.services import Services

log = logging.getLogger("skitai.server")

AHEAD_BYTES = 65536
"""Of what waits for the server; with more, its client is not read."""

QUIET_S = 1.0
"""When the server stops, tunnels in which nothing was said for so long are over."""

CUT_S = 0.2
"""Those that are left are cut so long before the worker, which would only close them."""


class Splice(asyncio.Protocol):
    """A `TunnelGuest`, and the protocol of the connection to the server. Belongs to the loop's thread.

    :param what: it is, and for whom, for the log.
    :param idle_s: it ends when nothing was said for so long.
    :param over: called once, when both connections are gone, or on their way.
    :param whole: no direction ends by itself: the end of one is that of both, as with WebSocket.
    :ivar there: bytes that went to the server.
    :ivar back: bytes that came from it.
    :ivar waits: somebody wants to know when the server has taken everything.
    """

    def __init__(
        self,
        services: Services,
        what: str,
        idle_s: float,
        over: Callable[[Splice], object] | None = None,
        *,
        whole: bool = False,
    ) -> None:
        self.there = self.back = 0
        self.waits = False
        self._services = services
        self._loop = services.loop
        self._what = what
        self._idle_s = idle_s
        self._over = over
        self._whole = whole
        self._transport: Any = None
        self._tunnel: Tunnel | None = None
        self._early: list[bytes] = []
        self._held = False
        self._client_ended = self._server_ended = self._client_gone = False
        self._idle = "nothing was said for too long"
        self._why = ""
        self._began = self._moved = monotonic()
        self._alarm: asyncio.TimerHandle | None = None
        self._leaving: asyncio.TimerHandle | None = None

    def begin(self, tunnel: Tunnel) -> None:
        """Join the client's tunnel with the server, which is connected."""
        self._tunnel = tunnel
        self._alarm = self._loop.call_later(self._idle_s, self._look)
        early, self._early = self._early, []
        tunnel.begin(self)
        for data in early:
            self._pass_back(data)
        if self._server_ended:
            self._end_client()
        if self._transport is None:
            self._lose_server(None)

    def drop(self) -> None:
        """There is no tunnel after all."""
        if self._transport is not None:
            self._transport.abort()

    # What the server's connection says

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(AHEAD_BYTES)

    def data_received(self, data: bytes) -> None:
        if self._tunnel is None:
            self._early.append(data)
        else:
            self._pass_back(data)

    def eof_received(self) -> bool:
        self._server_ended = True
        if self._tunnel is not None:
            self._end_client()
        return not self._why and bool(self._transport.can_write_eof())

    def resume_writing(self) -> None:
        """It has taken what waited."""
        if self.waits:
            self.waits = False
            self._moved = monotonic()
            if self._tunnel is not None and not self._why:
                self._tunnel.resume()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if self._tunnel is not None:
            self._lose_server(error)

    def _lose_server(self, error: Exception | None) -> None:
        assert self._tunnel is not None
        if not self._why and self._server_ended:
            self._finish("the server closed")
            self._tunnel.close()
        elif not self._why:
            self._finish(f"the server broke off: {error}" if error else "the server broke off")
            self._tunnel.reset()
        self._look_no_more()

    def _pass_back(self, data: bytes) -> None:
        tunnel = self._tunnel
        assert tunnel is not None
        self.back += len(data)
        self._moved = monotonic()
        if tunnel.write(data) is Flow.WAIT and not self._held and self._transport is not None:
            self._held = True
            self._transport.pause_reading()
            tunnel.when_writable(self._taken)

    def _taken(self) -> None:
        """The client has taken what waited, or is gone."""
        self._held = False
        self._moved = monotonic()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _end_client(self) -> None:
        """The server says nothing more."""
        assert self._tunnel is not None
        if self._client_ended:
            self._close("both closed")
        elif self._whole:
            self._finish("the server closed")
            self._tunnel.half_close()
            self._transport.close()
        elif not self._tunnel.write_eof():
            self._finish("the server closed")
            self._transport.close()

    # What the tunnel says

    def on_data(self, data: bytes) -> None:
        self.there += len(data)
        self._moved = monotonic()
        transport = self._transport
        if transport is None or self._client_ended:
            return
        transport.write(data)
        if not self.waits and transport.get_write_buffer_size() > AHEAD_BYTES and self._tunnel is not None:
            self.waits = True
            self._tunnel.pause()

    def on_end(self) -> None:
        if self._client_ended:
            return
        self._client_ended = True
        if self._why or self._transport is None:
            return
        if self._server_ended or self._whole:
            self._close("both closed" if self._server_ended else "the client closed")
        elif self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._finish("the client closed")
            self._transport.close()

    def on_lost(self) -> None:
        self._client_gone = True
        if not self._client_ended:
            self._finish("the client broke off")
        elif not self._server_ended:
            self._finish("the client closed")
        if self._transport is None:
            self._look_no_more()
        elif self._client_ended:
            self._transport.close()  # what it said before still goes out
        elif not self._transport.is_closing():
            reset_at_close(self._transport)
            self._transport.abort()

    def on_time(self, now: float) -> None:
        """The client does not take its end."""
        if self._tunnel is not None:
            self._tunnel.abort()

    def on_leave(self, stopping: bool) -> None:
        """Tunnels last as long as the worker does; when the server stops, those in which nothing happens are closed."""
        if self._why:
            return
        why = "the server stops" if stopping else "the server restarts"
        self._before_leaving(CUT_S, self._cut, why)
        if stopping:
            self._idle_s, self._idle = min(self._idle_s, QUIET_S), why
            if self._alarm is not None:
                self._alarm.cancel()
            self._look()

    def _before_leaving(self, ahead_s: float, job: Callable[..., None], *args: Any) -> None:
        """Have something done so long before the worker is gone, if it has said when."""
        if self._leaving is not None:
            self._leaving.cancel()
        leave_by = self._services.leave_by
        if leave_by < inf:
            self._leaving = self._loop.call_later(max(leave_by - monotonic() - ahead_s, 0), job, *args)

    def _cut(self, why: str) -> None:
        """Break off so that neither side takes it for a good end."""
        self._finish(why)
        if self._tunnel is not None:
            self._tunnel.reset()
        if self._transport is not None:
            reset_at_close(self._transport)
            self._transport.abort()

    # The end

    def _look(self) -> None:
        """Whether anything was said lately."""
        left = self._moved + self._idle_s - monotonic()
        if left > 0:
            self._alarm = self._loop.call_later(left, self._look)
            return
        self._break_off(self._idle)

    def _break_off(self, why: str) -> None:
        """Close both at once."""
        self._alarm = None
        self._finish(why)
        if self._tunnel is not None:
            self._tunnel.abort()
        if self._transport is not None:
            self._transport.abort()

    def _close(self, why: str) -> None:
        """All is said; what waits for them still goes out."""
        self._finish(why)
        assert self._tunnel is not None
        self._tunnel.close()
        if self._transport is not None:
            self._transport.close()

    def _look_no_more(self) -> None:
        """Where both connections are gone."""
        if self._alarm is not None and self._client_gone and self._transport is None:
            self._alarm.cancel()
            self._alarm = None

    def _finish(self, why: str) -> None:
        """Say once how it ended."""
        if self._why:
            return
        self._why = why
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None
        age_s = monotonic() - self._began
        log.info("%s closed: %s; %d bytes there, %d back in %.1f s", self._what, why, self.there, self.back, age_s)
        if self._over is not None:
            self._over(self)
