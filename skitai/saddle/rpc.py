"""XML-RPC and JSON-RPC: remote calls of plain routes.

The method ``a.b`` is the route at ``/a/b`` of the app, which has to take POST; parameters are the arguments that are not in
its URL. What the route asks of a request - authentication, origins - it asks of a call. A handler's errors become faults.

A POST is taken for remote calls by its media type: ``application/json-rpc``; ``text/xml`` and ``application/xml`` when the
body is a call, and no route at the path names the type among its `content_types`; and everything at the path that
`RpcFacet.mount_rpc` names, where ``application/json`` does, too.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import quote

from skitai.errors import Answerable, BadRequest, NotFound, TooLarge, Unanswerable
from skitai.http import jsontext
from skitai.http.inflate import UnknownCoding
from skitai.http.parameters import essence
from skitai.http.status import phrase
from skitai.log.failures import Failure, describe
from skitai.protocols import jsonrpc, xmlrpc
from skitai.saddle import cors
from skitai.saddle.args import BadArgument, Bound
from skitai.saddle.auth import authorized
from skitai.saddle.hooks import Step, Steps, calling
from skitai.saddle.routing import Found, NotAllowed, Redirect, Route, UnsupportedType, below
from skitai.was import host

if TYPE_CHECKING:
    from skitai.http.head import Head
    from skitai.saddle.context import Was
    from skitai.saddle.routes import Routes

XML = frozenset(("text/xml", "application/xml"))
JSONRPC = "application/json-rpc"
JSON = "application/json"

T = TypeVar("T")
Getting = Generator[Step, Any, T]
"""Steps that end with a value."""

Plain = Callable[["Was", Route], Steps]
"""Answers a request of a route that is no service."""


class Wanted(NamedTuple):
    """A call, whatever the protocol."""

    method: str
    positional: Sequence[Any]
    named: dict[str, Any]


class Failed(NamedTuple):
    """A call that failed.

    :ivar error: what the function raised, or returned as an error; None when it only set a status.
    :ivar value: what it returned.
    """

    failure: Failure
    error: Exception | None = None
    value: Any = None

    @property
    def text(self) -> str:
        """In one line."""
        failure = self.failure
        said = f"HTTP Error: {failure.status} {failure.reason or phrase(failure.status)}"
        return f"{said}: {failure.message}" if failure.message else said


def endpoint(was: Any) -> None:
    """The function of a service: its calls go to the functions of other routes."""


class Service(Route):
    """A route that takes remote calls."""

    __slots__ = ("is_mounted",)

    def __init__(self, rule: str, *, is_mounted: bool) -> None:
        super().__init__(rule, endpoint, "saddle.rpc", methods=["POST", "OPTIONS"], authenticate=False, docs=False)
        self.is_mounted = is_mounted

    def answer(self, was: Was, plain: Plain) -> Steps:
        """Make the calls of a request.

        :param plain: answers it when it holds none, and its path leads to another route.
        :returns: what the response is made of.
        :raises Answerable: nothing can be called: the body is malformed, or a call lacks credentials.
        """
        if was.request.method == "OPTIONS":
            return was.response("204 No Content", "", [("Allow", "POST, OPTIONS")])
        kind = essence(was.request.head.fields.text("content-type"))
        data = yield Step(False, _body, (was,))
        if kind in XML and (self.is_mounted or xmlrpc.is_call(data)):
            return (yield from _xml(was, _limited(data)))
        if kind == JSONRPC or (kind == JSON and self.is_mounted):
            return (yield from _json(was, _limited(data)))
        if self.is_mounted:
            raise UnsupportedType(f"remote calls are {JSON}, {JSONRPC} or text/xml, and not {kind or 'of no type'}")
        route = _set_route(was, *_other(was))
        scheme = was.app._scheme(route)
        if scheme is not None:
            yield from authorized(was, scheme)
        return (yield from plain(was, route))


class RpcFacet:
    """What `Saddle` has for remote calls. Without any of it, XML-RPC and ``application/json-rpc`` reach its routes."""

    _routes: Routes

    def __init__(self) -> None:
        self._service = Service("/", is_mounted=False)

    def mount_rpc(self, path: str) -> None:
        """Take remote calls at a path of the app, also JSON-RPC that is sent as ``application/json``."""
        self._routes.add(Service(self._routes.scope.mount + path, is_mounted=True))

    def _service_for(self, head: Head, found: Found | Redirect | None) -> Service | None:
        """The service for a request, unless a route of its path is meant.

        :param found: at its path.
        """
        if head.method != "POST":
            return None
        content_type = head.fields.text("content-type")
        kind = essence(content_type)
        if kind not in XML and kind != JSONRPC:
            return None
        if isinstance(found, Found):
            try:
                route = found.pick("POST", content_type)
            except Answerable:
                return self._service
            if kind in route.content_types or isinstance(route, Service):
                return None
        return self._service


def _body(was: Was) -> bytes:
    try:
        return was.request.unpacked()
    except UnknownCoding:
        return was.request.body  # the concern of whoever gets it


def _limited(data: bytes) -> bytes:
    most = host.config().bodies.rpc_bytes  # small, for values take many times that in memory
    if len(data) > most:
        raise TooLarge(f"remote calls have {most} bytes at most, and these have {len(data)}")
    return data


def _other(was: Was) -> tuple[Route, dict[str, Any]]:
    """The route that the request's own path leads to.

    :raises NotFound: it leads nowhere.
    """
    head = was.request.head
    found = was.app._routes.find(below(head.raw_path, was.app.basepath))
    if not isinstance(found, Found):
        raise NotFound
    return found.pick(head.method, head.fields.text("content-type")), found.values


def _set_route(was: Was, route: Route, values: dict[str, Any]) -> Route:
    was.route = was.request.route = route
    was.values = was.request.values = values
    return route


# XML-RPC


def _xml(was: Was, data: bytes) -> Steps:
    try:
        call = xmlrpc.parse_call(data)
        several = call.method == xmlrpc.MULTICALL
        calls = xmlrpc.calls_of(call, host.config().bodies.rpc_calls) if several else [call]
    except xmlrpc.Malformed as error:
        raise BadRequest(str(error)) from None
    wanted = [each if isinstance(each, xmlrpc.Fault) else Wanted(each.method, each.params, {}) for each in calls]
    results = yield from _all(was, [each for each in wanted if isinstance(each, Wanted)])
    made = iter(results)
    said = [each if isinstance(each, xmlrpc.Fault) else _xml_result(next(made)) for each in wanted]
    was.response.set_header("Content-Type", "text/xml; charset=utf-8")
    if several:
        return xmlrpc.dump_responses(said)
    try:
        return xmlrpc.dump_response(said[0])
    except (TypeError, ValueError, RecursionError) as error:
        return xmlrpc.dump_response(_xml_result(Failed(describe(was.running("response"), error))))


def _xml_result(result: Any) -> Any:
    return xmlrpc.Fault(result.text) if isinstance(result, Failed) else result


# JSON-RPC


def _json(was: Was, data: bytes) -> Steps:
    was.response.set_header("Content-Type", JSON)
    try:
        value = jsontext.loads(data)
    except ValueError as error:
        misfit = jsonrpc.Misfit(jsonrpc.Fault(jsonrpc.PARSE_ERROR, f"the body is not JSON: {error}"), None)
        return jsontext.dumps(jsonrpc.answer(misfit, misfit.fault))
    calls = jsonrpc.read(value, host.config().bodies.rpc_calls)
    if isinstance(calls, jsonrpc.Misfit):
        return jsontext.dumps(jsonrpc.answer(calls, calls.fault))
    results = yield from _all(was, [_wanted(each) for each in calls if isinstance(each, jsonrpc.Call)])
    made = iter(results)
    answers = []
    for each in calls:
        result = next(made) if isinstance(each, jsonrpc.Call) else each.fault
        if isinstance(each, jsonrpc.Misfit) or each.wants_answer:
            answers.append(_json_answer(was, each, result))
    was.response.set_header("Content-Type", JSON)
    if not answers:
        was.response.clear()
        was.response.set_status(204)
        return b""
    return b"[" + b",".join(answers) + b"]" if isinstance(value, list) else answers[0]


def _wanted(call: jsonrpc.Call) -> Wanted:
    named = isinstance(call.params, dict)
    return Wanted(call.method, [] if named else list(call.params), dict(call.params) if named else {})


def _json_answer(was: Was, call: jsonrpc.Call | jsonrpc.Misfit, result: Any) -> bytes:
    try:
        return jsontext.dumps(jsonrpc.answer(call, _fault(result) if isinstance(result, Failed) else result))
    except (TypeError, ValueError, RecursionError) as error:
        failed = Failed(describe(was.running("response"), error))
        return jsontext.dumps(jsonrpc.answer(call, _fault(failed)))


def _fault(failed: Failed) -> jsonrpc.Fault:
    failure = failed.failure
    if isinstance(failed.error, (NotFound, NotAllowed)):
        return jsonrpc.Fault(jsonrpc.NO_METHOD, "there is no such method")
    code = jsonrpc.BAD_PARAMS if isinstance(failed.error, BadArgument) else jsonrpc.FAILED
    data = failed.value if isinstance(failed.value, dict) else failure.shown.splitlines() or None
    return jsonrpc.Fault(code, failure.message or phrase(failure.status), data)


# The calls


def _all(was: Was, calls: list[Wanted]) -> Getting[list[Any]]:
    """Make calls in order. None is made before all are known to be permitted.

    :returns: their results; `Failed` for those that failed.
    :raises Answerable: one is not permitted.
    """
    targets = []
    schemes: set[str] = set()
    for call in calls:
        targets.append((yield from _target(was, call.method, schemes)))
    results = []
    for call, target in zip(calls, targets, strict=True):
        results.append(target if isinstance(target, Failed) else (yield from _one(was, call, *target)))
    return results


def _target(was: Was, method: str, schemes: set[str]) -> Getting[tuple[Route, dict[str, Any]] | Failed]:
    """The route that a method's name leads to, if the client may call it.

    :param schemes: of authentication that this request has passed; for digests pass once only.
    :raises Answerable: it may not.
    """
    head = was.request.head
    route: Route | None = None
    error: Answerable = NotFound()
    values: dict[str, Any] = {}
    found = was.app._routes.find("/" + "/".join(quote(each, safe="") for each in method.split(".")))
    if isinstance(found, Found):
        try:
            route = found.pick("POST", head.fields.text("content-type"))
            values = found.values
        except Answerable as refused:
            error = refused
    if isinstance(route, Service):
        route = None
    cors.fields(was.app, route, head, was.request.scheme)
    scheme = was.app._scheme(route)
    if scheme is not None and scheme not in schemes:
        was.route = was.request.route = route
        yield from authorized(was, scheme)
        schemes.add(scheme)
    return (route, values) if route is not None else Failed(describe(was.running("response"), error), error)


def _one(was: Was, call: Wanted, route: Route, values: dict[str, Any]) -> Getting[Any]:
    exchange = was.running("response")
    _set_route(was, route, values)
    was.response.clear()
    try:
        bound: Bound = route.binder.call(values, call.positional, call.named)
        was.request.args = bound.merged
        result = yield from calling(route.function, route.is_async, was, bound.args, bound.kwargs)
        if isinstance(result, Answerable):
            raise result
    except Unanswerable:
        raise
    except Exception as error:  # noqa: BLE001 - the app's own, whatever it is, is the call's fault
        return Failed(describe(exchange, error), error)
    finally:
        status, reason = was.response.status_code, was.response.reason
        was.response.clear()
    if status < 400:
        return result
    message = result.get("message", "") if isinstance(result, dict) else ""
    return Failed(Failure(status, reason, str(message), (), ""), None, result)
