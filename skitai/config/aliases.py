"""Aliases of back-ends: the servers behind one name, and the two ways of writing a server.

``user:password@host:port/database weight`` and ``host:port/database/user/password weight``; all but the host may be left
out. A password with ``@``, ``/``, ``:`` or a space in it is percent-encoded, an IPv6 address stands in brackets. A server of
SQLite is the path of its file.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast
from urllib.parse import unquote, urlsplit

Kind = Literal["http", "https", "ws", "wss", "postgresql", "sqlite3", "redis", "mongodb"]

PROTO_HTTP, PROTO_HTTPS, PROTO_WS, PROTO_WSS = "http", "https", "ws", "wss"
DB_POSTGRESQL = DB_PGSQL = "*postgresql"
DB_SQLITE3, DB_REDIS, DB_MONGODB = "*sqlite3", "*redis", "*mongodb"

PORTS: dict[str, int] = {
    "http": 80,
    "https": 443,
    "ws": 80,
    "wss": 443,
    "postgresql": 5432,
    "sqlite3": 0,
    "redis": 6379,
    "mongodb": 27017,
}
"""Every kind, with the port it has unless a server names another."""

DATABASES = frozenset({"postgresql", "sqlite3", "redis", "mongodb"})
OVER_HTTP = frozenset({"http", "https"})

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:/@\s]+)(?::([0-9]+))?").fullmatch

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Member:
    """One server. Equal ones share their connections.

    :ivar host: without brackets; of SQLite the path of the file.
    :ivar secure: speaks TLS.
    :ivar verify: whether its certificate has to be good; only ever off by an alias that says so.
    :ivar weight: its share among the members of a cluster.
    :ivar connections: of one worker, at most; 0 for as many as to any other server.
    :ivar proxy: URL of the HTTP proxy on the way; "" for none.
    :ivar http2: None: as TLS agrees. True: nothing else, without TLS by prior knowledge. False: never.
    :ivar readonly: of databases with SQL: its connections cannot write.
    """

    kind: Kind
    host: str
    port: int = 0
    secure: bool = False
    user: str = ""
    password: str = ""
    database: str = ""
    verify: bool = True
    weight: int = 1
    connections: int = 0
    proxy: str = ""
    http2: bool | None = None
    readonly: bool = False

    def __hash__(self) -> int:
        return hash((self.host, self.port, self.user, self.database))  # enough to tell most apart, at every request

    @property
    def node(self) -> tuple[str, int]:
        """Address and port, as results name it."""
        return self.host, self.port

    def __repr__(self) -> str:  # never with the password
        return f"<{self.kind} {self.host}:{self.port}{'/' + self.database if self.database else ''}>"


@dataclass(frozen=True, slots=True)
class Alias:
    """The servers behind a name.

    :ivar name: without the ``@``.
    :ivar role: whom a gateway lets through to it; everybody when empty.
    :ivar source: from where a gateway lets through to it; from everywhere when empty.
    :ivar timeout: seconds that a request may take which says nothing else; None for as long as those to other servers.
    """

    name: str
    kind: Kind
    members: tuple[Member, ...]
    role: str = ""
    source: tuple[Network, ...] = ()
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Means:
    """How an alias wants its servers to be reached; see `Member` and `Alias` for all but the first two.

    :ivar ssl: speak TLS, where the kind does not say so by itself.
    :ivar ssl_verify: certificates have to be good.
    """

    ssl: bool = False
    ssl_verify: bool = True
    connections: int = 0
    proxy: str = ""
    http2: bool | None = None
    timeout: float | None = None

    def check(self, kind: Kind) -> None:
        """:raises ValueError: something in it is of no use for a kind of back-end."""
        if self.connections < 0:
            raise ValueError(f"connections={self.connections}: it should be 1 or more, or 0 for `backend_connections`")
        if self.connections and kind == "sqlite3":
            raise ValueError("connections: a file of SQLite has one for each worker")
        if self.timeout is not None and not self.timeout > 0:
            raise ValueError(f"timeout={self.timeout}: it should be more than 0 seconds")
        if kind not in OVER_HTTP and (self.proxy or self.http2 is not None):
            raise ValueError(f"proxy and http2 are for back-ends of HTTP, not of {kind}")
        if self.proxy:
            check_proxy(self.proxy)


def kind_of(text: str) -> Kind:
    """:raises ValueError: there is no such kind of back-end."""
    kind = text.removeprefix("*")
    if kind not in PORTS:
        raise ValueError(f"{text!r} is no kind of back-end; there are {', '.join(PORTS)}")
    return cast(Kind, kind)


def alias(
    name: str,
    kind: str,
    servers: Sequence[str],
    role: str,
    source: str,
    means: Means,
    absolute: Callable[[str], str],
) -> Alias:
    """Check an alias.

    :param absolute: makes the path of a file absolute.
    :raises ValueError: with what is wrong, and what would be right.
    """
    plain = name.removeprefix("@")
    if not re.fullmatch(r"[A-Za-z0-9_.:-]+", plain):
        raise ValueError(f"{name!r} is no name for an alias: letters, digits, '_', '-' and '.' make one")
    found = kind_of(kind)
    if not servers:
        raise ValueError(f"@{plain} has no servers")
    means.check(found)
    secure = means.ssl or found in ("https", "wss")
    way: dict[str, Any] = {"connections": means.connections, "proxy": means.proxy, "http2": means.http2}
    members = tuple(replace(member(found, each, secure, means.ssl_verify), **way) for each in servers)
    if found == "sqlite3":
        members = tuple(each if each.host == ":memory:" else replace(each, host=absolute(each.host)) for each in members)
    return Alias(plain, found, members, role, networks(source), means.timeout)


def check_proxy(url: str) -> None:
    """:raises ValueError: it is no HTTP proxy; without its password."""
    shown = hidden(url)
    try:
        parts = urlsplit(url)
        usable = parts.scheme == "http" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"proxy={shown!r}: it should be http://user:password@host:port, also for HTTPS")


def member(kind: Kind, text: str, secure: bool = False, verify: bool = True) -> Member:
    """Read one server.

    :raises ValueError: it is written in neither of the two ways.
    """
    server, _, last = text.strip().rpartition(" ")
    weight = 1
    if server and last.isdigit():
        weight = int(last)
    else:
        server = text.strip()
    if kind == "sqlite3":
        if not server:
            raise ValueError("a server of sqlite3 is the path of its file")
        return Member(kind, server, weight=weight)
    login, at, address = server.strip().rpartition("@")
    user, _, password = login.partition(":")
    place, _, rest = address.partition("/")
    database, more = rest, []
    if kind in DATABASES and not at:
        database, *more = rest.split("/")
        user, password, *more = [*more, "", ""] if len(more) < 2 else [*more]
        more = [each for each in more if each]
    matched = _HOST(place)
    if not matched or more or "/" in database:
        raise ValueError(
            f"{hidden(text)!r} is no server: user:password@host:port/database weight, "
            "or host:port/database/user/password weight, with %40 for an @"
        )
    host, port = matched[1].strip("[]"), int(matched[2] or PORTS[kind])
    if not 0 < port < 65536:
        raise ValueError(f"{hidden(text)!r}: there is no port {port}")
    return Member(kind, host, port, secure, unquote(user), unquote(password), unquote(database), verify, weight)


def hidden(text: str) -> str:
    """A server without its password, for messages."""
    login, at, rest = text.rpartition("@")
    if at:
        return f"{login.partition(':')[0]}:***@{rest}"
    parts = text.split("/")
    return "/".join([*parts[:3], "***"]) if len(parts) > 3 else text


def networks(source: str) -> tuple[Network, ...]:
    """Read ``"172.30.1.0/24,192.168.1/24"``; an IPv4 address may leave out what its mask covers.

    :raises ValueError: one is no range of addresses.
    """
    found = []
    for each in filter(None, (part.strip() for part in source.split(","))):
        address, slash, mask = each.partition("/")
        if ":" not in address:
            address = ".".join([*address.split("."), "0", "0", "0"][:4])
        try:
            found.append(ipaddress.ip_network(address + slash + mask, strict=False))
        except ValueError as error:
            raise ValueError(f"{each!r} is no range of addresses: {error}") from None
    return tuple(found)
