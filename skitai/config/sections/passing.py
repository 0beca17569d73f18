"""Options of passing requests on to other servers."""

from __future__ import annotations

from dataclasses import dataclass

from skitai.config.sections.declare import option


@dataclass(frozen=True, slots=True)
class Upstreams:
    """Mounted aliases: requests are passed on to their servers."""

    upstream_connections: int = option(500, "connections of one worker to one server of a mounted alias", minimum=1)
    upstream_queue: int = option(
        1000, "requests of a worker that may wait for such a connection; more get a 503 at once", minimum=0
    )
    upstream_wait_s: float = option(10, "they may wait so long; then they get a 503", unit="s", minimum=0.01)
    upstream_first_byte_s: float = option(
        60, "a server may take so long for the head of its answer; then its client gets a 504", unit="s", minimum=0.01
    )
    upstream_idle_s: float = option(60, "a server may be silent for so long within its answer", unit="s", minimum=0.01)
    upstream_websocket_s: float = option(
        3600, "a WebSocket in which nothing is said is kept open for so long", unit="s", minimum=0.01
    )
    upstream_host: str = option(
        "member", "the Host that servers are asked for: their own, or the client's", choices=("member", "client")
    )
    upstream_interim: str = option(
        "http2",
        "who gets interim responses of servers, early hints say: clients of HTTP/2, all clients, or none;"
        " some of HTTP/1.1 take them for the answer",
        choices=("http2", "all", "none"),
    )
    upstream_forwarded: bool = option(False, "tell of the client by Forwarded (RFC 7239), too")
    upstream_eject_statuses: tuple[str, ...] = option(
        (), "statuses, 502 or 503 say, with which a server counts as failed, and another one is asked; may be repeated"
    )
    upstream_check: str = option("", "path that every server is asked for, to see that it is well; empty for not")
    upstream_check_s: float = option(5, "between two such questions to one server", unit="s", minimum=0.1)
