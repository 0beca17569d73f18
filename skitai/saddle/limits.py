"""How large the requests of an app may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skitai.config import preset
from skitai.config.mounts import BODY_SIZES
from skitai.config.values import size
from skitai.errors import LoadError

if TYPE_CHECKING:
    from skitai.config.mounted import Mount
    from skitai.config.sections.serving import Bodies
    from skitai.saddle.app import Saddle


def settle_limits(app: Saddle, mount: Mount, bodies: Bodies) -> dict[str, int]:
    """The limits of an app's requests: the server's, where the app and its preferences leave the defaults.

    :raises LoadError: one is no size in bytes.
    """
    defaults, servers = preset.limits(), preset.limits(bodies)
    for name in BODY_SIZES:
        value = app.config.get(name, defaults[name])
        if value == defaults[name] and name not in mount.pref.config:
            value = servers[name]
        try:
            app.config[name] = size(value)
        except ValueError as error:
            raise LoadError(f"the app at {mount.point}: config.{name}: {error}") from error
    return {name: app.config[name] for name in BODY_SIZES}
