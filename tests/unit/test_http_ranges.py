"""RFC 9110, section 14: range requests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skitai.http.ranges import content_range, select, unsatisfied_range

LENGTH = 10_000
LIMIT = 16


def test_14_1_1_another_unit_is_ignored() -> None:
    assert select("lines=0-5", LENGTH, LIMIT) is None


def test_14_1_1_the_unit_ignores_case() -> None:
    assert select("Bytes=0-499", LENGTH, LIMIT) == ((0, 500),)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=a-b",
        "bytes=-",
        "bytes=5",
        "bytes=5-2",
        "bytes=0-1,x",
        "bytes=1 - 2",
        "bytes 0-1",
    ]
    + ["bytes=--1", "bytes=1-2-3", "bytes=0x1-2", "bytes=٠-١", "bytes=+1-2", "0-5"],
)
def test_14_1_1_a_malformed_field_is_ignored(value: str) -> None:
    assert select(value, LENGTH, LIMIT) is None


def test_14_1_2_the_first_500_bytes() -> None:
    assert select("bytes=0-499", LENGTH, LIMIT) == ((0, 500),)


def test_14_1_2_one_byte() -> None:
    assert select("bytes=0-0", LENGTH, LIMIT) == ((0, 1),)


def test_14_1_2_from_a_byte_to_the_end() -> None:
    assert select("bytes=9500-", LENGTH, LIMIT) == ((9500, 10_000),)


def test_14_1_2_the_last_500_bytes() -> None:
    assert select("bytes=-500", LENGTH, LIMIT) == ((9500, 10_000),)


def test_14_1_2_first_and_last_byte() -> None:
    assert select("bytes=0-0,-1", LENGTH, LIMIT) == ((0, 1), (9999, 10_000))
    assert select("bytes= 0-0 ,\t-1", LENGTH, LIMIT) == ((0, 1), (9999, 10_000))


def test_14_1_2_the_order_asked_for_is_kept() -> None:
    assert select("bytes=500-600,0-99", LENGTH, LIMIT) == ((500, 601), (0, 100))


def test_14_1_2_a_last_byte_beyond_the_end_means_the_end() -> None:
    assert select("bytes=9990-20000", LENGTH, LIMIT) == ((9990, 10_000),)


def test_14_1_2_a_suffix_longer_than_the_file_is_the_whole_file() -> None:
    assert select("bytes=-20000", LENGTH, LIMIT) == ((0, 10_000),)


def test_14_1_2_beyond_the_end_is_not_satisfiable() -> None:
    assert select("bytes=10000-", LENGTH, LIMIT) == ()
    assert select("bytes=-0", LENGTH, LIMIT) == ()


def test_14_1_2_one_satisfiable_range_is_enough() -> None:
    assert select("bytes=20000-,0-9", LENGTH, LIMIT) == ((0, 10),)


def test_14_1_2_an_empty_file_has_no_first_byte_but_a_suffix() -> None:
    assert select("bytes=0-", 0, LIMIT) == ()
    assert select("bytes=-1", 0, LIMIT) is None


def test_14_1_2_numbers_of_any_length_are_understood() -> None:
    nines = "9" * 5000
    assert select(f"bytes=0-{nines}", LENGTH, LIMIT) == ((0, 10_000),)
    assert select(f"bytes={nines}-", LENGTH, LIMIT) == ()
    assert select(f"bytes=-{nines}", LENGTH, LIMIT) == ((0, 10_000),)
    assert select(f"bytes={'0' * 5000}7-8", LENGTH, LIMIT) == ((7, 9),)


def test_14_2_more_ranges_than_the_limit_are_refused() -> None:
    assert len(select("bytes=" + ",".join(f"{n * 10}-{n * 10}" for n in range(16)), LENGTH, LIMIT) or ()) == 16
    assert select("bytes=" + ",".join(f"{n * 10}-{n * 10}" for n in range(17)), LENGTH, LIMIT) == ()


def test_14_2_overlapping_ranges_are_refused() -> None:
    assert select("bytes=0-10,5-20", LENGTH, LIMIT) == ()
    assert select("bytes=0-0,0-0", LENGTH, LIMIT) == ()
    assert select("bytes=500-,-9000", LENGTH, LIMIT) == ()


def test_14_2_ranges_that_touch_do_not_overlap() -> None:
    assert select("bytes=0-9,10-19", LENGTH, LIMIT) == ((0, 10), (10, 20))


def test_14_4_content_range() -> None:
    assert content_range((0, 500), 1234) == "bytes 0-499/1234"
    assert unsatisfied_range(47022) == "bytes */47022"


@given(st.text("0123456789-, \tbytes=", max_size=40).map("bytes={}".format), st.integers(0, 200), st.integers(1, 5))
def test_what_is_selected_exists_does_not_overlap_and_is_within_the_limit(value: str, length: int, limit: int) -> None:
    spans = select(value, length, limit)
    if spans is None:
        return
    assert len(spans) <= limit
    covered: set[int] = set()
    for start, stop in spans:
        assert 0 <= start < stop <= length
        assert covered.isdisjoint(range(start, stop))
        covered.update(range(start, stop))


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 200))
def test_one_range_selects_what_a_slice_would(first: int, more: int, length: int) -> None:
    content = bytes(range(200))[:length]
    spans = select(f"bytes={first}-{first + more}", length, LIMIT)
    assert spans is not None
    assert b"".join(content[start:stop] for start, stop in spans) == content[first : first + more + 1]


@given(st.text(max_size=60))
def test_any_text_is_answered(value: str) -> None:
    select(value, LENGTH, LIMIT)
