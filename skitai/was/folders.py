"""Folders for temporary files that nobody else may look into."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress


def private_folder(base: str, name: str) -> str:
    """A folder below `base` that only this process's user may enter; made if it is not there.

    :returns: its path; of another folder, with a name nobody can guess, when somebody else has made that one.
    """
    folder = os.path.join(base, name)
    with suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    found = os.lstat(folder)
    if not os.path.isdir(folder) or os.path.islink(folder) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        return tempfile.mkdtemp(prefix="skitai-")  # never put anything into a folder of somebody else
    return folder
