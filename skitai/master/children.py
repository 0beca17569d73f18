"""The master's book-keeping of its children. No system calls: pids, times and exit codes come in as values."""

from __future__ import annotations

import enum
import math
import signal
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

EARLY_S = 10.0
"""A child that leaves within this time of its start is a sign of a crash loop."""

BACKOFFS_S = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
CRASH_LOOP = 3
"""Early deaths in a row that are called a crash loop."""


class Phase(enum.StrEnum):
    """Where a child is in its life, as far as the master has taken it."""

    BOOTING = "booting"
    SERVING = "serving"
    RETIRING = "retiring"
    STOPPING = "stopping"
    KILLED = "killed"

    @property
    def leaving(self) -> bool:
        return self in (Phase.RETIRING, Phase.STOPPING, Phase.KILLED)


@dataclass(slots=True)
class Record:
    """What the master knows of one child.

    :ivar slot: its row of the scoreboard.
    :ivar deadline_s: when the next, harder means follows; infinite when nothing is pending.
    :ivar condemned: why it is to be replaced; it goes on serving until its replacement is ready.
    :ivar condemned_s: since when.
    :ivar ill: it is condemned because it does not work any more, not because it is due.
    :ivar reason: what it said itself about why it leaves.
    :ivar was_ready: it has served.
    :ivar ready_s: since when.
    :ivar helper: it works beside the workers; see `program`.
    """

    pid: int
    program: str
    number: int
    label: str
    generation: int
    slot: int
    started_s: float
    strict: bool = False
    phase: Phase = Phase.BOOTING
    deadline_s: float = math.inf
    condemned: str = ""
    condemned_s: float = 0.0
    ill: bool = False
    reason: str = ""
    was_ready: bool = False
    ready_s: float = 0.0
    helper: bool = False

    @property
    def who(self) -> str:
        return f"{self.label} (pid {self.pid})"

    @property
    def unstartable(self) -> bool:
        """It said, or the supervisor saw, that it does not become ready."""
        return not self.was_ready and bool(self.reason or self.condemned)


@dataclass(frozen=True, slots=True)
class Exit:
    """How a child ended.

    :param expected: it was told to leave, and not because it could not start.
    :param early: it left unasked, soon after its start.
    :param text: one line for people.
    """

    record: Record
    code: int
    expected: bool
    early: bool
    text: str


@dataclass(slots=True)
class Streak:
    """Early deaths of one program in a row.

    :ivar not_before_s: no child of the program is started before.
    """

    deaths: int = 0
    not_before_s: float = 0.0


class Children:
    """All children, the numbers given out, and each program's early deaths."""

    def __init__(self) -> None:
        self._records: dict[int, Record] = {}
        self._numbers: dict[str, int] = {}
        self._streaks: dict[str, Streak] = {}

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records.values())

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, pid: int) -> bool:
        return pid in self._records

    def get(self, pid: int) -> Record | None:
        return self._records.get(pid)

    def of(self, program: str) -> list[Record]:
        return [record for record in self if record.program == program]

    def next_number(self, program: str) -> int:
        """The running number of the program's next child."""
        return self._numbers.get(program, 0)

    def free_slot(self, slots: int) -> int | None:
        """A scoreboard row that no child uses; None when all are taken."""
        taken = {record.slot for record in self}
        return next((slot for slot in range(slots) if slot not in taken), None)

    def started(self, record: Record) -> None:
        """A child was forked; its number is given out."""
        self._records[record.pid] = record
        self._numbers[record.program] = max(self.next_number(record.program), record.number + 1)

    def ready(self, pid: int, now: float) -> Record | None:
        """A child says that it serves; None when it is unknown or was told to leave meanwhile."""
        record = self.get(pid)
        if record is None or record.phase is not Phase.BOOTING:
            return None
        record.phase = Phase.SERVING
        record.was_ready, record.ready_s = True, now
        record.condemned, record.ill = "", False  # it was late, and made it
        record.deadline_s = math.inf
        return record

    def failed(self, pid: int, reason: str, deadline_s: float) -> None:
        """A child says why it cannot serve; it should have left by the deadline."""
        record = self._records[pid]
        record.reason = reason
        if record.phase is Phase.BOOTING:
            record.deadline_s = deadline_s

    def told(self, pid: int, phase: Phase, deadline_s: float) -> None:
        """A child was sent a signal that should end it."""
        record = self._records[pid]
        record.phase = phase
        record.deadline_s = deadline_s

    def condemned(self, pid: int, why: str, ill: bool, now: float) -> None:
        record = self._records[pid]
        record.condemned, record.condemned_s, record.ill = why, now, ill

    def exited(self, pid: int, code: int, now: float) -> Exit | None:
        """A child has left.

        :param code: its exit code, or minus the number of the signal that ended it.
        :returns: None for a process that is no child of the supervisor's.
        """
        record = self._records.pop(pid, None)
        if record is None:
            return None
        expected = record.phase.leaving and not record.unstartable
        early = not expected and now - record.started_s < EARLY_S
        if not expected:
            self._count(record.program, early, now)
        return Exit(record, code, expected, early, f"{record.who} {in_words(code)}{_because(record)}")

    def stumbled(self, program: str, now: float) -> None:
        """A child of the program could not even be started."""
        self._count(program, True, now)

    def _count(self, program: str, early: bool, now: float) -> None:
        streak = self.streak(program)
        if not early:
            self._streaks[program] = Streak()
        elif now >= streak.not_before_s:  # several that die together are one failure
            delay = BACKOFFS_S[min(streak.deaths, len(BACKOFFS_S) - 1)]
            self._streaks[program] = Streak(streak.deaths + 1, now + delay)

    def streak(self, program: str) -> Streak:
        return self._streaks.get(program, Streak())

    def to_json(self) -> dict[str, Any]:
        """Everything, for the program that follows an exec."""
        records = [asdict(record) | {"deadline_s": _finite(record.deadline_s)} for record in self]
        return {"records": records, "numbers": dict(self._numbers)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Children:
        """What `to_json` wrote, perhaps in another release of this program."""
        children = cls()
        known = {each.name for each in fields(Record)}
        for written in data["records"]:
            values = {name: value for name, value in written.items() if name in known}
            values["deadline_s"] = math.inf if written["deadline_s"] is None else written["deadline_s"]
            record = Record(**(values | {"phase": Phase(written["phase"])}))
            children._records[record.pid] = record
        children._numbers.update(data["numbers"])
        return children

    def __repr__(self) -> str:
        return f"<Children {' '.join(f'{each.label}:{each.phase}' for each in self)}>"


def in_words(code: int) -> str:
    """An exit code as people say it: "left with code 3", "was killed by SIGKILL"."""
    if code >= 0:
        return f"left with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def oldest_first(records: Iterable[Record]) -> list[Record]:
    return sorted(records, key=lambda record: (record.generation, record.number))


def _because(record: Record) -> str:
    why = record.reason or record.condemned
    return f": {why}" if why else ""


def _finite(value: float) -> float | None:
    return None if math.isinf(value) else value
