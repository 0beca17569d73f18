"""What this process runs a start script for. The command line sets it, `run` inside the script acts on it."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Purpose(enum.Enum):
    START = "do what the command line says"
    PROBE = "find out whether the script and its apps load"
    RESUME = "go on as the master after an exec in place"


@dataclass(slots=True)
class Role:
    """The purpose, and how far the script has come.

    :ivar inherited_fd: descriptor of the state that the master before the exec left.
    :ivar reached: the script has called `run`.
    :ivar resumed: a resuming master has taken over.
    :ivar code: exit code with which `run` left the script.
    """

    purpose: Purpose = Purpose.START
    inherited_fd: int | None = None
    reached: bool = False
    resumed: bool = False
    code: int = 0


role = Role()
