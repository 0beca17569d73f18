"""Looks at the file system for `check` and `mount`: the one module of this room that touches it."""

from __future__ import annotations

import os

from skitai.config.targets import Seen


def look(path: str) -> Seen:
    """What stands at a path, links followed."""
    if os.path.isdir(path):
        return Seen.FOLDER if os.access(path, os.R_OK | os.X_OK) else Seen.UNREADABLE
    if os.path.exists(path):
        return Seen.FILE if os.access(path, os.R_OK) else Seen.UNREADABLE
    return Seen.NOTHING
