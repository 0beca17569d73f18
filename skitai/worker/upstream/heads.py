"""Heads on their way through: what a member is asked for a client, and what the client gets of its answer.

Nothing is forwarded as it came: fields between two neighbours stay between them (RFC 9110, section 7.6.1), lengths are said
anew, and what claims to know the client is believed of trusted proxies alone. What can be said once for all requests with
the same head is kept with that head.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable
from typing import NamedTuple

from skitai.config.aliases import Member
from skitai.config.sections.passing import Upstreams
from skitai.errors import Answerable
from skitai.exchange import Head, Peer, Settled, passed_on
from skitai.http.head import Fields
from skitai.protocols.http2.events import Pair
from skitai.worker.upstream.paths import Paths

HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"transfer-encoding",
        b"upgrade",
    )
)
OURS = HOP_BY_HOP | {
    b"content-length",
    b"expect",
    b"host",
    b"trailer",
    b"x-gtxn-id",
    b"x-ltxn-id",
    b"traceparent",
    b"via",
    b"proxy",  # which CGI programs would take for HTTP_PROXY
}
"""Fields of requests that are said anew, or not at all."""

TOLD = (b"x-forwarded-", b"forwarded", b"x-real-ip")
"""Beginnings of fields by which a proxy tells of its client."""

WITH_LENGTH = frozenset(("POST", "PUT", "PATCH"))
"""Requests that say so when their body is empty (RFC 9110, section 8.6)."""

REPEATABLE = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE"))
"""RFC 9110, section 9.2.2."""

OF_PATHS = frozenset((b"location", b"content-location", b"set-cookie"))

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+").fullmatch

MARKS = (b"x-gtxn-id", b"x-ltxn-id", b"traceparent")
"""Fields of the transaction, the same for no two requests."""

NEVER_BEHIND = (
    OURS
    | frozenset(MARKS)
    | {
        b"authorization",
        b"cache-control",
        b"content-encoding",
        b"content-range",
        b"content-type",
        b"cookie",
        b"max-forwards",
        b"origin",
        b"pragma",
        b"range",
        b"referer",
        b"set-cookie",
    }
)
"""What frames, routes, controls or authenticates a request, or says what its body is, comes before that or not at all (RFC
9110, section 6.5.1): a server that takes it for a part of the head would be led astray."""

OF_CONNECTIONS = (b"ntlm", b"negotiate")
"""Schemes of credentials that servers take for all of a connection."""

CLOSE = (b"connection", b"close")

NAMED = b"skitai"
MOST_ROUNDS = 10
"""A request that came through here so many times goes round in circles."""


class Passed(NamedTuple):
    """The part of a request head that is the same whenever the client sends the same.

    :ivar first: of HTTP/1.1, the request line and fields.
    :ivar pairs: the same of HTTP/2.
    :ivar forwarded_for: what trusted proxies have said of who asked them.
    :ivar binds: it authenticates its connection, over which nobody else may ask then.
    """

    first: bytes
    pairs: list[Pair]
    forwarded_for: bytes
    binds: bool


class Told:
    """Fields that say who asks.

    :ivar lines: the same of HTTP/1.1.
    """

    __slots__ = ("lines", "pairs")

    def __init__(self, pairs: list[Pair]) -> None:
        self.pairs = pairs
        self.lines = lines_of(pairs)


class Lane:
    """How one member is spoken to at one mount point.

    :ivar authority: value of its Host field.
    :ivar traces: it is told our transaction ids.
    """

    __slots__ = ("_authorization", "_options", "authority", "paths", "scheme")

    traces = True

    def __init__(self, point: str, member: Member, options: Upstreams) -> None:
        host = f"[{member.host}]" if ":" in member.host else member.host
        self.scheme = b"https" if member.secure else b"http"
        self.authority = host if member.port == (443 if member.secure else 80) else f"{host}:{member.port}"
        self.paths = Paths(point, member.database)
        self._options = options
        login = f"{member.user}:{member.password}".encode()
        self._authorization = b"Basic " + b64encode(login) if member.user else b""

    def passed(self, head: Head, trusted: bool) -> Passed:
        """A request head for this member.

        :param trusted: a trusted proxy sends it.
        :raises BadRequest: the path leaves the mount point.
        :raises Answerable: 508, it goes round in circles.
        """
        key = (self, trusted)
        found: Passed | None = head.forms.get(key)
        if found is None:
            found = head.forms[key] = self._passed(head, trusted)
        return found

    def _passed(self, head: Head, trusted: bool) -> Passed:
        fields = head.fields
        target = self.paths.inward(head)
        asked = authority_of(head)
        host = asked if asked and self._options.upstream_host == "client" else self.authority.encode("latin-1")
        own = OURS | connection_options(fields)
        if self._authorization:
            own |= {b"authorization"}
        kept = [each for each in fields.pairs if each[0] not in own and (trusted or not is_told(each[0]))]
        kept += framing(head)
        if self._authorization:
            kept.append((b"authorization", self._authorization))
        kept.append((b"via", via(head)))
        if asked and not (trusted and b"x-forwarded-host" in fields):
            kept.append((b"x-forwarded-host", asked))
        forwarded_for = b""
        if trusted:
            forwarded_for = fields.get(b"x-forwarded-for") or b""
            kept = [each for each in kept if each[0] not in (b"x-forwarded-for", b"x-forwarded-proto", b"forwarded")]
        method = head.method.encode("ascii")
        binding = binds(kept)
        lines = lines_of([*kept, CLOSE] if binding else kept)
        first = b"%b %b HTTP/1.1\r\nHost: %b\r\n%b" % (method, target.encode("ascii"), host, lines)
        pairs = [
            (b":method", method),
            (b":scheme", self.scheme),
            (b":authority", host),
            (b":path", target.encode("ascii")),
            *(each for each in kept if each[0] != b"transfer-encoding"),
        ]
        if b"trailers" in (fields.get(b"te") or b"").lower():
            pairs.append((b"te", b"trailers"))
        return Passed(first, pairs, forwarded_for, binding)

    def told(self, peer: Peer, head: Head, passed: Passed, trusted: bool) -> Told:
        """The fields that say who asks: the same for all requests of an ordinary connection."""
        if not trusted and not self._options.upstream_forwarded:
            found: Told | None = peer.forms.get(TOLD)
            if found is None:
                found = peer.forms[TOLD] = Told(self._told(peer, head, passed, trusted))
            return found
        return Told(self._told(peer, head, passed, trusted))

    def _told(self, peer: Peer, head: Head, passed: Passed, trusted: bool) -> list[Pair]:
        near = peer.proxy or peer
        chain = passed.forwarded_for
        address = near.client.encode("latin-1")
        scheme = peer.scheme.encode("ascii")
        fields = [(b"x-forwarded-proto", scheme)]
        if address or chain:
            fields.append((b"x-forwarded-for", b", ".join([each for each in (chain, address) if each])))
        if self._options.upstream_forwarded:
            before = head.fields.get(b"forwarded") if trusted else None
            fields.append((b"forwarded", forwarded(near.client, scheme, authority_of(head), before or b"")))
        return fields

    def answered(self, fields: Fields, head: Head) -> Settled:
        """The fields of an answer for the client that asked by `head`."""
        found: Settled | None = fields.forms.get(self)  # type: ignore[call-overload]
        if found is None:
            own = HOP_BY_HOP | connection_options(fields)
            pairs = [each for each in fields.pairs if each[0] not in own]
            if any(name in OF_PATHS for name, _ in pairs):
                return self._translated(pairs, head)
            found = passed_on((name.decode("ascii"), value.decode("latin-1")) for name, value in pairs)
            fields.forms[self] = found  # type: ignore[index]
        return found

    def _translated(self, pairs: Iterable[Pair], head: Head) -> Settled:
        authorities = (self.authority.lower(), authority_of(head).decode("latin-1").lower())
        found = []
        for name, value in pairs:
            text = value.decode("latin-1")
            if name == b"set-cookie":
                text = self.paths.cookie(text)
            elif name in OF_PATHS:
                text = self.paths.location(text, *authorities)
            found.append((name.decode("ascii"), text))
        return passed_on(found)


def connection_options(fields: Fields) -> frozenset[bytes]:
    """The fields that Connection names: they are for the neighbour alone."""
    value = fields.get(b"connection")
    return frozenset(each.strip() for each in value.lower().split(b",")) if value else frozenset()


def may_trail(name: bytes) -> bool:
    """Whether a field of a request may stand behind its body."""
    return bool(_TOKEN(name)) and name not in NEVER_BEHIND and not is_told(name) and not name.startswith((b"if-", b"sec-"))


def announced(fields: Fields) -> list[bytes]:
    """The names that Trailer announces, as far as they may come."""
    value = fields.get(b"trailer")
    if value is None:
        return []
    own = connection_options(fields)
    names = [each.strip() for each in value.lower().split(b",")]
    return [name for name in dict.fromkeys(names) if may_trail(name) and name not in own]


def framing(head: Head) -> list[Pair]:
    """The fields that say how the body of a request is sent, and what follows it."""
    if head.length >= 0:
        return [(b"content-length", b"%d" % head.length)] if head.length or head.method in WITH_LENGTH else []
    names = announced(head.fields)
    chunked = (b"transfer-encoding", b"chunked")
    return [chunked, (b"trailer", b", ".join(names))] if names else [chunked]


def binds(pairs: Iterable[Pair]) -> bool:
    """Whether a request authenticates not itself but its connection, and with that what follows (RFC 4559, section 6)."""
    return any(name == b"authorization" and value.lower().startswith(OF_CONNECTIONS) for name, value in pairs)


def is_told(name: bytes) -> bool:
    """Whether only a trusted proxy may say this. Underscores are among it, for some servers take them for hyphens."""
    return name.startswith(TOLD) or b"_" in name


def authority_of(head: Head) -> bytes:
    """Host and port as the client has asked for them; empty for an HTTP/1.0 client that names none."""
    if head.form == "absolute":
        rest = head.target.partition("://")[2]
        cut = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
        return rest[:cut].encode("ascii")
    return head.fields.get(b"host") or b""


def via(head: Head) -> bytes:
    """RFC 9110, section 7.6.3.

    :raises Answerable: 508.
    """
    before = head.fields.get(b"via")
    if before is not None and before.count(b" " + NAMED) >= MOST_ROUNDS:
        raise Answerable("the request goes round in circles: an alias leads back here", status=508)
    own = head.version.removesuffix(".0" if head.version == "2.0" else "").encode("ascii") + b" " + NAMED
    return before + b", " + own if before else own


def forwarded(client: str, scheme: bytes, host: bytes, before: bytes) -> bytes:
    """RFC 7239."""
    node = f'"[{client}]"' if ":" in client else client or "unknown"
    own = b"for=%b;proto=%b" % (node.encode("latin-1"), scheme)
    if host:
        own += b';host="%b"' % host
    return before + b", " + own if before else own


def allowed_trailers(fields: Fields | None, head: Head) -> list[tuple[str, str]]:
    """The trailers of an answer that its client is told: it has to be ready for them (RFC 9110, section 6.5.1)."""
    if fields is None:
        return []
    if not head.version.startswith("2") and b"trailers" not in (head.fields.get(b"te") or b"").lower():
        return []
    own = HOP_BY_HOP | {b"content-length", b"host", b"trailer"}
    return [(name.decode("ascii"), value.decode("latin-1")) for name, value in fields.pairs if name not in own]


def lines_of(pairs: Iterable[Pair]) -> bytes:
    """Fields as lines of HTTP/1.1."""
    return b"".join([b"%b: %b\r\n" % (name.title(), value) for name, value in pairs])
