"""The mail spool: a folder with one file for each message (`ipc.envelope` has their form), and one for what was given up.

A message is written under a temporary name, synced, renamed, and its folder synced, before `put` returns. Who delivers it
holds a lock on its file meanwhile, a *lease*. The lock ends with its process, however that ends, so nobody has to tidy up
after a killed agent, and two agents on one spool never have the same message.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from skitai.ipc import rundir
from skitai.ipc.envelope import (
    Attempt,
    CorruptMail,
    Envelope,
    Head,
    Mail,
    Name,
    decode_attempts,
    decode_head,
    encode_attempt,
    encode_head,
)
from skitai.ipc.pidfile import is_at

with suppress(ImportError):  # Windows
    import fcntl

FOLDERS = ("smtpda", "mail")
"""Where it is below the home of helpers."""

_TEMPORARY = ".new-"
_ASIDE = "aside-"
_STAMP = re.compile(r"([0-9]{13})-")


@dataclass(frozen=True, slots=True)
class Found:
    """What is in a folder of mail.

    :param names: of messages, the first due first.
    :param strangers: of other files, which nobody should have put there.
    """

    names: list[Name]
    strangers: list[str]


class Spool:
    """The two folders of one agent. Constructing it makes neither.

    :ivar folder: messages to deliver.
    :ivar undeliver: messages that were given up.
    """

    def __init__(self, home: str) -> None:
        """:param home: of a server's helpers (`rundir.Places.home`), or `rundir.default_home`."""
        self._home = home
        self.folder = os.path.join(home, *FOLDERS, "spool")
        self.undeliver = os.path.join(home, *FOLDERS, "undeliver")

    def make(self) -> None:
        """Make the folders; ours alone to enter.

        :raises StartError: they cannot be made, or are not ours.
        """
        rundir.make_home(self._home)
        below = self._home
        for name in FOLDERS:
            below = os.path.join(below, name)
            rundir.make_own(below, 0o700)
        rundir.make_own(self.folder, 0o700)
        rundir.make_own(self.undeliver, 0o700)

    def put(self, envelope: Envelope, message: bytes) -> Name:
        """Put a message into the spool, due at once. When this returns, it is on the disk.

        :raises OSError: a full disk for instance; nothing of the message is left then.
        :raises StartError: the folders cannot be made.
        """
        now_s = time.time()
        if not envelope.made_s:
            envelope = replace(envelope, made_s=now_s)
        name = Name(int(now_s * 1000), 0, envelope.lane, secrets.token_hex(16))
        temporary = os.path.join(self.folder, _TEMPORARY + name.identity)
        fd = self._create(temporary)
        try:
            with open(fd, "wb", buffering=0) as file:
                _write_all(file.fileno(), encode_head(envelope, message) + message)
                os.fsync(file.fileno())
            os.rename(temporary, os.path.join(self.folder, str(name)))
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
        sync_folder(self.folder)
        return name

    def _create(self, path: str) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            return os.open(path, flags, 0o600)
        except FileNotFoundError:
            self.make()
            return os.open(path, flags, 0o600)

    def scan(self) -> Found:
        """What is in the spool now. Temporary files do not count."""
        return _scan(self.folder)

    def given_up(self) -> Found:
        """What is in the folder of undelivered mail now."""
        return _scan(self.undeliver)

    def lease(self, name: Name) -> Lease | None:
        """Take a message to deliver it; None when it has gone or somebody else has it.

        :raises CorruptMail: it is no message of ours, or not a whole one.
        :raises OSError: it cannot be read now.
        """
        path = os.path.join(self.folder, str(name))
        fd = _open(path)
        if fd is None:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_at(path, fd):
                head, message, attempts, end = _read(fd)
                return Lease(self, name, fd, Mail(head.envelope, attempts), message, end)
        except BlockingIOError:
            pass
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        return None

    def peek(self, name: Name, *, given_up: bool = False) -> Mail | None:
        """What a message is about, for people; None when it has gone.

        :param given_up: look among undelivered mail.
        :raises CorruptMail: it is no message of ours.
        """
        fd = _open(os.path.join(self.undeliver if given_up else self.folder, str(name)))
        if fd is None:
            return None
        try:
            head, _, attempts, _ = _read(fd)
            return Mail(head.envelope, attempts)
        finally:
            os.close(fd)

    def set_aside(self, name: str) -> str:
        """Move a file that is no message of ours out of the way; its new path.

        :raises OSError: it cannot be moved.
        """
        path = os.path.join(self.undeliver, f"{int(time.time() * 1000):013d}-{_ASIDE}{name}")
        self.move(os.path.join(self.folder, name), path)
        return path

    def move(self, source: str, target: str) -> None:
        """Rename a file; the folders are made again if somebody has removed them."""
        try:
            os.rename(source, target)
        except FileNotFoundError:
            self.make()
            os.rename(source, target)

    def expire(self, before_s: float) -> list[str]:
        """Remove undelivered mail, and what was set aside, that lies there since before that time.

        :returns: the names of the files removed.
        :raises OSError: one cannot be removed.
        """
        gone = []
        for name in sorted(os.listdir(self.undeliver)):
            stamp = _STAMP.match(name)
            if stamp and int(stamp[1]) < before_s * 1000:
                path = os.path.join(self.undeliver, name)
                if os.path.isdir(path) and not os.path.islink(path):
                    continue  # nothing of ours ever was a folder; whoever put it there may look into it
                os.unlink(path)
                gone.append(name)
        return gone

    def sweep(self, before_s: float) -> list[str]:
        """Remove what writers that were killed left unfinished before that time; the names of the files removed."""
        gone = []
        for name in os.listdir(self.folder):
            path = os.path.join(self.folder, name)
            with suppress(FileNotFoundError):
                if name.startswith(_TEMPORARY) and os.lstat(path).st_mtime < before_s:
                    os.unlink(path)
                    gone.append(name)
        return gone

    def __repr__(self) -> str:
        return f"<Spool {self.folder}>"


