"""Finds and reads ``~/.skitai.conf``, if it may be trusted."""

from __future__ import annotations

import os
import stat

from skitai.config.conf import ConfFile, parse
from skitai.errors import StartError

NAME = "~/.skitai.conf"


def path_of(named: str) -> str:
    """The file's absolute path.

    :param named: what ``--config`` says; empty for the file in the user's home.
    """
    return os.path.abspath(named or os.path.expanduser(NAME))


def read(path: str, *, must_exist: bool) -> ConfFile | None:
    """The file; None when there is none and that is fine.

    :raises StartError: it cannot be read; or others could have written it, or may read a password in it.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        if must_exist:
            raise StartError(f"{path}: there is no such file") from None
        return None
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}") from error
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        os.close(fd)
        raise StartError(f"{path}: is not a file")
    with open(fd, "rb") as stream:
        if found.st_uid not in (0, os.geteuid()):
            raise StartError(f"{path}: belongs to another user, who could have anything run as you")
        if found.st_mode & stat.S_IWOTH:
            raise StartError(f"{path}: everybody may write to it: chmod o-w {path}")
        try:
            text = stream.read().decode("utf-8-sig")  # some editors begin with a byte order mark
        except UnicodeDecodeError as error:
            raise StartError(f"{path}: not UTF-8: {error}") from error
        file = parse(path, text)
        refuse_to_tell(fd, path, file.holds_secret)
    return file


def refuse_to_tell(fd: int, path: str, holds_secret: bool) -> None:
    """:raises StartError: the open file holds a password that others may read."""
    if holds_secret and os.fstat(fd).st_mode & (stat.S_IRGRP | stat.S_IROTH):
        raise StartError(f"{path}: holds a password, and others may read it: chmod 600 {path}")
