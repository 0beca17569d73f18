"""Values: each type from text and from Python, its bounds, and what is said when it does not fit."""

from __future__ import annotations

import pathlib

import pytest

from skitai.config.sources import OPTIONS
from skitai.config.values import convert, shown, size


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("port", 8080, 8080),
        ("port", "8080", 8080),
        ("port", " 0 ", 0),
        ("head_bytes", "64K", 65536),
        ("max_post_body_size", "64M", 64 << 20),
        ("max_post_body_size", "1.5 MiB", 3 << 19),
        ("max_post_body_size", 2 << 32, 2 << 32),
        ("keep_alive", "2.5", 2.5),
        ("keep_alive", 300, 300.0),
        ("compress", "off", False),
        ("compress", "Yes", True),
        ("compress", 1, True),
        ("compress", False, False),
        ("address", "::1", "::1"),
        ("logpath", pathlib.Path("/var/log"), "/var/log"),
        ("bind", "127.0.0.1:1, unix:/tmp/s", ("127.0.0.1:1", "unix:/tmp/s")),
        ("bind", ["unix:/a b"], ("unix:/a b",)),
        ("log_format", "json", "json"),
    ],
)
def test_a_value_becomes_the_declared_type(name: str, given: object, expected: object) -> None:
    converted = convert(OPTIONS[name], given)
    assert converted == expected
    assert type(converted) is type(expected)


@pytest.mark.parametrize(
    ("name", "given", "fault"),
    [
        ("port", "eighty", "'eighty' is not a whole number"),
        ("port", 80.5, "80.5 is not a whole number"),
        ("port", True, "True is not a whole number"),
        ("port", 65536, "65536 is above 65535"),
        ("workers", 0, "0 is below 1"),
        ("threads", "-1", "-1 is below 0"),
        ("head_bytes", "64X", "'64X' is not a size in bytes, such as 1048576 or '64M'"),
        ("head_bytes", -1, "-1 is not a size in bytes, such as 1048576 or '64M'"),
        ("head_bytes", "12", "12 is below 256"),
        ("keep_alive", "nan", "'nan' is not a number (s)"),
        ("keep_alive", float("inf"), "inf is not a number (s)"),
        ("keep_alive", None, "None is not a number (s)"),
        ("compress", "maybe", "'maybe' is neither yes nor no"),
        ("compress", 2, "2 is neither yes nor no"),
        ("address", 5, "5 is not text"),
        ("address", "a\0b", "'a\\x00b' holds a NUL character"),
        ("bind", [5], "[5] is not a list of texts"),
        ("log_format", "xml", "'xml' is not one of text, json"),
    ],
)
def test_a_value_that_does_not_fit_is_named(name: str, given: object, fault: str) -> None:
    with pytest.raises(ValueError) as caught:
        convert(OPTIONS[name], given)
    assert str(caught.value) == fault


def test_every_default_is_a_value_that_its_option_accepts() -> None:
    for option in OPTIONS.values():
        assert convert(option, option.default) == option.default, option.name


def test_what_is_shown_can_be_given() -> None:
    for option in OPTIONS.values():
        assert convert(option, shown(option.default)) == option.default, option.name


@pytest.mark.parametrize("text", ["", "M", "1e3", "-5", "5 5", "1.5.5K", "0x10"])
def test_a_size_is_digits_and_a_unit(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        size(text)
