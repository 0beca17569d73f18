"""The supervisor's decisions: values and a time go in, actions come out; and a small world in which they are carried out."""

from __future__ import annotations

import math
import signal
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skitai.master.children import Children, Phase, Record
from skitai.master.policy import (
    DUMP_S,
    SLACK_S,
    Condemn,
    Plan,
    Rules,
    Spawn,
    Tell,
    Vital,
    decide,
    next_due,
    spread,
)

RULES = Rules(grace_s=30, fast_grace_s=2, linger_s=10, boot_s=120, heartbeat_s=30)
NOW = 1000.0


def family(*phases: Phase, generation: int = 1) -> Children:
    """Children with pids 1, 2, ... in these phases."""
    children = Children()
    for number, phase in enumerate(phases):
        record = Record(number + 1, "worker", number, f"worker #{number}", generation, number, started_s=NOW)
        record.phase, record.was_ready = phase, phase is not Phase.BOOTING
        children.started(record)
    return children


def plan(count: int = 2, **more: object) -> Plan:
    return Plan({"worker": count}, **more)  # type: ignore[arg-type]


SERVING, BOOTING, RETIRING, STOPPING, KILLED = Phase.SERVING, Phase.BOOTING, Phase.RETIRING, Phase.STOPPING, Phase.KILLED


def test_nothing_to_do_when_all_serve() -> None:
    assert decide(family(SERVING, SERVING), {}, NOW, plan(), RULES) == []


def test_vacancies_are_filled_at_once() -> None:
    assert decide(Children(), {}, NOW, plan(), RULES) == [Spawn("worker", False)] * 2
    assert decide(family(SERVING), {}, NOW, plan(), RULES) == [Spawn("worker", False)]
    assert decide(family(SERVING, BOOTING), {}, NOW, plan(), RULES) == []
    assert decide(family(SERVING, RETIRING), {}, NOW, plan(), RULES) == [Spawn("worker", False)]


def test_after_an_early_death_the_next_start_waits() -> None:
    children = family(SERVING, SERVING)
    children.exited(2, 1, NOW + 1)

    assert decide(children, {}, NOW + 1.5, plan(), RULES) == []
    assert next_due(children, NOW + 1.5, plan(), RULES) == 0.5
    assert decide(children, {}, NOW + 2, plan(), RULES) == [Spawn("worker", False)]


def test_one_too_many_retires_the_oldest() -> None:
    [action] = decide(family(SERVING, SERVING, SERVING), {}, NOW, plan(), RULES)

    assert action == Tell(1, signal.SIGHUP, RETIRING, NOW + 10 + 30 + SLACK_S)


def test_one_too_many_that_boots_is_ended() -> None:
    [action] = decide(family(SERVING, SERVING, BOOTING), {}, NOW, plan(), RULES)

    assert isinstance(action, Tell)
    assert (action.pid, action.signal) == (3, signal.SIGTERM)


def test_a_new_generation_starts_one_by_one_and_only_then_an_old_child_retires() -> None:
    children = family(SERVING, SERVING)
    wanted = plan(generation=2, oldest=2)
    assert decide(children, {}, NOW, wanted, RULES) == [Spawn("worker", True)]

    children.started(Record(3, "worker", 2, "worker #2", 2, 2, started_s=NOW))
    assert decide(children, {}, NOW, wanted, RULES) == []

    children.ready(3, NOW)
    spawn, retire = decide(children, {}, NOW, wanted, RULES)
    assert spawn == Spawn("worker", True)
    assert isinstance(retire, Tell)
    assert (retire.pid, retire.signal) == (1, signal.SIGHUP)


def test_a_generation_that_was_given_up_goes() -> None:
    children = family(SERVING, SERVING)
    children.started(Record(3, "worker", 2, "worker #2", 2, 2, started_s=NOW))

    [action] = decide(children, {}, NOW, plan(generation=2, oldest=1), RULES)

    assert isinstance(action, Tell)
    assert (action.pid, action.signal) == (3, signal.SIGTERM)


def test_programs_that_are_not_in_the_plan_are_left_alone() -> None:
    assert decide(family(SERVING, RETIRING), {}, NOW, Plan({}), RULES) == []


# Told to leave


