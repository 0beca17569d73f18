"""Where the example keeps its databases."""

import os
import secrets
from contextlib import suppress
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


def secret() -> str:
    """A secret that stays the same from start to start, and for all workers: made once, kept in the folder."""
    file = data_folder() / "secret"
    with suppress(FileExistsError):
        made = file.with_name(f"secret.{os.getpid()}")
        made.touch(0o600)
        made.write_text(secrets.token_urlsafe(48))
        try:
            os.link(made, file)  # in one step: no worker reads half of it
        finally:
            made.unlink()
    return file.read_text()
