"""One call of gRPC in an app, as steps (`saddle.call`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skitai.errors import Answerable
from skitai.http.status import phrase
from skitai.protocols.grpc.status import RpcError, StatusCode, of_error
from skitai.saddle import cors
from skitai.saddle.auth import authorized
from skitai.saddle.call import handled
from skitai.saddle.grpc_call import Call
from skitai.saddle.grpc_methods import Target, message_argument
from skitai.saddle.hooks import Step, Steps, calling

if TYPE_CHECKING:
    from skitai.saddle.context import Was


def answer(was: Was, target: Target, call: Call) -> Steps:
    """Answer a call.

    :returns: the response, or what gives responses.
    :raises Exception: whatever fails.
    """
    if target.route is None:
        raise RpcError(StatusCode.UNIMPLEMENTED, f"there is no {target.service}/{target.name}")
    was._call = call
    exchange = was.running("call")
    call.allow(cors.fields(was.app, target.route, exchange.head, exchange.peer.scheme))
    scheme = was.app._scheme(target.route)
    if scheme is not None:
        yield from authorized(was, scheme)
    content = yield from handled(was, lambda: _called(was, target, call))
    if isinstance(content, Answerable):
        raise content
    status = was.response.status_code if "request" in was.__dict__ else 200
    if status >= 400:
        message = content.get("message", "") if isinstance(content, dict) else ""
        raise RpcError(of_error(status), str(message) or was.response.reason or phrase(status))
    return content


def _called(was: Was, target: Target, call: Call) -> Steps:
    route = target.route
    assert route is not None
    if call.is_large:
        request = yield Step(False, call.request, ())
    else:
        request = call.request()
    argument = message_argument(route)
    binder = route.binder if argument is None else route.binder.without(argument.name)
    bound = binder.call(was.values, (), was.request.query)
    args, kwargs = bound.args, bound.kwargs
    if argument is not None and argument.positional:
        args = (request, *args)
    elif argument is not None:
        kwargs[argument.name] = request
    content = yield from calling(route.function, target.in_loop, was, args, kwargs)
    if content is None:
        raise TypeError(
            f"{route.name}() returned None; a message is wanted, and google.protobuf.Empty is one without content"
        )
    return content
