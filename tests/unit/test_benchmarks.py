"""The benchmark's arithmetic: what it says must follow from what it measured."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.__main__ import arguments, wanted
from benchmarks.cases import CASES, Case
from benchmarks.client import length_of, percentile
from benchmarks.contenders import skitai
from benchmarks.measure import KINDS, Sample
from benchmarks.report import COLUMNS, Outcome, table

HELLO = Case("hello", "Hello", (), reference="granian", ratio=1.15)


def outcome(name: str, *costs: float, ours: bool = False) -> Outcome:
    return Outcome(name, ours, [Sample(cost_us=cost, rate=1000, p50_us=500, p99_us=2000) for cost in costs])


def test_the_ratio_is_between_medians() -> None:
    text = table(HELLO, [outcome("skitai", 30, 22, 21, ours=True), outcome("granian", 20, 90, 19)])
    assert "| skitai  |       22.0 | 21.0-30.0 |  1.10 |" in text
    assert "- reached: CPU per request to granian: target 1.15, here 1.10" in text


def test_a_missed_target_says_so() -> None:
    text = table(HELLO, [outcome("skitai", 24, ours=True), outcome("granian", 20)])
    assert "- MISSED: CPU per request to granian: target 1.15, here 1.20" in text


def test_an_absent_server_is_named_with_its_reason() -> None:
    text = table(HELLO, [outcome("skitai", 24, ours=True), Outcome("granian", False, absent="granian is not installed")])
    assert "| granian |     absent |" in text
    assert "granian is absent: granian is not installed." in text
    assert "No ratios: the reference, granian, is absent." in text
    assert "MISSED" not in text


def test_a_reload_without_new_workers_is_a_miss() -> None:
    case = Case("reload", "Reload", (), kind="reload", limit=50)
    good = Outcome("skitai", True, [Sample(errors=0, stall_ms=42, quiet_stall_ms=7, workers=6)])
    text = table(case, [good])
    assert text.count("reached:") == 3
    bad = Outcome("skitai", True, [Sample(errors=2, stall_ms=90, quiet_stall_ms=7, workers=2)])
    text = table(case, [bad])
    assert "MISSED: failed requests: target 0, here 2" in text
    assert "MISSED: added stall: target 50 ms, here 83 ms" in text
    assert "MISSED: workers that answered" in text


def test_every_case_is_complete() -> None:
    for case in CASES:
        assert case.kind in KINDS
        assert case.kind in COLUMNS
        assert case.contenders[0].ours
        assert case.reference in {contender.name for contender in case.contenders}
        assert len({contender.name for contender in case.contenders}) == len(case.contenders)


def test_percentiles_of_counts() -> None:
    counts = Counter({100: 98, 900: 1, 5000: 1})
    assert percentile(counts, 0.5) == 100
    assert percentile(counts, 0.99) == 900
    assert percentile(counts, 1.0) == 5000
    assert percentile(Counter(), 0.5) == 0


def test_a_length_is_read_whatever_its_case() -> None:
    assert length_of(b"HTTP/1.1 200 OK\r\nCONTENT-length:  13\r\nServer: x") == 13
    with pytest.raises(ValueError, match="without Content-Length"):
        length_of(b"HTTP/1.1 200 OK\r\nServer: x")


def test_peers_can_be_chosen() -> None:
    ours = skitai("plain.py:hello")
    assert wanted(ours, "")
    assert wanted(ours, "ours")
    assert not wanted(ours, "peers")
    assert wanted(ours, "granian, skit")


def test_an_unknown_case_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        arguments(["hello"])
    assert stop.value.code == 2
    assert "no such case: hello; there are wsgi4" in capsys.readouterr().err
