"""To be an ordinary user for a moment, for what root may and these tests should not; and what other users can run."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

FOR_EVERYBODY = f"{Path(__file__).parents[2]}:{sysconfig.get_path('purelib')}"
"""What PYTHONPATH has to be for an interpreter that knows nothing of this environment."""


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


def python_for_everybody() -> str:
    """An interpreter of this version that users other than root can run, too."""
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info[1]}"):
        if os.path.exists(python):
            places = subprocess.run(
                [python, "-c", "import os; print(os.__file__)"], capture_output=True, text=True, check=True
            )
            folders = Path(places.stdout.strip()).resolve().parents
            if all(folder.stat().st_mode & 0o005 == 0o005 for folder in folders):
                return python
    pytest.skip("no Python here that another user can run")
