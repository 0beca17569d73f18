"""Passing requests on to the servers behind an alias: the reverse proxy."""

from __future__ import annotations

import asyncio

from skitai.config.mounted import Mount, Upstream
from skitai.exchange import BodyMode, Context, Exchange, Head
from skitai.http.forwarded import Trusted
from skitai.was import process
from skitai.worker.caching import Caching
from skitai.worker.upstream.members import Members
from skitai.worker.upstream.relay import Relay
from skitai.worker.upstream.upgrade import Upgrade

ENDLESS = 1 << 62


class UpstreamApp:
    """An alias at a mount point.

    :param mount: its target is an `Upstream`.
    :ivar limits: what the mount's preferences say of bodies.
    :ivar members: the servers behind the alias; there from `startup` on.
    """

    body_mode = BodyMode.STREAM
    in_threads = False
    members: Members

    def __init__(self, mount: Mount) -> None:
        if not isinstance(mount.target, Upstream):
            raise TypeError(f"{mount.target!r} is no alias")
        self.limits = dict(mount.pref.config)
        self._mount = mount
        self._alias = mount.target.alias
        self._trusted: Trusted | None = None
        self._checking: asyncio.Task[None] | None = None
        self._caching: Caching | None = None

    def __repr__(self) -> str:
        return f"<UpstreamApp {self._mount.point} @{self._alias}>"

    async def startup(self, context: Context) -> None:
        if context.cache is not None:
            self._caching = Caching(context.cache, f"{self._mount.host}{self._mount.point}")
        config = context.config
        self._trusted = Trusted(config.proxies.trusted_proxies) or None
        self.members = Members(self._mount.point, self._alias, process.backends(), config.upstreams)
        if config.upstreams.upstream_check:
            self._checking = asyncio.get_running_loop().create_task(self.members.check())

    async def shutdown(self) -> None:
        if self._checking is not None:
            self._checking.cancel()

    def handle(self, exchange: Exchange) -> None:
        trusted = self._trusted is not None and self._trusts(exchange)
        if self._caching is not None:
            self._caching.handle(exchange, self._ask_trusting if trusted else self._ask, trusted)
        elif exchange.take():
            self._ask(exchange, trusted)

    def upgrade(self, exchange: Exchange) -> None:
        """Pass a handshake of WebSocket on."""
        if exchange.take():
            Upgrade(self.members, exchange, self._trusts(exchange)).begin()

    # Calls of gRPC

    @staticmethod
    def call_mode(head: Head) -> BodyMode:
        return BodyMode.STREAM

    @staticmethod
    def call_limit(head: Head) -> int:
        """No limit: streams of messages go on for as long as they like, and nothing of them stays here."""
        return ENDLESS

    def call(self, exchange: Exchange) -> None:
        if exchange.head.length:
            exchange.body.patient = True  # type: ignore[attr-defined]  # messages come when they come
        if exchange.take():
            self._ask(exchange, self._trusts(exchange), True)

    def _ask_trusting(self, exchange: Exchange) -> None:
        self._ask(exchange, True)

    def _ask(self, exchange: Exchange, trusted: bool = False, calls: bool = False) -> None:
        relay = Relay(self.members, exchange, trusted, calls)
        exchange.when_gone(relay.leave)
        relay.ask()

    def _trusts(self, exchange: Exchange) -> bool:
        """Whether a trusted proxy asks."""
        peer = exchange.peer
        return self._trusted is not None and (peer.proxy or peer).client in self._trusted
