"""What is to run now, and what is too late."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skitai.config.sections.helping import Job
from skitai.errors import ConfigError
from skitai.helpers.cron import check_schedule, upcoming
from skitai.helpers.cron.agenda import Agenda, Due
from skitai.helpers.cron.jobs import Task, make_tasks


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-22 {text}").replace(tzinfo=UTC)


def tasks(*schedules: str, **options: Any) -> list[Task]:
    options = {"time_zone": "UTC"} | options
    return make_tasks(
        Job(schedule, f"run {number}", name=f"run {number}", **options) for number, schedule in enumerate(schedules)
    )


def agenda(made: list[Task], now: str, **handled: str) -> Agenda:
    """:param handled: by "first" and "second" job."""
    times = {made[["first", "second"].index(name)].key: at(time) for name, time in handled.items()}
    return Agenda(made, times, at(now))


def said(due: Iterable[Due]) -> list[str]:
    return [
        f"{each.time:%H:%M}{' missed' if each.missed else ''}{' and earlier ones' if each.passed else ''}" for each in due
    ]


def test_a_job_begins_with_the_next_time() -> None:
    plan = agenda(tasks("* * * * *"), "10:00:30")
    assert plan.look(at("10:00:30")) == []
    assert plan.next() == at("10:01")
    assert said(plan.look(at("10:01:00"))) == ["10:01"]
    assert plan.look(at("10:01:00")) == []
    assert plan.look(at("10:01:59")) == []
    assert said(plan.look(at("10:02:00.5"))) == ["10:02"]


def test_the_earliest_comes_first() -> None:
    plan = agenda(tasks("2 * * * *", "1 * * * *"), "10:00")
    plan.look(at("10:00"))
    assert said(plan.look(at("10:03"))) == ["10:01", "10:02"]


def test_nothing_to_do() -> None:
    plan = agenda([], "10:00")
    assert plan.next() is None
    assert plan.look(at("10:01")) == []


def test_a_late_look_runs_the_last_time_once() -> None:
    plan = agenda(tasks("*/5 * * * *", "0 * * * *"), "10:00")
    plan.look(at("10:00:01"))
    assert said(plan.look(at("12:58"))) == ["12:00 and earlier ones", "12:55 and earlier ones"]
    assert plan.look(at("12:59")) == []


def test_after_hours_of_standstill_times_are_missed() -> None:
    plan = agenda(tasks("0 11 * * *", "*/30 * * * *"), "10:00")
    plan.look(at("10:00:01"))
    assert said(plan.look(at("15:10"))) == ["11:00 missed", "15:00 and earlier ones"]


def test_at_the_start_a_time_of_the_last_minute_is_not_missed() -> None:
    plan = agenda(tasks("* * * * *"), "10:05:20", first="10:04")
    assert said(plan.look(at("10:05:20"))) == ["10:05"]


def test_at_the_start_earlier_times_are_missed() -> None:
    plan = agenda(tasks("0 * * * *"), "10:05", first="08:00")
    assert said(plan.look(at("10:05"))) == ["10:00 missed and earlier ones"]
    assert said(plan.look(at("11:00"))) == ["11:00"]


def test_the_last_of_missed_times_may_be_wanted() -> None:
    plan = agenda(tasks("0 * * * *", missed="last"), "10:05", first="07:00")
    assert said(plan.look(at("10:05"))) == ["10:00 and earlier ones"]
    assert plan.look(at("10:06")) == []


def test_what_was_handled_is_not_handled_again() -> None:
    plan = agenda(tasks("* * * * *"), "10:05:30", first="10:05")
    assert plan.look(at("10:05:30")) == []
    assert said(plan.look(at("10:06"))) == ["10:06"]


def test_what_was_handled_is_told() -> None:
    made = tasks("0 * * * *")
    plan = agenda(made, "10:05")
    assert plan.handled == {made[0].key: at("10:05")}
    plan.look(at("11:00:02"))
    assert plan.handled == {made[0].key: at("11:00")}


def test_a_clock_that_is_corrected_by_seconds() -> None:
    plan = agenda(tasks("* * * * *"), "10:00")
    assert said(plan.look(at("10:01:02"))) == ["10:01"]
    assert plan.look(at("10:00:58")) == []
    assert plan.look(at("10:01:01")) == []
    assert said(plan.look(at("10:02:01"))) == ["10:02"]


def test_a_clock_set_back_by_an_hour_is_like_the_end_of_summer_time() -> None:
    plan = agenda(tasks("* * * * *", "30 10 * * *"), "10:00")
    assert said(plan.look(at("10:30:01"))) == ["10:30 and earlier ones", "10:30"]
    assert plan.look(at("09:30:01")) == []
    assert said(plan.look(at("09:31:01"))) == ["09:31"]
    assert said(plan.look(at("10:30:01"))) == ["10:30 and earlier ones"], "the one that goes by the wall has run"


def test_a_clock_that_had_been_years_ahead() -> None:
    plan = agenda(tasks("30 10 * * *"), "10:00")
    future = at("10:30") + timedelta(days=3000)
    assert said(plan.look(future)) == ["10:30 and earlier ones"]
    assert plan.look(at("10:01")) == []
    assert said(plan.look(at("10:30"))) == ["10:30"]


def test_a_history_from_the_future_is_not_believed() -> None:
    made = tasks("30 10 * * *")
    plan = Agenda(made, {made[0].key: at("10:30") + timedelta(days=3000)}, at("10:29"))
    assert said(plan.look(at("10:30"))) == ["10:30"]


@settings(max_examples=150, deadline=None)
@given(
    texts=st.lists(
        st.sampled_from(["* * * * *", "*/7 * * * *", "13 * * * *", "*/20 9-11 * * *"]), min_size=1, max_size=3, unique=True
    ),
    steps=st.lists(st.tuples(st.integers(-90, 4000), st.booleans()), max_size=40),
    missed=st.sampled_from(["none", "last"]),
)
def test_no_time_is_handled_twice_and_none_forgotten(texts: list[str], steps: list[tuple[int, bool]], missed: str) -> None:
    """However the clock goes (small steps back included) and whenever the scheduler starts anew."""
    made = tasks(*texts, missed=missed)
    now = at("08:00:10")
    plan = Agenda(made, {}, now)
    begun, latest = now, now
    handled: dict[str, list[datetime]] = {task.key: [] for task in made}
    for seconds, restart in steps:
        now += timedelta(seconds=max(seconds, (latest - now).total_seconds() - 50))
        latest = max(latest, now)
        if restart:
            plan = Agenda(made, plan.handled, now)
        for due in plan.look(now):
            times = handled[due.task.key]
            last = times[-1] if times else begun
            assert due.time > last
            assert due.passed == (due.task.schedule.after(last) < due.time)
            times.append(due.time)
    for task in made:
        last = handled[task.key][-1] if handled[task.key] else begun
        assert task.schedule.after(last) > now or now < latest


# The jobs themselves


def test_equal_jobs_are_told_apart() -> None:
    made = make_tasks([Job("* * * * *", "true", name="true")] * 3)
    assert len({task.key for task in made}) == 3


def test_functions_have_keys_and_names() -> None:
    def clean() -> None: ...

    [task] = make_tasks([Job("@daily", clean, name="clean", time_zone="Asia/Tokyo")])
    assert task.key == f"@daily Asia/Tokyo {__name__}:test_functions_have_keys_and_names.<locals>.clean"


def test_long_names_are_cut_for_the_log() -> None:
    [task] = make_tasks([Job("@daily", "x", name="one\ntwo " * 50)])
    assert task.name.startswith("one two one two")
    assert len(task.name) == 80


def test_all_schedules_that_cannot_be_read_are_named() -> None:
    jobs = [
        Job("61 * * * *", "a", source="app.py:3"),
        Job("@daily", "b"),
        Job("@daily", "c", time_zone="Mars/Base", source="app.py:5"),
    ]
    with pytest.raises(ConfigError) as caught:
        make_tasks(jobs)
    first, second = caught.value.faults
    assert first == "app.py:3: minute 61 is outside 0-59"
    assert second == "app.py:5: there is no time zone 'Mars/Base': it should be a name such as Europe/Berlin"


@pytest.mark.parametrize("zone", ["../../etc/passwd", "\0", "Europe", "nowhere"])
def test_time_zones_that_are_none(zone: str) -> None:
    with pytest.raises(ValueError, match="there is no time zone"):
        check_schedule("* * * * *", zone)


def test_the_time_zone_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    [(_, [time])] = upcoming([Job("0 7 * * *", "x")], at("10:00"), 1)
    assert time.astimezone(UTC) == at("22:00")
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    with pytest.raises(ValueError, match="name one with the option cron_time_zone"):
        check_schedule("* * * * *", "")


def test_upcoming_runs_the_next_job_first() -> None:
    jobs = [Job("0 12 * * *", "noon", time_zone="Europe/Berlin"), Job("*/20 * * * *", "often", time_zone="UTC")]

    listed = upcoming(jobs, at("10:10"), 2)

    assert [(job.command, [f"{time:%d %H:%M %Z}" for time in times]) for job, times in listed] == [
        ("often", ["22 10:20 UTC", "22 10:40 UTC"]),
        ("noon", ["22 12:00 CET", "23 12:00 CET"]),
    ]
    assert upcoming(jobs, at("10:10"), 0) == [(jobs[0], []), (jobs[1], [])]
