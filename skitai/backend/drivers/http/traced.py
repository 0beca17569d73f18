"""A request that may be made again and again, with what tells for whom it is made this time."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeVar

from skitai.backend.drivers.http.origin import H2, Origin
from skitai.backend.drivers.http.request import Field, HttpRequest, locate, make
from skitai.config.aliases import Member
from skitai.log.txn import hand_on, hand_on_lines
from skitai.protocols.http2.events import Pair

__all__ = ["Traced", "locate", "make", "usual"]

END = b"\r\n"

MOST_HEADS = 16
"""Of one request are kept: one for each server that it goes to."""

T = TypeVar("T")

Trace = tuple[tuple[str, str], int]
"""The ids of a client's request, and which of those that are made for it this is."""


class Traced:
    """What `was` asks servers of HTTP; a `seam.Operation`.

    :ivar request: all of it but the trace; shared by who asks the same.
    :ivar verb: the method as it is sent.
    :ivar trace: None where no client is asked for.
    :ivar heads: what was sent of the request before, by what depends on the server; None where it is made but once.
    """

    __slots__ = ("heads", "method", "request", "trace", "verb")

    def __init__(self, request: HttpRequest, trace: Trace | None, heads: dict[Any, Any] | None = None) -> None:
        self.method = method = request.method
        self.verb = method.upper()
        self.request = request
        self.trace = trace
        self.heads = heads

    @property
    def repeatable(self) -> bool:
        return self.request.repeatable

    def key(self) -> Any:
        """Without the trace: it is no other request when somebody else makes it."""
        return self.request.key()

    def whole(self) -> HttpRequest:
        """The request with its trace."""
        request = self.request
        if self.trace is None:
            return request
        return request._replace(fields=(*request.fields, *hand_on(*self.trace)))


@lru_cache(maxsize=1024)
def usual(verb: str, uri: str) -> tuple[Member | str, HttpRequest, dict[Any, Any]]:
    """A request that says nothing but its URL, as most; handlers make the same again and again.

    :returns: the server, or the name of an alias; the request; and `Traced.heads` for all who make it.
    :raises ValueError: it cannot be sent.
    """
    place = uri.partition("/")[0] if uri.startswith("@") else locate(uri)[0]
    return place, make(verb, uri), {}


def head_of(operation: Traced, origin: Origin, target: str) -> bytes:
    """The head of a request in HTTP/1.1, with its trace."""
    request, heads, trace = operation.request, operation.heads, operation.trace
    head = None if heads is None else heads.get((origin.number, target))
    if head is None:
        head = kept(heads, (origin.number, target), origin.head(request, target, fields_of(request)))
    return head if trace is None else head[:-2] + hand_on_lines(*trace).encode("ascii") + END


def pairs_of(operation: Traced, origin: Origin, target: str) -> list[Pair]:
    """The head of a request in HTTP/2, with its trace."""
    request, heads, trace = operation.request, operation.heads, operation.trace
    pairs = None if heads is None else heads.get((origin.number, target, H2))
    if pairs is None:
        pairs = kept(heads, (origin.number, target, H2), origin.pairs(request, target, fields_of(request)))
    if trace is None:
        return pairs
    return [*pairs, *[(name.lower().encode("ascii"), value.encode("ascii")) for name, value in hand_on(*trace)]]


def kept(heads: dict[Any, Any] | None, key: Any, head: T) -> T:
    if heads is not None:
        if len(heads) >= MOST_HEADS:
            heads.clear()
        heads[key] = head
    return head


def fields_of(request: HttpRequest, authorization: str = "") -> tuple[Field, ...]:
    """What is sent of a request, but for what depends on the connection."""
    fields = request.fields
    if authorization:
        fields = (*fields, ("Authorization", authorization))
    if request.cookies:
        fields = (*fields, ("Cookie", "; ".join([f"{name}={value}" for name, value in request.cookies])))
    return fields
