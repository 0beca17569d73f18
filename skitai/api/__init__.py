"""The public functions: each writes a line or two into the draft; `run` hands it to the command line, which starts.

A script may be imported again, by a worker for instance: then the draft is closed and these functions change nothing.
"""

from __future__ import annotations

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

__all__ = [
    "abspath",
    "addlu",
    "alias",
    "cron",
    "deflu",
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
]
