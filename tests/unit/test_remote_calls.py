"""The cores of XML-RPC and JSON-RPC: bytes and values in, calls out, and back."""

from __future__ import annotations

import datetime
import xmlrpc.client
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skitai.protocols import jsonrpc
from skitai.protocols import xmlrpc as ours
from skitai.protocols.xmlrpc import Call, Fault, Malformed


class Colour(Enum):
    RED = "red"


@dataclass
class Point:
    x: int


def heard(result: Any) -> Any:
    """What a client of the standard library makes of a response."""
    [value], _ = xmlrpc.client.loads(ours.dump_response(result), use_builtin_types=True)
    return value


def dumped(*params: Any, **more: Any) -> bytes:
    return xmlrpc.client.dumps(params, "m", allow_none=True, **more).encode(more.get("encoding", "utf-8"))


# XML-RPC

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**31), 2**31 - 1)
    | st.binary(max_size=9)
    | st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"], exclude_characters="\x7f\ufffe\uffff"), max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(VALUES, max_size=3))
def test_calls_of_other_clients_are_understood(params: list[Any]) -> None:
    assert ours.parse_call(dumped(*params)) == Call("m", tuple(params))


@given(VALUES)
def test_other_clients_understand_responses(value: Any) -> None:
    assert heard(value) == value


def test_values_of_more_types_are_said_as_what_comes_nearest() -> None:
    when = datetime.datetime(2030, 1, 2, 3, 4, 5)
    assert heard([when, when.date(), Colour.RED, Point(5), (1, 2), {3}, {1: 2}, 0.5]) == [
        when, "2030-01-02", "red", {"x": 5}, [1, 2], [3], {"1": 2}, 0.5,
    ]  # fmt: skip


@pytest.mark.parametrize("value", [object(), Decimal(1), 2**31, "\0", "a\x0b", {"\x01": 1}, [[object()]]])
def test_what_cannot_be_said_is_an_error(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        ours.dump_response(value)


def test_a_fault_says_everything() -> None:
    with pytest.raises(xmlrpc.client.Fault) as caught:
        heard(Fault("<&\0", 5))
    assert (caught.value.faultCode, caught.value.faultString) == (5, "<&\ufffd")


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1", "cp500", "utf-8"])
def test_a_document_type_is_refused_in_every_encoding(encoding: str) -> None:
    head = f'<?xml version="1.0" encoding="{encoding}"?>'
    rest = '<!DOCTYPE x [<!ENTITY a "b">]><methodCall><methodName>m</methodName></methodCall>'
    data = (head + rest).encode(encoding) if encoding == "utf-16" else head.encode() + rest.encode(encoding)
    with pytest.raises(Malformed, match="document type|unknown encoding"):
        ours.parse_call(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"<methodCall/>",
        b"<methodCall><methodName/></methodCall>",
        b"<methodCall><methodName>m</methodName><params><param></value></param></params></methodCall>",
        b"<methodCall><methodName>m</methodName><params><param><value><i4>1.5</i4></value></param></params></methodCall>",
        b"<methodCall><methodName>m</methodName><params><param><value><boolean>2</boolean></value></param></params></methodCall>",
        b"<methodCall><methodName>m</methodName><params><param><value><dateTime.iso8601>x</dateTime.iso8601></value></param></params></methodCall>",  # noqa: E501
        b"<methodCall><methodName>m</methodName></data></methodCall>",
        b"<methodCall><methodName>m</methodName><struct><member><name>a</name></member></struct></methodCall>",
        b'<?xml version="1.0" encoding="bogus"?><methodCall/>',
        b"<methodResponse><fault><value><struct/></value></fault></methodResponse>",
        xmlrpc.client.dumps((1,), methodresponse=True).encode(),
        dumped(1)[:-5],
        b"\xff\xfe",
    ],
)
def test_what_is_no_call_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        ours.parse_call(data)


@given(st.binary(max_size=60), st.integers(0, 200), st.integers(0, 200))
def test_nothing_that_a_peer_sends_is_another_error(noise: bytes, start: int, end: int) -> None:
    data = dumped([1, {"k": "v"}, b"b", True, None])
    for each in (noise, data[:start] + noise + data[end:]):
        with suppress(Malformed):
            ours.parse_call(each)


def test_a_call_is_seen_by_its_first_element() -> None:
    assert ours.is_call(dumped(1))
    assert ours.is_call(b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- a -->\n<methodCall>')
    assert not ours.is_call(b"<event><methodCall/></event>")
    assert not ours.is_call(b"<methodCaller>")
    assert not ours.is_call(b"")
    assert not ours.is_call(b"<!--" * 1000)


def test_several_calls_in_one() -> None:
    calls = [{"methodName": "a", "params": [1]}, {"methodName": "b"}, {"params": []}, {"methodName": ours.MULTICALL}]
    read = ours.calls_of(Call(ours.MULTICALL, (calls,)), 4)
    assert read[:2] == [Call("a", (1,)), Call("b", ())]
    assert all(isinstance(each, Fault) for each in read[2:])
    for params in ((), ("x",), (calls, calls), (calls * 2,)):
        with pytest.raises(Malformed):
            ours.calls_of(Call(ours.MULTICALL, params), 4)


# JSON-RPC


def test_a_call_and_its_answer() -> None:
    [call] = jsonrpc.read({"jsonrpc": "2.0", "method": "m", "params": {"a": 1}, "id": 7}, 10)  # type: ignore[misc]
    assert call == jsonrpc.Call("m", {"a": 1}, 7, True, "2.0")
    assert jsonrpc.answer(call, [1]) == {"jsonrpc": "2.0", "result": [1], "id": 7}
    assert jsonrpc.answer(call, jsonrpc.Fault(-1, "no", {"why": 1})) == {
        "jsonrpc": "2.0",
        "error": {"code": -1, "message": "no", "data": {"why": 1}},
        "id": 7,
    }


def test_who_wants_an_answer() -> None:
    def wants(**call: Any) -> bool:
        [read] = jsonrpc.read({"method": "m", **call}, 10)  # type: ignore[misc]
        assert isinstance(read, jsonrpc.Call)
        return read.wants_answer

    assert wants(jsonrpc="2.0", id=None)
    assert wants(jsonrpc="2.0", id="")
    assert not wants(jsonrpc="2.0")
    assert wants(id=1)
    assert not wants(id=None)
    assert not wants()


@pytest.mark.parametrize(
    "value",
    [
        5,
        None,
        "x",
        {},
        {"method": ""},
        {"method": "m", "params": 5},
        {"method": "m", "id": True},
        {"method": "m", "jsonrpc": 2},
    ],
)
def test_a_misfit_says_why(value: Any) -> None:
    [read] = jsonrpc.read([value], 10)  # type: ignore[misc]
    assert isinstance(read, jsonrpc.Misfit)
    assert read.fault.code == -32600
    assert read.fault.message


def test_what_looks_like_a_call() -> None:
    call = {"jsonrpc": "2.0", "method": "m"}
    assert jsonrpc.is_call(call)
    assert jsonrpc.is_call([call, 5])
    for other in ({"method": "m"}, {"jsonrpc": "2.0"}, [], [5], 5, None):
        assert not jsonrpc.is_call(other)
