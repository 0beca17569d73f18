"""Uploaded files: small ones in memory, others in files under names of ours, and none left when the request is over."""

from __future__ import annotations

import errno
import io
import os
import shutil
import tempfile
from contextlib import suppress
from typing import IO

import psutil

from skitai.http import media
from skitai.was import host
from skitai.was.folders import private_folder

LONGEST_NAME = 255
"""Bytes; what file systems allow."""

NO_NAME = "noname"

PREFIX = "upload-"

_UNSAFE = str.maketrans(dict.fromkeys("\"':;|><&?", "_"))


def clean_name(given: str) -> str:
    """What is left of a client's name for a file: a name that is harmless in any folder.

    Its last segment, without leading dots and without characters that cannot be seen; white space and what means something
    to shells become "_"; at most 255 bytes, the extension kept.
    """
    name = given.replace("\\", "/").rpartition("/")[2]
    name = "_".join(name.split()).translate(_UNSAFE)
    name = "".join(filter(str.isprintable, name)).lstrip(".")
    return fitting(name, "") or NO_NAME


def fitting(name: str, mark: str) -> str:
    """A name with a mark before its extension, its stem cut so that both fit a file system."""
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode()) > 32:
        stem, dot, extension = name, "", ""
    tail = f"{mark}{dot}{extension}"
    room = LONGEST_NAME - len(tail.encode())
    return stem.encode()[:room].decode("utf-8", "ignore") + tail


class Spool:
    """The files of one form, until the request is over.

    :param memory_bytes: of all of them kept in memory.
    """

    __slots__ = ("_files", "_room")

    def __init__(self, memory_bytes: int) -> None:
        self._files: list[UploadedFile] = []
        self._room = memory_bytes

    def store(self, given: str, media_type: str) -> UploadedFile:
        """A file to write to; what `http.forms.parse_multipart` wants."""
        file = UploadedFile(self, given, media_type)
        self._files.append(file)
        return file

    def holds(self, size: int) -> bool:
        """Whether so many bytes more may stay in memory; if so, they are counted."""
        if size > self._room:
            return False
        self._room -= size
        return True

    def freed(self, size: int) -> None:
        """So many bytes are no longer in memory."""
        self._room += size

    def discard(self) -> None:
        """Remove what was not saved."""
        for file in self._files:
            file._discard()
        self._files.clear()


