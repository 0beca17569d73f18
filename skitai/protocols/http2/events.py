"""What a connection of HTTP/2 tells of its client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from h2.errors import ErrorCodes

Pair = tuple[bytes, bytes]
"""Name and value of a field."""


class Requested(NamedTuple):
    """A request head.

    :ivar ended: no body follows.
    """

    stream: int
    pairs: Sequence[Pair]
    ended: bool


class Received(NamedTuple):
    """A piece of a body.

    :ivar padding: bytes that counted against the windows beside it.
    """

    stream: int
    data: bytes
    padding: int


class Ended(NamedTuple):
    """The body of a request is complete."""

    stream: int


class Reset(NamedTuple):
    """A stream is gone before its response was complete."""

    stream: int


Event = Requested | Received | Ended | Reset


class Violation(Exception):
    """A client does what ends its connection."""

    def __init__(self, code: ErrorCodes, reason: str) -> None:
        super().__init__(reason)
        self.code = code
