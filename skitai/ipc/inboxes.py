"""The inboxes of workers, as the master holds them: made before the fork, kept across an exec (see `bus`)."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from skitai.errors import StartError

FEWEST = 32
INBOX_BYTES = 1 << 20


def wanted(workers: int) -> int:
    """How many inboxes a server needs: old and new workers live side by side during a reload."""
    return max(FEWEST, 2 * workers + FEWEST // 2)


class Inboxes:
    """All inboxes of a server, as the master holds them."""

    __slots__ = ("_pairs",)

    def __init__(self, pairs: list[tuple[socket.socket, socket.socket]]) -> None:
        self._pairs = pairs

    @classmethod
    def create(cls, count: int) -> Inboxes:
        """:raises StartError: there are too few descriptors."""
        inboxes = cls([])
        inboxes.grow(count)
        return inboxes

    @classmethod
    def adopt(cls, pairs: Sequence[Sequence[int]]) -> Inboxes:
        """Those of the program before the exec, with the messages that lie in them."""
        inboxes = cls([(socket.socket(fileno=reader), socket.socket(fileno=writer)) for reader, writer in pairs])
        inboxes.keep()
        return inboxes

    def grow(self, count: int) -> None:
        """Have at least so many. Children that live already do not reach the new ones.

        :raises StartError: there are too few descriptors.
        """
        try:
            while len(self._pairs) < count:
                reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
                writer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, INBOX_BYTES)
                self._pairs.append((reader, writer))
        except OSError as error:
            raise StartError(f"cannot make {count} inboxes for workers: {error.strerror}") from error

    def replace(self) -> Inboxes:
        """As many new ones, for children that have nothing to do with those who have these."""
        self.close()
        return Inboxes.create(len(self))

    def hand_over(self) -> list[list[int]]:
        """Let all survive the next exec; their descriptors."""
        for each in self._sockets():
            each.set_inheritable(True)
        return [[reader.fileno(), writer.fileno()] for reader, writer in self._pairs]

    def keep(self) -> None:
        """No exec is to come: other programs that are started do not get them."""
        for each in self._sockets():
            each.set_inheritable(False)

    def empty(self, slot: int) -> None:
        """Throw away what was meant for the worker that had this row before. There must be none that reads it."""
        if slot >= len(self._pairs):
            return
        try:
            while True:
                self._pairs[slot][0].recv(1, socket.MSG_DONTWAIT)
        except OSError:
            return  # nothing is left

    def leave_to(self, slot: int) -> None:
        """In the child of this row: close what only others read, and what leads to itself."""
        for number, (reader, writer) in enumerate(self._pairs):
            (writer if number == slot else reader).close()

    def reader(self, slot: int) -> socket.socket | None:
        """The end to read from; None when there is no inbox for this row."""
        return self._pairs[slot][0] if slot < len(self._pairs) else None

    def writers(self, slot: int) -> list[tuple[int, socket.socket]]:
        """The ends to write to, with their rows, for the worker of this row."""
        return [(number, writer) for number, (_, writer) in enumerate(self._pairs) if number != slot]

    def close(self) -> None:
        for each in self._sockets():
            each.close()

    def _sockets(self) -> list[socket.socket]:
        return [each for pair in self._pairs for each in pair]

    def __len__(self) -> int:
        return len(self._pairs)

    def __repr__(self) -> str:
        return f"<Inboxes {len(self)}>"
