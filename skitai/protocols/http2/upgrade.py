"""From HTTP/1.1 to HTTP/2 on the same connection (RFC 7540, section 3.2). RFC 9113 has dropped it; clients have not."""

from __future__ import annotations

import binascii
import re
import struct
from base64 import urlsafe_b64decode
from typing import NamedTuple

from skitai.http.head import Fields, Head

LEFT_BEHIND = frozenset((b"connection", b"upgrade", b"http2-settings", b"keep-alive", b"proxy-connection"))
"""Fields that were about the connection as it was (RFC 9113, section 8.2.2)."""

FORWARDED = (b"via", b"forwarded", b"x-forwarded-for")
"""Fields of proxies. One that hands an Upgrade on without understanding it would be looked through by no rule of its own."""

TOKEN68 = re.compile(r"[A-Za-z0-9_-]*={0,2}").fullmatch

BOUNDS = {2: (0, 1), 4: (0, 0x7FFFFFFF), 5: (16384, 16777215)}
"""What settings may be (RFC 9113, section 6.5.2)."""


class Upgrade(NamedTuple):
    """A client's wish to go on in HTTP/2.

    :ivar settings: as the payload of a SETTINGS frame.
    :ivar head: of the request that is to be answered in HTTP/2.
    """

    settings: bytes
    head: Head


def wanted(head: Head) -> Upgrade | None:
    """The wish in a request; None where it cannot be granted.

    Who asks with a body, through a proxy or malformed is answered in HTTP/1.1, as the RFC allows.
    """
    fields = head.fields
    if head.version != "1.1" or head.length or head.form == "authority" or any(name in fields for name in FORWARDED):
        return None
    options = {each.strip().lower() for each in fields.text("connection").split(",")}
    if not {"upgrade", "http2-settings"} <= options:
        return None
    payload = settings(fields.text("http2-settings")) if b"http2-settings" in fields else None
    return None if payload is None else Upgrade(payload, upgraded(head))


def settings(value: str) -> bytes | None:
    """What an HTTP2-Settings field holds (RFC 7540, section 3.2.1); None when that is malformed."""
    if not TOKEN68(value):
        return None
    value = value.rstrip("=")
    try:
        payload = urlsafe_b64decode(value + "=" * (-len(value) % 4))
    except binascii.Error:
        return None
    if len(payload) % 6:
        return None
    for number, amount in struct.iter_unpack("!HL", payload):
        least, most = BOUNDS.get(number, (0, 0xFFFFFFFF))
        if not least <= amount <= most:
            return None
    return payload


def upgraded(head: Head) -> Head:
    """The head of the same request in HTTP/2."""
    fields = Fields([field for field in head.fields.pairs if field[0] not in LEFT_BEHIND])
    return Head(head.method, head.target, head.form, head.path, head.raw_path, head.query, head.host, "2.0", fields)
