"""The gateway: who may reach what is mounted by an alias, and how often."""

from __future__ import annotations

from typing import Any

from skitai.config.mounted import Mount, Upstream
from skitai.config.tree import Config


def guarded(app: Any, mount: Mount, config: Config) -> Any:
    """The app of a mount, behind the gateway where there is one."""
    if not isinstance(mount.target, Upstream) or not (config.gateway.gateway_auth or config.rates.rate_limit):
        return app
    from skitai.worker.gateway.guard import Guarded  # most servers have none

    alias = next(each for each in config.aliases if each.name == mount.target.alias)
    return Guarded(app, alias, config)
