"""A place where back-ends of ours live, for those who ask them outside of a worker."""

from __future__ import annotations

import asyncio
import threading
from contextlib import nullcontext
from typing import Any


class Home:
    """What back-ends need of a worker, in the loop's thread and in others."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *aliases: Any) -> None:
        from skitai.config.tree import Config

        self.config = Config(aliases=aliases)
        self.cache = None
        self.loop = loop
        self.on_loop = loop.call_soon_threadsafe
        self.waiting = nullcontext
        self._thread = threading.get_ident()

    def in_loop(self) -> bool:
        return threading.get_ident() == self._thread
