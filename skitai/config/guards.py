"""The options of the gateway, and what is mounted behind it, checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from skitai.config.aliases import Alias
from skitai.config.mounted import Mount, Upstream, View

SECRET_BYTES = 32
"""Shorter ones can be guessed (RFC 7518, section 3.2)."""

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^`|~-]+", re.ASCII).fullmatch
"""A field's name without underscores, which some servers take for hyphens."""

NOT_OURS = frozenset(
    {"authorization", "connection", "content-length", "host", "te", "trailer", "transfer-encoding", "upgrade"}
)
"""Fields that mean something to those between us and the upstream."""


def check_gateway(
    values: Mapping[str, Any],
    labels: Mapping[str, str],
    mounts: Iterable[Mount],
    aliases: Mapping[str, Alias],
    faults: list[str],
    warnings: list[str],
) -> None:
    """See that the gateway can work, and that no database is open to everybody.

    :param values: the options that were given.
    :param labels: where each was given.
    :param aliases: by name.
    """
    auth = values.get("gateway_auth", False)
    secret = values.get("gateway_secret", "")
    if "PRIVATE KEY-----" in secret:
        faults.append(f"{labels['gateway_secret']}: is a private key; tokens are verified with the public one")
    elif auth and secret and "-----BEGIN" not in secret and len(secret.encode("utf-8")) < SECRET_BYTES:
        short = f"has fewer than {SECRET_BYTES} bytes, so that whoever has a token may guess it"
        warnings.append(f"{labels['gateway_secret']}: {short}")
    if not values.get("gateway_realm", "x").isprintable():
        faults.append(f"{labels['gateway_realm']}: holds what no field can hold")
    name = values.get("gateway_user_field", "")
    if name and (not _NAME(name) or name.lower() in NOT_OURS):
        faults.append(f"{labels['gateway_user_field']}: {name!r} is no name for a field of our own")
    if name and not auth:
        warnings.append(f"{labels['gateway_user_field']}: without gateway_auth nobody is known, so that it tells nothing")
    for mount in mounts:
        if auth or not isinstance(mount.target, Upstream):
            continue
        where = f"{mount.source}: mount {mount.point[:-1] or '/'!r}"
        alias = aliases[mount.target.alias]
        if alias.role or alias.source:
            warnings.append(
                f"{where}: without the gateway everybody reaches @{alias.name}, whatever its role and source say; "
                "call skitai.enable_gateway(True, ...)"
            )
        if isinstance(mount.target, View):
            faults.append(
                f"{where}: the database @{mount.target.alias} would be everybody's to read; "
                "call skitai.enable_gateway(True, ...), so that tokens are demanded"
            )
