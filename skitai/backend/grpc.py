"""Calls of gRPC services over HTTP/2: ``was.grpc(url).Method(message)``.

What a method takes and gives says the generated module (``*_pb2``) of its service, which has to be imported somewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from skitai.backend.errors import BackendError, Code
from skitai.backend.result import Result
from skitai.protocols.grpc import compression, timeouts
from skitai.protocols.grpc.framing import COMPRESSED, Deframer, frame
from skitai.protocols.grpc.metadata import Metadata, Value, received, sent
from skitai.protocols.grpc.status import RpcError, StatusCode, of_response, outcome

MESSAGE_BYTES = 4 << 20
"""Longest message that is taken; grpcio has the same limit."""

FIELDS = (("Content-Type", "application/grpc+proto"), ("TE", "trailers"), ("grpc-accept-encoding", compression.ACCEPTED))


Reading = Callable[[Any, Any], Any]
"""Makes the data of a result, given the process it is in."""


@dataclass(frozen=True, slots=True)
class Method:
    """A method of a service.

    :ivar answer: the class of its answers.
    """

    name: str
    answer: Any
    takes_stream: bool
    gives_stream: bool


def find(service: str, name: str) -> Method:
    """What the generated modules say of a method.

    :param service: its full name, ``package.Service``.
    :raises LookupError: none that is imported knows it.
    """
    try:
        from google.protobuf import descriptor_pool, message_factory
    except ImportError:
        raise LookupError("calling gRPC services needs protobuf: pip install skitai[grpc]") from None
    try:
        found = descriptor_pool.Default().FindServiceByName(service).FindMethodByName(name)
    except KeyError:
        raise LookupError(f"no imported module knows {service}/{name}: import the *_pb2 that was generated for it") from None
    answer = message_factory.GetMessageClass(found.output_type)
    return Method(name, answer, found.client_streaming, found.server_streaming)


class Stub:
    """A service, by its methods' names. Each takes a message, or an iterable of messages, and

    - ``timeout``: seconds, which the server is told, too;
    - ``metadata``: pairs, values of names that end in "-bin" are bytes;
    - ``compression``: "gzip" to send messages compressed;
    - ``stream``: True to have `Result.data` give the messages as they come (`Messages`).

    `Result.data` is a message; of methods that give a stream, a list of them.

    :param service: its full name.
    :param call: makes the request, from a path below the service's, body, fields, what reads the result, and options.
    """

    __slots__ = ("_call", "_service")

    def __init__(self, service: str, call: Callable[..., Any]) -> None:
        self._service = service
        self._call = call

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        method = find(self._service, name)

        def call(
            request: Any,
            timeout: float | None = None,
            metadata: Iterable[tuple[str, Value]] | Mapping[str, Value] = (),
            compression: str = "",
            stream: bool = False,
        ) -> Any:
            pairs = metadata.items() if isinstance(metadata, Mapping) else metadata
            fields = [*FIELDS, *sent(pairs)]
            if timeout is not None:
                fields.append(("grpc-timeout", timeouts.dump(timeout)))
            if compression:
                fields.append(("grpc-encoding", compression))
            body = body_of(method, request, compression)
            if stream:
                return self._call(name, body, fields, lambda result, home: Messages(result, method, home), timeout, True)
            return self._call(name, body, fields, lambda result, home: read(result, method), timeout, False)

        return call


def body_of(method: Method, request: Any, coding: str) -> Any:
    """What is sent: bytes, a list of them, or what gives them as they are asked for.

    :raises TypeError: the method takes one message, or a stream of them, and this is not what it got.
    :raises ValueError: there is no such compression.
    """
    if coding and not compression.is_known(coding):
        raise ValueError(f"there is no compression {coding!r}; gzip and deflate are there")

    def framed(message: Any) -> bytes:
        data: bytes = message.SerializeToString()
        return frame(compression.pack(data, coding), COMPRESSED) if coding else frame(data)

    if not method.takes_stream:
        if not hasattr(request, "SerializeToString"):
            raise TypeError(f"{method.name} takes a message, not a {type(request).__name__}")
        return framed(request)
    if isinstance(request, (list, tuple)):
        return [framed(each) for each in request]
    if isinstance(request, AsyncIterable):
        return _framed_as_they_come(request, framed)
    if isinstance(request, Iterable):
        return map(framed, request)
    raise TypeError(f"{method.name} takes a stream of messages: an iterable, not a {type(request).__name__}")


async def _framed_as_they_come(messages: AsyncIterable[Any], framed: Callable[[Any], bytes]) -> AsyncIterator[bytes]:
    async for message in messages:
        yield framed(message)


class _Reader:
    """Messages in what comes."""

    def __init__(self, result: Any, method: Method) -> None:
        self._answer = method.answer
        self._coding = result.get_header("grpc-encoding", compression.IDENTITY)
        self._frames = Deframer(MESSAGE_BYTES)

    def feed(self, data: bytes) -> Iterator[Any]:
        """:raises ValueError: what came is no message."""
        for flag, content in self._frames.feed(data):
            if flag & COMPRESSED:
                content = compression.unpack(content, self._coding, MESSAGE_BYTES)
            yield self._parsed(content)

    def _parsed(self, content: bytes) -> Any:
        try:
            return self._answer.FromString(content)
        except Exception as error:  # protobuf's own DecodeError, whose home depends on its version
            raise compression.Malformed(f"a message is no {self._answer.DESCRIPTOR.name}: {error}") from error

    def end(self) -> None:
        self._frames.end()


def read(result: Any, method: Method) -> Any:
    """The message, or messages, of a complete answer; what else came is noted on the result.

    :raises BackendError: they cannot be read.
    """
    if failed(result):
        return None
    reader = _Reader(result, method)
    try:
        messages = list(reader.feed(result.content))
        reader.end()
    except ValueError as error:
        raise BackendError(Code.PROTOCOL, f"the answer of {method.name}: {error}", sent=True) from error
    if method.gives_stream:
        return messages
    if len(messages) != 1:
        fail(result, RpcError(StatusCode.UNIMPLEMENTED, f"{len(messages)} messages where one was to come"))
        return None
    return messages[0]


def failed(result: Any) -> bool:
    """Whether a complete answer says that the call went wrong; then the result says so, too."""
    error = error_of(result)
    result.metadata = received(result.fields.pairs)
    result.trailing_metadata = received(result.trailers.pairs) if result.trailers is not None else Metadata()
    if error is not None:
        fail(result, error)
    return error is not None


def fail(result: Result, error: RpcError) -> None:
    result.status_code, result.reason, result.error = error.status, str(error), error


def error_of(result: Any) -> RpcError | None:
    """What the end of an answer says ("Responses" in gRPC over HTTP2)."""
    fields = {name.decode("latin-1"): value.decode("latin-1") for name, value in result.fields.pairs}
    if result.trailers is not None:
        fields |= {name.decode("latin-1"): value.decode("latin-1") for name, value in result.trailers.pairs}
    try:
        code, message, details = outcome(fields)
    except ValueError as error:
        if result.status_code == 200:
            return RpcError(StatusCode.UNKNOWN, f"the answer has no status: {error}")
        return RpcError(of_response(result.status_code), f"HTTP status {result.status_code}")
    return RpcError(code, message, details) if code is not StatusCode.OK else None


class Messages:
    """The messages of a stream, as they come: for ``async for``, and in threads for ``for``.

    :raises RpcError: while it is iterated, when the call went wrong.
    """

    def __init__(self, result: Any, method: Method, home: Any) -> None:
        self._result = result
        self._method = method
        self._home = home

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._messages()

    async def _messages(self) -> AsyncIterator[Any]:
        result = self._result
        reader = _Reader(result, self._method)
        if result.pieces is not None:
            async for piece in result.pieces:
                for message in reader.feed(piece):
                    yield message
        error = error_of(result)
        if error is not None:
            raise error
        reader.end()

    def __iter__(self) -> Iterator[Any]:
        """:raises RuntimeError: in the loop's thread."""
        if self._home.in_loop():
            raise RuntimeError("a loop cannot wait for messages with `for`: use `async for`")
        source = self._messages()
        while True:
            coming = asyncio.run_coroutine_threadsafe(_next(source), self._home.loop)
            waiting: AbstractContextManager[None] = self._home.waiting()
            with waiting:
                found = coming.result()
            if not found:
                return
            yield found[0]


async def _next(source: AsyncIterator[Any]) -> tuple[Any, ...]:
    async for message in source:
        return (message,)
    return ()
