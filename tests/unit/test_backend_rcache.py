"""Results that a worker keeps."""

from __future__ import annotations

from skitai.backend.rcache import ResultCache


def test_what_is_kept_is_found_until_its_end() -> None:
    cache = ResultCache(10)
    cache.put("a", 1, 60, now=100, stored=100)
    assert cache.get("a", 159) == 1
    assert cache.get("a", 160) is None
    assert cache.get("b", 100) is None
    assert cache.stats() == {"kept": 0, "hits": 1, "misses": 2}


def test_what_is_older_than_a_change_is_dropped() -> None:
    cache = ResultCache(10)
    cache.put("a", 1, 60, now=105, stored=100)
    assert cache.get("a", 110, since=100) == 1
    assert cache.get("a", 110, since=101) is None, "it was asked for before the change"
    assert cache.get("a", 110) is None


def test_no_time_forgets() -> None:
    cache = ResultCache(10)
    cache.put("a", 1, 60, now=0, stored=0)
    cache.put("a", 2, 0, now=0, stored=0)
    assert cache.get("a", 1) is None


def test_a_full_cache_lets_a_fifth_go_that_would_end_first() -> None:
    cache = ResultCache(10)
    for number in range(10):
        cache.put(number, number, 100 - number, now=0, stored=0)
    cache.put("new", "new", 1, now=0, stored=0)
    assert [number for number in range(10) if cache.get(number, 0) is None] == [8, 9]
    assert cache.get("new", 0) == "new"
    cache.put("new", "newer", 5, now=0, stored=0)
    assert cache.get("new", 0) == "newer"


def test_what_has_ended_goes_first() -> None:
    cache = ResultCache(3)
    for number, seconds in enumerate((1, 1, 50)):
        cache.put(number, "x", seconds, now=0, stored=0)
    cache.put("new", "x", 50, now=10, stored=10)
    assert cache.stats()["kept"] == 2
    assert cache.get(2, 10) == "x"


def test_a_cache_of_nothing_keeps_nothing() -> None:
    cache = ResultCache(0)
    cache.put("a", 1, 60, now=0, stored=0)
    assert cache.get("a", 0) is None


def test_keys_are_remembered_for_longer_but_not_for_ever() -> None:
    cache = ResultCache(2)
    for number in range(100):
        cache.put(number, number, 10, now=0, stored=0)
    assert cache.knows(99)
    assert cache.knows(80)
    assert not cache.knows(79)
