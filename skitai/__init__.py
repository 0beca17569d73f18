"""Skitai: an app server that starts from one self-descriptive script.

::

    import skitai

    skitai.mount("/", "static")
    skitai.mount("/", app)
    skitai.run(port=5000, workers=2)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skitai.api.mounting import mount, mount_django
from skitai.api.reaching import (
    alias,
    enable_cachefs,
    enable_gateway,
    enable_proxy,
    set_backend_keep_alive,
    set_max_rcache,
    set_proxy_keep_alive,
)
from skitai.api.server import (
    abspath,
    addlu,
    cron,
    deflu,
    enable_file_logging,
    enable_forward,
    enable_smtpda,
    enable_ssl,
    get_proc_title,
    getswd,
    is_devel,
    joinpath,
    log_off,
    lukeys,
    pref,
    run,
    set_keep_alive,
    set_max_age,
    set_network_timeout,
    set_request_timeout,
    set_worker_critical_point,
    trackers,
)
from skitai.backend.errors import BackendError, Failed
from skitai.config.aliases import (
    DB_MONGODB,
    DB_PGSQL,
    DB_POSTGRESQL,
    DB_REDIS,
    DB_SQLITE3,
    PROTO_HTTP,
    PROTO_HTTPS,
    PROTO_WS,
    PROTO_WSS,
)
from skitai.protocols.websocket.names import (
    WS_EVT_CLOSE,
    WS_EVT_INIT,
    WS_EVT_NONE,
    WS_EVT_OPEN,
    WS_GROUPCHAT,
    WS_MSG_DEFAULT,
    WS_MSG_GRPC,
    WS_MSG_JSON,
    WS_MSG_TEXT,
    WS_MSG_XMLRPC,
    WS_OPCODE_BINARY,
    WS_OPCODE_CLOSE,
    WS_OPCODE_PING,
    WS_OPCODE_PONG,
    WS_OPCODE_TEXT,
    WS_SIMPLE,
    WS_THREADSAFE,
)
from skitai.version import __version__

if TYPE_CHECKING:
    from skitai.testing import launch
    from skitai.was.mail import email
    from skitai.was.proxy import was

__all__ = [
    "DB_MONGODB",
    "DB_PGSQL",
    "DB_POSTGRESQL",
    "DB_REDIS",
    "DB_SQLITE3",
    "PROTO_HTTP",
    "PROTO_HTTPS",
    "PROTO_WS",
    "PROTO_WSS",
    "WS_EVT_CLOSE",
    "WS_EVT_INIT",
    "WS_EVT_NONE",
    "WS_EVT_OPEN",
    "WS_GROUPCHAT",
    "WS_MSG_DEFAULT",
    "WS_MSG_GRPC",
    "WS_MSG_JSON",
    "WS_MSG_TEXT",
    "WS_MSG_XMLRPC",
    "WS_OPCODE_BINARY",
    "WS_OPCODE_CLOSE",
    "WS_OPCODE_PING",
    "WS_OPCODE_PONG",
    "WS_OPCODE_TEXT",
    "WS_SIMPLE",
    "WS_THREADSAFE",
    "BackendError",
    "Failed",
    "__version__",
    "abspath",
    "addlu",
    "alias",
    "cron",
    "deflu",
    "email",
    "enable_cachefs",
    "enable_file_logging",
    "enable_forward",
    "enable_gateway",
    "enable_proxy",
    "enable_smtpda",
    "enable_ssl",
    "get_proc_title",
    "getswd",
    "is_devel",
    "joinpath",
    "launch",
    "log_off",
    "lukeys",
    "mount",
    "mount_django",
    "pref",
    "run",
    "set_backend_keep_alive",
    "set_keep_alive",
    "set_max_age",
    "set_max_rcache",
    "set_network_timeout",
    "set_proxy_keep_alive",
    "set_request_timeout",
    "set_worker_critical_point",
    "trackers",
    "was",
]


def __getattr__(name: str) -> object:
    """What would cost every start its import, fetched when it is first used."""
    if name == "launch":
        from skitai.testing import launch

        return launch
    if name == "email":
        from skitai.was.mail import email

        return email
    if name == "was":
        import skitai.was as module

        return module
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
