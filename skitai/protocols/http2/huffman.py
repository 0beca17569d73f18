"""Strings in HPACK's Huffman code (RFC 7541, section 5.2), byte by byte: hpack's automaton goes by half bytes."""

from __future__ import annotations

from hpack import HPACKDecodingError
from hpack.huffman_table import HUFFMAN_COMPLETE, HUFFMAN_EMIT_SYMBOL, HUFFMAN_FAIL, HUFFMAN_TABLE

Step = tuple[int, bytes, int]
"""The state behind a byte, what the byte gives, and whether the string may end there."""

MOST_STEPS = 16384
"""Remembered; text needs some hundreds."""

_steps: dict[int, Step] = {}


def unpacked(data: bytes) -> bytes:
    """The string that `data` is the code of.

    :raises HPACKDecodingError: it is none.
    """
    state, whole = 0, 1
    pieces = []
    for byte in data:
        step = _steps.get(state << 8 | byte)
        if step is None:
            step = _step(state, byte)
        state, piece, whole = step
        pieces.append(piece)
    if not whole:
        raise HPACKDecodingError("a string that ends in the middle of a code")
    return b"".join(pieces)


def _step(state: int, byte: int) -> Step:
    """Make and remember a step.

    :raises HPACKDecodingError: there is none.
    """
    key = state << 8 | byte
    piece, flags = b"", 0
    for half in (byte >> 4, byte & 15):
        state, flags, symbol = HUFFMAN_TABLE[state << 4 | half]
        if flags & HUFFMAN_FAIL:
            raise HPACKDecodingError("a string that is no code")
        if flags & HUFFMAN_EMIT_SYMBOL:
            piece += bytes((symbol,))
    if len(_steps) >= MOST_STEPS:
        _steps.clear()
    step = _steps[key] = (state, piece, flags & HUFFMAN_COMPLETE)
    return step
