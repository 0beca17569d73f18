"""What holds for every test."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test of real processes that fails is tried once more, and named among the results either way.

    It kills, stops and clocks programs on a machine that may be busy with something else. Tests without processes have no
    such excuse.
    """
    for item in items:
        if item.get_closest_marker("process") is not None:
            item.add_marker(pytest.mark.flaky(reruns=1))
