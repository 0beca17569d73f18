"""What the supervisor should do now. Pure: the children, their readings and the time go in, actions come out.

Rules in one place:

- A vacancy (fewer children than wanted) is filled at once, unless the last ones died soon after their start.
- A child that is to be replaced (older code, ill, due) goes on serving until its replacement is ready; replacements start
  one by one.
- Whoever was told to leave and does not is told more firmly when its deadline has passed: HUP, then TERM, then KILL.
- Of a helper there is one at work at most. After a reload it leaves when the workers are renewed, and its successor starts
  when it has left, or says that it only finishes what it began. For that it gets all the time it needs.
- A stop reaches helpers when the last worker has left.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from skitai.config.tree import Config
from skitai.master.children import Children, Phase, Record, oldest_first

SLACK_S = 1.0
"""How much longer than its own grace time a child may take to be gone."""

DUMP_S = 0.5
"""For a child that did not become ready to dump its stacks, before it is killed."""

KILL_S = 5.0
"""After a KILL: a process in an uninterruptible wait is told again."""

_GOLDEN = 0.6180339887


@dataclass(frozen=True, slots=True)
class Rules:
    """The options that supervision depends on; see `config.sections.running` for their meaning."""

    grace_s: float = 30
    fast_grace_s: float = 2
    helper_grace_s: float = 5
    linger_s: float = 30
    boot_s: float = 120
    heartbeat_s: float = 30
    cpu_percent: float = 0
    cpu_continuous: int = 3
    cpu_interval_s: float = 20
    memory_bytes: int = 0
    age_s: float = 0
    requests: int = 0
    jitter_percent: float = 10

    @classmethod
    def of(cls, config: Config) -> Rules:
        supervision, timeouts = config.supervision, config.timeouts
        return cls(
            grace_s=timeouts.grace_s,
            fast_grace_s=timeouts.fast_grace_s,
            helper_grace_s=timeouts.helper_grace_s,
            linger_s=timeouts.keep_alive,
            boot_s=supervision.boot_s,
            heartbeat_s=supervision.heartbeat_s,
            cpu_percent=supervision.critical_cpu_percent,
            cpu_continuous=supervision.critical_continuous,
            cpu_interval_s=supervision.critical_interval_s,
            memory_bytes=supervision.worker_memory_bytes,
            age_s=supervision.worker_age_s,
            requests=supervision.worker_requests,
            jitter_percent=supervision.jitter_percent,
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Rules:
        """What `to_json` wrote, perhaps in another release of this program."""
        known = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in data.items() if name in known})


@dataclass(frozen=True, slots=True)
class Vital:
    """A child's readings.

    :param loop_beat_s: when its event loop last turned; 0 when it does not beat.
    :param pool_beat_s: when its thread pool last made progress; 0 when it does not beat.
    :param cpu_high: CPU readings at or above the critical point, in a row.
    :param retiring: it says that it takes on nothing new.
    """

    loop_beat_s: float = 0
    pool_beat_s: float = 0
    busy_threads: int = 0
    requests: int = 0
    cpu_percent: float = 0
    cpu_high: int = 0
    memory_bytes: int = 0
    retiring: bool = False


@dataclass(slots=True)
class Plan:
    """What is wanted.

    :ivar counts: children wanted, by program; a program that is not in it is left alone.
    :ivar helpers: the programs among them that are helpers.
    :ivar generation: of the code that new children run.
    :ivar oldest: the oldest generation that need not be replaced. Below `generation` after a reload that was given up.
    :ivar stop: the signal of a stop under way, or None.
    :ivar awake_s: the supervisor itself stood still until then, so older heartbeats prove nothing.
    """

    counts: dict[str, int]
    helpers: frozenset[str] = frozenset()
    generation: int = 1
    oldest: int = 1
    stop: signal.Signals | None = None
    awake_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start a child of a program; `strict` when somebody else would go on serving if it failed."""

    program: str
    strict: bool


@dataclass(frozen=True, slots=True)
class Tell:
    """Send a signal that should end the child."""

    pid: int
    signal: signal.Signals
    phase: Phase
    deadline_s: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class Condemn:
    """Have the child replaced; if `ill`, its stacks are dumped first."""

    pid: int
    why: str
    ill: bool


Action = Spawn | Tell | Condemn


@dataclass(slots=True)
class _Seats:
    """The children of a program that count, by what they are good for."""

    wanted: int
    booting: list[Record] = field(default_factory=list)
    fresh: list[Record] = field(default_factory=list)
    stale: list[Record] = field(default_factory=list)


