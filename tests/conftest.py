"""What holds for every test."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test of real processes, or of a worker with its threads, that fails is tried once more, and named among the results
    either way.

    It kills, stops and clocks programs and threads on a machine that may be busy with something else. What is tested without
    them has no such excuse.
    """
    for item in items:
        if item.get_closest_marker("process") is not None or not {"wire", "backends"}.isdisjoint(item.path.parts):
            item.add_marker(pytest.mark.flaky(reruns=1))
