"""`was.response`: status and fields of the answer as the app sets them, and the contents that only it can make."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from time import time
from typing import TYPE_CHECKING, Any, NoReturn

from skitai.errors import Answerable
from skitai.http.dates import format_http_date
from skitai.http.status import phrase
from skitai.protocols.http2.heads import preload
from skitai.saddle.contents import Api, File
from skitai.saddle.errors import Unsendable

if TYPE_CHECKING:
    from skitai.exchange import Exchange

Pair = tuple[str, str]
Given = Mapping[str, Any] | Iterable[tuple[str, Any]]

SINGLE = frozenset(
    (
        *("age", "cache-control", "content-disposition", "content-encoding", "content-language", "content-length"),
        *("content-location", "content-range", "content-type", "etag", "expires", "last-modified", "location"),
        *("pragma", "refresh", "retry-after"),
    )
)
"""Fields that a response has once: the last one given counts."""

OF_CONTENT = frozenset(
    (
        *("accept-ranges", "cache-control", "content-disposition", "content-encoding", "content-language", "content-length"),
        *("content-location", "content-range", "content-type", "etag", "expires", "last-modified"),
    )
)

MOST_STATUSES = 256

_statuses: dict[Any, tuple[int, str]] = {"200 OK": (200, ""), 200: (200, "")}


class HTTPError(Answerable):
    """A response that is an error page.

    :ivar reason: the reason phrase, "" for the standard one.
    :ivar shown: a traceback for the page, whatever the app's debug says; or "".
    """

    def __init__(self, status: Any, why: str = "", fields: Iterable[Pair] = (), shown: str = "") -> None:
        code, self.reason = read_status(status)
        super().__init__(why, code, tuple(fields))
        self.shown = shown


class Response:
    """The response to one request.

    Call it to set the status and return a body: ``return was.response("201 Created", text, [("Location", url)])``.

    :ivar exchange: of the request.
    :ivar status_code: the status.
    :ivar reason: the reason phrase, "" for the standard one.
    :ivar fields: names and values so far; None when there is none.
    """

    __slots__ = ("exchange", "fields", "reason", "status_code")

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.status_code = 200
        self.reason = ""
        self.fields: list[Pair] | None = None

    def __repr__(self) -> str:
        return f"<Response {self.get_status()}>"

    def __call__(
        self, status: str | int = "200 OK", body: Any = None, headers: Given | None = None, exc_info: Any = None
    ) -> Any:
        """Set the status, add fields, and give the body back, for the handler to return.

        :param body: what a handler may return; None is the error page of the status, or no body when the status is no error.
        :param headers: fields to add.
        :param exc_info: as of ``sys.exc_info()``: the traceback is shown to the client, whatever `app.debug` says.
        :raises ValueError: the status or a field is none.
        """
        code, reason = read_status(status)
        if body is None and (code >= 400 or exc_info is not None):
            added = [checked(name, value) for name, value in pairs(headers)]
            return HTTPError(status, "", added, "".join(traceback.format_exception(*exc_info)) if exc_info else "")
        self.status_code, self.reason = code, reason
        if headers is not None:
            self.set_headers(headers)
        return "" if body is None else body

    def with_explain(self, status: str | int = "200 OK", why: str = "", headers: Given | None = None) -> HTTPError:
        """The error page of a status with a reason for the reader, for the handler to return."""
        return HTTPError(status, why, [checked(name, value) for name, value in pairs(headers)])

    def throw(self, status: str | int = "500 Internal Server Error", why: str = "") -> NoReturn:
        """End the handling of the request with an error page.

        :param why: the reason for the reader.
        """
        raise HTTPError(status, why)

    def clear(self) -> None:
        """Begin anew: 200 and no fields."""
        self.status_code, self.reason, self.fields = 200, "", None

    def beside_content(self) -> list[Pair]:
        """The fields that do not describe the content, for another content than the app had in mind."""
        return [pair for pair in self.fields or () if pair[0].lower() not in OF_CONTENT]

    # Status

    def set_status(self, status: str | int) -> None:
        """:param status: "201 Created" or 201."""
        self.status_code, self.reason = read_status(status)

    def get_status(self) -> str:
        """Status and reason phrase, "200 OK"."""
        return f"{self.status_code} {self.reason or phrase(self.status_code)}"

    status = property(get_status, set_status)

    # Fields

    def set_header(self, name: str, value: Any) -> None:
        """Give a field this value alone.

        :raises ValueError: it holds what no field may hold.
        """
        pair = checked(name, value)
        if self.fields is None:
            self.fields = [pair]
        else:
            lower = name.lower()
            self.fields = [each for each in self.fields if each[0].lower() != lower]
            self.fields.append(pair)

    def add_header(self, name: str, value: Any) -> None:
        """Add a field beside others of its name; of those that a response has once, the new one takes the place."""
        if name.lower() in SINGLE or self.fields is None:
            self.set_header(name, value)
        else:
            self.fields.append(checked(name, value))

    def append_header(self, name: str, value: Any) -> None:
        """Add a value to a field that is a list, behind a comma."""
        old = self.get_header(name)
        self.set_header(name, f"{old}, {value}" if old else value)

    def get_header(self, name: str, default: Any = None) -> Any:
        """The value of a field."""
        lower = name.lower()
        for each, value in self.fields or ():
            if each.lower() == lower:
                return value
        return default

    def del_header(self, name: str) -> None:
        """Leave a field out."""
        lower = name.lower()
        self.fields = [each for each in self.fields or () if each[0].lower() != lower] or None

    def set_headers(self, headers: Given) -> None:
        """Add fields.

        :param headers: names and values.
        """
        for name, value in pairs(headers):
            self.add_header(name, value)

    def get_headers(self) -> list[Pair]:
        """The fields so far."""
        return list(self.fields or ())

    def update(self, headers: Given) -> None:
        """Give each of these fields this value alone."""
        for name, value in pairs(headers):
            self.set_header(name, value)

    def __setitem__(self, name: str, value: Any) -> None:
        self.add_header(name, value)

    def __getitem__(self, name: str) -> str:
        value = self.get_header(name)
        if value is None:
            raise KeyError(name)
        found: str = value
        return found

    def __delitem__(self, name: str) -> None:
        self.del_header(name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get_header(name) is not None

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self.fields or ())

    def set_cache(self, max_age: int) -> None:
        """Let clients and proxies keep the response.

        :param max_age: in seconds; 0 or less: not without asking.
        """
        if max_age <= 0:
            self.set_header("Cache-Control", "no-cache")
        elif self.exchange.head.version == "1.0":
            self.set_header("Expires", format_http_date(time() + max_age))
        else:
            self.set_header("Cache-Control", f"max-age={int(max_age)}")

    def hint_promise(self, uri: str) -> None:
        """Tell the client that it will want another resource of this server, where the protocol can (HTTP/2).

        What cannot be pushed is named in a 103 response at once, and in the response itself (RFC 8297, section 2).

        :raises ValueError: the URI holds what no field may hold.
        """
        checked("Link", uri)
        if not self.exchange.push(uri) and self.exchange.head.version == "2.0":
            self.append_header("Link", preload(uri))

    # Contents

    def API(self, __data_dict__: Any = None, **items: Any) -> Api:  # noqa: N802 - the documented name
        """A JSON object, for the handler to return: ``return was.response.API(users=found)``.

        :param __data_dict__: a dictionary to begin with.
        """
        return Api(__data_dict__ or (), **items)

    api = API

    def Fault(self, status: str | int = "200 OK", *args: Any, **items: Any) -> Api:  # noqa: N802 - as above
        """A JSON object with a status: as of `API` when that is a success, else as of `fault`."""
        code, _ = read_status(status)
        content = self.API(*args, **items) if code < 300 else self.fault(*args, **items)
        self.set_status(status)
        return content

    for_api = Fault

    def fault(
        self,
        message: str = "",
        code: int = 20000,
        debug: Any = None,
        more_info: Any = None,
        exc_info: Any = None,
        traceback: bool = False,
    ) -> Api:
        """A JSON object that tells what went wrong.

        :param code: the app's own number for it.
        :param debug: details for developers.
        :param more_info: where to read more.
        :param exc_info: as of ``sys.exc_info()``: its traceback is part of the object.
        :param traceback: the traceback of the exception that is being handled is part of the object.
        """
        content = Api(code=code, message=message)
        error = exc_info[1] if exc_info else sys.exception() if traceback else None
        if error is not None:
            debug = debug or "see traceback"
            content["traceback"] = told(error)
        if debug:
            content["debug"] = debug
        if more_info:
            content["more_info"] = more_info
        return content

    def traceback(self, msg: str = "", code: int = 10001, debug: Any = "see traceback", more_info: Any = None) -> Api:
        """A JSON object with the traceback of the exception that is being handled.

        :param msg: the exception's own by default.
        """
        error = sys.exception()
        if error is None:
            raise RuntimeError("response.traceback() has nothing to show: call it in an except block")
        return self.fault(msg or str(error) or type(error).__name__, code, debug, more_info, traceback=True)

    def file(
        self, path: str | os.PathLike[str], mimetype: str = "application/octet-stream", filename: str | None = None
    ) -> File:
        """A file, for the handler to return. Conditional requests and ranges are answered.

        :param mimetype: its media type; "" finds it by the name's extension.
        :param filename: have the client save it under this name rather than show it.
        :raises NotFound: there is no such file.
        """
        return File(os.fspath(path), mimetype, filename)


def told(error: BaseException) -> list[str]:
    """An exception and where it came from, innermost first, in lines for a client."""
    lines = [str(error) or type(error).__name__]
    frames = traceback.extract_tb(error.__traceback__)
    lines += [f"in file {frame.filename} at line {frame.lineno}, function {frame.name}" for frame in reversed(frames)]
    return lines


def pairs(headers: Given | None) -> Iterable[tuple[str, Any]]:
    """Fields as pairs, however they are given."""
    if headers is None:
        return ()
    return headers.items() if isinstance(headers, Mapping) else headers


def checked(name: str, value: Any) -> Pair:
    """A field that may be sent.

    :raises ValueError: it would break the response (RFC 9110, section 5).
    """
    text = value if type(value) is str else value.decode("latin-1") if isinstance(value, bytes) else str(value)
    if "\n" in text or "\r" in text or "\0" in text:
        raise Unsendable(f"a line break or NUL in the value of {name}: {text!r}", "\r\n\0")
    if not text.isascii():
        try:
            text.encode("latin-1")
        except UnicodeEncodeError:
            beyond = (sign for sign in text if sign > "\xff")
            raise Unsendable(f"the value of {name} is not latin-1 text, as fields are: {text!r}", beyond) from None
    if not name or not name.isascii() or not name.isprintable() or not NOT_IN_NAMES.isdisjoint(name):
        raise ValueError(f"{name!r} is no field name")
    return name, text


NOT_IN_NAMES = frozenset(' "(),/:;<=>?@[\\]{}')


def read_status(status: Any) -> tuple[int, str]:
    """ "404 Not Found" or 404 as (404, reason), the reason "" when it is the standard one.

    :raises ValueError: it is no status of a final response.
    """
    try:
        known = _statuses.get(status)
    except TypeError:
        known = None
    if known is not None:
        return known
    if isinstance(status, int) and not isinstance(status, bool):
        code, reason = int(status), ""
    elif isinstance(status, str) and status[:3].isascii() and status[:3].isdigit() and status[3:4] in ("", " "):
        code, reason = int(status[:3]), status[4:].strip(" ")
    else:
        raise ValueError(f"{status!r} is no status like '404 Not Found' or 404")
    if not 200 <= code <= 999:
        raise ValueError(f"{status!r}: a response has a status from 200 on")
    checked("status", reason)
    found = code, "" if reason == phrase(code) else reason
    if len(_statuses) < MOST_STATUSES:
        _statuses[status] = found
    return found
