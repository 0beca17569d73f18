"""HTTP dates (RFC 9110, section 5.6.7): written in the one preferred form, read in all three."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
LONG_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_DAY, _LONG_DAY, _MONTH = "|".join(DAYS), "|".join(LONG_DAYS), "|".join(MONTHS)
_TIME = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_IMF_FIXDATE = re.compile(rf"(?:{_DAY}), (?P<day>\d\d) (?P<month>{_MONTH}) (?P<year>\d{{4}}) {_TIME} GMT", re.ASCII)
_RFC_850 = re.compile(rf"(?:{_LONG_DAY}), (?P<day>\d\d)-(?P<month>{_MONTH})-(?P<year>\d\d) {_TIME} GMT", re.ASCII)
_ASCTIME = re.compile(rf"(?:{_DAY}) (?P<month>{_MONTH}) (?P<day>[ \d]\d) {_TIME} (?P<year>\d{{4}})", re.ASCII)


def format_http_date(seconds: float) -> str:
    """IMF-fixdate, ``Sun, 06 Nov 1994 08:49:37 GMT``.

    :param seconds: since the epoch; fractions are cut off.
    :raises OverflowError: outside the years 1 to 9999.
    """
    return _format(int(seconds // 1))


@lru_cache(maxsize=1024)
def _format(seconds: int) -> str:
    at = EPOCH + timedelta(seconds=seconds)
    date = f"{DAYS[at.weekday()]}, {at.day:02} {MONTHS[at.month - 1]} {at.year:04}"
    return f"{date} {at.hour:02}:{at.minute:02}:{at.second:02} GMT"


def parse_http_date(text: str, now: float) -> int | None:
    """Seconds since the epoch, or None when the text is not an HTTP date.

    :param now: in seconds since the epoch; decides the century of the two-digit years of RFC 850 dates.
    """
    return _parse(text, _year(int(now // 86400)))


@lru_cache(maxsize=64)
def _year(day: int) -> int:
    return (EPOCH + timedelta(days=day)).year


@lru_cache(maxsize=1024)
def _parse(text: str, this_year: int) -> int | None:
    if (match := _IMF_FIXDATE.fullmatch(text)) or (match := _ASCTIME.fullmatch(text)):
        year = int(match["year"])
    elif match := _RFC_850.fullmatch(text):
        year = _full_year(int(match["year"]), this_year)
    else:
        return None
    second = int(match["second"])
    leap = second == 60  # allowed by the grammar, unknown to datetime
    month = MONTHS.index(match["month"]) + 1
    try:
        at = datetime(year, month, int(match["day"]), int(match["hour"]), int(match["minute"]), second - leap, tzinfo=UTC)
    except ValueError:
        return None
    return (at - EPOCH) // timedelta(seconds=1) + leap


def _full_year(two_digits: int, this_year: int) -> int:
    """The year with these last digits that is nearest: more than 50 years in the future means the past."""
    year = this_year - this_year % 100 + two_digits
    if year > this_year + 50:
        return year - 100
    return year + 100 if year < this_year - 50 else year
