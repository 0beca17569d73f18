"""The content of a stored answer that stays in its file, and is read from there as it is sent."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator

PIECE_BYTES = 262144


class InFile:
    """A content in a file, which nobody changes as long as it is open: what is removed or replaced gets another one.

    It is sliced as bytes are, and may be so in any thread. The file is closed with the last one who holds this.

    :param fd: descriptor of the file, taken over.
    :ivar offset: where the content begins in the file.
    """

    __slots__ = ("_fd", "_size", "offset")

    def __init__(self, fd: int, offset: int, size: int) -> None:
        self._fd = fd
        self._size = size
        self.offset = offset

    def __del__(self) -> None:
        os.close(self._fd)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        """:raises OSError: the disk fails, or the file has become shorter."""
        start, stop, _ = part.indices(self._size)
        size = max(0, stop - start)
        data = os.pread(self._fd, size, self.offset + start)
        if len(data) != size:
            raise OSError(f"the cache's file ends {size - len(data)} bytes too early")
        return data

    def __iter__(self) -> Iterator[bytes]:
        """Pieces of it, in their order."""
        return (self[at : at + PIECE_BYTES] for at in range(0, self._size, PIECE_BYTES))

    def __bytes__(self) -> bytes:
        return self[:]

    def fileno(self) -> int:
        """The descriptor, for who sends from it; the content begins at `offset`."""
        return self._fd

    def close(self) -> None:
        """Files are closed by those who have sent them: here others may hold it, too."""

    def skip(self, size: int) -> None:
        """Leave out the first bytes: the content begins behind them."""
        self.offset += size
        self._size -= size

    def check(self) -> int:
        """The checksum of what is there."""
        found = 0
        for piece in self:
            found = zlib.crc32(piece, found)
        return found
