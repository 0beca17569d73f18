"""How much each of many clients may still do: token buckets that all workers of a host share.

A bucket is one point in time: when it will be full again (the generic cell rate algorithm). A client has one of four places,
by a hash of its name; where all of them are somebody else's, the one that is nearest to being full is forgotten. So the
table never grows, and with many more clients than `PLACES` at once some are allowed more than they should, never less.

A place is changed under a record lock, which ends with its holder. Nobody waits for a holder that does not go on: after some
tries a place is changed without. So the count is exact but for requests of one client that two workers look at in such
moments: of those, one may count for both. What passes in any time is at most the burst, what the rate gives in that time,
and one for each such collision; four processes that do nothing else but count for one client were seen to pass a tenth more.
"""

from __future__ import annotations

import mmap
from hashlib import blake2b
from typing import NamedTuple

from skitai.ipc.locks import for_a_moment
from skitai.ipc.memory import SLOT_BYTES, Memory

PLACES = 1 << 16
WAYS = 4
_SLOTS = 2
"""Of a place: whose it is, and when the bucket is full again."""

_GRAIN = 1e-9
"""Seconds that do not matter: numbers of this size are not exact."""


class Taken(NamedTuple):
    """What became of a request.

    :ivar allowed: it may go on.
    :ivar full_at: when the bucket will be full, on the clock of `now`.
    :ivar left: so many more may come at once.
    :ivar wait_s: then one more may come; 0 when it may at once.
    :ivar full_s: then the bucket is full.
    """

    allowed: bool
    full_at: float
    left: int
    wait_s: float
    full_s: float


def take(full_at: float, now: float, interval_s: float, burst: int) -> Taken:
    """Take one from a bucket.

    :param full_at: what the last one has left; any number that makes no sense is a full bucket, or an empty one.
    :param interval_s: in which the bucket gets one more.
    :param burst: how many a full one holds.
    """
    holds_s = burst * interval_s
    begun = min(full_at, now + holds_s) if full_at > now else now
    after = begun + interval_s
    if after - now > holds_s + _GRAIN:
        return Taken(False, begun, 0, after - now - holds_s, begun - now)
    left = int((holds_s - (after - now) + _GRAIN) / interval_s)
    return Taken(True, after, left, 0.0 if left else max(after + interval_s - now - holds_s, 0.0), after - now)


class Buckets:
    """The buckets of all clients; see above.

    :param memory: that several processes share.
    """

    __slots__ = ("_floats", "_ints", "memory")

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self._ints, self._floats = memory.ints, memory.floats

    @classmethod
    def create(cls) -> Buckets:
        """For processes that are forked later. Memory is used as clients come."""
        return cls(Memory.create("buckets", PLACES * _SLOTS))

    @classmethod
    def alone(cls) -> Buckets:
        """For this process."""
        return cls(Memory(-1, mmap.mmap(-1, PLACES * _SLOTS * SLOT_BYTES)))

    @classmethod
    def adopt(cls, fd: int) -> Buckets:
        """Those of the program before the exec, as they are."""
        return cls(Memory.adopt(fd, PLACES * _SLOTS))

    def take(self, client: str, now: float, interval_s: float, burst: int) -> Taken:
        """Take one from a client's bucket.

        :param now: on the monotonic clock, which all processes of a machine share.
        """
        name = int.from_bytes(
            blake2b(client.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little", signed=True
        )
        name = name or 1  # 0 is nobody
        first = name % PLACES & -WAYS
        with for_a_moment(self.memory.fd, first):
            slot = self._slot(name, first * _SLOTS)
            before = self._floats[slot + 1]
            known = self._ints[slot] == name
            result = take(before if known else 0.0, now, interval_s, burst)
            if not known:
                self._ints[slot] = name
            if known and self._floats[slot + 1] != before:  # another has counted meanwhile, which is not undone
                self._floats[slot + 1] = max(self._floats[slot + 1], result.full_at)
            else:
                self._floats[slot + 1] = result.full_at
        return result

    def _slot(self, name: int, first: int) -> int:
        """Where a client's bucket is, or may be."""
        slots = range(first, first + WAYS * _SLOTS, _SLOTS)
        ints, floats = self._ints, self._floats
        for slot in slots:
            if ints[slot] == name:
                return slot
        return min(slots, key=lambda slot: floats[slot + 1])
