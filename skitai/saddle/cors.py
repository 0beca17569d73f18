"""Requests of other origins (the Fetch standard's CORS protocol), and OPTIONS.

An app or a route names the origins that it serves beside its own. A request of any other is refused with 403, whatever its
method; one without Origin is no browser's, and passes. Answers to an allowed origin name that origin alone and allow
credentials; where ``"*"`` allows it, they say "*" and allow none.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from skitai.errors import Answerable
from skitai.http.head import Head
from skitai.saddle.routing import Found, NotAllowed, Route

Field = tuple[str, str]


class ForeignOrigin(Answerable):
    """The request's origin is not allowed."""

    status = 403


class Policy(NamedTuple):
    """What an app or a route allows.

    :ivar origins: like "https://example.com", or "*".
    :ivar max_age_s: how long a browser may remember a preflight; 0 leaves it to the browser.
    """

    origins: tuple[str, ...] = ()
    max_age_s: int = 0

    def fields(self, origin: str, own: str) -> list[Field]:
        """Response fields for a request; CORS's own come only where there is a policy.

        :param origin: the Origin field, "" for none.
        :param own: origin that the request was sent to, "http://example.com".
        :raises ForeignOrigin: it is not allowed.
        """
        if not self.origins:
            if origin and not is_own(origin, own):
                raise ForeignOrigin(f"the origin {origin} is not allowed here")
            return []
        vary = [("Vary", "Origin")] if self.origins != ("*",) else []
        if not origin:
            return vary
        if origin.lower() in self.origins:
            return [
                ("Access-Control-Allow-Origin", origin),
                ("Access-Control-Allow-Credentials", "true"),
                *vary,
            ]
        if "*" in self.origins:
            return [("Access-Control-Allow-Origin", "*"), *vary]
        if is_own(origin, own):
            return vary
        raise ForeignOrigin(f"the origin {origin} is not allowed here", fields=vary)


def origins(given: Any) -> tuple[str, ...]:
    """A list of origins, in lower case.

    :param given: a list, one origin, or None.
    :raises ValueError: it is none.
    """
    if given is None:
        return ()
    if isinstance(given, str):
        given = [given]
    if not isinstance(given, Iterable):
        raise ValueError(f"access_control_allow_origin is {given!r}; a list like ['https://example.com'] is wanted")
    found = tuple(str(each).lower().rstrip("/") for each in given)
    for each in found:
        if each not in ("*", "null") and "://" not in each:
            raise ValueError(f"access_control_allow_origin has {each!r}, which is no origin like 'https://example.com'")
    return found


def is_own(origin: str, own: str) -> bool:
    """Whether an origin is the server's own. One of https is where the host is, for TLS may end at a proxy before us."""
    scheme, _, host = origin.lower().partition("://")
    own_scheme, _, own_host = own.lower().partition("://")
    return scheme in (own_scheme, "https") and _without_port(scheme, host) == _without_port(own_scheme, own_host)


def _without_port(scheme: str, host: str) -> str:
    return host.removesuffix(":443" if scheme == "https" else ":80")


class CorsFacet:
    """What `Saddle` says about requests of other origins; options of a route of the same names come first.

    :ivar access_control_allow_origin: origins beside the own one, like ``["https://example.com"]``, or ``["*"]``.
    :ivar access_control_max_age: seconds for which a browser may remember the answer to a preflight; 0 leaves it to it.
    """

    def __init__(self) -> None:
        self.access_control_allow_origin: list[str] | None = None
        self.access_control_max_age = 0

    def _policy(self, route: Route | None) -> Policy:
        options = route.options if route is not None else {}
        given = options.get("access_control_allow_origin")
        age = options.get("access_control_max_age")
        return Policy(
            origins(self.access_control_allow_origin if given is None else given),
            int(self.access_control_max_age if age is None else age),
        )


def fields(app: CorsFacet, route: Route | None, head: Head, scheme: str) -> list[Field]:
    """Response fields of CORS for a request.

    :param route: who answers it; None when nobody does.
    :param scheme: that the request came by.
    :raises ForeignOrigin: its origin is not allowed.
    """
    origin = head.fields.text("origin")
    is_open = app.access_control_allow_origin is not None or (route and "access_control_allow_origin" in route.options)
    if not origin and not is_open:
        return []
    return app._policy(route).fields(origin, f"{scheme}://{head.fields.text('host')}")


def options(app: CorsFacet, found: Found, head: Head, scheme: str) -> tuple[int, list[Field]] | None:
    """Status and fields of the answer to OPTIONS; None when a route answers it itself.

    A preflight is answered for the route of the method that it asks for; some route at the path has to take OPTIONS.

    :raises NotAllowed: none does, or none takes the method asked for.
    :raises ForeignOrigin: the origin is not allowed.
    """
    origin, asked = head.fields.text("origin"), head.fields.text("access-control-request-method")
    if not (origin and asked):
        try:
            found.pick("OPTIONS", None)
        except NotAllowed as error:
            return 204, list(error.fields)
        return None
    found.pick("OPTIONS", None)
    policy = app._policy(found.pick(asked, None))
    answer = policy.fields(origin, f"{scheme}://{head.fields.text('host')}")
    answer.append(("Access-Control-Allow-Methods", ", ".join(found.methods)))
    if names := head.fields.text("access-control-request-headers"):
        answer.append(("Access-Control-Allow-Headers", names))
    if policy.max_age_s:
        answer.append(("Access-Control-Max-Age", str(policy.max_age_s)))
    return 200, answer
