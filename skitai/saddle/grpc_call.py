"""`was.call`: one call of gRPC, as a handler sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from time import monotonic
from typing import Any, Protocol

from skitai.protocols.grpc import compression, metadata
from skitai.protocols.grpc.metadata import Metadata, Value
from skitai.protocols.grpc.status import RpcError, StatusCode

_KEY = "grpc metadata"


class Line(Protocol):
    """What a call is answered through (`worker.rpc.Line`).

    :ivar begun: the head of the response was sent.
    :ivar over: so was its end, or nobody is there to get it.
    :ivar fields: of that head, beside the protocol's own.
    """

    begun: bool
    over: bool
    fields: list[tuple[str, str]]

    def begin(self) -> None:
        """Send the head of the response, unless that was done."""


class Call:
    """One call.

    :ivar service: full name, "package.Service".
    :ivar method: its name.
    :ivar deadline: when the client will not wait any longer, on the monotonic clock; `inf` for never.
    :ivar compression: of the messages that follow: "gzip", "deflate" or "identity"; None for the app's usual one.
    :ivar trailers: behind the response; `add_trailer` writes them.
    :ivar is_large: reading the request may take long.
    """

    __slots__ = (
        "_exchange",
        "_line",
        "compression",
        "deadline",
        "is_large",
        "method",
        "request",
        "service",
        "trailers",
    )

    def __init__(
        self, service: str, method: str, exchange: Any, line: Line, deadline: float, request: Callable[[], Any]
    ) -> None:
        """:param request: gives what the handler gets."""
        self.service = service
        self.method = method
        self.deadline = deadline
        self.compression: str | None = None
        self.trailers: list[tuple[str, str]] = []
        self.request = request
        self.is_large = False
        self._exchange = exchange
        self._line = line

    @property
    def metadata(self) -> Metadata:
        """What the client says beside its messages.

        :raises RpcError: a binary value is malformed.
        """
        fields = self._exchange.head.fields
        found: Metadata | None = fields.forms.get(_KEY)
        if found is None:
            try:
                found = metadata.received(fields.pairs)
            except ValueError as error:
                raise RpcError(StatusCode.INVALID_ARGUMENT, f"metadata: {error}") from None
            fields.forms[_KEY] = found
        return found

    def time_left(self) -> float:
        """Seconds until the deadline, 0 when it has passed; `inf` where there is none."""
        return max(self.deadline - monotonic(), 0.0) if self.deadline != inf else inf

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for a response any more: the client has left, or the deadline has passed."""
        return self._line.over or self._exchange.gone

    def add_metadata(self, name: str, value: Value) -> None:
        """Say something before the first message of the response.

        :param value: text of printable ASCII, or bytes with a name that ends in "-bin".
        :raises ValueError: it cannot be sent.
        :raises TypeError: it is of another type.
        :raises RuntimeError: it is too late: the first message was sent.
        """
        if self._line.begun:
            raise RuntimeError("metadata goes before the first message; behind the last there is add_trailer()")
        self._line.fields += metadata.sent([(name, value)])

    def allow(self, fields: list[tuple[str, str]]) -> None:
        """Note what the response says of origins."""
        self._line.fields += fields

    def send_metadata(self, pairs: Iterable[tuple[str, Value]] = ()) -> None:
        """Send what `add_metadata` was told, and this, now; else it goes with the first message.

        :raises ValueError, TypeError, RuntimeError: as `add_metadata`.
        """
        for name, value in pairs:
            self.add_metadata(name, value)
        self._line.begin()

    def add_trailer(self, name: str, value: Value) -> None:
        """Say something behind the last message, beside the status.

        :raises ValueError, TypeError: as `add_metadata`.
        """
        self.trailers += metadata.sent([(name, value)])

    def compress(self, name: str) -> None:
        """Have the messages that follow compressed, where the client can read that.

        :param name: "gzip", "deflate", or "identity" for not.
        :raises ValueError: there is no such compression.
        """
        if not compression.is_known(name):
            raise ValueError(f"compression is gzip, deflate or identity, not {name!r}")
        self.compression = name

    def __repr__(self) -> str:
        return f"<Call {self.service}/{self.method}>"


class GrpcFacet:
    """The members of `Was` for gRPC."""

    _call: Call | None = None

    @property
    def call(self) -> Call:
        """The call that runs.

        :raises RuntimeError: the request is none.
        """
        if self._call is None:
            raise RuntimeError("was.call: this request is no call of gRPC")
        return self._call
