"""Options of reaching other servers."""

from __future__ import annotations

from dataclasses import dataclass

from skitai.config.sections.declare import MIB, option


@dataclass(frozen=True, slots=True)
class Backends:
    """Requests of handlers to other servers."""

    backend_keep_alive: float = option(1200, "an idle connection to a back-end is kept", unit="s", minimum=0)
    backend_connections: int = option(100, "connections of one worker to one back-end server", minimum=1)
    backend_total_connections: int = option(
        1000, "connections of one worker to all back-end servers; one that idles makes room", minimum=1
    )
    backend_connect_s: float = option(5, "connecting to a back-end, TLS included, may take", unit="s", minimum=0.01)
    backend_idle_s: float = option(30, "a back-end may be silent while its answer is awaited", unit="s", minimum=0.01)
    backend_streams: int = option(100, "requests at once on one HTTP/2 connection to a back-end", minimum=1)
    backend_body_bytes: int = option(
        64 * MIB, "longest answer of a back-end that is kept in memory, inflated", unit="bytes", minimum=0
    )
    backend_redirects: int = option(10, "redirects that are followed where that is wished", minimum=0)
    backend_eject_s: float = option(
        10, "a server that cannot be reached is left alone, twice as long each time, up to 60 s", unit="s", minimum=0
    )
    max_rcache: int = option(100, "results that a worker keeps (`cache`)", minimum=0)
