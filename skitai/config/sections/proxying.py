"""Options of the forward proxy."""

from __future__ import annotations

from dataclasses import dataclass

from skitai.config.sections.declare import option


@dataclass(frozen=True, slots=True)
class ForwardProxy:
    """The forward proxy: servers that clients name. See `docs/forward_proxy`."""

    forward_proxy: bool = option(False, "serve as a forward proxy, too; `skitai.enable_proxy()`")
    proxy_clients: tuple[str, ...] = option(
        ("loopback", "private"), "who may use it: addresses, networks, loopback, private, or * for all"
    )
    proxy_users: tuple[str, ...] = option(
        (), "NAME:PASSWORD of each who may use it, once they say so; for a file, the environment or the script", secret=True
    )
    proxy_realm: str = option("Skitai proxy", "name that clients are asked for a password in")
    proxy_names: tuple[str, ...] = option(
        (), "further names of this server: what is asked of them at its ports is answered here, and not passed on"
    )
    proxy_allow: tuple[str, ...] = option(
        (), "nothing else is reached: hosts, .domains, addresses, networks, loopback, private; each may end in :PORT"
    )
    proxy_deny: tuple[str, ...] = option((), "never reached, in the same words")
    proxy_ports: tuple[str, ...] = option(("80", "443", "1024-65535"), "ports to which requests are passed on; * for all")
    proxy_tunnel_ports: tuple[str, ...] = option(("443",), "ports to which CONNECT opens tunnels; * for all")
    proxy_channel_s: float = option(
        60, "an idle connection to a server is kept, and a server may be silent", unit="s", minimum=0.01
    )
    proxy_tunnel_s: float = option(600, "a tunnel in which nothing is said is kept", unit="s", minimum=0.01)
    proxy_connect_s: float = option(10, "finding a server and connecting to it may take", unit="s", minimum=0.01)
    proxy_connections: int = option(1000, "tunnels of one worker, and requests on their way, at once", minimum=1)
    proxy_client_tunnels: int = option(500, "of these tunnels, those of one client", minimum=1)
    proxy_forwarded_for: bool = option(True, "tell servers in X-Forwarded-For who the client is")
