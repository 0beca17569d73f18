"""What a client sends: bytes in, messages and other events out (RFC 6455, sections 5 to 7).

Everything is checked as early as it shows: a frame at its header, before its payload comes; the text of a fragmented message
fragment by fragment.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import NamedTuple

from websockets import frames

from skitai.protocols.websocket import deflate
from skitai.protocols.websocket.codes import (
    BINARY,
    CLOSE,
    CONTINUATION,
    INVALID,
    NO_CODE,
    PING,
    POLICY,
    PROTOCOL_ERROR,
    TEXT,
    TOO_BIG,
    may_be_sent,
)

_FIN, _COMPRESSED, _RESERVED = 0x80, 0x40, 0x30
_OVERHEAD_BYTES = 1024
"""What compressing may add to a message, per MiB and at least."""

_unmask = frames.apply_mask  # type: ignore[attr-defined]  # in C where it can be
_new_decoder = codecs.getincrementaldecoder("utf-8")


class Ping(NamedTuple):
    payload: bytes


class Pong(NamedTuple):
    payload: bytes


class Closed(NamedTuple):
    """The client has sent its close frame. Nothing follows.

    :ivar code: `NO_CODE` where there was none.
    """

    code: int
    reason: str


class Broken(NamedTuple):
    """The client breaks the protocol or a limit. Nothing follows.

    :ivar code: to close with.
    """

    code: int
    reason: str


Event = str | bytes | Ping | Pong | Closed | Broken
"""A text or binary message, or something beside messages."""


class _Violation(Exception):
    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Incoming:
    """Reads one connection.

    :param deflates: permessage-deflate was agreed on.
    :param most_bytes: longest message, as it is sent and as it is inflated.
    :param most_fragments: of one message.
    :param most_events: made at a time: of a piece of many tiny frames the rest waits as bytes.
    :ivar pending: bytes wait for `more`.
    """

    __slots__ = (
        "_at",
        "_buffer",
        "_compressed",
        "_data",
        "_deflates",
        "_fragments",
        "_most_bytes",
        "_most_events",
        "_most_fragments",
        "_need",
        "_opcode",
        "_size",
        "_text",
        "ended",
        "pending",
    )

    def __init__(self, *, deflates: bool, most_bytes: int, most_fragments: int, most_events: int) -> None:
        self._deflates = deflates
        self._most_bytes = most_bytes
        self._most_fragments = most_fragments
        self._most_events = most_events
        self._data = b""
        self._at = 0
        self.pending = False
        self._buffer = bytearray()
        self._need = 0
        self._opcode = 0
        self._compressed = False
        self._size = 0
        self._fragments: list[bytes] = []
        self._text: codecs.IncrementalDecoder | None = None
        self.ended = False

    def receive(self, data: bytes) -> Sequence[Event]:
        """What follows from the next bytes; nothing any more after `Closed` and `Broken`."""
        if self.ended:
            return ()
        if self.pending:
            data = self._data[self._at :] + data
        elif self._buffer:
            self._buffer += data
            if len(self._buffer) < self._need:
                return ()
            data = bytes(self._buffer)
            self._buffer.clear()
        self._data, self._at = data, 0
        return self.more()

    def more(self) -> Sequence[Event]:
        """What follows from the bytes that wait."""
        data, at = self._data, self._at
        size, need = len(data), 2
        events: list[Event] = []
        self.pending = False
        try:
            while size - at >= 2:
                first, length, start = data[at], data[at + 1] & 0x7F, at + 6
                if not data[at + 1] & 0x80:
                    raise _Violation(PROTOCOL_ERROR, "a frame is not masked")
                if length >= 126:
                    extra = 2 if length == 126 else 8
                    start += extra
                    if size < at + 2 + extra:
                        need = 2 + extra
                        break
                    length = self._long(data[at + 2 : at + 2 + extra])
                if first != _FIN | TEXT and first != _FIN | BINARY or self._opcode or length > self._most_bytes:
                    self._check(first, length)
                end = start + length
                if end > size:
                    need = end - at
                    break
                payload = _unmask(data[start:end], data[start - 4 : start]) if length else b""
                event: Event | None
                if first == _FIN | TEXT:
                    event = payload.decode("utf-8")
                elif first == _FIN | BINARY:
                    event = payload
                else:
                    event = self._frame(first, payload)
                at = end
                if event is not None:
                    events.append(event)
                    if self.ended:
                        return events
                    if len(events) >= self._most_events and at < size:
                        self._at, self.pending = at, True
                        return events
        except (_Violation, UnicodeDecodeError) as error:
            self.ended = True
            self._data = b""
            if isinstance(error, _Violation):
                events.append(Broken(error.code, error.reason))
            else:
                events.append(Broken(INVALID, "a text is not UTF-8"))
            return events
        if at < size:
            self._need = need
            self._buffer += data[at:] if at else data
        self._data = b""
        return events

    @staticmethod
    def _long(field: bytes) -> int:
        length = int.from_bytes(field)
        if length < (126 if len(field) == 2 else 65536) or length >> 63:
            raise _Violation(PROTOCOL_ERROR, "a length is not written in its shortest form")
        return length

    def _check(self, first: int, length: int) -> None:
        """Refuse a frame by its header."""
        opcode = first & 0x0F
        if first & _RESERVED or (first & _COMPRESSED and not (self._deflates and opcode in (TEXT, BINARY))):
            raise _Violation(PROTOCOL_ERROR, "reserved bits are set")
        if opcode >= CLOSE:
            if opcode > PING + 1:
                raise _Violation(PROTOCOL_ERROR, f"opcode {opcode} is unknown")
            if length > 125 or not first & _FIN:
                raise _Violation(PROTOCOL_ERROR, "a control frame is too long or fragmented")
            return
        if opcode > BINARY:
            raise _Violation(PROTOCOL_ERROR, f"opcode {opcode} is unknown")
        if (opcode == CONTINUATION) != bool(self._opcode):
            raise _Violation(PROTOCOL_ERROR, "fragments of a message are out of order")
        compressed = self._compressed if self._opcode else first & _COMPRESSED
        most = self._most_bytes + (max(self._most_bytes >> 10, _OVERHEAD_BYTES) if compressed else 0)
        if self._size + length > most:
            raise _Violation(TOO_BIG, f"a message has more than {self._most_bytes} bytes")
        if len(self._fragments) >= self._most_fragments:
            raise _Violation(POLICY, f"a message has more than {self._most_fragments} fragments")

    def _frame(self, first: int, payload: bytes) -> Event | None:
        """What a frame completes that is not a whole message.

        :raises UnicodeDecodeError: a text is not UTF-8.
        """
        opcode = first & 0x0F
        if opcode >= CLOSE:
            if opcode == CLOSE:
                return self._close(payload)
            return Ping(payload) if opcode == PING else Pong(payload)
        if opcode:
            self._opcode, self._compressed = opcode, bool(first & _COMPRESSED)
            if opcode == TEXT and not self._compressed:
                self._text = _new_decoder()
        self._fragments.append(payload)
        self._size += len(payload)
        if self._text is not None:
            self._text.decode(payload, bool(first & _FIN))
        return self._message() if first & _FIN else None

    def _message(self) -> str | bytes:
        """The message whose last fragment has come."""
        payload = b"".join(self._fragments)
        opcode, compressed = self._opcode, self._compressed
        self._opcode, self._compressed, self._size, self._text = 0, False, 0, None
        self._fragments = []
        if compressed:
            try:
                payload = deflate.inflate(payload, self._most_bytes)
            except deflate.TooMuch as error:
                raise _Violation(TOO_BIG, f"a message has more than {self._most_bytes} bytes") from error
            except deflate.Corrupt as error:
                raise _Violation(INVALID, "a message cannot be inflated") from error
        return payload.decode("utf-8") if opcode == TEXT else payload

    def _close(self, payload: bytes) -> Closed:
        if not payload:
            self.ended = True
            return Closed(NO_CODE, "")
        code = int.from_bytes(payload[:2])
        if len(payload) == 1 or not may_be_sent(code):
            raise _Violation(PROTOCOL_ERROR, "a close frame has no code, or one that must not be sent")
        reason = payload[2:].decode("utf-8")
        self.ended = True
        return Closed(code, reason)