def decide(children: Children, vitals: Mapping[int, Vital], now: float, plan: Plan, rules: Rules) -> list[Action]:
    """What to do now. Once it has been done, the same call comes to rest: it returns nothing until something changes."""
    if plan.stop is not None:
        return _stop(children, now, plan.stop, rules)
    actions = _overdue(children, vitals, now, plan, rules)
    actions += _examine(children, vitals, now, plan, rules)
    told = {action.pid for action in actions if isinstance(action, Tell)}
    condemned = {action.pid for action in actions if isinstance(action, Condemn)}
    for program, wanted in plan.counts.items():
        staying = [record for record in children.of(program) if record.pid not in told or not record.was_ready]
        if program in plan.helpers:
            # Who is condemned just now is ended in the next turn, as it then is on the books.
            seats = _seat([record for record in staying if record.pid not in condemned], wanted, plan, condemned)
            actions += _tend_helper(program, seats, children, vitals, now, plan, rules)
            continue
        seats = _seat(staying, wanted, plan, condemned)
        actions += _fill(program, seats, children, now, plan)
        actions += _dismiss(seats, now, rules)
    return actions


def next_due(children: Children, now: float, plan: Plan, rules: Rules) -> float:
    """Seconds until `decide` may have something to do although nothing happens; infinite when nothing is pending.

    Only right after its actions were carried out: what is due by `now` counts as done.
    """
    due = [record.deadline_s for record in children]
    for record in children:
        if record.phase is Phase.BOOTING:
            due.append(record.condemned_s + DUMP_S if record.ill else record.started_s + rules.boot_s)
    if plan.stop is None:
        due += [children.streak(program).not_before_s for program in plan.counts]
    return min((each - now for each in due if each > now), default=math.inf)


def spread(limit: float, number: int, percent: float) -> float:
    """A limit lowered by up to `percent`, differently for each child number, so that not all reach theirs together."""
    return limit * (1 - percent / 100 * (number * _GOLDEN % 1))


def retire(record: Record, now: float, rules: Rules, why: str = "") -> Tell:
    """Take no new connections, finish what runs, let idle clients go their way."""
    grace_s = rules.helper_grace_s if record.helper else rules.linger_s + rules.grace_s
    return Tell(record.pid, signal.SIGHUP, Phase.RETIRING, now + grace_s + SLACK_S, why)


def _stop(children: Children, now: float, how: signal.Signals, rules: Rules) -> list[Action]:
    actions: list[Action] = []
    workers = [record for record in children if not record.helper]
    for record in workers or children:
        tell = _terminate(record, now, rules, how)
        if record.phase is Phase.KILLED or (record.phase is Phase.STOPPING and record.deadline_s <= tell.deadline_s):
            if now >= record.deadline_s:
                actions.append(_kill(record, now, "did not stop in time"))
        else:
            actions.append(tell)
    return actions


def _terminate(record: Record, now: float, rules: Rules, how: signal.Signals = signal.SIGTERM, why: str = "") -> Tell:
    grace_s = rules.helper_grace_s if record.helper else rules.grace_s
    if how is signal.SIGQUIT:
        grace_s = min(rules.fast_grace_s, rules.helper_grace_s) if record.helper else rules.fast_grace_s
    return Tell(record.pid, how, Phase.STOPPING, now + grace_s + SLACK_S, why)


def _kill(record: Record, now: float, why: str) -> Tell:
    return Tell(record.pid, signal.SIGKILL, Phase.KILLED, now + KILL_S, why)


def _overdue(children: Children, vitals: Mapping[int, Vital], now: float, plan: Plan, rules: Rules) -> list[Action]:
    actions: list[Action] = []
    for record in children:
        if record.phase is Phase.BOOTING and record.ill:
            if now >= record.condemned_s + DUMP_S:
                actions.append(_kill(record, now, f"was not ready after {rules.boot_s:g} s"))
        elif record.phase is Phase.BOOTING and now >= record.started_s + rules.boot_s:
            actions.append(Condemn(record.pid, f"is not ready after {rules.boot_s:g} s", ill=True))
        elif record.phase is Phase.BOOTING and now >= record.deadline_s:
            actions.append(_kill(record, now, "failed and did not leave"))
        elif record.phase is Phase.RETIRING and now >= record.deadline_s:
            vital = vitals.get(record.pid, Vital())
            if record.helper and vital.retiring and not _ailment(record, vital, now, plan, rules):
                continue
            actions.append(_terminate(record, now, rules, why="did not retire in time"))
        elif record.phase in (Phase.STOPPING, Phase.KILLED) and now >= record.deadline_s:
            actions.append(_kill(record, now, "did not stop in time"))
        elif record.phase is Phase.SERVING and record.ill and now - record.condemned_s >= rules.boot_s:
            actions.append(_terminate(record, now, rules, why="has no replacement, and will wait no longer"))
    return actions


def _examine(children: Children, vitals: Mapping[int, Vital], now: float, plan: Plan, rules: Rules) -> list[Action]:
    actions: list[Action] = []
    for record in children:
        vital = vitals.get(record.pid)
        if vital is None or record.phase is not Phase.SERVING or record.condemned:
            continue
        if ailment := _ailment(record, vital, now, plan, rules):
            actions.append(Condemn(record.pid, ailment, ill=True))
        elif record.helper:
            continue
        elif record.program in plan.counts and plan.oldest == plan.generation and (due := _due(record, vital, now, rules)):
            actions.append(Condemn(record.pid, due, ill=False))
    return actions


