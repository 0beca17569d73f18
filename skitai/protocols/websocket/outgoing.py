"""Frames as the server sends them: whole messages, unmasked (RFC 6455, section 5.2). From any thread."""

from __future__ import annotations

from struct import Struct

from skitai.protocols.websocket import deflate
from skitai.protocols.websocket.codes import BINARY, CLOSE, NO_CODE, REASON_BYTES, TEXT, may_be_sent

_FIN, _COMPRESSED = 0x80, 0x40
_MEDIUM, _LONG = Struct("!BBH").pack, Struct("!BBQ").pack
_SMALL = [[bytes((_FIN | opcode, size)) for size in range(126)] for opcode in range(16)]


def frame(opcode: int, payload: bytes, flags: int = 0) -> bytes:
    """One unfragmented frame."""
    size = len(payload)
    if size < 126:
        return (bytes((_FIN | flags | opcode, size)) if flags else _SMALL[opcode][size]) + payload
    if size < 65536:
        return _MEDIUM(_FIN | flags | opcode, 126, size) + payload
    return _LONG(_FIN | flags | opcode, 127, size) + payload


def message(opcode: int, payload: bytes, window_bits: int = 0, compress_bytes: int = 0) -> bytes:
    """A whole message.

    :param opcode: `TEXT`, then the payload is UTF-8, or `BINARY`.
    :param window_bits: to compress with; 0 for never.
    :param compress_bytes: the smallest message that is compressed: each by itself, small ones hardly become smaller.
    """
    size = len(payload)
    if window_bits and size >= compress_bytes:
        return frame(opcode, deflate.compress(payload, window_bits), _COMPRESSED)
    return _SMALL[opcode][size] + payload if size < 126 else frame(opcode, payload)


class Shared:
    """A message for many connections, or for later: each form of it is made once, for all that agreed on the same.

    :param content: str for a text, bytes for a binary message.
    :raises UnicodeEncodeError: the text has lone surrogates.
    :ivar size: in bytes.
    """

    __slots__ = ("_forms", "_opcode", "_payload", "size")

    def __init__(self, content: str | bytes) -> None:
        if isinstance(content, str):
            self._opcode, self._payload = TEXT, content.encode("utf-8")
        else:
            self._opcode, self._payload = BINARY, bytes(content)
        self._forms: dict[int, bytes] = {}
        self.size = len(self._payload)

    def is_made(self, window_bits: int) -> bool:
        """Whether this form is there."""
        return window_bits in self._forms

    def message(self, window_bits: int, compress_bytes: int) -> bytes:
        """As the function of that name. `compress_bytes` is the same for all."""
        made = self._forms.get(window_bits)
        if made is None:
            made = self._forms[window_bits] = message(self._opcode, self._payload, window_bits, compress_bytes)
        return made


def close(code: int, reason: str = "") -> bytes:
    """A close frame; without a code where it is 1005. A reason that is too long is cut.

    :raises ValueError: no frame may carry this code (section 7.4).
    """
    if code == NO_CODE:
        return frame(CLOSE, b"")
    if not may_be_sent(code):
        raise ValueError(f"a WebSocket connection cannot be closed with {code}: 1000 to 1014 or 3000 to 4999 is wanted")
    text = reason.encode("utf-8", "replace")[:REASON_BYTES].decode("utf-8", "ignore")
    return frame(CLOSE, code.to_bytes(2) + text.encode("utf-8"))
