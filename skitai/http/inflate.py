"""Bodies that the client has compressed (RFC 9110, section 8.4), unpacked within limits."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from skitai.errors import Answerable, BadRequest, TooLarge

CODINGS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""What is unpacked, and zlib's number for it."""

TAKEN = "gzip, deflate"

PIECE_BYTES = 65536

SMALL_BYTES = 65536
"""Up to this size the ratio does not matter: a short text of blanks is no attack."""


class UnknownCoding(Answerable):
    """The body is in a content coding that is not taken (RFC 9110, section 15.5.16)."""

    status = 415


def inflate(pieces: Iterable[bytes], coding: str, most_bytes: int, most_ratio: int) -> Iterator[bytes]:
    """The pieces of a body, unpacked.

    :param coding: value of its Content-Encoding; "" or "identity" for none.
    :param most_bytes: of the unpacked body.
    :param most_ratio: of its size to that of the packed one.
    :raises UnknownCoding:
    :raises TooLarge: more than that comes out of it.
    :raises BadRequest: it is malformed or ends too early.
    """
    name = coding.strip().lower()
    if name in ("", "identity"):
        return iter(pieces)
    if name not in CODINGS:
        fields = [("Accept-Encoding", TAKEN)]
        raise UnknownCoding(f"content coding {name[:40]!r} is not known here; send {TAKEN}", fields=fields)
    return _inflated(pieces, name, most_bytes, most_ratio)


def _inflated(pieces: Iterable[bytes], name: str, most_bytes: int, most_ratio: int) -> Iterator[bytes]:
    taken = made = 0
    engine: Any = zlib.decompressobj(CODINGS[name])
    try:
        for piece in pieces:
            taken += len(piece)
            rest, full = piece, False
            while rest or full:  # after a full piece, zlib may have more of what it has taken
                if engine.eof and rest:  # gzip: another member follows
                    if name == "deflate":
                        raise BadRequest("something follows the end of the compressed body")
                    engine = zlib.decompressobj(CODINGS[name])
                data = engine.decompress(rest, PIECE_BYTES)
                rest = engine.unconsumed_tail or engine.unused_data
                full = len(data) == PIECE_BYTES
                made += len(data)
                if made > most_bytes or made > max(SMALL_BYTES, most_ratio * taken):
                    raise TooLarge(f"more than {most_bytes} bytes, or {most_ratio} times its size, come out of the body")
                if data:
                    yield data
    except zlib.error:
        raise BadRequest(f"the body is not {name}") from None
    if not engine.eof:
        raise BadRequest(f"the {name} body ends too early")
