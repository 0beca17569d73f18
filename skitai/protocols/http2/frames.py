"""Frames (RFC 9113, sections 4 and 6): their numbers, and how they become bytes."""

from __future__ import annotations

import struct
from enum import IntEnum

from skitai.protocols.http2.events import ErrorCodes, Violation

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""How a client begins (RFC 9113, section 3.4)."""

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
"""Types of frames (section 6)."""

ACK = END_STREAM = 0x1
END_HEADERS, PADDED, PRIORITIZED = 0x4, 0x8, 0x20
"""Flags of frames."""

HEAD_BYTES = 9
SMALLEST_MOST = 16384
"""What every side takes in one frame."""
LARGEST_MOST = (1 << 24) - 1
WINDOW = 65535
"""The windows of a connection and of its streams before anybody says otherwise (section 6.9.2)."""
LAST = 0x7FFFFFFF
"""The highest stream, and the widest window, there can be."""

HEAD = struct.Struct(">HBBBL")
NUMBER = struct.Struct(">L")
SETTING = struct.Struct(">HL")


class Settings(IntEnum):
    """What SETTINGS set (section 6.5.2; RFC 8441, section 3; RFC 9218, section 2.1)."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6
    ENABLE_CONNECT_PROTOCOL = 8
    NO_RFC7540_PRIORITIES = 9


BOOLEAN = (Settings.ENABLE_PUSH, Settings.ENABLE_CONNECT_PROTOCOL, Settings.NO_RFC7540_PRIORITIES)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A whole frame."""
    size = len(payload)
    return HEAD.pack(size >> 8, size & 255, kind, flags, stream) + payload


def window_update(stream: int, increment: int) -> bytes:
    """A WINDOW_UPDATE (section 6.9); stream 0 for the connection."""
    return HEAD.pack(0, 4, WINDOW_UPDATE, 0, stream) + NUMBER.pack(increment)


def rst_stream(stream: int, code: int) -> bytes:
    """An RST_STREAM (section 6.4)."""
    return HEAD.pack(0, 4, RST_STREAM, 0, stream) + NUMBER.pack(code)


def goaway(last: int, code: int, reason: str = "") -> bytes:
    """A GOAWAY (section 6.8)."""
    return frame(GOAWAY, 0, 0, NUMBER.pack(last) + NUMBER.pack(code) + reason.encode())


def settings(values: dict[int, int]) -> bytes:
    """SETTINGS (section 6.5)."""
    return frame(SETTINGS, 0, 0, b"".join(SETTING.pack(name, value) for name, value in values.items()))


def unpadded(flags: int, payload: bytes, least: int = 0) -> bytes:
    """What a frame carries without its padding (section 6.1).

    :param least: bytes that it has to carry.
    :raises Violation: it is too short for them and the length of its padding; there is more padding than frame.
    """
    padded = 1 if flags & PADDED else 0
    room = len(payload) - padded - least
    if room < 0:
        raise Violation(ErrorCodes.FRAME_SIZE_ERROR, f"a frame of {len(payload)} bytes, too short for its flags")
    if not padded:
        return payload
    if payload[0] > room:
        raise Violation(ErrorCodes.PROTOCOL_ERROR, "more padding than frame")
    return payload[1 : len(payload) - payload[0]]


def number_in(payload: bytes, what: str) -> int:
    """The one number that a frame consists of.

    :raises Violation: the frame is not as long as that.
    """
    if len(payload) != 4:
        raise Violation(ErrorCodes.FRAME_SIZE_ERROR, f"{what} of {len(payload)} bytes")
    number: int = NUMBER.unpack(payload)[0]
    return number


def settings_in(payload: bytes) -> dict[int, int]:
    """What SETTINGS say; of values given twice the last. Unknown ones, too.

    :raises Violation: a value that none may have.
    """
    if len(payload) % 6:
        raise Violation(ErrorCodes.FRAME_SIZE_ERROR, f"SETTINGS of {len(payload)} bytes")
    values: dict[int, int] = dict(SETTING.iter_unpack(payload))
    for name, value in values.items():
        if name == Settings.INITIAL_WINDOW_SIZE and value > LAST:
            raise Violation(ErrorCodes.FLOW_CONTROL_ERROR, f"a window of {value} bytes")
        if name in BOOLEAN and value > 1:
            raise Violation(ErrorCodes.PROTOCOL_ERROR, f"{Settings(name).name} is {value}")
        if name == Settings.MAX_FRAME_SIZE and not SMALLEST_MOST <= value <= LARGEST_MOST:
            raise Violation(ErrorCodes.PROTOCOL_ERROR, f"frames of at most {value} bytes")
    return values
