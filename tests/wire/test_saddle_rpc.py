"""Remote calls through real connections: XML-RPC and JSON-RPC reach plain routes."""

from __future__ import annotations

import asyncio
import base64
import datetime
import gzip
import json
import xmlrpc.client
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from skitai.saddle import Saddle, Was
from tests.support.memory import Wire, mounted, wire


@dataclass
class Point:
    x: float
    y: float


@pytest.fixture(scope="module", params=[2, 0], ids=["threads", "inline"])
def server(request: pytest.FixtureRequest) -> Iterator[Wire]:
    app = Saddle(__name__)
    app.users = {"ann": "secret"}
    app.mount_rpc("/rpc")

    @app.route("/add")
    def add(was: Was, num1: int, num2: int = 2) -> int:
        return num1 + num2

    @app.route("/deep/er/async")
    async def wait(was: Was, what: Any) -> Any:
        await asyncio.sleep(0)
        return {"got": what}

    @app.route("/item/<name>")
    def item(was: Was, name: str, count: int) -> str:
        return f"{count} {name}"

    @app.route("/args")
    def args(was: Was, **more: Any) -> Any:
        return dict(was.request.args)

    @app.route("/fails")
    def fails(was: Was) -> None:
        raise RuntimeError("a secret")

    @app.route("/refuses")
    def refuses(was: Was) -> None:
        was.response.throw("418 I'm a Teapot", "no coffee")

    @app.route("/fault")
    def fault(was: Was) -> Any:
        return was.response.Fault("409 Conflict", "taken", 10021)

    @app.route("/values")
    def values(was: Was) -> Any:
        return {"when": datetime.datetime(2030, 1, 2, 3, 4, 5), "bytes": b"\0", "point": Point(1, 2), "none": None}

    @app.route("/huge")
    def huge(was: Was) -> Any:
        return 2**40

    @app.route("/odd")
    def odd(was: Was) -> Any:
        return object()

    @app.route("/read_only", methods=["GET"])
    def read_only(was: Was) -> str:
        return "x"

    @app.route("/private", authenticate="basic")
    def private(was: Was) -> str:
        return f"hello {was.user.name}"

    @app.route("/closed", access_control_allow_origin=[])
    def closed(was: Was) -> str:
        return "x"

    @app.route("/hook", methods=["POST"])
    def hook(was: Was) -> str:
        return f"raw {was.request.body.decode()}"

    @app.route("/soap", methods=["POST"], content_types=["text/xml"])
    def soap(was: Was) -> str:
        return f"soap {len(was.request.body)}"

    @app.route("/")
    def index(was: Was) -> str:
        return "index"

    with wire(mounted("/app", app), kind="saddle", threads=request.param) as running:
        yield running


def post(
    server: Wire, body: bytes, content_type: str, path: str = "/app/", **fields: str
) -> tuple[int, dict[str, str], bytes]:
    fields = {"Host": "example", "Content-Type": content_type, "Content-Length": str(len(body)), **fields}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return server.ask(f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + body)


def xml_call(server: Wire, method: str, *params: Any, **more: Any) -> Any:
    data = xmlrpc.client.dumps(params, method, allow_none=True).encode()
    status, fields, body = post(server, data, "text/xml", **more)
    assert (status, fields["content-type"]) == (200, "text/xml; charset=utf-8"), body
    [value], _ = xmlrpc.client.loads(body, use_builtin_types=True)
    return value


def xml_fault(server: Wire, method: str, *params: Any) -> str:
    with pytest.raises(xmlrpc.client.Fault) as caught:
        xml_call(server, method, *params)
    assert caught.value.faultCode == 1
    return caught.value.faultString


# XML-RPC


@pytest.mark.parametrize("path", ["/app/", "/app/rpc", "/app/nowhere", "/app/add"])
def test_a_method_is_a_route_whatever_the_path(server: Wire, path: str) -> None:
    assert xml_call(server, "add", 10000, 5000, path=path) == 15000
    assert xml_call(server, "add", 1) == 3


def test_points_are_slashes_and_coroutine_functions_are_called_too(server: Wire) -> None:
    assert xml_call(server, "deep.er.async", [1, {"k": "v"}]) == {"got": [1, {"k": "v"}]}


def test_parameters_fill_what_the_url_does_not(server: Wire) -> None:
    assert xml_call(server, "item.two words", 5) == "5 two words"


def test_types_come_and_go(server: Wire) -> None:
    point = {"x": 1, "y": 2}
    assert xml_call(server, "values") == {
        "when": datetime.datetime(2030, 1, 2, 3, 4, 5),
        "bytes": b"\0",
        "point": point,
        "none": None,
    }
    assert xml_call(server, "deep.er.async", b"\xff") == {"got": b"\xff"}


