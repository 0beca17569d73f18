"""Requests of handlers to back-ends: ``was.get``, ``was.backend`` and their kin.

::

    one, two = was.get("@members/list"), was.post("http://127.0.0.1:8000/", {"a": 1})
    return [one.getwait().data, two.getwait().data]

``was.get.lb("@members/...")`` asks one member of an alias, ``was.get.map("@members/...")`` all of them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, Protocol, overload

from skitai.backend.backends import Backends, Target, UseCache
from skitai.backend.cluster import Cluster
from skitai.backend.result import Result
from skitai.backend.seam import Operation
from skitai.backend.task import Group, Task
from skitai.config.aliases import DATABASES, Kind, Member, kind_of, member
from skitai.exchange import Exchange
from skitai.log.txn import hand_on
from skitai.was import process

if TYPE_CHECKING:
    from skitai.sql.entry import Maps

Mode = Literal["", "lb", "map"]

STUBS = {
    "postgresql": "skitai.backend.drivers.postgresql:Stub",
    "sqlite3": "skitai.backend.drivers.sqlite:Stub",
    "redis": "skitai.backend.drivers.redis:Stub",
    "mongodb": "skitai.backend.drivers.mongodb:Stub",
}
"""By kind: what ``was.backend(...)`` gives, whose methods are the database's own."""

WITH_SQL = ("postgresql", "sqlite3")


class Caller:
    """For whom requests to back-ends are made.

    :param exchange: a client's request; None outside of requests.
    :param maps: templates of SQL, if the app has any.
    """

    def __init__(self, exchange: Exchange | None, maps: Maps | None = None) -> None:
        self.exchange = exchange
        self.maps = maps

    @property
    def backends(self) -> Backends:
        return process.backends()

    def tracing(self) -> list[tuple[str, str]]:
        """Fields that hand the transaction ids on (`log.txn.hand_on`)."""
        exchange = self.exchange
        if exchange is None:
            return []
        try:
            exchange.asked += 1
        except AttributeError:
            exchange.asked = 1
        return hand_on(exchange.txn, exchange.asked)

    def ask(self, target: Target, operation: Operation, mode: Mode, options: Options) -> Task | Group:
        """Send a request on its way.

        :raises ValueError: `mode` asks all members, and there is no alias, or a callback, which would get one result.
        """
        if mode == "map":
            if options.callback is not None or options.id:
                raise ValueError("results of all members come together: without callback, and in no promise")
            if not isinstance(target, Cluster):
                raise ValueError(".map asks all members of an alias: '@NAME'")
            return self.backends.ask_all(target, operation, options.timeout, options.use_cache, options.meta, options.filter)
        then = options.then(self.exchange)
        given = (options.timeout, options.use_cache, options.meta, options.id, options.filter, then)
        return self.backends.ask(target, operation, *given)


@dataclass(frozen=True, slots=True)
class Options:
    """What every request may have.

    :ivar meta: for the caller; the result has it.
    :ivar use_cache: False for a fresh result; a time (`was.getlu`) for one that is not older.
    :ivar filter: gets the result, and returns what is to be its `data`.
    :ivar callback: a function that gets the result where handlers run, or ``(function, args)``, ``(function, kwargs)``,
        ``(function, args, kwargs)`` for more arguments.
    :ivar timeout: seconds.
    :ivar id: in a promise.
    """

    meta: dict[str, Any] | None = None
    use_cache: UseCache = True
    filter: Callable[[Result], Any] | None = None
    callback: Any = None
    timeout: float | None = None
    id: str = ""

    def then(self, exchange: Exchange | None) -> Callable[[Result], None] | None:
        """What follows the result, in the loop."""
        if self.callback is None:
            return None
        function, args, kwargs = split_callback(self.callback)

        def tell(result: Result) -> None:
            function(result, *args, **kwargs)

        if exchange is None:
            return tell
        resume = exchange.resume
        return lambda result: resume(tell, result)


def split_callback(callback: Any) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
    """Function, further arguments and further keywords of a callback.

    :raises TypeError: it is none.
    """
    parts = callback if isinstance(callback, tuple) else (callback,)
    function, *more = parts if parts else (None,)
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    for each in more:
        if isinstance(each, Mapping):
            kwargs |= each
        elif isinstance(each, (tuple, list)):
            args += tuple(each)
        else:
            function = None
    if not callable(function):
        raise TypeError("a callback is a function, or (function, args), (function, kwargs), (function, args, kwargs)")
    return function, args, kwargs


class Asking(Protocol):
    """Who has verbs, says for whom requests are made."""

    def _caller(self) -> Caller: ...


class Verb:
    """A name of `was` that makes requests, with ``.lb`` and ``.map``."""

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, was: None, owner: type) -> Verb: ...
    @overload
    def __get__(self, was: Asking, owner: type) -> Bound: ...
    def __get__(self, was: Asking | None, owner: type) -> Verb | Bound:
        return self if was is None else Bound(self._make, self.name, was._caller())


