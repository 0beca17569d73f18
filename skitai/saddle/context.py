"""`was` inside a Saddle app: the request that runs, and all that belongs to it.

Members are made when they are first used. Names that are not here are those that others offer (`was.services`). Hooks
outside of requests get the same class without a request: its members then raise RuntimeError.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from skitai.saddle.answers import AnswerFacet
from skitai.saddle.broadcasts import BroadcastFacet
from skitai.saddle.cookie import Cookie
from skitai.saddle.grpc_call import GrpcFacet
from skitai.saddle.mbox import Mbox
from skitai.saddle.once import once
from skitai.saddle.promise import PromiseFacet
from skitai.saddle.request import Request
from skitai.saddle.response import Response
from skitai.saddle.seal import keys_of
from skitai.saddle.session import Session
from skitai.saddle.shelf import Shelf
from skitai.saddle.tokens import TokenFacet
from skitai.saddle.urls import UrlFacet
from skitai.saddle.websocket import WebSocketFacet
from skitai.was import environ, services
from skitai.was.caller import Caller
from skitai.was.environ import Environ
from skitai.was.members import Members

if TYPE_CHECKING:
    from skitai.exchange import Exchange
    from skitai.saddle.app import Saddle
    from skitai.saddle.routing import Route
    from skitai.sql import SQL


class Globals(SimpleNamespace):
    """`was.g`: whatever the app sets on it, for one request."""

    def get(self, name: str, default: Any = None) -> Any:
        return self.__dict__.get(name, default)

    def __contains__(self, name: object) -> bool:
        return name in self.__dict__


class Context(Members):
    """What `was` is built on.

    :ivar app: the app that answers.
    :ivar exchange: the request and its response; None outside of requests.
    :ivar route: of the request; None outside of requests and where no route was found.
    :ivar values: of the parameters in the route's URL.
    :ivar admitted: the scheme by which the client has said who it is; "" while it has not.
    :ivar is_committed: the head of the response is done, with all that the client is to keep.
    """

    app: Saddle
    exchange: Exchange | None
    route: Route | None
    values: Mapping[str, Any]
    admitted = ""
    is_committed = False

    def __init__(
        self,
        app: Saddle,
        exchange: Exchange | None = None,
        route: Route | None = None,
        values: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.app = app
        self.exchange = exchange
        self.route = route
        self.values = values

    @once
    def g(self) -> Globals:
        """An empty object for the app's own things, kept for this request."""
        return Globals()

    @once
    def request(self) -> Request:
        """What the client asks."""
        return Request(self.running("request"), self.app, self.route, self.values)

    @once
    def response(self) -> Response:
        """The answer as the app sets it."""
        return self.request.response

    @once
    def env(self) -> Environ:
        """The request as a WSGI environ, without its body."""
        exchange = self.running("env")
        script_name = self.app.basepath.rstrip("/").encode("utf-8").decode("latin-1")
        made = environ.of_peer(exchange.peer) | environ.of_head(exchange.head, script_name)
        made = {"SCRIPT_NAME": script_name, **made}
        if self._ws is not None:
            made |= {"websocket.event": self._ws_event, "websocket.client": self._ws.id}
        return made

    @once
    def cookie(self) -> Cookie:
        """The client's cookies. What is set leaves with the response, if the request succeeds."""
        cookie = Cookie(self.running("cookie").head.fields.text("cookie"), self.app.basepath)
        if self.is_committed:
            cookie.fields()  # a stream is the first to ask for it: what it sets would be lost
        return cookie

    @once
    def session(self) -> Session:
        """What the app remembers of the client."""
        return Session(self._shelf, self.app.session_timeout)

    @once
    def mbox(self) -> Mbox:
        """Messages to the user."""
        return Mbox(self._shelf)

    @once
    def _shelf(self) -> Shelf:
        app, request = self.app, self.request
        keys = lambda: keys_of(app.securekey)  # noqa: E731 - which must not hold on to `self`
        secure, memo = request.scheme == "https", request.head.fields.forms
        return Shelf(self.cookie, keys, app._keyring, request.get_remote_addr, secure, memo=memo)

    @property
    def sql(self) -> SQL:
        """Begins statements, for the database that the app has set up, with its templates. See `skitai.sql.SQL`."""
        return self.app.sqlphile

    @property
    def user(self) -> Any:
        """Who signed in by the app's `authenticate`, or None."""
        return self.request.user

    def committed(self, fields: Sequence[tuple[str, str]] = ()) -> list[tuple[str, str]]:
        """These response fields, and those that have the client keep what the app wants to find again.

        :raises ValueError: that is too large for a cookie.
        """
        made = self.__dict__
        self.is_committed = True
        if "cookie" not in made:
            return list(fields)
        if "session" in made:
            self.session.commit()
        if "mbox" in made:
            self.mbox.commit()
        return [*fields, *self.cookie.fields()]

    def close(self) -> None:
        """The request is over: let go of what it holds."""
        if "request" in self.__dict__:
            self.request.close()

    def running(self, name: str) -> Exchange:
        if self.exchange is None:
            raise RuntimeError(f"was.{name} belongs to a request, and none is running here (a hook outside of requests)")
        return self.exchange

    def _caller(self) -> Caller:
        return Caller(self.exchange, self.app._sqlmaps)

    def _txn(self) -> str:
        return "/".join(self.exchange.txn) if self.exchange is not None else ""

    def __getattr__(self, name: str) -> Any:
        if name in services.shared:
            return services.shared[name]
        factory = services.factory(name)
        if factory is None:
            raise AttributeError(f"was has no {name!r}")
        made = factory(self.running(name))
        setattr(self, name, made)
        return made

    def __repr__(self) -> str:
        return f"<was {self.exchange!r}>" if self.exchange is not None else "<was, no request>"


class Was(Context, AnswerFacet, TokenFacet, UrlFacet, BroadcastFacet, WebSocketFacet, PromiseFacet, GrpcFacet):
    """What handlers, hooks and templates get as `was`."""
