"""HTTP/2 (RFC 9113) in the order of the document: the connection, frames, streams, flow control, errors, messages."""

from __future__ import annotations

from tests.support.http2 import http2
from tests.support.memory import Wire, wait_for

# 3.4 The preface


def test_a_client_that_knows_speaks_http2_at_once(server: Wire) -> None:
    answer = http2(server).ask("/path?q=1")
    assert answer.status == 200
    assert answer.body == b"GET /path?q=1"
    assert answer.fields["content-length"] == "13"
    assert answer.fields["server"] == "Skitai"
    assert "date" in answer.fields
    assert "connection" not in answer.fields
    wait_for(lambda: server.log.lines)
    assert "example GET /path?q=1 2.0 0 200" in server.log.lines[0]


def test_many_streams_on_one_connection(server: Wire) -> None:
    client = http2(server)
    streams = [client.begin(f"/{number}") for number in range(50)]
    client.wait(*streams)
    assert [client.answers[stream].body for stream in streams] == [b"GET /%d?" % number for number in range(50)]
    wait_for(lambda: len(server.log.lines) == 50)


def test_a_body_comes_whole(server: Wire) -> None:
    client = http2(server)
    body = bytes(range(256)) * 4096
    answer = client.ask("/upload", "POST", body=body)
    assert answer.body == b"POST /upload? " + body
    assert client.ask("/empty", "POST", body=b"").body == b"POST /empty?"
    wait_for(lambda: len(server.log.lines) == 2)
    assert f"POST /upload 2.0 {len(body)} 200" in server.log.lines[0]