class Bound:
    """A verb for one caller.

    :ivar lb: the same, for one member of an alias.
    :ivar map: the same, for all members of an alias: results come by `getswait`.
    """

    __slots__ = ("_caller", "_make", "_mode", "_name")

    def __init__(self, make: Callable[..., Any], name: str, caller: Caller, mode: Mode = "") -> None:
        self._make = make
        self._name = name
        self._caller = caller
        self._mode: Mode = mode

    @property
    def lb(self) -> Bound:
        return Bound(self._make, self._name, self._caller, "lb")

    @property
    def map(self) -> Bound:
        return Bound(self._make, self._name, self._caller, "map")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._make(self._caller, self._name, self._mode, *args, **kwargs)

    def __repr__(self) -> str:
        return f"<was.{self._name}{'.' + self._mode if self._mode else ''}>"


def http(
    caller: Caller,
    verb: str,
    mode: Mode,
    uri: str,
    data: Any = None,
    auth: tuple[str, ...] | None = None,
    headers: Any = None,
    meta: dict[str, Any] | None = None,
    use_cache: UseCache = True,
    filter: Callable[[Result], Any] | None = None,
    callback: Any = None,
    timeout: float | None = None,
    id: str = "",
    **options: Any,
) -> Task | Group:
    """Make an HTTP request.

    :param uri: absolute, or ``@alias/path``.
    :param data: see `backend.drivers.http.request.make`, as for `auth`, `headers` and `options`.
    :raises KeyError: no such alias.
    :raises ValueError: something in it cannot be sent.
    """
    from skitai.backend.drivers.http.request import make

    kinds = ("http", "https")
    target, rest = destination(caller, uri, kinds, mode)
    fields = list(headers.items() if isinstance(headers, Mapping) else headers or ())
    fields += caller.tracing()
    if use_cache is False:
        fields.append(("Cache-Control", "no-cache"))
    request = make(verb, rest, data, auth, fields, **options)
    return caller.ask(target, request, mode, Options(meta, use_cache, filter, callback, timeout, id))


