"""Services of gRPC that come with the server: reflection and health. Wants protobuf, the extra ``grpc``.

Their messages are made here, in a pool of their own, so that they do not meet those of other packages.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

try:
    from google.protobuf import descriptor_pb2, descriptor_pool
    from google.protobuf.message_factory import GetMessageClass
except ImportError as error:
    raise ImportError("services of gRPC need protobuf: install skitai[grpc]") from error

from skitai.protocols.grpc.status import RpcError, StatusCode
from skitai.saddle import apps
from skitai.saddle.grpc_methods import Method, pool, services_of
from skitai.saddle.routing import Route

if TYPE_CHECKING:
    from skitai.saddle.app import Saddle
    from skitai.saddle.context import Was

Routes = dict[str, tuple[Route, Method]]

HEALTH = "grpc.health.v1"
REFLECTIONS = ("grpc.reflection.v1", "grpc.reflection.v1alpha")

UNKNOWN, SERVING, NOT_SERVING, SERVICE_UNKNOWN = range(4)
"""How a service is."""

LOOK_S = 1.0
"""So often those who watch are looked after."""

_KINDS = {
    "string": descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    "bytes": descriptor_pb2.FieldDescriptorProto.TYPE_BYTES,
    "int32": descriptor_pb2.FieldDescriptorProto.TYPE_INT32,
}

# Messages by name; of each field its number, its type, its name, and whether it is "one" of several or "many".
_HEALTH = {
    "HealthCheckRequest": ((1, "string", "service", ""),),
    "HealthCheckResponse": ((1, "ServingStatus", "status", ""),),
}
_HEALTH_METHODS = (
    ("Check", "HealthCheckRequest", "HealthCheckResponse", False),
    ("Watch", "HealthCheckRequest", "HealthCheckResponse", True),
)
_REFLECTION = {
    "ServerReflectionRequest": (
        (1, "string", "host", ""),
        (3, "string", "file_by_filename", "one"),
        (4, "string", "file_containing_symbol", "one"),
        (5, "ExtensionRequest", "file_containing_extension", "one"),
        (6, "string", "all_extension_numbers_of_type", "one"),
        (7, "string", "list_services", "one"),
    ),
    "ExtensionRequest": ((1, "string", "containing_type", ""), (2, "int32", "extension_number", "")),
    "ServerReflectionResponse": (
        (1, "string", "valid_host", ""),
        (2, "ServerReflectionRequest", "original_request", ""),
        (4, "FileDescriptorResponse", "file_descriptor_response", "one"),
        (5, "ExtensionNumberResponse", "all_extension_numbers_response", "one"),
        (6, "ListServiceResponse", "list_services_response", "one"),
        (7, "ErrorResponse", "error_response", "one"),
    ),
    "FileDescriptorResponse": ((1, "bytes", "file_descriptor_proto", "many"),),
    "ExtensionNumberResponse": ((1, "string", "base_type_name", ""), (2, "int32", "extension_number", "many")),
    "ListServiceResponse": ((1, "ServiceResponse", "service", "many"),),
    "ServiceResponse": ((1, "string", "name", ""),),
    "ErrorResponse": ((1, "int32", "error_code", ""), (2, "string", "error_message", "")),
}

_own = descriptor_pool.DescriptorPool()


def _file(name: str, package: str, messages: dict[str, Any]) -> Any:
    """The description of a file, whose services and enumerations the caller adds."""
    file = descriptor_pb2.FileDescriptorProto(name=name, package=package, syntax="proto3")
    for each, fields in messages.items():
        message = file.message_type.add(name=each)
        for number, kind, field_name, how in fields:
            field = message.field.add(name=field_name, number=number, label=3 if how == "many" else 1)
            if kind in _KINDS:
                field.type = _KINDS[kind]
            elif kind in messages:
                field.type, field.type_name = field.TYPE_MESSAGE, f".{package}.{kind}"
            else:
                field.type, field.type_name = field.TYPE_ENUM, f".{package}.{each}.{kind}"
            if how == "one":
                if not message.oneof_decl:
                    message.oneof_decl.add(name="message_" + each.removeprefix("ServerReflection").lower())
                field.oneof_index = 0
    return file


def _described(package: str) -> Any:
    """The description of the file of one of the packages here."""
    if package == HEALTH:
        file = _file("grpc/health/v1/health.proto", package, _HEALTH)
        enumeration = file.message_type[1].enum_type.add(name="ServingStatus")
        for number, name in enumerate(("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")):
            enumeration.value.add(name=name, number=number)
        service = file.service.add(name="Health")
        for name, takes, gives, several in _HEALTH_METHODS:
            service.method.add(
                name=name, input_type=f".{package}.{takes}", output_type=f".{package}.{gives}", server_streaming=several
            )
        return file
    file = _file(f"{package.replace('.', '/')}/reflection.proto", package, _REFLECTION)
    takes, gives = (f".{package}.ServerReflection{each}" for each in ("Request", "Response"))
    service = file.service.add(name="ServerReflection")
    service.method.add(
        name="ServerReflectionInfo", input_type=takes, output_type=gives, client_streaming=True, server_streaming=True
    )
    return file


for _package in (HEALTH, *REFLECTIONS):
    _own.Add(_described(_package))


def _message(name: str) -> Any:
    return GetMessageClass(_own.FindMessageTypeByName(name))


def _route(package: str, service: str, name: str, function: Callable[..., Any]) -> tuple[str, tuple[Route, Method]]:
    path = f"/{package}.{service}/{name}"
    found = _own.FindServiceByName(f"{package}.{service}").FindMethodByName(name)
    method = Method(
        GetMessageClass(found.input_type),
        GetMessageClass(found.output_type),
        found.client_streaming,
        found.server_streaming,
    )
    return path, (Route(path, function, f"grpc.{name}", authenticate=False, docs=False), method)


# Health


class Health:
    """How the services of an app are, in this worker. All but `set` belongs to the loop."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._said: dict[str, bool] = {}
        self._response = _message(f"{HEALTH}.HealthCheckResponse")

    def set(self, service: str, serving: bool) -> None:
        """Say how a service is; those who watch hear of it within a second."""
        self._said[service] = serving

    def of(self, service: str) -> int:
        if service in self._said:
            return SERVING if self._said[service] else NOT_SERVING
        known = not service or any(service in services_of(each) for each in neighbours(self._app))
        return SERVING if known else SERVICE_UNKNOWN

    async def check(self, was: Was, request: Any) -> Any:
        status = self.of(request.service)
        if status == SERVICE_UNKNOWN:
            raise RpcError(StatusCode.NOT_FOUND, f"there is no service {request.service}")
        return self._response(status=status)

    async def watch(self, was: Was, request: Any) -> AsyncIterator[Any]:
        said = UNKNOWN
        services = was.running("call").connection.services  # type: ignore[attr-defined]
        while not services.retiring:
            status = self.of(request.service)
            if status != said:
                said = status
                yield self._response(status=status)
            await asyncio.sleep(LOOK_S)
        raise RpcError(StatusCode.UNAVAILABLE, "the server ends")


