"""Metadata: the fields of a call that are the app's. Values are text; those of names that end in "-bin" are bytes."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable

Value = str | bytes
Pair = tuple[str, str]

BINARY = "-bin"

OURS = frozenset(
    (
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "date",
        "host",
        "keep-alive",
        "proxy-connection",
        "server",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
"""Fields that are the protocols' own, as all are whose names begin with "grpc-"."""

_NAME = re.compile(r"[0-9a-z_.-]+").fullmatch
_TEXT = re.compile(r"[ -~]*").fullmatch


class Metadata(tuple[tuple[str, Value], ...]):
    """Names, in lower case, and values, in the order of their arrival."""

    __slots__ = ()

    def get(self, name: str, default: Value | None = None) -> Value | None:
        """The first value of a name."""
        name = name.lower()
        return next((value for each, value in self if each == name), default)

    def all(self, name: str) -> list[Value]:
        """The values of a name."""
        name = name.lower()
        return [value for each, value in self if each == name]


def is_ours(name: str) -> bool:
    """Whether a field, by its name in lower case, is none of the app's."""
    return name in OURS or name.startswith(("grpc-", ":"))


def received(fields: Iterable[tuple[bytes, bytes]]) -> Metadata:
    """The metadata among received fields.

    :param fields: names in lower case.
    :raises ValueError: a binary value is malformed.
    """
    found: list[tuple[str, Value]] = []
    for raw_name, raw_value in fields:
        name, text = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if is_ours(name):
            continue
        if name.endswith(BINARY):
            found += [(name, decoded_binary(each.strip())) for each in text.split(",")]
        else:
            found.append((name, text))
    return Metadata(found)


def sent(metadata: Iterable[tuple[str, Value]]) -> list[Pair]:
    """Metadata as fields.

    :raises ValueError: a name or a value cannot be sent.
    :raises TypeError: a value is neither text nor bytes, or not what its name asks for.
    """
    fields: list[Pair] = []
    for given, value in metadata:
        name = given.lower()
        if not _NAME(name) or is_ours(name):
            raise ValueError(f"metadata cannot have the name {given!r}")
        if name.endswith(BINARY):
            if not isinstance(value, (bytes, bytearray, memoryview)):
                raise TypeError(f"metadata {name}: bytes are wanted, not a {type(value).__name__}")
            fields.append((name, encoded_binary(bytes(value))))
        elif not isinstance(value, str):
            raise TypeError(f"metadata {name}: text is wanted, not a {type(value).__name__}; bytes go with {name}-bin")
        elif not _TEXT(value):
            raise ValueError(f"metadata {name}: printable ASCII is wanted; anything else goes as bytes with {name}-bin")
        else:
            fields.append((name, value))
    return fields


def encoded_binary(data: bytes) -> str:
    """Bytes as the field of a "-bin" name carries them: base64 without padding."""
    return b64encode(data).rstrip(b"=").decode("ascii")


def decoded_binary(text: str) -> bytes:
    """The bytes in such a field, padded or not.

    :raises ValueError: it is no base64.
    """
    text = text.rstrip("=")
    try:
        return b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"no base64: {text[:40]!r}") from None
