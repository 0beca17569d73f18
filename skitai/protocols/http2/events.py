"""What a connection of HTTP/2 tells of the other side, and the codes by which either side ends something."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

Pair = tuple[bytes, bytes]
"""Name and value of a field."""


class ErrorCodes(IntEnum):
    """Why a stream or a connection ends (RFC 9113, section 7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class Requested(NamedTuple):
    """A request head, for servers.

    :ivar ended: no body follows.
    """

    stream: int
    pairs: Sequence[Pair]
    ended: bool


class Responded(NamedTuple):
    """A response head, or an interim one (status 100 to 199), for clients.

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


class Trailers(NamedTuple):
    """Fields behind a body; `Ended` follows."""

    stream: int
    pairs: Sequence[Pair]


class Ended(NamedTuple):
    """A body is complete."""

    stream: int


class Reset(NamedTuple):
    """A stream is gone before its response was complete.

    :ivar code: why; may be one that nobody knows. REFUSED_STREAM: nothing was done for it.
    """

    stream: int
    code: int = ErrorCodes.CANCEL


class Leaving(NamedTuple):
    """The server takes no more requests, for clients.

    :ivar last: the last stream that it has dealt with, or will. Those behind it are reset.
    :ivar code: why.
    """

    last: int
    code: int


class Ponged(NamedTuple):
    """The answer to a ping.

    :ivar data: the eight bytes that were sent.
    """

    data: bytes


Event = Requested | Responded | Received | Trailers | Ended | Reset | Leaving | Ponged


class Violation(Exception):
    """The other side does what ends its connection."""

    def __init__(self, code: ErrorCodes, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Malformed(Exception):
    """A message breaks the rules for messages (RFC 9113, section 8.1.1): what ends its stream, at least."""
