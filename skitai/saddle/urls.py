"""URLs of routes: what a call of the function would be, as a path and a query."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from skitai.saddle.apps import Apps
from skitai.saddle.once import once
from skitai.saddle.routing import Route

if TYPE_CHECKING:
    from skitai.saddle.app import Saddle
    from skitai.saddle.routes import RouteFacet

Target = str | Callable[..., Any]
"""The name of a route, its function, or a path of the app."""


def build(basepath: str, route: Route, args: Iterable[Any], kwargs: Mapping[str, Any]) -> str:
    """The path of a route, with its query.

    Arguments that the rule needs and that are not given are the function's defaults. Others that are not given, or are
    None, stay out of the query.

    :param basepath: mount point with a slash at the end.
    :raises ValueError: too many arguments, an unknown or doubled one, one of the rule's that is missing or does not fit.
    """
    values = arguments(route, args, kwargs)
    binder = route.binder
    names = route.rule.names
    rule = route.rule
    if route.short is not None and values.get(names[-1]) is None:
        rule = route.short
    for name in rule.names:
        if values.get(name) is None:
            values[name] = binder.defaults.get(name)
        if values[name] is None:
            raise ValueError(f"{route.name} at {route.rule.text} needs {name!r}")
    return join(basepath, rule.write(values)) + query({name: each for name, each in values.items() if name not in names})


def arguments(route: Route, args: Iterable[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by name, as in a call of the function without `was`.

    :raises ValueError: they do not fit its signature.
    """
    binder = route.binder
    args = tuple(args)
    names = [each.name for each in binder.arguments]
    if len(args) > len(names):
        raise ValueError(f"{route.name} takes {len(names)} arguments, and {len(args)} were given")
    values = dict(zip(names, args, strict=False))
    if twice := values.keys() & kwargs.keys():
        raise ValueError(f"{route.name}: {', '.join(sorted(twice))} given twice")
    if not binder.takes_more and (unknown := kwargs.keys() - set(names) - set(route.rule.names)):
        raise ValueError(f"{route.name} takes no {', '.join(sorted(unknown))}")
    return values | dict(kwargs)


def query(values: Mapping[str, Any]) -> str:
    """A query with its "?", "" for no values. Lists become repeated names; None is left out."""
    pairs = [
        (name, text(each))
        for name, value in values.items()
        for each in (value if isinstance(value, (list, tuple, set, frozenset)) else (value,))
        if each is not None
    ]
    return "?" + urlencode(pairs, quote_via=quote, safe="") if pairs else ""


def text(value: Any) -> str:
    """A value as a query says it, so that its annotation reads it back."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, enum.Enum):
        return str(value.value)
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return str(value.total_seconds())
    return value.decode() if isinstance(value, bytes) else str(value)


def absolute(basepath: str, path: str, args: Iterable[Any], kwargs: Mapping[str, Any]) -> str:
    """A path of the app that is given as such.

    :raises ValueError: it comes with positional arguments, which it has no names for.
    """
    if tuple(args):
        raise ValueError(f"{path!r} is a path, not a route, and takes arguments by name only")
    return join(basepath, path) + query(kwargs)


def join(basepath: str, path: str) -> str:
    """A path below a mount point, percent-encoded."""
    return quote(basepath.rstrip("/"), safe="/!$&'()*+,;=:@~") + path


def app_of(app: RouteFacet, target: Target) -> tuple[RouteFacet, Target]:
    """Whose route a target is, and what that app calls it.

    :param app: the one that asks.
    :param target: ``"file:name"`` is a route of another app of its host.
    :raises NameError: there is no such app.
    """
    if not isinstance(target, str) or ":" not in target or target.startswith("/"):
        return app, target
    name, _, target = target.partition(":")
    apps = Apps(app)
    if name not in apps:
        raise NameError(f"no app {name!r} is mounted at this host; there are {', '.join(apps) or 'none'}")
    return apps[name], target


class UrlFacet:
    """The members of `Was` that build URLs."""

    app: Saddle
    request: Any

    @once
    def apps(self) -> Apps:
        """The Saddle apps of this host, by the names of their files."""
        return Apps(self.app)

    def ab(self, target: Target, *args: Any, **kwargs: Any) -> str:
        """The path of a route (`Saddle.build_url`), as a call of its function would be written.

        :param target: also ``"file:name"``, for a route of another app of this host.
        :raises NameError: there is no such app or route.
        :raises ValueError: the arguments do not fit.
        """
        return self.app.build_url(target, *args, **kwargs)

    urlfor = ab

    def partial(self, target: Target, **changes: Any) -> str:
        """The same with the arguments of the running request, as far as the route takes them, and these changes.

        A change to None leaves an argument out.
        """
        app, target = app_of(self.app, target)
        names = [each.name for each in app._routes.named(target).binder.arguments]
        kept = {name: value for name, value in self.request.args.items() if name in names}
        return app.build_url(target, **{**kept, **changes})

    def basepath(self, target: Target) -> str:
        """The path of a route up to its first parameter."""
        return self.app.base_url(target)

    baseurl = basepath
