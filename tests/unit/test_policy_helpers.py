"""What the supervisor decides about helpers: one at work at most, after the workers at a reload and at a stop."""

from __future__ import annotations

import math
import signal
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skitai.master.children import Children, Phase, Record
from skitai.master.policy import SLACK_S, Condemn, Plan, Rules, Spawn, Tell, Vital, decide, next_due
from tests.unit.test_policy import EVENTS, World, happen

RULES = Rules(grace_s=30, fast_grace_s=2, helper_grace_s=5, linger_s=10, boot_s=120, heartbeat_s=30)
NOW = 1000.0
WORKER, CRON = 1, 2
SERVING, BOOTING, RETIRING, STOPPING = Phase.SERVING, Phase.BOOTING, Phase.RETIRING, Phase.STOPPING


def household(worker: Phase | None = SERVING, cron: Phase | None = SERVING, generation: int = 1) -> Children:
    """A worker, pid 1, and a helper, pid 2, in these phases; None for one that is not there."""
    children = Children()
    for pid, name, phase in ((WORKER, "worker", worker), (CRON, "cron", cron)):
        if phase:
            record = Record(pid, name, 0, name, generation, pid, started_s=NOW, helper=name == "cron")
            record.phase, record.was_ready = phase, phase is not BOOTING
            children.started(record)
    return children


def plan(cron: int = 1, **more: object) -> Plan:
    return Plan({"worker": 1, "cron": cron}, frozenset({"cron"}), **more)  # type: ignore[arg-type]


def test_a_missing_helper_is_started() -> None:
    assert decide(household(cron=None), {}, NOW, plan(), RULES) == [Spawn("cron", False)]
    assert decide(household(cron=BOOTING), {}, NOW, plan(), RULES) == []


def test_a_helper_that_died_early_waits_and_no_worker_is_touched() -> None:
    children = household()
    children.exited(CRON, 1, NOW + 1)

    assert decide(children, {}, NOW + 1.5, plan(), RULES) == []
    assert decide(children, {}, NOW + 2, plan(), RULES) == [Spawn("cron", False)]


@pytest.mark.parametrize("worker", [SERVING, BOOTING])
def test_at_a_reload_a_helper_stays_while_workers_of_old_code_are_there(worker: Phase) -> None:
    children = household(worker)

    actions = decide(children, {}, NOW, plan(generation=2, oldest=2), RULES)

    assert not [each for each in actions if isinstance(each, Tell) and each.pid == CRON]
    assert Spawn("cron", False) not in actions


def test_then_it_leaves_and_its_successor_starts_when_it_has_left() -> None:
    children = household(worker=None)
    children.started(Record(3, "worker", 1, "worker #1", 2, 3, NOW, phase=SERVING, was_ready=True))
    wanted = plan(generation=2, oldest=2)

    [leave] = decide(children, {}, NOW, wanted, RULES)
    assert leave == Tell(CRON, signal.SIGHUP, RETIRING, NOW + 5 + SLACK_S)
    children.told(CRON, leave.phase, leave.deadline_s)
    assert decide(children, {}, NOW + 1, wanted, RULES) == []

    children.exited(CRON, 0, NOW + 2)
    assert decide(children, {}, NOW + 2, wanted, RULES) == [Spawn("cron", False)]


def test_or_when_it_says_that_it_retires_and_then_it_has_all_the_time_it_needs() -> None:
    children = household(cron=RETIRING)
    children.told(CRON, RETIRING, NOW + 6)
    retiring = Vital(loop_beat_s=NOW + 3600, retiring=True)

    assert decide(children, {CRON: retiring}, NOW + 1, plan(), RULES) == [Spawn("cron", False)]
    children.started(Record(3, "cron", 1, "cron", 2, 3, NOW, phase=SERVING, was_ready=True, helper=True))
    assert decide(children, {CRON: retiring}, NOW + 3600, plan(), RULES) == []


@pytest.mark.parametrize("vital", [Vital(), Vital(loop_beat_s=NOW - 60, retiring=True)])
def test_one_that_does_not_say_so_or_is_stuck_is_told_more_firmly(vital: Vital) -> None:
    children = household(cron=RETIRING)
    children.told(CRON, RETIRING, NOW + 6)

    [tell, *_] = decide(children, {CRON: vital}, NOW + 6, plan(), RULES)

    assert isinstance(tell, Tell)
    assert (tell.pid, tell.signal, tell.phase, tell.deadline_s) == (CRON, signal.SIGTERM, STOPPING, NOW + 6 + 5 + SLACK_S)


def test_a_helper_that_is_not_wanted_any_more_leaves() -> None:
    [leave] = decide(household(), {}, NOW, plan(cron=0), RULES)
    assert isinstance(leave, Tell)
    assert (leave.pid, leave.signal) == (CRON, signal.SIGHUP)

    [leave] = decide(household(cron=BOOTING), {}, NOW, plan(cron=0), RULES)
    assert isinstance(leave, Tell)
    assert (leave.pid, leave.signal) == (CRON, signal.SIGTERM)


