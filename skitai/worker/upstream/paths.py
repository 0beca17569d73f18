"""The paths of a mount point and of the servers behind it: a prefix is taken off on the way in, put back on the way out."""

from __future__ import annotations

from urllib.parse import quote

from skitai.errors import BadRequest
from skitai.http.head import Head

_DOTS = frozenset({".", ".."})


class Paths:
    """The paths of one member below a mount point.

    :param point: of the mount, "/pets/".
    :param base: what an alias names behind its server, "v2"; usually nothing.
    :ivar prefix: of paths as clients write them: "/pets".
    """

    __slots__ = ("_base", "_size", "prefix")

    def __init__(self, point: str, base: str = "") -> None:
        self.prefix = quote(point.rstrip("/"), safe="/!$&'()*+,;=:@~")
        self._size = len(point.encode("utf-8")) - 1
        self._base = quote("/" + base.strip("/"), safe="/!$&'()*+,;=:@~") if base.strip("/") else ""

    def inward(self, head: Head) -> str:
        """Path and query as the member knows them.

        :raises BadRequest: dot segments, with which a client could leave the mount point.
        """
        if "/." in head.path and not _DOTS.isdisjoint(head.path.split("/")):
            raise BadRequest("a path with dot segments is not passed on")
        at = head.target.find("?")
        query = head.target[at:] if at >= 0 else ""
        rest = head.raw_path[raw_length(head.raw_path, self._size) :]
        return self._base + (rest if rest.startswith("/") else "/" + rest[3:]) + query  # the slash may be encoded

    def outward(self, path: str) -> str | None:
        """A path of the member, with whatever follows it, as clients know it; None when they cannot reach it."""
        base = self._base
        if not base:
            return self.prefix + path
        rest = path[len(base) :]
        if not path.startswith(base) or (rest and rest[0] not in "/?#"):
            return None
        return self.prefix + (rest if rest.startswith("/") else "/" + rest)

    def location(self, value: str, *authorities: str) -> str:
        """The value of Location or Content-Location for a client.

        :param authorities: those by which the member may call itself; other servers' URLs stay as they are.
        """
        rest = value
        scheme, colon, after = value.partition("://")
        if colon and scheme.lower() in ("http", "https"):
            rest = "//" + after
        if rest.startswith("//"):
            cut = min((at for at in (rest.find(sign, 2) for sign in "/?#") if at >= 0), default=len(rest))
            if rest[2:cut].lower() not in authorities:
                return value
            rest = rest[cut:] if rest[cut : cut + 1] == "/" else "/" + rest[cut:]
            while rest.startswith("//"):
                rest = rest[1:]  # what begins with two would name another server
        if not rest.startswith("/"):
            return value
        return self.outward(rest) or value

    def cookie(self, value: str) -> str:
        """The value of Set-Cookie for a client: the Path in it is the client's (RFC 6265, section 5.2.4)."""
        if "path" not in value.lower():
            return value
        parts = value.split(";")
        for number, part in enumerate(parts[1:], 1):
            name, sign, path = part.partition("=")
            if sign and name.strip().lower() == "path" and path.strip().startswith("/"):
                path = path.strip()
                known = self.outward(path)
                if known is None and (self._base + "/").startswith(path.rstrip("/") + "/"):
                    known = self.prefix + "/"
                if known is not None:
                    parts[number] = f"{name}={known}"
        return ";".join(parts)


def raw_length(raw: str, size: int) -> int:
    """How much of a path that may be percent-encoded makes `size` bytes of the decoded one."""
    at = 0
    for _ in range(size):
        at += 3 if raw[at] == "%" and _is_hex(raw[at + 1 : at + 3]) else 1
    return at


def _is_hex(text: str) -> bool:
    return len(text) == 2 and all(sign in "0123456789abcdefABCDEF" for sign in text)
