"""A request over HTTP, made from what a caller says. Pure: nothing is sent here."""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from skitai.backend.drivers.http.bodies import FORM_TYPE, Stream, multipart, urlencoded
from skitai.backend.drivers.http.content import ACCEPTED
from skitai.config.aliases import PORTS, Kind, Member
from skitai.http import jsontext
from skitai.protocols.http1.response import TOKEN, checked
from skitai.version import __version__

METHODS = ("get", "post", "put", "patch", "delete", "options", "head", "trace")
FORMS = ("", "json", "xml", "form")

VERBS = frozenset({method + form for method in METHODS for form in FORMS} | {"upload"})
"""What callers may ask for."""

REPEATABLE = frozenset({"get", "head", "options", "trace", "put", "delete"})
"""RFC 9110, section 9.2.2."""

WITH_QUERY = frozenset({"get", "head", "options", "trace", "delete"})
"""A dictionary goes into the query string of these; others carry it as a form."""

WITHOUT_BODY = frozenset({"get", "head", "trace"})

ACCEPT = {"": "*/*", "form": "*/*", "json": "application/json", "xml": "application/xml, text/xml"}

OURS = frozenset(("transfer-encoding", "upgrade", "keep-alive", "proxy-connection", "proxy-authorization"))
"""Fields between us and the next server, which a caller does not write."""

NOT_IN_KEY = frozenset(("x-gtxn-id", "x-ltxn-id", "traceparent", "tracestate", "cache-control"))
"""Fields that make a request no other one: they say for whom it is made, or how fresh the answer has to be."""

AGENT = ("User-Agent", f"Skitai/{__version__}")
CODINGS = ("Accept-Encoding", ACCEPTED)

Field = tuple[str, str]

_VALUE = re.compile(r"[\t -~\x80-\xff]*").fullmatch
_HOST = re.compile(r"[A-Za-z0-9._~-]+|[0-9A-Fa-f:.]+(?:%25[A-Za-z0-9._~-]+)?").fullmatch
_SAFE = "!$%&'()*+,/:;=?@[]~"


class HttpRequest(NamedTuple):
    """One request, whatever server it goes to.

    :ivar method: in lower case.
    :ivar url: as the caller gave it.
    :ivar target: path and query, encoded.
    :ivar fields: names and values, checked; without Host and Content-Length.
    :ivar body: of a stream, the stream itself.
    :ivar auth: (user, password), or (token,); () for nobody; None for those of the server, if it has some.
    :ivar host: value of the Host field where the caller says so; "" for the server's.
    :ivar accept: media types that the caller insists on; "" for any.
    :ivar most_bytes: longest content that the caller takes; -1 for what the configuration says.
    :ivar cookies: names and values to send.
    :ivar allow_redirects: follow them.
    :ivar proxy: URL of an HTTP proxy; "" for none.
    :ivar http2: None: as TLS agrees. True: nothing else, without TLS by prior knowledge. False: never.
    :ivar stream: give the result as soon as its head is there.
    :ivar decode: unpack compressed content.
    """

    method: str
    url: str
    target: str
    fields: tuple[Field, ...] = ()
    body: bytes | Stream | None = None
    auth: tuple[str, ...] | None = None
    host: str = ""
    accept: str = ""
    most_bytes: int = -1
    cookies: tuple[Field, ...] = ()
    allow_redirects: bool = False
    proxy: str = ""
    http2: bool | None = None
    stream: bool = False
    decode: bool = True

    @property
    def repeatable(self) -> bool:
        return self.method in REPEATABLE and not (isinstance(self.body, Stream) and not self.body.repeatable)

    @property
    def verb(self) -> str:
        """The method as it is sent."""
        return self.method.upper()

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.fields)

    @property
    def payload(self) -> bytes | None:
        """The body; None of streams."""
        return self.body if isinstance(self.body, bytes) else None

    def key(self) -> Any:
        if self.stream or isinstance(self.body, Stream):
            return None
        fields = tuple(each for each in self.fields if each[0].lower() not in NOT_IN_KEY)
        more = (self.host, self.most_bytes, self.cookies, self.allow_redirects, self.proxy, self.http2, self.decode)
        return (self.method, self.target, fields, self.body, self.auth, more)


