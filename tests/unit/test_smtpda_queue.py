"""Which message comes next, and when one is tried again."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skitai.helpers.smtpda.queue import Queue
from skitai.helpers.smtpda.retry import Fate, delay_s, fate
from skitai.ipc.envelope import Attempt, Envelope, Mail, Name

NOW = 1_700_000_000.0


def named(number: int, lane: str = "00000000", due_s: float = NOW, attempts: int = 0) -> Name:
    return Name(int(due_s * 1000), attempts, lane, f"{number:032x}")


def queue(*names: Name, places: int = 4) -> Queue:
    made = Queue(places, horizon_s=3600)
    for name in names:
        assert made.add(name, NOW)
    return made


def taken(made: Queue, now_s: float = NOW) -> list[int]:
    """The numbers of all that may be delivered now."""
    names = iter(lambda: made.next(now_s), None)
    return [int(name.identity, 16) for name in names]


def test_messages_come_in_the_order_in_which_they_are_due():
    made = queue(named(1), named(2, due_s=NOW + 20), named(3, due_s=NOW + 10))
    assert taken(made) == [1]
    assert made.next_due_s() == NOW + 10
    assert taken(made, NOW + 10) == [3]
    assert taken(made, NOW + 20) == [2]
    assert made.next_due_s() == math.inf


def test_a_message_is_known_once():
    made = queue(named(1))
    assert not made.add(named(1), NOW)
    name = made.next(NOW)
    assert not made.add(named(1, due_s=NOW + 5, attempts=1), NOW)
    made.finish(name, NOW)
    assert len(made) == 0
    assert made.add(named(1), NOW)


def test_one_that_is_to_be_tried_again_waits():
    made = queue(named(1))
    made.finish(made.next(NOW), NOW, again=named(1, due_s=NOW + 4, attempts=1))
    assert len(made) == 1
    assert taken(made, NOW + 3.9) == []
    assert taken(made, NOW + 4) == [1]


def test_lanes_take_turns_and_none_gets_all_places():
    made = queue(*(named(number) for number in range(10)), named(20, "aaaaaaaa"), named(21, "aaaaaaaa"))
    assert taken(made) == [0, 20, 1, 21]
    made = queue(*(named(number) for number in range(10)))
    assert taken(made) == [0, 1, 2]
    assert made.add(named(20, "aaaaaaaa"), NOW)
    assert taken(made) == [20]


def test_places_come_free():
    made = queue(*(named(number) for number in range(10)))
    names = [made.next(NOW) for _ in range(3)]
    assert made.next(NOW) is None
    made.finish(names[1], NOW, reached=True)
    assert taken(made) == [3]


def test_with_one_place_there_is_one_for_everybody():
    made = queue(named(1), named(2), places=1)
    assert taken(made) == [1]


def test_a_server_that_was_not_reached_gets_one_place_until_it_is():
    made = queue(*(named(number) for number in range(10)))
    names = [made.next(NOW) for _ in range(3)]
    for name in names:
        made.finish(name, NOW, reached=False)
    probe = made.next(NOW)
    assert taken(made) == []
    made.finish(probe, NOW)
    probe = made.next(NOW)
    assert taken(made) == []
    made.finish(probe, NOW, reached=True)
    assert taken(made) == [5, 6, 7]


def test_a_name_of_a_wrong_clock_waits_no_longer_than_the_horizon():
    made = queue(named(1, due_s=NOW + 10 * 365 * 86400))
    assert made.next_due_s() == NOW + 3600
    assert taken(made, NOW + 3600) == [1]


def test_ten_thousand_are_no_burden():
    made = queue(*(named(number, f"{number % 7:08x}", NOW + number % 3) for number in range(10_000)))
    seen = set()
    while (name := made.next(NOW + 3)) is not None:
        seen.add(name)
        made.finish(name, NOW + 3)
    assert len(seen) == 10_000
    assert len(made) == made.under_way == 0


def test_delays_grow_fourfold_up_to_a_cap():
    assert [delay_s(n, 4, 21600, 0) for n in (1, 2, 3, 7, 8, 1000)] == [4, 16, 64, 16384, 21600, 21600]
    assert delay_s(1, 4, 21600, 1) == pytest.approx(4.4)
    assert delay_s(1, 4, 21600, -1) == pytest.approx(3.6)


TO_TWO = Envelope("a@x", ("b@y", "c@y"))


@pytest.mark.parametrize(
    ("tried", "attempts", "expected"),
    [
        (Attempt(1, ("b@y", "c@y")), 1, Fate.DELIVERED),
        (Attempt(1, ("b@y",), {"c@y": "550"}), 1, Fate.GIVEN_UP),
        (Attempt(1, (), {"c@y": "550"}, {"b@y": "450"}), 1, Fate.DEFERRED),
        (Attempt(1, deferred={"b@y": "450", "c@y": "450"}), 10, Fate.DEFERRED),
        (Attempt(1, deferred={"b@y": "450", "c@y": "450"}), 11, Fate.GIVEN_UP),
    ],
)
def test_what_becomes_of_a_message(tried, attempts, expected):
    assert fate(Mail(TO_TWO, (tried,)), attempts, max_retry=10) is expected


def test_without_retries_the_first_failure_is_the_last():
    assert fate(Mail(TO_TWO, (Attempt(1, deferred={"b@y": "450"}),)), 1, max_retry=0) is Fate.GIVEN_UP


@settings(deadline=None, max_examples=60)
@given(st.integers(), st.integers(1, 8))
def test_whatever_happens_every_message_is_dealt_with_once_at_a_time(seed, places):
    chance = random.Random(seed)
    made = Queue(places, horizon_s=3600)
    waiting = {number: named(number, f"{number % 3:08x}", NOW + chance.randrange(4)) for number in range(30)}
    now_s, under_way, over = NOW, {}, set()
    while len(over) < 30 or under_way:
        now_s += 0.1
        for name in chance.sample(list(waiting.values()), chance.randrange(len(waiting) + 1)):
            made.add(name, now_s)
        while (name := made.next(now_s)) is not None:
            assert name.identity not in under_way
            assert name.due_s <= now_s
            under_way[name.identity] = name
        assert len(under_way) == made.under_way <= places
        for name in chance.sample(list(under_way.values()), chance.randrange(len(under_way) + 1)):
            del under_way[name.identity]
            again = None
            if chance.random() < 0.3:
                again = replace(name, due_ms=int((now_s + chance.random()) * 1000), attempts=name.attempts + 1)
                waiting[int(name.identity, 16)] = again
            else:
                over.add(name.identity)
                waiting.pop(int(name.identity, 16))
            made.finish(name, now_s, again, chance.choice([True, False, None]))
    assert len(made) == 0