def health(app: Any) -> tuple[Health, Routes]:
    """The service that says how an app's services are."""
    made = Health(app)
    return made, dict(
        (_route(HEALTH, "Health", "Check", made.check), _route(HEALTH, "Health", "Watch", made.watch)),
    )


# Reflection


def neighbours(app: Any) -> list[Saddle]:
    """An app, and the others of its host."""
    return list({id(each): each for each in (app, *apps.Apps(app).values())}.values())


def reflection(app: Any) -> Routes:
    """The services that describe an app's services, and those of the others of its host."""
    return dict(
        _route(each, "ServerReflection", "ServerReflectionInfo", Reflection(app, each).answer) for each in REFLECTIONS
    )


class Reflection:
    """One version of the service."""

    def __init__(self, app: Any, package: str) -> None:
        self._app = app
        self._response = _message(f"{package}.ServerReflectionResponse")

    async def answer(self, was: Was, requests: Any) -> AsyncIterator[Any]:
        async for request in requests:
            response = self._response(valid_host=request.host, original_request=request)
            asked = request.WhichOneof("message_request")
            try:
                self._tell(response, request, asked)
            except KeyError:
                response.error_response.error_code = StatusCode.NOT_FOUND
                response.error_response.error_message = f"there is no {str(getattr(request, asked))[:200]}"
            yield response

    def _tell(self, response: Any, request: Any, asked: str | None) -> None:
        """:raises KeyError: there is nothing of that name."""
        match asked:
            case "list_services":
                names = set().union(*(services_of(each) for each in neighbours(self._app)))
                for name in sorted(names):
                    response.list_services_response.service.add(name=name)
            case "file_by_filename":
                self._add(response, lambda known: known.FindFileByName(request.file_by_filename))
            case "file_containing_symbol":
                self._add(response, lambda known: _file_of(known, request.file_containing_symbol))
            case "file_containing_extension":
                wanted = request.file_containing_extension
                self._add(response, lambda known: _extension(known, wanted.containing_type, wanted.extension_number).file)
            case "all_extension_numbers_of_type":
                name = request.all_extension_numbers_of_type
                found = _find(lambda known: (known, known.FindMessageTypeByName(name)))
                numbers = sorted(each.number for each in found[0].FindAllExtensions(found[1]))
                response.all_extension_numbers_response.base_type_name = name
                response.all_extension_numbers_response.extension_number.extend(numbers)
            case _:
                response.error_response.error_code = StatusCode.INVALID_ARGUMENT
                response.error_response.error_message = "the request asks for nothing that is known here"

    @staticmethod
    def _add(response: Any, find: Callable[[Any], Any]) -> None:
        """Add a file, and those that it is made of."""
        wanted, seen = [_find(find)], set()
        while wanted:
            file = wanted.pop(0)
            if file.name not in seen:
                seen.add(file.name)
                response.file_descriptor_response.file_descriptor_proto.append(file.serialized_pb)
                wanted += file.dependencies


def _find(find: Callable[[Any], Any]) -> Any:
    """What is found in one of the pools.

    :raises KeyError: nothing.
    """
    try:
        return find(pool())
    except KeyError:
        return find(_own)


def _file_of(known: Any, symbol: str) -> Any:
    """The file that defines something; also a method of a service, which pools do not find by themselves."""
    try:
        return known.FindFileContainingSymbol(symbol)
    except KeyError:
        service, _, method = symbol.rpartition(".")
        return known.FindServiceByName(service).methods_by_name[method].containing_service.file


def _extension(known: Any, name: str, number: int) -> Any:
    return known.FindExtensionByNumber(known.FindMessageTypeByName(name), number)
