"""What the head of a request says: the request line, its fields, who asks, and which route answers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from skitai.http import forwarded, parameters
from skitai.http.forwarded import Trusted
from skitai.http.headers import Headers
from skitai.was import host

if TYPE_CHECKING:
    from skitai.exchange import Exchange, Head

Values = dict[str, Any]


class Asked:
    """The part of `was.request` that is known before there is a body.

    :ivar exchange: what carries the request through the worker.
    :ivar method: in upper case.
    :ivar route: what the app found for it; None where it found nothing.
    """

    __slots__ = ("_headers", "exchange", "head", "method", "route")

    def __init__(self, exchange: Exchange, route: Any) -> None:
        self.exchange = exchange
        self.head: Head = exchange.head
        self.method = self.head.method
        self.route = route
        self._headers: Headers | None = None

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
    def trailers(self) -> Headers:
        """The fields that came behind the body; most requests have none."""
        return Headers.of(self.exchange.body.trailers)

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


def _listed(values: Any) -> list[str]:
    return list(values or ())


def _parameters_of(function: Callable[..., Any]) -> Values:
    """The parameters of a handler after `was`."""
    return dict(list(inspect.signature(function).parameters.items())[1:])


@lru_cache(maxsize=8)
def _vouching(proxies: tuple[str, ...]) -> Trusted:
    return Trusted((*forwarded.LOOPBACK, forwarded.UNIX, *proxies))
