"""Ten thousand faults on both sides of a proxy; `tests/process` tries a thousand of them."""

from __future__ import annotations

from tests.process.test_proxy_faults import behind, faults, front, pair
from tests.support.recorder import Recorder
from tests.support.site import Front

__all__ = ["behind", "front", "pair"]  # fixtures


def test_ten_thousand_faults_leave_nothing_behind(front: Front, behind: Recorder) -> None:
    faults(front, behind, 10_000)
