"""What other workers get of the arguments of a broadcast."""

from __future__ import annotations

import datetime
import enum
import uuid
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson
import pytest

from skitai.saddle.broadcasts import dumps


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    tags: set[str]


DAY = datetime.date(2026, 11, 22)


@pytest.mark.parametrize(
    ("given", "heard"),
    [
        ("text é", "text é"),
        ((1, 2.5, None, True), [1, 2.5, None, True]),
        ({1: DAY}, {"1": "2026-11-22"}),
        (datetime.datetime(2026, 11, 22, 12, tzinfo=datetime.UTC), "2026-11-22T12:00:00+00:00"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Colour.RED, "red"),
        (Point(1, {"a"}), {"x": 1, "tags": ["a"]}),
        (Decimal("1.10"), "1.10"),
        (frozenset({3}), [3]),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (Path("/srv/site"), "/srv/site"),
    ],
)
def test_values_become_those_of_json(given: Any, heard: Any) -> None:
    assert orjson.loads(dumps(("said",), (given,), {"name": given})) == [["said"], [heard], {"name": heard}]


@pytest.mark.parametrize("given", [object(), b"bytes", iter([1]), print, 1 << 64, "\ud800"])
def test_others_have_no_json_form(given: Any) -> None:
    with pytest.raises(TypeError):
        dumps(("said",), (given,), {})
