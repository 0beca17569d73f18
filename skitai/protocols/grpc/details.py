"""``google.rpc.Status``, the form of details: code, message, and messages of any type. Written and read by hand, for it has
three fields, and no library brings it without many others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

TYPES = "type.googleapis.com/"
"""Before the name of a type in ``google.protobuf.Any``."""

Packed = tuple[str, bytes]
"""The name of a message's type, and the message."""


def packed(detail: Any) -> Packed:
    """A detail as an app gives it.

    :raises TypeError: it is neither a message nor a pair of name and bytes.
    """
    if isinstance(detail, tuple) and len(detail) == 2 and isinstance(detail[0], str) and isinstance(detail[1], bytes):
        return detail
    try:
        return detail.DESCRIPTOR.full_name, detail.SerializeToString()
    except AttributeError:
        raise TypeError(f"a detail of a status is a message, not a {type(detail).__name__}") from None


def dump(code: int, message: str, details: Iterable[Packed]) -> bytes:
    """A serialised ``google.rpc.Status``."""
    data = b"\x08" + _number(code) if code else b""
    if message:
        data += _bytes(2, message.encode("utf-8", "replace"))
    for name, content in details:
        data += _bytes(3, _bytes(1, (TYPES + name).encode()) + _bytes(2, content))
    return data


def load(data: bytes) -> tuple[int, str, list[Packed]]:
    """Code, message and details of a serialised ``google.rpc.Status``.

    :raises ValueError: it is none.
    """
    code, message = 0, b""
    details: list[Packed] = []
    for number, value in _fields(data):
        if number == 1 and isinstance(value, int):
            code = value
        elif number == 2 and isinstance(value, bytes):
            message = value
        elif number == 3 and isinstance(value, bytes):
            inner = dict(_fields(value))
            name, content = inner.get(1, b""), inner.get(2, b"")
            if isinstance(name, bytes) and isinstance(content, bytes):
                details.append((name.decode("utf-8", "replace").rpartition("/")[2], content))
    return code, message.decode("utf-8", "replace"), details


def _number(value: int) -> bytes:
    data = bytearray()
    while value > 127:
        data.append(value & 127 | 128)
        value >>= 7
    data.append(value)
    return bytes(data)


def _bytes(field: int, data: bytes) -> bytes:
    return _number(field << 3 | 2) + _number(len(data)) + data


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message: numbers, and values of the two wire types that occur here; others are passed over."""
    at = 0
    while at < len(data):
        tag, at = _read(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = _read(data, at)
            yield tag >> 3, value
            continue
        if kind == 2:
            size, at = _read(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"wire type {kind} in a google.rpc.Status")
        if at + size > len(data):
            raise ValueError("a google.rpc.Status ends too early")
        if kind == 2:
            yield tag >> 3, data[at : at + size]
        at += size


def _read(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise ValueError("a google.rpc.Status ends too early")
