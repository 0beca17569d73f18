"""When a job is due: the five fields of crontab(5) in a time zone. No clock and no I/O; times come in and go out in UTC.

The fields are read here, so that what cannot be meant gets a clear error; croniter finds the dates. Where a time zone
turns its clocks, a job that runs every hour of its days goes by real time, and any other by the clock on the wall:

- Clocks go forward: local times that do not exist come due at the end of the gap, together, once. Jobs of every hour have
  nothing to make up for.
- Clocks go back: a local time that comes twice is due the first time only. Jobs of every hour are due both times.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from croniter import croniter

MINUTE = timedelta(minutes=1)

WORDS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_ITEM = re.compile(r"(?:\*|(?P<first>[0-9]+|[a-z]+)(?:-(?P<last>[0-9]+|[a-z]+))?)(?:/(?P<step>[0-9]+))?")


@dataclass(frozen=True, slots=True)
class _Field:
    """What one field may hold.

    :param names: of its values, from `least` on.
    """

    title: str
    least: int
    most: int
    names: tuple[str, ...] = ()


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of the week", 0, 7, _DAYS),
)
_ANY = "*"


class Schedule:
    """The times of a job.

    :param text: five fields - minute, hour, day of the month, month, day of the week - or one of `WORDS`. A field is ``*``
        or a list of values, names (``jan``, ``mon``) and ranges, each with a step: ``1,5``, ``mon-fri``, ``*/5``, ``2/12``.
        Sunday is 0 or 7. When both day fields are other than ``*``, either suffices.
    :param zone: whose local times the fields mean.
    :raises ValueError: with what was seen and what would be right; also for dates that never come.
    """

    __slots__ = ("every_hour", "_walls", "text", "zone")

    def __init__(self, text: str, zone: tzinfo) -> None:
        self.text = " ".join(text.split())
        self.zone = zone
        values = _read(self.text)
        self.every_hour = values[1] is None or len(values[1]) == 24
        normal = " ".join(_ANY if each is None else ",".join(map(str, each)) for each in values)
        self._walls = croniter(normal, datetime(2000, 1, 1))

    def after(self, now: datetime) -> datetime:
        """The first time behind `now`, in UTC. Both are aware."""
        return self._by_real_time(now) if self.every_hour else self._by_the_wall(now)

    def upto(self, now: datetime, since: datetime) -> datetime | None:
        """The last time behind `since` that is not later than `now`; None when there is none."""
        minutes = (_floor(now) - _floor(since)) // MINUTE
        if minutes < 0 or self.after(since) > now:
            return None
        start = _floor(since)
        # Whether another one follows by `now` is true up to the last but one and false from the last on.
        behind = bisect_left(range(minutes + 1), True, key=lambda n: self.after(start + n * MINUTE) > now)
        return start + behind * MINUTE

    def _by_the_wall(self, now: datetime) -> datetime:
        wall = self._wall(now).replace(tzinfo=None)
        while True:
            wall = self._next_wall(wall)
            due = self._first(wall)
            if due > now:  # it is not in an hour that comes a second time
                return due

    def _by_real_time(self, now: datetime) -> datetime:
        here = self._wall(now)
        wall = self._next_wall(here.replace(tzinfo=None))
        while not self._exists(wall):
            wall = self._next_wall(wall)
        due = self._at(wall)
        if due <= now:  # the first of two, and this is the second pass
            due = self._at(wall, fold=1)
        if not here.fold and self._is_twofold(here):
            due = min(due, self._second_pass(here.replace(tzinfo=None)) or due)
        return due

    def _second_pass(self, wall: datetime) -> datetime | None:
        """The first time after the clocks are turned back, for a wall time that will come again."""
        while self._is_twofold(wall - MINUTE):
            wall -= MINUTE
        first = self._next_wall(wall - MINUTE)
        return self._at(first, fold=1) if self._is_twofold(first) else None

    def _first(self, wall: datetime) -> datetime:
        """When a wall time comes for the first time; the end of the gap for one that never does."""
        late, early = self._at(wall), self._at(wall, fold=1)
        if self._exists(wall):
            return late
        ahead = self._wall(late).utcoffset()
        gap = range((late - early) // MINUTE)
        return early + bisect_left(gap, True, key=lambda n: self._wall(early + n * MINUTE).utcoffset() == ahead) * MINUTE

    def _next_wall(self, wall: datetime) -> datetime:
        found: datetime = self._walls.get_next(datetime, start_time=wall)
        return found

    def _wall(self, moment: datetime) -> datetime:
        return moment.astimezone(self.zone)

    def _at(self, wall: datetime, fold: int = 0) -> datetime:
        return wall.replace(tzinfo=self.zone, fold=fold).astimezone(UTC)

    def _exists(self, wall: datetime) -> bool:
        return self._wall(self._at(wall)).replace(tzinfo=None) == wall.replace(tzinfo=None)

    def _is_twofold(self, wall: datetime) -> bool:
        return self._exists(wall) and self._at(wall) != self._at(wall, fold=1)

    def __repr__(self) -> str:
        return f"<Schedule {self.text} ({self.zone})>"


def _floor(moment: datetime) -> datetime:
    """The beginning of the minute, in UTC."""
    return moment.astimezone(UTC).replace(second=0, microsecond=0)


def _read(text: str) -> list[list[int] | None]:
    """The values of each field; None for a field that is ``*``."""
    if text.startswith("@"):
        if text.lower() not in WORDS:
            raise ValueError(f"{text!r} is none of {', '.join(WORDS)}")
        text = WORDS[text.lower()]
    parts = text.lower().split()
    if len(parts) != len(_FIELDS):
        titles = ", ".join(each.title for each in _FIELDS)
        raise ValueError(f"{text!r} has {len(parts)} fields: it should have five ({titles}), or be a word such as @daily")
    values = [_values(field, part) for field, part in zip(_FIELDS, parts, strict=True)]
    _, _, days, months, weekdays = values
    if weekdays is None and days is not None:
        months = months or list(range(1, 13))
        if all(days[0] > _LONGEST[month - 1] for month in months):
            raise ValueError(f"{text!r} never comes: no such month has a day {days[0]}")
    return values


def _values(field: _Field, part: str) -> list[int] | None:
    if part in {_ANY, "*/1"}:
        return None
    values: set[int] = set()
    for item in part.split(","):
        match = _ITEM.fullmatch(item)
        if match is None:
            raise ValueError(f"{field.title} {item!r} is not understood: it should be like *, 5, 1-5, */5 or 1-9/2")
        first, last = _range(field, match["first"], match["last"], stepped=match["step"] is not None)
        step = int(match["step"] or 1)
        if not 1 <= step <= field.most:
            raise ValueError(f"{field.title} {item!r}: a step is 1 to {field.most}")
        values.update(range(first, last + 1, step))
    if field.names is _DAYS:
        values = {value % 7 for value in values}
    return sorted(values)


def _range(field: _Field, first: str | None, last: str | None, *, stepped: bool) -> tuple[int, int]:
    most = 6 if field.names is _DAYS else field.most
    if first is None:
        return field.least, most
    begin = _value(field, first)
    if last is None:
        begin = begin % 7 if field.names is _DAYS else begin
        return begin, most if stepped else begin
    end = _value(field, last)
    if field.names is _DAYS and end == 0 < begin:
        end = 7  # fri-sun
    if end < begin:
        raise ValueError(f"{field.title} '{first}-{last}' runs backwards: write '{first}-{most},{field.least}-{last}'")
    return begin, end


def _value(field: _Field, text: str) -> int:
    if text in field.names:
        return field.least + field.names.index(text)
    if not text.isdecimal():
        wanted = f"{field.least}-{field.most}" + (f" or {field.names[0]}-{field.names[-1]}" if field.names else "")
        raise ValueError(f"{field.title} {text!r} is not understood: it should be {wanted}")
    value = int(text)
    if not field.least <= value <= field.most:
        raise ValueError(f"{field.title} {value} is outside {field.least}-{field.most}")
    return value
