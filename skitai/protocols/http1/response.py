"""Response heads (RFC 9112, section 4): status and fields become bytes, and the body's framing is settled.

Heads that recur are remembered by what they are made of, so that a usual response costs one dictionary look-up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from skitai.http.status import phrase

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch
FORBIDDEN = re.compile(r"[\r\n\0]").search

OURS = frozenset(("connection", "date", "keep-alive", "proxy-connection", "server", "transfer-encoding", "upgrade"))
"""Fields that the server writes itself; an app's are left out (PEP 3333 forbids the hop-by-hop ones anyway)."""

KNOWN_HEADS = 512
KNOWN_BYTES = 1024

KEEP, CLOSE, OLD_KEEP, OLD_CLOSE = range(4)
"""What becomes of the connection, and whether the client speaks HTTP/1.0: chooses the Connection field."""

CONNECTION = ("", "Connection: close\r\n", "Connection: keep-alive\r\n", "Connection: close\r\n")

CHUNKED, UNTIL_CLOSE = -1, -2
"""Framings beside a known length."""


def without_body(status: int) -> bool:
    """Such responses never have content (RFC 9110, section 6.4.1)."""
    return status < 200 or status in (204, 304)


def text(value: Any) -> str:
    """A field name or value as text.

    :raises ValueError: not str or bytes.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, (bytes, bytearray)):
        return value.decode("latin-1")
    raise ValueError(f"header field part {value!r} is neither str nor bytes")


class ResponseHeads:
    """Makes response heads, without the empty line and, unless the fields have their own, the Date field: the caller appends
    them.

    :param server_name: value of the Server field; "" leaves it out.
    :param dated: the fields have their own Date.
    :ivar known: complete responses' heads by (status, reason, length, mode, \\*fields).
    """

    def __init__(self, server_name: str = "", *, dated: bool = False) -> None:
        self.known: dict[Any, bytes] = {}
        self._ours = OURS - {"date"} if dated else OURS
        self._server = f"Server: {server_name}\r\n" if server_name else ""

    def complete(self, status: int, reason: str, fields: Iterable[tuple[Any, Any]], length: int, mode: int) -> bytes:
        """The head of a response whose whole body is at hand.

        :param length: of the body in bytes.
        :param mode: KEEP, CLOSE, OLD_KEEP or OLD_CLOSE.
        :raises ValueError: a field that must not be sent, or a Content-Length that is not `length`.
        """
        fields = list(fields)
        lines, declared = self._lines(status, reason, fields)
        if declared is not None and declared != length and not without_body(status):
            raise ValueError(f"Content-Length says {declared} but the body has {length} bytes")
        if not without_body(status):
            lines.append(f"Content-Length: {length}\r\n")
        lines.append(CONNECTION[mode])
        head = "".join(lines).encode("latin-1")
        if len(head) <= KNOWN_BYTES:
            try:
                key = (status, reason, length, mode, *fields)
                if len(self.known) >= KNOWN_HEADS:
                    self.known.clear()
                self.known[key] = head
            except TypeError:
                pass  # fields given as lists: right, only not remembered
        return head

    def begun(
        self, status: int, reason: str, fields: Iterable[tuple[Any, Any]], mode: int, head_only: bool
    ) -> tuple[bytes, int, int]:
        """The head of a response whose body follows, or of an answer to HEAD.

        :returns: the bytes, the framing (length in bytes, CHUNKED or UNTIL_CLOSE), and the mode, which becomes a closing one
            where only the end of the connection ends the body (RFC 9112, section 6.3).
        :raises ValueError: as in `complete`.
        """
        lines, declared = self._lines(status, reason, fields)
        if without_body(status):
            framing = 0
            if declared is not None and status == 304:
                lines.append(f"Content-Length: {declared}\r\n")
        elif declared is not None:
            framing = declared
            lines.append(f"Content-Length: {declared}\r\n")
        elif mode in (KEEP, CLOSE):
            framing = CHUNKED
            lines.append("Transfer-Encoding: chunked\r\n")
        else:
            framing = UNTIL_CLOSE
            if not head_only:
                mode = OLD_CLOSE
        lines.append(CONNECTION[mode])
        return "".join(lines).encode("latin-1"), framing, mode

    def interim(self, status: int, fields: Iterable[tuple[Any, Any]]) -> bytes:
        """A whole interim response (RFC 9110, section 15.2)."""
        lines = [f"HTTP/1.1 {status} {phrase(status)}\r\n"]
        lines += [line for _, line, _ in map(checked, fields)]
        return "".join([*lines, "\r\n"]).encode("latin-1")

    def _lines(self, status: int, reason: str, fields: Iterable[tuple[Any, Any]]) -> tuple[list[str], int | None]:
        if not 100 <= status <= 999:
            raise ValueError(f"status {status} is not a three-digit number")
        if reason and FORBIDDEN(reason):
            raise ValueError(f"control character in the reason phrase {reason!r}")
        lines = [f"HTTP/1.1 {status} {reason or phrase(status)}\r\n", self._server]
        declared: int | None = None
        for field in fields:
            name, line, value = checked(field)
            if name == "content-length":
                if not (value.isascii() and value.isdigit()):
                    raise ValueError(f"Content-Length {value!r} is not a number")
                if declared not in (None, int(value)):
                    raise ValueError("two different Content-Length fields")
                declared = int(value)
            elif name not in self._ours:
                lines.append(line)
        return lines, declared


def checked(field: tuple[Any, Any]) -> tuple[str, str, str]:
    """A field as (lower-case name, line, value).

    :raises ValueError: it would break the head (RFC 9110, section 5): nothing of it is sent.
    """
    name, value = field
    name, value = text(name), text(value)
    if not TOKEN(name):
        raise ValueError(f"{name!r} is not a header field name")
    if FORBIDDEN(value):
        raise ValueError(f"control character in the value of {name}: {value!r}")
    return name.lower(), f"{name}: {value}\r\n", value
