"""The master's book-keeping, without a process."""

from __future__ import annotations

import json
import math

import pytest

from skitai.master.children import Children, Phase, Record, in_words


def child(pid: int = 100, number: int = 0, **more: object) -> Record:
    return Record(pid, "worker", number, f"worker #{number}", 1, number, started_s=1000.0, **more)  # type: ignore[arg-type]


def family(*records: Record) -> Children:
    children = Children()
    for record in records:
        children.started(record)
    return children


def test_numbers_run_on_whoever_leaves() -> None:
    children = family(child(100, 0), child(101, 1))

    children.exited(101, 0, 1100)

    assert children.next_number("worker") == 2
    assert children.next_number("smtpda") == 0
    assert [record.pid for record in children.of("worker")] == [100]


def test_rows_of_the_scoreboard_are_used_again() -> None:
    children = family(child(100, 0), child(101, 1))
    assert children.free_slot(3) == 2
    assert children.free_slot(2) is None

    children.exited(100, 0, 1100)

    assert children.free_slot(2) == 0


def test_ready_counts_once_and_only_while_booting() -> None:
    children = family(child())

    assert children.ready(100, 1000) is children.get(100)
    assert children.ready(100, 1000) is None
    assert children.ready(999, 1000) is None

    children.told(100, Phase.STOPPING, 1.0)
    assert children.ready(100, 1000) is None


def test_whoever_makes_it_late_is_not_condemned_any_more() -> None:
    children = family(child())
    children.condemned(100, "is not ready after 1 s", True, 1001)

    record = children.ready(100, 1000)

    assert record is not None
    assert (record.condemned, record.ill) == ("", False)


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "left with code 0"), (3, "left with code 3"), (-9, "was killed by SIGKILL"), (-11, "was killed by SIGSEGV")],
)
def test_exits_are_said_in_words(code: int, words: str) -> None:
    assert in_words(code) == words
    left = family(child()).exited(100, code, 1001)
    assert left is not None
    assert left.text == f"worker #0 (pid 100) {words}"


def test_an_unknown_signal_is_said_by_number() -> None:
    assert in_words(-99) == "was killed by signal 99"


def test_a_child_s_own_reason_is_said() -> None:
    children = family(child())
    children.failed(100, "no module named nonsense", 1003)

    left = children.exited(100, 3, 1001)

    assert left is not None
    assert left.text == "worker #0 (pid 100) left with code 3: no module named nonsense"


def test_a_process_that_is_no_child_is_nobody() -> None:
    assert Children().exited(100, 0, 1000) is None


def test_who_was_told_to_leave_was_expected_to() -> None:
    children = family(child())
    children.ready(100, 1000)
    children.told(100, Phase.RETIRING, 2000)

    left = children.exited(100, 0, 1001)

    assert left is not None
    assert (left.expected, left.early) == (True, False)
    assert children.streak("worker").deaths == 0


def test_who_was_killed_for_not_starting_counts_as_dead() -> None:
    children = family(child())
    children.condemned(100, "is not ready after 1 s", True, 1001)
    children.told(100, Phase.KILLED, 2000)

    left = children.exited(100, -9, 1001.5)

    assert left is not None
    assert (left.expected, left.early) == (False, True)
    assert left.text.endswith("was killed by SIGKILL: is not ready after 1 s")


def test_early_deaths_back_off_1_2_4_and_at_most_30_seconds() -> None:
    children = Children()
    now, delays = 1000.0, []
    for number in range(8):
        children.started(Record(number + 1, "worker", number, "", 1, 0, started_s=now))
        children.exited(number + 1, 1, now + 1)
        delays.append(children.streak("worker").not_before_s - (now + 1))
        now = children.streak("worker").not_before_s

    assert delays == [1, 2, 4, 8, 16, 30, 30, 30]


def test_children_that_die_together_are_one_failure() -> None:
    children = family(child(100, 0), child(101, 1), child(102, 2))

    for pid in (100, 101, 102):
        children.exited(pid, 1, 1001)

    assert children.streak("worker").deaths == 1


def test_a_late_death_ends_the_streak_and_needs_no_delay() -> None:
    children = family(child(100, 0), child(101, 1))
    children.exited(100, 1, 1001)

    children.exited(101, 1, 1010.1)

    assert (children.streak("worker").deaths, children.streak("worker").not_before_s) == (0, 0)


def test_the_book_survives_an_exec() -> None:
    children = family(child(100, 0), child(101, 5, strict=True))
    children.ready(100, 1000)
    children.told(101, Phase.RETIRING, 1234.5)
    children.condemned(100, "is 9 s old", False, 1010)

    written = json.loads(json.dumps(children.to_json()))
    written["records"][0]["tomorrow"] = "what another release knows of a child"

    read = Children.from_json(written)

    assert list(read) == list(children)
    assert read.next_number("worker") == 6
    record = read.get(100)
    assert record is not None
    assert math.isinf(record.deadline_s)
    assert repr(read) == "<Children worker #0:serving worker #5:retiring>"