def _ailment(record: Record, vital: Vital, now: float, plan: Plan, rules: Rules) -> str:
    """Why a child does not work any more; "" when it does."""
    silent_s = now - max(vital.loop_beat_s, plan.awake_s)
    if rules.heartbeat_s and vital.loop_beat_s and silent_s > rules.heartbeat_s:
        return f"is stuck: its event loop has not turned for {silent_s:.1f} s"
    silent_s = now - max(vital.pool_beat_s, plan.awake_s)
    if rules.heartbeat_s and vital.pool_beat_s and vital.busy_threads and silent_s > rules.heartbeat_s:
        return f"is stuck: {vital.busy_threads} threads are busy and none has made progress for {silent_s:.1f} s"
    if rules.cpu_percent and not record.helper and vital.cpu_high >= rules.cpu_continuous:
        return f"is overloaded: {vital.cpu_percent:.0f} % CPU in {vital.cpu_high} readings in a row"
    return ""


def _due(record: Record, vital: Vital, now: float, rules: Rules) -> str:
    """Why a child that works is to be replaced; "" when it is not."""
    if rules.memory_bytes and vital.memory_bytes >= rules.memory_bytes:
        return f"uses {vital.memory_bytes >> 20} MiB of memory"
    if rules.age_s and now - record.started_s >= spread(rules.age_s, record.number, rules.jitter_percent):
        return f"is {now - record.started_s:.0f} s old"
    if rules.requests and vital.requests >= spread(rules.requests, record.number, rules.jitter_percent):
        return f"has answered {vital.requests} requests"
    return ""


def _seat(records: list[Record], wanted: int, plan: Plan, condemned: set[int]) -> _Seats:
    seats = _Seats(wanted)
    for record in records:
        if record.phase is Phase.BOOTING or record.unstartable:
            seats.booting.append(record)  # one that could not start keeps its seat until it has left, and counts as dead
        elif record.phase is Phase.SERVING:
            good = record.generation >= plan.oldest and not record.condemned and record.pid not in condemned
            (seats.fresh if good else seats.stale).append(record)
    return seats


def _fill(program: str, seats: _Seats, children: Children, now: float, plan: Plan) -> list[Action]:
    if now < children.streak(program).not_before_s:
        return []
    vacant = seats.wanted - len(seats.fresh) - len(seats.stale) - len(seats.booting)
    strict = bool(seats.stale) or plan.oldest < plan.generation
    if vacant > 0:
        return [Spawn(program, strict) for _ in range(vacant)]
    if seats.stale and not seats.booting and len(seats.fresh) < seats.wanted:
        return [Spawn(program, strict=True)]
    return []


def _tend_helper(
    program: str,
    seats: _Seats,
    children: Children,
    vitals: Mapping[int, Vital],
    now: float,
    plan: Plan,
    rules: Rules,
) -> list[Action]:
    """Never two at work: the old one goes first. It may stay until the workers run the code that its successor will."""
    renewing = any(
        record.generation < plan.oldest and record.phase in (Phase.BOOTING, Phase.SERVING)
        for record in children
        if not record.helper
    )
    leaving = seats.stale if seats.wanted else [*seats.stale, *seats.fresh]
    if renewing:
        leaving = [record for record in leaving if record.ill]
    actions: list[Action] = [_terminate(each, now, rules) if each.ill else retire(each, now, rules) for each in leaving]
    if not seats.wanted:
        actions += [_terminate(each, now, rules) for each in seats.booting if each.phase is Phase.BOOTING]
    working = [
        record
        for record in children.of(program)
        if record.phase is not Phase.RETIRING or not vitals.get(record.pid, Vital()).retiring
    ]
    if seats.wanted and not working and now >= children.streak(program).not_before_s:
        actions.append(Spawn(program, strict=False))
    return actions


def _dismiss(seats: _Seats, now: float, rules: Rules) -> list[Action]:
    """Send away who has a replacement: the ill first, then the oldest code; then whoever is one too many."""
    surplus = len(seats.fresh) + len(seats.stale) - seats.wanted
    stale = sorted(oldest_first(seats.stale), key=lambda record: not record.ill)
    leaving = (stale + oldest_first(seats.fresh))[: max(0, surplus)]
    actions: list[Action] = [_terminate(each, now, rules) if each.ill else retire(each, now, rules) for each in leaving]
    unneeded = len(seats.fresh) + len(seats.booting) - seats.wanted
    if not seats.stale and unneeded > 0:
        booting = [each for each in oldest_first(seats.booting) if each.phase is Phase.BOOTING]
        actions += [_terminate(each, now, rules) for each in booting[-unneeded:]]
    return actions
