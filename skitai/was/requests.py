"""Requests to other web services, as `was` makes them: HTTP, remote calls, gRPC, WebSocket.

Each function gets for whom it works, the name of the verb, whom to ask of an alias, and the caller's own arguments; those
behind the named ones are `caller.Options`, in their order or by name. Drivers are imported when they are first needed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from skitai.backend.backends import Target
from skitai.backend.result import Result
from skitai.backend.task import Group, Task
from skitai.was import process
from skitai.was.caller import PLAIN, Caller, Mode, Options

Headers = Mapping[str, Any] | Iterable[tuple[str, Any]] | None

HTTP = ("http", "https")
WEBSOCKET = ("ws", "wss")


@cache
def requests() -> Any:
    """What makes requests of HTTP."""
    from skitai.backend.drivers.http import traced

    return traced


def http(
    caller: Caller,
    verb: str,
    mode: Mode,
    uri: str,
    data: Any = None,
    auth: tuple[str, ...] | None = None,
    headers: Headers = None,
    *rest: Any,
    **given: Any,
) -> Task | Group:
    """Make an HTTP request.

    :param uri: absolute, or ``@alias/path``.
    :param data: see `backend.drivers.http.request.make`, as for `auth`, `headers` and whatever else has a name.
    :raises KeyError: no such alias.
    :raises ValueError: something in it cannot be sent.
    """
    if data is None and auth is None and headers is None and not rest and not given and isinstance(uri, str):
        web, backends = requests(), process.backends()
        place, request, heads = web.usual(verb, uri)
        target = backends.cluster(place) if isinstance(place, str) else place
        if mode or target.kind not in HTTP:
            destination(caller, uri, HTTP, mode)  # which knows what is wrong, if anything is
        operation = web.Traced(request, caller.trace(), heads)
        if caller.direct and mode != "map":
            return backends.ask(target, operation)
        return caller.ask(target, mode, PLAIN, operation)
    options, more = Options.of(rest, given)
    return _send(caller, verb, mode, uri, data, auth, pairs(headers), options, **more)


def _send(
    caller: Caller,
    verb: str,
    mode: Mode,
    uri: str,
    data: Any,
    auth: tuple[str, ...] | None,
    fields: list[tuple[str, Any]],
    options: Options,
    **more: Any,
) -> Task | Group:
    make = requests().make
    unknown = more.keys() - (make.__kwdefaults__ or {}).keys()
    if unknown:
        raise TypeError(f"requests over HTTP have no argument {', '.join(sorted(unknown))}")
    target, _ = destination(caller, uri, HTTP, mode)
    sent = list(fields)
    if options.use_cache is False:
        sent.append(("Cache-Control", "no-cache"))
    elif options.use_cache is not True and caller.backends.home.cache is not None:
        oldest_s = max(0, int(time.time() - options.use_cache))
        sent.append(("Cache-Control", f"max-age={oldest_s}"))
    request = make(verb, uri, data, auth, sent, **more)
    return caller.ask(target, mode, options, requests().Traced(request, caller.trace()))


def remote(
    caller: Caller,
    verb: str,
    mode: Mode,
    uri: str,
    auth: tuple[str, ...] | None = None,
    headers: Headers = None,
    *rest: Any,
    **given: Any,
) -> Any:
    """A server of XML-RPC or JSON-RPC, whose methods make requests.

    :param uri: absolute, or ``@alias/path``.
    :raises KeyError: no such alias.
    """
    from skitai.backend import remote as calls

    dump, load, fields = (
        (calls.dump_xml, calls.load_xml, calls.XML) if verb == "rpc" else (calls.dump_json, calls.load_json, calls.JSON)
    )
    options, more = Options.of(rest, given)
    options, sent = options.reading(load), [*fields, *pairs(headers)]

    def call(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return _send(caller, "post", mode, uri, dump(name, args, kwargs), auth, sent, options, **more)

    return calls.Stub(call)


def grpc(
    caller: Caller,
    verb: str,
    mode: Mode,
    uri: str,
    auth: tuple[str, ...] | None = None,
    headers: Headers = None,
    *rest: Any,
    **given: Any,
) -> Any:
    """A gRPC service, whose methods make requests (`backend.grpc.Stub`).

    :param uri: ``http://host/package.Service``, or ``@alias/package.Service``.
    :raises KeyError: no such alias.
    """
    from skitai.backend.grpc import Reading, Stub

    base = uri.rstrip("/")
    options, more = Options.of(rest, given)
    own = pairs(headers)

    def call(name: str, body: Any, fields: list[tuple[str, str]], read: Reading, limit: float | None, stream: bool) -> Any:
        def take(result: Result) -> Any:
            return read(result, caller.backends.home)

        wanted = options.reading(take)
        if limit is not None:
            wanted = replace(wanted, timeout=limit)
        how = {"http2": True, "stream": stream, "decode": False} | more
        return _send(caller, "post", mode, f"{base}/{name}", body, auth, [*fields, *own], wanted, **how)

    return Stub(base.rpartition("/")[2], call)


def websocket(
    caller: Caller,
    verb: str,
    mode: Mode,
    uri: str,
    data: Any = b"",
    auth: tuple[str, ...] | None = None,
    headers: Headers = None,
    *rest: Any,
    **given: Any,
) -> Task | Group:
    """Send one message over a WebSocket connection of its own; the result is the first that comes back.

    :param uri: ``ws://...``, ``wss://...``, or ``@alias/path``.
    :param data: text, bytes, or ``(opcode, data)``.
    :raises KeyError: no such alias.
    :raises TypeError: `data` is no message.
    :raises ValueError: something in it cannot be sent.
    """
    from skitai.backend.drivers.websocket import WebSocketRequest
    from skitai.protocols.websocket.client import opcode_of

    options, more = Options.of(rest, given)
    if more:
        raise TypeError(f"was.{verb}() has no argument {', '.join(more)}")
    opcode, content = opcode_of(data)
    target, path = destination(caller, uri, WEBSOCKET, mode)
    fields = [*pairs(headers), *caller.tracing()]
    checked = requests().make("get", path, None, auth, [*fields, ("Accept", "")])
    request = WebSocketRequest(checked.target, opcode, content, tuple(fields), checked.auth)
    return caller.ask(target, mode, options, request)


def destination(caller: Caller, uri: str, kinds: tuple[str, ...], mode: Mode) -> tuple[Target, str]:
    """Whom to ask, and the path.

    :param kinds: of back-ends that will do: those of HTTP, or of WebSocket.
    :raises KeyError: no such alias.
    :raises TypeError: it is no text.
    :raises ValueError: it is no URL, or the alias is of another kind.
    """
    if not isinstance(uri, str):
        raise TypeError(f"a URL, or @alias/path, is text, not {uri!r}")
    if uri.startswith("@"):
        name, slash, path = uri.partition("/")
        cluster = process.backends().cluster(name)
        if cluster.alias.kind not in kinds:
            raise ValueError(f"{name} is a back-end of {cluster.alias.kind}, which does not speak {kinds[0]}")
        return cluster, slash + path
    if mode:
        raise ValueError(f".{mode} wants an alias: '@NAME/path', not {uri!r}")
    locate = requests().locate
    if kinds is HTTP:
        found, path = locate(uri)
        return found, path
    scheme, _, rest = uri.partition("://")
    if scheme.lower() not in kinds:
        raise ValueError(f"{uri!r} is no URL of WebSocket: ws://host/path, wss://host/path or @alias/path is")
    found, path = locate(f"{'https' if scheme.lower() == 'wss' else 'http'}://{rest}")
    return replace(found, kind="wss" if found.secure else "ws"), path


def pairs(headers: Headers) -> list[tuple[str, Any]]:
    """Fields as a list, however they are given."""
    return list(headers.items() if isinstance(headers, Mapping) else headers or ())
