"""What clients send as names and values: query strings, urlencoded forms, multipart forms (RFC 7578).

Within limits: what has more than them is refused before it is taken apart.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol
from urllib.parse import unquote, unquote_to_bytes

import multipart

from skitai.errors import Answerable, BadRequest, TooLarge

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"

UTF_8 = "utf-8"

CHARSETS = frozenset(
    (
        *("utf-8", "utf-8-sig", "ascii", "koi8-r", "koi8-u", "big5", "gb2312", "gbk", "gb18030", "euc_kr", "cp949"),
        *("euc_jp", "shift_jis", "cp932", "iso2022_jp", "tis-620", "utf-16", "utf-16-le", "utf-16-be"),
        *(f"iso8859-{part}" for part in range(1, 17)),
        *(f"cp125{part}" for part in range(9)),
    )
)
"""Forms may be in these; other codecs of Python's are no charsets of the web, and some are slow."""

MOST_FIELDS = 1000

LONGEST_BOUNDARY = 200
"""RFC 2046 allows 70 characters."""

Pair = tuple[str, Any]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a form may have.

    :ivar fields: number of fields that are no files.
    :ivar files: number of files.
    :ivar part_fields: header fields of one part of a multipart form.
    :ivar text_bytes: of all fields of a multipart form that are no files.
    :ivar file_bytes: of one file.
    """

    fields: int = MOST_FIELDS
    files: int = 100
    part_fields: int = 8
    text_bytes: int = 5 << 20
    file_bytes: int = 20_000_000


class FileSink(Protocol):
    """Where the content of a file goes, piece by piece."""

    def write(self, data: bytes) -> Any: ...
    def end(self) -> None:
        """It is complete."""


Store = Callable[[str, str], FileSink]
"""(the client's name of a file, its media type) -> where its content goes, which is also the field's value."""


class UnknownCharset(Answerable):
    """The body is in a charset that is not taken."""

    status = 415


def parse_query(query: str, most: int = MOST_FIELDS) -> list[tuple[str, str]]:
    """The names and values of a query string, decoded; bytes that are no UTF-8 become U+FFFD.

    :param query: as in `Head.query`.
    :raises BadRequest: more than `most` of them.
    """
    if not query:
        return []
    if query.count("&") >= most:
        raise BadRequest(f"more than {most} parameters in the query string")
    if not query.isascii():
        query = query.encode("latin-1").decode(UTF_8, "replace")
    return _pairs(query, UTF_8, "replace")


def parse_urlencoded(data: bytes, charset: str = "", limits: Limits = Limits()) -> list[tuple[str, str]]:  # noqa: B008
    """The names and values of a form of application/x-www-form-urlencoded.

    :param charset: of its Content-Type; "" for UTF-8.
    :raises TooLarge: it has too many fields.
    :raises BadRequest: it is not in that charset.
    :raises UnknownCharset:
    """
    encoding = encoding_of(charset)
    if data.count(b"&") >= limits.fields:
        raise TooLarge(f"more than {limits.fields} fields in the form")
    try:
        return _pairs(data.decode(encoding), encoding, "strict") if data else []
    except UnicodeDecodeError:
        raise BadRequest(f"the form is not {charset or 'UTF-8'} text") from None


def parse_multipart(
    pieces: Iterable[bytes],
    boundary: str,
    store: Store,
    charset: str = "",
    limits: Limits = Limits(),  # noqa: B008
) -> list[Pair]:
    """The fields of a multipart form, in their order.

    A part without a file name is text. One with an empty file name and no content is a file field that the user left
    empty: "".

    :param pieces: the body.
    :param boundary: of its Content-Type.
    :param store: called for each file.
    :param charset: of texts, "" for UTF-8; a part's own counts more.
    :raises TooLarge: more fields, files or bytes than the limits allow.
    :raises BadRequest: the form is malformed or ends too early.
    :raises UnknownCharset:
    """
    form = _MultipartForm(store, encoding_of(charset), limits)
    try:
        parser = multipart.PushMultipartParser(
            _boundary(boundary),
            max_header_count=limits.part_fields,
            max_segment_count=limits.fields + limits.files,
        )
        with parser:
            for piece in pieces:
                for event in parser.parse(piece):
                    form.take(event)
    except multipart.ParserLimitReached as error:
        raise TooLarge(_said(error)) from None
    except multipart.MultipartError as error:
        raise BadRequest(_said(error)) from None
    return form.pairs


def gather(pairs: Iterable[Pair]) -> dict[str, Any]:
    """Names and values as a dictionary; the values of a name that comes more than once are a list."""
    found: dict[str, Any] = {}
    repeated: set[str] = set()
    for name, value in pairs:
        if name not in found:
            found[name] = value
        elif name in repeated:
            found[name].append(value)
        else:
            repeated.add(name)
            found[name] = [found[name], value]
    return found


def encoding_of(charset: str) -> str:
    """Python's name of a charset; "" means UTF-8.

    :raises UnknownCharset: it is not one of `CHARSETS`.
    """
    if not charset:
        return UTF_8
    try:
        name = codecs.lookup(charset).name
    except (LookupError, ValueError):  # ValueError: a name with a NUL, or one that is no ASCII
        name = ""
    if name not in CHARSETS:
        raise UnknownCharset(f"charset {charset[:40]!r} is not known here; send UTF-8")
    return name


def _pairs(text: str, encoding: str, errors: str) -> list[tuple[str, str]]:
    found = []
    for item in text.split("&"):
        if item:
            if "+" in item:
                item = item.replace("+", " ")
            name, _, value = item.partition("=")
            if "%" in item:
                name, value = _decoded(name, encoding, errors), _decoded(value, encoding, errors)
            found.append((name, value))
    return found


def _decoded(text: str, encoding: str, errors: str) -> str:
    if "%" not in text:
        return text
    if text.isascii():
        return unquote_to_bytes(text).decode(encoding, errors)  # a third of the time
    return unquote(text, encoding, errors)


def _boundary(text: str) -> bytes:
    if not text or len(text) > LONGEST_BOUNDARY or not text.isascii() or not text.isprintable():
        raise BadRequest("multipart/form-data without a boundary that could be one")
    return text.encode("ascii")


def _said(error: Exception) -> str:
    """What the parser says, in one line."""
    text = str(error.args[0]) if error.args else "malformed"
    return f"multipart form: {text[:1].lower()}{text[1:]}"


class _MultipartForm:
    """Collects the events of the parser."""

    def __init__(self, store: Store, encoding: str, limits: Limits) -> None:
        self.pairs: list[Pair] = []
        self._store = store
        self._encoding = encoding
        self._limits = limits
        self._fields = self._files = 0
        self._text_bytes = 0
        self._segment: Any = None
        self._text: list[bytes] = []
        self._file: FileSink | None = None
        self._maybe_empty = False

    def take(self, event: Any) -> None:
        if event is None:
            self._end()
        elif isinstance(event, (bytes, bytearray)):
            self._add(bytes(event))
        else:
            self._begin(event)

    def _begin(self, segment: Any) -> None:
        self._segment = segment
        self._text = []
        self._file = None
        self._maybe_empty = segment.filename == ""
        if segment.filename is None:
            self._fields += 1
            if self._fields > self._limits.fields:
                refuse(f"more than {self._limits.fields} fields in the form")
        elif not self._maybe_empty:
            self._open()

    def _open(self) -> None:
        self._files += 1
        if self._files > self._limits.files:
            refuse(f"more than {self._limits.files} files in the form")
        self._file = self._store(self._segment.filename, self._segment.content_type or "")

    def _add(self, data: bytes) -> None:
        if self._maybe_empty and self._file is None:
            self._open()  # it has content, so it is a file, only without a name
        if self._file is None:
            self._text_bytes += len(data)
            if self._text_bytes > self._limits.text_bytes:
                refuse(f"more than {self._limits.text_bytes} bytes of text in the form")
            self._text.append(data)
            return
        if self._segment.bytes_received > self._limits.file_bytes:
            refuse(f"a file of more than {self._limits.file_bytes} bytes")
        self._file.write(data)

    def _end(self) -> None:
        value: Any
        if self._file is not None:
            self._file.end()
            value = self._file
        else:
            value = self._decoded(b"".join(self._text))
        self.pairs.append((self._segment.name, value))

    def _decoded(self, data: bytes) -> str:
        named = self._segment.charset
        encoding = encoding_of(named) if named else self._encoding
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            raise BadRequest(f"field {self._segment.name[:40]!r} of the form is not {named or encoding} text") from None


def refuse(why: str) -> NoReturn:
    raise TooLarge(why)
