"""Which member of a cluster is asked next. Pure: `now` comes in, the choice goes out.

The member with the fewest requests under way for its weight; equals take turns by smooth weighted round robin, so that
weights count among the idle, too. One that cannot be reached is left alone for a while, longer each time. When it comes back
it gets one request at a time, then two, then four: it may have come back empty, and is not to be flooded.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import inf
from typing import Generic, TypeVar

LONGEST_S = 60.0
TRUSTED_FROM = 64
"""From so many requests at once on, one that came back counts as well."""

M = TypeVar("M")


class Seat(Generic[M]):
    """What is known of one member.

    :ivar running: requests under way.
    :ivar failures: in a row.
    :ivar out_until: left alone until then.
    :ivar allowance: requests at once while it has to prove itself; `inf` for one that is well.
    """

    __slots__ = ("allowance", "credit", "failures", "member", "out_until", "running", "weight")

    def __init__(self, member: M, weight: int) -> None:
        self.member = member
        self.weight = max(weight, 1)
        self.running = 0
        self.credit = 0
        self.failures = 0
        self.out_until = 0.0
        self.allowance = inf


class Balance(Generic[M]):
    """The members of one cluster.

    :param eject_s: one that fails is left alone for so long, twice as long each time.
    """

    def __init__(self, members: Sequence[tuple[M, int]], eject_s: float) -> None:
        self.seats = [Seat(member, weight) for member, weight in members]
        self._eject_s = eject_s

    def pick(self, now: float, tried: Collection[Seat[M]] = ()) -> Seat[M] | None:
        """The member to ask, counted as under way until `done`.

        :param tried: not those.
        :returns: None when all were tried.
        """
        seats = self.seats
        if len(seats) == 1 and not tried:
            seats[0].running += 1
            return seats[0]
        chosen = self.choose(now, tried)
        if chosen is None:
            return None
        seat, equals = chosen
        self.turn(seat, equals)
        seat.running += 1
        return seat

    def choose(self, now: float, tried: Collection[Seat[M]] = ()) -> tuple[Seat[M], Sequence[Seat[M]]] | None:
        """As `pick`, and those that the member takes turns with; nothing is counted before `turn`.

        Where every member is left alone, it is the one whose time is over first.
        """
        seats = self.seats
        if len(seats) == 1 and not tried:
            return seats[0], ()
        left = [seat for seat in seats if seat not in tried]
        if not left:
            return None
        fit = [seat for seat in left if seat.out_until <= now and seat.running < seat.allowance]
        if not fit:
            return min(left, key=lambda seat: (seat.out_until, seat.running / seat.weight)), ()
        least = min(seat.running / seat.weight for seat in fit)
        equals = [seat for seat in fit if seat.running / seat.weight == least]
        return max(equals, key=lambda seat: seat.credit + seat.weight), equals

    @staticmethod
    def turn(chosen: Seat[M], equals: Sequence[Seat[M]]) -> None:
        """It is the turn of one of them."""
        if len(equals) > 1:
            for seat in equals:
                seat.credit += seat.weight
            chosen.credit -= sum(seat.weight for seat in equals)

    def done(self, seat: Seat[M], well: bool | None, now: float) -> None:
        """A request has ended.

        :param well: whether the member could be reached; None when that is not known.
        """
        seat.running -= 1
        if well is not None and (not well or seat.failures or seat.allowance != inf):
            self.report(seat, well, now)

    def report(self, seat: Seat[M], well: bool, now: float) -> None:
        """A member could be reached, or could not be."""
        if well:
            if not seat.failures and seat.allowance == inf:
                return
            seat.failures = 0
            seat.out_until = 0.0
            if seat.allowance != inf:
                seat.allowance = seat.allowance * 2 if seat.allowance < TRUSTED_FROM else inf
        elif seat.out_until <= now:  # what fails while it is left alone was under way before
            seat.failures += 1
            seat.allowance = 1
            seat.out_until = now + min(self._eject_s * 2 ** (seat.failures - 1), LONGEST_S)
