"""What a relay wants of the servers that it asks: `heads.Lane`, `members.Way` and `members.Members` are one way."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Protocol

from skitai.backend.balance import Balance, Seat
from skitai.backend.drivers.http.incoming import Watch
from skitai.backend.drivers.http.origin import Connection, Origin
from skitai.config.aliases import Member
from skitai.config.sections.passing import Upstreams
from skitai.exchange import Head, Peer, Settled
from skitai.http.head import Fields
from skitai.worker.upstream.heads import Passed, Told


class Telling(Protocol):
    """What a server is told, and what a client gets of its answers: `heads.Lane`, say.

    :ivar traces: the server is told our transaction ids.
    """

    @property
    def traces(self) -> bool: ...
    def passed(self, head: Head, trusted: bool) -> Passed: ...
    def told(self, peer: Peer, head: Head, passed: Passed, trusted: bool) -> Told: ...
    def answered(self, fields: Fields, head: Head) -> Settled: ...


class Reaching(Protocol):
    """How a server is reached."""

    @property
    def lane(self) -> Telling: ...
    def origin(self, calls: bool) -> Origin: ...


class Servers(Protocol):
    """Who may be asked: `Members`, say, where it is explained."""

    name: str
    balance: Balance[Member]
    options: Upstreams
    loop: asyncio.AbstractEventLoop
    watch: Watch

    @property
    def statuses(self) -> frozenset[int]: ...
    def pick(self, tried: Collection[Seat[Member]]) -> Seat[Member] | None: ...
    def way(self, seat: Seat[Member]) -> Reaching: ...
    def done(self, seat: Seat[Member], well: bool | None) -> None: ...
    async def reach(self, origin: Origin, fresh: bool) -> Connection: ...