def test_a_stuck_helper_is_ended_before_another_starts() -> None:
    children = household()
    silent = {CRON: Vital(loop_beat_s=NOW - 31)}

    condemn, *rest = decide(children, silent, NOW, plan(), RULES)
    assert condemn == Condemn(CRON, "is stuck: its event loop has not turned for 31.0 s", ill=True)
    assert rest == []

    children.condemned(CRON, "is stuck", True, NOW)
    [tell] = decide(children, silent, NOW, plan(), RULES)
    assert isinstance(tell, Tell)
    assert (tell.pid, tell.signal) == (CRON, signal.SIGTERM)
    children.told(CRON, tell.phase, tell.deadline_s)
    assert decide(children, silent, NOW + 1, plan(), RULES) == []


def test_limits_of_workers_do_not_concern_helpers() -> None:
    strict = replace(RULES, memory_bytes=1, age_s=1, requests=1, cpu_percent=1, cpu_continuous=1)
    vital = Vital(memory_bytes=1 << 30, requests=99, cpu_percent=100, cpu_high=9)

    assert decide(household(worker=None), {CRON: vital}, NOW + 100, Plan({"cron": 1}, frozenset({"cron"})), strict) == []


@pytest.mark.parametrize(
    ("how", "grace_s", "helper_grace_s"), [(signal.SIGTERM, 30, 5), (signal.SIGQUIT, 2, 2)], ids=["graceful", "fast"]
)
def test_a_stop_reaches_helpers_when_the_last_worker_has_left(
    how: signal.Signals, grace_s: float, helper_grace_s: float
) -> None:
    children = household()
    wanted = plan(stop=how)

    assert decide(children, {}, NOW, wanted, RULES) == [Tell(WORKER, how, STOPPING, NOW + grace_s + SLACK_S)]

    children.exited(WORKER, 0, NOW + 1)
    told = Tell(CRON, how, STOPPING, NOW + 1 + helper_grace_s + SLACK_S)
    assert decide(children, {}, NOW + 1, wanted, RULES) == [told]
    children.told(CRON, told.phase, told.deadline_s)
    [kill] = decide(children, {}, told.deadline_s, wanted, RULES)
    assert isinstance(kill, Tell)
    assert (kill.pid, kill.signal) == (CRON, signal.SIGKILL)


def test_it_is_the_same_when_old_children_are_only_taken_care_of() -> None:
    wanted = Plan({}, stop=signal.SIGTERM)

    assert [each.pid for each in decide(household(), {}, NOW, wanted, RULES) if isinstance(each, Tell)] == [WORKER]


def test_what_is_handed_over_says_who_is_a_helper() -> None:
    written = household().to_json()
    del written["records"][0]["helper"]  # as an older release wrote it

    assert [record.helper for record in Children.from_json(written)] == [False, True]


@settings(max_examples=150, deadline=None)
@given(st.lists(EVENTS, max_size=40))
def test_whatever_happens_there_are_never_two_and_one_works_in_the_end(events: list[tuple[str, int]]) -> None:
    world = World(plan())
    world.settle()

    for event, value in events:
        happen(world, event, value)
        world.settle()
        assert len(world.children.of("cron")) <= 1
    for _ in range(40):
        world.leave_all()
        world.settle()
        world.ready_all()
        world.settle()
        assert len(world.children.of("cron")) <= 1
        world.now += 40

    [cron] = world.children.of("cron")
    assert (cron.phase, cron.generation >= world.plan.oldest) == (SERVING, True)
    assert len(world.children) == 1 + world.plan.counts["worker"]
    assert math.isinf(next_due(world.children, world.now, world.plan, RULES))


@settings(max_examples=100, deadline=None)
@given(st.lists(EVENTS, max_size=30), st.sampled_from([signal.SIGTERM, signal.SIGQUIT]))
def test_whatever_happened_a_stop_ends_helpers_last_and_all_of_them(
    events: list[tuple[str, int]], how: signal.Signals
) -> None:
    world = World(plan())
    world.settle()
    for event, value in events:
        happen(world, event, value)
        world.settle()
    before = {each.pid: each.phase for each in world.children if each.helper}

    world.plan.stop = how
    world.settle()
    assert before == {each.pid: each.phase for each in world.children if each.helper} or not [
        each for each in world.children if not each.helper
    ]
    for _ in range(4):
        for each in list(world.children):
            if each.phase is Phase.KILLED:
                world.children.exited(each.pid, -9, world.now)
        world.settle()
        world.now += 40
        world.settle()

    assert all(each.phase is Phase.KILLED for each in world.children)
