"""The Autobahn test suite's cases for RFC 6455 (1 to 7, 9 and 10), and the smallest of each kind for RFC 7692 (12 and 13).

All of the latter, a quarter of an hour's work for two cores, are in `tests/conformance`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.autobahn import ASGI, COMPRESSED, LARGE, SADDLE, Verdicts
from tests.support.site import Site

pytestmark = pytest.mark.process


@pytest.fixture(params=[ASGI, SADDLE], ids=["asgi", "saddle"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    running = Site(tmp_path, request.param, **LARGE)
    yield running.start()
    running.stop()


def test_messages_frames_and_closes(site: Site) -> None:
    """Takes some seconds: the suite waits in some of its cases."""
    found = Verdicts(site, ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*"])
    assert found.number > 290
    assert found.failing == {}


def test_compressed_messages_in_short(site: Site) -> None:
    found = Verdicts(site, [f"{group}.{size}" for group in COMPRESSED for size in (1, 2, 3)])
    assert found.number == 36
    assert found.failing == {}
