"""Nonces: which may be used, how often, how long."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skitai.saddle.nonces import LIFE_S, PLACES, SHELVES, WINDOW, kept_in
from skitai.saddle.nonces import of_process as new


def test_a_nonce_may_be_used_once_for_each_count() -> None:
    nonces = new()
    nonce = nonces.make(now=1000)
    assert nonces.use(nonce, "00000001", now=1000)
    assert not nonces.use(nonce, "00000001", now=1001)
    assert nonces.use(nonce, "00000002", now=1299)
    assert not nonces.use(nonce, "00000003", now=1000 + LIFE_S)


def test_counts_may_come_out_of_order() -> None:
    nonces = new()
    nonce = nonces.make(0)
    counts = (3, 1, 2, 3, 1, 200, 200 - WINDOW, 201 - WINDOW, 2**32 - 1)
    taken = [count for count in counts if nonces.use(nonce, f"{count:08x}", 1)]
    assert taken == [3, 1, 2, 200, 201 - WINDOW, 2**32 - 1]


@given(st.lists(st.integers(1, 300)))
def test_no_count_is_taken_twice(counts: list[int]) -> None:
    nonces = new()
    nonce = nonces.make(0)
    taken = [count for count in counts if nonces.use(nonce, f"{count:08x}", 1)]
    assert len(taken) == len(set(taken))
    assert set(taken) >= {count for at, count in enumerate(counts) if count > max([*counts[:at], 0])}


def test_each_server_has_its_own() -> None:
    assert not new().use(new().make(0), "00000001", 1)


@pytest.mark.parametrize(
    "count", ["", "0", "1", "00000000", "-0000001", "0x000001", "+0000001", "0000000g", "000000001", "        "]
)
def test_a_count_is_eight_digits(count: str) -> None:
    nonces = new()
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
    nonces = new()
    nonce = nonces.make(0)
    assert not nonces.use(change(nonce), "00000001", 1)  # type: ignore[operator]


def test_the_clock_may_be_put_back() -> None:
    nonces = new()
    nonce = nonces.make(10_000)
    assert nonces.use(nonce, "00000001", 9_800)
    assert not nonces.use(nonce, "00000002", 10_000 - LIFE_S)


def test_many_are_in_use_at_a_time() -> None:
    nonces = new()
    used = []
    for _ in range(SHELVES * PLACES * 3 // 4):
        used.append(nonces.make(0))
        assert nonces.use(used[-1], "00000001", 1)
    assert all(nonces.use(nonce, "00000002", 2) for nonce in used)
    assert not any(nonces.use(nonce, "00000002", 2) for nonce in used)


def test_more_than_there_is_room_for_are_stale_until_others_have_ended() -> None:
    nonces = new()
    made = [nonces.make(0) for _ in range(SHELVES * PLACES + 1)]
    used = [nonce for nonce in made if nonces.use(nonce, "00000001", 1)]
    assert len(used) < len(made)
    assert not any(nonces.use(nonce, "00000001", 2) for nonce in made), (
        "what had no place was not used, and is not either now"
    )
    assert all(nonces.use(nonces.make(LIFE_S), "00000001", LIFE_S + 1) for _ in range(100))


def test_processes_share_a_file(tmp_path: Path) -> None:
    one, other = kept_in(str(tmp_path)), kept_in(str(tmp_path))
    nonce = one.make(0)
    assert other.use(nonce, "00000001", 1)
    assert not one.use(nonce, "00000001", 1)
    assert one.use(nonce, "00000002", 1)
    assert (tmp_path / "nonces").stat().st_mode & 0o777 == 0o600


def test_without_a_file_each_process_has_its_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "nonces").symlink_to(tmp_path / "elsewhere")
    for folder in (tmp_path, tmp_path / "missing"):
        nonces = kept_in(str(folder))
        assert nonces.use(nonces.make(0), "00000001", 1)
    assert caplog.text.count("cannot share what digest authentication knows") == 2
    assert not (tmp_path / "elsewhere").exists()
