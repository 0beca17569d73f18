"""Answers in memory that all workers share: a ring, in which what is new takes the place of the oldest.

The memory holds a table of positions and the records themselves. A position counts up for ever; a record stands at the
position modulo the ring's size, and is there until the ring has turned once. Who writes holds a lock for the moment of the
copy, and moves the head on before he writes. Who reads holds none: he looks at the head after he has copied, and knows
whether somebody may have written there meanwhile. A writer that is killed leaves bytes that no entry leads to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from weakref import WeakValueDictionary

from skitai.cachefs.asked import digest
from skitai.cachefs.record import HEADER, SMALL_BYTES, Head, Parts, decode, encode, is_answer, lengths, whole
from skitai.cachefs.shared import Books, taken
from skitai.ipc.memory import SLOT_BYTES, Memory

LAYOUT = 1

_LAYOUT, HEAD, _BUCKETS = range(3)
_TABLE_AT = 8

WAYS = 8
"""Entries among which a key is looked for."""

BYTES_PER_ENTRY = 512
SMALLEST = 65536
SHARE = 4
"""One record has at most this part of the ring."""

KNOWN = 2048

MOST_META = 65536


class Found(NamedTuple):
    """A record.

    :ivar place: its position.
    :ivar slot: that says that it is there.
    :ivar start: of its content, in the ring.
    :ivar end: of its content.
    """

    head: Head
    place: int
    slot: int
    start: int
    end: int


class Ring:
    """The memory of answers.

    :param memory: made by `create`.
    :param books: whose lock is for the writers.
    :ivar data: where the records are.
    :ivar young: what stands so far behind the head, or less, does not go next.
    """

    def __init__(self, memory: Memory, books: Books) -> None:
        self.memory = memory
        self._books = books
        self.ints = ints = memory.ints
        self._buckets = ints[_BUCKETS]
        first = (_TABLE_AT + self._buckets * WAYS * 2) * SLOT_BYTES
        self.data = ints.cast("B")[first:]
        self.size = len(self.data)
        self.young = self.size * 3 // 4
        self._known: dict[bytes, Found] = {}
        self._large: WeakValueDictionary[int, memoryview[int]] = WeakValueDictionary()

    @classmethod
    def create(cls, size: int, books: Books) -> Ring:
        """:param size: bytes of all of it; at least `SMALLEST`."""
        memory = Memory.create("cachefs-memory", size // SLOT_BYTES)
        memory.ints[_BUCKETS] = max(1, size // BYTES_PER_ENTRY // WAYS)
        memory.ints[_LAYOUT] = LAYOUT
        made = cls(memory, books)
        memory.ints[HEAD] = made.size  # so that no record has the position 0
        return made

    @classmethod
    def adopt(cls, fd: int, books: Books) -> Ring | None:
        """The ring of the program before the exec, or of another process; None when it has another layout."""
        memory = Memory.adopt(fd, 0)
        return cls(memory, books) if memory.ints[_LAYOUT] == LAYOUT else None

    @property
    def total(self) -> int:
        """Bytes of the memory as a whole."""
        return len(self.ints) * SLOT_BYTES

    @property
    def longest(self) -> int:
        """Of a record, in bytes."""
        return self.size // SHARE

    def _is_there(self, place: int) -> bool:
        return place >= self.ints[HEAD] - self.size

    # Reading

    def find(self, key: bytes, hashed: bytes) -> Found | None:
        """What is stored for a key.

        :param hashed: the key's digest.
        """
        known = self._known.get(key)
        if known is not None:
            if self.ints[known.slot] == known.place >= self.ints[HEAD] - self.size:
                return known
            del self._known[key]
        tag = _tag(hashed)
        base = _TABLE_AT + tag % self._buckets * WAYS * 2
        entries = self.ints[base : base + 2 * WAYS].tolist()
        for at in range(0, 2 * WAYS, 2):
            if entries[at] == tag and entries[at + 1] and self._is_there(entries[at + 1]):
                read = self._read(entries[at + 1], base + at + 1)
                if read is not None and read.head.key == key:
                    if len(self._known) >= KNOWN:
                        self._known.clear()
                    self._known[key] = read
                    return read
        return None

    def _read(self, place: int, slot: int = 0) -> Found | None:
        """The record at a position, once all of it is known to be whole.

        :param slot: which says that it is there.
        """
        at = place % self.size
        found = lengths(bytes(self.data[at : at + HEADER.size]))
        if found is None:
            return None
        meta, size = found
        start = at + HEADER.size + meta
        if start + size > self.size:
            return None
        head = decode(bytes(self.data[at:start]), place)
        if head is None or whole(head, bytes(self.data[start : start + size]), 0) is None:
            return None
        return Found(head, place, slot, start, start + size) if self._is_there(place) else None

    def content(self, found: Found) -> bytes | memoryview | None:
        """The content of what `find` found; None when it has gone meanwhile. Of a large one a view, on the same bytes as
        long as somebody has one."""
        place = found.place
        large = found.end - found.start > SMALL_BYTES
        if large and (held := self._large.get(place)) is not None:
            return held
        data = bytes(self.data[found.start : found.end])
        if place < self.ints[HEAD] - self.size:
            return None
        if large:
            view = self._large[place] = memoryview(data)
            return view
        return data

    def is_old(self, place: int) -> bool:
        """Whether a record is among the quarter that goes next."""
        return place < self.ints[HEAD] - self.young

    # Writing

    def put(self, parts: Parts, content: Sequence[bytes | memoryview], unless_moved: int = 0) -> bool:
        """Store a record; whether that is done: it is not where it is too large, or a writer stands still.

        :param content: pieces of it.
        :param unless_moved: only where the key is stored at this position.
        """
        total = -(-parts.total // SLOT_BYTES) * SLOT_BYTES
        if total > self.longest or len(parts.meta) > MOST_META:
            return False
        tag = _tag(digest(parts.head.key))
        if not taken(self._books.ring_lock):
            return False
        try:
            slot = self._slot(tag)
            if unless_moved and self.ints[slot + 1] != unless_moved:
                return False
            place = self._claim(total)
            self._write(place, parts, content)
            self.ints[slot + 1] = 0
            self.ints[slot] = tag
            self.ints[slot + 1] = place
        finally:
            self._books.ring_lock.release()
        return True

    def _claim(self, total: int) -> int:
        """Move the head on, so that nobody reads what stands there any longer."""
        place = self.ints[HEAD]
        left = self.size - place % self.size
        if total > left:
            place += left
        self.ints[HEAD] = place + total
        return place

    def _write(self, place: int, parts: Parts, content: Sequence[bytes | memoryview]) -> None:
        at = place % self.size
        for piece in (parts.header(place), parts.meta, *content):
            self.data[at : at + len(piece)] = piece
            at += len(piece)

    def _slot(self, tag: int) -> int:
        """Where a tag stands, or may: in a free entry, or in that of the oldest record."""
        base = _TABLE_AT + tag % self._buckets * WAYS * 2
        entries = self.ints[base : base + 2 * WAYS].tolist()
        found = [at for at in range(0, 2 * WAYS, 2) if entries[at] == tag]
        return base + (found[0] if found else min(range(0, 2 * WAYS, 2), key=lambda at: int(entries[at + 1])))

    def again(self, found: Found) -> None:
        """Store a record at the head that would soon go, for it is used."""
        content = self.content(found)
        if content is not None:
            self.put(encode(found.head), (content,), unless_moved=found.place)

    def remove(self, hashed: bytes) -> None:
        """Forget a key. One store of a slot, so that no lock is needed."""
        tag = _tag(hashed)
        base = _TABLE_AT + tag % self._buckets * WAYS * 2
        for slot in range(base, base + 2 * WAYS, 2):
            if self.ints[slot] == tag:
                self.ints[slot + 1] = 0

    # For people

    def heads(self) -> Iterator[Head]:
        """The heads of all that is stored."""
        for place in self._places():
            found = self._read(place)
            if found is not None:
                yield found.head

    def usage(self) -> tuple[int, int]:
        """Answers, and bytes of their records."""
        count = used = 0
        for place in self._places():
            at = place % self.size
            header = bytes(self.data[at : at + HEADER.size])
            if (found := lengths(header)) is not None and self._is_there(place):
                count += is_answer(header)
                used += HEADER.size + sum(found)
        return count, used

    def _places(self) -> list[int]:
        end = _TABLE_AT + self._buckets * WAYS * 2
        return [place for place in self.ints[_TABLE_AT + 1 : end : 2].tolist() if place and self._is_there(place)]


def _tag(hashed: bytes) -> int:
    """63 bits, none of which is always 0, and never 0 itself."""
    return int.from_bytes(hashed[:8], "little") >> 1 or 1
