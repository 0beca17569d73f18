"""RFC 9110, sections 8.8 and 13: validators and preconditions."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skitai.http.conditional import Conditions, evaluate, matches, range_applies
from skitai.http.dates import format_http_date

ETAG = '"xyzzy"'
MODIFIED = 784111777
NOW = MODIFIED + 3600
SAME, EARLIER, LATER = (format_http_date(MODIFIED + offset) for offset in (0, -1, 1))


def ask(method: str = "GET", *, etag: str | None = ETAG, modified: int | None = MODIFIED, **conditions: str) -> int | None:
    return evaluate(method, Conditions(**conditions), etag, modified, NOW)


# 8.8.3.2: the table of examples.
@pytest.mark.parametrize(
    ("one", "other", "strong", "weak"),
    [
        ('W/"1"', 'W/"1"', False, True),
        ('W/"1"', 'W/"2"', False, False),
        ('W/"1"', '"1"', False, True),
        ('"1"', '"1"', True, True),
    ],
)
def test_8_8_3_2_strong_and_weak_comparison(one: str, other: str, strong: bool, weak: bool) -> None:
    for left, right in ((one, other), (other, one)):
        assert matches(left, right, strong=True) is strong
        assert matches(left, right, strong=False) is weak


def test_13_1_1_if_match_goes_on_when_a_tag_is_current() -> None:
    assert ask(if_match='"xyzzy"') is None
    assert ask(if_match='"r2d2", "xyzzy" ,"c3po"') is None
    assert ask(if_match="*") is None


def test_13_1_1_if_match_fails_otherwise() -> None:
    assert ask(if_match='"r2d2"') == 412
    assert ask("PUT", if_match='"r2d2"') == 412
    assert ask(if_match="*", etag=None) is None
    assert ask(if_match='"xyzzy"', etag=None) == 412
    assert evaluate("PUT", Conditions(if_match="*"), None, None, NOW, exists=False) == 412


def test_13_1_1_if_match_compares_strongly() -> None:
    assert ask(if_match='W/"xyzzy"') == 412
    assert ask(if_match='W/"xyzzy"', etag='W/"xyzzy"') == 412


def test_13_1_2_if_none_match_answers_304_to_get_and_head_and_412_to_others() -> None:
    assert ask(if_none_match='"xyzzy"') == 304
    assert ask("HEAD", if_none_match='"xyzzy"') == 304
    assert ask("PUT", if_none_match='"xyzzy"') == 412
    assert ask("PUT", if_none_match="*") == 412
    assert ask(if_none_match="*") == 304


def test_13_1_2_if_none_match_goes_on_when_no_tag_is_current() -> None:
    assert ask(if_none_match='"r2d2"') is None
    assert ask(if_none_match='"xyzzy"', etag=None) is None
    assert evaluate("PUT", Conditions(if_none_match="*"), None, None, NOW, exists=False) is None


def test_13_1_2_if_none_match_compares_weakly_and_reads_lists() -> None:
    assert ask(if_none_match='W/"xyzzy"') == 304
    assert ask(if_none_match='"r2d2", W/"xyzzy", "c3po"') == 304
    assert ask(if_none_match=', "r2d2",, "xyzzy",') == 304
    assert ask(if_none_match='"a,b"', etag='"a,b"') == 304
    assert ask(if_none_match='"r2d2", "a,b"', etag='"a,b"') == 304


@pytest.mark.parametrize(
    "value", ["xyzzy", '"xyzzy', 'xyzzy"', '"r2d2" "xyzzy"', 'w/"xyzzy"', '*, "xyzzy"', "", '"r2d2";"xyzzy"']
)
def test_8_8_3_a_malformed_list_names_no_tag(value: str) -> None:
    assert ask(if_none_match=value) is None
    assert ask(if_match=value) == 412


def test_13_1_3_if_modified_since() -> None:
    assert ask(if_modified_since=SAME) == 304
    assert ask(if_modified_since=LATER) == 304
    assert ask("HEAD", if_modified_since=SAME) == 304
    assert ask(if_modified_since=EARLIER) is None


def test_13_1_3_if_modified_since_is_ignored_beside_if_none_match() -> None:
    assert ask(if_modified_since=SAME, if_none_match='"r2d2"') is None
    assert ask(if_modified_since=EARLIER, if_none_match='"xyzzy"') == 304


def test_13_1_3_if_modified_since_is_ignored_when_it_is_no_date_or_the_method_is_not_get_or_head() -> None:
    assert ask(if_modified_since="yesterday") is None
    assert ask("POST", if_modified_since=SAME) is None
    assert ask(if_modified_since=SAME, modified=None) is None


def test_13_1_4_if_unmodified_since() -> None:
    assert ask(if_unmodified_since=SAME) is None
    assert ask(if_unmodified_since=LATER) is None
    assert ask(if_unmodified_since=EARLIER) == 412
    assert ask("PUT", if_unmodified_since=EARLIER) == 412


def test_13_1_4_if_unmodified_since_is_ignored_beside_if_match_or_when_it_is_no_date() -> None:
    assert ask(if_unmodified_since=EARLIER, if_match='"xyzzy"') is None
    assert ask(if_unmodified_since="yesterday") is None
    assert ask(if_unmodified_since=EARLIER, modified=None) is None


def test_13_1_5_without_if_range_a_range_applies() -> None:
    assert range_applies(None, ETAG, MODIFIED, NOW)


def test_13_1_5_if_range_with_a_tag_compares_strongly() -> None:
    assert range_applies('"xyzzy"', ETAG, MODIFIED, NOW)
    assert not range_applies('"r2d2"', ETAG, MODIFIED, NOW)
    assert not range_applies('W/"xyzzy"', ETAG, MODIFIED, NOW)
    assert not range_applies('W/"xyzzy"', 'W/"xyzzy"', MODIFIED, NOW)
    assert not range_applies('"xyzzy"', None, MODIFIED, NOW)


def test_13_1_5_if_range_with_a_date_must_be_exactly_the_files() -> None:
    assert range_applies(SAME, ETAG, MODIFIED, NOW)
    assert not range_applies(LATER, ETAG, MODIFIED, NOW)
    assert not range_applies(EARLIER, ETAG, MODIFIED, NOW)
    assert not range_applies("yesterday", ETAG, MODIFIED, NOW)
    assert not range_applies(SAME, ETAG, None, NOW)


def test_8_8_2_2_a_date_is_a_weak_validator_until_its_second_is_over() -> None:
    assert not range_applies(SAME, ETAG, MODIFIED, MODIFIED + 0.9)
    assert range_applies(SAME, ETAG, MODIFIED, MODIFIED + 1)


def test_13_2_2_a_failed_if_match_comes_before_if_none_match() -> None:
    assert ask(if_match='"r2d2"', if_none_match='"xyzzy"') == 412
    assert ask(if_unmodified_since=EARLIER, if_none_match='"xyzzy"') == 412
    assert ask(if_match='"xyzzy"', if_none_match='"xyzzy"') == 304


def test_13_2_2_the_whole_table_agrees_with_the_order_of_the_section() -> None:
    tags, dates = (None, '"xyzzy"', '"r2d2"'), (None, EARLIER, SAME)
    for method, match, unmodified, none_match, modified in itertools.product(("GET", "PUT"), tags, dates, tags, dates):
        expected: int | None = None
        safe = method == "GET"
        if match is not None:
            expected = None if match == ETAG else 412
        elif unmodified is not None:
            expected = 412 if unmodified == EARLIER else None
        if expected is None:
            if none_match is not None:
                expected = None if none_match != ETAG else (304 if safe else 412)
            elif safe and modified is not None:
                expected = 304 if modified == SAME else None
        assert evaluate(method, Conditions(match, unmodified, none_match, modified), ETAG, MODIFIED, NOW) == expected


@given(st.text('W/"*, \tabc', max_size=40))
def test_any_list_is_judged(value: str) -> None:
    strong, weak = matches(value, '"a"', strong=True), matches(value, '"a"', strong=False)
    assert weak or not strong


def test_a_long_hostile_list_is_judged_in_no_time() -> None:
    for piece in (",", " ,", '"a",', '"a" ', '"', 'W/"'):
        assert not matches(piece * (8000 // len(piece)), '"z"', strong=False)
