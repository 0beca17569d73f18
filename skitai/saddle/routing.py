"""Which route answers a path: exact paths in one table, rules with parameters in a tree of segments.

Precedence, whatever the order of definition:

1. A rule without parameters that is the path.
2. Segment by segment from the left: literal text before parameters, so the longer literal beginning wins; among parameters
   those with the longer text before them, then after them, then ``int``, ``float``, ``string``; ``path`` last.
3. Among rules that are alike, the method decides; for one method, the route that was defined first. A rule that lost its
   last parameter to a default comes after those that are so by themselves.

Where the first rule that fits the path does not take the method, the next one that fits is asked. A path that nothing fits,
but that would with a slash at its end, is redirected there. Paths are percent-encoded, as received: an encoded slash is
part of a value.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import unquote

from skitai.config.pref import AttrDict
from skitai.errors import Answerable
from skitai.http.parameters import essence
from skitai.saddle.args import Binder
from skitai.saddle.rules import Parameter, parse

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""What reaches a route that names no methods."""


class NotAllowed(Answerable):
    """No route at the path takes the method (RFC 9110, section 15.5.6)."""

    status = 405


class UnsupportedType(Answerable):
    """The route takes no body of this type (RFC 9110, section 15.5.16)."""

    status = 415


class Route:
    """A function at a rule.

    :ivar name: for building URLs; its namespace, if it has one, in front.
    :ivar rule: what it answers.
    :ivar short: the same without the last parameter, which then has the function's default; None when there is none.
    :ivar methods: upper case, HEAD wherever GET is; None for all of `METHODS`.
    :ivar content_types: lower case, without parameters; empty for any.
    :ivar options: all that was given at the decoration.
    :ivar is_async: the function is a coroutine function, or a decorator's wrapper around one.
    """

    __slots__ = ("binder", "content_types", "function", "is_async", "methods", "name", "options", "rule", "short")

    def __init__(self, rule: str, function: Callable[..., Any], name: str = "", /, **options: Any) -> None:
        """:raises ValueError: the rule, the methods, the content types or the function's signature cannot be."""
        self.function = function
        self.name = name or getattr(function, "__name__", "")
        if not self.name:
            raise ValueError(f"the route {rule!r} has no name: {function!r} brings none, give one with name=")
        self.rule = parse(rule)
        self.options = AttrDict(options)
        methods = _words("methods", options.get("methods"))
        if methods is not None:
            methods = frozenset(each.upper() for each in methods)
            methods |= {"HEAD"} if "GET" in methods else frozenset()
        self.methods = methods
        types = _words("content_types", options.get("content_types")) or ()
        self.content_types = frozenset(map(essence, types))
        self.binder = Binder(function, self.rule.names)
        self.short = self.rule.shortened() if self.binder.has_default(self.rule.names[-1:]) else None
        self.is_async = _is_async(function)

    def takes(self, method: str) -> bool:
        return method in (self.methods or METHODS)

    def __repr__(self) -> str:
        return f"<Route {self.name} {self.rule.text}>"


def _is_async(function: Callable[..., Any]) -> bool:
    inner = inspect.unwrap(function)
    return any(map(inspect.iscoroutinefunction, (function, inner, getattr(inner, "__call__", None))))  # noqa: B004


def _words(option: str, given: Any) -> frozenset[str] | None:
    if given is None:
        return None
    if isinstance(given, str) or not all(isinstance(each, str) for each in given):
        raise ValueError(f"{option} is {given!r}; a list of words is wanted")
    return frozenset(given)


class Redirect:
    """The path wants a slash at its end.

    :ivar path: where to go, percent-encoded; the query is the caller's to keep.
    """

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    @staticmethod
    def status(method: str) -> int:
        """301, or 308 where a client that changes to GET would lose the body (RFC 9110, section 15.4.9)."""
        return 301 if method in ("GET", "HEAD") else 308


Entry = tuple[Route, tuple[str, ...]]
"""A route, and the names of the values that lead to it."""
Match = tuple[Sequence[Entry], tuple[Any, ...]]
"""Routes at a place in the tree, and the values on the way there."""


