"""An answer over HTTP, as handlers see it."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Sequence
from http.cookies import CookieError, SimpleCookie
from io import BytesIO
from typing import TYPE_CHECKING, Any, cast

from skitai.backend.errors import BackendError, Code
from skitai.backend.result import Result
from skitai.http import jsontext
from skitai.http.dates import parse_http_date
from skitai.http.head import Fields
from skitai.http.headers import Named
from skitai.http.parameters import split
from skitai.http.status import phrase
from skitai.protocols.http1.answer import AnswerHead

if TYPE_CHECKING:
    from skitai.backend.drivers.http.cached import Came
    from skitai.backend.drivers.http.request import HttpRequest

FORM = "answer headers"

_UNREAD: Any = object()

_MAX_AGE = re.compile(r"(?:^|[,\s])max-age\s*=\s*\"?([0-9]{1,9})").search
_NOT_KEPT = re.compile(r"(?:^|[,\s])no-(?:store|cache)(?:$|[,\s])").search
_JSON = re.compile(r"application/(?:[\w.+-]+\+)?json", re.ASCII).fullmatch


class AnswerHeaders(Named[Any]):
    """Fields; of a name that comes several times, a list."""

    __slots__ = ()

    def __init__(self, fields: Fields) -> None:
        self._values: dict[str, str | list[str]] = {}
        for raw_name, raw_value in fields.pairs:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            before = self._values.get(name)
            if before is None:
                self._values[name] = value
            elif isinstance(before, list):
                before.append(value)
            else:
                self._values[name] = [before, value]

    @classmethod
    def of(cls, fields: Fields) -> AnswerHeaders:
        """Made once for all answers that carry the same bytes."""
        found: AnswerHeaders | None = fields.forms.get(FORM)
        if found is None:
            found = fields.forms[FORM] = cls(fields)
        return found

    def __getitem__(self, name: str) -> Any:
        found = self._values[name.lower()]
        return list(found) if isinstance(found, list) else found


class HttpResult(Result):
    """An answer.

    :ivar version: of HTTP: "1.0", "1.1" or "2.0".
    :ivar url: as the caller gave it; behind a redirect, where that led.
    :ivar request: what was asked, with `method`, `headers` and `payload`.
    :ivar fields: the fields as they came.
    :ivar pieces: of a streaming result, its content as it comes; else None.
    """

    pieces: AsyncIterator[bytes] | None = None
    redirects: Sequence[HttpResult] = ()
    _data: Any = _UNREAD

    def __init__(
        self,
        head: AnswerHead,
        content: bytes,
        request: HttpRequest,
        incoming: Came,
    ) -> None:
        self.status_code = head.status
        self.reason = head.reason or phrase(head.status)
        self.content = content
        self.fields = head.fields
        self.version = head.version
        self.request = request
        self.method = request.method
        self.url = request.url
        self._incoming = incoming

    @property
    def history(self) -> list[HttpResult]:
        """The answers that redirected, in their order."""
        return list(self.redirects)

    @property
    def trailers(self) -> Fields | None:
        """Fields behind the content, once that has come."""
        return self._incoming.trailers

    def close(self) -> None:
        """Of a streaming result whose content is not wanted (any more): let its connection go. In the loop's thread."""
        self._incoming.leave()

    def __repr__(self) -> str:
        return f"<Response [{self.status_code}]>"

    # Fields

    @property
    def headers(self) -> AnswerHeaders:
        return AnswerHeaders.of(self.fields)

    @property
    def header(self) -> list[str]:
        """The fields as lines."""
        return [f"{name.decode('latin-1').title()}: {value.decode('latin-1')}" for name, value in self.fields.pairs]

    def get_header(self, name: str, default: Any = None) -> Any:
        """The value of a field, a list where it comes several times."""
        return self.headers.get(name, default)

    def get_header_with_attr(self, name: str, default: Any = None) -> tuple[Any, dict[str, str]]:
        """The value of a field without its parameters, and these."""
        value = self.fields.get(name.lower().encode("latin-1"))
        if value is None:
            return default, {}
        main, parameters = split(value.decode("latin-1"))
        return main, dict(parameters)

    @property
    def content_type(self) -> str:
        """The media type in lower case, without parameters; "" for none."""
        return str(self.get_header_with_attr("content-type", "")[0]).lower()

    @property
    def cookies(self) -> dict[str, str]:
        """What the answer sets."""
        found = {}
        for name, value in self.fields.pairs:
            if name == b"set-cookie":
                pair, _, _ = value.decode("latin-1").partition(";")
                key, equals, text = pair.partition("=")
                if equals and key.strip():
                    found[key.strip()] = _cookie_text(text.strip())
        return found

    def get_cookie(self, name: str, default: Any = None) -> Any:
        return self.cookies.get(name, default)

    @property
    def max_age(self) -> int:
        """Seconds that the answer stays fresh, by what its fields say (RFC 9111, section 4.2.1); 0 where they do not."""
        control = self.fields.text("cache-control").lower()
        if _NOT_KEPT(control):
            return 0
        said = _MAX_AGE(control)
        if said:
            return int(said[1])
        now = time.time()
        expires, date = (parse_http_date(self.fields.text(name), now) for name in ("expires", "date"))
        return 0 if expires is None else max(0, int(expires - (now if date is None else date)))

    @property
    def expire(self) -> float:
        """Until when, in seconds since the epoch; 0 where the fields do not say."""
        return time.time() + self.max_age if self.max_age else 0.0

    # Content

    @property
    def encoding(self) -> str:
        """Of text: the charset of the Content-Type, else UTF-8."""
        return self.get_header_with_attr("content-type", "")[1].get("charset", "") or "utf-8"

    @property
    def text(self) -> str:
        """The content as text; what does not fit its encoding becomes U+FFFD."""
        content = cast(bytes, self.content)
        try:
            return content.decode(self.encoding, "replace")
        except LookupError:
            return content.decode("utf-8", "replace")

    @property
    def binary(self) -> bytes:
        """As `content`."""
        return cast(bytes, self.content)

    @property
    def raw(self) -> BytesIO:
        """The content as a file."""
        return BytesIO(self.binary)

    def json(self) -> Any:
        """The content read as JSON.

        :raises ValueError: it is none.
        """
        return jsontext.loads(self.binary)

    @property
    def data(self) -> Any:
        """The value, where the content is JSON by its type and can be read; else as `content`."""
        if self._data is _UNREAD:
            self._data = self._read()
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        self._data = value

    def _read(self) -> Any:
        if self.content and _JSON(self.content_type):
            try:
                return self.json()
            except ValueError:
                pass  # `json` says what is wrong with it
        return self.content

    @property
    def lxml(self) -> Any:
        """The content as a document of lxml.

        :raises RuntimeError: lxml is not installed.
        """
        try:
            from lxml import etree, html
        except ImportError:
            raise RuntimeError("result.lxml needs lxml: pip install lxml") from None
        return etree.fromstring(self.binary) if "xml" in self.content_type else html.fromstring(self.binary)


