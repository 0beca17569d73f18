"""The routes of an app: their decorators, their names, and URLs by name."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

from skitai.saddle import cors, urls
from skitai.saddle.routing import Route, Router

log = logging.getLogger("skitai.app")

Function = Callable[..., Any]
F = TypeVar("F", bound=Function)


class Scope(NamedTuple):
    """What applies to the routes that are being defined.

    :ivar mount: put before their rules.
    :ivar ns: put before their names, with a point.
    :ivar options: theirs unless they say otherwise.
    """

    mount: str = ""
    ns: str = ""
    options: Mapping[str, Any] = {}


class Routes(Router):
    """A router that knows its routes by name and by function, too.

    :ivar scope: for the next routes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.all: list[Route] = []
        self.scope = Scope()
        self._named: dict[str, Route] = {}
        self._by_function: dict[Function, Route] = {}

    def define(self, rule: str, function: Function, options: Mapping[str, Any]) -> Route:
        """Add a route in the current scope.

        :raises ValueError: as `Route` does.
        """
        scope = self.scope
        if not rule.startswith("/"):
            raise ValueError(f"the rule {rule!r} does not begin with '/'")
        options = {**scope.options, **options}
        cors.origins(options.get("access_control_allow_origin"))
        name = options.pop("name", None) or getattr(function, "__name__", "")
        route = Route(scope.mount + rule, function, f"{scope.ns}.{name}" if scope.ns else name, **options)
        self.add(route)
        for each in route.binder.unresolved:
            log.warning("%s: no class has the name that annotates %s, so its values are not converted", route.name, each)
        return route

    def add(self, route: Route) -> None:
        super().add(route)
        old = self._named.get(route.name)
        if old is not None and old.function is not route.function:
            log.warning("the name %s now leads to %s, no longer to %s", route.name, route.rule.text, old.rule.text)
        self.all.append(route)
        self._named[route.name] = route
        self._by_function[route.function] = route
        self._by_function[inspect.unwrap(route.function)] = route

    def named(self, target: str | Function) -> Route:
        """A route by its name, or by its function.

        :raises NameError: there is none.
        """
        if isinstance(target, str):
            route = self._named.get(target)
        else:
            route = self._by_function.get(target) or self._by_function.get(inspect.unwrap(target))
        if route is None:
            raise NameError(
                f"no route leads to {target if isinstance(target, str) else getattr(target, '__qualname__', target)!r}"
            )
        return route


class RouteFacet:
    """The decorators and methods of `Saddle` for routes and URLs."""

    basepath: str

    def __init__(self) -> None:
        self._routes = Routes()

    def route(self, rule: str, /, **options: Any) -> Callable[[F], F]:
        """Let a function answer the paths that fit a rule. The function itself is left as it is.

        :param rule: a path with parameters, ``/episode/<int:id>`` (`saddle.rules`). A default of the last parameter makes
            the path without it work, too, unless that is "/".
        :param options: ``methods`` (others get 405; without it all but TRACE), ``content_types`` of bodies (others get 415),
            ``authenticate``, ``access_control_allow_origin``, ``access_control_max_age`` (seconds), ``name`` for URLs (the
            function's by default), and any of the app's own; all are in ``was.request.routable``.
        :raises ValueError: the rule, an option or the function's signature cannot be.
        """

        def add(function: F) -> F:
            self._routes.define(rule, function, options)
            return function

        return add

    def add_route(self, rule: str, function: Function, /, **options: Any) -> None:
        """The same as `route`, without a decorator."""
        self._routes.define(rule, function, options)

    def set_mount_point(self, prefix: str) -> None:
        """Put a prefix before the rules of all routes that follow.

        :raises ValueError: it does not begin with "/".
        """
        self._routes.scope = self._routes.scope._replace(mount=_prefix(prefix))

    @contextmanager
    def route_scope(self, mount: str = "", ns: str = "", **options: Any) -> Iterator[None]:
        """For the routes that are defined inside: a prefix of their rules, a namespace, and options.

        :raises ValueError: the prefix does not begin with "/".
        """
        outer = self._routes.scope
        inner = ".".join(filter(None, (outer.ns, ns)))
        self._routes.scope = Scope(outer.mount + _prefix(mount), inner, {**outer.options, **options})
        try:
            yield
        finally:
            self._routes.scope = outer

    def build_url(self, target: str | Function, *args: Any, **kwargs: Any) -> str:
        """The path of a route, with arguments as for a call of its function; what is not in its rule goes to the query.

        :param target: a name (``ns.name`` in a namespace, ``file:name`` in another app of the host), a function, or a path
            of the app, beginning with "/".
        :raises NameError: there is no such app or route.
        :raises ValueError: the arguments do not fit the function or the rule.
        """
        app, target = urls.app_of(self, target)
        if isinstance(target, str) and target.startswith("/"):
            return urls.absolute(app.basepath, target, args, kwargs)
        return urls.build(app.basepath, app._routes.named(target), args, kwargs)

    urlfor = build_url

    def base_url(self, target: str | Function) -> str:
        """The path of a route up to its first parameter."""
        app, target = urls.app_of(self, target)
        return urls.join(app.basepath, app._routes.named(target).rule.base)


def _prefix(mount: str) -> str:
    if mount and not mount.startswith("/"):
        raise ValueError(f"the mount point {mount!r} does not begin with '/'")
    return mount.rstrip("/")
