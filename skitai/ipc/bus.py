"""The bus: messages between the workers of one server. The master is not on their way.

Each row of the scoreboard has an inbox, a pair of datagram sockets that is made before the fork: the worker of that row
reads one end, all others inherit the end to write to. A worker that listens says so in its row with a mark of its own, and
the master clears the row when the worker has ended: so everybody sees who is there, and nothing goes to those who are not.

A socket pair is bounded by bytes, not by a number of messages. What an inbox does not take at once waits at the sender,
within limits, until the reader has made room; what is beyond them is dropped, counted and logged. Nobody ever waits for a
reader.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic

from skitai.ipc.inboxes import Inboxes
from skitai.ipc.parcels import DATAGRAM_BYTES, LARGEST_BYTES, Message, Parcel, unpack
from skitai.ipc.scoreboard import Row

log = logging.getLogger("skitai.server")

BACKLOG_MESSAGES = 50_000
BACKLOG_BYTES = 64 << 20
"""What one worker keeps for all the others, together."""

AT_ONCE = 100
REPORT_S = 10.0

_FULL = (errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS, errno.EMFILE)
_GONE = (errno.ECONNREFUSED, errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN)


class _Peer:
    """Another worker's inbox, as seen by those who write to it."""

    __slots__ = ("backlog", "dropped", "mark", "reported_s", "slot", "socket", "strained", "told", "watched")

    def __init__(self, slot: int, sock: socket.socket) -> None:
        self.slot = slot
        self.socket = sock
        self.mark = 0  # of the worker that reads it; 0 when nobody does
        self.told = 0  # the mark that the rest of this worker knows
        self.backlog: deque[Parcel] = deque()
        self.watched = False
        self.strained = False  # it was the system, not the inbox, that had no room: writability does not show when it has
        self.dropped = 0
        self.reported_s = -REPORT_S


