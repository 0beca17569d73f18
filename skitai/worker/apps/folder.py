"""A mounted folder: which file a request path means, what is known of it, and the small ones kept in memory.

A path is looked up on disk at most once a second; in between, what was found (or not) is believed. What is found lies below
the folder when all symbolic links are resolved, and is opened in a way that no link put there meanwhile can lead outside.
`StaticFolder` belongs to the loop's thread.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from functools import partial
from stat import S_ISDIR, S_ISREG
from typing import IO, NamedTuple, Protocol

from skitai.config.sections.serving import Responses
from skitai.http import media
from skitai.http.uri import file_path
from skitai.worker import coding
from skitai.worker.apps.entries import Entry, Stamp, Variant

INDEXES = ("index.htm", "index.html")
SIBLINGS = (("br", ".br"), ("gzip", ".gz"))

KNOWN_MISSES = 1024
MISS_BYTES = 256
"""Longer paths are not remembered as missing, or they would fill the memory."""

SQUEEZED_BYTES = 4 << 20
"""Larger text is not compressed in memory but as it is sent."""

_SAFELY = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_FOLDER = (
    getattr(os, "O_PATH", 0) | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
)


class Limits(NamedTuple):
    """How much a folder keeps, and what it offers.

    :ivar cache_bytes: of memory for entries and contents.
    :ivar file_bytes: largest file kept in memory.
    :ivar precompressed: NAME.br and NAME.gz stand in for NAME.
    :ivar responses: whether and how text is compressed; here that is done once for a file without siblings, and kept.
    """

    cache_bytes: int = 16 << 20
    file_bytes: int = 262144
    precompressed: bool = True
    responses: Responses = Responses()


class Background(Protocol):
    """How to leave the loop and to come back; see `exchange.Context`."""

    def run_in_thread(self, job: Callable[[], None]) -> None: ...
    def on_loop(self, job: Callable[..., None], *args: object) -> None: ...


class StaticFolder:
    """A folder and the point where it is mounted.

    :param point: ends with "/".
    :param folder: absolute path.
    :param max_ages: (path prefix, seconds), as in `Config.max_ages`.
    :param background: where large texts are compressed; without one they are not.
    """

    def __init__(
        self,
        point: str,
        folder: str,
        limits: Limits,
        max_ages: Iterable[tuple[str, int]] = (),
        background: Background | None = None,
    ) -> None:
        self.limits = limits
        self._background = background
        self._point = point
        self._folder = folder.rstrip("/")
        self._max_ages = sorted(max_ages, key=lambda each: len(each[0].rstrip("/")), reverse=True)
        self._entries: dict[str, Entry] = {}
        self._misses: set[str] = set()
        self._second = -1
        self._root = ""
        self._held = 0

    def __repr__(self) -> str:
        return f"<StaticFolder {self._point} {self._folder} {len(self._entries)} entries {self._held} bytes>"

    def find(self, raw_path: str, second: int) -> Entry | None:
        """What a request path means; None when it names nothing here that may be served.

        :param raw_path: path of the request target, not decoded.
        :param second: now, in whole seconds since the epoch.
        """
        if second != self._second:
            self._second = second
            self._misses.clear()
            self._root = os.path.realpath(self._folder or "/").rstrip("/") + "/"  # may be a link that a deployment switches
        # Keys are decoded paths that were found safe; without "%" a path is its own decoded form.
        if "%" not in raw_path:
            entry = self._entries.get(raw_path)
            if entry is not None and entry.second == second:
                return entry
        if raw_path in self._misses:
            return None
        path = file_path(raw_path)
        found = None if path is None else self._renew(path, second)
        if found is None and len(raw_path) <= MISS_BYTES:
            if len(self._misses) >= KNOWN_MISSES:
                self._misses.clear()
            self._misses.add(raw_path)
        return found

    def _renew(self, path: str, second: int) -> Entry | None:
        """Look a path up on disk, unless that was done this second, and keep what is still true of what was known."""
        known = self._entries.get(path)
        if known is not None and known.second == second:
            return known
        entry = self._look_up(path, second)
        if known is not None:
            self._forget(known)
            if entry is not None and known.settled and known.same_files(entry):
                if known.dated:
                    known.describe(second)
                known.second = second
                entry = known
        if entry is not None:
            self._keep(entry)
        return entry

    def _look_up(self, path: str, second: int) -> Entry | None:
        if not path.startswith(self._point):
            return None
        name = self._folder + path[len(self._point) - 1 :]
        try:
            is_folder = S_ISDIR(os.stat(name).st_mode)
        except OSError:  # it is not there, or nothing that we may look at
            return None
        if not is_folder:
            return self._entry(path, second, self._regular(name))
        index = next((found for each in INDEXES if (found := self._regular(os.path.join(name, each)))), None)
        if path.endswith("/"):
            return self._entry(path, second, index)
        return Entry(path, second) if index else None

    def _entry(self, path: str, second: int, plain: Variant | None) -> Entry | None:
        if plain is None:
            return None
        coded = [self._sibling(plain, *each) for each in SIBLINGS] if self.limits.precompressed else []
        found = (plain, *(variant for variant in coded if variant))
        entry = Entry(path, second, self._max_age(path), found)
        if not entry.offered and self._compressible(entry, plain):
            entry.squeezable = True
            entry.offered = coding.OFFERED
        entry.describe(second)
        return entry

    def _compressible(self, entry: Entry, plain: Variant) -> bool:
        """Text that may be compressed once and kept."""
        responses = self.limits.responses
        most = min(SQUEEZED_BYTES if self._background else coding.INLINE_BYTES, self.limits.cache_bytes // 4)
        return responses.compress and responses.compress_bytes <= plain.size <= most and media.is_text(entry.media_type)

    def _sibling(self, plain: Variant, coding: str, extension: str) -> Variant | None:
        """The file's precompressed form; one that is older than the file is out of date."""
        found = self._regular(plain.path + extension, coding)
        return found if found and found.last_modified >= plain.last_modified else None

    def _regular(self, name: str, coding: str = "") -> Variant | None:
        """A regular file that lies below the folder; nothing is opened, so a FIFO or a device does no harm."""
        try:
            info = os.stat(name)
            if not S_ISREG(info.st_mode):
                return None
            path = os.path.realpath(name, strict=True)
        except OSError:  # it is not there, or nothing that we may look at
            return None
        return Variant(path, Stamp.of(info), coding) if path.startswith(self._root) else None

    def _max_age(self, path: str) -> int:
        for prefix, seconds in self._max_ages:
            prefix = prefix.rstrip("/")
            if path == prefix or path.startswith(prefix + "/"):
                return seconds
        return 0

    def content(self, entry: Entry, variant: Variant) -> bytes | None:
        """The bytes of a variant, or None when it is too large for memory, or no longer the file that was found.

        :raises OSError: as `open_below`.
        """
        if variant.content is not None or variant.size > self.limits.file_bytes:
            return variant.content
        content = read_below(self._root, variant)
        if content is not None and self._hold(entry, content):
            variant.content = content
        return content

    def coded(self, entry: Entry, name: str) -> Variant | None:
        """The variant in a coding that the entry offers, or None while there is none: then the plain form is to be sent.

        Text is compressed when it is first wanted: a small one at once, a large one in the background, for the next.

        :raises OSError: as `open_below`.
        """
        variant = entry.variants.get(name)
        plain = entry.plain
        if variant is not None or plain is None or not entry.squeezable or name in entry.tried:
            return variant
        entry.tried.add(name)
        if plain.size <= coding.INLINE_BYTES:
            content = self.content(entry, plain) or read_below(self._root, plain)
            if content is not None:
                self._keep_coded(entry, name, squeeze(name, content, self.limits.responses))
        elif self._background is not None:
            job = partial(self._code_in_background, self._background, self._root, entry, plain, name)
            self._background.run_in_thread(job)
        return entry.variants.get(name)

    def _code_in_background(self, background: Background, root: str, entry: Entry, plain: Variant, name: str) -> None:
        """Runs in a thread; touches nothing but its arguments."""
        try:
            content = read_below(root, plain)
        except OSError:  # the plain form is sent meanwhile, and whoever sends it tells
            return
        if content is not None:
            background.on_loop(self._keep_coded, entry, name, squeeze(name, content, self.limits.responses))

    def _keep_coded(self, entry: Entry, name: str, content: bytes | None) -> None:
        if content is not None and entry.plain is not None and self._hold(entry, content):
            entry.variants[name] = variant = Variant(entry.plain.path, entry.plain.stamp, name, content)
            variant.describe(entry.media_type, entry.max_age, True, entry.second)

    def open(self, variant: Variant) -> tuple[IO[bytes], Stamp]:
        """The file of a variant, and its stamp: it may have changed since it was found.

        :raises OSError: as `open_below`.
        """
        return open_below(self._root, variant.path)

    def _hold(self, entry: Entry, content: bytes) -> bool:
        """Make room for a content of an entry; False when it must not be kept."""
        if self._entries.get(entry.path) is not entry or entry.cost + len(content) > self.limits.cache_bytes:
            return False
        entry.cost += len(content)
        self._held += len(content)
        self._make_room(entry)
        return True

    def _keep(self, entry: Entry) -> None:
        if entry.cost <= self.limits.cache_bytes:
            self._entries[entry.path] = entry  # the newest stands last
            self._held += entry.cost
            self._make_room(entry)

    def _make_room(self, newest: Entry) -> None:
        while self._held > self.limits.cache_bytes and (oldest := next(iter(self._entries.values()))) is not newest:
            self._forget(oldest)

    def _forget(self, entry: Entry) -> None:
        del self._entries[entry.path]
        self._held -= entry.cost