def test_errors_are_faults(server: Wire) -> None:
    assert xml_fault(server, "nowhere") == "HTTP Error: 404 Not Found"
    assert xml_fault(server, "read_only").startswith("HTTP Error: 405 Method Not Allowed")
    assert xml_fault(server, "rpc") == "HTTP Error: 404 Not Found"
    assert xml_fault(server, "add", "x") == "HTTP Error: 400 Bad Request: argument 'num1': 'x' is not an integer"
    assert "2 are taken, and 3 were given" in xml_fault(server, "add", 1, 2, 3)
    assert xml_fault(server, "refuses") == "HTTP Error: 418 I'm a Teapot: no coffee"
    assert xml_fault(server, "fault") == "HTTP Error: 409 Conflict: taken"
    assert xml_fault(server, "fails") == "HTTP Error: 500 Internal Server Error"


def test_a_result_without_a_type_in_xml_is_a_fault(server: Wire) -> None:
    assert xml_fault(server, "odd").startswith("HTTP Error: 500")
    assert xml_fault(server, "huge").startswith("HTTP Error: 500")


def test_several_calls_in_one(server: Wire) -> None:
    calls = [
        {"methodName": "add", "params": [1, 2]},
        {"methodName": "nowhere", "params": []},
        {"methodName": "system.multicall", "params": []},
        {"methodName": "huge", "params": []},
        "nonsense",
        {"methodName": "deep.er.async", "params": ["x"]},
    ]
    first, missing, nested, huge, nonsense, last = xml_call(server, "system.multicall", calls)
    assert (first, last) == ([3], [{"got": "x"}])
    assert missing == {"faultCode": 1, "faultString": "HTTP Error: 404 Not Found"}
    assert all(each["faultCode"] == 1 for each in (nested, huge, nonsense))


@pytest.mark.parametrize(
    "body",
    [
        b"<methodCall>",
        b"<methodCall><methodName>add</methodName><params><param><value><int>x</int></value></param></params></methodCall>",
        b"<methodCall><params></params></methodCall>",
        b'<?xml version="1.0"?><methodCall><!DOCTYPE x [<!ENTITY a "b">]></methodCall>',
        b"<methodCall><methodName>add</methodName><params><param>" + b"<value><array><data>" * 5000,
        b"<methodCall><methodName>add</methodName><params><param><value><what>1</what></value></param></params></methodCall>",
        xmlrpc.client.dumps(("x",), "system.multicall").encode(),
        xmlrpc.client.dumps(([{}] * 101,), "system.multicall").encode(),
    ],
)
def test_a_malformed_call_is_a_bad_request(server: Wire, body: bytes) -> None:
    assert post(server, body, "text/xml")[0] == 400


def test_a_call_has_a_limit(server: Wire) -> None:
    assert post(server, b"<methodCall>" + b" " * 1_100_000, "text/xml")[0] == 413


def test_calls_may_come_packed(server: Wire) -> None:
    call = gzip.compress(xmlrpc.client.dumps((1, 2), "add").encode())
    status, _, body = post(server, call, "text/xml", Content_Encoding="gzip")
    assert (status, xmlrpc.client.loads(body)[0]) == (200, (3,))
    assert post(server, call[:-9], "text/xml", Content_Encoding="gzip")[0] == 400
    assert post(server, gzip.compress(b"<methodCall>" + b" " * 5_000_000), "text/xml", Content_Encoding="gzip")[0] == 413


def test_xml_that_is_no_call_goes_to_its_route(server: Wire) -> None:
    assert post(server, b"<event/>", "application/xml", "/app/hook")[2] == b"raw <event/>"
    assert post(server, b"packed", "application/xml", "/app/hook", Content_Encoding="own")[2] == b"raw packed"
    assert post(server, b"<event/>", "application/xml", "/app/nowhere")[0] == 404
    assert post(server, b"<event/>", "application/xml", "/app/read_only")[0] == 405


def test_a_route_that_names_xml_gets_calls_too(server: Wire) -> None:
    call = xmlrpc.client.dumps((1, 2), "add").encode()
    assert post(server, call, "text/xml", "/app/soap")[2] == b"soap %d" % len(call)


# What routes ask for


def test_a_call_has_to_bring_what_its_route_wants(server: Wire) -> None:
    call = xmlrpc.client.dumps((), "private").encode()
    status, fields, _ = post(server, call, "text/xml")
    assert (status, fields["www-authenticate"].split()[0]) == (401, "Basic")
    credentials = "Basic " + base64.b64encode(b"ann:secret").decode()
    assert xml_call(server, "private", Authorization=credentials) == "hello ann"
    calls = [{"methodName": "private", "params": []}] * 2
    assert xml_call(server, "system.multicall", calls, Authorization=credentials) == [["hello ann"]] * 2


def test_nothing_is_called_before_all_calls_are_permitted(server: Wire) -> None:
    calls = [{"methodName": "add", "params": [1]}, {"methodName": "private", "params": []}]
    body = xmlrpc.client.dumps((calls,), "system.multicall").encode()
    assert post(server, body, "text/xml")[0] == 401


