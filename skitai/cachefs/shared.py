"""What the workers of a host share beside the answers: counters, when URIs were invalidated, and the books of the files.

All of it is memory of slots on a memfd (`ipc.memory`). Counters are a row for each worker, which it alone writes. The books
of the files are changed under a record lock, which ends with its holder; who dies in the middle of a change leaves a mark,
and the next one counts anew.

A table of files that is to have more room is written anew behind the old one, in the same memory. Processes that have
mapped the old one see that it has moved, and go on without the files.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

from skitai.ipc.locks import ProcessLock
from skitai.ipc.memory import Memory

LAYOUT = 2

ROWS = 1024
COUNTERS = 8
INVALIDATIONS = 4096
PENDING = 256

_LAYOUT, _BUSY, _BYTES, _OBJECTS, _LIMIT, _HAND, CLEARED, _CAPACITY, _TABLE = range(9)
_COUNTERS_AT = 16
_INVALIDATIONS_AT = _COUNTERS_AT + ROWS * COUNTERS
_PENDING_AT = _INVALIDATIONS_AT + INVALIDATIONS
NOTE = 4
"""Slots of a note of what is being written: of whom, how many bytes, and two for its digest."""

_PENDING_END = _PENDING_AT + NOTE * PENDING

ENTRY = 4
"""Slots of an entry of the table of files: two for its digest, one each for its bytes and its last use."""

WAYS = 8
"""Entries among which a digest is looked for."""

RING_LOCK, FILES_LOCK = range(2)

_TRIES = 25
_PAUSE_S = 0.0002

PATIENCE_S = 5.0


class Count(IntEnum):
    """What a worker counts."""

    MEMORY_HITS = 0
    DISK_HITS = 1
    MISSES = 2
    BYPASSED = 3
    STALE = 4
    REVALIDATED = 5
    STORED = 6


class Books:
    """Counters, invalidations, and the table of files.

    :ivar ring_lock: for who changes the ring.
    :ivar files_lock: for who changes the table of files.
    """

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.ints = memory.ints
        self.floats = memory.floats
        self._table = memory.ints[_TABLE]
        self._entries = memory.ints[_CAPACITY]
        self.ring_lock = ProcessLock(memory.fd, RING_LOCK)
        self.files_lock = ProcessLock(memory.fd, FILES_LOCK)

    @classmethod
    def create(cls, capacity: int) -> Books:
        """New books.

        :param capacity: files that the table has room for; 0 without files.
        """
        entries = _entries_for(capacity)
        memory = Memory.create("cachefs", _PENDING_END + entries * ENTRY)
        memory.ints[_LAYOUT] = LAYOUT
        memory.ints[_CAPACITY], memory.ints[_TABLE] = entries, _PENDING_END
        return cls(memory)

    @classmethod
    def adopt(cls, fd: int) -> Books | None:
        """The books of the program before the exec, or of another process; None when they have another layout."""
        memory = Memory.adopt(fd, 0)
        return cls(memory) if len(memory.ints) >= _PENDING_END and memory.ints[_LAYOUT] == LAYOUT else None

    # Counters

    def count(self, row: int, what: Count) -> None:
        """One more, in the row of this worker."""
        self.ints[counter(row, what)] += 1

    def counts(self) -> dict[str, int]:
        """The sums of all workers since the start."""
        ints = self.ints
        return {each.name.lower(): sum(ints[_COUNTERS_AT + each : _INVALIDATIONS_AT : COUNTERS].tolist()) for each in Count}

    # Invalidations

    def invalidate(self, hashed: bytes, now: float) -> None:
        """What was stored of a URI until now is void (RFC 9111, section 4.4).

        :param hashed: the digest of its key.
        """
        self.floats[invalidation(hashed)] = now

    def clear(self, now: float) -> None:
        """Everything that was stored until now is void."""
        self.floats[CLEARED] = now

    def void(self, hashed: bytes, since: float, now: float) -> bool:
        """Whether what was stored of a URI, or asked for, at `since` is void now."""
        floats = self.floats
        return since <= floats[invalidation(hashed)] <= now or since <= floats[CLEARED] <= now

    # The table of files; all that change it hold `files_lock`

    @property
    def entries(self) -> int:
        """Places of the table."""
        return self._entries

    @property
    def moved(self) -> bool:
        """Whether another table has taken the place of this one."""
        return self.ints[_TABLE] != self._table

    def grown(self, capacity: int) -> tuple[Books, list[tuple[int, int]]]:
        """The same books with room for so many files, or for more; these themselves where they have it.

        :returns: and the digests of files for which there was no place after all; these are to be removed.
        :raises TimeoutError: as `changing`.
        """
        if _entries_for(capacity) <= self._entries:
            return self, []
        entries = max(_entries_for(capacity), 2 * self._entries)  # all tables together have no more than twice the last one
        lost = []
        with self.changing(os.getpid()):
            end = len(self.ints)
            memory = Memory.adopt(self.memory.fd, end + entries * ENTRY)
            memory.ints[_CAPACITY], memory.ints[_TABLE] = entries, end
            made = Books(memory)
            for at in range(self._table, self._table + self._entries * ENTRY, ENTRY):
                high, low, size, used = self.ints[at : at + ENTRY].tolist()
                if size:
                    place, another = made.room(high, low)
                    if another:
                        lost.append((high, low))
                    else:
                        memory.ints[place : place + ENTRY] = self.ints[at : at + ENTRY]
            made.recount()
        return made, lost

    @property
    def file_bytes(self) -> int:
        """Of all files, those that are being written included."""
        return self.ints[_BYTES]

    @property
    def file_count(self) -> int:
        return self.ints[_OBJECTS]

    @property
    def limit(self) -> int:
        """Most bytes of all files."""
        return self.ints[_LIMIT]

    @limit.setter
    def limit(self, value: int) -> None:
        self.ints[_LIMIT] = value

    @contextmanager
    def changing(self, pid: int) -> Iterator[None]:
        """Around changes of the table.

        :raises TimeoutError: who has the lock stands still.
        """
        if not self.files_lock.acquire(timeout=PATIENCE_S):
            raise TimeoutError("another process has stopped in the middle of a change of the cache")
        try:
            if self.moved:
                yield
                return
            if self.ints[_BUSY]:
                self.recount()
            self.ints[_BUSY] = pid
            yield
            self.ints[_BUSY] = 0
        finally:
            self.files_lock.release()

    def recount(self) -> None:
        """Have the sums from the table itself."""
        sizes = self.ints[self._table + 2 : self._table + self._entries * ENTRY : ENTRY].tolist()
        pending = self.ints[_PENDING_AT + 1 : _PENDING_END : NOTE].tolist()
        self.ints[_BYTES] = sum(sizes) + sum(pending)
        self.ints[_OBJECTS] = sum(1 for size in sizes if size)

    def place(self, high: int, low: int) -> int:
        """The slot where a digest stands; -1 when it does not."""
        ints = self.ints
        if ints[_TABLE] != self._table:
            return -1
        base = self._bucket(low)
        for at in range(base, base + WAYS * ENTRY, ENTRY):
            if ints[at + 1] == low and ints[at] == high and ints[at + 2]:
                return at
        return -1

    def room(self, high: int, low: int) -> tuple[int, bool]:
        """The slot where a digest may stand, and whether another one stands there now, which is used the least."""
        found = self.place(high, low)
        if found >= 0:
            return found, False
        base = self._bucket(low)
        ats = range(base, base + WAYS * ENTRY, ENTRY)
        free = next((at for at in ats if not self.ints[at + 2]), -1)
        return (free, False) if free >= 0 else (min(ats, key=lambda at: self.ints[at + 3]), True)

    def enter(self, at: int, high: int, low: int, size: int, used: float) -> None:
        """Write an entry into a slot that is free, or its own."""
        ints = self.ints
        old = ints[at + 2]
        ints[at + 2] = 0
        ints[at], ints[at + 1], ints[at + 3] = high, low, int(used * 1000)
        ints[at + 2] = size
        ints[_BYTES] += size - old
        ints[_OBJECTS] += 0 if old else 1

    def leave(self, at: int) -> None:
        """Take an entry out."""
        ints = self.ints
        size, ints[at + 2] = ints[at + 2], 0
        ints[_BYTES] -= size
        ints[_OBJECTS] -= 1 if size else 0

    def use(self, at: int, now: float) -> None:
        """An entry was used."""
        self.ints[at + 3] = int(now * 1000)

    def oldest(self, window: int, keep: int = -1) -> int:
        """The entry that was used the longest ago, of the next `window` places; -1 when there is none in all.

        :param keep: not this one.
        """
        entries, ints = self.entries, self.ints
        for _ in range(0, entries, window):
            first = ints[_HAND] if ints[_HAND] < entries else 0
            last = min(first + window, entries)
            ints[_HAND] = last % entries
            begin, end = self._table + first * ENTRY, self._table + last * ENTRY
            sizes, used = ints[begin + 2 : end : ENTRY].tolist(), ints[begin + 3 : end : ENTRY].tolist()
            found = min(((when, at) for at, (when, size) in enumerate(zip(used, sizes, strict=True)) if size), default=None)
            if found is not None and (at := begin + found[1] * ENTRY) != keep:
                return at
        return -1

    def digest_at(self, at: int) -> tuple[int, int]:
        return self.ints[at], self.ints[at + 1]

    def names(self) -> list[tuple[int, int]]:
        """The digests of all files."""
        if self.moved:
            return []
        ats = range(self._table, self._table + self._entries * ENTRY, ENTRY)
        return [(self.ints[at], self.ints[at + 1]) for at in ats if self.ints[at + 2]]

    # What is being written

    def reserve(self, pid: int, size: int, high: int, low: int) -> int:
        """Count bytes that a process is going to write; the slot of the note, -1 when there are too many already."""
        ints = self.ints
        for at in range(_PENDING_AT, _PENDING_END, NOTE):
            if not ints[at]:
                ints[at + 2], ints[at + 3] = high, low
                ints[at], ints[at + 1] = pid, size
                ints[_BYTES] += size
                return at
        return -1

    def settle(self, note: int) -> None:
        """What was noted is not wanted any more."""
        ints = self.ints
        ints[_BYTES] -= ints[note + 1]
        ints[note + 1] = ints[note] = 0

    def publish(self, note: int, at: int, used: float) -> None:
        """What was noted is written: its entry goes into a slot that is free, or its own."""
        ints = self.ints
        old, size = ints[at + 2], ints[note + 1]
        ints[at + 2] = 0
        ints[at], ints[at + 1], ints[at + 3] = ints[note + 2], ints[note + 3], int(used * 1000)
        ints[at + 2] = size
        ints[_BYTES] -= old
        ints[_OBJECTS] += 0 if old else 1
        ints[note + 1] = ints[note] = 0

    def writers(self) -> list[tuple[int, int, tuple[int, int]]]:
        """The slots of all notes, whose they are, and the digests."""
        ints = self.ints
        return [(at, ints[at], (ints[at + 2], ints[at + 3])) for at in range(_PENDING_AT, _PENDING_END, NOTE) if ints[at]]

    def _bucket(self, low: int) -> int:
        buckets = self._entries // WAYS
        return self._table + (low % buckets) * WAYS * ENTRY


def counter(row: int, what: Count) -> int:
    """The slot in which a worker counts."""
    return _COUNTERS_AT + row * COUNTERS + what


def _entries_for(capacity: int) -> int:
    """Places of a table for so many files."""
    return -(-2 * capacity // WAYS) * WAYS


def invalidation(hashed: bytes) -> int:
    """The slot for a URI, which shares it with some others."""
    return _INVALIDATIONS_AT + (hashed[0] | hashed[1] << 8) % INVALIDATIONS


def taken(lock: ProcessLock) -> bool:
    """Take a lock that is held for the moment of a copy only; False when its holder stands still."""
    for _ in range(_TRIES):
        if lock.acquire(blocking=False):
            return True
        time.sleep(_PAUSE_S)
    return False
