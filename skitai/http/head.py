"""The request head, as every protocol reports it and every app sees it: immutable, shared, with room for derived forms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Fields:
    """The field section of a request: immutable, and shared by all requests that carry the same bytes.

    :ivar pairs: (name, value) as bytes, names in lower case, in the order received.
    :ivar forms: whatever an app derives from the fields and wants to find again (WSGI's HTTP_ items, say), by key. Shared
        between requests and threads: put only immutable values or values that nobody changes.
    """

    __slots__ = ("_values", "forms", "pairs")

    def __init__(self, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        self.pairs = tuple(pairs)
        self.forms: dict[str, Any] = {}
        values: dict[bytes, bytes] = {}
        for name, value in self.pairs:
            values[name] = value if name not in values else values[name] + (b"; " if name == b"cookie" else b", ") + value
        self._values = values

    def get(self, name: bytes) -> bytes | None:
        """The value of a field (lower-case name); several of one name joined by ", " (RFC 9110, section 5.3)."""
        return self._values.get(name)

    def text(self, name: str, default: str = "") -> str:
        """The value as text (ISO 8859-1, as HTTP carries it)."""
        value = self._values.get(name.encode("ascii"))
        return default if value is None else value.decode("latin-1")

    def __contains__(self, name: bytes) -> bool:
        return name in self._values

    def __repr__(self) -> str:
        return f"<Fields {' '.join(name.decode('latin-1') for name, _ in self.pairs)}>"


class Head:
    """A request head: immutable, and shared by all requests that carry the same bytes.

    :ivar method: as sent, upper case for all methods known.
    :ivar target: the request target as sent (RFC 9112, section 3.2).
    :ivar form: "origin", "absolute", "authority" or "asterisk".
    :ivar path: percent-decoded path as UTF-8 bytes shown as latin-1 text (the way PEP 3333 wants it), starts with "/".
    :ivar raw_path: path of the target, not decoded.
    :ivar query: after the "?", not decoded, without the "?".
    :ivar host: lower-case host name without port; "" when there is none.
    :ivar version: "1.0", "1.1" or "2.0".
    :ivar keep_alive: the client lets the connection live on.
    :ivar length: of the body in bytes: 0 for none, -1 for chunked.
    :ivar expects_continue: the client waits for 100 (RFC 9110, section 10.1.1).
    :ivar protocol: what the client wants to speak from here on (RFC 9110, section 7.8; RFC 8441), "websocket" or "h2c"; ""
        for HTTP as it is.
    :ivar forms: derived forms, as in `Fields.forms`, that depend on the request line too.
    """

    __slots__ = (
        "expects_continue",
        "fields",
        "form",
        "forms",
        "host",
        "keep_alive",
        "length",
        "method",
        "path",
        "protocol",
        "query",
        "raw_path",
        "route",
        "target",
        "version",
    )

    def __init__(
        self,
        method: str,
        target: str,
        form: str,
        path: str,
        raw_path: str,
        query: str,
        host: str,
        version: str,
        fields: Fields,
        *,
        keep_alive: bool = True,
        length: int = 0,
        expects_continue: bool = False,
        protocol: str = "",
    ) -> None:
        self.method = method
        self.target = target
        self.form = form
        self.path = path
        self.raw_path = raw_path
        self.query = query
        self.host = host
        self.version = version
        self.fields = fields
        self.keep_alive = keep_alive
        self.length = length
        self.expects_continue = expects_continue
        self.protocol = protocol
        self.forms: dict[Any, Any] = {}
        self.route: Any = None
        """Where the worker's site sends this head; the site's own memo."""

    def with_fields(self, fields: Fields) -> Head:
        """The same request with other fields; it has not been routed."""
        return Head(
            self.method,
            self.target,
            self.form,
            self.path,
            self.raw_path,
            self.query,
            self.host,
            self.version,
            fields,
            keep_alive=self.keep_alive,
            length=self.length,
            expects_continue=self.expects_continue,
            protocol=self.protocol,
        )

    def __repr__(self) -> str:
        return f"<Head {self.method} {self.target} HTTP/{self.version}>"