class UploadedFile:
    """A file of a form.

    :ivar name: the client's name for it, cleaned.
    :ivar size: in bytes.
    :ivar mimetype: its media type, as the client says, or else by its name.
    """

    __slots__ = ("_buffer", "_file", "_path", "_spool", "_temporary", "mimetype", "name", "size")

    def __init__(self, spool: Spool, given: str, media_type: str) -> None:
        self._spool = spool
        self._buffer: io.BytesIO | None = io.BytesIO()
        self._file: IO[bytes] | None = None
        self._temporary = False
        self.name = clean_name(given)
        self.mimetype = media_type or media.type_of(self.name).partition(";")[0]
        self.size = 0
        self._path: str | None = None

    def __repr__(self) -> str:
        return f"<UploadedFile {self.name} of {self.size} bytes>"  # messages to clients may hold it: no paths

    # While it is received

    def write(self, data: bytes) -> None:
        """Take the next piece; belongs to the parser of the form."""
        if self._buffer is not None and not self._spool.holds(len(data)):
            self._to_disk()
        target = self._buffer if self._file is None else self._file
        assert target is not None
        target.write(data)
        self.size += len(data)

    def end(self) -> None:
        """It is complete."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _to_disk(self) -> None:
        self._file, self._path = create(temporary_folder())
        self._temporary = True
        if self._buffer is not None:
            self._file.write(self._buffer.getvalue())
            self._buffer = None
            self._spool.freed(self.size)

    def _discard(self) -> None:
        self.end()
        self._buffer = None
        if self._temporary:
            self._temporary = False
            assert self._path is not None
            with suppress(FileNotFoundError):
                os.unlink(self._path)
            self._path = None

    # What apps use

    @property
    def in_memory(self) -> bool:
        """Whether there is no file of it."""
        return self._buffer is not None

    @property
    def path(self) -> str | None:
        """Where it is: a temporary file, which is written now if it was in memory, or the place where it was saved; None
        when it was removed or the request is over."""
        return self.flush() if self.in_memory else self._path

    file = path

    def read(self) -> bytes:
        """The whole content.

        :raises ValueError: it was removed, or the request is over.
        """
        if self._buffer is not None:
            return self._buffer.getvalue()
        with open(self._place(), "rb") as file:
            return file.read()

    def flush(self) -> str:
        """Put the content into a temporary file if it is in memory.

        :returns: where it is.
        """
        if self.in_memory:
            self._to_disk()
            self.end()
        return self._place()

    def save(self, into: str | os.PathLike[str], name: str | None = None, mkdir: bool = False, dup: str = "u") -> str:
        """Keep the file in a folder.

        :param name: of the file there; the client's by default.
        :param mkdir: make the folder if it is not there.
        :param dup: when the name is taken: "u" finds another (a.txt, a.1.txt, a.2.txt), "o" overwrites.
        :returns: where it is now.
        :raises ValueError: `name` is no plain file name, or `dup` neither.
        """
        name = self.name if name is None else name
        if not name or name in (".", "..") or "/" in name or os.sep in name or "\0" in name:
            raise ValueError(f"save(name={name!r}): it should be a file's name, not a path")
        if dup not in ("u", "o"):
            raise ValueError(f'save(dup={dup!r}): it should be "u" (find another name) or "o" (overwrite)')
        folder = os.fspath(into)
        if mkdir:
            os.makedirs(folder, exist_ok=True)
        if dup == "o":
            self._put(os.path.join(folder, name))
            return self._place()
        source, target = self.flush(), _claim(folder, name)
        try:
            self._put(target)
        finally:
            if self._path == source:  # it did not come there
                os.unlink(target)
        return self._place()

    def move(self, to: str | os.PathLike[str]) -> str:
        """Move the file to a path, or into a folder under its own name; what is there is overwritten.

        :returns: where it is now.
        """
        target = os.fspath(to)
        self._put(os.path.join(target, self.name) if os.path.isdir(target) else target)
        return self._place()

    def remove(self) -> None:
        """Delete the file, wherever it is."""
        self._buffer = None
        if self._path is not None:
            path, self._path = self._path, None
            self._temporary = False
            os.unlink(path)

    def _place(self) -> str:
        if self._path is None:
            raise ValueError(f"{self.name}: the file was removed, or its request is over; save() keeps a file")
        return self._path

    def _put(self, target: str) -> None:
        """Move the content to a path, in one step for those who look there."""
        source = self.flush()
        try:
            os.replace(source, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            file, beside = create(os.path.dirname(target) or ".")
            with file, open(source, "rb") as content:
                shutil.copyfileobj(content, file, 1 << 20)
            os.replace(beside, target)
            os.unlink(source)
        self._path = target
        self._temporary = False


def _claim(folder: str, name: str) -> str:
    """Make an empty file under a name that nobody has; its path."""
    number = 0
    while True:
        path = os.path.join(folder, fitting(name, f".{number}" if number else ""))
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        except FileExistsError:
            number += 1
        else:
            return path


def create(folder: str) -> tuple[IO[bytes], str]:
    """A new file under a name of ours, and its path. Its mode is the usual one, for it may be saved as it is."""
    path = os.path.join(folder, f"{PREFIX}{os.getpid()}-{os.urandom(12).hex()}")
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb"), path


class _Folder:
    """The folder for temporary files, found once."""

    def __init__(self) -> None:
        self.path = ""
        self.pid = 0


_folder = _Folder()


def temporary_folder() -> str:
    """A folder that only this server's user may enter.

    What a worker that was killed left there is removed when another first needs it. Where something cleans up behind the
    server's back, the folder is made again.
    """
    if _folder.pid != os.getpid() or not os.path.isdir(_folder.path):
        worker = host.attached()
        base = worker.places.spool if worker is not None else ""
        _folder.path = private_folder(base or tempfile.gettempdir(), f"skitai-uploads-{os.geteuid()}")
        _folder.pid = os.getpid()
        _sweep(_folder.path)
    return _folder.path


def _sweep(folder: str) -> None:
    alive = set(psutil.pids())
    for name in os.listdir(folder):
        pid = name.removeprefix(PREFIX).partition("-")[0]
        if name.startswith(PREFIX) and pid.isdecimal() and int(pid) not in alive:
            with suppress(FileNotFoundError):  # another worker sweeps, too
                os.unlink(os.path.join(folder, name))
