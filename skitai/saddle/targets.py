"""Who answers a request, found by its head alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from skitai.errors import Answerable, NotFound
from skitai.saddle import cors
from skitai.saddle.grpc_methods import is_method, not_a_call
from skitai.saddle.routing import Redirect, Route, below

if TYPE_CHECKING:
    from skitai.http.head import Head
    from skitai.saddle.app import Saddle

Target = tuple[Route | None, dict[str, Any], Answerable | None]
"""A route with the values of its URL, or an error."""


class Ready(NamedTuple):
    """A response without a body that no function of the app has a part in."""

    status: int
    fields: list[tuple[str, str]]


def find(app: Saddle, head: Head, point: str, scheme: str) -> Target | Ready:
    """Who answers a head.

    :param point: the mount that it came by.
    :param scheme: of the connection, "http" or "https".
    """
    path = below(head.raw_path, point)
    found = app._routes.find(path)
    service = app._service_for(head, found)
    if service is not None:
        return service, {}, None
    if found is None:
        return None, {}, NotFound()
    try:
        if isinstance(found, Redirect):
            location = head.raw_path.removesuffix(path) + found.path + ("?" + head.query if head.query else "")
            return Ready(found.status(head.method), [("Location", location), *cors.fields(app, None, head, scheme)])
        if head.method == "OPTIONS":
            answered = cors.options(app, found, head, scheme)
            if answered is not None:
                return Ready(*answered)
        route = found.pick(head.method, head.fields.text("content-type"))
        if is_method(route, head):
            raise not_a_call(head)
        return route, found.values, None
    except Answerable as error:
        return None, {}, error.with_traceback(None)  # it is kept, and should keep nothing else
