import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from skitai.log.localtime import LOCALTIME, local, zone

SUMMER = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    yield monkeypatch
    monkeypatch.undo()
    time.tzset()


def test_local_time_is_that_of_the_machine() -> None:
    assert local(SUMMER.timestamp()) == SUMMER
    assert f"{local(SUMMER.timestamp()):%H:%M}" == time.strftime("%H:%M", time.localtime(SUMMER.timestamp()))


def test_it_stays_when_an_app_sets_another(clock: pytest.MonkeyPatch) -> None:
    before = str(local(SUMMER.timestamp()))
    clock.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    assert str(local(SUMMER.timestamp())) == before


def test_a_zone_by_its_name_or_file() -> None:
    berlin = zone("Europe/Berlin")
    assert berlin is not None
    assert SUMMER.astimezone(berlin).utcoffset() == timedelta(hours=2)
    if os.path.exists(LOCALTIME):
        assert zone(f":{LOCALTIME}") is not None


def test_other_forms_are_left_to_the_system() -> None:
    assert zone("XYZ-3ABC") is None
    assert zone("", "/no/such/file") is None
