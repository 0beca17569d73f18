"""gRPC services: routes whose requests and responses are messages of protobuf.

The path of a call is ``/package.Service/Method``; so an app that is mounted at ``/package.Service`` has a route ``/Method``.
What a method takes and returns is known from the modules that protoc generates, once they are imported, or else from the
annotations of its function. The function gets the request, or an iterator of requests, as its first argument after `was`,
and returns the response, or an iterator of responses.
"""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from skitai.errors import Answerable
from skitai.protocols.grpc.request import GRPC, WEB, is_call, names_of
from skitai.protocols.grpc.status import RpcError, StatusCode
from skitai.saddle.routing import Found, NotAllowed, Route, UnsupportedType, below

if TYPE_CHECKING:
    from skitai.http.head import Head
    from skitai.saddle.app import Saddle

STREAMS = (Iterable, Iterator, AsyncIterable, AsyncIterator)
"""What annotates several messages; generators, too, where they are returned."""


class Method(NamedTuple):
    """A method of a service.

    :ivar request: class of the messages that clients send.
    :ivar response: of those that they get; None for any.
    :ivar takes_stream: the client sends several messages.
    :ivar gives_stream: it gets several.
    """

    request: Any
    response: Any
    takes_stream: bool
    gives_stream: bool

    def parse(self, data: bytes) -> Any:
        """A message of a client.

        :raises RpcError: it is none.
        """
        try:
            return self.request.FromString(data)
        except Exception as error:  # noqa: BLE001 - DecodeError, of a library that may not be there
            raise RpcError(StatusCode.INTERNAL, f"the message is no {self.request.DESCRIPTOR.full_name}") from error

    def dump(self, message: Any) -> bytes:
        """A message for a client.

        :raises TypeError: it is not of the method's type.
        """
        wanted = self.response
        if wanted is not None and getattr(message, "DESCRIPTOR", None) is not wanted.DESCRIPTOR:
            raise TypeError(f"a {wanted.DESCRIPTOR.full_name} is wanted, not a {type(message).__name__}")
        data: bytes = message.SerializeToString()
        return data


class Target(NamedTuple):
    """Who answers a call.

    :ivar route: None where nobody does.
    :ivar in_loop: the function is a coroutine function, or an asynchronous generator.
    """

    service: str
    name: str
    route: Route | None = None
    values: Mapping[str, Any] = {}
    method: Method | None = None
    in_loop: bool = False


# Who answers


def find(app: Saddle, head: Head, point: str) -> Target:
    """Who answers a call.

    :param point: the mount that it came by.
    """
    service, name = names_of(head.raw_path)
    built_in = app._grpc.built_in.get(head.raw_path)
    if built_in is not None:
        return Target(service, name, built_in[0], {}, built_in[1], in_loop=True)
    path = below(head.raw_path, point)
    found = app._routes.find(path)
    route = None
    if isinstance(found, Found):
        try:
            route = found.pick("POST", None)
        except Answerable:
            route = None
    method = method_of(route, service, name) if route is not None else None
    if route is None or method is None or not isinstance(found, Found):
        return Target(service, name)
    return Target(service, name, route, found.values, method, runs_in_loop(route.function))


def is_method(route: Route, head: Head) -> bool:
    """Whether a route is there for calls alone: it is a method, and says nothing of other requests."""
    return (
        route.methods is None
        and not route.content_types
        and not is_call(head)
        and method_of(route, *names_of(head.raw_path)) is not None
    )


def not_a_call(head: Head) -> Answerable:
    """What becomes of another request to such a route."""
    if head.method != "POST":
        return NotAllowed("this is a method of gRPC; calls are made by POST", fields=[("Allow", "POST, OPTIONS")])
    return UnsupportedType(f"this is a method of gRPC, so {GRPC} or {WEB} is wanted")


def method_of(route: Route, service: str, name: str) -> Method | None:
    """What a method takes and returns; None where nothing says it."""
    return _described(service, name) or _annotated(route)


def pool() -> Any:
    """The descriptors of all generated modules that are imported; None as long as there cannot be any."""
    module = sys.modules.get("google.protobuf.descriptor_pool")
    return module.Default() if module is not None else None


def _described(service: str, name: str) -> Method | None:
    known = pool()
    if known is None:
        return None
    try:
        found = known.FindServiceByName(service).FindMethodByName(name)
    except KeyError:
        return None
    if found is None:
        return None
    from google.protobuf.message_factory import GetMessageClass  # which is there, as the pool is

    takes, gives = GetMessageClass(found.input_type), GetMessageClass(found.output_type)
    return Method(takes, gives, found.client_streaming, found.server_streaming)


def _annotated(route: Route) -> Method | None:
    argument = message_argument(route)
    if argument is None:
        return None
    request, takes_stream = _message(argument.annotation, STREAMS)
    if request is None:
        return None
    function = inspect.unwrap(route.function)
    try:
        returned = typing.get_type_hints(function).get("return")
    except (NameError, TypeError, AttributeError):
        returned = None
    generates = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
    response, gives_stream = _message(returned, (*STREAMS, typing.Generator, typing.AsyncGenerator))
    return Method(request, response, takes_stream, gives_stream or generates)


def _message(annotation: Any, streams: tuple[Any, ...]) -> tuple[Any, bool]:
    """The class of messages in an annotation, if there is one, and whether it says that there are several."""
    origin = typing.get_origin(annotation)
    several = origin is not None and origin in [typing.get_origin(each) or each for each in streams]
    if several:
        annotation = typing.get_args(annotation)[0]
    is_message = isinstance(annotation, type) and hasattr(annotation, "FromString") and hasattr(annotation, "DESCRIPTOR")
    return (annotation, several) if is_message else (None, False)


def message_argument(route: Route) -> Any:
    """The argument that a request becomes; None when the function takes none."""
    return next((each for each in route.binder.arguments if each.name not in route.rule.names), None)


def runs_in_loop(function: Callable[..., Any]) -> bool:
    kinds = (inspect.iscoroutinefunction, inspect.isasyncgenfunction)
    return any(kind(each) for kind in kinds for each in (function, inspect.unwrap(function)))


def services_of(app: Saddle) -> set[str]:
    """Full names of the services that an app serves and that generated modules describe."""
    known = pool()
    names = {names_of(path)[0] for path in app._grpc.built_in}
    for route in app._routes.all:
        for point in app._points or ["/"]:
            service, name = names_of(point.rstrip("/") + route.rule.text)
            if known is not None and _described(service, name) is not None:
                names.add(service)
    return names
