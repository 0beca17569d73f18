"""The cache as the master has it: shared memory and a locked folder, made before the fork, handed on across an exec."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

from skitai.cachefs.cache import Stores
from skitai.cachefs.files import BLOCK_BYTES, Files
from skitai.cachefs.folder import Folder
from skitai.cachefs.ring import Ring
from skitai.cachefs.shared import Books
from skitai.config.sections.caching import CacheFs
from skitai.errors import StartError

log = logging.getLogger("skitai.server")

MOST_FILES = 262144


class Host:
    """What the workers of a host share of a cache.

    :ivar folder: of the files; None without that tier.
    """

    def __init__(self, options: CacheFs, books: Books, ring: Ring | None, folder: Folder | None) -> None:
        self._most_bytes = options.cachefs_object_bytes
        self._diskmax = options.cachefs_diskmax
        self.books = books
        self.ring = ring
        self.folder = folder

    @classmethod
    def open(cls, options: CacheFs, path: str, owner: tuple[int, int] = (-1, -1), before: Host | None = None) -> Host | None:
        """What the options want; None for no cache. What is taken over is as it was until `settle` is called.

        :param path: of the folder.
        :param owner: user and group whom the files shall belong to, if not to us.
        :param before: what there is already: what of it still fits is taken over.
        :raises StartError: the folder cannot be used, or there is not so much memory; `before` is as it was.
        """
        if not options.enabled:
            return None
        most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if options.cachefs_memmax > most:
            raise StartError(f"cachefs_memmax: {options.cachefs_memmax} bytes, where this machine has {most} in all")
        wanted = path if options.cachefs_diskmax else ""
        same = before is not None and (before.folder.path if before.folder else "") == wanted
        if before is not None and same:
            books, folder = before.books, before.folder
        else:
            folder = Folder.acquire(path, *owner) if options.cachefs_diskmax else None
            books = Books.create(files_in(options.cachefs_diskmax))
            books.limit = options.cachefs_diskmax
            if folder is not None:
                folder.take_stock(books)
        ring = before.ring if before is not None and same else None
        size = options.cachefs_memmax // 8 * 8
        if ring is None or ring.total != size:
            ring = Ring.create(size, books) if size else None
        return cls(options, books, ring, folder)

    def settle(self) -> None:
        """Let the size of what was taken over be what the options want. The workers that are there already store nothing in
        files any more where that needs a larger table. Where it cannot be done now, it is logged.
        """
        files = self.stores().files
        if files is None:
            return
        self.books.limit = self._diskmax
        try:
            files.fit()
            self.books, lost = self.books.grown(files_in(self._diskmax))
        except OSError as error:
            log.error("cannot change the size of the cache: %s", error)
            return
        files.unlink(lost)
        if self.ring is not None:
            self.ring = Ring(self.ring.memory, self.books)

    def stores(self) -> Stores:
        """For a worker."""
        files = Files(self.folder.path, self.books) if self.folder is not None else None
        return Stores(self.books, self.ring, files, self._most_bytes)

    def hand_over(self) -> dict[str, Any]:
        """Let everything survive the next exec, and describe it in JSON types for `adopt`."""
        return {
            "object_bytes": self._most_bytes,
            "books": self.books.memory.hand_over(),
            "ring": self.ring.memory.hand_over() if self.ring else -1,
            "folder": [self.folder.path, self.folder.hand_over()] if self.folder else None,
        }

    def keep(self) -> None:
        """The exec did not come about: programs that are started must not get what is ours."""
        for fd in self._descriptors():
            os.set_inheritable(fd, False)

    @classmethod
    def adopt(cls, data: Mapping[str, Any] | None) -> Host | None:
        """What the program before the exec handed over; None when there is nothing, or its layout is another one."""
        if data is None:
            return None
        folder = Folder.adopt(*data["folder"]) if data["folder"] else None
        books = Books.adopt(data["books"])
        if books is None:
            if folder is not None:
                folder.close()
            return None
        ring = Ring.adopt(data["ring"], books) if data["ring"] >= 0 else None
        return cls(CacheFs(cachefs_object_bytes=data["object_bytes"]), books, ring, folder)

    def close(self, but: Host | None = None) -> None:
        """Give up the folder and the memory; who has it mapped keeps it.

        :param but: what takes the place of this, and has taken over what it could.
        """
        kept = () if but is None else but._descriptors()
        for fd in self._descriptors():
            if fd not in kept:
                os.close(fd)

    def describe(self) -> dict[str, Any]:
        """Where another process of this host finds it, in JSON types."""
        return {
            "books": self.books.memory.fd,
            "ring": self.ring.memory.fd if self.ring else -1,
            "path": self.folder.path if self.folder else "",
        }

    def _descriptors(self) -> list[int]:
        found = [self.books.memory.fd]
        if self.ring is not None:
            found.append(self.ring.memory.fd)
        if self.folder is not None:
            found.append(self.folder.fd)
        return found


def files_in(size: int) -> int:
    """How many files so many bytes may be of."""
    return min(size // BLOCK_BYTES, MOST_FILES)
