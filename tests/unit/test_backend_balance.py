"""Which member of a cluster is asked."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from skitai.backend.balance import LONGEST_S, Balance, Seat


def picked(balance: Balance[str], now: float = 0.0) -> Seat[str]:
    seat = balance.pick(now)
    assert seat is not None
    return seat


def asked(balance: Balance[str], times: int, now: float = 0.0) -> Counter[str]:
    """Ask one after the other, all well."""
    found: Counter[str] = Counter()
    for _ in range(times):
        seat = picked(balance, now)
        found[seat.member] += 1
        balance.done(seat, True, now)
    return found


def fail(balance: Balance[str], member: str, now: float) -> None:
    seat = next(seat for seat in balance.seats if seat.member == member)
    seat.running += 1
    balance.done(seat, False, now)


def test_idle_members_get_their_share_by_weight() -> None:
    assert asked(Balance([("a", 2), ("b", 1)], 10), 300) == {"a": 200, "b": 100}


def test_turns_are_smooth() -> None:
    balance = Balance([("a", 3), ("b", 1)], 10)
    assert "".join(next(iter(asked(balance, 1))) for _ in range(8)) == "aabaaaba"


def test_who_has_least_to_do_for_its_weight_is_asked() -> None:
    balance = Balance([("a", 2), ("b", 1)], 10)
    running = Counter(picked(balance).member for _ in range(30))
    assert running == {"a": 20, "b": 10}


def test_each_is_tried_once() -> None:
    balance = Balance([("a", 1), ("b", 1)], 10)
    first = picked(balance)
    second = balance.pick(0, [first])
    assert second is not None
    assert {first.member, second.member} == {"a", "b"}
    assert balance.pick(0, [first, second]) is None


def test_one_that_fails_is_left_alone_longer_each_time() -> None:
    balance = Balance([("a", 1), ("b", 1)], 10)
    now, seat = 0.0, balance.seats[0]
    pauses = []
    for _ in range(5):
        fail(balance, "a", now)
        pauses.append(seat.out_until - now)
        assert asked(balance, 4, seat.out_until - 0.1) == {"b": 4}
        now = seat.out_until
    assert pauses == [10, 20, 40, LONGEST_S, LONGEST_S]


def test_failures_that_were_under_way_together_count_once() -> None:
    balance = Balance([("a", 1)], 10)
    seats = [picked(balance) for _ in range(5)]
    for seat in seats:
        balance.done(seat, False, 1)
    assert (seats[0].failures, seats[0].out_until) == (1, 11)


def test_one_that_comes_back_comes_back_slowly() -> None:
    balance = Balance([("a", 1), ("b", 1)], 10)
    fail(balance, "a", 0)
    running: Counter[str] = Counter()
    trial = []
    for allowed in (1, 2, 4, 8):
        seats = [picked(balance, 10) for _ in range(40)]
        running = Counter(seat.member for seat in seats)
        trial.append(running["a"])
        for seat in seats:
            balance.done(seat, True if seat.member == "b" else None, 10)
        if allowed < 8:
            balance.done(next_of(balance, "a"), True, 10)
    assert trial == [1, 2, 4, 8]


def next_of(balance: Balance[str], member: str) -> Seat[str]:
    seat = next(seat for seat in balance.seats if seat.member == member)
    seat.running += 1
    return seat


def test_where_all_are_left_alone_the_first_to_return_is_asked() -> None:
    balance = Balance([("a", 1), ("b", 1)], 10)
    fail(balance, "a", 0)
    fail(balance, "b", 1)
    assert picked(balance, 2).member == "a"


def test_what_says_nothing_about_a_member_changes_nothing() -> None:
    balance = Balance([("a", 1)], 10)
    balance.done(picked(balance), None, 5)
    assert (balance.seats[0].running, balance.seats[0].failures, balance.seats[0].out_until) == (0, 0, 0.0)


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=5),
    st.lists(st.tuples(st.sampled_from([True, False, None]), st.floats(0, 5)), max_size=60),
)
def test_books_are_kept_whatever_happens(weights: list[int], steps: list[tuple[bool | None, float]]) -> None:
    balance = Balance(list(enumerate(weights)), 2)
    now, out = 0.0, []
    for well, pause in steps:
        now += pause
        seat = balance.pick(now)
        assert seat is not None, "there is always somebody to ask"
        out.append(seat)
        if well is not None:
            balance.done(out.pop(0), well, now)
    assert sum(seat.running for seat in balance.seats) == len(out)
    assert all(seat.running >= 0 for seat in balance.seats)
