"""From what a handler returns to what is sent.

Text is HTML, Python's values are JSON, whatever can be read or iterated is sent piece by piece.
"""

from __future__ import annotations

import inspect
import io
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from time import time
from typing import IO, Any, NamedTuple, cast
from urllib.parse import quote

from skitai.errors import Answerable
from skitai.http import jsontext, ranges
from skitai.http.byteranges import Parts, length, multipart, part_fields
from skitai.http.dates import format_http_date, parse_http_date
from skitai.http.selection import judge, read_wishes
from skitai.lib import producers
from skitai.protocols import xmlrpc
from skitai.saddle.contents import Api, File, FileBody
from skitai.saddle.pieces import AsyncPieces, Pieces, as_bytes
from skitai.saddle.request import Request
from skitai.saddle.response import HTTPError, Response, read_status
from skitai.was import host

Pair = tuple[str, str]

HTML: tuple[Pair, ...] = (("Content-Type", "text/html; charset=utf-8"),)
JSON: tuple[Pair, ...] = (("Content-Type", "application/json"),)
XML: tuple[Pair, ...] = (("Content-Type", "text/xml; charset=utf-8"),)
BINARY: tuple[Pair, ...] = (("Content-Type", "application/octet-stream"),)
NOTHING: tuple[Pair, ...] = ()

Body = bytes | Iterator[bytes] | AsyncPieces | FileBody


class Outcome(NamedTuple):
    """What is sent.

    :ivar reason: "" for the standard reason phrase.
    :ivar body: an iterator may have a ``close()``, to be called whatever becomes of the response.
    """

    status: int
    reason: str
    fields: Sequence[Pair]
    body: Body


def outcome(result: Any, response: Response, request: Request) -> Outcome:
    """What a handler's result is sent as, with the status and the fields that it has set.

    :raises Answerable: the result is an error page (`Response.with_explain` and its kin), or a file that is not there.
    :raises TypeError: a handler may not return that.
    """
    kind = type(result)
    if kind is str:
        return Outcome(
            response.status_code,
            response.reason,
            _fields(response, HTML if result else NOTHING),
            result.encode("utf-8", "replace"),
        )
    maker = _MAKERS.get(kind)
    if maker is None:
        maker = _maker_of(result)
    return maker(result, response, request)


def _fields(response: Response, default: tuple[Pair, ...]) -> Sequence[Pair]:
    """The fields that the app has set, and what the content asks for where the app said nothing."""
    fields = response.fields
    if fields is None:
        return default
    for name, _ in fields:
        if name.lower() == "content-type":
            return tuple(fields)
    return (*default, *fields)


Maker = Callable[[Any, Response, Request], Outcome]


def _made(response: Response, default: tuple[Pair, ...], body: Body) -> Outcome:
    return Outcome(response.status_code, response.reason, _fields(response, default), body)


def _of_text(result: Any, response: Response, _request: Request) -> Outcome:
    return _made(response, HTML if result else NOTHING, str(result).encode("utf-8", "replace"))


def _of_bytes(result: Any, response: Response, _request: Request) -> Outcome:
    data = bytes(result)
    return _made(response, HTML if data else NOTHING, data)


def _of_value(result: Any, response: Response, _request: Request) -> Outcome:
    return _made(response, JSON, jsontext.dumps(result))


def _of_api(result: Any, response: Response, request: Request) -> Outcome:
    if request.headers.get("accept", "").lstrip().lower().startswith("text/xml"):
        return _made(response, XML, xmlrpc.dump_response(result))
    return _made(response, JSON, jsontext.dumps(result))


def _of_error(result: Answerable, _response: Response, _request: Request) -> Outcome:
    # A copy, which no frame on the way holds: else the error and its own traceback keep each other.
    status = f"{result.status} {getattr(result, 'reason', '')}"
    raise HTTPError(status, result.message, result.fields, getattr(result, "shown", ""))


def _of_list(result: Sequence[Any], response: Response, request: Request) -> Outcome:
    """Texts and whatever can be sent piece by piece are joined; anything else is JSON."""
    if not _joins(result):
        return _of_value(list(result), response, request)
    if all(isinstance(item, (str, bytes)) for item in result):
        return _made(response, HTML, b"".join(map(as_bytes, result)))
    return _of_producer(producers.ListProducer(result), response, request)


def _of_tuple(result: tuple[Any, ...], response: Response, request: Request) -> Outcome:
    """(body, status) and (body, status, headers), as in Flask; another tuple is like a list."""
    if not (2 <= len(result) <= 3 and _is_status(result[1])) or (len(result) == 3 and not _are_fields(result[2])):
        return _of_list(result, response, request)
    body = response(result[1], result[0], *result[2:])
    return outcome(body, response, request)


def _of_producer(result: Any, response: Response, _request: Request) -> Outcome:
    return _made(response, HTML, Pieces(producers.make(result)))


def _of_async_iterator(result: AsyncIterator[Any], response: Response, _request: Request) -> Outcome:
    return _made(response, HTML, AsyncPieces(result))


def _of_file_like(result: Any, response: Response, request: Request) -> Outcome:
    extent = _extent(result)
    if extent is None:
        return _made(response, BINARY, Pieces(producers.FileProducer(result)))
    offset, count = extent
    made = _made(response, BINARY, FileBody(result, offset, count))
    if response.get_header("content-length") is None:
        made = made._replace(fields=(*made.fields, ("Content-Length", str(count))))
    return made


def _of_file(result: File, response: Response, request: Request) -> Outcome:
    """A file, or what the request's conditions and range make of it (RFC 9110, sections 13 and 14)."""
    file, state = result.open()
    try:
        return _of_open_file(result, file, state, response, request)
    except BaseException:
        file.close()
        raise


