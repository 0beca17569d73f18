"""Request paths (RFC 3986): decoded once, and judged before one becomes the name of a file."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

WELL_KNOWN = ".well-known"


def unquote(raw_path: str) -> str:
    """A path, percent-decoded once; its bytes are shown as latin-1 text, the way PEP 3333 wants them.

    A "%" without two hexadecimal digits stays as it is.

    :param raw_path: as received, latin-1 text.
    """
    if "%" not in raw_path:
        return raw_path
    return unquote_to_bytes(raw_path.encode("latin-1")).decode("latin-1")


def file_path(raw_path: str) -> str | None:
    """The path below a static folder that a request path names, or None when it must not name a file.

    The result begins with "/", ends with "/" when the request path does, and is text in the file system's sense (UTF-8,
    undecodable bytes as lone surrogates). Refused are: dot segments, empty segments, NUL, backslashes, encoded slashes
    (they would move the border between segments) and dot files, except ``/.well-known/`` (RFC 8615).

    :param raw_path: as received, not decoded, latin-1 text.
    """
    if not raw_path.startswith("/"):
        return None
    path = raw_path
    if "%" in path:
        upper = path.upper()
        if "%2F" in upper or "%5C" in upper or "%00" in upper:
            return None
        path = unquote(path)
    if "\\" in path or "\0" in path or "//" in path:
        return None
    if "/." in path and not _only_well_known(path):
        return None
    return path if path.isascii() else path.encode("latin-1").decode("utf-8", "surrogateescape")


def authority_in(target: str) -> tuple[str, str]:
    """Scheme, in lower case, and authority of a request target in absolute-form (RFC 9112, section 3.2.2)."""
    scheme, _, rest = target.partition("://")
    return scheme.lower(), rest.partition("/")[0].partition("?")[0]


def _only_well_known(path: str) -> bool:
    """Whether the only segment that begins with a dot is a leading ``.well-known``."""
    first, *rest = path[1:].split("/")
    return first == WELL_KNOWN and not any(segment.startswith(".") for segment in rest)