class Bus:
    """One worker's place on the bus.

    `send` may be called from any thread; all else belongs to the loop's.

    :param row: the worker's; its number is that of the inbox.
    :ivar dropped: messages that another worker did not make room for, since the start.
    :ivar lost: messages to this worker that could not be read.
    """

    def __init__(self, inboxes: Inboxes, row: Row) -> None:
        self._inboxes = inboxes
        self._row = row
        self._reader: socket.socket | None = None
        self._peers: list[_Peer] = []
        self._marks: dict[int, Row] = {}
        self._subscribers: dict[str, Callable[[Message], object]] = {}
        self._mourners: list[Callable[[int], object]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._waiting = 0
        self._waiting_bytes = 0
        self._mark = 0
        self._paused = False
        self.dropped = 0
        self.lost = 0

    def open(self) -> None:
        """Say that this worker listens: from now on messages are kept for it, until `attach` delivers them."""
        self.open_to_send()
        self._reader = self._inboxes.reader(self._row.index)
        if self._reader is None:
            log.warning("there are only %d inboxes: messages of other workers do not reach this one", len(self._inboxes))
        self._mark = os.getpid()
        if self._reader is not None:
            self._row.inbox = self._mark

    def open_to_send(self) -> None:
        """Be heard without listening: for processes that are no workers. What finds no room is tried again by `close`."""
        self._peers = [_Peer(*each) for each in self._inboxes.writers(self._row.index)]
        self._marks = {peer.slot: Row(self._row, peer.slot) for peer in self._peers}

    def subscribe(self, topic: str, listener: Callable[[Message], object]) -> None:
        """Have messages of a topic delivered to `listener`, in the loop's thread, in the order of each sender.

        :raises ValueError: the topic has a listener.
        """
        if topic in self._subscribers:
            raise ValueError(f"somebody else listens to {topic!r}")
        self._subscribers[topic] = listener

    def unsubscribe(self, topic: str) -> None:
        self._subscribers.pop(topic, None)

    def when_gone(self, listener: Callable[[int], object]) -> None:
        """Have `listener` called, in the loop's thread, with the row of each worker that has ended, within a second."""
        self._mourners.append(listener)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Deliver what has come and what comes, in the loop's thread, which this is."""
        self._loop = loop
        if self._reader is not None:
            loop.add_reader(self._reader.fileno(), self._receive)
        self._flush()

    def close(self) -> None:
        """Listen no more, and let go what could not be sent."""
        if self._row.inbox == self._mark:
            self._row.inbox = 0
        if self._loop is not None:
            if self._reader is not None:
                self._loop.remove_reader(self._reader.fileno())
            for peer in self._peers:
                if peer.watched:
                    self._loop.remove_writer(peer.socket.fileno())
        self._flush()
        with self._lock:
            self._loop, self._reader = None, None
            for peer in self._peers:
                if left := len(peer.backlog):
                    self.dropped += left
                    log.error("%d messages to the worker of row %d were not sent: it had no room", left, peer.slot)
                self._forget(peer)
            self._peers = []

    # Sending

    def send(self, topic: str, payload: bytes) -> int:
        """Send a message to all other workers; never blocks.

        :returns: to how many it goes.
        :raises ValueError: the payload is larger than `LARGEST_BYTES`.
        :raises OSError: there is no memory or descriptor for a large payload.
        """
        if len(payload) > LARGEST_BYTES:
            raise ValueError(f"a message of {len(payload)} bytes is too large: workers take up to {LARGEST_BYTES}")
        with self._lock:
            there = [peer for peer in self._peers if self._there(peer)]
            if not there:
                return 0
            parcel = Parcel.pack(self._row.index, topic, payload, len(there))
            for peer in there:
                if peer.backlog or not self._sent(peer, parcel):
                    self._keep(peer, parcel)
        return len(there)

    def _there(self, peer: _Peer) -> bool:
        """Whether somebody reads a peer's inbox. What waits for one that has gone is forgotten."""
        mark = self._marks[peer.slot].inbox
        if mark != peer.mark:
            self._forget(peer)
            peer.mark = mark
        return mark != 0

    def _sent(self, peer: _Peer, parcel: Parcel) -> bool:
        """Try to send; True when nothing is left to do for this peer."""
        try:
            parcel.send(peer.socket)
        except OSError as error:
            if error.errno in _FULL:
                peer.strained = error.errno != errno.EAGAIN
                return False
            if error.errno not in _GONE:
                log.error("a message to the worker of row %d was not sent: %s", peer.slot, error)
            self.dropped += 1
        else:
            peer.strained = False
        parcel.done()
        return True

    def _keep(self, peer: _Peer, parcel: Parcel) -> None:
        if self._waiting >= BACKLOG_MESSAGES or self._waiting_bytes + parcel.size > BACKLOG_BYTES:
            self.dropped += 1
            peer.dropped += 1
            parcel.done()
            return
        self._waiting += 1
        self._waiting_bytes += parcel.size
        peer.backlog.append(parcel)
        if not peer.watched and not peer.strained and self._loop is not None:
            peer.watched = True
            try:
                self._loop.call_soon_threadsafe(self._watch, peer)
            except RuntimeError:
                peer.watched = False  # the loop has ended; `close` says what was not sent

    def _watch(self, peer: _Peer) -> None:
        if self._loop is not None:
            self._loop.add_writer(peer.socket.fileno(), self._writable, peer)

    def _writable(self, peer: _Peer) -> None:
        with self._lock:
            if (self._drained(peer) or peer.strained) and self._loop is not None:
                self._loop.remove_writer(peer.socket.fileno())
                peer.watched = False

    def _drained(self, peer: _Peer) -> bool:
        """Send what waits for a peer, as far as it has room; whether nothing waits any more."""
        if not self._there(peer):
            return True
        while peer.backlog:
            parcel = peer.backlog[0]
            size = parcel.size
            if not self._sent(peer, parcel):
                return False
            peer.backlog.popleft()
            self._waiting -= 1
            self._waiting_bytes -= size
        return True

    def _flush(self) -> None:
        """Try all that waits, and watch what goes on waiting."""
        with self._lock:
            for peer in self._peers:
                if not peer.backlog or self._drained(peer):
                    continue
                if not peer.watched and not peer.strained and self._loop is not None:
                    peer.watched = True
                    self._watch(peer)

    def _forget(self, peer: _Peer) -> None:
        while peer.backlog:
            parcel = peer.backlog.popleft()
            self._waiting -= 1
            self._waiting_bytes -= parcel.size
            parcel.done()

    # Receiving

    @property
    def waiting(self) -> int:
        """Messages that wait for other workers to make room, counted once for each of these."""
        return self._waiting

    def pause(self) -> None:
        """Take no more out of the inbox for now: this worker has enough to do."""
        if not self._paused and self._loop is not None and self._reader is not None:
            self._paused = True
            self._loop.remove_reader(self._reader.fileno())

    def resume(self) -> None:
        if self._paused and self._loop is not None and self._reader is not None:
            self._paused = False
            self._loop.add_reader(self._reader.fileno(), self._receive)

    def _receive(self) -> None:
        """Take some messages; when more have come, the loop calls again after its other work."""
        for _ in range(AT_ONCE):
            if self._reader is None or self._paused:
                return
            try:
                data, ancillary, flags, _ = self._reader.recvmsg(
                    DATAGRAM_BYTES, socket.CMSG_SPACE(4), socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
                )
            except (BlockingIOError, ConnectionResetError):
                return
            try:
                message = unpack(data, ancillary)
            except (OSError, ValueError) as error:
                self.lost += 1
                cut = ", and there were no descriptors to take it" if flags & socket.MSG_CTRUNC else ""
                log.error("a message of another worker could not be read: %s%s", error, cut)
                continue
            if message is not None and (listener := self._subscribers.get(message.topic)):
                try:
                    listener(message)
                except Exception:
                    log.exception("a message of the worker of row %d about %r went wrong", message.sender, message.topic)

    def tick(self) -> None:
        """Once a second: say who has gone, try again what was refused, report what was dropped."""
        now = monotonic()
        self._flush()
        self._row.dropped = self.dropped
        for peer in self._peers:
            mark = self._marks[peer.slot].inbox
            if mark != peer.told:
                gone, peer.told = peer.told, mark
                if gone:
                    self._mourn(peer.slot)
            if peer.dropped and now - peer.reported_s >= REPORT_S:
                dropped, peer.dropped, peer.reported_s = peer.dropped, 0, now
                log.error("%d messages to the worker of row %d were dropped: it does not read them", dropped, peer.slot)

    def _mourn(self, slot: int) -> None:
        for listener in self._mourners:
            try:
                listener(slot)
            except Exception:
                log.exception("what follows the end of the worker of row %d went wrong", slot)

    def __repr__(self) -> str:
        there = sum(bool(row.inbox) for row in self._marks.values())
        return f"<Bus row={self._row.index} others={there} waiting={self._waiting} dropped={self.dropped}>"