def make(
    verb: str,
    url: str,
    data: Any = None,
    auth: tuple[str, ...] | None = None,
    headers: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None,
    *,
    cookies: Mapping[str, str] | None = None,
    allow_redirects: bool = False,
    proxy: str = "",
    http2: bool | None = None,
    stream: bool = False,
    decode: bool = True,
) -> HttpRequest:
    """Make a request.

    :param verb: one of `VERBS`.
    :param url: absolute, ``@alias/path``, or a path alone. What may not stand in one is percent-encoded.
    :param data: a dictionary goes into the query string, or into the body as a form, or as JSON with the verbs named so and
        where the Content-Type says it. str and bytes are sent as they are; open files and iterables piece by piece.
    :param auth: (user, password) for Basic, or Digest where the server asks for that; (token,) for Bearer.
    :param headers: names and values. An `Accept` here is insisted on (718); an `Accept-Content-Length` is the most that is
        taken (719), and not sent.
    :param proxy: ``http://user:password@host:port``.
    :raises ValueError: a part cannot be sent, or means nothing.
    :raises TypeError: a part is of a kind that cannot be sent.
    """
    method, form = split_verb(verb)
    given, special = _given(headers)
    target = target_of(url)
    body: bytes | Stream | None = None
    content_type = ""
    if data is not None:
        if method in WITH_QUERY and (isinstance(data, Mapping) or method in WITHOUT_BODY):
            target = _with_query(target, data, method)
        elif method == "trace":
            raise ValueError("TRACE carries no content")
        else:
            body, content_type = _body(form, data, special.get("content-type", ""))
            if isinstance(body, Stream) and body.length < 0 and special.get("content-length", "").isdigit():
                body.length = int(special["content-length"])
    elif form == "upload":
        raise TypeError("upload wants a dictionary of fields and open files")
    fields = []
    if "accept" not in special:
        fields.append(("Accept", ACCEPT.get(form, "*/*")))
    if "accept-encoding" not in special and decode:
        fields.append(CODINGS)
    if "user-agent" not in special:
        fields.append(AGENT)
    if content_type and "content-type" not in special:
        fields.append(("Content-Type", content_type))
    return HttpRequest(
        method,
        url,
        target,
        (*fields, *given),
        body,
        () if "authorization" in special else _auth(auth),
        special.get("host", ""),
        special.get("accept", ""),
        _most(special.get("accept-content-length")),
        tuple((str(name), cookie_value(name, value)) for name, value in cookies.items()) if cookies else (),
        allow_redirects,
        proxy,
        http2,
        stream,
        decode,
    )


def split_verb(verb: str) -> tuple[str, str]:
    """Method and form: ("post", "json").

    :raises ValueError: there is no such verb.
    """
    if verb in METHODS:
        return verb, ""
    if verb == "upload":
        return "post", "upload"
    if verb in VERBS:
        method = next(each for each in METHODS if verb.startswith(each))
        return method, verb[len(method) :]
    raise ValueError(f"{verb!r} is no HTTP verb; there are {', '.join(METHODS)}, their forms with json and xml, and upload")


def _given(headers: Mapping[str, Any] | Iterable[tuple[str, Any]] | None) -> tuple[list[Field], dict[str, str]]:
    """The caller's fields, and the values of all by lower-case name."""
    fields: list[Field] = []
    values: dict[str, str] = {}
    if headers is None:
        return fields, values
    for name, value in headers.items() if isinstance(headers, Mapping) else headers:
        if isinstance(name, str) and isinstance(value, str) and TOKEN(name) and _VALUE(value):
            lower, text = name.lower(), value
        else:
            lower, _, text = checked((name, str(value) if isinstance(value, (int, float)) else value))
            if not _VALUE(text):
                raise ValueError(f"{text!r} cannot stand in the field {lower}: encode it first")
            name = name if isinstance(name, str) else lower
        if lower in OURS or (lower == "connection" and text.lower() not in ("close", "keep-alive")):
            raise ValueError(f"the field {name} is between this server and the next: it is not for requests")
        values[lower] = text.strip(" \t")
        if lower not in ("host", "content-length", "accept-content-length"):
            fields.append((name, values[lower]))
    return fields, values


def _auth(auth: Any) -> tuple[str, ...] | None:
    if auth is None:
        return None
    if isinstance(auth, (tuple, list)) and len(auth) in (1, 2) and all(isinstance(each, str) for each in auth):
        return tuple(auth)
    raise TypeError("auth is (user, password), or (token,) for a bearer token")


def _most(value: str | None) -> int:
    if value is None:
        return -1
    if not value.isdigit():
        raise ValueError(f"Accept-Content-Length is a number of bytes, not {value!r}")
    return int(value)


