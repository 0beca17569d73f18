"""The forward proxy of one worker: what clients ask of other servers (RFC 9110, section 7.6; RFC 9112, section 3.2)."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from functools import partial

from skitai.backend.dial import Dialler
from skitai.http.reach import plain_name
from skitai.net.tls import Certificates
from skitai.protocols.http1.request import host_name
from skitai.worker.proxy.access import Access
from skitai.worker.proxy.listening import PORTS, Listening
from skitai.worker.proxy.names import Names
from skitai.worker.proxy.passing import Passing
from skitai.worker.proxy.tunnels import Tunnels
from skitai.worker.services import Services


class ForwardProxy:
    """What a site sends requests to that are for others.

    :param sockets: that this server listens on.
    :param certificates: with which it does.
    :ivar tunnels: answers CONNECT; what `worker.site` takes for an answer of the server itself.
    :ivar passing: the same for requests that name another server.
    """

    def __init__(
        self, services: Services, sockets: Iterable[socket.socket], certificates: Certificates | None = None
    ) -> None:
        self._certificates = certificates
        options = services.config.forward_proxy
        self.listening = Listening((each.getsockname() for each in sockets), options.proxy_names)
        access = Access(options, self.listening)
        self._names = Names(services.loop)
        self._diallers = {
            local: Dialler(services.loop, options.proxy_connect_s, partial(access.among, local), self._names)
            for local in (False, True)
        }
        self.tunnels = Tunnels(services, access, self._diallers)
        self.passing = Passing(services, access, self._diallers)

    def means_us(self, scheme: str, authority: str, named: bool) -> bool:
        """Whether a request that names a server (RFC 9112, section 3.2.2) is for this one.

        :param named: something is mounted for its host.
        """
        digits = authority.rpartition("]")[2].partition(":")[2]
        port = int(digits) if digits else PORTS[scheme]
        if named and port in (*self.listening.ports, *PORTS.values()):
            return True
        return self.listening.is_called(plain_name(host_name(authority.encode("ascii"))), port)

    def is_certified(self, host: str) -> bool:
        """Whether a certificate of this server names a host."""
        return self._certificates is not None and self._certificates.are_for(host)

    def tick(self, now: float) -> None:
        """Once a second: close what has been idle for too long.

        :param now: on the loop's clock.
        """
        self.passing.tick(now)

    def close(self) -> None:
        """Nothing is asked any more."""
        self.passing.close()
        for dialler in self._diallers.values():
            dialler.close()
        self._names.close()


def make(
    services: Services, sockets: Iterable[socket.socket], certificates: Certificates | None = None
) -> ForwardProxy | None:
    """The forward proxy of a worker; None when it has none."""
    return ForwardProxy(services, sockets, certificates) if services.config.forward_proxy.forward_proxy else None
