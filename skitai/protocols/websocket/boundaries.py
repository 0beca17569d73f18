"""Where frames begin and end in what others say to each other (RFC 6455, section 5.2): heads are read, payloads skipped."""

from __future__ import annotations

from skitai.protocols.websocket.codes import CLOSE

_MASKED, _LENGTH, _OPCODE = 0x80, 0x7F, 0x0F
_EXTENDED = {126: 2, 127: 8}
"""Bytes of a length that does not fit into its seven bits."""


class Boundaries:
    """One direction of a connection. Nothing is checked: that is for those who read the frames.

    :ivar closing: the head of a close frame has come.
    """

    __slots__ = ("_head", "_left", "closing")

    def __init__(self) -> None:
        self._head = b""
        self._left = 0
        self.closing = False

    @property
    def between(self) -> bool:
        """No frame is under way: another one may be put in here, be it amid a message."""
        return not self._left and not self._head

    def take(self, data: bytes) -> None:
        """These bytes were said."""
        size = len(data)
        if self._left >= size:
            self._left -= size
            return
        if self._head:
            data = self._head + data
            size = len(data)
            self._head = b""
        at = self._left
        while at < size:
            if size - at < 2:
                break
            second = data[at + 1]
            length = second & _LENGTH
            extended = _EXTENDED.get(length, 0)
            start = at + 2 + extended + (4 if second & _MASKED else 0)
            if start > size:
                break
            if extended:
                length = int.from_bytes(data[at + 2 : at + 2 + extended])
            if data[at] & _OPCODE == CLOSE:
                self.closing = True
            at = start + length
        if at < size:
            self._head = data[at:]
            self._left = 0
        else:
            self._left = at - size

    def finish(self, data: bytes) -> int:
        """These bytes were said, but only what belongs to the frame that is under way is taken: so many bytes of them."""
        taken = 0
        while self._head and taken < len(data):
            self.take(data[taken : taken + 1])
            taken += 1
        rest = data[taken : taken + self._left]
        self.take(rest)
        return taken + len(rest)
