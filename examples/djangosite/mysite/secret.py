"""A secret key that is made once and shared by all workers."""

import os
from contextlib import suppress
from pathlib import Path

from django.core.management.utils import get_random_secret_key


def secret_key(file: Path) -> str:
    """Read the key; the first who comes writes it. A link appears whole or not at all, so nobody reads half a key."""
    if not file.exists():
        draft = file.with_name(f"{file.name}.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(get_random_secret_key())
        with suppress(FileExistsError):  # another worker was faster: its key holds
            os.link(draft, file)
        draft.unlink()
    return file.read_text()
