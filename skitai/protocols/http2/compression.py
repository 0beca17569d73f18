"""Field blocks (RFC 7541, HPACK): pairs of bytes to bytes and back.

Clients and apps repeat themselves: a block whose coding leaves the table of its direction as it is means the same as long as
that table stays as it is, and is found again by its bytes, or by its fields.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from hpack import HPACKDecodingError, HPACKError
from hpack.table import HeaderTable

from skitai.protocols.http2.budget import Limits
from skitai.protocols.http2.events import ErrorCodes, Pair, Violation
from skitai.protocols.http2.huffman import unpacked

TABLE_BYTES = 4096
"""Of each side's table before anybody says otherwise (RFC 9113, section 6.5.2)."""

ENTRY_OVERHEAD = 32
"""What an entry counts beside its bytes (RFC 7541, section 4.1)."""

STATIC: tuple[Pair, ...] = HeaderTable.STATIC_TABLE
KNOWN = 256
KNOWN_BYTES = 2048
"""Blocks that are remembered, and the longest of them."""
KNOWN_FIELDS_BYTES = 131072
"""Of what one side said that is remembered: short blocks may mean much."""

NEVER = frozenset((b"authorization", b"proxy-authorization", b"set-cookie", b"proxy-authenticate"))
"""Nobody on the way may put these into a table (RFC 7541, section 7.1.3)."""
SHORT_COOKIE = 20
"""One that is shorter could be guessed from the sizes of blocks."""

INDEXED, INDEXING, RESIZING, NEVER_INDEXED = 0x80, 0x40, 0x20, 0x10
"""How the representations begin (RFC 7541, section 6)."""
LONGEST_INTEGER = 5
"""Bytes behind the prefix: of 35 bits, more than any index or length needs (RFC 7541, section 5.1)."""

VARYING = frozenset(
    (
        b":path",
        b"age",
        b"content-length",
        b"content-range",
        b"etag",
        b"expires",
        b"grpc-timeout",
        b"if-modified-since",
        b"if-none-match",
        b"last-modified",
        b"location",
        b"range",
        b"traceparent",
        b"x-gtxn-id",
        b"x-ltxn-id",
        b"x-request-id",
    )
)
"""Their values would push others out of the table and be of no use there; their names are, once."""


