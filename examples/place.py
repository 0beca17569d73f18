"""Where the example keeps its databases."""

import os
from pathlib import Path


def data_folder() -> Path:
    """A folder that only we can read: $EXAMPLE_DATA, or one in /var/tmp.

    :raises PermissionError: somebody else made it before us.
    """
    folder = Path(os.environ.get("EXAMPLE_DATA") or f"/var/tmp/skitai-example-{os.getuid()}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.lstat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to somebody else")
    return folder
