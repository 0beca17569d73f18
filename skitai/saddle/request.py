"""`was.request`: what the client asks, read as far as the app wants to know it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import IO, TYPE_CHECKING, Any

from skitai.config.pref import AttrDict
from skitai.errors import BadRequest
from skitai.http import forms, forwarded, jsontext, parameters
from skitai.http.forms import MULTIPART, URLENCODED
from skitai.http.forwarded import Trusted
from skitai.http.headers import Headers
from skitai.http.inflate import inflate
from skitai.saddle.response import Response
from skitai.saddle.uploads import Spool
from skitai.was import host

if TYPE_CHECKING:
    from skitai.exchange import Exchange, Head

PIECE_BYTES = 65536

QUERY = "query pairs"

_UNREAD: Any = object()

Values = dict[str, Any]

_NO_VALUES: Values = {}


class Request:
    """The request that runs.

    :ivar app: the app that answers.
    :ivar exchange: what carries it through the worker.
    :ivar method: in upper case.
    :ivar route: what the app found for it; None where it found nothing.
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
        "_headers",
        "_json",
        "_response",
        "_spool",
        "app",
        "claim",
        "exchange",
        "head",
        "method",
        "route",
        "token",
        "user",
        "values",
    )

    def __init__(self, exchange: Exchange, app: Any, route: Any = None, values: Mapping[str, Any] = _NO_VALUES) -> None:
        self.exchange = exchange
        self.app = app
        self.route = route
        self.values = values
        self.head: Head = exchange.head
        self.method = self.head.method
        self.user: Any = None
        self.token: str | None = None
        self.claim: Any = None
        self._response: Response | None = None
        self._args: AttrDict | None = None
        self._headers: Headers | None = None
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

    # The request line

    @property
    def command(self) -> str:
        """The method in lower case."""
        return self.method.lower()

    @property
    def uri(self) -> str:
        """Path and query as they were sent."""
        head = self.head
        if head.form == "absolute":
            return f"{head.raw_path}?{head.query}" if head.query else head.raw_path
        return head.target

    @property
    def version(self) -> str:
        """Of HTTP: "1.0", "1.1" or "2"."""
        return self.head.version

    @property
    def scheme(self) -> str:
        """Either "http" or "https"; behind a trusted proxy, as that says."""
        return self.exchange.peer.scheme

    def get_scheme(self) -> str:
        """The same as `scheme`."""
        return self.exchange.peer.scheme

    def split_uri(self) -> tuple[str, str | None, str | None, str | None]:
        """Path, ";parameters", "?query" and "#fragment"; None for those that are not there."""
        rest, hash_sign, fragment = self.uri.partition("#")
        rest, mark, query = rest.partition("?")
        path, semicolon, params = rest.partition(";")
        return (
            path,
            semicolon + params if semicolon else None,
            mark + query if mark else None,
            hash_sign + fragment if hash_sign else None,
        )

    # Fields

    @property
    def headers(self) -> Headers:
        """The fields by name, whose case does not matter."""
        headers = self._headers
        if headers is None:
            headers = self._headers = Headers.of(self.head.fields)
        return headers

    @property
    def header(self) -> list[str]:
        """The fields as lines, "Name: value"."""
        return [f"{name}: {value}" for name, value in self.headers.items()]

    def get_headers(self) -> list[tuple[str, str]]:
        """The fields as names and values."""
        return list(self.headers.items())

    def get_raw_header(self) -> list[str]:
        """The same as `header`."""
        return self.header

    def get_header(self, name: str | None = None, default: Any = None) -> Any:
        """The value of a field; all lines without a name.

        :param default: for a field that is not there.
        """
        return self.header if name is None else self.headers.get(name, default)

    def set_header(self, name: str, value: str) -> None:
        """Give a field another value, for what reads it later in this request."""
        self._headers = self.headers.replaced(name, value)

    def get_header_params(self, name: str, default: str = "") -> tuple[str, Mapping[str, str]]:
        """The value of a field without its parameters, and these."""
        return parameters.split(self.headers.get(name, default))

    def get_header_noparam(self, name: str, default: str = "") -> str:
        """The value of a field without its parameters."""
        return self.get_header_params(name, default)[0]

    def get_attr(self, header: str, attr: str, default: str | None = None) -> str | None:
        """A parameter of a field's value."""
        return self.get_header_params(header)[1].get(attr.lower(), default)

    def get_content_type(self) -> str | None:
        """The media type of the body, without parameters, in lower case; None when it has none."""
        return parameters.essence(self.headers.get("content-type", "")) or None

    def get_main_type(self) -> str | None:
        """The part of the media type before the slash."""
        content_type = self.get_content_type()
        return None if content_type is None else content_type.partition("/")[0]

    def get_sub_type(self) -> str | None:
        """The part of the media type behind the slash."""
        content_type = self.get_content_type()
        return None if content_type is None else content_type.partition("/")[2]

    def get_charset(self) -> str | None:
        """The charset of the body, if the client names one."""
        return self.get_attr("content-type", "charset")

    def get_content_length(self) -> int:
        """Bytes of the body, 0 when there is none."""
        if self.head.length < 0:
            return int(getattr(self.exchange.body, "size", 0))  # it came in chunks
        return self.head.length

    @property
    def host(self) -> str:
        """Host and port as the client names them."""
        return self.headers.get("host", "")

    @property
    def user_agent(self) -> str:
        return self.headers.get("user-agent", "")

    def get_user_agent(self) -> str:
        """The same as `user_agent`."""
        return self.user_agent

    # Who and which

    def get_remote_addr(self) -> str:
        """The client's address. X-Forwarded-For is believed from this machine and from trusted proxies alone."""
        peer = self.exchange.peer.client
        chain = self.headers.get("x-forwarded-for", "")
        return forwarded.client(peer, chain, _vouching(host.config().proxies.trusted_proxies)) if chain else peer

    @property
    def channel(self) -> Exchange:
        """The same as `exchange`."""
        return self.exchange

    @property
    def gtxid(self) -> str:
        """The global transaction id."""
        return self.exchange.txn[0]

    @property
    def ltxid(self) -> str:
        """The local transaction id."""
        return self.exchange.txn[1]

    def get_gtxid(self) -> str:
        """The same as `gtxid`."""
        return self.gtxid

    def get_ltxid(self, delta: int = 1) -> str:
        """The local transaction id of a call that this request leads to.

        :param delta: the how-manieth call it is.
        """
        return str(int(self.ltxid) + delta)

    @property
    def routed(self) -> Callable[..., Any] | None:
        """The function that answers."""
        return None if self.route is None else self.route.function

    routed_function = routed

    @property
    def routable(self) -> Values:
        """What the route of the request takes: ``methods``, ``content_types`` and its other options, and of its function
        ``args`` (names), ``defaults`` (by name), ``keywords`` (the name behind the two asterisks, or None) and ``urlargs``
        (names that are in the URL)."""
        route = self.route
        if route is None:
            return {}
        taken = _parameters_of(route.function)
        names = [name for name, each in taken.items() if each.kind is not each.VAR_KEYWORD]
        rule = getattr(route, "rule", None)
        return {
            **(getattr(route, "options", None) or {}),
            "methods": _listed(route.methods),
            "content_types": _listed(route.content_types),
            "args": names,
            "defaults": {name: taken[name].default for name in names if taken[name].default is not inspect.Parameter.empty},
            "keywords": next((name for name, each in taken.items() if each.kind is each.VAR_KEYWORD), None),
            "urlargs": list(getattr(rule, "names", ())),
        }

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
                self._json = jsontext.loads(self._content())
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
                self._form = forms.gather(forms.parse_urlencoded(self._content(), self.get_charset() or "", self._limits()))
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

    def _content(self) -> bytes:
        """The body, unpacked if the client has compressed it."""
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


def _listed(values: Any) -> list[str]:
    return list(values or ())


@lru_cache(maxsize=1024)
def _parameters_of(function: Callable[..., Any]) -> Values:
    """The parameters of a handler after `was`."""
    return dict(list(inspect.signature(function).parameters.items())[1:])


@lru_cache(maxsize=8)
def _vouching(proxies: tuple[str, ...]) -> Trusted:
    return Trusted((*forwarded.LOOPBACK, forwarded.UNIX, *proxies))