def squeeze(name: str, content: bytes, options: Responses) -> bytes | None:
    """Content compressed, or None when that does not make it smaller."""
    _, small = coding.whole(name, (), content, options)
    return small if len(small) < len(content) else None


def read_below(root: str, variant: Variant) -> bytes | None:
    """The bytes of a variant's file, or None when it changed since it was found. Parameters and errors as `open_below`."""
    file, stamp = open_below(root, variant.path)
    with file:
        if stamp != variant.stamp:
            return None
        content = file.read(variant.size)
    return content if len(content) == variant.size else None


def open_below(root: str, path: str) -> tuple[IO[bytes], Stamp]:
    """Open a file, walking down from a folder without following links: whatever happened meanwhile, it lies below.

    :param root: resolved path of the folder, ends with "/".
    :param path: resolved path of the file, begins with `root`.
    :raises FileNotFoundError, NotADirectoryError: the file is gone, or something else took its place.
    :raises PermissionError: it is not ours to read.
    :raises OSError: there are no descriptors left, the disk fails ...
    """
    try:
        descriptor = _walk(root, path)
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link took its place
            raise FileNotFoundError(errno.ENOENT, "became a link", path) from error
        raise
    info = os.fstat(descriptor)
    if not S_ISREG(info.st_mode):
        os.close(descriptor)
        raise FileNotFoundError(errno.ENOENT, "became something else than a file", path)
    return os.fdopen(descriptor, "rb", buffering=0), Stamp.of(info)


def _walk(root: str, path: str) -> int:
    if os.open not in os.supports_dir_fd:
        return os.open(path, _SAFELY)
    *folders, name = path.removeprefix(root).split("/")
    folder = os.open(root, _FOLDER)
    try:
        for each in folders:
            below = os.open(each, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = below
        return os.open(name, _SAFELY, dir_fd=folder)
    finally:
        os.close(folder)
