"""The client's side of HTTP/1.1 (RFC 9112): request heads become bytes, and a stream of bytes becomes responses.

What two parties could read differently is refused, as on the server's side: two lengths, a length beside a coding, folded
lines, bare LF. Heads that recur are found by their bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from skitai.errors import BadRequest, SkitaiError
from skitai.http.head import Fields
from skitai.protocols.http1.chunked import ChunkedDecoder
from skitai.protocols.http1.response import without_body

CHUNKED, UNTIL_CLOSE = -1, -2
"""Framings beside a known length."""

HEAD_BYTES = 65536
FIELDS = 256
"""Of a response head: twice what servers take of requests, for back-ends set many cookies."""

INTERIM = 16
"""Interim responses (100, 103) before the one that counts."""

EXTENSION_BYTES = 1024
TRAILER_BYTES = 32768

KNOWN_HEADS = 256
KNOWN_BYTES = 2048

_STATUS_LINE = re.compile(rb"HTTP/(1\.[01]) ([1-9][0-9]{2})(?: ([\t -~\x80-\xff]*))?\r\n").match
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t -~\x80-\xff]*)\r\n")


class BadAnswer(SkitaiError):
    """What came is no response that can be read in one way only, or it ends too early."""


class AnswerHead:
    """A response head: immutable, and shared by all responses that carry the same bytes.

    :ivar version: "1.0", "1.1" or "2.0".
    :ivar reason: the phrase beside the status; "" in HTTP/2.
    :ivar keep_alive: the server lets the connection live on.
    :ivar length: of the body, unless request or status mean that there is none: bytes, CHUNKED or UNTIL_CLOSE.
    :ivar size: of what follows the head of an answer to GET, say: bytes; -1 where the head alone does not tell.
    """

    __slots__ = ("fields", "keep_alive", "length", "reason", "size", "status", "version")

    def __init__(self, version: str, status: int, reason: str, fields: Fields, keep_alive: bool, length: int) -> None:
        self.version = version
        self.status = status
        self.reason = reason
        self.fields = fields
        self.keep_alive = keep_alive
        self.length = length
        self.size = -1 if status < 200 or length < 0 else 0 if without_body(status) else length

    def __repr__(self) -> str:
        return f"<AnswerHead {self.status} {self.reason} HTTP/{self.version}>"


class AnswerHeads:
    """Parses response heads and remembers them.

    :ivar known: heads by their bytes.
    """

    def __init__(self) -> None:
        self.known: dict[bytes, AnswerHead] = {}

    def parse(self, data: bytes) -> AnswerHead:
        """The head in `data`, from the status line to the empty line.

        :raises BadAnswer: with what was seen.
        """
        head = self.known.get(data)
        if head is None:
            head = parse_head(data)
            if len(data) <= KNOWN_BYTES:
                if len(self.known) >= KNOWN_HEADS:
                    self.known.clear()
                self.known[data] = head
        return head


def parse_head(data: bytes) -> AnswerHead:
    """As `AnswerHeads.parse`, of whatever no memory knows."""
    line = _STATUS_LINE(data)
    if line is None:
        raise BadAnswer(f"no HTTP/1 status line: {data[:80]!r}")
    fields = parse_fields(data, line.end())
    version = line[1].decode("ascii")
    names = [name for name, _ in fields.pairs]
    lengths, codings = names.count(b"content-length"), names.count(b"transfer-encoding")
    if lengths + codings > 1:
        raise BadAnswer("Content-Length and Transfer-Encoding more than once or together")
    length = UNTIL_CLOSE
    if lengths:
        digits = fields.get(b"content-length") or b""
        if not digits.isdigit() or len(digits) > 18:
            raise BadAnswer(f"Content-Length {digits[:40]!r} is not a number")
        length = int(digits)
    elif codings:
        if version == "1.0" or (fields.get(b"transfer-encoding") or b"").lower() != b"chunked":
            raise BadAnswer("Transfer-Encoding other than chunked, or on HTTP/1.0")
        length = CHUNKED
    options = {each.strip().lower() for each in (fields.get(b"connection") or b"").split(b",")}
    keep_alive = b"close" not in options and (version == "1.1" or b"keep-alive" in options)
    return AnswerHead(version, int(line[2]), (line[3] or b"").decode("latin-1"), fields, keep_alive, length)


def parse_fields(data: bytes, at: int = 0) -> Fields:
    """A field section (RFC 9110, section 5) with its empty line, from `at` to the end.

    :raises BadAnswer: a line that is none, or too many of them.
    """
    pairs: list[tuple[bytes, bytes]] = []
    end = len(data) - 2
    while at < end:
        field = _FIELD.match(data, at)
        if field is None:
            raise BadAnswer(f"malformed field line: {data[at : at + 80]!r}")
        pairs.append((field[1].lower(), field[2].strip(b" \t")))
        at = field.end()
    if at != end or data[at:] != b"\r\n":
        raise BadAnswer("a line of the head is no field")
    if len(pairs) > FIELDS:
        raise BadAnswer(f"more than {FIELDS} fields in a head")
    return Fields(pairs)


class Answers:
    """Reads the responses of one connection, one after the other.

    :ivar head: of the response that is being read; None until it has come.
    :ivar informed: interim responses before it, for who reads to take away.
    :ivar ended: the response is complete.
    :ivar begun: a byte of it has come, be it of an interim response.
    :ivar rest: what came behind the end: of a tunnel its first bytes; of others, nothing that we have asked for.
    :ivar trailers: the fields behind a chunked body.
    """

    __slots__ = (
        "_buffer",
        "_chunks",
        "_heads",
        "_interim",
        "_known",
        "_left",
        "_method",
        "_seen",
        "_switching",
        "begun",
        "ended",
        "head",
        "informed",
        "rest",
        "trailers",
    )

    def __init__(self, heads: AnswerHeads) -> None:
        self.informed: list[AnswerHead] = []
        self._heads = heads
        self._known = heads.known
        self.begin("")

    def begin(self, method: str, switching: bool = False) -> None:
        """A request goes out.

        :param method: as sent; responses to HEAD and CONNECT are framed in their own way.
        :param switching: the request asks for another protocol, so that 101 is an answer to it.
        """
        self._method = method
        self._switching = switching
        self._buffer = b""
        self._seen = 0
        self._interim = 0
        self._left = 0
        self._chunks: ChunkedDecoder | None = None
        self.head: AnswerHead | None = None
        self.begun = self.ended = False
        self.rest = b""
        self.trailers: Fields | None = None

    def whole(self, data: bytes) -> bytes | None:
        """Take what came, if it is one response with a known head from its first byte to its last, as most are.

        :returns: its body; None for anything else, which is for `receive`.
        """
        if self.begun or self._method in ("HEAD", "CONNECT"):
            return None
        cut = data.find(b"\r\n\r\n") + 4
        head = self._known.get(data[:cut])
        if head is None or head.size != len(data) - cut:
            return None
        self.begun = self.ended = True
        self.head = head
        return data[cut:]

    def receive(self, data: bytes) -> list[bytes]:
        """Take what came.

        :returns: the pieces of the body in it.
        :raises BadAnswer: the connection cannot be used any more.
        """
        self.begun = True
        if self.head is None:
            found = self._find_head(self._buffer + data if self._buffer else data)
            if found is None:
                return []
            data = found
        elif self.ended:
            self.rest += data
            return []
        return self._body(data) if data else []

    def _find_head(self, data: bytes) -> bytes | None:
        """Look for the end of the head; what follows it, or None when it has not come yet."""
        while True:
            cut = data.find(b"\r\n\r\n", self._seen)
            if (cut if cut >= 0 else len(data)) > HEAD_BYTES:
                raise BadAnswer(f"a response head of more than {HEAD_BYTES} bytes")
            if cut < 0:
                if not data.startswith(b"HTTP/1."[: len(data)]):
                    raise BadAnswer(f"no HTTP/1 status line: {data[:80]!r}")
                self._buffer, self._seen = data, max(len(data) - 3, 0)
                return None
            self._buffer, self._seen = b"", 0
            head = self._heads.parse(data[: cut + 4])
            data = data[cut + 4 :]
            if head.status >= 200 or (head.status == 101 and self._switching):
                self._begin_body(head)
                if self.ended:
                    self.rest = data
                    return None
                return data
            if head.status == 101:
                raise BadAnswer("101 Switching Protocols, which nobody has asked for")
            self._interim += 1
            if self._interim > INTERIM:
                raise BadAnswer(f"more than {INTERIM} interim responses")
            self.informed.append(head)

    def _begin_body(self, head: AnswerHead) -> None:
        """What the body's length is (RFC 9112, section 6.3)."""
        self.head = head
        tunnel = self._method == "CONNECT" and head.status < 300
        if tunnel or self._method == "HEAD" or without_body(head.status):
            self.ended = True
        elif head.length == CHUNKED:
            self._chunks = ChunkedDecoder(EXTENSION_BYTES, TRAILER_BYTES)
        else:
            self._left = head.length
            self.ended = head.length == 0

    def _body(self, data: bytes) -> list[bytes]:
        if self._chunks is not None:
            try:
                pieces, self.rest = self._chunks.feed(data)
            except BadRequest as error:
                raise BadAnswer(error.message) from None
            if self._chunks.done:
                self.ended = True
                if self._chunks.trailers:
                    self.trailers = parse_fields(self._chunks.trailers)
            return pieces
        if self._left == UNTIL_CLOSE:
            return [data]
        if len(data) > self._left:
            data, self.rest = data[: self._left], data[self._left :]
        self._left -= len(data)
        self.ended = self._left == 0
        return [data]

    def end(self) -> None:
        """The server has closed.

        :raises BadAnswer: before the end of the response.
        """
        if self.head is None:
            raise BadAnswer(
                "the server closed within a response head" if self.begun else "the server closed without a response"
            )
        if not self.ended:
            if self._left != UNTIL_CLOSE:
                raise BadAnswer("the server closed within a response body")
            self.ended = True


def request_head(method: str, target: str, host: str, fields: Iterable[tuple[str, str]]) -> bytes:
    """A request head up to its empty line. Nothing is checked: who makes fields has done so."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in fields])
    return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n".encode("latin-1")
