"""The machine's local time, for all logs alike, whatever an app does to its process: Django sets TZ for it."""

from __future__ import annotations

import os
from datetime import datetime, tzinfo
from zoneinfo import ZoneInfo

LOCALTIME = "/etc/localtime"


def zone(name: str, file: str = LOCALTIME) -> tzinfo | None:
    """The time zone that a process begins with.

    :param name: value of TZ; empty for the machine's own.
    :returns: None when it is in a form that only the C library knows.
    """
    try:
        if name and not name.startswith((":", "/")):
            return ZoneInfo(name)
        with open(name.removeprefix(":") or file, "rb") as data:
            return ZoneInfo.from_file(data)
    except (OSError, ValueError, KeyError):
        return None


_zone = zone(os.environ.get("TZ", ""))


def local(now_s: float) -> datetime:
    """Unix time as local time, with its zone."""
    return datetime.fromtimestamp(now_s, _zone) if _zone is not None else datetime.fromtimestamp(now_s).astimezone()
