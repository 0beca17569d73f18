"""The addresses of hosts that clients name.

The system's resolver blocks, and for names that nobody answers for it does so for many seconds. So it is asked in threads,
for one name but once at a time, and what it says is remembered for a moment.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from functools import partial
from math import inf
from typing import Any

NAMES_AT_ONCE = 64
"""Names that are looked up at once. Those that nobody answers for, which clients may think up, hold up no other requests."""

KEPT_S = 5.0
"""That a name has these addresses, or none, is known for so long."""

MOST = 1024
"""Names that are remembered."""

Info = tuple[Any, Any, Any, Any, Any]
"""As `socket.getaddrinfo` gives them."""


class Names:
    """Belongs to the loop's thread.

    :param ask: `socket.getaddrinfo`, or what answers like it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, ask: Callable[..., list[Info]] = socket.getaddrinfo) -> None:
        self._loop = loop
        self._ask = partial(ask, port=None, type=socket.SOCK_STREAM)
        self._threads = ThreadPoolExecutor(NAMES_AT_ONCE, "names")
        self._asked: dict[str, asyncio.Future[list[Info]]] = {}
        self._until: dict[str, float] = {}

    async def __call__(self, host: str, port: int) -> list[Info]:
        """The addresses of a host; see `Dialler`.

        :raises OSError, UnicodeError: it has none.
        """
        asked = self._asked.get(host)
        if asked is None or self._until.get(host, inf) < self._loop.time():
            asked = self._asked[host] = self._loop.run_in_executor(self._threads, self._ask, host)
            self._until.pop(host, None)
            asked.add_done_callback(partial(self._came, host))
        await asyncio.wait([asked])  # which goes on when we are cancelled: others may wait for it, or ask soon
        error = asked.exception()
        if error is not None:
            raise copy(error)  # the one that is kept would keep all that it was raised through
        return [(*info[:4], (info[4][0], port, *info[4][2:])) for info in asked.result()]

    def _came(self, host: str, asked: asyncio.Future[list[Info]]) -> None:
        if not asked.cancelled():
            asked.exception()  # which is for those who wait, if anybody still does
        now = self._loop.time()
        self._until[host] = now + KEPT_S
        if len(self._until) > MOST:
            for each in [name for name, until in self._until.items() if until < now] or list(self._until):
                del self._until[each], self._asked[each]

    def close(self) -> None:
        """Nothing is asked any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)