class BlockReader:
    """Decodes the blocks of one direction, in their order.

    :param limits: `block_bytes` and `table_bytes` of them.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._allowed = max(TABLE_BYTES, limits.table_bytes)
        self._table_bytes = TABLE_BYTES
        self._entries: list[Pair] = []  # the oldest first
        self._used = 0
        self._known: dict[tuple[Any, bytes], Sequence[Pair]] = {}
        self._known_bytes = 0
        self._changed = False

    def read(self, block: bytes, check: Callable[[Sequence[Pair]], None]) -> Sequence[Pair]:
        """The fields of a block.

        :param check: raises what is wrong with them; is not asked again for what it has let pass.
        :raises Violation: it cannot be decoded, or is too large.
        """
        known = self._known.get((check, block))
        if known is not None:
            return known
        self._changed = False
        try:
            pairs, size = self._decode(block)
        except HPACKError as error:
            raise Violation(ErrorCodes.COMPRESSION_ERROR, f"a field block that cannot be decoded: {error}") from error
        except IndexError as error:
            raise Violation(ErrorCodes.COMPRESSION_ERROR, "a field block that ends in the middle of a field") from error
        if self._changed:
            self._forget()
        check(pairs)
        if not self._changed and len(block) <= KNOWN_BYTES:
            size += len(block)
            if len(self._known) >= KNOWN or self._known_bytes + size > KNOWN_FIELDS_BYTES:
                self._forget()
            self._known[check, block] = pairs
            self._known_bytes += size
        return pairs

    def acknowledged(self) -> None:
        """The other side knows the size of our table, and has to say so if that is less (RFC 9113, section 4.3.1)."""
        self._allowed = self._limits.table_bytes
        self._forget()

    def _forget(self) -> None:
        self._known.clear()
        self._known_bytes = 0

    def _decode(self, block: bytes) -> tuple[tuple[Pair, ...], int]:
        """The fields as RFC 7541, section 6, has them, and their size.

        :raises HPACKError: it is malformed.
        :raises IndexError: it has no end.
        :raises Violation: it is too large.
        """
        at, end = 0, len(block)
        total = 0
        pairs: list[Pair] = []
        while at < end:
            first = block[at]
            if first & INDEXED:
                index, at = _integer_in(block, at, 0x7F)
                pair = self._entry(index)
            elif first & 0xE0 == RESIZING:
                size, at = _integer_in(block, at, 0x1F)
                self._resize(size, at_start=not pairs)
                continue
            else:
                index, at = _integer_in(block, at, 0x3F if first & INDEXING else 0x0F)
                if index:
                    name = self._entry(index)[0]
                else:
                    name, at = _string_in(block, at)
                value, at = _string_in(block, at)
                pair = (name, value)
                if first & INDEXING:
                    self._add(pair)
            pairs.append(pair)
            total += len(pair[0]) + len(pair[1]) + ENTRY_OVERHEAD
            if total > self._limits.block_bytes:
                raise Violation(ErrorCodes.ENHANCE_YOUR_CALM, f"fields of more than {self._limits.block_bytes} bytes")
        if self._table_bytes > self._allowed:
            raise HPACKDecodingError(f"a table of {self._table_bytes} bytes; at most {self._allowed} are allowed")
        return tuple(pairs), total

    def _entry(self, index: int) -> Pair:
        if 0 < index <= len(STATIC):
            return STATIC[index - 1]
        place = index - len(STATIC)
        if not 0 < place <= len(self._entries):
            raise HPACKDecodingError(f"no entry {index}")
        return self._entries[-place]

    def _resize(self, size: int, at_start: bool) -> None:
        if not at_start:
            raise HPACKDecodingError("a resized table behind a field")
        if size > self._allowed:
            raise HPACKDecodingError(f"a table of {size} bytes; at most {self._allowed} are allowed")
        self._table_bytes = size
        self._changed = True
        self._evict(0)

    def _add(self, pair: Pair) -> None:
        self._changed = True
        size = len(pair[0]) + len(pair[1]) + ENTRY_OVERHEAD
        self._evict(size)
        if size <= self._table_bytes:
            self._entries.append(pair)
            self._used += size

    def _evict(self, size: int) -> None:
        """Make room in the table (RFC 7541, sections 4.3 and 4.4)."""
        count = 0
        for name, value in self._entries:
            if self._used + size <= self._table_bytes:
                break
            self._used -= len(name) + len(value) + ENTRY_OVERHEAD
            count += 1
        del self._entries[:count]


class BlockWriter:
    """Encodes the blocks of one direction, in their order.

    :param table_bytes: of the table at most, however much the other side would allow.
    """

    def __init__(self, table_bytes: int) -> None:
        self._most_bytes = table_bytes
        self._table_bytes = TABLE_BYTES
        self._resized: list[int] = []
        self._entries: deque[Pair] = deque()  # the oldest first
        self._used = 0
        self._added = 0
        self._places: dict[Pair, int] = {}  # how many had been added before
        self._names: dict[bytes, int] = {}
        self._known: dict[tuple[Pair, ...], bytes] = {}
        self._shared: dict[int, tuple[Sequence[Pair], Sequence[Pair], bytes]] = {}
        self.resize(TABLE_BYTES)

    def resize(self, allowed: int) -> None:
        """The other side keeps so many bytes (RFC 7541, section 4.2)."""
        size = min(allowed, self._most_bytes)
        if size == self._table_bytes:
            return
        smallest = min(self._resized + [size])
        self._resized = [size] if smallest == size else [smallest, size]
        self._table_bytes = size
        self._evict(0)
        self._known.clear()
        self._shared.clear()

    def write(self, pairs: Sequence[Pair]) -> bytes:
        """The block of these fields, the names of which are in lower case."""
        key = tuple(pairs)
        block = self._known.get(key)
        if block is not None:
            return block
        added = self._added
        pieces = [_integer(RESIZING, 5, size) for size in self._resized]
        pieces += map(self._field, key)
        block = b"".join(pieces)
        if self._resized:
            self._resized = []
        elif added == self._added and len(block) <= KNOWN_BYTES:
            if len(self._known) >= KNOWN:
                self._known.clear()
            self._known[key] = block
        return block

    def write_shared(self, pairs: Sequence[Pair], more: Sequence[Pair]) -> bytes:
        """The block of these fields, found again by the two objects that hold them: they must not change."""
        shared = self._shared.get(id(pairs))
        if shared is not None and shared[0] is pairs and shared[1] is more:
            return shared[2]
        added, resized = self._added, self._resized
        block = self.write((*pairs, *more))
        if added == self._added and not resized:
            if len(self._shared) >= KNOWN:
                self._shared.clear()
            self._shared[id(pairs)] = (pairs, more, block)
        return block

    def _field(self, pair: Pair) -> bytes:
        exact = STATIC_PLACES.get(pair)
        if exact is not None:
            return exact
        name, value = pair
        place = self._places.get(pair)
        if place is not None:
            return _integer(INDEXED, 7, len(STATIC) + self._added - place)
        index = STATIC_NAMES.get(name, 0)
        if not index and name in self._names:
            index = len(STATIC) + self._added - self._names[name]
        size = len(name) + len(value) + ENTRY_OVERHEAD
        if name in NEVER or (name == b"cookie" and len(value) < SHORT_COOKIE):
            return _literal(NEVER_INDEXED, 4, index, name, value)
        if (name in VARYING and index) or size > self._table_bytes >> 1:
            return _literal(0, 4, index, name, value)
        self._evict(size)
        self._entries.append((name, value))
        self._places[name, value] = self._names[name] = self._added
        self._added += 1
        self._used += size
        self._known.clear()
        self._shared.clear()
        return _literal(INDEXING, 6, index, name, value)

    def _evict(self, size: int) -> None:
        """Make room in the table."""
        while self._entries and self._used + size > self._table_bytes:
            oldest = self._added - len(self._entries)
            name, value = entry = self._entries.popleft()
            self._used -= len(name) + len(value) + ENTRY_OVERHEAD
            del self._places[entry]
            if self._names[name] == oldest:
                del self._names[name]


def _integer(prefix: int, bits: int, number: int) -> bytes:
    """An integer behind a prefix (RFC 7541, section 5.1)."""
    most = (1 << bits) - 1
    if number < most:
        return bytes((prefix | number,))
    data = bytearray((prefix | most,))
    number -= most
    while number >= 128:
        data.append(number & 127 | 128)
        number >>= 7
    data.append(number)
    return bytes(data)


def _integer_in(block: bytes, at: int, most: int) -> tuple[int, int]:
    """The integer that begins at `at`, in the bits of `most`, and where it ends.

    :raises HPACKDecodingError: it is longer than any that makes sense.
    :raises IndexError: it has no end.
    """
    number = block[at] & most
    at += 1
    if number < most:
        return number, at
    for shift in range(0, 7 * LONGEST_INTEGER, 7):
        byte = block[at]
        at += 1
        number += (byte & 127) << shift
        if byte < 128:
            return number, at
    raise HPACKDecodingError("an integer that is too long")


def _string_in(block: bytes, at: int) -> tuple[bytes, int]:
    """The string that begins at `at`, and where it ends (RFC 7541, section 5.2).

    :raises HPACKDecodingError: it is in no proper code.
    :raises IndexError: it has no end.
    """
    packed = block[at] & 0x80
    size, at = _integer_in(block, at, 0x7F)
    end = at + size
    if end > len(block):
        raise IndexError(end)
    return unpacked(block[at:end]) if packed else block[at:end], end


def _literal(prefix: int, bits: int, index: int, name: bytes, value: bytes) -> bytes:
    """A field that is not in a table (RFC 7541, section 6.2); Huffman's code would cost more than it saves."""
    if index:
        return _integer(prefix, bits, index) + _integer(0, 7, len(value)) + value
    return bytes((prefix,)) + _integer(0, 7, len(name)) + name + _integer(0, 7, len(value)) + value


STATIC_PLACES = {pair: _integer(INDEXED, 7, index) for index, pair in enumerate(STATIC, 1)}
STATIC_NAMES = {name: index for index, (name, _) in reversed(list(enumerate(STATIC, 1)))}
