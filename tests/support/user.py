"""To be an ordinary user for a moment: what root may, these tests should not."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Root becomes the user `nobody` inside; everybody else is one already.

    Only the effective user changes, and with it go root's capabilities, so root comes back afterwards. Modules that are
    imported inside must be readable for that user.
    """
    if os.geteuid() != 0:
        yield
        return
    nobody = pwd.getpwnam("nobody")
    group = os.getegid()
    os.setegid(nobody.pw_gid)
    os.seteuid(nobody.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
