"""Field values with parameters, request fields by name, and JSON."""

from __future__ import annotations

import datetime
import enum
import uuid
from collections import namedtuple
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skitai.http import jsontext, parameters
from skitai.http.head import Fields
from skitai.http.headers import Headers


@pytest.mark.parametrize(
    ("value", "main", "found"),
    [
        ("", "", {}),
        ("text/html", "text/html", {}),
        ("text/html; Charset=UTF-8", "text/html", {"charset": "UTF-8"}),
        (' a ; x = "1;2" ;y=3', "a", {"x": "1;2", "y": "3"}),
        (r'a; x="q\"\\"', "a", {"x": 'q"\\'}),
        ('a; x="never ends', "a", {"x": "never ends"}),
        ("a; x=1; x=2", "a", {"x": "1"}),
        ("a; no; x=1;", "a", {"x": "1"}),
        ("a; =1; x=", "a", {"x": ""}),
    ],
)
def test_parameters(value: str, main: str, found: dict[str, str]) -> None:
    assert parameters.split(value) == (main, found)


@given(st.text(max_size=100))
def test_any_value_is_split(value: str) -> None:
    parameters.split("a;" + value)


def test_a_long_value_is_split_in_no_time() -> None:
    assert len(parameters.split("a" + "; b" * 20000 + "; c=1")[1]) == 1


def test_the_essence_of_a_media_type() -> None:
    assert parameters.essence("Text/HTML ; charset=x") == "text/html"
    assert parameters.essence("") == ""


def test_fields_by_name() -> None:
    fields = Fields([(b"host", b"h"), (b"accept", b"a"), (b"accept", b"b"), (b"x-name", b"\xfc")])
    headers = Headers.of(fields)
    assert headers is Headers.of(fields)
    assert headers["HOST"] == headers.get("host") == "h"
    assert headers["Accept"] == "a, b"
    assert "x-NAME" in headers and headers["x-name"] == "ü"
    assert 5 not in headers and headers.get("nothing") is None
    assert list(headers) == ["Host", "Accept", "X-Name"] and len(headers) == 3
    assert headers.replaced("Host", "other")["host"] == "other" and headers["host"] == "h"
    with pytest.raises(TypeError):
        headers["host"] = "x"  # type: ignore[index]


@dataclass
class Point:
    x: int
    y: int


class Color(enum.Enum):
    RED = "red"


Pair = namedtuple("Pair", "a b")  # noqa: PYI024


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, 2.5, None, True]}, '{"a":[1,2.5,null,true]}'),
        (Point(1, 2), '{"x":1,"y":2}'),
        (datetime.datetime(2026, 1, 2, 3, 4, 5), '"2026-01-02T03:04:05"'),
        (datetime.date(2026, 1, 2), '"2026-01-02"'),
        (datetime.timedelta(seconds=90), "90.0"),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (Decimal("1.10"), '"1.10"'),
        (Color.RED, '"red"'),
        (b"text", '"text"'),
        ({1}, "[1]"),
        (Pair(1, 2), "[1,2]"),
        ({1: 2}, '{"1":2}'),
        (MappingProxyType({"a": 1}), '{"a":1}'),
        (Path("/tmp"), '"/tmp"'),
        (float("nan"), "null"),
        (2**70, str(2**70)),
        ("\ud800", '"\\ud800"'),
        ((each for each in (1, 2)), "[1,2]"),
    ],
)
def test_values_as_json(value: Any, text: str) -> None:
    assert jsontext.dumps(value).decode() == text


@pytest.mark.parametrize("value", [object(), {"a": object()}, int])
def test_what_is_no_json_value(value: Any) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        jsontext.dumps(value)


def test_json_is_read() -> None:
    assert jsontext.loads(b'{"a": [1, 2.5, null, "\xc3\xbc"]}') == {"a": [1, 2.5, None, "ü"]}
    assert jsontext.loads(str(2**70)) == 2**70


@pytest.mark.parametrize(
    "text", ["", "{", "NaN", "[Infinity]", "{'a': 1}", b"\xff", b'"\xff"', "[" * 200_000, "9" * 5000, "1 2", "\ufeff1"]
)
def test_what_is_no_json(text: bytes | str) -> None:
    with pytest.raises(ValueError):
        jsontext.loads(text)
