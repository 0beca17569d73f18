"""Which mount answers a request: host, then the longest mount point, static folders before apps for GET and HEAD.

`Site` is immutable; a reload makes another one. What it finds for a head is kept on the head.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from skitai.config.mounted import Mount
from skitai.config.tree import Config
from skitai.errors import Answerable, NotFound
from skitai.exchange import BodyMode, Head
from skitai.http.uri import authority_in
from skitai.protocols.grpc.request import is_call
from skitai.protocols.http1.request import host_name
from skitai.protocols.websocket import handshake
from skitai.worker import rpc

ALLOWED = "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS"
ALLOWED_OF_FILES = ("Allow", "GET, HEAD, OPTIONS")


class Route:
    """One mount as requests meet it.

    :ivar app: an `App`; replaced in place when it is reloaded.
    :ivar point: mount point as it compares with `Head.path`, with its slash at the end.
    :ivar looks_first: asked before the body of a request is received, if the app cares: whether the app holds it.
    :ivar debug: show tracebacks to clients.
    :ivar trouble: why the newest code is not what is served; shown under debug.
    """

    __slots__ = (
        "app",
        "body_mode",
        "debug",
        "handle",
        "hosts",
        "in_threads",
        "limits",
        "looks_first",
        "mount",
        "point",
        "static",
        "trouble",
    )

    def __init__(self, mount: Mount, app: Any, config: Config) -> None:
        self.mount = mount
        self.point = mount.point.encode("utf-8").decode("latin-1")
        self.hosts = tuple(mount.host.split())
        self.static = hasattr(app, "find")
        self.serve(app, config)

    def serve(self, app: Any, config: Config) -> None:
        """Serve `app` from now on; requests that have begun keep the one they have."""
        self.app = app
        self.trouble = ""
        self.handle = app.handle
        self.body_mode = app.body_mode
        self.in_threads = getattr(app, "in_threads", False)
        self.looks_first = getattr(app, "looks_first", None)
        self.debug = bool(getattr(app, "debug", False))
        wanted = getattr(app, "limits", {})
        bodies = config.bodies
        self.limits = (
            int(wanted.get("max_post_body_size", bodies.max_post_body_size)),
            int(wanted.get("max_multipart_body_size", bodies.max_multipart_body_size)),
        )

    def limit(self, head: Head) -> int:
        """Largest body that a request may have, in bytes."""
        return self.limits[(head.fields.get(b"content-type") or b"").lower().startswith(b"multipart/")]


class Upgrade:
    """A route as handshakes of WebSocket connections meet it."""

    __slots__ = ("_route", "body_mode", "debug", "in_threads", "limit")

    looks_first = None

    def __init__(self, route: Route) -> None:
        self._route = route
        self.body_mode = route.body_mode
        self.in_threads = route.in_threads
        self.debug = route.debug
        self.limit = route.limit

    def handle(self, exchange: Any) -> None:
        exchange.app = self._route
        self._route.app.upgrade(exchange)


class Calls:
    """A route as calls of gRPC meet it.

    :param head: of the calls.
    """

    __slots__ = ("_head", "_route", "in_threads", "mount")

    looks_first = None

    def __init__(self, route: Route, head: Head) -> None:
        self._route = route
        self._head = head
        self.mount = route.mount
        self.in_threads = route.in_threads

    @property
    def body_mode(self) -> BodyMode:
        mode: BodyMode = self._route.app.call_mode(self._head)
        return mode

    @property
    def debug(self) -> bool:
        return self._route.debug

    @property
    def trouble(self) -> str:
        return self._route.trouble

    def limit(self, head: Head) -> int:
        return int(self._route.app.call_limit(head))

    def handle(self, exchange: Any) -> None:
        self._route.app.call(exchange)

    @staticmethod
    def refuse(exchange: Any, error: BaseException) -> bool:
        """Answer an error in the words of gRPC; False when the request is none of its calls after all."""
        return rpc.refuse(exchange, error)


class Answer:
    """Stands for an app where the server itself answers."""

    __slots__ = ("_error", "_fields", "_status")

    body_mode = BodyMode.STREAM
    in_threads = False
    looks_first = None
    debug = False

    def __init__(self, status: int, fields: Sequence[tuple[str, str]] = (), error: Answerable | None = None) -> None:
        self._status = status
        self._fields = fields
        self._error = error

    def handle(self, exchange: Any) -> None:
        if self._error is not None:
            exchange.fail(self._error)
        else:
            exchange.respond(self._status, self._fields, b"")

    def limit(self, head: Head) -> int:
        return 1 << 62


class Plan:
    """Who may answer a head, best first.

    :ivar site: the site that made the plan; it holds for no other.
    :ivar target: who answers, when no static folder has the file.
    :ivar folders: static folders to ask first.
    """

    __slots__ = ("folders", "site", "target")

    def __init__(self, site: Site, folders: Iterable[Route], target: Route | Answer | Upgrade | Calls) -> None:
        self.site = site
        self.folders = tuple(folders)
        self.target = target

    def choose(self, head: Head) -> Route | Answer | Upgrade | Calls:
        """The target for this moment: files come and go."""
        for route in self.folders:
            if route.app.find(head.raw_path) is not None:
                return route
        return self.target


class Proxy(Protocol):
    """Takes requests that are for other servers (`worker.proxy`).

    :ivar tunnels: answers CONNECT.
    :ivar passing: answers requests that name another server.
    """

    @property
    def tunnels(self) -> Any: ...
    @property
    def passing(self) -> Any: ...

    def means_us(self, scheme: str, authority: str, named: bool) -> bool:
        """Whether a request that names a server is for this one.

        :param named: something is mounted for its host.
        """

    def is_certified(self, host: str) -> bool:
        """Whether a certificate of this server names a host."""

    def tick(self, now: float) -> None:
        """Once a second, by the loop's clock."""