def test_foreign_origins_call_nothing(server: Wire) -> None:
    call = xmlrpc.client.dumps((), "closed").encode()
    assert post(server, call, "text/xml", Origin="https://evil.example")[0] == 403


# JSON-RPC


def json_call(server: Wire, value: Any, content_type: str = "application/json-rpc", path: str = "/app/rpc") -> Any:
    status, fields, body = post(server, json.dumps(value).encode(), content_type, path)
    assert (status, fields["content-type"]) == (200, "application/json"), body
    return json.loads(body)


def call(method: str, params: Any = (), id: Any = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": method, "params": params, "id": id}


def test_positions_and_names(server: Wire) -> None:
    assert json_call(server, call("add", [1, 5])) == {"jsonrpc": "2.0", "result": 6, "id": 1}
    assert json_call(server, call("add", {"num2": 7, "num1": 1}, "x")) == {"jsonrpc": "2.0", "result": 8, "id": "x"}
    assert json_call(server, call("deep.er.async", ["x"]))["result"] == {"got": "x"}
    assert json_call(server, call("args", {"a": 1}))["result"] == {"a": 1}
    assert json_call(server, call("values"))["result"]["point"] == {"x": 1.0, "y": 2.0}
    assert json_call(server, call("huge"))["result"] == 2**40


def test_json_is_enough_at_the_mounted_path_only(server: Wire) -> None:
    assert json_call(server, call("add", [1]), "application/json")["result"] == 3
    assert post(server, json.dumps(call("add", [1])).encode(), "application/json", "/app/")[2] == b"index"
    assert json_call(server, call("add", [1]), path="/app/")["result"] == 3


def test_version_one(server: Wire) -> None:
    asked = {"method": "add", "params": [1], "id": 5}
    assert json_call(server, asked) == {"result": 3, "error": None, "id": 5}
    failed = json_call(server, {"method": "nowhere", "params": [], "id": 5})
    assert (failed["result"], failed["error"]["code"], failed["id"]) == (None, -32601, 5)


def error(server: Wire, value: Any) -> tuple[int, str]:
    answer = json_call(server, value)
    assert "result" not in answer
    return answer["error"]["code"], answer["error"]["message"]


def test_errors_have_the_codes_of_the_specification(server: Wire) -> None:
    assert error(server, call("nowhere")) == (-32601, "there is no such method")
    assert error(server, call("read_only")) == (-32601, "there is no such method")
    assert error(server, call("add", ["x"])) == (-32602, "argument 'num1': 'x' is not an integer")
    assert error(server, call("add", {"other": 1, "num1": 1}))[0] == -32602
    assert error(server, call("fails")) == (-32000, "Internal Server Error")
    assert error(server, call("refuses")) == (-32000, "no coffee")
    assert error(server, call("odd"))[0] == -32000
    assert error(server, 5)[0] == -32600
    assert error(server, [])[0] == -32600
    assert error(server, {"jsonrpc": "3.0", "method": "add", "id": 1})[0] == -32600
    assert error(server, {"jsonrpc": "2.0", "method": 5, "id": 1})[0] == -32600
    assert error(server, call("add", "x"))[0] == -32600
    assert error(server, call("add", [1], id=[]))[0] == -32600
    assert error(server, [call("add", [1])] * 101)[0] == -32600
    assert json_call(server, call("fault"))["error"]["data"] == {"code": 10021, "message": "taken"}
    status, _, body = post(server, b"{", "application/json-rpc")
    assert (status, json.loads(body)["error"]["code"]) == (200, -32700)


def test_batches_and_notifications(server: Wire) -> None:
    silent = {"jsonrpc": "2.0", "method": "add", "params": [1]}
    answers = json_call(server, [call("add", [1]), silent, 7, call("nowhere", id=2)])
    assert [(each.get("result"), each["id"]) for each in answers] == [(3, 1), (None, None), (None, 2)]
    for only_silent in (silent, [silent, silent], {"method": "add", "params": [1], "id": None}):
        status, fields, body = post(server, json.dumps(only_silent).encode(), "application/json-rpc")
        assert (status, body) == (204, b"")


def test_another_type_at_the_mounted_path_is_refused(server: Wire) -> None:
    assert post(server, b"x", "text/plain", "/app/rpc")[0] == 415
    assert server.get("/app/rpc")[0] == 405
    status, fields, _ = server.ask(b"OPTIONS /app/rpc HTTP/1.1\r\nHost: example\r\n\r\n")
    assert (status, fields["allow"]) == (204, "POST, OPTIONS")


def test_what_one_call_sets_is_not_in_the_answer_of_all(server: Wire) -> None:
    answers = json_call(server, [call("fault"), call("add", [1])])
    assert answers[1]["result"] == 3
