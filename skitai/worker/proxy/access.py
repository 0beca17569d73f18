"""Who may use the forward proxy, and where to: decisions about a request, each with the answer to the one who may not."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Iterable
from typing import Any

from skitai.backend.dial import Addresses
from skitai.backend.errors import BackendError, Code
from skitai.config.sections.proxying import ForwardProxy
from skitai.errors import Answerable, BadRequest
from skitai.exchange import Head, Peer
from skitai.http.authorization import basic, challenge, split
from skitai.http.forwarded import parse_address
from skitai.http.reach import Clients, Policy, is_loopback, split_authority
from skitai.worker.proxy.listening import Listening

log = logging.getLogger("skitai.server")


class Forbidden(Answerable):
    """The proxy does not do that."""

    status = 403


class Target:
    """A server that a client wants to reach.

    :ivar host: as in `reach.plain_name`.
    :ivar local: the client is on this host itself.
    :ivar user: who the client says it is, and has shown; "" where nobody is asked.
    """

    __slots__ = ("host", "local", "port", "user")

    def __init__(self, host: str, port: int, local: bool, user: str) -> None:
        self.host = host
        self.port = port
        self.local = local
        self.user = user

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Access:
    """The rules of a configuration."""

    def __init__(self, options: ForwardProxy, listening: Listening) -> None:
        self._clients = Clients(options.proxy_clients)
        self._passwords = dict(_named(options.proxy_users))
        self._challenge = challenge("Basic", realm=options.proxy_realm, charset="UTF-8")
        self._policy = Policy(
            options.proxy_allow, options.proxy_deny, options.proxy_ports, options.proxy_tunnel_ports, listening.has
        )

    def admit(self, head: Head, peer: Peer, authority: str, default_port: int = 0) -> Target:
        """See to it that a client may reach a server, as far as its name tells.

        :param peer: who asks. One that asks for others, and whose word is not trusted, may no more than they may.
        :param default_port: of requests; 0 for tunnels, which have to name one.
        :raises Answerable: 400, 403 or 407.
        """
        clients = [peer.client]
        if peer.proxy is None and b"x-forwarded-for" in head.fields:
            clients.append(head.fields.text("x-forwarded-for").rpartition(",")[2].strip() or "nobody")
        if not self._is_client(clients[0]):
            raise Forbidden("this proxy is not for you")
        if not self._is_client(clients[-1]):
            raise Forbidden("this proxy is not for whom X-Forwarded-For tells of")
        user = self._user(head)
        try:
            host, port = split_authority(authority, default_port)
        except ValueError as error:
            raise BadRequest(str(error)) from None
        against = self._policy.against_name(host, port, not default_port)
        if against:
            raise Forbidden(f"{authority} is not reached by this proxy: {against}")
        return Target(host, port, all(map(is_loopback, clients)), user)

    def _is_client(self, text: str) -> bool:
        """Whether the proxy is for an address; "" is that of a Unix socket."""
        address = parse_address(text)
        return (address is not None or not text) and address in self._clients

    def _user(self, head: Head) -> str:
        if not self._passwords:
            return ""
        scheme, rest = split(head.fields.text("proxy-authorization"))
        given = basic(rest) if scheme == "basic" else None
        name, password = given or ("", "")
        known = self._passwords.get(name)
        good = hmac.compare_digest((known or "").encode(), password.encode())
        if known is None or not good:
            raise Answerable("name and password, please", status=407, fields=[("Proxy-Authenticate", self._challenge)])
        return name

    def among(self, local: bool, host: str, addresses: Addresses) -> Addresses:
        """The addresses of a host that may be connected to.

        :param local: the client is on this host itself.
        :raises BackendError: none of them; its cause is `Forbidden`.
        """
        good: Addresses = []
        reasons: list[str] = []
        for family, address in addresses:
            against = self._policy.against_address(host, address[0], address[1], local)
            if against:
                reasons.append(against)
            else:
                good.append((family, address))
        if not good:
            message = f"{host} is not reached by this proxy: {reasons[0] if reasons else 'it has no address'}"
            raise BackendError(Code.FAILED, message) from Forbidden(message)
        return good


def _named(users: Iterable[str]) -> Iterable[tuple[str, str]]:
    for text in users:
        name, _, password = text.partition(":")
        yield name, password


def refuse(exchange: Any, error: Answerable) -> None:
    """Answer, and log why."""
    if error.status < 500:
        head = exchange.head
        who = exchange.peer.client or "a client"
        log.info("%s: %s %s: %s", who, head.method, head.target, error.message, extra={"txn": exchange.txn})
    exchange.fail(error)
