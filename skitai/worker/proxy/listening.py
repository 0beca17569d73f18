"""Which addresses are our own: what a proxy must not pass on to itself, but answer."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from skitai.http.reach import Address, meant, plain_name

LOCALHOST = ("localhost", "ip6-localhost")
PORTS = {"http": 80, "https": 443}


class Listening:
    """The sockets that this server accepts on.

    :param places: their addresses, as `getsockname` gives them.
    :param names: further names of this host.
    :ivar ports: all their ports.
    """

    def __init__(self, places: Iterable[Any], names: Iterable[str] = ()) -> None:
        self._exact: set[tuple[Address, int]] = set()
        self._everywhere: set[int] = set()
        for place in places:
            if isinstance(place, tuple):
                address = meant(ip_address(place[0].partition("%")[0]))[0]
                if address.is_unspecified:
                    self._everywhere.add(place[1])
                else:
                    self._exact.add((address, place[1]))
        self.ports = self._everywhere | {port for _, port in self._exact}
        self._names = {plain_name(each) for each in (socket.gethostname(), *names)}

    def has(self, address: Address, port: int) -> bool:
        """Whether a connection to an address would come to us."""
        if (address, port) in self._exact:
            return True
        if port not in self._everywhere:
            return False
        return address.is_loopback or address.is_unspecified or is_local(address)

    def is_called(self, host: str, port: int) -> bool:
        """Whether a name says without a resolver that it means us.

        :param host: as in `reach.plain_name`.
        """
        if port not in self.ports:
            return False
        if host in LOCALHOST:
            return any(self.has(ip_address(each), port) for each in ("127.0.0.1", "::1"))
        if host in self._names:
            return True
        try:
            return any(self.has(each, port) for each in meant(ip_address(host)))
        except ValueError:
            return False


def is_local(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is one of this host: only such can be bound."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True
