"""JSON-RPC 2.0 (jsonrpc.org/specification), and the older 1.0: calls read from JSON values, answers made as such."""

from __future__ import annotations

from typing import Any, NamedTuple

MALFORMED = -32600
NO_METHOD = -32601
BAD_PARAMS = -32602
FAILED = -32000

PARSE_ERROR = -32700


class Call(NamedTuple):
    """One call.

    :ivar params: a list, or a dictionary of named ones.
    :ivar id: what the answer repeats.
    :ivar wants_answer: False for a notification.
    :ivar version: "2.0" or "1.0".
    """

    method: str
    params: list[Any] | dict[str, Any]
    id: Any
    wants_answer: bool
    version: str


class Fault(NamedTuple):
    """What went wrong with a call."""

    code: int
    message: str
    data: Any = None


class Misfit(NamedTuple):
    """What is no call, though it stands where one should."""

    fault: Fault
    id: Any


def is_call(value: Any) -> bool:
    """Whether a JSON value is a call of version 2.0, or a batch that begins with one."""
    first = value[0] if isinstance(value, list) and value else value
    return isinstance(first, dict) and first.get("jsonrpc") == "2.0" and isinstance(first.get("method"), str)


def read(value: Any, most: int) -> list[Call | Misfit] | Misfit:
    """The calls of a batch, or the one call in a list of its own; `Misfit` where there is no call at all.

    :param value: of the JSON text.
    :param most: calls in one batch.
    """
    if not isinstance(value, list):
        return [_call(value)]
    if not value:
        return Misfit(Fault(MALFORMED, "the batch is empty"), None)
    if len(value) > most:
        return Misfit(Fault(MALFORMED, f"the batch has {len(value)} calls; {most} are the most"), None)
    return [_call(each) for each in value]


def _call(value: Any) -> Call | Misfit:
    if not isinstance(value, dict):
        return Misfit(Fault(MALFORMED, "a call is an object"), None)
    id = value.get("id")
    if not isinstance(id, (str, int, float, type(None))) or isinstance(id, bool):
        return Misfit(Fault(MALFORMED, "the id is neither a string nor a number"), None)
    version = value.get("jsonrpc", "1.0")
    if version not in ("2.0", "1.0"):
        return Misfit(Fault(MALFORMED, f"version {version!r:.20} is neither 2.0 nor 1.0"), id)
    method, params = value.get("method"), value.get("params", [])
    if not isinstance(method, str) or not method:
        return Misfit(Fault(MALFORMED, "the method is no name"), id)
    if not isinstance(params, (list, dict)):
        return Misfit(Fault(MALFORMED, "the params are neither an array nor an object"), id)
    wants_answer = "id" in value if version == "2.0" else id is not None
    return Call(method, params, id, wants_answer, version)


def answer(call: Call | Misfit, result: Any) -> dict[str, Any]:
    """The answer to a call, as a JSON value.

    :param result: of the call, or a `Fault`.
    """
    failed = isinstance(result, Fault)
    said: Any = result
    if isinstance(result, Fault):
        said = {"code": result.code, "message": result.message}
        if result.data is not None:
            said["data"] = result.data
    if isinstance(call, Call) and call.version == "1.0":
        return {"result": None if failed else said, "error": said if failed else None, "id": call.id}
    return {"jsonrpc": "2.0", "error" if failed else "result": said, "id": call.id}


def dump_call(method: str, params: list[Any] | dict[str, Any], id: Any) -> dict[str, Any]:
    """A call of version 2.0, as a JSON value."""
    return {"jsonrpc": "2.0", "method": method, "params": params, "id": id}


def parse_answer(value: Any) -> Any:
    """The result that an answer holds; a `Fault` where the call went wrong.

    :raises ValueError: it is no answer.
    """
    if not isinstance(value, dict) or not value.keys() & {"result", "error"}:
        raise ValueError("not an answer of JSON-RPC")
    error = value.get("error")
    if error is None:
        return value.get("result")
    if not isinstance(error, dict):
        return Fault(FAILED, str(error))
    code = error.get("code")
    return Fault(code if isinstance(code, int) else FAILED, str(error.get("message", "")), error.get("data"))
