"""Remote calls over HTTP: XML-RPC and JSON-RPC. ``stub.names.of.methods(arguments)`` makes a request."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from skitai.backend.errors import BackendError, Code
from skitai.backend.result import Result
from skitai.http import jsontext
from skitai.protocols import jsonrpc, xmlrpc

Call = Callable[[str, tuple[Any, ...], dict[str, Any]], Any]

FAULT = 500
"""`Result.status_code` of a call that the other side has refused."""

XML = (("Content-Type", "text/xml; charset=utf-8"),)
JSON = (("Content-Type", "application/json-rpc"),)

_ids = count(1)


class RemoteFault(Exception):
    """The other side says that a call went wrong.

    :ivar code: its number for it.
    :ivar data: what JSON-RPC adds.
    """

    def __init__(self, code: int, text: str, data: Any = None) -> None:
        super().__init__(f"Fault {code}: {text}")
        self.code = code
        self.text = text
        self.data = data


class Stub:
    """A server's functions, by their names; dots are part of names.

    :param call: makes the request for a name, positional and named arguments.
    """

    __slots__ = ("_call", "_name")

    def __init__(self, call: Call, name: str = "") -> None:
        self._call = call
        self._name = name

    def __getattr__(self, name: str) -> Stub:
        if name.startswith("__"):
            raise AttributeError(name)
        return Stub(self._call, f"{self._name}.{name}" if self._name else name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self._name:
            raise TypeError("a call needs a name: stub.name(...)")
        return self._call(self._name, args, kwargs)


def dump_xml(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    """:raises TypeError: arguments have names, or XML-RPC has no type for one."""
    if kwargs:
        raise TypeError(f"{name}(): arguments of XML-RPC have no names")
    return xmlrpc.dump_call(xmlrpc.Call(name, args))


def dump_json(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    """:raises TypeError: some arguments have names and some have none, or JSON has no type for one."""
    if args and kwargs:
        raise TypeError(f"{name}(): arguments of JSON-RPC all have names, or none has")
    return jsontext.dumps(jsonrpc.dump_call(name, kwargs or list(args), next(_ids)))


def load_xml(result: Result) -> Any:
    """The value that a response holds, from its content.

    :raises BackendError: it is none of XML-RPC.
    """
    if result.status_code != 200:
        return result.data
    try:
        return xmlrpc.parse_response(result.content)
    except xmlrpc.Faulted as error:
        return _failed(result, RemoteFault(error.fault.code, error.fault.text))
    except ValueError as error:
        raise BackendError(Code.PROTOCOL, str(error), sent=True) from error


def load_json(result: Result) -> Any:
    """As `load_xml`."""
    if result.status_code != 200:
        return result.data
    try:
        value = jsonrpc.parse_answer(jsontext.loads(result.content))
    except ValueError as error:
        raise BackendError(Code.PROTOCOL, f"the answer of a JSON-RPC server cannot be read: {error}", sent=True) from error
    if isinstance(value, jsonrpc.Fault):
        return _failed(result, RemoteFault(value.code, value.message, value.data))
    return value


def _failed(result: Result, fault: RemoteFault) -> None:
    result.status_code, result.reason, result.error = FAULT, str(fault), fault
