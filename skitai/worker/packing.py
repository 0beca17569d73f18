"""Long WebSocket messages of the loop are compressed in another thread, and nothing overtakes them on their connection."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from skitai.protocols.websocket.outgoing import Shared

if TYPE_CHECKING:
    from skitai.worker.services import Services

log = logging.getLogger("skitai.app")

LONG = 65536
"""A message of this length takes most of a millisecond to compress."""

Job = Callable[[], None]


class Packing:
    """What one conversation says from a message on that a thread packs. All of it may be called from any thread.

    :param send: packs and sends a message.
    :param failed: called when that raised; ends the conversation.
    :ivar waiting: bytes that are not packed yet.
    """

    __slots__ = ("_failed", "_jobs", "_lock", "_messages", "_send", "_services", "waiting")

    def __init__(self, services: Services, send: Callable[[Shared], object], failed: Job) -> None:
        self._services = services
        self._send = send
        self._failed = failed
        self._lock = threading.Lock()
        self._messages: deque[Shared] = deque()
        self._jobs: list[Job] = []
        self.waiting = 0

    def take(self, message: Shared, *, at_once: bool) -> bool:
        """Send a message when it is packed, behind those that wait.

        :param at_once: the caller can send it himself if there are none.
        :returns: False when he has to.
        """
        with self._lock:
            if at_once and not self._messages:
                return False
            self._messages.append(message)
            self.waiting += message.size
            begins = len(self._messages) == 1
        if begins:
            self._services.disk.submit(self._work)
        return True

    def then(self, job: Job) -> bool:
        """Call `job` in the loop when all that waits has been sent; False when nothing waits."""
        with self._lock:
            if self._messages:
                self._jobs.append(job)
            return bool(self._messages)

    def _work(self) -> None:
        """A thread's part."""
        messages = self._messages
        while True:
            try:
                self._send(messages[0])
            except Exception:
                log.exception("a WebSocket message could not be sent")
                self._failed()
            with self._lock:
                self.waiting -= messages.popleft().size
                if not messages:
                    jobs, self._jobs = self._jobs, []
                    break
        for job in jobs:
            self._services.on_loop(job)
