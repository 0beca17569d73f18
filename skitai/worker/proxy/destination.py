"""A server that clients of the forward proxy ask, as a `Relay` sees it: what it is told, and by which connections."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from math import inf

from skitai.backend.balance import Balance, Seat
from skitai.backend.drivers.http.incoming import Watch
from skitai.backend.drivers.http.origin import Connection, Origin
from skitai.config.aliases import Member
from skitai.config.sections.passing import Upstreams
from skitai.exchange import Head, Peer, Settled, passed_on
from skitai.http.head import Fields
from skitai.worker.upstream.heads import (
    CLOSE,
    HOP_BY_HOP,
    NAMED,
    OURS,
    Passed,
    Told,
    binds,
    connection_options,
    framing,
    lines_of,
    via,
)

PATIENCE_S = 1.0
"""Opening a connection has its own limit; who has not got one then has waited for others to leave."""

FROM_US = (b"x-gtxn-id", b"x-ltxn-id", b"traceparent")
"""Fields that a client may send to servers that are none of ours."""

OWN = OURS - set(FROM_US)

NOTHING = Told([])


class Speech:
    """How a server of others is spoken to.

    :ivar traces: whether it is told our transaction ids.
    """

    __slots__ = ("_authority", "_forwarded_for", "_scheme")

    traces = False

    def __init__(self, scheme: str, authority: str, forwarded_for: bool) -> None:
        self._scheme = scheme.encode("ascii")
        self._authority = authority.encode("ascii")
        self._forwarded_for = forwarded_for

    def passed(self, head: Head, trusted: bool) -> Passed:
        """See `upstream.heads.Lane`.

        :raises Answerable: 508, it goes round in circles.
        """
        found: Passed | None = head.forms.get(self)
        if found is None:
            found = head.forms[self] = self._passed(head)
        return found

    def _passed(self, head: Head) -> Passed:
        fields = head.fields
        own = OWN | connection_options(fields)
        if self._forwarded_for:
            own |= {b"x-forwarded-for"}
        kept = [each for each in fields.pairs if each[0] not in own]
        kept += framing(head)
        kept.append((b"via", via(head)))
        if head.method == "OPTIONS":
            kept = [(name, one_less(value) if name == b"max-forwards" else value) for name, value in kept]
        target, method = target_of(head).encode("ascii"), head.method.encode("ascii")
        pairs = [(b":method", method), (b":scheme", self._scheme), (b":authority", self._authority), (b":path", target)]
        pairs += [each for each in kept if each[0] != b"transfer-encoding"]
        before = fields.get(b"x-forwarded-for") or b""
        binding = binds(kept)
        lines = lines_of([*kept, CLOSE] if binding else kept)
        first = b"%b %b HTTP/1.1\r\nHost: %b\r\n%b" % (method, target, self._authority, lines)
        return Passed(first, pairs, before, binding)

    def told(self, peer: Peer, head: Head, passed: Passed, trusted: bool) -> Told:
        """The fields that say who asks."""
        if not self._forwarded_for:
            return NOTHING
        chain = [each for each in (passed.forwarded_for, peer.client.encode("latin-1")) if each]
        return Told([(b"x-forwarded-for", b", ".join(chain))]) if chain else NOTHING

    def answered(self, fields: Fields, head: Head) -> Settled:
        """The fields of an answer for the client."""
        found: Settled | None = fields.forms.get(Speech)  # type: ignore[call-overload]
        if found is None:
            own = HOP_BY_HOP | connection_options(fields) | {b"via"}
            pairs = [(name.decode("ascii"), value.decode("latin-1")) for name, value in fields.pairs if name not in own]
            before = fields.text("via")
            pairs.append(("via", f"{before}, 1.1 {NAMED.decode()}" if before else f"1.1 {NAMED.decode()}"))
            found = passed_on(pairs)
            fields.forms[Speech] = found  # type: ignore[index]
        return found


class Tally:
    """:ivar running: requests on their way, to all destinations."""

    __slots__ = ("running",)

    def __init__(self) -> None:
        self.running = 0


class Destination:
    """A server by one way of reaching it, as `upstream.members.Members` are for one alias; it stands for its own way, too.

    :param tally: counts its requests, too.
    :ivar last: when it was asked last, on the loop's clock.
    """

    statuses = frozenset[int]()

    def __init__(
        self, name: str, lane: Speech, origin: Origin, watch: Watch, options: Upstreams, connect_s: float, tally: Tally
    ) -> None:
        self.name = name
        self._tally = tally
        self.lane = lane
        self.watch = watch
        self.options = options
        self.loop: asyncio.AbstractEventLoop = watch.loop
        self.balance = Balance([(Member("http", name, 0), 1)], 0)
        self.last = -inf
        self._origin = origin
        self._wait_s = connect_s + PATIENCE_S

    @property
    def unused(self) -> bool:
        """Nobody is asking it, and there is no connection."""
        return not self.balance.seats[0].running and self._origin.unused

    def pick(self, tried: Collection[Seat[Member]]) -> Seat[Member] | None:
        self.last = self.loop.time()
        seat = self.balance.pick(self.last, tried)
        if seat is not None:
            self._tally.running += 1
        return seat

    def way(self, seat: Seat[Member]) -> Destination:
        return self

    def origin(self, calls: bool) -> Origin:
        return self._origin

    def done(self, seat: Seat[Member], well: bool | None) -> None:
        self._tally.running -= 1
        self.balance.done(seat, None, 0)

    async def reach(self, origin: Origin, fresh: bool) -> Connection:
        """Wait for a connection.

        :raises BackendError: there is none to be had; TIMEOUT, and nothing sent, when none was free.
        """
        return await origin.reach(self.loop.time() + self._wait_s, fresh)

    def tick(self, now: float) -> None:
        self._origin.tick(now)

    def close(self) -> None:
        """End what runs."""
        self._origin.close()


def one_less(value: bytes) -> bytes:
    """Max-Forwards for the next server (RFC 9110, section 7.6.2)."""
    return b"%d" % max(int(value) - 1, 0) if value.isdigit() and len(value) < 10 else value


def target_of(head: Head) -> str:
    """The request target for the server itself (RFC 9112, section 3.2.4)."""
    rest = head.target.partition("://")[2]
    if head.method == "OPTIONS" and "/" not in rest and "?" not in rest:
        return "*"
    at = head.target.find("?")
    return head.raw_path + (head.target[at:] if at >= 0 else "")