@pytest.mark.parametrize(
    ("phase", "number", "next_phase"),
    [
        (RETIRING, signal.SIGTERM, STOPPING),
        (STOPPING, signal.SIGKILL, KILLED),
        (KILLED, signal.SIGKILL, KILLED),
    ],
)
def test_who_does_not_leave_in_time_is_told_more_firmly(phase: Phase, number: signal.Signals, next_phase: Phase) -> None:
    children = family(phase)
    children.told(1, phase, NOW + 5)

    assert decide(children, {}, NOW + 4.9, plan(0), RULES) == []
    assert next_due(children, NOW + 4, plan(0), RULES) == 1
    [action] = decide(children, {}, NOW + 5, plan(0), RULES)
    assert isinstance(action, Tell)
    assert (action.pid, action.signal, action.phase) == (1, number, next_phase)
    assert action.deadline_s > NOW + 5


def test_who_is_not_ready_in_time_is_dumped_and_then_killed() -> None:
    children = family(BOOTING)
    late = NOW + 120
    assert decide(children, {}, late - 0.1, plan(1), RULES) == []

    assert decide(children, {}, late, plan(1), RULES) == [Condemn(1, "is not ready after 120 s", ill=True)]

    children.condemned(1, "is not ready after 120 s", True, late)
    assert decide(children, {}, late, plan(1), RULES) == []
    assert next_due(children, late, plan(1), RULES) == DUMP_S
    [action] = decide(children, {}, late + DUMP_S, plan(1), RULES)
    assert isinstance(action, Tell)
    assert action.signal is signal.SIGKILL


def test_who_failed_and_does_not_leave_is_killed_and_keeps_its_seat_until_then() -> None:
    children = family(BOOTING)
    children.failed(1, "no module named nonsense", NOW + 2)

    [action] = decide(children, {}, NOW + 2, plan(1), RULES)

    assert isinstance(action, Tell)
    assert action.signal is signal.SIGKILL
    children.told(1, action.phase, action.deadline_s)
    assert decide(children, {}, NOW + 2, plan(1), RULES) == []


@pytest.mark.parametrize(("how", "grace_s"), [(signal.SIGTERM, 30), (signal.SIGQUIT, 2)])
def test_a_stop_tells_everybody_once(how: signal.Signals, grace_s: float) -> None:
    children = family(SERVING, BOOTING, RETIRING)
    wanted = plan(stop=how)

    actions = decide(children, {}, NOW, wanted, RULES)

    assert actions == [Tell(pid, how, STOPPING, NOW + grace_s + SLACK_S) for pid in (1, 2, 3)]
    for pid in (1, 2, 3):
        children.told(pid, STOPPING, NOW + grace_s + SLACK_S)
    assert decide(children, {}, NOW + 1, wanted, RULES) == []
    assert {type(each) for each in decide(children, {}, NOW + grace_s + SLACK_S, wanted, RULES)} == {Tell}


def test_a_fast_stop_overtakes_a_graceful_one() -> None:
    children = family(STOPPING)
    children.told(1, STOPPING, NOW + 31)

    [action] = decide(children, {}, NOW + 1, plan(stop=signal.SIGQUIT), RULES)

    assert action == Tell(1, signal.SIGQUIT, STOPPING, NOW + 1 + 2 + SLACK_S)


# Ill or due


def condemned(vital: Vital, now: float = NOW + 100, rules: Rules = RULES, **more: float) -> Condemn | None:
    """What becomes of a single worker with these readings."""
    actions = decide(family(SERVING), {1: vital}, now, plan(1, **more), rules)
    found = [each for each in actions if isinstance(each, Condemn)]
    assert actions in ([], [*found, Spawn("worker", True)])
    return found[0] if found else None


def test_a_loop_that_does_not_beat_is_stuck() -> None:
    assert condemned(Vital(loop_beat_s=NOW + 75)) is None
    found = condemned(Vital(loop_beat_s=NOW + 69))
    assert found == Condemn(1, "is stuck: its event loop has not turned for 31.0 s", ill=True)


def test_a_child_that_never_beat_is_not_judged() -> None:
    assert condemned(Vital()) is None


def test_no_heartbeat_is_asked_for_when_it_is_off() -> None:
    assert condemned(Vital(loop_beat_s=1), rules=replace(RULES, heartbeat_s=0)) is None


