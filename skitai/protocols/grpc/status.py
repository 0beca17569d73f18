"""How a call ends: a code, a message, details, and what of HTTP's statuses they correspond to."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from skitai.errors import Answerable
from skitai.protocols.grpc.details import Packed, dump, packed
from skitai.protocols.grpc.metadata import Pair, Value, decoded_binary, encoded_binary, sent

STATUS = "grpc-status"
MESSAGE = "grpc-message"
DETAILS = "grpc-status-details-bin"

MESSAGE_BYTES = 4096
"""Longest message that is sent, encoded; clients refuse larger header sections."""


class StatusCode(enum.IntEnum):
    """The codes of gRPC's "Status codes and their use"."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


_HTTP = {
    StatusCode.OK: 200,
    StatusCode.CANCELLED: 499,
    StatusCode.UNKNOWN: 500,
    StatusCode.INVALID_ARGUMENT: 400,
    StatusCode.DEADLINE_EXCEEDED: 504,
    StatusCode.NOT_FOUND: 404,
    StatusCode.ALREADY_EXISTS: 409,
    StatusCode.PERMISSION_DENIED: 403,
    StatusCode.RESOURCE_EXHAUSTED: 429,
    StatusCode.FAILED_PRECONDITION: 400,
    StatusCode.ABORTED: 409,
    StatusCode.OUT_OF_RANGE: 400,
    StatusCode.UNIMPLEMENTED: 501,
    StatusCode.INTERNAL: 500,
    StatusCode.UNAVAILABLE: 503,
    StatusCode.DATA_LOSS: 500,
    StatusCode.UNAUTHENTICATED: 401,
}

_OF_ERRORS = {
    400: StatusCode.INVALID_ARGUMENT,
    401: StatusCode.UNAUTHENTICATED,
    403: StatusCode.PERMISSION_DENIED,
    404: StatusCode.NOT_FOUND,
    405: StatusCode.UNIMPLEMENTED,
    408: StatusCode.CANCELLED,
    409: StatusCode.ABORTED,
    412: StatusCode.FAILED_PRECONDITION,
    413: StatusCode.RESOURCE_EXHAUSTED,
    415: StatusCode.INVALID_ARGUMENT,
    416: StatusCode.OUT_OF_RANGE,
    422: StatusCode.INVALID_ARGUMENT,
    429: StatusCode.RESOURCE_EXHAUSTED,
    431: StatusCode.RESOURCE_EXHAUSTED,
    499: StatusCode.CANCELLED,
    501: StatusCode.UNIMPLEMENTED,
    502: StatusCode.UNAVAILABLE,
    503: StatusCode.UNAVAILABLE,
    504: StatusCode.DEADLINE_EXCEEDED,
}

_OF_RESPONSES = {
    400: StatusCode.INTERNAL,
    401: StatusCode.UNAUTHENTICATED,
    403: StatusCode.PERMISSION_DENIED,
    404: StatusCode.UNIMPLEMENTED,
    429: StatusCode.UNAVAILABLE,
    502: StatusCode.UNAVAILABLE,
    503: StatusCode.UNAVAILABLE,
    504: StatusCode.UNAVAILABLE,
}


def of_error(status: int) -> StatusCode:
    """What an error of an app, which has a status of HTTP, is in gRPC."""
    return _OF_ERRORS.get(status, StatusCode.INVALID_ARGUMENT if 400 <= status < 500 else StatusCode.UNKNOWN)


def of_response(status: int) -> StatusCode:
    """What a client takes a response for that has no status of gRPC ("HTTP to gRPC Status Code Mapping")."""
    return _OF_RESPONSES.get(status, StatusCode.UNKNOWN)


class RpcError(Answerable):
    """A call ends with another status than OK; apps raise it, and clients do.

    :param code: a `StatusCode`, or its number.
    :param message: for the client, whatever the code.
    :param details: messages of protobuf, or pairs of a type's name and its bytes; or a serialised ``google.rpc.Status``.
    :param metadata: sent behind the response, beside the status.
    :raises ValueError: no code of an error, or metadata that cannot be sent.
    :raises TypeError: a detail is no message.
    :ivar trailers: the metadata as fields.
    """

    def __init__(
        self,
        code: int,
        message: str = "",
        details: Iterable[Any] | bytes = (),
        metadata: Sequence[tuple[str, Value]] = (),
    ) -> None:
        self.code = StatusCode(code)
        if self.code is StatusCode.OK:
            raise ValueError("OK is no error: return a message instead")
        super().__init__(message, status=_HTTP[self.code])
        self.details = details if isinstance(details, bytes) else tuple(map(packed, details))
        self.trailers = sent(metadata)

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}" if self.message else self.code.name


def trailers(code: StatusCode, message: str = "", given: Iterable[Packed] | bytes = ()) -> list[Pair]:
    """The fields that end a call.

    :param given: details, as `RpcError` has them.
    """
    fields = [(STATUS, str(int(code)))]
    if message:
        fields.append((MESSAGE, encoded_message(message)))
    if given:
        whole = given if isinstance(given, bytes) else dump(int(code), message, given)
        fields.append((DETAILS, encoded_binary(whole)))
    return fields


def outcome(fields: Mapping[str, str]) -> tuple[StatusCode, str, bytes]:
    """Code, message and serialised ``google.rpc.Status`` of the fields that end a call; names in lower case.

    :raises ValueError: there is no status among them.
    """
    text = fields.get(STATUS, "")
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"no {STATUS}, or a malformed one: {text[:20]!r}")
    try:
        code = StatusCode(int(text))
    except ValueError:
        code = StatusCode.UNKNOWN  # of a later day
    try:
        more = decoded_binary(fields.get(DETAILS, ""))
    except ValueError:
        more = b""  # the status itself is known all the same
    return code, decoded_message(fields.get(MESSAGE, "")), more


def encoded_message(message: str) -> str:
    """A message as `grpc-message` carries it: UTF-8, percent-encoded but for printable ASCII; cut at `MESSAGE_BYTES`."""
    pieces: list[str] = []
    room = MESSAGE_BYTES
    for letter in message:
        if " " <= letter <= "~" and letter != "%":
            piece = letter
        else:
            piece = "".join(f"%{byte:02X}" for byte in letter.encode("utf-8", "replace"))
        room -= len(piece)
        if room < 0:
            break
        pieces.append(piece)
    if pieces and pieces[0] == " ":
        pieces[0] = "%20"  # blanks at the ends of a field are not part of its value
    if pieces and pieces[-1] == " ":
        pieces[-1] = "%20"
    return "".join(pieces)


def decoded_message(text: str) -> str:
    """The message in a `grpc-message`; what is malformed in it is taken as it is."""
    if "%" not in text:
        return text
    data = bytearray()
    at = 0
    while at < len(text):
        digits = text[at + 1 : at + 3]
        if text[at] == "%" and len(digits) == 2 and all(each in "0123456789abcdefABCDEF" for each in digits):
            data.append(int(digits, 16))
            at += 3
        else:
            data += text[at].encode("utf-8", "replace")
            at += 1
    return data.decode("utf-8", "replace")
