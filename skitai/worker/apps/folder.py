"""A mounted folder: which file a request path means, what is known of it, and the small ones kept in memory.

A path is looked up on disk at most once a second; in between, what was found (or not) is believed. What is found lies below
the folder when all symbolic links are resolved, and is opened in a way that no link put there meanwhile can lead outside.
Everything here belongs to the loop's thread.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from stat import S_ISDIR, S_ISREG
from typing import NamedTuple

from skitai.config.tree import Responses
from skitai.http import media
from skitai.http.dates import format_http_date
from skitai.http.uri import file_path
from skitai.worker import coding

INDEXES = ("index.htm", "index.html")
SIBLINGS = (("br", ".br"), ("gzip", ".gz"))
SUFFIXES = {"": "", "br": "-br", "gzip": "-gz"}

ENTRY_BYTES = 2048
"""What an entry takes beside its content, roughly; so a bound on bytes bounds their number too."""

KNOWN_MISSES = 1024
MISS_BYTES = 256
"""Longer paths are not remembered as missing, or they would fill the memory."""

SETTLED_S = 2
"""A file changed less than this long ago may change again without its time showing it (file systems count coarsely)."""

_SAFELY = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_FOLDER = (
    getattr(os, "O_PATH", 0) | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
)

Pairs = tuple[tuple[str, str], ...]


class Limits(NamedTuple):
    """How much a folder keeps, and what it offers.

    :ivar cache_bytes: of memory for entries and contents.
    :ivar file_bytes: largest file kept in memory.
    :ivar precompressed: NAME.br and NAME.gz stand in for NAME.
    :ivar responses: whether and how text is compressed; here that is done once for a file in memory without siblings.
    """

    cache_bytes: int = 16 << 20
    file_bytes: int = 65536
    precompressed: bool = True
    responses: Responses = Responses()


class Stamp(NamedTuple):
    """Identity and state of a file; when it is the same, so is the content (but see `SETTLED_S`)."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, info: os.stat_result) -> Stamp:
        return cls(info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)


class Variant:
    """One representation of a file: the file itself, or a coded form of it.

    :ivar path: resolved path of the file that holds it.
    :ivar coding: "" or the content coding.
    :ivar content: the bytes when they are in memory.
    :ivar fields: of a 200; the same tuple as long as nothing in it changes.
    :ivar unchanged: fields of a 304 (RFC 9110, section 15.4.5).
    """

    __slots__ = ("coding", "content", "etag", "fields", "last_modified", "path", "size", "stamp", "unchanged")

    fields: Pairs
    unchanged: Pairs

    def __init__(self, path: str, stamp: Stamp, coding: str = "", content: bytes | None = None) -> None:
        self.path = path
        self.stamp = stamp
        self.coding = coding
        self.content = content
        self.size = stamp.size if content is None else len(content)
        self.etag = f'"{stamp.size:x}-{stamp.modified_ns:x}{SUFFIXES[coding]}"'
        self.last_modified = stamp.modified_ns // 1_000_000_000

    def __repr__(self) -> str:
        return f"<Variant {self.path} {self.coding or 'plain'} {self.size}{'' if self.content is None else ' in memory'}>"

    def describe(self, content_type: str, max_age: int, varies: bool, second: int) -> None:
        """Make the response fields anew.

        :param second: now, in seconds since the epoch. Section 8.8.2.1: Last-Modified never lies in the future.
        """
        cache: Pairs = ()
        if max_age:
            cache = (("Cache-Control", f"max-age={max_age}"), ("Expires", format_http_date(second + max_age)))
        if varies:
            cache = (*cache, ("Vary", "Accept-Encoding"))
        self.unchanged = (("ETag", self.etag), *cache)
        coded: Pairs = (("Content-Encoding", self.coding),) if self.coding else ()
        self.fields = (
            ("Content-Type", content_type),
            ("Content-Length", str(self.size)),
            ("Last-Modified", format_http_date(min(self.last_modified, second))),
            ("ETag", self.etag),
            ("Accept-Ranges", "bytes"),
            *coded,
            *cache,
        )


