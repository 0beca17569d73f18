"""``wac.handler``: what apps know of the gateway. It has whoever decides about tokens, and takes the decisions.

::

    class Authorizer:
        def handle_token(self, handler, request):
            user = tokens.get(request.token)
            if user is None:
                handler.continue_request(request)
            else:
                handler.continue_request(request, user.name, user.roles)

    @app.before_mount
    def before_mount(wac):
        wac.handler.set_auth_handler(Authorizer())
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from typing import Any

from skitai.exchange import Exchange
from skitai.http.headers import Headers

log = logging.getLogger("skitai.app")

METHODS = ("handle_token", "handle_claim")


class User:
    """Who asks, as an authorizer said."""

    __slots__ = ("name", "realm", "roles")

    def __init__(self, name: str, roles: tuple[str, ...], realm: str) -> None:
        self.name = name
        self.roles = roles
        self.realm = realm

    @property
    def username(self) -> str:
        """The same as `name`."""
        return self.name

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<User {self.name} {' '.join(self.roles)}>"


class GatewayRequest(ABC):
    """A request that wants to pass, as an authorizer sees it.

    :ivar token: the bearer token.
    :ivar claim: what a JSON Web Token says, its signature and times verified; None of others.
    :ivar user: once it may pass: who asks.
    :ivar alias: what it wants to reach, without the ``@``.
    """

    def __init__(self, exchange: Exchange, token: str, claim: dict[str, Any] | None, alias: str) -> None:
        self.exchange = exchange
        self.token = token
        self.claim = claim
        self.user: User | None = None
        self.alias = alias

    @property
    def method(self) -> str:
        return self.exchange.head.method

    @property
    def uri(self) -> str:
        """Path and query as they were sent."""
        return self.exchange.head.target

    @property
    def headers(self) -> Headers:
        """The fields by name, whose case does not matter."""
        return Headers.of(self.exchange.head.fields)

    def get_header(self, name: str, default: Any = None) -> Any:
        """The value of a field."""
        return self.headers.get(name, default)

    def get_remote_addr(self) -> str:
        """The client's address; X-Forwarded-For is believed from trusted proxies alone."""
        return self.exchange.peer.client

    @abstractmethod
    def decide(self, username: object, roles: object) -> None:
        """Let it pass, or not, unless that is decided already; from any thread."""

    def __repr__(self) -> str:  # never with the token
        return f"<GatewayRequest {self.method} {self.uri} @{self.alias}>"


class Handler:
    """The gateway, as apps see it.

    :ivar auth_handler: who decides about tokens; None while nobody does.
    """

    def __init__(self) -> None:
        self.auth_handler: Any = None

    def set_auth_handler(self, authorizer: Any) -> None:
        """Have somebody decide about tokens, from now on, for all mounts of this worker.

        :param authorizer: with ``handle_token(handler, request)`` for tokens of any kind, ``handle_claim(handler, request)``
            for JSON Web Tokens whose signature is good, or both; plain functions run in threads, coroutine functions in the
            loop. Either calls `continue_request`, at once or later. None for nobody.
        :raises TypeError: it has neither.
        """
        if authorizer is not None and not any(callable(getattr(authorizer, name, None)) for name in METHODS):
            raise TypeError(f"{authorizer!r} decides about nothing: it has neither handle_token() nor handle_claim()")
        old = self.auth_handler
        if old is not None and authorizer is not None and type(old).__qualname__ != type(authorizer).__qualname__:
            log.warning("%r decides about tokens now, in place of %r", authorizer, old)
        self.auth_handler = authorizer

    def continue_request(self, request: GatewayRequest, username: str | None = None, roles: Any = None) -> None:
        """Say whom a token stands for; from any thread, once for each request: what comes later is not looked at.

        :param username: for the request log, and the upstream if it is told.
        :param roles: a list of texts, or one with commas between them. Without roles the token is refused; an empty list
            is for somebody who has none.
        """
        if not isinstance(request, GatewayRequest):
            raise TypeError(f"continue_request() goes on with a request of the gateway, not with {request!r}")
        request.decide(username, roles)

    def __repr__(self) -> str:
        return f"<gateway's handler {self.auth_handler!r}>"


handler = Handler()
"""Of this process."""