def test_a_pool_that_does_not_beat_is_stuck_only_with_work() -> None:
    assert condemned(Vital(pool_beat_s=NOW)) is None
    found = condemned(Vital(pool_beat_s=NOW, busy_threads=4))
    assert found is not None
    assert found.why == "is stuck: 4 threads are busy and none has made progress for 100.0 s"


def test_beats_from_before_a_standstill_of_the_machine_prove_nothing() -> None:
    assert condemned(Vital(loop_beat_s=NOW), awake_s=NOW + 90) is None
    assert condemned(Vital(loop_beat_s=NOW), awake_s=NOW + 60) is not None


def test_cpu_above_the_critical_point_in_a_row() -> None:
    rules = replace(RULES, cpu_percent=90, cpu_continuous=3)
    assert condemned(Vital(cpu_percent=99, cpu_high=2), rules=rules) is None
    assert condemned(Vital(cpu_percent=99, cpu_high=3)) is None  # off
    found = condemned(Vital(cpu_percent=99, cpu_high=3), rules=rules)
    assert found == Condemn(1, "is overloaded: 99 % CPU in 3 readings in a row", ill=True)


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        (replace(RULES, memory_bytes=50 << 20), "uses 64 MiB of memory"),
        (replace(RULES, age_s=100), "is 100 s old"),
        (replace(RULES, requests=7), "has answered 7 requests"),
    ],
)
def test_memory_age_and_requests_make_a_child_due(rules: Rules, why: str) -> None:
    vital = Vital(requests=7, memory_bytes=64 << 20)

    assert condemned(vital, rules=rules) == Condemn(1, why, ill=False)
    assert condemned(vital) is None  # off by default
    assert condemned(replace(vital, requests=6, memory_bytes=40 << 20), now=NOW + 99, rules=rules) is None


def test_nobody_is_due_while_only_old_children_are_taken_care_of() -> None:
    rules = replace(RULES, age_s=10)

    assert decide(family(SERVING), {1: Vital()}, NOW + 100, Plan({}), rules) == []
    assert decide(family(SERVING), {1: Vital()}, NOW + 100, plan(1, generation=2, oldest=1), rules) == []


def test_an_ill_child_is_ended_when_its_replacement_is_ready_and_a_due_one_retires() -> None:
    for ill, number in ((True, signal.SIGTERM), (False, signal.SIGHUP)):
        children = family(SERVING, SERVING)
        children.condemned(1, "why", ill, NOW)
        [action] = decide(children, {}, NOW, plan(1), RULES)
        assert isinstance(action, Tell)
        assert (action.pid, action.signal) == (1, number)


def test_an_ill_child_without_replacement_is_ended_in_the_end() -> None:
    children = family(SERVING)
    children.condemned(1, "is stuck", True, NOW)

    actions = decide(children, {}, NOW + 120, Plan({}), RULES)

    assert [each.signal for each in actions if isinstance(each, Tell)] == [signal.SIGTERM]


def test_rules_are_read_back_whatever_release_wrote_them() -> None:
    assert Rules.from_json(RULES.to_json() | {"tomorrow": 1}) == RULES


@given(st.integers(0, 10_000), st.floats(0, 100))
def test_jitter_only_lowers_a_limit_and_within_its_percentage(number: int, percent: float) -> None:
    assert 1000 * (1 - percent / 100) - 1e-6 <= spread(1000, number, percent) <= 1000


def test_jitter_keeps_workers_apart() -> None:
    limits = sorted(spread(1000, number, 10) for number in range(8))
    assert min(b - a for a, b in zip(limits, limits[1:], strict=False)) > 5


# A world in which the decisions are carried out


