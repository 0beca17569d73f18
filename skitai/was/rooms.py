"""Rooms of WebSocket connections: what is said in a room reaches its members in all workers.

Each worker knows its own members, and of those of other workers their numbers. It asks for these when the first one of its
own enters a room.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from skitai.http import jsontext
from skitai.protocols.websocket.outgoing import Shared
from skitai.was import host

if TYPE_CHECKING:
    from skitai.ipc.bus import Bus
    from skitai.ipc.parcels import Message

log = logging.getLogger("skitai.app")

TOPIC = "websocket.room"

Content = str | bytes
Deliver = Callable[[Shared], object]
"""Sends to one member; from any thread."""


class Rooms:
    """The rooms of one worker. `say` and `members` may be called from any thread, all else in the loop's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._here: dict[str, dict[int, Deliver]] = {}
        self._elsewhere: dict[str, dict[int, int]] = {}
        self._bus: Bus | None = None

    def join(self, room: str, member: int, deliver: Deliver) -> None:
        """A member of this worker enters."""
        self._attend()
        with self._lock:
            self._here.setdefault(room, {})[member] = deliver
        self._tell(["join", room, [member]])

    def leave(self, room: str, member: int) -> None:
        """It leaves, and hears nothing any more."""
        with self._lock:
            members = self._here.get(room, {})
            members.pop(member, None)
            if not members:
                self._here.pop(room, None)
        self._tell(["leave", room, [member]])

    def members(self, room: str) -> dict[int, bool]:
        """The numbers of all members, and whether each is in this worker."""
        with self._lock:
            return dict.fromkeys(self._elsewhere.get(room, ()), False) | dict.fromkeys(self._here.get(room, ()), True)

    def say(self, room: str, content: Content, to: int | None = None) -> None:
        """Send to all members, or to one.

        :raises ValueError: it is too large for the bus.
        """
        if to is None or to not in self._here.get(room, ()):
            binary = not isinstance(content, str)
            self._tell(["say", room, to, binary], content if isinstance(content, bytes) else str(content).encode("utf-8"))
        self._deliver(room, content, to)

    def _deliver(self, room: str, content: Content, to: int | None) -> None:
        with self._lock:
            members = dict(self._here.get(room, {}))
        if to is not None:
            members = {to: members[to]} if to in members else {}
        shared = Shared(content)
        for deliver in members.values():
            deliver(shared)

    # Other workers

    def _attend(self) -> None:
        worker = host.attached()
        if worker is None or self._bus is worker.bus:
            return
        self._bus = worker.bus
        self._elsewhere.clear()
        worker.bus.subscribe(TOPIC, self._hear)
        worker.bus.when_gone(self._forget)
        self._tell(["who"])

    def _tell(self, head: list[object], payload: bytes = b"") -> None:
        bus = self._bus
        if bus is None:
            worker = host.attached()
            if worker is None:
                return
            bus = worker.bus
        try:
            bus.send(TOPIC, jsontext.dumps(head) + b"\n" + payload)
        except OSError as error:
            log.error("a room does not reach other workers: %s", error)

    def _hear(self, message: Message) -> None:
        head, _, payload = message.payload.partition(b"\n")
        what, *rest = jsontext.loads(head)
        if what == "who":
            with self._lock:
                here = {room: list(members) for room, members in self._here.items()}
            for room, members in here.items():
                self._tell(["join", room, members])
        elif what == "say":
            room, to, binary = rest
            self._deliver(room, payload if binary else payload.decode("utf-8"), to)
        else:
            room, members = rest
            with self._lock:
                known = self._elsewhere.setdefault(room, {})
                if what == "join":
                    known.update(dict.fromkeys(members, message.sender))
                else:
                    for member in members:
                        known.pop(member, None)
                if not known:
                    del self._elsewhere[room]

    def _forget(self, row: int) -> None:
        """A worker has ended, and its members with it."""
        with self._lock:
            for room, members in list(self._elsewhere.items()):
                self._elsewhere[room] = left = {member: at for member, at in members.items() if at != row}
                if not left:
                    del self._elsewhere[room]


rooms = Rooms()
"""Of this worker."""
