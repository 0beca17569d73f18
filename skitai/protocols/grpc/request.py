"""What the head of a call says."""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from skitai.errors import Answerable
from skitai.http.head import Head
from skitai.http.parameters import essence
from skitai.protocols.grpc import compression, timeouts
from skitai.protocols.grpc.status import RpcError, StatusCode

GRPC = "application/grpc"
WEB = "application/grpc-web"
TEXT = "application/grpc-web-text"

_FORMATS = ("", "+proto")


class Kind(NamedTuple):
    """Which of the three a call is.

    :ivar base: the media type without the format of messages.
    :ivar format: of messages: "", which means protobuf, or "+proto".
    """

    base: str
    format: str

    @property
    def is_web(self) -> bool:
        return self.base != GRPC

    @property
    def is_text(self) -> bool:
        return self.base == TEXT

    @property
    def media_type(self) -> str:
        return self.base + self.format


def is_call(head: Head) -> bool:
    """Whether a request says that it is a call."""
    return (head.fields.get(b"content-type") or b"")[: len(GRPC)].lower() == GRPC.encode()


def kind_of(head: Head) -> Kind:
    """The kind of a call.

    :raises Answerable: 415 for messages in a format that is not taken, 405 for another method than POST, 505 where only
        gRPC-Web can be.
    """
    media_type = essence(head.fields.text("content-type"))
    base, plus, name = media_type.partition("+")
    kind = Kind(base, plus + name)
    if base not in (GRPC, WEB, TEXT) or kind.format not in _FORMATS:
        raise Answerable(f"calls are {GRPC}, {WEB} or {TEXT}, with messages of protobuf; not {media_type}", status=415)
    if head.method != "POST":
        raise Answerable("calls are made by POST", status=405, fields=[("Allow", "POST, OPTIONS")])
    if not kind.is_web and not head.version.startswith("2"):
        raise Answerable(f"gRPC needs HTTP/2; over HTTP/{head.version} there is {WEB}", status=505)
    return kind


def names_of(path: str) -> tuple[str, str]:
    """Full name of the service, and name of the method, in the path of a call."""
    _, service, method = ("//" + path).rsplit("/", 2)
    return service, method


class Asked(NamedTuple):
    """A call as its head asks for it.

    :ivar timeout_s: `inf` for none.
    :ivar encoding: of compressed messages.
    :ivar accepted: codings that the client can read.
    """

    kind: Kind
    timeout_s: float
    encoding: str
    accepted: str

    @classmethod
    def of(cls, head: Head) -> Asked:
        """:raises RpcError: it is not how gRPC asks.
        :raises Answerable: as `kind_of`.
        """
        kind = kind_of(head)
        fields = head.fields
        encoding = fields.text("grpc-encoding") or compression.IDENTITY
        if not compression.is_known(encoding):
            raise RpcError(
                StatusCode.UNIMPLEMENTED, f"messages in {encoding[:40]!r} are not known here; {compression.ACCEPTED} are"
            )
        timeout = fields.text("grpc-timeout")
        try:
            timeout_s = timeouts.parse(timeout) if timeout else inf
        except ValueError as error:
            raise RpcError(StatusCode.INTERNAL, str(error)) from None
        return cls(kind, timeout_s, encoding, fields.text("grpc-accept-encoding"))
