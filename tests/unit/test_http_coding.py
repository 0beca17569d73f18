"""RFC 9110, sections 8.4.1 and 12.5.3: content coding."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skitai.http.coding import choose

OURS = ("br", "gzip")


def test_12_5_3_without_the_field_nothing_is_coded() -> None:
    assert choose("", OURS) is None


def test_12_5_3_a_listed_coding_is_taken() -> None:
    assert choose("gzip", OURS) == "gzip"
    assert choose("deflate", OURS) is None


def test_12_5_3_the_server_decides_between_equals() -> None:
    assert choose("gzip, deflate, br", OURS) == "br"
    assert choose("gzip, deflate, br", ("gzip", "br")) == "gzip"


def test_12_5_3_the_higher_weight_wins() -> None:
    assert choose("br;q=0.5, gzip;q=0.8", OURS) == "gzip"
    assert choose("br; q=0.001 , gzip;Q=0", OURS) == "br"


def test_12_5_3_zero_refuses() -> None:
    assert choose("gzip;q=0", OURS) is None
    assert choose("gzip;q=0.000, br;q=0", OURS) is None


def test_12_5_3_a_star_stands_for_codings_not_listed() -> None:
    assert choose("*", OURS) == "br"
    assert choose("br;q=0, *", OURS) == "gzip"
    assert choose("*;q=0", OURS) is None
    assert choose("gzip, *;q=0", OURS) == "gzip"


def test_12_5_3_identity_is_acceptable_but_comes_last_unless_it_is_weighted() -> None:
    assert choose("gzip;q=0.1", OURS) == "gzip"
    assert choose("identity, gzip;q=0.5", OURS) is None
    assert choose("identity;q=0.5, gzip", OURS) == "gzip"
    assert choose("identity, gzip", OURS) == "gzip"


def test_12_5_3_identity_refused_takes_any_coding_that_is_acceptable() -> None:
    assert choose("identity;q=0, *;q=0.1", OURS) == "br"


def test_12_5_3_when_all_is_refused_the_plain_content_is_sent() -> None:
    assert choose("identity;q=0, *;q=0", OURS) is None
    assert choose("identity;q=0", OURS) is None


def test_8_4_1_names_ignore_case_and_x_gzip_is_gzip() -> None:
    assert choose("GZip", OURS) == "gzip"
    assert choose("x-gzip", OURS) == "gzip"


@pytest.mark.parametrize("weight", ["2", "0.1234", "1.001", "-1", "high", "", "1e0", "nan"])
def test_12_4_2_an_element_with_a_malformed_weight_is_passed_over(weight: str) -> None:
    assert choose(f"br;q={weight}, gzip;q=0.1", OURS) == "gzip"


@given(st.text(max_size=60))
def test_any_text_is_answered_with_an_offer_or_nothing(value: str) -> None:
    assert choose(value, OURS) in {*OURS, None}