def cookie_value(name: str, value: Any) -> str:
    """A cookie's value as it is sent (RFC 6265, section 4.2).

    :raises ValueError: name or value would end it.
    """
    text = str(value)
    if not TOKEN(str(name)) or re.search(r"[\x00-\x1f\x7f;]", text) or not text.isascii():
        raise ValueError(f"{name}={text!r} is no cookie")
    return text


def _body(form: str, data: Any, content_type: str) -> tuple[bytes | Stream, str]:
    """The body, and its type unless the caller names one."""
    if form == "upload":
        if not isinstance(data, Mapping) and not isinstance(data, (list, tuple)):
            raise TypeError("upload wants a dictionary of fields and open files")
        media_type, body = multipart(data)
        return body, media_type
    if form == "xml":
        if isinstance(data, str):
            return data.encode(), "text/xml; charset=utf-8"
        if isinstance(data, bytes):
            return data, "text/xml"
        raise TypeError(f"XML is sent as str or bytes, not as {type(data).__name__}")
    kind = "application/json" if form == "json" else content_type or FORM_TYPE
    if isinstance(data, (str, bytes, bytearray, memoryview)):
        return data.encode() if isinstance(data, str) else bytes(data), kind
    if form == "json" or (content_type.startswith("application/json") and isinstance(data, (Mapping, list))):
        return jsontext.dumps(data), kind
    if isinstance(data, Mapping):
        return urlencoded(data).encode(), kind
    if hasattr(data, "read") or isinstance(data, (Iterable, AsyncIterable)):
        return Stream([data]), content_type or "application/octet-stream"
    raise TypeError(f"a {type(data).__name__} is no body: give a dictionary, str, bytes, an open file or an iterable")


# URLs


def locate(url: str) -> tuple[Member, str]:
    """The server and the rest of an absolute URL; user and password may stand in it.

    :raises ValueError: it is none of http or https.
    """
    cut = url.find("/", url.find("://") + 3)
    return _server(url[:cut] if cut > 0 else url), target_of(url)


@lru_cache(maxsize=1024)
def _server(url: str) -> Member:
    """Of a URL, or of its beginning."""
    parts = urlsplit(url)
    kind = parts.scheme.lower()
    try:
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise ValueError(f"{_shown(url)!r}: {error}") from None
    if kind not in ("http", "https") or not host:
        raise ValueError(f"{_shown(url)!r} is no URL: http://host/path, https://host/path or @alias/path is")
    name = host_name(host)
    scheme: Kind = "https" if kind == "https" else "http"
    if port == 0:
        raise ValueError(f"{_shown(url)!r}: there is no port 0")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return Member(scheme, name, port or PORTS[kind], kind == "https", user, password)


def host_name(host: str) -> str:
    """A host's name as DNS knows it, or its address.

    :raises ValueError: it is none.
    """
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            raise ValueError(f"{host!r} is no host name") from None
    if not _HOST(host):
        raise ValueError(f"{host!r} is no host name")
    return host.lower()


def target_of(url: str) -> str:
    """Path and query of a URL, of ``@alias/path`` or of a path, percent-encoded where that is needed; what follows a "#"
    stays here.

    :raises ValueError: control characters.
    """
    plain = _usual(url)
    if plain is not None:
        return plain[1]
    if re.search(r"[\x00-\x1f\x7f]", url):
        raise ValueError(f"{_shown(url)!r}: control characters in a URL")
    rest = url.partition("#")[0]
    if rest.startswith("@"):
        rest = f"/{rest.partition('/')[2]}"
    elif not rest.startswith("/"):
        _, colon, after = rest.partition("://")
        if colon:
            cut = min((at for at in (after.find("/"), after.find("?")) if at >= 0), default=len(after))
            rest = after[cut:]
        if not rest.startswith("/"):
            rest = f"/{rest}"
    return rest if _plain(rest) else quote(rest, safe=_SAFE)


_usual = re.compile(r"(?:https?://[A-Za-z0-9._~:@%\[\]-]+)?(/[!$%&'()*+,/:;=?@~A-Za-z0-9._-]*)").fullmatch
_plain = re.compile(r"[!$%&'()*+,/:;=?@~A-Za-z0-9._-]*").fullmatch


def _with_query(target: str, data: Any, method: str) -> str:
    if not isinstance(data, Mapping):
        raise TypeError(f"{method} carries no body: give a dictionary, which becomes the query string")
    query = urlencoded(data)
    if not query:
        return target
    return f"{target}{'&' if '?' in target else '?'}{query}"


def _shown(url: str) -> str:
    """Without a password, for messages."""
    return re.sub(r"//[^/@]*@", "//***@", url)
