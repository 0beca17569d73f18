"""Heads in HTTP/2 (RFC 9113, section 8.3): pseudo-fields become a `Head`, a status and fields become what HPACK encodes.

`fields` has checked their grammar: lower-case names, no connection fields, pseudo-fields known, single and first. Here is
what it leaves open: the method is a token, the path a path, the lengths in bounds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hpack import NeverIndexedHeaderTuple

from skitai.config.sections.serving import Http1
from skitai.errors import Answerable, BadRequest, HeadTooLarge
from skitai.http.head import Fields, Head
from skitai.protocols.http1.request import HOST, host_name, parse_request_line
from skitai.protocols.http1.response import OURS, checked, without_body

KNOWN_HEADS = 512
KNOWN_BYTES = 2048

FIELD_OVERHEAD = 32
"""What every field counts beside its bytes (RFC 9113, section 6.5.2)."""

REPEATED = frozenset((b"accept-encoding", b"accept-language", b"user-agent"))
"""Fields of a request that the promised ones behind it have, too."""

PATH = re.compile(r"/(?!/)[!-\"$-~]*").fullmatch

KINDS = {
    "script": ("js", "mjs"),
    "style": ("css",),
    "image": ("png", "jpg", "jpeg", "gif", "svg", "webp", "avif", "ico"),
    "font": ("woff2", "woff", "ttf", "otf"),
}

Pair = tuple[bytes, bytes]


class RequestHeads:
    """Makes request heads and remembers them, so that what apps derive from one is found again.

    :param limits: those of HTTP/1 hold here, too.
    :param is_elsewhere: of connections whose clients may want a proxy: whether an authority, of the scheme http, is another
        server's. Such requests are in absolute-form, as those of HTTP/1.
    """

    def __init__(self, limits: Http1, is_elsewhere: Callable[[str], bool] | None = None) -> None:
        self._limits = limits
        self._is_elsewhere = is_elsewhere
        self._known: dict[tuple[bool, tuple[Pair, ...]], Head] = {}
        self._same: dict[int, tuple[Sequence[Pair], bool, Head]] = {}

    def make(self, pairs: Sequence[Pair], ended: bool) -> Head:
        """The head of a request.

        :param pairs: fields as they came, the pseudo-fields first.
        :param ended: no body follows.
        :raises BadRequest, HeadTooLarge, Answerable: with what was seen.
        """
        same = self._same.get(id(pairs))
        if same is not None and same[0] is pairs and same[1] is ended:
            return same[2]
        key = (ended, tuple(pairs))
        head = self._known.get(key)
        if head is None:
            size = self._measure(pairs)
            head = self._make(pairs, ended)
            if size <= KNOWN_BYTES:
                if len(self._known) >= KNOWN_HEADS:
                    self._known.clear()
                self._known[key] = head
        if type(pairs) is tuple and key in self._known:
            if len(self._same) >= KNOWN_HEADS:
                self._same.clear()
            self._same[id(pairs)] = (pairs, ended, head)
        return head

    def _measure(self, pairs: Sequence[Pair]) -> int:
        limits = self._limits
        if len(pairs) > limits.head_fields:
            raise HeadTooLarge(f"more than {limits.head_fields} header fields")
        size = 0
        for name, value in pairs:
            length = len(name) + len(value)
            if length > limits.field_bytes:
                raise HeadTooLarge(f"header field {name[:40].decode('latin-1')!r} is longer than {limits.field_bytes} bytes")
            size += length + FIELD_OVERHEAD
        if size > limits.head_bytes:
            raise HeadTooLarge(f"request head is longer than {limits.head_bytes} bytes")
        return size

    def _make(self, pairs: Sequence[Pair], ended: bool) -> Head:
        pseudo = {name: value for name, value in pairs if name.startswith(b":")}
        method, target = pseudo.get(b":method", b""), pseudo.get(b":path", b"")
        protocol = pseudo.get(b":protocol")
        host = pseudo.get(b":authority") or next((value for name, value in pairs if name == b"host"), None)
        if protocol is not None:
            method = handshake(method, protocol)
        elif method == b"CONNECT":
            if b":path" in pseudo or b":scheme" in pseudo:
                raise BadRequest("CONNECT with :path or :scheme")
            target = host or b""
        if method != b"CONNECT" and not target.startswith(b"/") and target != b"*":
            raise BadRequest(":path is not a path")
        if not host or not HOST(host):
            raise BadRequest("no :authority, or a malformed one")
        plain = protocol is None and target.startswith(b"/") and pseudo.get(b":scheme") == b"http"
        if plain and self._is_elsewhere is not None and self._is_elsewhere(host.decode("ascii")):
            target = b"http://" + host + target
        line = parse_request_line(method + b" " + target + b" HTTP/1.1", self._limits.request_line_bytes)
        fields = Fields(((b"host", host), *joined(pairs)))
        expect = fields.get(b"expect")
        if expect is not None and expect.lower() != b"100-continue":
            raise Answerable(f"unknown expectation {expect.decode('latin-1')!r}", status=417)
        tunnel = protocol is not None or line.form == "authority"
        if tunnel and b"content-length" in fields:
            raise BadRequest("CONNECT with a Content-Length")
        return Head(
            line.method,
            line.target,
            line.form,
            line.path,
            line.raw_path,
            line.query,
            host_name(host),
            "2.0",
            fields,
            length=0 if tunnel else body_length(fields, ended),
            expects_continue=expect is not None and not ended,
            protocol="" if protocol is None else protocol.decode("ascii").lower(),
        )


def handshake(method: bytes, protocol: bytes) -> bytes:
    """The method of a request that CONNECT stands for (RFC 8441, section 4), as HTTP/1.1 has it.

    :raises BadRequest, Answerable: it is no CONNECT; the protocol is not spoken here.
    """
    if method != b"CONNECT":
        raise BadRequest(":protocol without CONNECT")
    if protocol.lower() != b"websocket":
        raise Answerable(f"protocol {protocol.decode('latin-1')!r} is not spoken here", status=501)
    return b"GET"


def joined(pairs: Iterable[Pair]) -> list[Pair]:
    """The fields without pseudo-fields and Host; crumbs of a cookie joined (RFC 9113, section 8.2.3)."""
    fields = [(bytes(name), bytes(value)) for name, value in pairs if not name.startswith(b":") and name != b"host"]
    crumbs = [value for name, value in fields if name == b"cookie"]
    if len(crumbs) > 1:
        fields = [field for field in fields if field[0] != b"cookie"]
        fields.append((b"cookie", b"; ".join(crumbs)))
    return fields


def body_length(fields: Fields, ended: bool) -> int:
    """Bytes of the body: 0 for none, -1 when only its end will tell.

    :raises BadRequest: Content-Length is no number, or tells of a body that does not come.
    """
    declared = fields.get(b"content-length")
    if declared is None:
        return 0 if ended else -1
    if not declared.isdigit() or len(declared) > 18:
        raise BadRequest("Content-Length is not a number")
    length = int(declared)
    if ended and length:
        raise BadRequest(f"Content-Length says {length} but there is no body")
    return length if length or ended else -1


class ResponseHeads:
    """Makes response heads, without the Date field, which the caller appends unless the fields have their own.

    :param server_name: value of the Server field; "" leaves it out.
    :param dated: the fields have their own Date.
    """

    def __init__(self, server_name: str = "", *, dated: bool = False) -> None:
        self._known: dict[Any, list[Pair]] = {}
        self._ours = OURS - {"date"} if dated else OURS
        self._server = [(b"server", server_name.encode("latin-1"))] if server_name else []

    def complete(self, status: int, fields: Sequence[tuple[Any, Any]], length: int) -> list[Pair]:
        """The head of a response whose whole body is at hand. The list is shared: nobody changes it.

        :param length: of the body in bytes.
        :raises ValueError: a field that must not be sent, or a Content-Length that is not `length`.
        """
        try:
            known = self._known.get((status, length, *fields))
        except TypeError:
            known = None
        if known is not None:
            return known
        pairs, declared = self._pairs(status, fields)
        if not without_body(status):
            if declared is not None and declared != length:
                raise ValueError(f"Content-Length says {declared} but the body has {length} bytes")
            pairs.append((b"content-length", b"%d" % length))
        if sum(len(name) + len(value) for name, value in pairs) <= KNOWN_BYTES:
            try:
                if len(self._known) >= KNOWN_HEADS:
                    self._known.clear()
                self._known[(status, length, *fields)] = pairs
            except TypeError:
                pass  # fields given as lists: right, only not remembered
        return pairs

    def begun(self, status: int, fields: Iterable[tuple[Any, Any]]) -> tuple[list[Pair], int]:
        """The head of a response whose body follows, or of an answer to HEAD.

        :returns: it, and the declared length of the body, -1 without.
        :raises ValueError: as in `complete`.
        """
        pairs, declared = self._pairs(status, fields)
        if declared is not None and (not without_body(status) or status == 304):
            pairs.append((b"content-length", b"%d" % declared))
        if without_body(status):
            return pairs, 0
        return pairs, -1 if declared is None else declared

    @staticmethod
    def interim(status: int, fields: Iterable[tuple[Any, Any]]) -> list[Pair]:
        """A whole interim response (RFC 9110, section 15.2)."""
        return [(b":status", b"%d" % status), *map(encoded, fields)]

    def _pairs(self, status: int, fields: Iterable[tuple[Any, Any]]) -> tuple[list[Pair], int | None]:
        if not 200 <= status <= 999:
            raise ValueError(f"status {status} is not that of a response in HTTP/2")
        pairs: list[Pair] = [(b":status", b"%d" % status), *self._server]
        declared: int | None = None
        for field in fields:
            name, value = encoded(field)
            if name == b"content-length":
                if not value.isdigit():
                    raise ValueError(f"Content-Length {value!r} is not a number")
                if declared not in (None, int(value)):
                    raise ValueError("two different Content-Length fields")
                declared = int(value)
            elif name.decode("ascii") not in self._ours:
                pairs.append(NeverIndexedHeaderTuple(name, value) if name == b"set-cookie" else (name, value))
        return pairs, declared


def promised(head: Head, uri: str, scheme: str, fields: Iterable[tuple[Any, Any]]) -> list[Pair]:
    """The request that a client would make for `uri` behind the one of `head`; empty when it is not on this server."""
    if not PATH(uri):
        return []
    known = [(name, value) for name, value in head.fields.pairs if name in REPEATED]
    host = head.fields.get(b"host") or b""
    pairs = [(b":method", b"GET"), (b":scheme", scheme.encode()), (b":authority", host), (b":path", uri.encode("ascii"))]
    return [*pairs, *known, *map(encoded, fields)]


def preload(uri: str) -> str:
    """A Link field's value: the client will want this (RFC 8288, and Preload of the W3C)."""
    return f"<{uri.replace('>', '%3E')}>; rel=preload; as={kind_of(uri)}"


def kind_of(uri: str) -> str:
    """What `as` of a preload link wants to know, by the ending of the path."""
    ending = uri.partition("?")[0].rpartition(".")[2].lower()
    return next((kind for kind, endings in KINDS.items() if ending in endings), "fetch")


def encoded(field: tuple[Any, Any]) -> Pair:
    """A field as HTTP/2 carries it: the name in lower case, the value without blanks around it.

    :raises ValueError: it must not be sent.
    """
    name, _, value = checked(field)
    return name.encode("ascii"), value.strip(" \t").encode("latin-1")
