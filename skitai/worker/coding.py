"""Content coding of responses (RFC 9110, section 8.4): text is compressed where the client accepts it.

Never twice, never what the app coded itself, never parts of a representation; Vary is set wherever a coding was considered.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from skitai.config.sections.serving import Responses
from skitai.exchange import Settled
from skitai.http import coding, media
from skitai.http.head import Head

try:
    import brotli
except ImportError:  # the extra is not installed: gzip only
    brotli = None

OFFERED = ("br", "gzip") if brotli is not None else ("gzip",)

INLINE_BYTES = 65536
"""Larger bodies are not compressed in the event loop."""

NEVER = 1 << 62
"""A smallest size that nothing reaches."""

UNKNOWN = NEVER - 1
"""The size of a body whose length nobody has declared."""

IDENTITY = "identity"

Pairs = Sequence[tuple[Any, Any]]


class Coder(Protocol):
    """Codes a body piece by piece."""

    def code(self, data: bytes) -> bytes:
        """A piece, coded and flushed, so that the client can decode it at once."""

    def end(self) -> bytes: ...


class Gzip:
    __slots__ = ("_deflate",)

    def __init__(self, level: int) -> None:
        self._deflate = zlib.compressobj(level, zlib.DEFLATED, 31)

    def code(self, data: bytes) -> bytes:
        return self._deflate.compress(data) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        return self._deflate.flush()


class Brotli:
    __slots__ = ("_compressor",)

    def __init__(self, level: int) -> None:
        self._compressor = brotli.Compressor(quality=level)

    def code(self, data: bytes) -> bytes:
        return bytes(self._compressor.process(data) + self._compressor.flush())

    def end(self) -> bytes:
        return bytes(self._compressor.finish())


def negotiate(head: Head, status: int, fields: Pairs) -> str | None:
    """The coding for a response: a name of `OFFERED`, "identity" when the client accepts none, None when the response is not
    one to be coded at all."""
    if status in (204, 206, 304) or status < 200:
        return None
    media_type = ""
    for name, value in fields:
        match name.lower():
            case "content-type" | b"content-type":
                media_type = value if isinstance(value, str) else value.decode("latin-1")
            case "content-encoding" | b"content-encoding" | "content-range" | b"content-range":
                return None
            case "cache-control" | b"cache-control":
                if "no-transform" in (value if isinstance(value, str) else value.decode("latin-1")).lower():
                    return None
    if not media_type or not media.is_text(media_type) or media_type.startswith("text/event-stream"):
        return None
    forms = head.fields.forms
    chosen: str | None = forms.get("coding")
    if chosen is None:
        accepted = head.fields.text("accept-encoding")
        chosen = forms["coding"] = (coding.choose(accepted, OFFERED) if accepted else None) or IDENTITY
    return chosen


def expected_size(fields: Pairs) -> int:
    """The declared length of a body that follows its head, in bytes; `UNKNOWN` without one."""
    for name, value in fields:
        if name.lower() in ("content-length", b"content-length"):
            return int(value) if value.isdigit() else UNKNOWN
    return UNKNOWN


def complete(
    head: Head, status: int, fields: Pairs, body: bytes, options: Responses, in_loop: Callable[[], bool]
) -> tuple[Pairs, bytes] | None:
    """A whole response in the coding that it deserves and the client accepts; None when that takes too long in the loop."""
    name = negotiate(head, status, fields)
    if name is None:
        return fields, body
    if len(body) > INLINE_BYTES and name != IDENTITY and in_loop():
        return None
    return whole(name, fields, body, options)


def whole(name: str, fields: Pairs, body: bytes, options: Responses) -> tuple[Pairs, bytes]:
    """A complete response, coded."""
    if name == "gzip":
        coded = zlib.compress(body, options.compress_level, 31)
    elif name == "br":
        coded = brotli.compress(body, quality=min(options.compress_level, 4))
    else:
        return varying(fields), body
    if len(coded) >= len(body):
        return varying(fields), body
    return coded_fields(fields, name), coded


def stream(name: str, fields: Pairs, options: Responses) -> tuple[Pairs, Coder | None]:
    """The fields and the coder of a response whose body follows."""
    if name == "gzip":
        return coded_fields(fields, name), Gzip(options.compress_level)
    if name == "br":
        return coded_fields(fields, name), Brotli(min(options.compress_level, 4))
    return varying(fields), None


def begun(head: Head, status: int, fields: Pairs, options: Responses) -> tuple[Pairs, Coder | None]:
    """The same, in the coding that the response deserves and the client accepts."""
    if isinstance(fields, Settled):
        return fields, None
    if not options.compress or expected_size(fields) < options.compress_bytes:
        return list(fields), None
    name = negotiate(head, status, fields)
    return stream(name, fields, options) if name is not None else (list(fields), None)


def varying(fields: Pairs) -> Pairs:
    """The fields with Accept-Encoding among those that the response varies with (RFC 9110, section 12.5.5)."""
    for name, value in fields:
        if name.lower() in ("vary", b"vary"):
            text = value if isinstance(value, str) else value.decode("latin-1")
            if text.strip() == "*" or "accept-encoding" in text.lower():
                return fields
    return [*fields, ("Vary", "Accept-Encoding")]


def coded_fields(fields: Pairs, name: str) -> Pairs:
    """The fields of the coded response: its length is another, and a strong validator no longer holds byte for byte."""
    kept: list[tuple[Any, Any]] = []
    for field, value in fields:
        lower = field.lower()
        if lower in ("content-length", b"content-length", "accept-ranges", b"accept-ranges"):
            continue
        if lower in ("etag", b"etag"):
            text = value if isinstance(value, str) else value.decode("latin-1")
            value = text if text.startswith("W/") else f"W/{text}"
        kept.append((field, value))
    return varying([*kept, ("Content-Encoding", name)])
