"""Other servers: aliases, and what stands in front of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from skitai.api.saying import caller, expect, flat, number, put
from skitai.config.aliases import Means
from skitai.config.draft import AliasCall
from skitai.config.draft import own as own_draft


def alias(
    name: str,
    kind: str,
    servers: str | list[str] | tuple[str, ...],
    role: str = "",
    source: str = "",
    ssl: bool = False,
    ssl_verify: bool = True,
    *,
    connections: int = 0,
    proxy: str = "",
    http2: bool | None = None,
    timeout: float | None = None,
) -> None:
    """Name a back-end: a server, or several that stand in for each other.

    :param name: by which handlers call it, ``"@members"``.
    :param kind: PROTO_HTTP, PROTO_HTTPS, PROTO_WS, PROTO_WSS, DB_POSTGRESQL, DB_SQLITE3, DB_REDIS or DB_MONGODB.
    :param servers: each ``user:password@host:port/database weight`` or ``host:port/database/user/password weight``, where
        all but the host may be left out; of SQLite the path of a file.
    :param role: whom a gateway lets through.
    :param source: from where it lets through: ranges of addresses with commas between them.
    :param ssl: speak TLS; of itself with PROTO_HTTPS and PROTO_WSS.
    :param ssl_verify: whether certificates have to be good.
    :param connections: of one worker to each of the servers, at most; more requests wait. `backend_connections` unless set.
    :param proxy: ``http://user:password@host:port``, on the way to servers of HTTP and HTTPS.
    :param http2: True for HTTP/2 alone, without TLS by prior knowledge; False for HTTP/1.1; by default as TLS agrees.
    :param timeout: seconds that a request may take that says nothing else.
    :raises TypeError: for an argument of a wrong type. What is wrong otherwise is reported by `run`.
    """
    draft = own_draft()
    if draft.closed:
        return
    for what, value in (("name", name), ("kind", kind), ("role", role), ("source", source), ("proxy", proxy)):
        expect(value, str, f"alias() {what}")
    expect(connections, int, "alias() connections")
    if timeout is not None:
        number(timeout, "alias() timeout")
    means = Means(ssl, ssl_verify, connections, proxy, http2, timeout)
    listed = flat((servers,), "alias() servers")
    draft.aliases.append(AliasCall(name, kind, tuple(listed), role, source, means, caller(draft)))


def enable_gateway(
    enable_auth: bool = False, secure_key: str | bytes | None = None, realm: str = "Skitai API Gateway"
) -> None:
    """Let nobody to what is mounted by an alias who has no bearer token.

    :param enable_auth: demand tokens; without that, everybody may pass.
    :param secure_key: what signs JSON Web Tokens: a secret, or a public key in PEM. Without it only the handler that an app
        sets by ``wac.handler.set_auth_handler`` decides about tokens.
    :param realm: name that clients are asked for a token in.
    """
    expect(enable_auth, bool, "enable_gateway() enable_auth", "True or False")
    expect(realm, str, "enable_gateway() realm")
    put("gateway_auth", enable_auth)
    put("gateway_realm", realm)
    if secure_key is not None:
        if not isinstance(secure_key, str | bytes):  # which is not shown
            raise TypeError("enable_gateway() secure_key should be text or bytes")
        try:
            put("gateway_secret", secure_key.decode("utf-8") if isinstance(secure_key, bytes) else secure_key)
        except UnicodeDecodeError:
            raise ValueError("enable_gateway() secure_key should be text, or bytes that are text in UTF-8") from None


def enable_proxy(
    allow: str | list[str] | tuple[str, ...] = (),
    deny: str | list[str] | tuple[str, ...] = (),
    users: Mapping[str, str] | None = None,
    **options: Any,
) -> None:
    """Serve as a forward proxy, too: pass on requests for other servers, and open tunnels to them.

    :param allow: nothing else is reached: hosts, ``.domains``, addresses, networks, ``"loopback"``, ``"private"``, ``"*"``;
        each may end in ``:PORT``.
    :param deny: never reached, in the same words.
    :param users: passwords by name; without them, nobody is asked for one.
    :param options: any other of the section ``[forward_proxy]`` without its ``proxy_``, for instance ``tunnel_ports="*"``.
    """
    put("forward_proxy", True)
    for name, value in (("allow", allow), ("deny", deny)):
        if value:
            put(f"proxy_{name}", flat((value,), f"enable_proxy() {name}"))
    if users is not None:
        expect(users, Mapping, "enable_proxy() users", "passwords by name")
        put("proxy_users", [f"{name}:{password}" for name, password in users.items()])
    for name, value in options.items():
        put(f"proxy_{name}", value)


def set_proxy_keep_alive(channel: float = 60, tunnel: float = 600) -> None:
    """How long the forward proxy keeps what idles.

    :param channel: seconds for a connection to a server, and for a server that is silent.
    :param tunnel: seconds for a tunnel.
    """
    put("proxy_channel_s", number(channel, "set_proxy_keep_alive() channel"))
    put("proxy_tunnel_s", number(tunnel, "set_proxy_keep_alive() tunnel"))


def set_backend_keep_alive(seconds: float) -> None:
    """How long an idle connection to a back-end is kept; 1200 unless set."""
    put("backend_keep_alive", number(seconds, "set_backend_keep_alive()"))


def set_max_rcache(number: int) -> None:
    """How many results a worker keeps; 100 unless set."""
    put("max_rcache", number)


def enable_cachefs(
    memmax: int | str = 0,
    diskmax: int | str = 0,
    path: str | os.PathLike[str] | None = None,
    object_bytes: int | str | None = None,
) -> None:
    """Keep what back-ends answer for as long as they allow (RFC 9111), for all workers together.

    :param memmax: bytes of memory, also as ``"64M"``; 0 for none.
    :param diskmax: bytes of files; 0 for none.
    :param path: folder of the files; by default ``cachefs`` in the var folder.
    :param object_bytes: longest answer that is kept; 10 MB unless set.
    """
    for name, value in (("memmax", memmax), ("diskmax", diskmax)):
        expect(value, int | str, f"enable_cachefs() {name}", 'bytes, or text like "64M"')
        put(f"cachefs_{name}", value)
    if path is not None:
        expect(path, str | os.PathLike, "enable_cachefs() path", "text or a path")
        put("cachefs_path", os.fspath(path))
    if object_bytes is not None:
        expect(object_bytes, int | str, "enable_cachefs() object_bytes", 'bytes, or text like "64M"')
        put("cachefs_object_bytes", object_bytes)
