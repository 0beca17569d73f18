"""What handlers return beside text and Python's own values: JSON objects and files."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from typing import IO, Any

from skitai.errors import Answerable, NotFound
from skitai.http import media

NOT_READABLE = "this file may not be read"


class Api(dict[str, Any]):
    """A dictionary that is answered as JSON, or as XML-RPC where the client asks for ``text/xml``."""

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def set(self, name: str, value: Any) -> None:
        """The same as ``api[name] = value``."""
        self[name] = value


@dataclass(slots=True)
class FileBody:
    """A part of an open file as the body of a response. Whoever sends it closes it."""

    file: IO[bytes]
    offset: int
    count: int

    def close(self) -> None:
        self.file.close()


class File:
    """A file to be answered, opened when it is sent.

    :param media_type: "" finds it by the name's extension.
    :param filename: what the client is to save it as; None lets it show the file.
    :raises NotFound: there is no such file, or it is no regular one.
    :raises Answerable: 403, when this process may not read it.
    """

    __slots__ = ("filename", "media_type", "path")

    def __init__(self, path: str, media_type: str = "", filename: str | None = None) -> None:
        self.path = path
        self.media_type = media_type or media.type_of(path)
        self.filename = filename
        if not _is_regular(path):
            raise NotFound("no such file")

    def __repr__(self) -> str:
        return f"<File {self.path}>"

    def open(self) -> tuple[IO[bytes], os.stat_result]:
        """The file and its state."""
        try:
            file = open(self.path, "rb", buffering=0)  # noqa: SIM115 - whoever sends it closes it
        except FileNotFoundError:
            raise NotFound("no such file") from None
        except PermissionError:
            raise Answerable(NOT_READABLE, 403) from None
        return file, os.fstat(file.fileno())


def _is_regular(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL in the path
        return False
    except PermissionError:
        raise Answerable(NOT_READABLE, 403) from None
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            return False
        raise
