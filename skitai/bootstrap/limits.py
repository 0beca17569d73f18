"""The limit of open files: every connection is one."""

from __future__ import annotations

import resource

ENOUGH = 4096
MOST = 1 << 20
"""Where the system sets no limit; some programs walk through all descriptors that they might have."""


def raise_descriptor_limit() -> str:
    """Raise the soft limit to the hard one; a warning when that is low, else ""."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return low_limit_warning(most)


def low_limit_warning(limit: int) -> str:
    if limit >= ENOUGH:
        return ""
    return (
        f"a process may open only {limit} files here, so each worker takes at most {max(0, limit - 256)} connections: "
        + ("raise the hard limit (ulimit -Hn, or LimitNOFILE= of the systemd unit)")
    )
