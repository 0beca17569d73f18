"""Requests that name another server (RFC 9112, section 3.2.2): they are passed on to it, and its answers back."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from skitai.backend.dial import Dialler
from skitai.backend.drivers.http.incoming import Watch
from skitai.backend.drivers.http.origin import Heads, Origin, Server
from skitai.backend.room import Room
from skitai.errors import Answerable, Unavailable
from skitai.exchange import BodyMode, Head
from skitai.http.uri import authority_in
from skitai.worker.caching import Caching
from skitai.worker.proxy.access import Access, Target, refuse
from skitai.worker.proxy.destination import Destination, Speech, Tally
from skitai.worker.proxy.listening import PORTS
from skitai.worker.services import Services
from skitai.worker.upstream.relay import Relay

ANY_SIZE = 1 << 62


class Passing:
    """Stands for an app where another server is asked."""

    body_mode = BodyMode.STREAM
    in_threads = False
    looks_first = None
    debug = False

    def __init__(self, services: Services, access: Access, diallers: dict[bool, Dialler]) -> None:
        options, config = services.config.forward_proxy, services.config
        self._options = options
        self._backends = replace(config.backends, backend_keep_alive=options.proxy_channel_s)
        channel_s = options.proxy_channel_s
        self._limits = replace(
            config.upstreams, upstream_first_byte_s=channel_s, upstream_idle_s=channel_s, upstream_interim="all"
        )
        self._access = access
        self._diallers = diallers
        self._watch = Watch(services.loop, channel_s)
        self._heads = Heads()
        self._room = Room(services.loop, options.proxy_connections)
        self._caching: dict[bool, Caching] = {}
        if services.cache is not None:  # what clients on this host may reach is not for others, out of the cache neither
            self._caching = {True: Caching(services.cache, "proxy here"), False: Caching(services.cache, "proxy")}
        self._destinations: dict[tuple[str, int, str, bool], Destination] = {}
        self._tally = Tally()

    def limit(self, head: Head) -> int:
        return ANY_SIZE

    def handle(self, exchange: Any) -> None:
        if not exchange.take():
            return
        head = exchange.head
        scheme, authority = authority_in(head.target)
        try:
            target = self._access.admit(head, exchange.peer, authority, PORTS[scheme])
            if head.method == "OPTIONS" and head.fields.get(b"max-forwards") == b"0":
                exchange.respond(204, (("Allow", "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS, CONNECT"),))
                return
            if self._tally.running >= self._options.proxy_connections:
                raise Unavailable(f"{self._tally.running} requests are on their way already")
            destination = self._destination(target, scheme)
        except Answerable as error:
            refuse(exchange, error)
            return
        exchange.user = target.user
        caching = self._caching.get(target.local)
        if caching is None:
            self._ask(exchange, destination)
        else:
            caching.handle(exchange, partial(self._ask, destination=destination))

    @staticmethod
    def _ask(exchange: Any, destination: Destination) -> None:
        relay = Relay(destination, exchange, False, False)
        exchange.when_gone(relay.leave)
        relay.ask()

    def _destination(self, target: Target, scheme: str) -> Destination:
        key = (target.host, target.port, scheme, target.local)
        found = self._destinations.get(key)
        if found is None:
            options, secure = self._options, scheme == "https"
            http2 = None if secure else False
            server = Server(target.host, target.port, secure, True, None, http2, options.proxy_connections)
            origin = Origin(self._diallers[target.local], self._watch, self._backends, self._heads, self._room, server)
            speech = Speech(scheme, origin.authority, options.proxy_forwarded_for)
            found = Destination(str(target), speech, origin, self._watch, self._limits, options.proxy_connect_s, self._tally)
            self._destinations[key] = found
        return found

    def tick(self, now: float) -> None:
        """Close what has been idle for too long."""
        for key, destination in tuple(self._destinations.items()):
            destination.tick(now)
            if destination.unused:
                del self._destinations[key]

    def close(self) -> None:
        """End what runs."""
        for destination in self._destinations.values():
            destination.close()
        self._watch.close()