class Found:
    """The routes that fit a path.

    :ivar values: of the URL's parameters, for the route that `pick` picked.
    """

    __slots__ = ("_first", "_path", "_router", "values")

    def __init__(self, router: Router, path: str, first: Match) -> None:
        self._router = router
        self._path = path
        self._first = first
        self.values: dict[str, Any] = {}

    def pick(self, method: str, content_type: str | None = "") -> Route:
        """The route for a method.

        :param content_type: value of the request's Content-Type field; None when it does not matter.
        :raises NotAllowed: no route takes the method; carries Allow.
        :raises UnsupportedType: one does, but not a body of this type.
        """
        route = self._pick(self._first, method, content_type)
        if route is not None:
            return route
        wanted: set[str] = set()
        for match in self._router.matches(self._path):
            route = self._pick(match, method, content_type)
            if route is not None:
                return route
            wanted.update(*(each.content_types for each, _ in match[0] if each.takes(method)))
        if wanted:
            seen = f"is {content_type}" if content_type else "is not given"
            raise UnsupportedType(f"the content type {seen}, but has to be {' or '.join(sorted(wanted))}")
        raise NotAllowed(f"{method} is not allowed here", fields=[("Allow", ", ".join(self.methods))])

    def _pick(self, match: Match, method: str, content_type: str | None) -> Route | None:
        entries, captured = match
        for route, names in entries:
            if method not in (route.methods or METHODS):
                continue
            if route.content_types and content_type is not None and essence(content_type) not in route.content_types:
                continue
            if names:
                self.values = dict(zip(names, captured, strict=True))
            return route
        return None

    @property
    def methods(self) -> list[str]:
        """What Allow says: every method that some route at the path takes, and OPTIONS, which the server answers."""
        taken = {"OPTIONS"}
        for entries, _ in self._router.matches(self._path):
            taken.update(*(route.methods or METHODS for route, _ in entries))
        return [each for each in METHODS if each in taken] + sorted(taken.difference(METHODS))


class Node:
    """A place in the tree: what may follow, and the routes that end here."""

    __slots__ = ("entries", "literals", "parameters")

    def __init__(self) -> None:
        self.literals: dict[str, Node] = {}
        self.parameters: list[tuple[Parameter, Node]] = []
        self.entries: list[Entry] = []

    def below(self, segment: str | Parameter) -> Node:
        """The place after a segment of a rule, made if need be."""
        if isinstance(segment, str):
            return self.literals.setdefault(segment, Node())
        for known, node in self.parameters:
            if known.precedence == segment.precedence:
                return node
        node = Node()
        self.parameters.append((segment, node))
        self.parameters.sort(key=lambda each: each[0].precedence)
        return node

    def matches(self, segments: list[str], depth: int, captured: tuple[Any, ...]) -> Iterator[Match]:
        """All that fit, in order of precedence. Each place is looked at once, so no path takes long."""
        if depth == len(segments):
            if self.entries:
                yield self.entries, captured
            return
        segment = segments[depth]
        literal = self.literals.get(unquote(segment) if "%" in segment else segment)
        if literal is not None:
            yield from literal.matches(segments, depth + 1, captured)
        for parameter, node in self.parameters:
            takes_all = parameter.kind == "path"
            value = parameter.read("/".join(segments[depth:]) if takes_all else segment)
            if value is not None:
                yield from node.matches(segments, len(segments) if takes_all else depth + 1, (*captured, value))


class Router:
    """The routes of an app."""

    def __init__(self, routes: Iterable[Route] = ()) -> None:
        self._exact: dict[str, list[Entry]] = {}
        self._root = Node()
        for route in routes:
            self.add(route)

    def add(self, route: Route) -> None:
        """Take a route in, after those that are there."""
        for rule in (route.rule, route.short):
            if rule is None:
                continue
            node = self._root
            for segment in rule.segments:
                node = node.below(segment)
            node.entries.append((route, rule.names))
            node.entries.sort(key=lambda entry: entry[1] != entry[0].rule.names)  # whole rules before shortened ones
            if not rule.names:
                self._exact[rule.text] = node.entries

    def find(self, path: str) -> Found | Redirect | None:
        """The routes that fit a path.

        :param path: below the mount point, beginning with "/", percent-encoded as received.
        """
        entries = self._exact.get(path)
        if entries is not None:
            return Found(self, path, (entries, ()))
        match = next(self.matches(path), None)
        if match is not None:
            return Found(self, path, match)
        if not path.endswith("/") and next(self.matches(path + "/"), None) is not None:
            return Redirect(path + "/")
        return None

    def matches(self, path: str) -> Iterator[Match]:
        """All routes that fit a path, by place, in order of precedence."""
        return self._root.matches(path[1:].split("/"), 0, ())


def below(raw_path: str, mount: str) -> str:
    """The part of a path below a mount point, still percent-encoded.

    :param raw_path: as received.
    :param mount: mount point, decoded, with or without a slash at its end.
    """
    depth = mount.rstrip("/").count("/")
    if not depth:
        return raw_path
    segments = raw_path.split("/")
    if unquote("/".join(segments[: depth + 1])) != mount.rstrip("/"):
        return raw_path  # an encoded slash made it look like the mount point
    return "/" + "/".join(segments[depth + 1 :])
