"""What may stand in a field block (RFC 9113, sections 8.2 and 8.3; RFC 8441, section 4)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from skitai.protocols.http2.events import Malformed, Pair

NAME = re.compile(rb"[!-9;-@\[-~]+").fullmatch
VALUE = re.compile(rb"(?![ \t])[^\0\r\n]*(?<![ \t])").fullmatch
SCHEME = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*").fullmatch
STATUS = re.compile(rb"[1-9][0-9][0-9]").fullmatch

OF_CONNECTIONS = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"))
"""Fields that HTTP/1 says about a connection."""

OF_REQUESTS = frozenset((b":method", b":scheme", b":authority", b":path", b":protocol"))
OF_RESPONSES = frozenset((b":status",))
OF_TRAILERS: frozenset[bytes] = frozenset()

SECRET = frozenset((b"authorization", b"cookie", b"proxy-authorization", b"set-cookie"))
"""Nobody should be able to learn from how long it takes whether somebody else has said the same."""

SOUND, SOUND_BYTES = 1024, 256
_sound: set[Pair] = set()
"""Fields that were right, whatever block and connection they stand in: clients and servers repeat them."""


def check_request(pairs: Sequence[Pair]) -> None:
    """:raises Malformed: these are not the fields of a request."""
    pseudo, hosts = _check(pairs, OF_REQUESTS)
    method = pseudo.get(b":method")
    if method is None:
        raise Malformed("a request without :method")
    if method == b"CONNECT" and b":protocol" not in pseudo:
        if b":scheme" in pseudo or b":path" in pseudo:
            raise Malformed("CONNECT with :scheme or :path")
    elif not pseudo.get(b":path") or not SCHEME(pseudo.get(b":scheme", b"")):
        raise Malformed("a request without :path or a proper :scheme")
    elif method != b"CONNECT" and b":protocol" in pseudo:
        raise Malformed(":protocol without CONNECT")
    authority = pseudo.get(b":authority")
    if authority is None and not hosts:
        raise Malformed("a request without :authority and Host")
    if len(hosts) > 1 or (hosts and authority not in {None, hosts[0]}):
        raise Malformed("a request with more than one host")


def check_response(pairs: Sequence[Pair]) -> None:
    """:raises Malformed: these are not the fields of a response."""
    pseudo, _ = _check(pairs, OF_RESPONSES)
    if not STATUS(pseudo.get(b":status", b"")):
        raise Malformed("a response without a proper :status")


def anything(pairs: Sequence[Pair]) -> None:
    """For blocks whose fields are of no use."""


def check_trailers(pairs: Sequence[Pair]) -> None:
    """:raises Malformed: these are not the fields behind a body."""
    _check(pairs, OF_TRAILERS)


def _check(pairs: Sequence[Pair], allowed: frozenset[bytes]) -> tuple[dict[bytes, bytes], list[bytes]]:
    """The pseudo-fields of a block whose fields are right one by one, and its Host fields."""
    pseudo: dict[bytes, bytes] = {}
    hosts: list[bytes] = []
    regular = False
    for pair in pairs:
        if pair in _sound:
            regular = True
            continue
        name, value = pair
        if not VALUE(value):
            raise Malformed(f"the value {value[:40]!r} of {name[:40]!r}")
        if name in allowed and not regular and name not in pseudo:
            pseudo[name] = value
            continue
        regular = True
        if not NAME(name) or name in OF_CONNECTIONS or (name == b"te" and value.lower() != b"trailers"):
            raise Malformed(f"the field {name[:40]!r} where it may not be")
        if name == b"host":
            hosts.append(value)
        elif len(name) + len(value) <= SOUND_BYTES and name not in SECRET:
            if len(_sound) >= SOUND:
                _sound.clear()
            _sound.add(pair)
    return pseudo, hosts
