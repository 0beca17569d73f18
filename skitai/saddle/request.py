"""`was.request`: what the client asks, read as far as the app wants to know it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import IO, TYPE_CHECKING, Any

from skitai.config.pref import AttrDict
from skitai.errors import BadRequest
from skitai.http import forms, jsontext
from skitai.http.forms import MULTIPART, URLENCODED
from skitai.http.inflate import inflate
from skitai.saddle.asked import Asked, Values
from skitai.saddle.response import Response
from skitai.saddle.uploads import Spool
from skitai.was import host

if TYPE_CHECKING:
    from skitai.exchange import Exchange

PIECE_BYTES = 65536

QUERY = "query pairs"

_UNREAD: Any = object()

_NO_VALUES: Values = {}


class Request(Asked):
    """The request that runs.

    :ivar app: the app that answers.
    :ivar values: of the parameters in the route's URL.
    :ivar user: who signed in by the app's `authenticate`, or None.
    :ivar token: the bearer token that was accepted, or None.
    :ivar claim: what that token says, when it is a JWT, or None.
    """

    __slots__ = (
        "_args",
        "_bytes",
        "_file",
        "_form",
        "_json",
        "_response",
        "_spool",
        "app",
        "claim",
        "token",
        "user",
        "values",
    )

    def __init__(self, exchange: Exchange, app: Any, route: Any = None, values: Mapping[str, Any] = _NO_VALUES) -> None:
        super().__init__(exchange, route)
        self.app = app
        self.values = values
        self.user: Any = None
        self.token: str | None = None
        self.claim: Any = None
        self._response: Response | None = None
        self._args: AttrDict | None = None
        self._file: IO[bytes] | None = None
        self._bytes: bytes | None = None
        self._form: Values | None = None
        self._json: Any = _UNREAD
        self._spool: Spool | None = None

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.uri}>"

    @property
    def response(self) -> Response:
        """The response to it."""
        if self._response is None:
            self._response = Response(self.exchange)
        return self._response

    def close(self) -> None:
        """The request is over: nothing of its body stays, in memory or on disk."""
        if self._spool is not None:
            self._spool.discard()
        if self._file is not None:
            self._file.close()

    # The query

    @property
    def query(self) -> Values:
        """Names and values of the query string; the values of a name that comes more than once are a list.

        :raises BadRequest: too many of them.
        """
        head = self.head
        if not head.query:
            return {}
        pairs = head.forms.get(QUERY)
        if pairs is None:
            pairs = head.forms[QUERY] = tuple(forms.parse_query(head.query, host.config().bodies.form_fields))
        return forms.gather(pairs)

    # The body

    @property
    def body(self) -> bytes:
        """The body as it was sent; b"" when there is none."""
        content = self._bytes
        if content is None:
            if not self.head.length:
                return b""
            file = self.stream
            content = self._bytes = file.read()
            file.seek(0)
        return content

    payload = body

    def get_body(self) -> bytes:
        """The same as `body`."""
        return self.body

    @property
    def stream(self) -> IO[bytes]:
        """The body as a file at its beginning, for those that need not be in memory as a whole."""
        if self._file is None:
            self._file = self.exchange.body.open()
        else:
            self._file.seek(0)
        return self._file

    def json(self) -> Any:
        """The value of a body that is JSON, whatever its media type says.

        :raises BadRequest: it is not.
        """
        if self._json is _UNREAD:
            try:
                self._json = jsontext.loads(self.unpacked())
            except ValueError as error:
                raise BadRequest(f"the body is not JSON: {error}") from None
        return self._json

    def form(self, ct: str | None = None) -> Values:
        """The fields of a body that is a form; files of a multipart form are file objects.

        :param ct: take the body for this media type.
        :returns: {} when the body is no form.
        :raises BadRequest: the form is malformed.
        :raises TooLarge: it has more than the limits allow.
        """
        content_type = ct or self.get_content_type()
        if self._form is None:
            if content_type == URLENCODED:
                self._form = forms.gather(forms.parse_urlencoded(self.unpacked(), self.get_charset() or "", self._limits()))
            elif content_type == MULTIPART:
                self._form = self._parse_multipart()
            else:
                return {}
        return self._form

    def dict(self) -> Values:
        """The body as names and values: of a form, or of a JSON object.

        :returns: {} when it is of another type.
        :raises BadRequest: it is malformed, or JSON but no object.
        """
        found = self.mapping()
        if found is not None:
            return found
        if self.is_json and self.get_content_length():
            raise BadRequest(f"the body is a JSON {type(self.json()).__name__}; an object is wanted")
        return {}

    def mapping(self) -> Values | None:
        """Like `dict`, but None for a body that has no names and values."""
        content_type = self.get_content_type()
        if content_type in (URLENCODED, MULTIPART):
            return self.form()
        if self.is_json and self.get_content_length():
            value = self.json()
            return value if type(value) is type(_NO_VALUES) else None
        return None

    @property
    def is_json(self) -> bool:
        """Whether the body's media type is JSON."""
        content_type = self.get_content_type() or ""
        return content_type == "application/json" or content_type.endswith("+json")

    @property
    def multipart(self) -> Values | None:
        """The fields and files of a multipart form; None when the body is none."""
        return self.form() if self.get_content_type() == MULTIPART else None

    @property
    def args(self) -> AttrDict:
        """URL parameters, query, body and the handler's defaults, merged; its keys are attributes too."""
        if self._args is None:
            if self.route is not None:
                self._args = self.route.binder.merge(self.values, self.query, self.mapping())
            else:
                self._args = AttrDict(self.query)
                self._args.update(self.mapping() or {})
        return self._args

    @args.setter
    def args(self, merged: AttrDict) -> None:
        self._args = merged

    def _parse_multipart(self) -> Values:
        spool = self._spool = self._spool or Spool(host.config().bodies.upload_memory_bytes)
        given = self.get_header_params("content-type")[1]
        pieces = self._inflated(_pieces(self.stream), "max_multipart_body_size")
        return forms.gather(
            forms.parse_multipart(pieces, given.get("boundary", ""), spool.store, given.get("charset", ""), self._limits())
        )

    def unpacked(self) -> bytes:
        """The body, unpacked if the client has compressed it.

        :raises Answerable: what is packed is malformed, larger than the limit, or of a coding that is not known.
        """
        if "content-encoding" not in self.headers:
            return self.body
        return b"".join(self._inflated([self.body], "max_post_body_size"))

    def _inflated(self, pieces: Iterable[bytes], limit: str) -> Iterator[bytes]:
        bodies = host.config().bodies
        most_bytes = int(self.app.config.get(limit, getattr(bodies, limit)))
        return inflate(pieces, self.headers.get("content-encoding", ""), most_bytes, bodies.inflate_ratio)

    def _limits(self) -> forms.Limits:
        config = self.app.config
        bodies = host.config().bodies
        return forms.Limits(
            bodies.form_fields,
            bodies.form_files,
            bodies.form_part_fields,
            int(config.get("max_post_body_size", bodies.max_post_body_size)),
            int(config.get("max_upload_file_size", bodies.max_upload_file_size)),
        )


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: file.read(PIECE_BYTES), b"")
