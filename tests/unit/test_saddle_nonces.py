"""Nonces: which may be used, how often, how long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skitai.saddle.nonces import LIFE_S, WINDOW, Nonces


def test_a_nonce_may_be_used_once_for_each_count() -> None:
    nonces = Nonces()
    nonce = nonces.make(now=1000)
    assert nonces.use(nonce, "00000001", now=1000)
    assert not nonces.use(nonce, "00000001", now=1001)
    assert nonces.use(nonce, "00000002", now=1299)
    assert not nonces.use(nonce, "00000003", now=1000 + LIFE_S)


def test_counts_may_come_out_of_order() -> None:
    nonces = Nonces()
    nonce = nonces.make(0)
    counts = (3, 1, 2, 3, 1, 200, 200 - WINDOW, 201 - WINDOW, 2**32 - 1)
    taken = [count for count in counts if nonces.use(nonce, f"{count:08x}", 1)]
    assert taken == [3, 1, 2, 200, 201 - WINDOW, 2**32 - 1]


@given(st.lists(st.integers(1, 300)))
def test_no_count_is_taken_twice(counts: list[int]) -> None:
    nonces = Nonces()
    nonce = nonces.make(0)
    taken = [count for count in counts if nonces.use(nonce, f"{count:08x}", 1)]
    assert len(taken) == len(set(taken))
    assert set(taken) >= {count for at, count in enumerate(counts) if count > max([*counts[:at], 0])}


def test_each_process_has_its_own() -> None:
    assert not Nonces().use(Nonces().make(0), "00000001", 1)


@pytest.mark.parametrize(
    "count", ["", "0", "1", "00000000", "-0000001", "0x000001", "+0000001", "0000000g", "000000001", "        "]
)
def test_a_count_is_eight_digits(count: str) -> None:
    nonces = Nonces()
    assert not nonces.use(nonces.make(0), count, 1)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-4],
        lambda text: "B" + text[1:],
        lambda text: "",
        lambda text: "é",
        lambda text: "====",
        lambda text: text[:20],
    ],
)
def test_a_forged_nonce_may_not_be_used(change: object) -> None:
    nonces = Nonces()
    nonce = nonces.make(0)
    assert not nonces.use(change(nonce), "00000001", 1)  # type: ignore[operator]


def test_only_those_that_were_used_are_remembered_and_not_for_ever() -> None:
    nonces = Nonces()
    for _ in range(3000):
        nonces.make(0)
    assert not nonces._used
    for at in range(3000):
        assert nonces.use(nonces.make(at), "00000001", at)
    assert len(nonces._used) <= 1024
