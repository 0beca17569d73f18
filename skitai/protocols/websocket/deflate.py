"""permessage-deflate without context takeover (RFC 7692, section 7.2): each message by itself."""

from __future__ import annotations

import zlib

TAIL = b"\x00\x00\xff\xff"
"""Ends what the compressor flushed; taken off each message, and put back (section 7.2.1)."""

LEVEL = 3
"""A tenth larger than with 6, the usual one, in a third of the time: what counts for messages that wait for it."""
MEMORY = 8


class Corrupt(ValueError):
    """The data is not what a compressor makes."""


class TooMuch(ValueError):
    """More than the limit comes out of the data."""


def compress(data: bytes, window_bits: int) -> bytes:
    """The compressed form of a message."""
    made = zlib.compressobj(LEVEL, wbits=-window_bits, memLevel=MEMORY)
    return (made.compress(data) + made.flush(zlib.Z_SYNC_FLUSH))[: -len(TAIL)]


def inflate(data: bytes, most_bytes: int) -> bytes:
    """A message from its compressed form.

    :raises TooMuch: it has more than `most_bytes`; no more than that is ever inflated.
    :raises Corrupt:
    """
    reader = zlib.decompressobj(wbits=-15)
    try:
        made = reader.decompress(data + TAIL, most_bytes + 1)
    except zlib.error as error:
        raise Corrupt(str(error)) from error
    if len(made) > most_bytes:
        raise TooMuch
    if len(reader.unused_data) > len(TAIL) + 1:  # section 7.2.3.5: behind a final block there is one byte of padding
        raise Corrupt("there is more behind the final block")
    return made
