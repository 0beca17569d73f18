"""Request heads (RFC 9112, sections 2 and 3): the bytes up to the empty line become one immutable `Head`.

llhttp (httptools) checks the grammar of the fields; this module is the guard around it that closes what llhttp lets pass,
and the memo that recognises a keep-alive client's head by its bytes. The caller cuts the head out of the stream itself, so
llhttp never sees an unfinished head (which it would buffer without end), a body, or a declined upgrade.
"""

from __future__ import annotations

import re
from typing import NamedTuple, TypeVar
from urllib.parse import unquote_to_bytes

import httptools

from skitai.config.sections.serving import Http1
from skitai.errors import Answerable, BadRequest, HeadTooLarge
from skitai.http.head import Fields, Head

METHODS = frozenset(
    [
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "DELETE",
        "PATCH",
        "OPTIONS",
        "CONNECT",
        "QUERY",
        "PROPFIND",
        "PROPPATCH",
        "MKCOL",
        "COPY",
        "MOVE",
        "LOCK",
        "UNLOCK",
        "SEARCH",
        "REPORT",
        "MKCALENDAR",
        "ACL",
        "BIND",
        "REBIND",
        "UNBIND",
        "PURGE",
        "LINK",
        "UNLINK",
    ]
)
"""Methods that are served; others get 501 (RFC 9110, section 9.1), TRACE 405."""

REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) HTTP/([0-9])\.([0-9])").fullmatch
HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?").fullmatch
BARE_LF = re.compile(rb"(?<!\r)\n").search

T = TypeVar("T")

KNOWN_HEADS = 512
KNOWN_BYTES = 2048


class _Line(NamedTuple):
    """A checked request line."""

    method: str
    target: str
    form: str
    path: str
    raw_path: str
    query: str
    host: str | None
    version: str


class _Section(NamedTuple):
    """A checked field section, and what follows from it for the connection and the body."""

    fields: Fields
    hosts: int
    host: str
    close: bool
    keep_alive: bool
    length: int
    coded: bool
    expects_continue: bool
    protocol: str


class _Collector:
    """Receives llhttp's callbacks for one field section."""

    __slots__ = ("limit_bytes", "limit_fields", "pairs")

    def __init__(self, limits: Http1) -> None:
        self.pairs: list[tuple[bytes, bytes]] = []
        self.limit_fields = limits.head_fields
        self.limit_bytes = limits.field_bytes

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(name) + len(value) > self.limit_bytes:
            raise HeadTooLarge(f"header field {name[:40].decode('latin-1')!r} is longer than {self.limit_bytes} bytes")
        if len(self.pairs) == self.limit_fields:
            raise HeadTooLarge(f"more than {self.limit_fields} header fields")
        self.pairs.append((name.lower(), value.strip(b" \t")))


def remember(memo: dict[bytes, T], key: bytes, value: T) -> None:
    """Keep small things, and not too many: a flood of different ones empties the memo, nothing worse."""
    if len(key) <= KNOWN_BYTES:
        if len(memo) >= KNOWN_HEADS:
            memo.clear()
        memo[key] = value


