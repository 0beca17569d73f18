"""Coding of single messages (``grpc-encoding``)."""

from __future__ import annotations

import zlib

IDENTITY, GZIP, DEFLATE = "identity", "gzip", "deflate"

ACCEPTED = "identity, deflate, gzip"
"""Value of ``grpc-accept-encoding``."""

_WINDOWS = {GZIP: 31, DEFLATE: 15}

LEVEL = 5


class Malformed(ValueError):
    """A message cannot be unpacked."""


class TooLong(ValueError):
    """A message is longer than the limit."""

    def __init__(self, most_bytes: int, size: int | None = None) -> None:
        said = f"a message of {size} bytes" if size is not None else "a message, unpacked,"
        super().__init__(f"{said} is longer than {most_bytes} bytes")


def is_known(name: str) -> bool:
    return name == IDENTITY or name in _WINDOWS


def accepts(accepted: str, name: str) -> bool:
    """Whether a ``grpc-accept-encoding`` names a coding."""
    return name in [each.strip() for each in accepted.split(",")]


def pack(data: bytes, name: str) -> bytes:
    """A message in a coding that `is_known`."""
    return zlib.compress(data, LEVEL, _WINDOWS[name]) if name != IDENTITY else data


def unpack(data: bytes, name: str, most_bytes: int) -> bytes:
    """A message that came in a coding; no more than a byte beyond the limit is ever made of it.

    :raises TooLong: it is longer.
    :raises Malformed: it is not of this coding, or not complete.
    """
    if name == IDENTITY:
        raise Malformed("a message says that it is compressed, and the call says by nothing")
    made = b""
    try:
        while True:  # a gzip file may have several members (RFC 1952, section 2.2)
            engine = zlib.decompressobj(_WINDOWS[name])
            made += engine.decompress(data, most_bytes + 1 - len(made))
            if len(made) > most_bytes:
                raise TooLong(most_bytes)
            if not engine.eof:
                raise Malformed("a compressed message ends too early")
            if not engine.unused_data:
                return made
            data = engine.unused_data
    except zlib.error as error:
        raise Malformed(f"a message is not {name}: {error}") from None
