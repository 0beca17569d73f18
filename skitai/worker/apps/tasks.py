"""How the requests of an app become tasks of the loop."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any

_EAGER: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}
"""Where Python can, a task's first step is taken at once: most need no second one."""


def start(work: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> asyncio.Task[None]:
    """Work on a request in the loop, which runs; the task may have ended already."""
    return asyncio.Task(work, loop=loop, name="request", **_EAGER)