class Site:
    """All routes of a worker.

    :param routes: no two apps and no two folders on one point of a host.
    :param proxy: takes what is for others; without one, all is for us.
    """

    def __init__(self, routes: Sequence[Route], proxy: Proxy | None = None) -> None:
        self.routes = tuple(routes)
        self._proxy = proxy
        self._hosts: dict[str, list[Route]] = {}
        self._suffixes: dict[str, list[Route]] = {}
        self._default: list[Route] = []
        for route in routes:
            for host in route.hosts:
                if host == "default":
                    self._add(self._default, route)
                elif host.startswith("."):
                    self._add(self._suffixes.setdefault(host.lower(), []), route)
                else:
                    self._add(self._hosts.setdefault(host.lower(), []), route)

    @staticmethod
    def _add(routes: list[Route], route: Route) -> None:
        routes.append(route)
        routes.sort(key=lambda each: (-len(each.point), not each.static))

    def plan(self, head: Head) -> Plan:
        """Find the plan for a head and keep it there."""
        head.route = plan = self._plan(head)
        return plan

    def _plan(self, head: Head) -> Plan:
        if head.form == "authority":
            if self._proxy is not None:
                return Plan(self, (), self._proxy.tunnels)
            return Plan(self, (), Answer(501, error=Answerable("CONNECT is not served here", status=501)))
        if head.form == "asterisk":
            return Plan(self, (), Answer(204, [("Allow", ALLOWED)]))
        routes = self._routes_of(head.host)
        proxy = self._proxy if head.form == "absolute" else None
        if proxy is not None and not proxy.means_us(*authority_in(head.target), routes is not self._default):
            return Plan(self, (), proxy.passing)
        if is_call(head):
            for route in routes:
                if hasattr(route.app, "offers") and route.app.offers(head):
                    return Plan(self, (), Calls(route, head))
        folders: list[Route] = []
        readable = head.method in ("GET", "HEAD")
        for route in routes:
            if head.path.startswith(route.point):
                if not route.static:
                    if hasattr(route.app, "upgrade") and handshake.is_wanted(head):
                        return Plan(self, (), Upgrade(route))
                    if hasattr(route.app, "call") and is_call(head):
                        return Plan(self, (), Calls(route, head))
                    return Plan(self, folders, route)
                if readable:
                    folders.append(route)
            elif head.path + "/" == route.point:
                location = head.raw_path + "/" + ("?" + head.query if head.query else "")
                return Plan(self, folders, Answer(308, [("Location", location)]))
        if folders or not any(head.path.startswith(route.point) for route in routes):
            return Plan(self, folders, Answer(404, error=NotFound()))
        if head.method == "OPTIONS":
            return Plan(self, (), Answer(204, [ALLOWED_OF_FILES]))
        return Plan(self, (), Answer(405, error=Answerable("", status=405, fields=[ALLOWED_OF_FILES])))

    def may_pass_on(self, secure: bool) -> bool:
        """Whether a request of HTTP/2 can be one for the proxy, where its form does not tell.

        Over TLS, nobody but a client of a proxy asks for what is of the scheme http. Without TLS, a host that nothing is
        mounted for is one of ours as long as something is mounted for all.
        """
        return self._proxy is not None and (secure or not self._default)

    def is_elsewhere(self, authority: str) -> bool:
        """Whether another server is meant by the scheme http and an authority; the proxy passes that on.

        A host that a certificate of ours names is ours as long as something is mounted for all hosts.
        """
        host, proxy = host_name(authority.encode("latin-1")), self._proxy
        if proxy is None:
            return False
        routes = self._routes_of(host)
        named = routes is not self._default or (bool(routes) and proxy.is_certified(host))
        return not proxy.means_us("http", authority, named)

    def _routes_of(self, host: str) -> list[Route]:
        host = host.removesuffix(".")  # of a fully qualified name
        found = self._hosts.get(host)
        if found is not None:
            return found
        if self._suffixes:
            name = "." + host
            while name:
                found = self._suffixes.get(name)
                if found is not None:
                    return found
                at = name.find(".", 1)
                name = name[at:] if at > 0 else ""
        return self._default
