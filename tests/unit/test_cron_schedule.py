"""When jobs are due: fields, day rule, time zones and the nights in which clocks are turned."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skitai.helpers.cron.schedule import MINUTE, WORDS, Schedule

BERLIN = ZoneInfo("Europe/Berlin")  # 2026: forward on 29 March at 2:00, back on 25 October at 3:00
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")  # turns its clocks by half an hour
APIA = ZoneInfo("Pacific/Apia")  # had no 30 December 2011


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def local(text: str, zone: ZoneInfo = BERLIN, fold: int = 0) -> datetime:
    """A local time as the moment that it is."""
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).astimezone(UTC)


def times(text: str, start: datetime, count: int, zone: ZoneInfo | None = None) -> list[str]:
    """The next times as people of the zone say them."""
    schedule = Schedule(text, zone or UTC)
    found = []
    for _ in range(count):
        start = schedule.after(start)
        found.append(f"{start.astimezone(schedule.zone):%m-%d %H:%M}")
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("* * * * *", ["11-22 10:01", "11-22 10:02"]),
        ("*/20 * * * *", ["11-22 10:20", "11-22 10:40"]),
        ("5,10-12 * * * *", ["11-22 10:05", "11-22 10:10", "11-22 10:11", "11-22 10:12", "11-22 11:05"]),
        ("10-20/5 * * * *", ["11-22 10:10", "11-22 10:15", "11-22 10:20", "11-22 11:10"]),
        ("9 2/12 * * *", ["11-22 14:09", "11-23 02:09"]),
        ("0 0 1 JAN,jul *", ["01-01 00:00", "07-01 00:00"]),
        ("0 9 * * mon-fri", ["11-23 09:00", "11-24 09:00", "11-25 09:00", "11-26 09:00", "11-27 09:00", "11-30 09:00"]),
        ("0 9 * * fri-sun", ["11-27 09:00", "11-28 09:00", "11-29 09:00", "12-04 09:00"]),
        ("0 9 * * 5-7", ["11-27 09:00", "11-28 09:00", "11-29 09:00", "12-04 09:00"]),
        ("0 9 * * 0", ["11-29 09:00"]),
        ("0 9 * * 7", ["11-29 09:00"]),
        ("0 9 * * 7/3", ["11-25 09:00", "11-28 09:00", "11-29 09:00"]),
        ("@hourly", ["11-22 11:00"]),
        ("@Daily", ["11-23 00:00"]),
        ("@weekly", ["11-29 00:00"]),
        ("@monthly", ["12-01 00:00"]),
        ("@yearly", ["01-01 00:00"]),
        ("0 0 29 2 *", ["02-29 00:00"]),
        ("  0   0 1 1  * ", ["01-01 00:00"]),
    ],
)
def test_fields(text: str, expected: list[str]) -> None:
    assert times(text, utc("2026-11-22 10:00"), len(expected)) == expected


def test_either_day_suffices_when_both_are_restricted() -> None:
    assert times("0 0 13 * fri", utc("2026-11-22"), 4) == ["11-27 00:00", "12-04 00:00", "12-11 00:00", "12-13 00:00"]
    assert times("0 0 1-31 * fri", utc("2026-11-22 10:00"), 2) == ["11-23 00:00", "11-24 00:00"]


def test_one_day_field_counts_alone() -> None:
    assert times("0 0 13 * *", utc("2026-11-22"), 2) == ["12-13 00:00", "01-13 00:00"]
    assert times("0 0 * * fri", utc("2026-11-22"), 2) == ["11-27 00:00", "12-04 00:00"]


def test_a_time_is_behind_now_never_now() -> None:
    schedule = Schedule("0 10 * * *", UTC)
    assert schedule.after(utc("2026-11-22 10:00")) == utc("2026-11-23 10:00")
    assert schedule.after(utc("2026-11-22 09:59:59.999999")) == utc("2026-11-22 10:00")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "has 0 fields"),
        ("* * * *", "has 4 fields: it should have five"),
        ("* * * * * *", "has 6 fields"),
        ("60 * * * *", "minute 60 is outside 0-59"),
        ("* 24 * * *", "hour 24 is outside 0-23"),
        ("* * 0 * *", "day of the month 0 is outside 1-31"),
        ("* * * 13 *", "month 13 is outside 1-12"),
        ("* * * * 8", "day of the week 8 is outside 0-7"),
        ("* * * foo *", "month 'foo' is not understood: it should be 1-12 or jan-dec"),
        ("mon * * * *", "minute 'mon' is not understood: it should be 0-59"),
        ("*/0 * * * *", r"a step is 1 to 59"),
        ("*/90 * * * *", r"minute '\*/90': a step is 1 to 59"),
        ("5- * * * *", "minute '5-' is not understood"),
        ("1,,2 * * * *", "minute '' is not understood"),
        ("-5 * * * *", "minute '-5' is not understood"),
        ("* 22-2 * * *", "hour '22-2' runs backwards: write '22-23,0-2'"),
        ("H * * * *", "minute 'h' is not understood"),
        ("* * L * *", "day of the month 'l' is not understood"),
        ("0 0 31 2 *", "never comes: no such month has a day 31"),
        ("0 0 30 2 *", "never comes"),
        ("0 0 31 4,6,9,11 *", "never comes"),
        ("@reboot", "'@reboot' is none of @hourly, @daily"),
        ("²3 * * * *", "not understood"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Schedule(text, UTC)


def test_a_date_that_never_comes_is_fine_when_a_weekday_does() -> None:
    assert times("0 0 31 2 mon", utc("2026-02-01"), 1) == ["02-02 00:00"]


def test_words_are_schedules() -> None:
    for word, fields in WORDS.items():
        assert times(word, utc("2026-11-22"), 2) == times(fields, utc("2026-11-22"), 2)


def test_fields_mean_the_time_zone() -> None:
    assert Schedule("30 7 * * *", ZoneInfo("Asia/Tokyo")).after(utc("2026-11-22 00:00")) == utc("2026-11-22 22:30")


# Clocks go forward: there is no 2:00 to 2:59 on 29 March.


def test_a_time_in_the_gap_is_due_at_its_end() -> None:
    assert times("30 2 * * *", local("2026-03-28 12:00"), 3, BERLIN) == ["03-29 03:00", "03-30 02:30", "03-31 02:30"]


def test_several_times_in_the_gap_are_due_once() -> None:
    assert times("*/15 2 * * *", local("2026-03-28 12:00"), 2, BERLIN) == ["03-29 03:00", "03-30 02:00"]
    assert times("0,30 2-3 * * *", local("2026-03-28 12:00"), 3, BERLIN) == ["03-29 03:00", "03-29 03:30", "03-30 02:00"]


def test_jobs_of_every_hour_skip_the_gap() -> None:
    expected = ["03-29 01:45", "03-29 03:15", "03-29 03:45"]
    assert times("15-45/30 * * * *", local("2026-03-29 01:15"), 3, BERLIN) == expected


def test_a_gap_of_half_an_hour() -> None:
    # On 4 October 2026 there is no 2:00 to 2:29.
    assert times("10 2 * * *", local("2026-10-03 12:00", LORD_HOWE), 2, LORD_HOWE) == ["10-04 02:30", "10-05 02:10"]


def test_a_day_that_does_not_exist() -> None:
    assert times("0 12 * * *", local("2011-12-29 13:00", APIA), 2, APIA) == ["12-31 00:00", "12-31 12:00"]


# Clocks go back: 2:00 to 2:59 come twice on 25 October.


def test_a_time_that_comes_twice_is_due_once() -> None:
    schedule = Schedule("30 2 * * *", BERLIN)
    first = schedule.after(local("2026-10-25 00:00"))
    assert first == local("2026-10-25 02:30", fold=0)
    assert schedule.after(first) == local("2026-10-26 02:30")
    assert schedule.after(local("2026-10-25 02:10", fold=1)) == local("2026-10-26 02:30")


def test_jobs_of_every_hour_run_in_both() -> None:
    schedule = Schedule("*/30 * * * *", BERLIN)
    moment = local("2026-10-25 01:45")
    expected = [("02:00", 0), ("02:30", 0), ("02:00", 1), ("02:30", 1), ("03:00", 0)]
    for text, fold in expected:
        moment = schedule.after(moment)
        assert moment == local(f"2026-10-25 {text}", fold=fold)


def test_a_repeated_half_hour() -> None:
    # On 5 April 2026 1:30 to 1:59 come twice.
    expected = ["04-05 01:40", "04-05 01:40", "04-05 02:40"]
    assert times("40 * * * *", local("2026-04-05 01:00", LORD_HOWE), 3, LORD_HOWE) == expected
    assert times("40 1 * * *", local("2026-04-05 01:00", LORD_HOWE), 2, LORD_HOWE) == ["04-05 01:40", "04-06 01:40"]


# The rules again, in the plainest words: look at every minute.

SCHEDULES = [
    "* * * * *",
    "*/7 * * * *",
    "15 * * * sun",
    "30 2 * * *",
    "*/20 1-3 * * *",
    "0 3 * * *",
    "59 23 * * *",
    "0,30 0/2 25 10 *",
]
NIGHTS = [
    (BERLIN, "2026-03-29 00:00"),
    (BERLIN, "2026-10-25 00:00"),
    (LORD_HOWE, "2026-04-05 00:00"),
    (LORD_HOWE, "2026-10-04 00:00"),
]


def expected_times(schedule: Schedule, start: datetime, minutes: int) -> list[datetime]:
    """What is due in (start, start + minutes], found by looking at each minute of a zone of fixed offset."""
    plain = Schedule(schedule.text, UTC)

    def is_due(wall: datetime) -> bool:
        wall = wall.replace(tzinfo=UTC)
        return plain.after(wall - MINUTE) == wall

    every_hour = schedule.text.split()[1] == "*"
    due, seen, last = [], set(), start.astimezone(schedule.zone)
    for number in range(-120, minutes + 1):
        moment = start + number * MINUTE
        wall = moment.astimezone(schedule.zone)
        name = wall.replace(tzinfo=None, fold=0)
        jump = name - last.replace(tzinfo=None, fold=0)
        skipped = [name - n * MINUTE for n in range(1, jump // MINUTE)] if number > -120 else []
        wanted = is_due(name) and (every_hour or name not in seen)
        if not every_hour and any(map(is_due, skipped)):
            wanted = True
        if wanted and number > 0:
            due.append(moment)
        seen.add(name)
        last = wall
    return due


@pytest.mark.parametrize("text", SCHEDULES)
@pytest.mark.parametrize(("zone", "night"), NIGHTS, ids=str)
def test_every_minute_of_a_night_is_as_the_rules_say(text: str, zone: ZoneInfo, night: str) -> None:
    schedule = Schedule(text, zone)
    start = local(night, zone)
    expected = expected_times(schedule, start, 420)
    for offset in (0, 45, 90, 117, 150, 175, 200, 240):
        begin = start + offset * MINUTE + timedelta(seconds=offset % 2)
        moment, found = begin, []
        while (moment := schedule.after(moment)) <= start + timedelta(minutes=420):
            found.append(moment)
        assert found == [due for due in expected if due > begin]


@settings(max_examples=60, deadline=None)
@given(
    text=st.sampled_from([*SCHEDULES, "0 0 29 2 *", "5 4 13 * fri", "@monthly"]),
    hours=st.integers(0, 24 * 400),
    minutes=st.integers(0, 60 * 24 * 40),
)
def test_the_last_time_is_the_one_before_the_next(text: str, hours: int, minutes: int) -> None:
    schedule = Schedule(text, BERLIN)
    since = utc("2026-01-15 00:00:20") + timedelta(hours=hours)
    now = since + timedelta(minutes=minutes)
    last = schedule.upto(now, since)
    if last is None:
        assert schedule.after(since) > now
    else:
        assert since < last <= now < schedule.after(last)
        assert schedule.after(last - MINUTE) == last


def values(least: int, most: int) -> st.SearchStrategy[set[int] | None]:
    """Some values of a field; None for ``*``."""
    return st.none() | st.sets(st.integers(least, most), min_size=1, max_size=4)


def written(field: set[int] | None) -> str:
    return "*" if field is None else ",".join(map(str, field))


@settings(max_examples=150, deadline=None)
@given(
    fields=st.tuples(values(0, 59), values(0, 23), values(1, 28), values(1, 12), values(0, 7)),
    begin=st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
)
def test_the_next_time_is_the_first_that_fits(fields: tuple[set[int] | None, ...], begin: datetime) -> None:
    found = Schedule(" ".join(map(written, fields)), UTC).after(begin)

    minutes, hours, days, months, weekdays = fields
    weekdays = weekdays and {each % 7 for each in weekdays}

    def is_day(day: datetime) -> bool:
        fits = [day.day in days] if days else []
        fits += [day.isoweekday() % 7 in weekdays] if weekdays else []
        return (not fits or any(fits)) and (not months or day.month in months)

    day = begin.replace(hour=0, minute=0, second=0, microsecond=0)
    while True:
        times = [
            day.replace(hour=hour, minute=minute)
            for hour in sorted(hours or range(24))
            for minute in sorted(minutes or range(60))
            if is_day(day)
        ]
        if expected := [time for time in times if time > begin]:
            assert found == expected[0]
            return
        day += timedelta(days=1)


def test_nothing_is_due_before_it_began() -> None:
    schedule = Schedule("* * * * *", UTC)
    assert schedule.upto(utc("2026-01-01 10:00"), utc("2026-01-01 10:00")) is None
    assert schedule.upto(utc("2026-01-01 09:00"), utc("2026-01-01 10:00")) is None
    assert schedule.upto(utc("2026-01-01 10:01"), utc("2026-01-01 10:00:30")) == utc("2026-01-01 10:01")
