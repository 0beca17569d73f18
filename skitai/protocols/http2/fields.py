"""What may stand in a field block (RFC 9113, sections 8.2 and 8.3; RFC 8441, section 4)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from skitai.protocols.http2.events import Malformed, Pair

COLON = ord(":")
NAME = re.compile(rb":?[!-9;-@\[-~]+").fullmatch
VALUE = re.compile(rb"(?![ \t])[^\0\r\n]*(?<![ \t])").fullmatch
STATUS = re.compile(rb"[1-9][0-9][0-9]").fullmatch

OF_CONNECTIONS = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"))
"""Fields that HTTP/1 says about a connection."""

OF_REQUESTS = frozenset((b":method", b":scheme", b":authority", b":path", b":protocol"))
OF_RESPONSES = frozenset((b":status",))
OF_TRAILERS: frozenset[bytes] = frozenset()


def check_request(pairs: Sequence[Pair]) -> None:
    """:raises Malformed: these are not the fields of a request."""
    pseudo = _check(pairs, OF_REQUESTS)
    method = pseudo.get(b":method")
    if method is None:
        raise Malformed("a request without :method")
    if method == b"CONNECT" and b":protocol" not in pseudo:
        if b":scheme" in pseudo or b":path" in pseudo:
            raise Malformed("CONNECT with :scheme or :path")
    elif not pseudo.get(b":path") or b":scheme" not in pseudo:
        raise Malformed("a request without :scheme or :path")
    elif method != b"CONNECT" and b":protocol" in pseudo:
        raise Malformed(":protocol without CONNECT")
    hosts = [value for name, value in pairs if name in {b":authority", b"host"}]
    if not hosts:
        raise Malformed("a request without :authority and Host")
    if len(hosts) > 1 and (hosts[0] != hosts[1] or b":authority" not in pseudo or len(hosts) > 2):
        raise Malformed("a request with more than one host")


def check_response(pairs: Sequence[Pair]) -> None:
    """:raises Malformed: these are not the fields of a response."""
    pseudo = _check(pairs, OF_RESPONSES)
    if not STATUS(pseudo.get(b":status", b"")):
        raise Malformed("a response without a proper :status")


def anything(pairs: Sequence[Pair]) -> None:
    """For blocks whose fields are of no use."""


def check_trailers(pairs: Sequence[Pair]) -> None:
    """:raises Malformed: these are not the fields behind a body."""
    _check(pairs, OF_TRAILERS)


def _check(pairs: Sequence[Pair], allowed: frozenset[bytes]) -> dict[bytes, bytes]:
    """The pseudo-fields of a block whose fields are right one by one."""
    pseudo: dict[bytes, bytes] = {}
    regular = False
    for name, value in pairs:
        if not NAME(name):
            raise Malformed(f"the field name {name[:40]!r}")
        if not VALUE(value):
            raise Malformed(f"the value {value[:40]!r} of {name.decode('ascii')}")
        if name[0] != COLON:
            regular = True
            if name in OF_CONNECTIONS or (name == b"te" and value.lower() != b"trailers"):
                raise Malformed(f"{name.decode('ascii')} in HTTP/2")
        elif regular or name not in allowed or name in pseudo:
            raise Malformed(f"{name.decode('ascii')} where it may not be")
        else:
            pseudo[name] = value
    return pseudo
