"""XML-RPC (xmlrpc.com/spec.md): calls read, responses and faults written.

The standard library knows the format; here its parser is kept from what a peer may do with it. A document type
declaration is refused, for entities are only good for attacks, and every malformed call is one kind of error.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

MULTICALL = "system.multicall"

DEEPEST = 200
"""Elements inside each other; an array takes three."""

FAULT = 1
"""The code of every fault."""


class Malformed(ValueError):
    """The body is no XML-RPC call."""


class Call(NamedTuple):
    """One call."""

    method: str
    params: tuple[Any, ...]


class Fault(NamedTuple):
    """What went wrong with a call."""

    text: str
    code: int = FAULT


class Faulted(Malformed):
    """A response says that the call went wrong.

    :ivar fault: what it says.
    """

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"fault {fault.code}: {fault.text}")
        self.fault = fault


def is_call(data: bytes) -> bool:
    """Whether a document looks like a call, as far as its first element shows."""
    return (
        re.match(rb"\s*(<\?xml[^>]*\?>)?\s*(<!--.*?-->\s*)*<methodCall[\s>]", data[:4096].lstrip(b"\xef\xbb\xbf"), re.DOTALL)
        is not None
    )


def parse_call(data: bytes) -> Call:
    """A call. Its values are Python's own: dates are datetimes, base64 is bytes.

    :raises Malformed: it is none.
    """
    params, method = _parse(data, "call")
    if not method:
        raise Malformed("not an XML-RPC call: it names no method")
    return Call(method, params)


def parse_response(data: bytes) -> Any:
    """The result that a response holds.

    :raises Faulted: the call went wrong.
    :raises Malformed: it is no response.
    """
    params, method = _parse(data, "response")
    if method or len(params) != 1:
        raise Malformed("not an XML-RPC response: it holds no single result")
    return params[0]


def parse_params(data: bytes) -> tuple[Any, ...]:
    """The values of a call, of a response, or of bare `params`, as clients' libraries write what is neither.

    :raises Malformed: it is none.
    """
    return _parse(data, "message")[0]


def _parse(data: bytes, kind: str) -> tuple[tuple[Any, ...], str | None]:
    from xml.parsers.expat import ExpatError, ParserCreate
    from xmlrpc import client  # when a client first calls: it brings an HTTP client along

    values: Any = client.Unmarshaller(use_builtin_types=True)
    nesting = _Nesting(values)
    parser = ParserCreate()
    parser.StartElementHandler = nesting.start
    parser.EndElementHandler = nesting.end
    parser.CharacterDataHandler = values.data
    parser.StartDoctypeDeclHandler = _refuse_doctype
    values.xml(None, None)
    try:
        parser.Parse(data, True)
        return values.close(), values.getmethodname()
    except Malformed:
        raise
    except client.Fault as error:
        raise Faulted(
            Fault(str(error.faultString), error.faultCode if isinstance(error.faultCode, int) else FAULT)
        ) from None
    except (client.Error, ExpatError, ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise Malformed(f"not an XML-RPC {kind}: {error}") from None


class _Nesting:
    """Keeps values from nesting so deeply that whoever walks through them runs out of stack."""

    def __init__(self, values: Any) -> None:
        self._values = values
        self._depth = 0

    def start(self, tag: str, attributes: Any) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise Malformed(f"its elements nest more than {DEEPEST} deep")
        self._values.start(tag, attributes)

    def end(self, tag: str) -> None:
        self._depth -= 1
        self._values.end(tag)


def _refuse_doctype(*_: Any) -> None:
    raise Malformed("a document type declaration is not accepted")


def calls_of(multicall: Call, most: int) -> list[Call | Fault]:
    """The calls inside a ``system.multicall``; a fault for each that is malformed.

    :raises Malformed: it holds no list of calls, or more than `most`.
    """
    if len(multicall.params) != 1 or not isinstance(multicall.params[0], list):
        raise Malformed(f"{MULTICALL} takes one array of calls")
    given = multicall.params[0]
    if len(given) > most:
        raise Malformed(f"{MULTICALL} has {len(given)} calls; {most} are the most")
    return [_inner(each) for each in given]


def _inner(given: Any) -> Call | Fault:
    method, params = (given.get("methodName"), given.get("params", [])) if isinstance(given, dict) else (None, None)
    if not isinstance(method, str) or not isinstance(params, list):
        return Fault("a call is a struct of methodName and params")
    if method == MULTICALL:
        return Fault(f"{MULTICALL} inside {MULTICALL}")
    return Call(method, tuple(params))


def dump_call(call: Call) -> bytes:
    """A call.

    :raises TypeError: an argument is, or holds, what XML-RPC has no type for.
    :raises ValueError: a number is too large, or a text holds what XML cannot.
    """
    from xmlrpc import client  # as above

    params = tuple(_plain(each) for each in call.params)
    return client.dumps(params, call.method, allow_none=True, encoding="utf-8").encode()


def dump_response(result: Any) -> bytes:
    """The response with a result; a `Fault` is written as such.

    :raises TypeError: the result is, or holds, what XML-RPC has no type for.
    :raises ValueError: a number is too large, or a text holds what XML cannot.
    """
    from xmlrpc import client  # as above

    what: Any = client.Fault(result.code, _text(result.text)) if isinstance(result, Fault) else (_plain(result),)
    return client.dumps(what, methodresponse=True, allow_none=True, encoding="utf-8").encode()


def dump_responses(results: list[Any]) -> bytes:
    """The response to a ``system.multicall``; a result that cannot be written becomes a fault in its place."""
    return dump_response([_outer(each) for each in results])


def _outer(result: Any) -> Any:
    if not isinstance(result, Fault):
        try:
            return [_plain(result)]
        except (TypeError, ValueError) as error:
            result = Fault(str(error))
    return {"faultCode": result.code, "faultString": result.text}


_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def _text(value: str) -> str:
    return _NO_XML.sub("\ufffd", value)


def _plain(value: Any) -> Any:
    """A value as the standard library can write it."""
    kind = type(value)
    if value is None or kind in (bool, float, bytes, datetime.datetime):
        return value
    if isinstance(value, enum.Enum):
        return _plain(value.value)
    if isinstance(value, str):
        if _NO_XML.search(value):
            raise ValueError("a text holds control characters, which XML cannot; send bytes")
        return str(value)
    if isinstance(value, int):
        if not -(2**31) <= value < 2**31:
            raise ValueError(f"{value} has more than the 32 bits of an integer of XML-RPC")
        return int(value)
    if isinstance(value, Mapping):
        return {_plain(str(name)): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(each) for each in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, float):
        return float(value)
    raise TypeError(f"a {kind.__name__} cannot be said in XML-RPC")
