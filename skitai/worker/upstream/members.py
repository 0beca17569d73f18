"""The servers behind a mounted alias: who is asked next, and by which connections."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from skitai.backend.backends import Backends
from skitai.backend.balance import Seat
from skitai.backend.cluster import UNREACHABLE
from skitai.backend.drivers.http.driver import HttpDriver
from skitai.backend.drivers.http.origin import Connection, Origin
from skitai.backend.drivers.http.request import make
from skitai.backend.errors import BackendError, Code
from skitai.config.aliases import Member
from skitai.config.sections.passing import Upstreams
from skitai.worker.upstream.heads import Lane

log = logging.getLogger("skitai.server")


class Way:
    """How one member is reached from one mount point.

    :ivar lane: what it is told.
    """

    __slots__ = ("_driver", "_member", "_options", "_origins", "lane")

    def __init__(self, point: str, member: Member, driver: HttpDriver, options: Upstreams) -> None:
        self.lane = Lane(point, member, options)
        self._member = member
        self._driver = driver
        self._options = options
        self._origins: dict[bool, Origin] = {}

    def origin(self, calls: bool) -> Origin:
        """The connections to it.

        :param calls: those for gRPC, which speaks HTTP/2 also without TLS.
        """
        origin = self._origins.get(calls)
        if origin is None:
            http2 = True if calls else self._member.http2
            most = self._member.connections or self._options.upstream_connections
            origin = self._origins[calls] = self._driver.lane(self._member, http2, most)
        return origin


class Members:
    """The members of one alias at one mount point. Belongs to the loop's thread.

    :ivar name: of the alias, with its ``@``.
    :ivar options: where the alias has a time of its own, that is the one for the first byte.
    :ivar statuses: with which a member counts as failed.
    """

    def __init__(self, point: str, alias: str, backends: Backends, options: Upstreams) -> None:
        cluster = backends.cluster(alias)
        driver: Any = backends.driver(cluster.alias.kind)
        self.name = f"@{alias}"
        self.balance = cluster.balance
        limit_s = cluster.alias.timeout
        self.options = options if limit_s is None else replace(options, upstream_first_byte_s=limit_s)
        self.statuses = frozenset(int(each) for each in options.upstream_eject_statuses)
        self.loop = backends.home.loop
        self.watch = driver.watch
        self._driver: HttpDriver = driver
        self._backends = backends
        self._ways = {seat: Way(point, seat.member, driver, options) for seat in self.balance.seats}

    def pick(self, tried: Collection[Seat[Member]]) -> Seat[Member] | None:
        """The member to ask, until `done`; None when all were tried."""
        seat = self.balance.pick(self.loop.time(), tried)
        if seat is not None:
            self._backends.asked += 1
            self._backends.passing += 1
        return seat

    def way(self, seat: Seat[Member]) -> Way:
        return self._ways[seat]

    def done(self, seat: Seat[Member], well: bool | None) -> None:
        """A request to a member has ended; `well` as of `Balance.done`."""
        self._backends.passing -= 1
        if well is False:
            self._backends.unanswered += 1
        self.balance.done(seat, well, self.loop.time())

    async def reach(self, origin: Origin, fresh: bool) -> Connection:
        """Wait for a connection.

        :raises BackendError: TIMEOUT, and nothing sent, when none was free.
        """
        options = self.options
        if origin.waiting >= options.upstream_queue > 0 or (not options.upstream_queue and origin.waiting):
            raise BackendError(Code.TIMEOUT, f"{origin.waiting} requests wait for a connection already")
        return await origin.reach(self.loop.time() + options.upstream_wait_s, fresh)

    async def check(self) -> None:
        """Ask every member again and again how it is; ends by being cancelled."""
        options = self.options
        request = make("get", options.upstream_check)
        while True:
            await asyncio.gather(*(self._check(seat, request) for seat in self.balance.seats))
            await asyncio.sleep(options.upstream_check_s)

    async def _check(self, seat: Seat[Member], request: Any) -> None:
        loop, every_s = self.loop, self.options.upstream_check_s
        was_well = seat.failures == 0
        try:
            result = await self._driver.ask(seat.member, request, loop.time() + every_s)
            trouble = f"it answers {result.status_code}" if result.status_code >= 400 else ""
            result.close()
        except BackendError as error:
            trouble = error.message
        if not trouble:
            if not was_well:
                log.warning("%s: %s:%d is well again", self.name, *seat.member.node)
                self.balance.report(seat, True, loop.time())
            return
        if was_well:
            log.warning("%s: %s:%d is not well: %s", self.name, *seat.member.node, trouble)
        self.balance.report(seat, False, loop.time())
        seat.out_until = max(seat.out_until, loop.time() + 2 * every_s)  # until the next but one question at least


def speaks_against(error: BackendError) -> bool:
    """Whether an error says something of the member, rather than of the request."""
    return error.code in UNREACHABLE