class Lease:
    """A message that this process alone may deliver, until one of the verbs below ends that, or the process ends.

    :ivar mail: its envelope and attempts, kept up to date by the verbs.
    :ivar message: its bytes.
    """

    __slots__ = ("_end", "_fd", "_spool", "mail", "message", "name")

    def __init__(self, spool: Spool, name: Name, fd: int, mail: Mail, message: bytes, end: int) -> None:
        self._spool = spool
        self._fd = fd
        self._end = end
        self.name = name
        self.mail = mail
        self.message = message

    def note(self, attempt: Attempt) -> None:
        """Record what came of an attempt. Synced when somebody has got the message by it: that must not be done again.

        :raises OSError: it cannot be written; the file is as before, `mail` knows it, and the same call may be made again.
        """
        if self.mail.attempts[-1:] != (attempt,):
            self.mail = self.mail.after(attempt)
        line = encode_attempt(attempt)
        try:
            os.ftruncate(self._fd, self._end)  # what a crash or a full disk has left of a line
            os.lseek(self._fd, self._end, os.SEEK_SET)
            _write_all(self._fd, line)
            if attempt.delivered:
                os.fsync(self._fd)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._fd, self._end)
            raise
        self._end += len(line)

    def defer(self, due_s: float) -> Name:
        """Leave it in the spool, to be tried again.

        :param due_s: not before, Unix time.
        :returns: its name from now on.
        """
        due = replace(self.name, due_ms=int(due_s * 1000), attempts=self.name.attempts + 1)
        os.rename(self._path(self.name), self._path(due))
        self.release()
        return due

    def undeliver(self) -> str:
        """Give it up: it moves to the folder of undelivered mail; its new path."""
        moved = replace(self.name, due_ms=int(time.time() * 1000), attempts=self.name.attempts + 1)
        path = os.path.join(self._spool.undeliver, str(moved))
        self._spool.move(self._path(self.name), path)
        sync_folder(self._spool.undeliver)
        self.release()
        return path

    def remove(self) -> None:
        """It has been delivered."""
        with suppress(FileNotFoundError):
            os.unlink(self._path(self.name))
        self.release()

    def release(self) -> None:
        """Leave it as it is, for somebody else."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _path(self, name: Name) -> str:
        return os.path.join(self._spool.folder, str(name))

    def __repr__(self) -> str:
        return f"<Lease {self.name} {'held' if self._fd >= 0 else 'over'}>"


def sync_folder(path: str) -> None:
    """Make sure that what was renamed in a folder stays so when the machine stops now."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _scan(folder: str) -> Found:
    names: list[Name] = []
    strangers: list[str] = []
    for text in _listed(folder):
        if text.startswith(_TEMPORARY):
            continue
        name = Name.parse(text)
        if name is not None:
            names.append(name)
        else:
            strangers.append(text)
    names.sort()
    return Found(names, sorted(strangers))


def _listed(folder: str) -> Iterator[str]:
    try:
        yield from os.listdir(folder)
    except FileNotFoundError:
        return


def _open(path: str) -> int | None:
    """Open a file of ours; None when there is none.

    :raises CorruptMail: it is no plain file, or somebody else's.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        whys = {errno.ELOOP: "is a symbolic link", errno.EISDIR: "is a folder", errno.ENXIO: "is not a plain file"}
        whys |= {errno.EACCES: "is not ours to open", errno.EPERM: "is not ours to open"}
        if error.errno in whys:
            raise CorruptMail(whys[error.errno]) from error
        raise
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        os.close(fd)
        raise CorruptMail("belongs to another user" if stat.S_ISREG(found.st_mode) else "is not a plain file")
    return fd


def _read(fd: int) -> tuple[Head, bytes, tuple[Attempt, ...], int]:
    """A whole file: its head, its message, its attempts, and where they end.

    :raises CorruptMail:
    """
    with open(fd, "rb", buffering=0, closefd=False) as file:
        data = file.read()
    head = decode_head(data[: data.find(b"\n") + 1])
    message = data[head.offset : head.end]
    head.check(message)
    attempts, length = decode_attempts(data[head.end :])
    return head, message, attempts, head.end + length


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
