"""RFC 9110, section 5.6.7: dates."""

from __future__ import annotations

import email.utils

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skitai.http.dates import format_http_date, parse_http_date

NOW = 1_790_000_000  # September 2026
EXAMPLE = 784111777


def test_5_6_7_an_imf_fixdate_is_written() -> None:
    assert format_http_date(EXAMPLE) == "Sun, 06 Nov 1994 08:49:37 GMT"


def test_5_6_7_fractions_of_a_second_are_cut_off() -> None:
    assert format_http_date(EXAMPLE + 0.999) == format_http_date(EXAMPLE)
    assert format_http_date(-0.5) == "Wed, 31 Dec 1969 23:59:59 GMT"


@pytest.mark.parametrize(
    "text",
    ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"],
)
def test_5_6_7_all_three_forms_are_read(text: str) -> None:
    assert parse_http_date(text, NOW) == EXAMPLE


def test_5_6_7_a_two_digit_year_more_than_fifty_years_ahead_lies_in_the_past() -> None:
    assert format_http_date(parse_http_date("Tuesday, 01-Jan-76 00:00:00 GMT", NOW) or 0).startswith("Wed, 01 Jan 2076")
    assert format_http_date(parse_http_date("Tuesday, 01-Jan-77 00:00:00 GMT", NOW) or 0).startswith("Sat, 01 Jan 1977")


def test_5_6_7_a_two_digit_year_may_lie_in_the_next_century() -> None:
    in_1999 = 930_000_000
    assert format_http_date(parse_http_date("Monday, 01-Jan-01 00:00:00 GMT", in_1999) or 0).startswith("Mon, 01 Jan 2001")


def test_5_6_7_a_leap_second_is_read() -> None:
    assert parse_http_date("Sat, 31 Dec 2016 23:59:60 GMT", NOW) == parse_http_date("Sun, 01 Jan 2017 00:00:00 GMT", NOW)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "now",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "sun, 06 nov 1994 08:49:37 gmt",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        " Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT\n",
        "Sun, ٠٦ Nov 1994 08:49:37 GMT",
    ],
)
def test_5_6_7_anything_else_is_no_date(text: str) -> None:
    assert parse_http_date(text, NOW) is None


@given(st.integers(min_value=-62_135_596_800, max_value=253_402_300_799))
def test_what_is_written_is_read_back(seconds: int) -> None:
    assert parse_http_date(format_http_date(seconds), NOW) == seconds


@given(st.integers(min_value=0, max_value=4_000_000_000))
def test_the_standard_library_writes_the_same(seconds: int) -> None:
    assert format_http_date(seconds) == email.utils.formatdate(seconds, usegmt=True)


@given(st.text(max_size=40))
def test_no_text_makes_the_parser_fail(text: str) -> None:
    parse_http_date(text, NOW)
