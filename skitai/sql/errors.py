"""What is wrong with a statement."""

from __future__ import annotations

from skitai.errors import SkitaiError


class BadStatement(SkitaiError, ValueError):
    """It cannot be written: a name that is none, an operator that does not exist, a value that does not go with it."""


class Unfiltered(BadStatement):
    """An update or delete that would reach more rows than its filter seems to say."""