class Entry:
    """What a request path means, as of one second.

    :ivar redirect: it is a folder with an index, and the path lacks its slash.
    :ivar plain: the file itself; None for a redirect.
    :ivar variants: its coded forms by coding.
    :ivar offered: their codings, our favourite first.
    """

    __slots__ = ("cost", "max_age", "media_type", "offered", "path", "plain", "redirect", "second", "squeezable", "variants")

    def __init__(self, path: str, second: int, max_age: int = 0, found: tuple[Variant, ...] = ()) -> None:
        self.path = path
        self.second = second
        self.max_age = max_age
        self.redirect = not found
        self.cost = ENTRY_BYTES
        self.squeezable = False
        self.plain = found[0] if found else None
        self.variants = {variant.coding: variant for variant in found[1:]}
        self.offered = tuple(self.variants)
        self.media_type = media.type_of(found[0].path) if found else ""

    def __repr__(self) -> str:
        return f"<Entry {self.path} {'redirect' if self.redirect else self.plain}>"

    def describe(self, second: int) -> None:
        """Bring the response fields of all variants up to date."""
        for variant in self.every():
            variant.describe(self.media_type, self.max_age, bool(self.offered), second)

    def every(self) -> tuple[Variant, ...]:
        return () if self.plain is None else (self.plain, *self.variants.values())

    def same_files(self, other: Entry) -> bool:
        """Whether both mean the same unchanged files. What was compressed in memory has the stamp of its file."""
        return self._files() == other._files()

    def _files(self) -> set[tuple[str, Stamp]]:
        return {(variant.path, variant.stamp) for variant in self.every()}

    @property
    def settled(self) -> bool:
        """Every file was left alone long enough for its stamp to be trusted."""
        return all(self.second - variant.last_modified >= SETTLED_S for variant in self.every())

    @property
    def dated(self) -> bool:
        """The fields change with the time of day."""
        return self.max_age > 0 or any(variant.last_modified > self.second for variant in self.every())


class StaticFolder:
    """A folder and the point where it is mounted.

    :param point: ends with "/".
    :param folder: absolute path.
    :param max_ages: (path prefix, seconds), as in `Config.max_ages`.
    """

    def __init__(self, point: str, folder: str, limits: Limits, max_ages: Iterable[tuple[str, int]] = ()) -> None:
        self.limits = limits
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
        responses, most = self.limits.responses, min(self.limits.file_bytes, self.limits.cache_bytes // 4)
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

        :raises OSError: as `open`.
        """
        if variant.content is not None or variant.size > self.limits.file_bytes:
            return variant.content
        descriptor = self.open(variant)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            if Stamp.of(os.fstat(descriptor)) != variant.stamp:
                return None
            content = file.read(variant.size)
        if len(content) != variant.size:
            return None
        if self._hold(entry, content):
            variant.content = content
        return content

    def coded(self, entry: Entry, name: str) -> Variant | None:
        """The variant in a coding that the entry offers; compressed in memory when it is first wanted.

        :returns: None when compressing does not make it smaller: then the plain form is the one to send.
        :raises OSError: as `open`.
        """
        variant = entry.variants.get(name)
        if variant is None and entry.squeezable and entry.plain is not None:
            content = self.content(entry, entry.plain)
            if content is None:
                return None
            _, small = coding.whole(name, (), content, self.limits.responses)
            if len(small) >= len(content):
                entry.squeezable = False
                return None
            variant = Variant(entry.plain.path, entry.plain.stamp, name, small)
            variant.describe(entry.media_type, entry.max_age, True, entry.second)
            if self._hold(entry, small):
                entry.variants[name] = variant
        return variant

    def open(self, variant: Variant) -> int:
        """A descriptor of the file, which may have changed since it was found.

        Walks down from the mounted folder without following links, so it ends below the folder whatever happens meanwhile.

        :raises FileNotFoundError, PermissionError, OSError: the file is gone, is not ours to read, became a link ...
        """
        if os.open not in os.supports_dir_fd:
            return os.open(variant.path, _SAFELY)
        *folders, name = variant.path.removeprefix(self._root).split("/")
        folder = os.open(self._root, _FOLDER)
        try:
            for each in folders:
                below = os.open(each, _FOLDER, dir_fd=folder)
                os.close(folder)
                folder = below
            return os.open(name, _SAFELY, dir_fd=folder)
        finally:
            os.close(folder)

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