def _cookie_text(text: str) -> str:
    """A cookie's value without the quotes that Python's and other servers put around some."""
    if not text.startswith('"'):
        return text
    try:
        return SimpleCookie(f"x={text}")["x"].value
    except (CookieError, KeyError):
        return text.strip('"')


def check(head: AnswerHead, request: HttpRequest, most_bytes: int) -> None:
    """Whether an answer is what the caller takes, as far as its head says.

    :raises BackendError: it is not.
    """
    if request.accept and 200 <= head.status < 300:
        media_type = split(head.fields.text("content-type"))[0].lower()
        if media_type and not accepts(request.accept, media_type):
            message = f"Unacceptable Content Type: {media_type} where {request.accept} was asked for"
            raise BackendError(Code.UNACCEPTABLE, message, sent=True)
    if head.length > most_bytes and request.method != "head" and head.status != 304:
        raise BackendError(Code.TOO_LARGE, f"{head.length} bytes of content where {most_bytes} are taken", sent=True)


def accepts(wanted: str, media_type: str) -> bool:
    """Whether a media type is among those that an Accept field names (RFC 9110, section 12.5.1)."""
    for each in wanted.split(","):
        pattern, parameters = split(each)
        kind, _, sub = pattern.lower().partition("/")
        if parameters.get("q", "1").strip() in ("0", "0.0", "0.00", "0.000"):
            continue
        if kind in ("*", media_type.partition("/")[0]) and sub in ("*", "", media_type.partition("/")[2]):
            return True
    return False
