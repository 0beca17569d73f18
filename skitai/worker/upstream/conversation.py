"""A client and a member that speak WebSocket with each other, and are told when this worker has to leave.

What they say is theirs: of their frames the heads alone are read, so that a close frame of ours comes between two of them.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from skitai.protocols.websocket import client, outgoing
from skitai.protocols.websocket.boundaries import Boundaries
from skitai.protocols.websocket.codes import GOING_AWAY, RESTART
from skitai.worker.services import Services
from skitai.worker.splice import CUT_S, Splice


class Conversation(Splice):
    """See `Splice`.

    A worker that is replaced lets them talk for as long as it may, but for the time that clients have to answer a close; one
    that stops closes at once. The client is told, and what the member says from there on is dropped. What the client said
    before it heard of it still reaches the member, and at last so does its answer, which is a close frame.
    """

    def __init__(self, services: Services, what: str, idle_s: float, over: Callable[[Splice], object]) -> None:
        super().__init__(services, what, idle_s, over, whole=True)
        self._there = Boundaries()
        self._back = Boundaries()
        self._bye = ""
        self._code = RESTART
        self._told = False

    def _pass_back(self, data: bytes) -> None:
        if not self._bye:
            self._back.take(data)
            super()._pass_back(data)
        elif not self._told:
            size = self._back.finish(data)
            if size:
                super()._pass_back(data[:size])
            self._tell()

    def on_data(self, data: bytes) -> None:
        self._there.take(data)
        super().on_data(data)
        if self._told and not self._why and self._there.closing and self._there.between:
            self._close(self._bye)

    def on_leave(self, stopping: bool) -> None:
        """RFC 6455, section 7.4.1, and IANA's registry of close codes: 1001 for going away, 1012 for a restart."""
        if stopping:
            self._say_bye(GOING_AWAY, "the server stops")
        elif not self._why:
            close_s = self._services.config.websocket.websocket_close_s
            self._before_leaving(close_s, self._say_bye, RESTART, "the server restarts")

    def _say_bye(self, code: int, why: str) -> None:
        """Close; where one of them has begun to, see that they do."""
        if self._bye or self._why:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        services = self._services
        left_s = max(services.leave_by - monotonic() - CUT_S, 0)
        close_s = min(services.config.websocket.websocket_close_s, left_s)
        self._alarm = self._loop.call_later(close_s, self._break_off, why)
        if not self._there.closing and not self._back.closing:
            self._code, self._bye = code, why
            self._tell()

    def _tell(self) -> None:
        """Tell the client, unless a frame is under way to it."""
        if self._tunnel is not None and self._back.between:
            self._told = True
            self._tunnel.write(outgoing.close(self._code, self._bye), last=True)
            if self._held:
                self._taken()

    def _break_off(self, why: str) -> None:
        """The client, which has not answered in time, is cut; the member is told where that is possible."""
        transport = self._transport
        if self._told and transport is not None and self._there.between and not self._there.closing:
            transport.write(client.close(GOING_AWAY, why))
            transport.close()
            self._transport = None
        super()._break_off(why)

    def _finish(self, why: str) -> None:
        super()._finish(self._bye or why)
