"""Remote calls to servers of others: the standard library's XML-RPC, and JSON-RPC by hand."""

from __future__ import annotations

import datetime
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from typing import Any
from xmlrpc.server import SimpleXMLRPCServer

import pytest

from skitai.backend.errors import BackendError, Code, Failed
from skitai.backend.remote import RemoteFault
from skitai.was import process, was


@pytest.fixture(autouse=True)
def own_backends() -> Iterator[None]:
    yield
    process.close()


@pytest.fixture
def xml() -> Iterator[str]:
    server = SimpleXMLRPCServer(("127.0.0.1", 0), logRequests=False, allow_none=True, use_builtin_types=True)
    server.register_function(lambda *args: list(args), "echo")
    server.register_function(pow)
    server.register_function(lambda: 1 // 0, "names.of.trouble")
    yield from _served(server)


@pytest.fixture
def json_rpc() -> Iterator[str]:
    yield from _served(ThreadingHTTPServer(("127.0.0.1", 0), JsonRpc))


def _served(server: HTTPServer | SimpleXMLRPCServer) -> Iterator[str]:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/RPC2"
    server.shutdown()
    thread.join()
    server.server_close()


class JsonRpc(BaseHTTPRequestHandler):
    """Echoes, fails, or talks nonsense."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if data.startswith(b"<"):  # a call of XML-RPC
            self._answer(b"{}")
            return
        call = json.loads(data)
        assert (self.headers["Content-Type"], call["jsonrpc"]) == ("application/json-rpc", "2.0")
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": call["id"]}
        match call["method"]:
            case "echo":
                answer["result"] = call["params"]
            case "fail":
                answer["error"] = {"code": -32001, "message": "not today", "data": [1]}
            case "nonsense":
                answer = {}
        self._answer(json.dumps(answer).encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None: ...


def test_functions_are_called_by_their_names(xml: str) -> None:
    stub = was.rpc(xml)
    calls = [stub.pow(2, number) for number in range(5)]
    assert [call.getwait().data for call in calls] == [1, 2, 4, 8, 16]


def test_values_come_back_as_they_went(xml: str) -> None:
    values = [1, 2.5, "grüße", b"\x00\xff", True, None, [1, [2]], {"a": 1}, datetime.datetime(2030, 1, 2, 3, 4, 5)]
    assert was.rpc(xml).echo(*values).getwait(reraise=True).data == values


def test_a_fault_is_an_error_of_the_call(xml: str) -> None:
    result = was.rpc(xml).names.of.trouble().getwait()
    assert (result.status, result.status_code, result.data) == (3, 500, None)
    assert "ZeroDivisionError" in result.reason
    with pytest.raises(Failed) as failed:
        result.reraise()
    assert isinstance(failed.value.__cause__, RemoteFault)
    assert failed.value.__cause__.code == 1


def test_what_is_no_answer_is_said(json_rpc: str) -> None:
    for stub in (was.jsonrpc(json_rpc), was.rpc(json_rpc)):
        result = stub.nonsense().getwait()
        assert (result.status, result.status_code) == (2, Code.PROTOCOL)
        with pytest.raises(BackendError):
            result.reraise()
    assert was.rpc("http://127.0.0.1:1/").any().getwait().status_code == Code.REFUSED


def test_json_rpc_has_positional_and_named_arguments(json_rpc: str) -> None:
    stub = was.jsonrpc(json_rpc)
    assert stub.echo(1, "b").getwait().data == [1, "b"]
    assert stub.echo(a=1).getwait().data == {"a": 1}
    result = stub.fail().getwait()
    assert (result.status_code, result.reason) == (500, "Fault -32001: not today")
    assert result.error.data == [1]


def test_calls_that_cannot_be_made_say_why(xml: str, json_rpc: str) -> None:
    with pytest.raises(TypeError, match="have no names"):
        was.rpc(xml).echo(a=1)
    with pytest.raises(TypeError):
        was.rpc(xml).echo(object())
    with pytest.raises(TypeError, match="all have names, or none"):
        was.jsonrpc(json_rpc).echo(1, b=2)
    with pytest.raises(TypeError, match="needs a name"):
        was.rpc(xml)()


def test_results_of_calls_may_be_kept(xml: str) -> None:
    stub = was.rpc(xml)
    stub.pow(3, 3).getwait(cache=60)
    again = stub.pow(3, 3).getwait()
    assert (again.is_cached, again.data) == (True, 27)
    assert not stub.pow(3, 4).getwait().is_cached


def test_a_filter_sees_the_value(xml: str) -> None:
    assert was.rpc(xml, filter=lambda result: result.data + 1).pow(2, 3).getwait().data == 9
