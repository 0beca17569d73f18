"""Where a forward proxy may connect: rules over names, addresses and ports, without a look at the network.

A rule's text is a host name (`example.com`), a domain with all below it (`.example.com`), an address (`10.0.0.1`, `[::1]`),
a network (`10.0.0.0/8`), `private`, `loopback`, or `*` for all; a port or a range of them may follow:
`example.com:8000-8999`.

What is decided about a name holds for the address that is connected to, so that no name can lead where its address may not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import chain
from typing import NamedTuple

Address = IPv4Address | IPv6Address

LOOPBACK = tuple(map(ip_network, ("127.0.0.0/8", "::1/128")))
HERE = ip_address("127.0.0.1")
PRIVATE = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "fec0::/10")))
"""RFC 1918, shared addresses of providers (RFC 6598), and their like in IPv6."""

NOWHERE = tuple(map(ip_network, ("0.0.0.0/8", "240.0.0.0/4", "::/128", "100::/64")))
"""Addresses of nobody, "this host" included, by which some systems reach themselves; and the broadcast."""

METADATA = tuple(map(ip_network, ("fd00:ec2::254/128", "100.100.100.200/32")))
"""Where clouds tell their machines secrets, beside the link-local 169.254.169.254."""

CARRYING = tuple(map(IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::/96")))
"""IPv6 whose last bits are an IPv4 address: translated (RFC 6052, RFC 8215), and "compatible" (RFC 4291)."""

WORDS = {"loopback": LOOPBACK, "localhost": LOOPBACK, "private": PRIVATE}
"""Names of networks. `localhost` is no name here that a resolver could answer for."""

_NAME = re.compile(r"\.?[a-z0-9_-]+(\.[a-z0-9_-]+)*").fullmatch
_PORTS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?").fullmatch
ALL_PORTS = (0, 65535)


class Rule(NamedTuple):
    """One rule.

    :ivar name: host name, or ".domain" for it and all below; "*" for all; "" where the rule is one of networks.
    :ivar networks: that it speaks of.
    :ivar ports: the first and the last.
    """

    name: str
    networks: tuple[object, ...]
    ports: tuple[int, int]

    def holds_name(self, host: str, port: int) -> bool:
        """Whether it speaks of a host of that name."""
        if not self.ports[0] <= port <= self.ports[1]:
            return False
        if self.name.startswith("."):
            return host == self.name[1:] or host.endswith(self.name)
        return self.name in ("*", host)

    def holds_address(self, address: Address, port: int) -> bool:
        """Whether it speaks of an address, by itself and not by a name that leads there."""
        return self.ports[0] <= port <= self.ports[1] and within(address, self.networks)


def rule(text: str) -> Rule:
    """Read a rule.

    :raises ValueError: it is none; says what it could be.
    """
    text = text.strip().lower()
    name, ports = text, ALL_PORTS
    if text.startswith("["):
        name, closed, rest = text[1:].partition("]")
        if not closed or (rest and rest[0] not in ":/"):
            raise ValueError(f"{text!r}: a bracket is not closed")
        if rest.startswith("/"):
            bits, _, rest = rest.partition(":")
            name, rest = name + bits, f":{rest}" if rest else ""
        if rest:
            ports = port_range(rest[1:])
    elif text.count(":") == 1:
        name, _, rest = text.partition(":")
        ports = port_range(rest)
    if name in WORDS:
        return Rule("", WORDS[name], ports)
    try:
        return Rule("", (ip_network(name, strict=False),), ports)
    except ValueError:
        if name != "*" and (not _NAME(name) or name.rpartition(".")[2].isdigit()):
            wanted = "a host (example.com), a domain (.example.com), a network (10.0.0.0/8), private, loopback or *"
            raise ValueError(f"{text!r} is not {wanted}, each with a port if need be") from None
    return Rule(name, (), ports)


def port_range(text: str) -> tuple[int, int]:
    """The first and the last port of "443", "8000-8999" or "*".

    :raises ValueError: it is none of these.
    """
    if text == "*":
        return ALL_PORTS
    match = _PORTS(text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if not first <= last <= 65535:
        raise ValueError(f"{text!r} is no port (443), range of ports (8000-8999) or *")
    return first, last


class Clients:
    """Who may use a proxy.

    :param texts: addresses, networks, `private`, `loopback`, or `*`.
    :raises ValueError: one of them is none of these.
    """

    __slots__ = ("_all", "_networks")

    def __init__(self, texts: Iterable[str]) -> None:
        rules = [rule(text) for text in texts]
        for each in rules:
            if (each.name and each.name != "*") or each.ports != ALL_PORTS:
                raise ValueError(f"{each.name or 'a port'}: clients are known by their networks alone")
        self._all = any(each.name for each in rules)
        self._networks = tuple(chain.from_iterable(each.networks for each in rules))

    def __contains__(self, address: Address | None) -> bool:
        """Whether a client is one of them; None is one on a Unix socket, which stands where loopback does."""
        return self._all or within(HERE if address is None else address, self._networks)


class Policy:
    """What may be reached.

    :param allow: rules; where there are some, nothing else is reached, and loopback is by all clients where they name it.
    :param deny: rules that go before all others.
    :param ports: of requests that are passed on.
    :param tunnel_ports: of tunnels.
    :param own: whether an address and port is one that we listen at ourselves.
    :raises ValueError: a rule or a port is malformed.
    """

    def __init__(
        self,
        allow: Iterable[str],
        deny: Iterable[str],
        ports: Iterable[str],
        tunnel_ports: Iterable[str],
        own: Callable[[Address, int], bool] = lambda address, port: False,
    ) -> None:
        self._allow = tuple(map(rule, allow))
        self._deny = tuple(map(rule, deny))
        self._ports = tuple(map(port_range, ports))
        self._tunnel_ports = tuple(map(port_range, tunnel_ports))
        self._own = own

    def against_name(self, host: str, port: int, tunnel: bool) -> str:
        """What speaks against a target before its address is known; "" for nothing.

        :param host: as in `plain_name`.
        :param tunnel: whether bytes are to be passed, not requests.
        """
        ports = self._tunnel_ports if tunnel else self._ports
        if not any(first <= port <= last for first, last in ports) or not port:
            return f"{'tunnels to' if tunnel else 'requests to'} port {port} are not allowed"
        if any(each.holds_name(host, port) for each in self._deny):
            return "it is denied"
        return ""

    def against_address(self, host: str, address: str, port: int, local: bool) -> str:
        """What speaks against connecting to an address; "" for nothing.

        :param host: the name that led to it, as in `plain_name`.
        :param local: the client is on this host itself.
        """
        try:
            named = ip_address(address)
        except ValueError:
            return "it is no address"
        reasons = (self._against(host, each, port, local) for each in meant(named))
        return next(filter(None, reasons), "")

    def _against(self, host: str, address: Address, port: int, local: bool) -> str:
        if within(address, NOWHERE) or address.is_unspecified:
            return "it is the address of nobody"
        if address.is_link_local or within(address, METADATA):
            return "it is link-local, or tells this machine its secrets"
        if address.is_multicast:
            return "it is a multicast address"
        if self._own(address, port):
            return "it is this server itself"
        if any(each.holds_address(address, port) for each in self._deny):
            return "it is denied"
        named = any(each.holds_address(address, port) for each in self._allow)
        if self._allow and not named and not any(each.holds_name(host, port) for each in self._allow):
            return "it is not among what is allowed"
        if within(address, LOOPBACK) and not named and not local:
            return "it is on this host, and the client is not"
        return ""


def within(address: Address, networks: Iterable[object]) -> bool:
    """Whether an address lies in one of these networks."""
    return any(address in network for network in networks)  # type: ignore[operator]


def meant(address: Address) -> list[Address]:
    """The addresses that one leads to: IPv4 that IPv6 carries (mapped, translated, tunnelled) is judged, too."""
    if isinstance(address, IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    found: list[Address] = [address]
    if address.sixtofour is not None:
        found.append(address.sixtofour)
    if address.teredo is not None:
        found += address.teredo
    if within(address, CARRYING) and int(address) > 1:
        found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return found


def is_loopback(address: str) -> bool:
    """Whether an address is one of this host alone; "" is a peer on a Unix socket."""
    if not address:
        return True
    try:
        return all(within(each, LOOPBACK) for each in meant(ip_address(address)))
    except ValueError:
        return False


def plain_name(host: str) -> str:
    """A host as rules compare it: lower case, no brackets, no dot at its end."""
    return host.lower().removeprefix("[").removesuffix("]").removesuffix(".")


def split_authority(authority: str, default_port: int = 0) -> tuple[str, int]:
    """Host (as in `plain_name`) and port of "host:port".

    :raises ValueError: no host, or a port that is none.
    """
    host, port = authority, ""
    if authority.startswith("["):
        inside, _, rest = authority[1:].partition("]")
        host, port = inside, rest.removeprefix(":")
    elif ":" in authority:
        host, _, port = authority.rpartition(":")
    name = plain_name(host)
    number = int(port) if port.isdecimal() and port.isascii() else default_port if not port else -1
    if not name or not 0 < number <= 65535:
        raise ValueError(f"{authority!r} is not a host and a port")
    return name, number
