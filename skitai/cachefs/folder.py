"""The folder of the files: made, locked for one server, and taken stock of at the start."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from skitai.cachefs.files import NEW, Digest, blocks, name_of
from skitai.cachefs.shared import Books
from skitai.errors import StartError
from skitai.ipc.lockfile import LockFile, lock, sign, signed

LOCK = "skitai-cache"
"""The file whose lock says who uses the folder, and by which a folder is known as one of a cache."""

SUBFOLDERS = [f"{number:02x}" for number in range(256)]


class Folder(LockFile):
    """A folder that this server alone uses; its files stay for the next start."""

    __slots__ = ()

    @classmethod
    def acquire(cls, path: str, uid: int = -1, gid: int = -1) -> Folder:
        """Make the folder, or take one that a server has left.

        :param uid: whom its files shall belong to, if not to us.
        :raises StartError: it cannot be made or written to, another server uses it, or other files are in it.
        """
        try:
            os.makedirs(path, 0o700, exist_ok=True)
            file = os.path.join(path, LOCK)
            if not os.path.lexists(file) and os.listdir(path):
                raise StartError(f"cannot use the cache folder {path}: there are other files in it")
            fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StartError(f"cannot use the cache folder {path}: {os.strerror(error.errno or 0)}") from error
        if not lock(fd):
            pid = signed(fd)
            os.close(fd)
            raise StartError(f"cannot use the cache folder {path}: another server uses it, pid {pid or 'unknown'}")
        try:
            _prepare(path, fd, uid, gid)
        except OSError as error:
            os.close(fd)
            raise StartError(f"cannot use the cache folder {path}: {error.filename}: {error.strerror}") from error
        except StartError:
            os.close(fd)
            raise
        return cls(path, fd)

    def take_stock(self, books: Books) -> None:
        """Enter the files that are there into new books, those that were written last first, and remove what is beyond the
        limit, and what was never finished."""
        for unfinished in os.listdir(os.path.join(self.path, NEW)):
            os.unlink(os.path.join(self.path, NEW, unfinished))
        found: list[tuple[float, str, Digest, int]] = []
        for subfolder in SUBFOLDERS:
            with os.scandir(os.path.join(self.path, subfolder)) as entries:
                for entry in entries:
                    name = name_of(entry.name)
                    if name is not None and entry.is_file(follow_symlinks=False):
                        state = entry.stat(follow_symlinks=False)
                        found.append((state.st_mtime, entry.path, name, blocks(state.st_size)))
        found.sort(reverse=True)
        with books.changing(os.getpid()):
            for written, path, name, size in found:
                at, another = books.room(*name)
                if another or not size or books.file_bytes + size > books.limit:
                    with suppress(FileNotFoundError):
                        os.unlink(path)
                else:
                    books.enter(at, *name, size, written)


def _prepare(path: str, fd: int, uid: int, gid: int) -> None:
    found = os.stat(path)
    ours = {os.geteuid(), uid} - {-1}
    if found.st_uid not in ours and os.geteuid() != 0:
        raise StartError(f"cannot use the cache folder {path}: it belongs to another user")
    os.chmod(path, stat.S_IRWXU)
    sign(fd)
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise StartError(f"cannot write to the cache folder {path}")
    for name in (NEW, *SUBFOLDERS):
        folder = os.path.join(path, name)
        with suppress(FileExistsError):
            os.mkdir(folder, 0o700)
        if uid >= 0:
            os.chown(folder, uid, gid, follow_symlinks=False)
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise StartError(f"cannot write to the cache folder {folder}")
    if uid >= 0:
        os.chown(path, uid, gid)
