"""All cases of the Autobahn test suite for compressed messages (RFC 7692): 216,000 of them, of up to 128 KiB."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.autobahn import ASGI, COMPRESSED, LARGE, Verdicts
from tests.support.site import Site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    running = Site(tmp_path_factory.mktemp("autobahn"), ASGI, **LARGE)
    yield running.start()
    running.stop()


@pytest.mark.parametrize("group", COMPRESSED)
def test_compressed_messages(site: Site, group: str) -> None:
    """Takes half a minute and more: that is what compressing and inflating takes, at both ends."""
    found = Verdicts(site, [f"{group}.*"])
    assert found.number == 18
    assert found.failing == {}
