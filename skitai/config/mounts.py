"""The mounts of a draft, checked: points, hosts, targets, preferences, and who wins where two claim the same place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from skitai.config.aliases import Alias
from skitai.config.draft import MountCall
from skitai.config.mounted import Folder, Mount, Target, Upstream, View
from skitai.config.pref import AttrDict, Preference
from skitai.config.targets import Look, Seen, resolve
from skitai.config.values import size

BODY_SIZES = ("max_post_body_size", "max_multipart_body_size", "max_upload_file_size")

MOUNTABLE = frozenset({"http", "https"})
"""Kinds of aliases to which requests can be passed on."""

VIEWED = frozenset({"sqlite3", "postgresql", "mongodb"})
"""Databases whose rows can be read."""

_HOST = re.compile(r"\.?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[?[0-9a-f:.]+\]?", re.ASCII)


def check_mounts(
    calls: list[MountCall],
    aliases: Mapping[str, Alias],
    look: Look,
    production: bool,
    faults: list[str],
    warnings: list[str],
) -> tuple[Mount, ...]:
    """Make the mounts of the tree, in the order of the calls.

    :param aliases: by name.
    :param production: debug and use_reloader are off, whatever a preference or an app says.
    :param faults: gets a line for each thing that is wrong.
    :param warnings: gets a line for each mount that a later one replaces.
    """
    mounts: list[Mount] = []
    for call in calls:
        target = _target(call, aliases, look, faults)
        point = _point(call, faults)
        host = _host(call, faults)
        pref = _preference(call, production, faults)
        for folder in call.path:
            if look(folder) is not Seen.FOLDER:
                faults.append(f"{call.source}: mount {call.point!r}: path: there is no folder {folder}")
        if target is not None and point is not None and host is not None:
            mounts.append(Mount(point, target, call.app_name, host, pref, call.path, call.source))
    return tuple(_settled(mounts, warnings))


def _settled(mounts: list[Mount], warnings: list[str]) -> list[Mount]:
    """Give each place - a host's point, once for apps and once for folders - to the last that claims it."""
    taken: dict[tuple[str, str, bool], Mount] = {}
    kept: list[Mount] = []
    for mount in reversed(mounts):
        names = []
        for name in mount.host.split():
            winner = taken.setdefault((name, mount.point, isinstance(mount.target, Folder)), mount)
            if winner is mount:
                names.append(name)
            else:
                where = mount.point if name == "default" else f"{mount.point} of {name}"
                warnings.append(f"{winner.source} mounts at {where} in place of what {mount.source} mounts there")
        if names:
            kept.append(replace(mount, host=" ".join(names)))
    warnings.reverse()
    return kept[::-1]


def normal_point(point: str) -> str:
    """A path prefix that ends with "/".

    :raises ValueError: when it is no absolute, plain path.
    """
    if not point.startswith("/"):
        raise ValueError(f"{point!r} does not begin with '/'")
    if any(sign in point for sign in "?#%\\\0 ") or any(part in {".", ".."} for part in point.split("/")):
        raise ValueError(f"{point!r} is no plain path: write it decoded, without '?', '#', spaces and dot segments")
    if "//" in point:
        raise ValueError(f"{point!r} holds an empty segment")
    return point if point.endswith("/") else point + "/"


def _target(call: MountCall, aliases: Mapping[str, Alias], look: Look, faults: list[str]) -> Target | None:
    try:
        target = resolve(call.target, look)
        if isinstance(target, Upstream):
            return _leading_to(target, aliases)
    except ValueError as error:
        faults.append(f"{call.source}: mount {call.point!r}: {error}")
        return None
    return target


def _leading_to(target: Upstream, aliases: Mapping[str, Alias]) -> Upstream:
    """What stands behind an alias: servers, or a database.

    :raises ValueError: there is no such alias, or it is of a kind that cannot be mounted.
    """
    alias = aliases.get(target.alias)
    if alias is None:
        known = ", ".join(f"@{name}" for name in aliases)
        raise ValueError(
            f"there is no alias @{target.alias}; " + (f"there are {known}" if known else "there is none at all")
        )
    if alias.kind in VIEWED:
        return View(target.alias)
    if alias.kind not in MOUNTABLE:
        raise ValueError(
            f"@{target.alias} is a back-end of {alias.kind}; PROTO_HTTP and PROTO_HTTPS can be mounted, and, behind the "
            "gateway, DB_SQLITE3, DB_POSTGRESQL and DB_MONGODB"
        )
    if any(member.proxy and not member.secure for member in alias.members):
        raise ValueError(f"@{target.alias} is reached through a proxy; that can be mounted with PROTO_HTTPS alone")
    return target


def _point(call: MountCall, faults: list[str]) -> str | None:
    try:
        return normal_point(call.point)
    except ValueError as error:
        faults.append(f"{call.source}: mount point {error}")
        return None


def _host(call: MountCall, faults: list[str]) -> str | None:
    names = call.host.lower().split()
    wrong = [name for name in names if not _HOST.fullmatch(name)]
    for name in wrong:
        faults.append(f"{call.source}: mount {call.point!r}: {name!r} is no host name")
    if not names:
        faults.append(f"{call.source}: mount {call.point!r}: host names nothing; leave it out for every host")
    return " ".join(names) if names and not wrong else None


def _preference(call: MountCall, production: bool, faults: list[str]) -> Preference:
    pref = Preference(call.pref)
    pref.config = AttrDict(call.pref.config)
    whole = pref.get("max_client_body_size")
    for name in BODY_SIZES:
        value = pref.config.get(name, whole)
        if value is None:
            continue
        try:
            pref.config[name] = size(value)
        except ValueError as error:
            faults.append(f"{call.source}: mount {call.point!r}: {name}: {error}")
    if production:
        pref.debug = pref.use_reloader = False
    return pref