def remote(
    caller: Caller,
    verb: str,
    mode: Mode,
    uri: str,
    auth: tuple[str, ...] | None = None,
    headers: Any = None,
    meta: dict[str, Any] | None = None,
    use_cache: UseCache = True,
    filter: Callable[[Result], Any] | None = None,
    callback: Any = None,
    timeout: float | None = None,
    id: str = "",
    **options: Any,
) -> Any:
    """A server of XML-RPC or JSON-RPC, whose methods make requests.

    :param uri: absolute, or ``@alias/path``.
    :raises KeyError: no such alias.
    """
    from skitai.backend import remote as calls

    dump, load, fields = (
        (calls.dump_xml, calls.load_xml, calls.XML) if verb == "rpc" else (calls.dump_json, calls.load_json, calls.JSON)
    )
    sent = [*fields, *(headers.items() if isinstance(headers, Mapping) else headers or ())]

    def read(result: Result) -> Any:
        result.data = load(result)
        return result.data if filter is None else filter(result)

    def call(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        body = dump(name, args, kwargs)
        given = (meta, use_cache, read, callback, timeout, id)
        return http(caller, "post", mode, uri, body, auth, sent, *given, **options)

    return calls.Stub(call)


def grpc(
    caller: Caller,
    verb: str,
    mode: Mode,
    uri: str,
    auth: tuple[str, ...] | None = None,
    headers: Any = None,
    meta: dict[str, Any] | None = None,
    use_cache: UseCache = True,
    filter: Callable[[Result], Any] | None = None,
    callback: Any = None,
    timeout: float | None = None,
    id: str = "",
) -> Any:
    """A gRPC service, whose methods make requests (`backend.grpc.Stub`).

    :param uri: ``http://host/package.Service``, or ``@alias/package.Service``.
    :raises KeyError: no such alias.
    """
    from skitai.backend.grpc import Stub

    base = uri.rstrip("/")
    given = list(headers.items() if isinstance(headers, Mapping) else headers or ())

    def call(
        name: str,
        body: Any,
        fields: list[tuple[str, str]],
        read: Callable[[Result, Any], Any],
        limit: float | None,
        stream: bool,
    ) -> Any:
        def take(result: Result) -> Any:
            result.data = read(result, caller.backends.home)
            return result.data if filter is None else filter(result)

        more = (meta, use_cache, take, callback, timeout if limit is None else limit, id)
        sent = [*fields, *given]
        return http(caller, "post", mode, f"{base}/{name}", body, auth, sent, *more, http2=True, stream=stream, decode=False)

    return Stub(base.rpartition("/")[2], call)


def websocket(
    caller: Caller,
    verb: str,
    mode: Mode,
    uri: str,
    data: Any = b"",
    auth: tuple[str, ...] | None = None,
    headers: Any = None,
    meta: dict[str, Any] | None = None,
    use_cache: UseCache = True,
    filter: Callable[[Result], Any] | None = None,
    callback: Any = None,
    timeout: float | None = None,
    id: str = "",
) -> Task | Group:
    """Send one message over a WebSocket connection of its own; the result is the first that comes back.

    :param uri: ``ws://...``, ``wss://...``, or ``@alias/path``.
    :param data: text, bytes, or ``(opcode, data)``.
    :raises KeyError: no such alias.
    :raises TypeError: `data` is no message.
    :raises ValueError: something in it cannot be sent.
    """
    from skitai.backend.drivers.http.request import make
    from skitai.backend.drivers.websocket import WebSocketRequest
    from skitai.protocols.websocket.client import opcode_of

    opcode, content = opcode_of(data)
    target, rest = destination(caller, uri, ("ws", "wss"), mode)
    fields = [*(headers.items() if isinstance(headers, Mapping) else headers or ()), *caller.tracing()]
    checked = make("get", rest, None, auth, [*fields, ("Accept", "")])
    request = WebSocketRequest(checked.target, opcode, content, tuple(fields), checked.auth)
    return caller.ask(target, request, mode, Options(meta, use_cache, filter, callback, timeout, id))


def destination(caller: Caller, uri: str, kinds: tuple[Kind, ...] | tuple[str, ...], mode: Mode) -> tuple[Target, str]:
    """Whom to ask, and the path.

    :raises KeyError: no such alias.
    :raises ValueError: it is no URL, or the alias is of another kind.
    """
    from skitai.backend.drivers.http.request import locate

    if uri.startswith("@"):
        name, slash, path = uri.partition("/")
        cluster = caller.backends.cluster(name)
        if cluster.alias.kind not in kinds:
            raise ValueError(f"{name} is a back-end of {cluster.alias.kind}, which does not speak {kinds[0]}")
        return cluster, slash + path
    if mode:
        raise ValueError(f".{mode} wants an alias: '@NAME/path', not {uri!r}")
    scheme, colon, there = uri.partition("://")
    if colon and scheme.lower() in ("ws", "wss") and "ws" in kinds:
        found, path = locate(f"{'https' if scheme.lower() == 'wss' else 'http'}://{there}")
        return replace(found, kind="wss" if found.secure else "ws"), path
    if "http" not in kinds:
        raise ValueError(f"{uri!r} is no URL of WebSocket: ws://host/path, wss://host/path or @alias/path is")
    return locate(uri)


def database(
    caller: Caller,
    kind: str,
    mode: Mode,
    server: str,
    dbname: str | None = None,
    auth: tuple[str, str] | None = None,
    meta: dict[str, Any] | None = None,
    use_cache: UseCache = True,
    filter: Callable[[Result], Any] | None = None,
    callback: Any = None,
    timeout: float | None = None,
    id: str = "",
) -> Any:
    """A database, whose methods make requests.

    :param server: ``@alias``; ``host:port``; of SQLite the path of a file.
    :param auth: user and password.
    :raises KeyError: no such alias.
    :raises ValueError: it is no server, or the alias is of another kind.
    """
    target: Target
    if server.startswith("@"):
        target = caller.backends.cluster(server)
        found = target.alias.kind
        if found not in DATABASES or kind not in ("backend", "db", found):
            raise ValueError(f"{server} is a back-end of {found}: was.{kind}() is for others")
    elif mode or kind == "backend":
        raise ValueError(f"was.{kind}{'.' + mode if mode else ''}() wants an alias: '@NAME', not {server!r}")
    else:
        found = kind_of(kind)
        target = located(found, server, dbname, auth)
    module, name = STUBS[found].split(":")
    options = Options(meta, use_cache, filter, callback, timeout, id)
    stub = getattr(import_module(module), name)(lambda operation: caller.ask(target, operation, mode, options))
    if caller.maps is not None and found in WITH_SQL:
        stub.maps = caller.maps
    return stub


def located(kind: Kind, server: str, dbname: str | None, auth: tuple[str, str] | None) -> Member:
    """A database that no alias names."""
    found = member(kind, server)
    user, password = auth or (found.user, found.password)
    return replace(found, database=dbname or found.database, user=user, password=password)


def any_database(caller: Caller, name: str, mode: Mode, server: str, *args: Any, dbtype: str = "db", **kwargs: Any) -> Any:
    """As `database`, of the kind `dbtype`, which an alias knows by itself."""
    return database(caller, dbtype.removeprefix("*"), mode, server, *args, **kwargs)


class Verbs:
    """What asks back-ends, wherever `was` is."""

    __slots__ = ()

    @abstractmethod
    def _caller(self) -> Caller:
        """For whom."""

    get = Verb(http)
    getjson = Verb(http)
    getxml = Verb(http)
    post = Verb(http)
    postjson = Verb(http)
    postxml = Verb(http)
    put = Verb(http)
    putjson = Verb(http)
    putxml = Verb(http)
    patch = Verb(http)
    patchjson = Verb(http)
    patchxml = Verb(http)
    delete = Verb(http)
    deletejson = Verb(http)
    deletexml = Verb(http)
    head = Verb(http)
    options = Verb(http)
    trace = Verb(http)
    upload = Verb(http)

    ws = Verb(websocket)
    wss = Verb(websocket)

    rpc = Verb(remote)
    jsonrpc = Verb(remote)
    grpc = Verb(grpc)

    db = Verb(any_database)
    backend = Verb(database)
    postgresql = Verb(database)
    sqlite3 = Verb(database)
    redis = Verb(database)
    mongodb = Verb(database)