@dataclass
class World:
    """Children that behave well or badly, and a supervisor that acts on every decision."""

    plan: Plan
    children: Children = field(default_factory=Children)
    now: float = NOW
    pid: int = 0

    def settle(self) -> None:
        """Act until there is nothing to do; that has to come soon."""
        for _ in range(20):
            actions = decide(self.children, {}, self.now, self.plan, RULES)
            if not actions:
                return
            for action in actions:
                self.act(action)
        raise AssertionError(f"no rest: {actions} for {self.children}")

    def act(self, action: Spawn | Tell | Condemn) -> None:
        match action:
            case Spawn(program, strict):
                assert self.plan.stop is None
                self.pid += 1
                number = self.children.next_number(program)
                slot = self.children.free_slot(100)
                assert slot is not None
                record = Record(self.pid, program, number, f"#{number}", self.plan.generation, slot, self.now, strict)
                record.helper = program in self.plan.helpers
                self.children.started(record)
            case Tell(pid, _, phase, deadline_s):
                self.children.told(pid, phase, deadline_s)
            case Condemn(pid, why, ill):
                self.children.condemned(pid, why, ill, self.now)

    def serving(self) -> int:
        return sum(record.phase is SERVING for record in self.children)

    def ready_all(self) -> None:
        for record in list(self.children):
            self.children.ready(record.pid, self.now)

    def leave_all(self) -> None:
        for record in list(self.children):
            if record.phase.leaving:
                self.children.exited(record.pid, 0, self.now)


EVENTS = st.one_of(
    st.tuples(st.just("ready"), st.integers(0, 9)),
    st.tuples(st.just("die"), st.integers(0, 9)),
    st.tuples(st.just("fail"), st.integers(0, 9)),
    st.tuples(st.just("ill"), st.integers(0, 9)),
    st.tuples(st.just("due"), st.integers(0, 9)),
    st.tuples(st.just("wait"), st.integers(0, 200)),
    st.tuples(st.just("reload"), st.just(0)),
    st.tuples(st.just("give up"), st.just(0)),
    st.tuples(st.just("resize"), st.integers(1, 5)),
)


def happen(world: World, event: str, value: int) -> None:
    records = list(world.children)
    record = records[value % len(records)] if records else None
    match event:
        case "ready" if record:
            world.children.ready(record.pid, world.now)
        case "die" if record:
            world.children.exited(record.pid, -9, world.now)
        case "fail" if record:
            world.children.failed(record.pid, "why", world.now + 2)
        case "ill" | "due" if record and record.phase is SERVING:
            world.children.condemned(record.pid, "why", event == "ill", world.now)
        case "wait":
            world.now += value
        case "reload":
            world.plan.generation += 1
            world.plan.oldest = world.plan.generation
        case "give up":
            world.plan.oldest = min((each.generation for each in records), default=world.plan.oldest)
        case "resize":
            world.plan.counts["worker"] = value


@settings(max_examples=150, deadline=None)
@given(st.lists(EVENTS, max_size=40), st.integers(1, 4))
def test_whatever_happens_the_wanted_number_serves_in_the_end(events: list[tuple[str, int]], count: int) -> None:
    world = World(plan(count))
    world.settle()

    for event, value in events:
        happen(world, event, value)
        before = world.serving()
        world.settle()
        # A decision takes nobody away without whom fewer than the wanted number would serve, but for the ill.
        ended = [each for each in world.children if each.ill and each.phase.leaving]
        assert world.serving() + len(ended) >= min(before, world.plan.counts["worker"])
        assert len({each.slot for each in world.children}) == len(world.children)
    for _ in range(40):
        world.leave_all()
        world.settle()
        world.ready_all()
        world.settle()
        world.now += 40

    assert [each.phase for each in world.children] == [SERVING] * world.plan.counts["worker"]
    assert all(each.generation >= world.plan.oldest for each in world.children)
    assert math.isinf(next_due(world.children, world.now, world.plan, RULES))


@settings(max_examples=100, deadline=None)
@given(st.lists(EVENTS, max_size=30), st.sampled_from([signal.SIGTERM, signal.SIGQUIT]))
def test_whatever_happened_a_stop_kills_in_the_end_whoever_does_not_leave(
    events: list[tuple[str, int]], how: signal.Signals
) -> None:
    world = World(plan(3))
    world.settle()
    for event, value in events:
        happen(world, event, value)
        world.settle()

    world.plan.stop = how
    grace_s = (RULES.fast_grace_s if how is signal.SIGQUIT else RULES.grace_s) + SLACK_S
    world.settle()
    assert all(each.phase in (STOPPING, KILLED) for each in world.children)
    world.now += grace_s
    world.settle()

    assert all(each.phase is KILLED for each in world.children)
