"""Who the client is when proxies stand before the server."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

LOOPBACK = ("127.0.0.0/8", "::1")
UNIX = "unix"


class Trusted:
    """The proxies whose forwarded fields are believed.

    :param networks: addresses ("10.0.0.1"), networks ("10.0.0.0/8"), or "unix" for peers on Unix sockets.
    :raises ValueError: one of them is none of these.
    """

    __slots__ = ("_networks", "_unix")

    def __init__(self, networks: Iterable[str]) -> None:
        names = tuple(networks)
        self._unix = UNIX in names
        self._networks: tuple[IPv4Network | IPv6Network, ...] = tuple(
            ip_network(name, strict=False) for name in names if name != UNIX
        )

    def __contains__(self, address: str) -> bool:
        """Whether a peer of this address is trusted; "" is a peer on a Unix socket."""
        if not address:
            return self._unix
        if not self._networks:
            return False
        parsed = parse_address(address)
        return parsed is not None and any(parsed in network for network in self._networks)

    def __bool__(self) -> bool:
        return self._unix or bool(self._networks)

    def __repr__(self) -> str:
        return f"<Trusted {' '.join([*(str(network) for network in self._networks), *([UNIX] if self._unix else [])])}>"


def client(peer: str, forwarded_for: str, trusted: Trusted) -> str:
    """The address of the client: the nearest one in the chain that no trusted proxy stands for.

    Each proxy appends the address it was called from, so the chain is read from its end, as long as the address that
    vouches for an entry is trusted. An entry that is no address ends the walk.

    :param peer: address at the other end of the socket; "" on a Unix socket.
    :param forwarded_for: value of X-Forwarded-For, several joined by commas; "" when there is none.
    """
    address = peer
    for entry in reversed(forwarded_for.split(",")):
        if address not in trusted:
            break
        named = parse_address(_without_port(entry.strip()))
        if named is None:
            break
        address = str(named)
    return address


@lru_cache(maxsize=1024)
def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """An IP address without port; IPv4 in IPv6's clothes (``::ffff:10.0.0.1``) as IPv4. None when it is not one."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def _without_port(entry: str) -> str:
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry
