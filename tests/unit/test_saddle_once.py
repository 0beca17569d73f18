"""Members that are made when they are first used."""

from __future__ import annotations

from typing import Any

import pytest

from skitai.saddle.once import once


class Thing:
    def __init__(self) -> None:
        self.count = 0

    @once
    def number(self) -> int:
        """How often it was made."""
        self.count += 1
        return self.count

    @once
    def broken(self) -> Any:
        return self.nothing  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"there is no {name}")


def test_a_member_is_made_once_for_each_object() -> None:
    thing = Thing()
    assert (thing.number, thing.number, thing.count) == (1, 1, 1)
    assert Thing().number == 1
    thing.__dict__["number"] = 7
    assert thing.number == 7


def test_the_class_shows_it_with_its_description() -> None:
    assert isinstance(Thing.number, once)
    assert Thing.number.__doc__ == "How often it was made."


def test_an_error_inside_does_not_pass_for_a_missing_member() -> None:
    with pytest.raises(RuntimeError, match=r"Thing\.broken cannot be made: there is no nothing"):
        _ = Thing().broken