class HeadParser:
    """Parses request heads and remembers them.

    :ivar known: heads by their exact bytes; a hit needs no parsing at all. Read it freely, only `parse` writes.
    """

    def __init__(self, limits: Http1) -> None:
        self.limits = limits
        self.known: dict[bytes, Head] = {}
        self._lines: dict[bytes, _Line] = {}
        self._sections: dict[bytes, _Section] = {}

    def parse(self, data: bytes) -> Head:
        """The head in `data`, which begins with the request line and ends with the empty line.

        :raises BadRequest, HeadTooLarge, Answerable: 400, 431, 501, 505 and so on, with what was seen.
        """
        head = self.known.get(data)
        if head is not None:
            return head
        cut = data.index(b"\r\n")
        line = self._line(data[:cut])
        block = data[cut:]
        section = self._sections.get(block)
        if section is None:
            section = self._section(data)
            remember(self._sections, block, section)
        head = self._head(line, section)
        remember(self.known, data, head)
        return head

    def check_partial(self, data: bytes) -> None:
        """Refuse an unfinished head that can no longer become a good one, so that nobody waits for its end.

        :param data: everything received of it; it holds no empty line.
        :raises BadRequest, HeadTooLarge:
        """
        if BARE_LF(data):
            raise BadRequest("line ends with LF instead of CRLF")
        if len(data) > self.limits.head_bytes:
            raise HeadTooLarge(f"request head is longer than {self.limits.head_bytes} bytes")
        if len(data) > self.limits.request_line_bytes and b"\r\n" not in data:
            raise HeadTooLarge(f"request line is longer than {self.limits.request_line_bytes} bytes")

    def trailers(self, data: bytes) -> Fields:
        """The trailer section of a chunked body (RFC 9112, section 7.1.2), with its empty line.

        :raises BadRequest: also for fields that frame or route a message, which trailers must not hold.
        """
        fields = Fields(self._pairs(b"GET / HTTP/1.1\r\n" + data))
        for name in (b"content-length", b"transfer-encoding", b"host"):
            if name in fields:
                raise BadRequest(f"{name.decode()} in trailers")
        return fields

    def _line(self, data: bytes) -> _Line:
        line = self._lines.get(data)
        if line is None:
            line = parse_request_line(data, self.limits.request_line_bytes)
            remember(self._lines, data, line)
        return line

    def _pairs(self, data: bytes) -> list[tuple[bytes, bytes]]:
        collector = _Collector(self.limits)
        try:
            httptools.HttpRequestParser(collector).feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # the head is complete; whether to upgrade is not the parser's decision
        except httptools.HttpParserCallbackError as error:
            raise error.__context__ or error from None
        except httptools.HttpParserError as error:
            raise BadRequest(str(error)) from None
        return collector.pairs

    def _section(self, data: bytes) -> _Section:
        fields = Fields(self._pairs(data))
        names = [name for name, _ in fields.pairs]
        hosts = names.count(b"host")
        host = fields.get(b"host") or b""
        if hosts > 1 or (hosts and not HOST(host)):
            raise BadRequest("malformed or repeated Host")
        lengths, codings = names.count(b"content-length"), names.count(b"transfer-encoding")
        if lengths + codings > 1:
            raise BadRequest("Content-Length and Transfer-Encoding more than once or together")
        length = 0
        if lengths:
            digits = fields.get(b"content-length") or b""
            if not digits.isdigit() or len(digits) > 18:
                raise BadRequest("Content-Length is not a number")
            length = int(digits)
        elif codings:
            if (fields.get(b"transfer-encoding") or b"").lower() != b"chunked":
                raise BadRequest("Transfer-Encoding other than chunked")
            length = -1
        expect = fields.get(b"expect")
        if expect is not None and expect.lower() != b"100-continue":
            raise Answerable(f"unknown expectation {expect.decode('latin-1')!r}", status=417)
        options = {each.strip().lower() for each in (fields.get(b"connection") or b"").split(b",")}
        return _Section(
            fields,
            hosts,
            host_name(host),
            b"close" in options,
            b"keep-alive" in options,
            length,
            bool(codings),
            expect is not None,
            wanted_protocol(fields) if b"upgrade" in options else "",
        )

    @staticmethod
    def _head(line: _Line, section: _Section) -> Head:
        old = line.version == "1.0"
        if not section.hosts and not old:
            raise BadRequest("no Host")
        if section.coded and old:
            raise BadRequest("Transfer-Encoding on HTTP/1.0")
        return Head(
            line.method,
            line.target,
            line.form,
            line.path,
            line.raw_path,
            line.query,
            section.host if line.host is None else line.host,
            line.version,
            section.fields,
            keep_alive=not section.close and (section.keep_alive or not old),
            length=section.length,
            expects_continue=section.expects_continue and not old,
            protocol="" if old else section.protocol,
        )


def parse_request_line(data: bytes, limit_bytes: int) -> _Line:
    """A request line (RFC 9112, section 3) without its CRLF.

    :raises BadRequest, HeadTooLarge, Answerable: 400, 431, 405 for TRACE, 501 for other unknown methods, 505.
    """
    if len(data) > limit_bytes:
        raise HeadTooLarge(f"request line is longer than {limit_bytes} bytes")
    match = REQUEST_LINE(data)
    if match is None:
        raise BadRequest("malformed request line")
    method, target = match[1].decode("ascii"), match[2].decode("ascii")
    version = f"{match[3].decode()}.{match[4].decode()}"
    if version not in ("1.0", "1.1"):
        raise Answerable(f"HTTP/{version} is not supported", status=505)
    if method not in METHODS:
        raise Answerable(f"method {method} is not supported", status=405 if method == "TRACE" else 501)
    if "#" in target:
        raise BadRequest("fragment in the request target")
    host: str | None = None
    if method == "CONNECT":
        if not HOST(match[2]) or ":" not in target:
            raise BadRequest("CONNECT wants host:port")
        return _Line(method, target, "authority", "", "", "", host_name(match[2]), version)
    if target == "*":
        if method != "OPTIONS":
            raise BadRequest("asterisk-form outside OPTIONS")
        return _Line(method, target, "asterisk", "", "", "", None, version)
    form, rest = "origin", target
    if not target.startswith("/"):
        scheme, colon, rest = target.partition("://")
        if not colon or scheme.lower() not in ("http", "https"):
            raise BadRequest("malformed request target")
        cut = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
        authority, rest = rest[:cut].encode("ascii"), rest[cut:]
        if not HOST(authority):
            raise BadRequest("malformed authority in the request target")
        form, host = "absolute", host_name(authority)
        if not rest.startswith("/"):
            rest = "/" + rest
    raw_path, _, query = rest.partition("?")
    path = unquote_to_bytes(raw_path).decode("latin-1") if "%" in raw_path else raw_path
    return _Line(method, target, form, path, raw_path, query, host, version)


def wanted_protocol(fields: Fields) -> str:
    """The protocol of an Upgrade field that somebody here may speak; "" for none."""
    wanted = {each.strip().lower() for each in fields.text("upgrade").split(",")}
    return "websocket" if "websocket" in wanted else "h2c" if "h2c" in wanted else ""


def host_name(value: bytes) -> str:
    """The lower-case name in a Host value, without its port."""
    name = value.decode("latin-1").lower()
    if name.startswith("["):
        return name[: name.index("]") + 1]
    return name.partition(":")[0]
