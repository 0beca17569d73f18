"""Answers in files below one folder: a file for each, written under another name first, so that half a one is never found.

Their table is in shared memory (`shared.Books`), so that nobody has to ask the file system what is there, and the sum of
their sizes, rounded up to the blocks of a file system, stays within its limit whoever writes. Who dies while he writes
leaves a note of what he had reserved; the next one who needs room takes it back, and removes what is left of his file.

What a file holds is a record (`record`), with the place 0; one that is not what it should be is removed when it is read.
"""

from __future__ import annotations

import errno
import itertools
import logging
import os
import time
from collections.abc import Iterable
from contextlib import suppress

from skitai.cachefs.asked import digest
from skitai.cachefs.infile import InFile
from skitai.cachefs.record import HEADER, SMALL_BYTES, Content, Head, Parts, Stored, decode, lengths, uri_of, whole
from skitai.cachefs.shared import Books

log = logging.getLogger("skitai.server")

BLOCK_BYTES = 4096

WINDOW = 4096
"""Of so many files the one that was used the longest ago goes first."""

AT_ONCE = 256
"""So many files are removed at once, while others wait for the lock."""

RETRY_S = 60.0
"""Nothing is stored for so long after a file could not be written."""

TRUSTED_S = 600.0
MOST_TRUSTED = 4096
"""For how long, and of how many files, it is known that their contents are as they were written."""

_OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)

NEW = "new"
"""The folder of files that are being written."""

Digest = tuple[int, int]


