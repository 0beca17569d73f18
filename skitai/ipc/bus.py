"""The bus: messages between the workers of one server. The master is not on their way.

Each row of the scoreboard has an inbox, a pair of datagram sockets that is made before the fork: the worker of that row
reads one end, all others inherit the end to write to. A worker that listens says so in its row with a mark of its own, and
the master clears the row when the worker has ended: so everybody sees who is there, and nothing goes to those who are not.

A socket pair is bounded by bytes, not by a number of messages. What an inbox does not take at once waits at the sender,
within limits, until the reader has made room; what is beyond them is dropped, counted and logged. Nobody ever waits for a
reader.
"""

from __future__ import annotations

import array
import asyncio
import errno
import logging
import os
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic

from skitai.errors import StartError
from skitai.ipc.scoreboard import Row

log = logging.getLogger("skitai.server")

FEWEST = 32
INLINE_BYTES = 16384
"""A larger payload travels as a memfd that is passed over the inbox."""

LARGEST_BYTES = 64 << 20
BACKLOG_MESSAGES = 50_000
BACKLOG_BYTES = 64 << 20
"""What one worker keeps for all the others, together."""

INBOX_BYTES = 1 << 20
AT_ONCE = 100
REPORT_S = 10.0

_VERSION = 1
_HEAD = struct.Struct("!B?HB")  # version, whether a memfd comes with it, the sender's row, length of the topic
_DATAGRAM_BYTES = _HEAD.size + 0xFF + INLINE_BYTES
_FULL = (errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS, errno.EMFILE)
_GONE = (errno.ECONNREFUSED, errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN)


@dataclass(frozen=True, slots=True)
class Message:
    """What a worker receives.

    :param sender: row of the worker that sent it.
    :param topic: whom it concerns.
    """

    sender: int
    topic: str
    payload: bytes


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


class _Parcel:
    """A message on its way to several readers.

    :ivar left: readers that it has not reached yet; the last one closes the memfd.
    """

    __slots__ = ("data", "fd", "left", "size")

    def __init__(self, head: bytes, payload: bytes, left: int) -> None:
        self.left = left
        self.size = len(payload)
        self.fd = -1
        if self.size <= INLINE_BYTES:
            self.data = head + payload
            return
        self.data = head
        self.fd = os.memfd_create("skitai-message", os.MFD_CLOEXEC)
        try:
            rest = memoryview(payload)
            while rest:
                rest = rest[os.write(self.fd, rest) :]
        except OSError:
            os.close(self.fd)
            raise

    def send(self, sock: socket.socket) -> None:
        """:raises OSError: it was not sent."""
        if self.fd < 0:
            sock.send(self.data, socket.MSG_DONTWAIT)
        else:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [self.fd]))]
            sock.sendmsg([self.data], rights, socket.MSG_DONTWAIT)

    def done(self) -> None:
        """One reader less."""
        self.left -= 1
        if self.left == 0 and self.fd >= 0:
            os.close(self.fd)


class _Peer:
    """Another worker's inbox, as seen by those who write to it."""

    __slots__ = ("backlog", "dropped", "mark", "reported_s", "slot", "socket", "strained", "told", "watched")

    def __init__(self, slot: int, sock: socket.socket) -> None:
        self.slot = slot
        self.socket = sock
        self.mark = 0  # of the worker that reads it; 0 when nobody does
        self.told = 0  # the mark that the rest of this worker knows
        self.backlog: deque[_Parcel] = deque()
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
        slot = self._row.index
        self._reader = self._inboxes.reader(slot)
        if self._reader is None:
            log.warning("there are only %d inboxes: messages of other workers do not reach this one", len(self._inboxes))
        self._peers = [_Peer(*each) for each in self._inboxes.writers(slot)]
        self._marks = {peer.slot: Row(self._row, peer.slot) for peer in self._peers}
        self._mark = os.getpid()
        if self._reader is not None:
            self._row.inbox = self._mark

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
        name = topic.encode()
        with self._lock:
            there = [peer for peer in self._peers if self._there(peer)]
            if not there:
                return 0
            head = _HEAD.pack(_VERSION, len(payload) > INLINE_BYTES, self._row.index, len(name)) + name
            parcel = _Parcel(head, payload, len(there))
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

    def _sent(self, peer: _Peer, parcel: _Parcel) -> bool:
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

    def _keep(self, peer: _Peer, parcel: _Parcel) -> None:
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
                    _DATAGRAM_BYTES, socket.CMSG_SPACE(4), socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
                )
            except (BlockingIOError, ConnectionResetError):
                return
            try:
                message = _unpack(data, ancillary)
            except (OSError, ValueError, struct.error) as error:
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


def _unpack(data: bytes, ancillary: list[tuple[int, int, bytes]]) -> Message | None:
    """The message in a datagram; None for one of another version of this program.

    :raises ValueError: it is cut short.
    """
    fds = array.array("i")
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(value[: len(value) - len(value) % fds.itemsize])
    try:
        version, by_memfd, sender, length = _HEAD.unpack_from(data)
        if version != _VERSION:
            return None
        begin = _HEAD.size + length
        topic = data[_HEAD.size : begin].decode()
        if not by_memfd:
            return Message(sender, topic, data[begin:])
        if not fds:
            raise ValueError("its memfd is missing")
        return Message(sender, topic, _contents(fds[0]))
    finally:
        for fd in fds:
            os.close(fd)


def _contents(fd: int) -> bytes:
    """What a memfd holds. Its file offset is shared with other readers and therefore left alone.

    :raises ValueError: it is too large.
    """
    size = os.fstat(fd).st_size
    if size > LARGEST_BYTES:
        raise ValueError(f"its memfd holds {size} bytes")
    parts = []
    read = 0
    while read < size and (part := os.pread(fd, size - read, read)):
        parts.append(part)
        read += len(part)
    return b"".join(parts)
