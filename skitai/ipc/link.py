"""The link between the master and one of its children, and the child as it sees itself.

The link is a pair of SOCK_SEQPACKET sockets: a message is a packet, and the end of the other side shows as an end of
file, however it ended. That is how a child notices that its master was killed.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from skitai.config.tree import Config
from skitai.ipc import messages
from skitai.ipc.buckets import Buckets
from skitai.ipc.bus import Bus
from skitai.ipc.lastupdate import Table
from skitai.ipc.messages import Failed, Message, Ready, Restart, Shutdown
from skitai.ipc.rundir import Places
from skitai.ipc.scoreboard import Row, State

if TYPE_CHECKING:
    from skitai.cachefs.host import Host

_PACKET_BYTES = 65536  # a message of the longest text, escaped, fits

LEAVING_S = 3.0
"""A child that lost its master has this long, beyond the grace time, to leave by itself."""

LOST_CODE = 70
"""Exit code of a child that had to be ended after it lost its master (EX_SOFTWARE)."""


class Link:
    """One end of a link."""

    __slots__ = ("socket",)

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock

    @classmethod
    def pair(cls) -> tuple[Link, Link]:
        """The master's end, which never blocks, and the child's."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        return cls(ours), cls(theirs)

    @classmethod
    def adopt(cls, fd: int) -> Link:
        """The master's end of a link that the program before the exec made."""
        sock = socket.socket(fileno=fd)
        sock.set_inheritable(False)
        sock.setblocking(False)
        return cls(sock)

    def hand_over(self) -> int:
        """Let this end survive the next exec; its descriptor."""
        self.socket.set_inheritable(True)
        return self.socket.fileno()

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, message: Message) -> bool:
        """Send a message; False when the other side has gone."""
        try:
            self.socket.send(messages.encode(message))
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def receive(self) -> tuple[list[Message], bool]:
        """The messages that have come, and whether the other side is still there. Only for the master's end."""
        received: list[Message] = []
        while True:
            try:
                data = self.socket.recv(_PACKET_BYTES)
            except BlockingIOError:
                return received, True
            except ConnectionResetError:
                return received, False
            if not data:
                return received, False
            if message := messages.decode(data):
                received.append(message)

    def wait_for_end(self) -> None:
        """Block until the other side has gone. Only for the child's end."""
        while True:
            try:
                if not self.socket.recv(_PACKET_BYTES):
                    return
            except ConnectionResetError:
                return

    def close(self) -> None:
        self.socket.close()


class Child:
    """A child process as it sees itself; what a program's target is called with.

    :ivar sockets: listening, non-blocking, shared with the other children.
    :ivar number: running number of all children of its program.
    :ivar generation: of the code; 1 at the first start, one more at each reload.
    :ivar row: where the child reports its state and heartbeats.
    :ivar table: the last-update table.
    :ivar places: the var folder, the log folder, and whether logs go to the console.
    :ivar bus: the way to the other children; nothing comes before the child opens it.
    :ivar strict: somebody else is serving, so an app that cannot be loaded is a reason for `failed`. Otherwise the child
        had better serve the other apps.
    :ivar cachefs: the HTTP cache, as the master has made it; None where none is configured.
    :ivar buckets: how much clients may still ask for, which all children count together.
    :ivar master_lost: called in a thread of its own when the master has died. By default the child sends itself SIGTERM.
    """

    def __init__(
        self,
        config: Config,
        sockets: list[socket.socket],
        number: int,
        generation: int,
        row: Row,
        table: Table,
        link: Link,
        places: Places,
        bus: Bus,
        strict: bool = False,
        buckets: Buckets | None = None,
    ) -> None:
        self.config = config
        self.sockets = sockets
        self.number = number
        self.generation = generation
        self.row = row
        self.table = table
        self.places = places
        self.bus = bus
        self.strict = strict
        self.cachefs: Host | None = None
        self.buckets = buckets or Buckets.alone()
        self.master_lost: Callable[[], object] = _terminate
        self._link = link
        self._lost = False
        self._lock = threading.Lock()

    def ready(self) -> None:
        """Say that the apps are loaded and connections are accepted."""
        self.row.state = State.SERVING
        self._link.send(Ready())

    def failed(self, reason: str) -> None:
        """Say why this child cannot serve; it should leave with a code other than 0 then."""
        self._link.send(Failed(reason))

    def restart(self) -> None:
        """Ask for new code: of the whole server when this is its only worker, else of this worker."""
        self._link.send(Restart())

    def shutdown(self) -> None:
        """Ask to stop the server when this is its only worker, else to replace this worker."""
        self._link.send(Shutdown())

    def watch(self, on_lost: Callable[[], object]) -> None:
        """Have `on_lost` called when the master has died; at once if it already has.

        It is called in another thread. The process is ended some seconds after the grace time if it is still there.
        """
        with self._lock:
            self.master_lost = on_lost
            lost = self._lost
        if lost:
            on_lost()

    def start_watching(self) -> None:
        """Start the thread that waits for the master's end. The master's `spawn` calls it in every child."""
        threading.Thread(target=self._wait_for_end, name="skitai-master-watch", daemon=True).start()

    def _wait_for_end(self) -> None:
        self._link.wait_for_end()
        with self._lock:
            self._lost = True
            on_lost = self.master_lost
        # In a thread of its own: whatever the hook does, this process ends.
        threading.Thread(target=on_lost, name="skitai-master-lost", daemon=True).start()
        time.sleep(self.config.timeouts.grace_s + LEAVING_S)
        os._exit(LOST_CODE)

    def __repr__(self) -> str:
        return f"<Child #{self.number} generation={self.generation} {self.row.state.name}>"


def _terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
