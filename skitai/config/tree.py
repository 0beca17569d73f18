"""Every option once: its type, default, unit, bounds and help. Flags, environment names, documentation and the print-out
of ``skitai check`` derive from these sections; adding an option touches nothing else.

An option named ``request_line_bytes`` is the keyword ``run(request_line_bytes=...)``, the flag ``--request-line-bytes``, the
environment name ``SKITAI_REQUEST_LINE_BYTES`` and the key ``request_line_bytes`` of its section in a TOML file. Names are
unique across sections; those of a helper's section begin with the section's name, which its fields and its keys leave out:
``config.smtpda.max_retry`` is the option ``smtpda_max_retry`` and the key ``max_retry`` of ``[smtpda]``. Durations end in
``_s`` (seconds) and sizes in ``_bytes`` unless the name is a documented one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

from skitai.config.aliases import Alias
from skitai.config.mounted import Mount
from skitai.config.sections.caching import CacheFs
from skitai.config.sections.guarding import Gateway, Rates, Views
from skitai.config.sections.helping import Cron, Smtpda
from skitai.config.sections.passing import Upstreams
from skitai.config.sections.proxying import ForwardProxy
from skitai.config.sections.reaching import Backends
from skitai.config.sections.running import Log, Paths, Supervision
from skitai.config.sections.serving import (
    Bodies,
    Grpc,
    Http1,
    Http2,
    Proxies,
    Responses,
    Server,
    Static,
    Timeouts,
    Tls,
    WebSocket,
)


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration of one generation. Nothing in it changes.

    :param script: absolute path of the start script; it is the server's identity. Of a helper that runs alone: of its
        configuration file, whether or not there is one.
    :param helper: "smtpda" or "cron" when that runs alone, without listeners and workers.
    :param sources: where each value that is not a default came from, by option name.
    :param warnings: what is allowed but hardly meant, a line each.
    """

    script: str = ""
    title: str = ""
    helper: str = ""
    server: Server = field(default_factory=Server)
    timeouts: Timeouts = field(default_factory=Timeouts)
    http1: Http1 = field(default_factory=Http1)
    http2: Http2 = field(default_factory=Http2)
    bodies: Bodies = field(default_factory=Bodies)
    responses: Responses = field(default_factory=Responses)
    websocket: WebSocket = field(default_factory=WebSocket)
    grpc: Grpc = field(default_factory=Grpc)
    static: Static = field(default_factory=Static)
    log: Log = field(default_factory=Log)
    supervision: Supervision = field(default_factory=Supervision)
    paths: Paths = field(default_factory=Paths)
    proxies: Proxies = field(default_factory=Proxies)
    tls: Tls = field(default_factory=Tls)
    forward_proxy: ForwardProxy = field(default_factory=ForwardProxy)
    backends: Backends = field(default_factory=Backends)
    cachefs: CacheFs = field(default_factory=CacheFs)
    upstreams: Upstreams = field(default_factory=Upstreams)
    gateway: Gateway = field(default_factory=Gateway)
    rates: Rates = field(default_factory=Rates)
    views: Views = field(default_factory=Views)
    smtpda: Smtpda = field(default_factory=Smtpda)
    cron: Cron = field(default_factory=Cron)
    mounts: tuple[Mount, ...] = ()
    aliases: tuple[Alias, ...] = ()
    max_ages: tuple[tuple[str, int], ...] = ()
    log_off: tuple[str, ...] = ()
    last_updates: tuple[str, ...] = ()
    sources: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


SECTIONS: dict[str, type] = {
    "server": Server,
    "timeouts": Timeouts,
    "http1": Http1,
    "http2": Http2,
    "bodies": Bodies,
    "responses": Responses,
    "websocket": WebSocket,
    "grpc": Grpc,
    "static": Static,
    "log": Log,
    "supervision": Supervision,
    "paths": Paths,
    "proxies": Proxies,
    "tls": Tls,
    "forward_proxy": ForwardProxy,
    "backends": Backends,
    "cachefs": CacheFs,
    "upstreams": Upstreams,
    "gateway": Gateway,
    "rates": Rates,
    "views": Views,
    "smtpda": Smtpda,
    "cron": Cron,
}
HELPERS = frozenset({"smtpda", "cron"})
"""Sections whose options begin with the section's name."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option as declared above, for those who print, parse or document it.

    :ivar field: its name in the section; the option's name is the same but for helpers.
    """

    section: str
    field: str
    name: str
    type: str
    default: Any
    help: str
    unit: str
    short: str
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...]
    also: tuple[str, ...]
    secret: bool


def options() -> Iterator[Option]:
    """Every option, in the order of this file."""
    for section, kind in SECTIONS.items():
        for each in fields(kind):
            if each.metadata:
                name = option_name(section, each.name)
                yield Option(section, each.name, name, str(each.type), each.default, **each.metadata)


def option_name(section: str, field: str) -> str:
    """The name of the option behind a field of a section."""
    return f"{section}_{field}" if section in HELPERS else field