def _of_open_file(result: File, file: IO[bytes], state: os.stat_result, response: Response, request: Request) -> Outcome:
    now = time()
    size, modified = state.st_size, max(0, state.st_mtime_ns // 1_000_000_000)
    etag = response.get_header("etag") or f'"{size:x}-{state.st_mtime_ns:x}"'
    date = response.get_header("last-modified")
    valid = modified if date is None else parse_http_date(date, now)
    fields = list(_fields(response, (("Content-Type", result.media_type),)))
    for name, value in (("ETag", etag), ("Last-Modified", format_http_date(min(modified, now))), ("Accept-Ranges", "bytes")):
        if response.get_header(name) is None:
            fields.append((name, value))
    if result.filename is not None and response.get_header("content-disposition") is None:
        fields.append(("Content-Disposition", attachment(result.filename)))
    if response.status_code != 200:
        return _whole(file, size, response, fields)
    verdict = judge(
        request.method, read_wishes(request.head.fields), etag, valid, size, host.config().static.static_ranges, now
    )
    if verdict.status == 200:
        return _whole(file, size, response, fields)
    if verdict.status == 206:
        if len(verdict.spans) == 1:
            start, stop = verdict.spans[0]
            return Outcome(206, "", part_fields(fields, size, verdict.spans[0]), FileBody(file, start, stop - start))
        added, pieces = multipart(fields, size, verdict.spans)
        return Outcome(206, "", added, FileBody(cast("IO[bytes]", Parts(file, pieces)), 0, sum(map(length, pieces))))
    if verdict.status == 304:
        file.close()
        return Outcome(304, "", [pair for pair in fields if pair[0].lower() not in NOT_IN_304], b"")
    if verdict.status == 412:
        raise Answerable("the file is not in the state that the request demands", status=412)
    unsatisfied = (("Content-Range", ranges.unsatisfied_range(size)),)
    raise Answerable(f"no such range in {size} bytes", status=416, fields=unsatisfied)


NOT_IN_304 = frozenset(("content-type", "content-length", "content-disposition", "last-modified", "accept-ranges"))
"""RFC 9110, section 15.4.5: the client has them."""


def _whole(file: IO[bytes], size: int, response: Response, fields: list[Pair]) -> Outcome:
    return Outcome(response.status_code, response.reason, (*fields, ("Content-Length", str(size))), FileBody(file, 0, size))


_MAKERS: dict[type, Maker] = {
    str: _of_text,
    bytes: _of_bytes,
    bytearray: _of_bytes,
    memoryview: _of_bytes,
    int: _of_text,
    float: _of_text,
    bool: _of_text,
    dict: _of_value,
    Api: _of_api,
    list: _of_list,
    tuple: _of_tuple,
    File: _of_file,
}


def _maker_of(result: Any) -> Maker:
    """How a result of a less usual type is sent.

    :raises TypeError: not at all; the message says what was wrong.
    """
    if result is None:
        raise TypeError("the handler returned None; return '' for an empty response")
    if isinstance(result, Answerable):
        return _of_error
    if inspect.isawaitable(result):
        if inspect.iscoroutine(result):
            result.close()
        raise TypeError("the handler returned something to be awaited; declare it with async def, and await it there")
    if hasattr(result, "read"):
        return _of_file_like
    if hasattr(result, "more") or producers.is_iterator(result):
        return _of_producer
    if hasattr(result, "__aiter__"):
        return _of_async_iterator
    for kind, maker in _MAKERS.items():
        if isinstance(result, kind):
            return maker
    if isinstance(result, (Mapping, set, frozenset)) or (is_dataclass(result) and not isinstance(result, type)):
        return _of_value
    if hasattr(type(result), "__html__"):
        return lambda markup, response, request: _of_text(markup.__html__(), response, request)
    raise TypeError(f"the handler returned a {type(result).__name__}, which cannot be sent: {result!r:.200}")


def _joins(items: Sequence[Any]) -> bool:
    """Whether a list is a body in pieces rather than a value."""
    return bool(items) and all(
        isinstance(item, (str, bytes, bytearray))
        or hasattr(item, "more")
        or hasattr(item, "read")
        or producers.is_iterator(item)
        or (isinstance(item, (list, tuple)) and _joins(item))
        for item in items
    )


def _is_status(value: Any) -> bool:
    if not isinstance(value, (int, str)) or isinstance(value, bool):
        return False
    if isinstance(value, str) and not (value[:3].isdigit() and value[3:4] in ("", " ")):
        return False
    try:
        read_status(value)
    except ValueError:
        return False
    return True


def _are_fields(value: Any) -> bool:
    return isinstance(value, Mapping) or (
        isinstance(value, (list, tuple)) and all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in value)
    )


def _extent(file: Any) -> tuple[int, int] | None:
    """Offset and count of what is left of a regular file; None for anything else."""
    if isinstance(file, io.TextIOBase):
        return None
    try:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode):
            return None
        offset = file.tell()
        if hasattr(file, "flush"):
            file.flush()
            state = os.fstat(file.fileno())
    except (AttributeError, OSError, ValueError):
        return None
    return offset, max(0, state.st_size - offset)


def attachment(filename: str) -> str:
    """Content-Disposition of a file to be saved (RFC 6266, and RFC 8187 for names that are not ASCII)."""
    plain = "".join(char if char.isascii() and char.isprintable() and char not in '"\\' else "_" for char in filename)
    value = f'attachment; filename="{plain}"'
    if plain != filename:
        value += f"; filename*=UTF-8''{quote(filename, safe='', errors='replace')}"
    return value
