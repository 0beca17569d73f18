"""The members behind one alias: who is asked, and who when that one cannot be reached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from skitai.backend.balance import Balance, Seat
from skitai.backend.errors import BackendError, Code
from skitai.backend.result import Result
from skitai.backend.seam import Driver, Operation
from skitai.config.aliases import Alias, Member

UNREACHABLE = frozenset({Code.REFUSED, Code.SLOW, Code.NO_HOST, Code.TLS, Code.PROTOCOL})
"""What speaks against the member, not against the request."""


class Cluster:
    """One alias. Belongs to the loop's thread, but for what is constant: `alias`, its `kind`.

    :param eject_s: see `balance.Balance`.
    """

    def __init__(self, alias: Alias, eject_s: float) -> None:
        self.alias = alias
        self.kind = alias.kind
        self._eject_s = eject_s
        self._databases: dict[str, Cluster] = {}
        self.balance: Balance[Member] = Balance([(member, member.weight) for member in alias.members], eject_s)

    @property
    def members(self) -> tuple[Member, ...]:
        return self.alias.members

    def of_database(self, name: str) -> Cluster:
        """The same servers, for another database than the alias names; from any thread."""
        made = self._databases.get(name)
        if made is None:
            members = tuple(replace(member, database=name) for member in self.members)
            alias = replace(self.alias, name=f"{self.alias.name}/{name}", members=members)
            made = self._databases.setdefault(name, Cluster(alias, self._eject_s))
        return made

    async def ask(
        self,
        driver: Driver,
        operation: Operation,
        deadline: float,
        clock: Callable[[], float],
        failed: tuple[Seat[Member], BackendError] | None = None,
    ) -> Result:
        """Ask a member; another one while none could be reached, or what was sent may be repeated.

        :param clock: tells the loop's time.
        :param failed: who was asked before, and why he gave no answer.
        :raises BackendError: of the last member that was tried.
        """
        session = getattr(operation, "session", None)
        if session is not None:  # what follows in a transaction goes to where that has begun
            result = await driver.ask(session.member, operation, deadline)
            result.member = session.member
            return result
        tried, error = ([failed[0]], failed[1]) if failed is not None else ([], None)
        while True:
            seat = self.balance.pick(clock(), tried)
            if seat is None:
                assert error is not None
                raise error
            tried.append(seat)
            well: bool | None = None
            try:
                result = await driver.ask(seat.member, operation, deadline)
                well = True
            except BackendError as refusal:
                if refusal.code in UNREACHABLE:
                    well = False
                error = refusal
                if not well_repeated(error, operation) or clock() >= deadline:
                    raise
            else:
                result.member = seat.member
                return result
            finally:
                self.balance.done(seat, well, clock())

    def stats(self) -> list[dict[str, Any]]:
        """How its members are."""
        return [
            {
                "server": f"{seat.member.host}:{seat.member.port}",
                "weight": seat.weight,
                "running": seat.running,
                "failures": seat.failures,
            }
            for seat in self.balance.seats
        ]


def well_repeated(error: BackendError, operation: Operation) -> bool:
    """Whether another member may be asked: nothing was done yet, or doing it twice does no harm."""
    return error.code in UNREACHABLE and (not error.sent or operation.repeatable)