class Files:
    """The files of one folder, which `folder.Folder` has prepared. Methods may be called from any thread.

    :param path: of the folder.
    """

    def __init__(self, path: str, books: Books) -> None:
        self.path = path
        self._books = books
        self._serials = itertools.count(1)
        self._off_until = 0.0
        self._trusted: dict[str, tuple[tuple[int, int, int, int], float]] = {}

    def knows(self, hashed: bytes) -> bool:
        """Whether there is a file for a digest, as the table says; without input or output."""
        return self._books.place(*halves(hashed)) >= 0

    def touch(self, hashed: bytes, now: float) -> None:
        """A file's answer is used; without input or output."""
        at = self._books.place(*halves(hashed))
        if at >= 0:
            self._books.use(at, now)

    def read(self, key: bytes) -> tuple[Head, bytes] | None:
        """What is stored for a key, in memory as a whole; see `open`."""
        found = self.open(key, True)
        return None if found is None else (found[0], bytes(found[1]))

    def open(self, key: bytes, in_memory: bool = False) -> tuple[Head, Content] | None:
        """What is stored for a key: its head and its content; None when that is nothing, or nothing whole.

        All of it has been read and compared with its checksums before this returns. Of a large content that holds on: for
        `TRUSTED_S` it is not read again to be compared, unless the file shows that it was changed.

        :param in_memory: a large content is wanted as bytes, too.
        """
        hashed = digest(key)
        at = self._books.place(*halves(hashed))
        if at < 0:
            return None
        path = self._name(halves(hashed))
        try:
            found = self._opened(path, in_memory)
        except OSError as error:
            if error.errno in _OUT_OF_DESCRIPTORS:
                log.warning("cannot read from the cache: %s", error.strerror)
                return None
            if error.errno != errno.ENOENT:
                log.warning("cannot read from the cache: %s", error)
            self.remove(hashed)
            return None
        if found is None or found[0].key != key:
            log.warning("the cache's file %s is not what was written, and is removed", path)
            self.remove(hashed)
            return None
        self._books.use(at, time.time())
        return found

    def _opened(self, path: str, in_memory: bool) -> tuple[Head, Content] | None:
        """Head and content of a file; None when it is not as it was written."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        state = os.fstat(fd)
        file = InFile(fd, 0, state.st_size)
        found = lengths(file[: HEADER.size])
        if found is None or HEADER.size + sum(found) != state.st_size:
            return None
        begin, size = HEADER.size + found[0], found[1]
        in_memory = in_memory or size <= SMALL_BYTES
        data = file[: begin + size if in_memory else begin]
        head = decode(data, 0)
        if head is None or in_memory:
            content = None if head is None else whole(head, data, begin)
            return None if head is None or content is None else (head, content)
        file.skip(begin)
        return (head, file) if isinstance(head, Stored) and self._holds(path, state, head, file) else None

    def _holds(self, path: str, state: os.stat_result, head: Stored, file: InFile) -> bool:
        """Whether a large content is as it was written."""
        stamp = state.st_ino, state.st_mtime_ns, state.st_ctime_ns, state.st_size
        now = time.monotonic()
        trusted, until = self._trusted.get(path, (stamp, 0.0))
        if trusted == stamp and now < until:
            return True
        if file.check() != head.check:
            return False
        if len(self._trusted) >= MOST_TRUSTED:
            self._trusted.clear()
        self._trusted[path] = stamp, now + TRUSTED_S
        return True

    def head(self, key: bytes) -> Head | None:
        """The head of what is stored for a key; None when that is nothing whole."""
        head = self._head(halves(digest(key)))
        return head if head is not None and head.key == key else None

    def write(self, parts: Parts, content: Iterable[bytes | memoryview]) -> bool:
        """Store a record, unless there is no room; whether that is done."""
        size = blocks(parts.total)
        if size > self._books.limit or time.monotonic() < self._off_until or self._books.moved:
            return False
        pid = os.getpid()
        try:
            name = halves(digest(parts.head.key))
            note = self._reserve(pid, size, name)
            if note < 0:
                return False
            new = os.path.join(self.path, NEW, f"{pid}-{next(self._serials)}")
            try:
                with open(new, "wb", opener=_private) as file:
                    file.writelines((parts.header(0), parts.meta))
                    file.writelines(content)
                done = self._publish(new, name, note, pid)
            except BaseException:
                self._take_back(new, note, pid)
                raise
            if not done:
                self._take_back(new, note, pid)
        except OSError as error:
            self._off_until = time.monotonic() + RETRY_S
            log.error("the cache stores nothing in %s for %d s: %s", self.path, RETRY_S, error.strerror or error)
            return False
        return done

    def _reserve(self, pid: int, size: int, name: Digest) -> int:
        """Make room; the slot of the note, -1 when there is none."""
        books = self._books
        with books.changing(pid):
            if books.moved:
                return -1
            if books.file_bytes + size > books.limit:
                self._sweep()
            while books.file_bytes + size > books.limit:
                at = books.oldest(WINDOW)
                if at < 0:
                    return -1
                self._drop(at)
            note = books.reserve(pid, size, *name)
            if note < 0:
                self._sweep()
                note = books.reserve(pid, size, *name)
            return note

    def _take_back(self, new: str, note: int, pid: int) -> None:
        """A file is not stored after all."""
        with suppress(OSError):
            os.unlink(new)
        with self._books.changing(pid):
            self._books.settle(note)

    def _publish(self, new: str, name: Digest, note: int, pid: int) -> bool:
        """Give a file that is complete its name; False when the table has moved meanwhile."""
        books = self._books
        with books.changing(pid):
            if books.moved:
                return False
            at, another = books.room(*name)
            if another:
                self._drop(at)
            os.rename(new, self._name(name))
            books.publish(note, at, time.time())
            return True

    def fit(self) -> None:
        """Remove what is beyond the limit, which may have become lower; others get the lock in between."""
        books = self._books
        while books.file_bytes > books.limit:
            with books.changing(os.getpid()):
                for _ in range(AT_ONCE):
                    at = books.oldest(WINDOW)
                    if at < 0 or books.file_bytes <= books.limit:
                        return
                    self._drop(at)

    def unlink(self, names: Iterable[Digest]) -> None:
        """Remove files that are in no table."""
        for name in names:
            with suppress(FileNotFoundError):
                os.unlink(self._name(name))

    def remove(self, hashed: bytes) -> None:
        """Forget a digest, and remove its file."""
        try:
            with self._books.changing(os.getpid()):
                at = self._books.place(*halves(hashed))
                if at >= 0:
                    self._drop(at)
        except OSError as error:
            log.error("cannot remove a file of the cache: %s", error)

    def remove_where(self, prefix: bytes) -> int:
        """Remove what is stored for URIs that begin so, whatever the space; all for b"". The number of answers."""
        removed = 0
        for name in self._books.names():
            head = self._head(name)
            if prefix and (head is None or not uri_of(head).startswith(prefix)):
                continue
            removed += isinstance(head, Stored)
            with self._books.changing(os.getpid()):
                at = self._books.place(*name)
                if at >= 0:
                    self._drop(at)
        return removed

    def _head(self, name: Digest) -> Head | None:
        try:
            with open(self._name(name), "rb") as file:
                start = file.read(HEADER.size)
                found = lengths(start)
                return None if found is None else decode(start + file.read(found[0]), 0)
        except OSError:
            return None

    def _drop(self, at: int) -> None:
        """Remove the file of an entry, and the entry. With the lock."""
        with suppress(FileNotFoundError):
            os.unlink(self._name(self._books.digest_at(at)))
        self._books.leave(at)

    def _sweep(self) -> None:
        """Take back what processes had reserved that have died, and remove what they had written. With the lock."""
        dead = {pid for _, pid, _ in self._books.writers() if not _lives(pid)}
        if not dead:
            return
        folder = os.path.join(self.path, NEW)
        for file in os.listdir(folder):
            if file.partition("-")[0] in map(str, dead):
                os.unlink(os.path.join(folder, file))
        for note, pid, name in self._books.writers():
            if pid in dead:
                if self._books.place(*name) < 0:
                    with suppress(FileNotFoundError):
                        os.unlink(self._name(name))
                self._books.settle(note)

    def _name(self, name: Digest) -> str:
        text = text_of(name)
        return os.path.join(self.path, text[:2], text)


def blocks(size: int) -> int:
    """What a file of so many bytes takes of a disk."""
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES


def halves(hashed: bytes) -> Digest:
    """A digest as two slots of 63 bits."""
    return int.from_bytes(hashed[:8], "big") >> 1, int.from_bytes(hashed[8:], "big") >> 1


def text_of(name: Digest) -> str:
    """The name of a file."""
    return f"{name[0] << 1:016x}{name[1]:016x}"


def name_of(text: str) -> Digest | None:
    """What a file's name stands for; None when it is none of ours."""
    try:
        name = int(text[:16], 16) >> 1, int(text[16:], 16)
    except ValueError:
        return None
    return name if text_of(name) == text else None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
