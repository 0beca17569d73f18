"""HTTP/2 (RFC 9113) in the order of the document: the connection, frames, streams, flow control, errors, messages."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import gzip
import random
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import (
    DataFrame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from skitai.saddle import Saddle
from skitai.was.context import current
from tests.support.http2 import http2
from tests.support.memory import Wire, mounted, wait_for, wire

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = 4
PROTOCOL_ERROR = b"\x00\x00\x00\x01"
PIECE = b"x" * 65536
SEEN = ("HTTP_COOKIE", "HTTP_HOST", "HTTP_X_TWO", "PATH_INFO", "QUERY_STRING", "SERVER_PROTOCOL", "wsgi.url_scheme")


async def stalling(scope: Any, receive: Any, send: Any) -> None:
    """Answers /quick; for anything else it waits until the client leaves."""
    if scope["path"] != "/quick":
        await receive()
        await receive()
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"quick"})


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


def test_a_preface_that_goes_wrong_ends_the_connection(server: Wire) -> None:
    client = server.connect()
    client.send(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n")
    assert client.read().endswith(PROTOCOL_ERROR + b"no HTTP/2 preface")


def test_a_preface_may_come_in_pieces(server: Wire) -> None:
    client = server.connect()
    for byte in PREFACE:
        client.send(bytes([byte]))
    assert client.exactly(9)[3] == SETTINGS


def test_only_the_first_request_may_be_a_preface(server: Wire) -> None:
    client = server.connect()
    assert client.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")[0] == 200
    assert client.ask(PREFACE)[0] == 505


# 4 Frames


def test_a_frame_that_is_too_long(server: Wire) -> None:
    client = http2(server)
    stream = client.begin("/", "POST", ended=False)
    client.raw(DataFrame(stream, b"x" * 16385))
    client.until_closed()
    assert client.ends[-1][1] == ErrorCodes.FRAME_SIZE_ERROR


def test_a_head_in_several_frames(server: Wire) -> None:
    client = http2(server)
    assert client.ask("/large", fields=[("x-large", f"{number:08000}") for number in range(3)]).body == b"GET /large?"


def test_nothing_comes_between_the_frames_of_a_head(server: Wire) -> None:
    client = http2(server)
    client.raw(HeadersFrame(1, b"\x82"), PingFrame(0, b"12345678"))
    client.until_closed()
    assert client.ends[-1][1] == ErrorCodes.PROTOCOL_ERROR


def test_a_head_that_cannot_be_decoded(server: Wire) -> None:
    client = http2(server)
    client.raw(HeadersFrame(1, b"\xff\xff\xff\xff\xff", flags=["END_HEADERS", "END_STREAM"]))
    client.until_closed()
    assert client.ends[-1][1] in (ErrorCodes.COMPRESSION_ERROR, ErrorCodes.PROTOCOL_ERROR)


# 5 Streams


@pytest.mark.parametrize(
    "frames",
    [
        [HeadersFrame(2, b"\x82\x84\x86", flags=["END_HEADERS", "END_STREAM"])],
        [DataFrame(1, b"x")],
        [RstStreamFrame(1)],
        [WindowUpdateFrame(1, window_increment=1)],
        [SettingsFrame(0, settings={4: 1 << 31})],
        [SettingsFrame(0, settings={5: 1})],
        [SettingsFrame(0, settings={2: 2})],
        [b"\x00\x00\x00\x05\x04\x00\x00\x00\x01"],
        [b"\x00\x00\x03\x06\x00\x00\x00\x00\x00abc"],
        [b"\x00\x00\x00\x09\x04\x00\x00\x00\x01"],
    ],
    ids=["even", "data-idle", "reset-idle", "window-idle", "window", "frame", "push", "promise", "ping", "continuation"],
)
def test_what_breaks_the_protocol_ends_the_connection(server: Wire, frames: list[Any]) -> None:
    client = http2(server)
    client.raw(*frames)
    client.until_closed()
    assert client.ends[-1][1] not in (ErrorCodes.NO_ERROR, ErrorCodes.INTERNAL_ERROR)
    assert server.get()[0] == 200


def test_one_stream_too_many_is_refused(engine: str) -> None:
    with wire(mounted("/", stalling), kind="asgi", engine=engine) as server:
        client = http2(server)
        client.h2.remote_settings[3] = 1000  # as one that has not read our settings
        client.h2.remote_settings.acknowledge()
        streams = [client.begin() for _ in range(101)]
        assert client.wait(streams[-1]).reset == ErrorCodes.REFUSED_STREAM
        for stream in streams[:-1]:
            client.h2.reset_stream(stream)
        client.flush()
        client.answer_pings()
        (connection,) = server.services.connections
        core: Any = connection.core  # type: ignore[attr-defined]
        wait_for(lambda: not core.ghosts)  # the tasks have ended, too
        assert client.ask("/quick").status == 200


def test_unknown_frames_are_ignored(server: Wire) -> None:
    client = http2(server)
    client.raw(b"\x00\x00\x03\xee\x00\x00\x00\x00\x00abc", b"\x00\x00\x04\xef\xff\x00\x00\x00\x07abcd")
    assert client.ask().status == 200


# 5.2 Flow control


def test_a_response_waits_for_the_windows(server: Wire) -> None:
    client = http2(server, acknowledge=False)
    body = b"x" * 200_000
    stream = client.begin("/large", "POST", ended=False)
    client.upload(stream, body)
    answer = client.answers[stream]
    while len(answer.body) < 65535:
        client.receive()
    client.answer_pings()
    assert len(answer.body) == 65535
    other = client.begin("/other")  # the window of the connection is used up: its head comes, its body does not
    while not client.answers[other].status:
        client.receive()
    client.h2.increment_flow_control_window(100_000)
    client.flush()
    client.wait(other)
    assert len(answer.body) == 65535
    client.h2.increment_flow_control_window(200_000)
    client.h2.increment_flow_control_window(200_000, stream)
    client.flush()
    assert client.wait(stream).body == b"POST /large? " + body


def test_streams_take_turns(server: Wire) -> None:
    client = http2(server)
    body = b"y" * 1_000_000
    streams = []
    for _ in range(3):
        stream = client.begin("/large", "POST", ended=False)
        client.upload(stream, body)
        streams.append(stream)
    client.wait(*streams)
    assert all(client.answers[stream].body == b"POST /large? " + body for stream in streams)


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_a_stream_that_nobody_reads_makes_its_app_wait(kind: str, engine: str) -> None:
    produced = 0

    def generator(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        nonlocal produced
        start_response("200 OK", [("Content-Type", "application/x")])
        for _ in range(100):
            produced += 1
            yield PIECE

    async def stream(scope: Any, receive: Any, send: Any) -> None:
        nonlocal produced
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(100):
            produced += 1
            await send({"type": "http.response.body", "body": PIECE, "more_body": True})
        await send({"type": "http.response.body"})

    with wire(mounted("/", generator if kind == "wsgi" else stream), kind=kind, engine=engine) as server:
        client = http2(server, acknowledge=False)
        stream_id = client.begin()
        answer = client.answers[stream_id]
        while len(answer.body) < 65535:
            client.receive()
        client.answer_pings()
        assert produced < 30
        assert client.ask("/", "HEAD").status == 200  # others go on
        client.acknowledge = True
        client.h2.acknowledge_received_data(len(answer.body), stream_id)
        client.flush()
        assert client.wait(stream_id).body == PIECE * 100


def test_a_body_that_nobody_takes_stops_at_its_window(engine: str) -> None:
    release = threading.Event()
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while scope["path"] == "/slow" and not release.is_set():
            await asyncio.sleep(0.01)
        size, more = 0, True
        while more:
            message = await receive()
            size += len(message["body"])
            more = message["more_body"]
        seen.append(size)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"%d" % size})

    with wire(mounted("/", app), kind="asgi", engine=engine) as server:
        client = http2(server)
        slow = client.begin("/slow", "POST", ended=False)
        client.answer_pings()
        client.send(slow, b"x" * client.h2.local_flow_control_window(slow))
        client.answer_pings()
        assert client.h2.local_flow_control_window(slow) == 0
        assert client.ask("/quick", "POST", body=b"y" * 300_000).body == b"300000"
        release.set()
        client.upload(slow, b"x" * 300_000)
        assert client.wait(slow).body == b"%d" % (300_000 + 65536)


def test_a_pause_in_a_body_holds_up_nobody(server: Wire) -> None:
    client = http2(server)
    slow = client.begin("/slow", "POST", ended=False)
    client.send(slow, b"half")
    assert client.ask("/quick").body == b"GET /quick?"
    client.send(slow, b"whole", ended=True)
    assert client.wait(slow).body == b"POST /slow? halfwhole"


def test_padding_is_given_back(server: Wire) -> None:
    client = http2(server)
    stream = client.begin("/", "POST", ended=False)
    for _ in range(300):
        while client.h2.local_flow_control_window(stream) < 300:
            client.receive()
        client.h2.send_data(stream, b"z" * 40, pad_length=255)
        client.flush()
    client.send(stream, b"", ended=True)
    assert client.wait(stream).body == b"POST /? " + b"z" * 12_000


# 6.4 RST_STREAM


def test_a_reset_reaches_the_app(engine: str) -> None:
    heard = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await receive()
        assert (await receive())["type"] == "http.disconnect"
        heard.set()

    with wire(mounted("/", app), kind="asgi", engine=engine) as server:
        client = http2(server)
        stream = client.begin()
        client.answer_pings()
        client.h2.reset_stream(stream, ErrorCodes.CANCEL)
        client.flush()
        assert heard.wait(5)
        wait_for(lambda: server.log.lines)
        assert " 499 " in server.log.lines[0]


def test_an_app_that_fails_in_its_response_resets_its_stream_only(server: Wire, engine: str) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"half"
        if environ["PATH_INFO"] == "/broken":
            raise RuntimeError("in the middle")

    with wire(mounted("/", app), engine=engine) as broken:
        client = http2(broken)
        answer = client.ask("/broken")
        assert (answer.status, answer.reset) == (200, ErrorCodes.INTERNAL_ERROR)
        assert client.ask("/").body == b"half"


# 6.5 SETTINGS, 6.7 PING


def test_settings_change_the_windows_of_streams(server: Wire) -> None:
    client = http2(server, acknowledge=False)
    client.h2.update_settings({4: 10})
    client.flush()
    stream = client.begin("/0123456789")
    while len(client.answers[stream].body) < 10:
        client.receive()
    client.answer_pings()
    assert client.answers[stream].body == b"GET /01234"
    client.h2.update_settings({4: 100})
    client.flush()
    assert client.wait(stream).body == b"GET /0123456789?"


def test_pings_are_answered(server: Wire) -> None:
    client = http2(server)
    client.answer_pings()
    client.answer_pings()
    assert client.ask().status == 200


# 6.8 GOAWAY


def test_who_retires_loses_no_stream(server: Wire) -> None:
    client = http2(server)
    running = client.begin("/", "POST", ended=False)
    client.answer_pings()
    server.on_loop(server.server.retire)
    late = client.begin("/late")  # sent before the client can have known
    client.send(running, b"whole", ended=True)
    assert client.wait(running, late).body == b"GET /late?"
    assert client.answers[running].body == b"POST /? whole"
    client.until_closed()
    assert client.ends[0] == (0x7FFFFFFF, 0)
    assert client.ends[-1] == (late, 0)


def test_who_stops_finishes_what_runs_and_refuses_the_rest(server: Wire) -> None:
    client = http2(server)
    running = client.begin("/", "POST", ended=False)
    client.answer_pings()
    server.on_loop(server.server.stop)
    late = client.begin("/late")
    assert client.wait(late).reset == ErrorCodes.REFUSED_STREAM
    client.send(running, b"whole", ended=True)
    assert client.wait(running).body == b"POST /? whole"
    client.until_closed()
    assert client.ends == [(running, 0)]


def test_an_idle_connection_ends_at_once_when_the_worker_stops(server: Wire) -> None:
    client = http2(server)
    client.ask()
    server.on_loop(server.server.stop)
    client.until_closed()
    assert client.ends == [(1, 0)]


def test_a_client_that_leaves_gets_its_answers(server: Wire) -> None:
    client = http2(server)
    stream = client.begin("/", "POST", ended=False)
    client.raw(GoAwayFrame(0, last_stream_id=0))
    client.send(stream, b"whole", ended=True)
    assert client.wait(stream).body == b"POST /? whole"
    client.until_closed()


# 6.9 WINDOW_UPDATE


def test_a_window_that_overflows_ends_its_stream(server: Wire) -> None:
    client = http2(server)
    stream = client.begin("/", "POST", ended=False)
    client.raw(WindowUpdateFrame(stream, window_increment=0x7FFFFFFF))
    assert client.wait(stream).reset == ErrorCodes.FLOW_CONTROL_ERROR
    assert client.ask().status == 200


# 8.1 Messages


def test_head_has_no_body(server: Wire) -> None:
    answer = http2(server).ask("/path", "HEAD")
    assert (answer.status, answer.body, answer.fields["content-length"]) == (200, b"", "11")


def test_trailers_both_ways(engine: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["http_version"] == "2"
        body = b""
        while (message := await receive())["more_body"] or message["body"]:
            body += message["body"]
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
        await send({"type": "http.response.body", "body": body})
        await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"42")]})

    with wire(mounted("/", app), kind="asgi", engine=engine) as server:
        client = http2(server)
        stream = client.begin("/", "POST", [("te", "trailers")], ended=False)
        client.send(stream, b"whole")
        client.h2.send_headers(stream, [("x-check", "1")], end_stream=True)
        client.flush()
        answer = client.wait(stream)
        assert answer.body == b"whole"
        assert answer.trailers == {"x-sum": "42"}


def trailed(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Answers with what came behind the body."""
    start_response("200 OK", [])
    exchange: Any = current.get()
    return [repr(exchange.body.trailers.pairs).encode()]


def test_trailers_of_requests_are_at_the_seam(engine: str) -> None:
    with wire(mounted("/", trailed), engine=engine) as server:
        client = http2(server)
        assert client.ask("/", "POST", body=b"none").body == b"()"
        stream = client.begin("/", "POST", ended=False)
        client.send(stream, b"whole")
        client.h2.send_headers(stream, [("x-check", "1"), ("x-check", "2")], end_stream=True)
        client.flush()
        assert client.wait(stream).body == b"((b'x-check', b'1'), (b'x-check', b'2'))"
        ended = (
            b"POST / HTTP/1.1\r\nHost: example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\nX-Check: 3\r\n\r\n"
        )
        assert server.ask(ended)[2] == b"((b'x-check', b'3'),)"
        assert server.get()[2] == b"()"
        bad = client.begin("/", "POST", ended=False)
        client.h2.send_headers(bad, [("content-length", "0")], end_stream=True)
        client.flush()
        assert client.wait(bad).reset == ErrorCodes.PROTOCOL_ERROR


def test_trailers_of_requests_in_saddle(threads: int) -> None:
    app = Saddle(__name__)

    @app.route("/", methods=["POST"])
    def check(was: Any) -> str:
        return f"{was.request.body.decode()} {was.request.trailers.get('X-Check')} {was.request.get_header('X-Check')}"

    with wire(mounted("/", app), kind="saddle", threads=threads) as server:
        client = http2(server)
        stream = client.begin("/", "POST", ended=False)
        client.send(stream, b"whole")
        client.h2.send_headers(stream, [("x-check", "1")], end_stream=True)
        client.flush()
        assert client.wait(stream).body == b"whole 1 None"


def test_a_body_keeps_to_its_length(server: Wire) -> None:
    for sent in (b"four", b"sixsix"):
        client = http2(server, checks=False)
        stream = client.begin("/", "POST", [("content-length", "5")], ended=False)
        client.raw(DataFrame(stream, sent, flags=["END_STREAM"]))
        with contextlib.suppress(ConnectionResetError, AssertionError):
            assert client.wait(stream).reset == ErrorCodes.PROTOCOL_ERROR
        assert client.answers[stream].status == 0
    assert server.get()[0] == 200


def test_a_length_without_a_body(server: Wire) -> None:
    client = http2(server, checks=False)
    assert client.ask(fields=[("content-length", "5")]).status == 400
    assert client.ask().status == 200


def test_an_answer_before_the_end_of_the_body_ends_the_stream(engine: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 403, "headers": []})
        await send({"type": "http.response.body", "body": b"no"})

    with wire(mounted("/", app), kind="asgi", engine=engine) as server:
        client = http2(server)
        stream = client.begin("/", "POST", ended=False)
        answer = client.wait(stream)
        assert (answer.status, answer.body) == (403, b"no")
        client.raw(*[DataFrame(stream, b"x" * 10_000) for _ in range(6)])  # on its way when the answer came
        for _ in range(40):
            assert client.ask("/", "POST", body=b"z" * 30_000).status == 403


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_that_is_too_large(server: Wire, declared: bool) -> None:
    client = http2(server)
    fields = [("content-length", str(6 << 20))] if declared else []
    stream = client.begin("/", "POST", fields, ended=False)
    sent = 0
    while not client.answers[stream].ended and sent < 6 << 20:
        window = client.h2.local_flow_control_window(stream)
        if declared or not window:
            client.receive()
        else:
            size = min(window, 16384)
            client.send(stream, b"x" * size)
            sent += size
    assert client.wait(stream).status == 413
    assert client.ask().status == 200


def test_a_file_comes_whole(engine: str, tmp_path: Path) -> None:
    data = bytes(range(256)) * 12_000
    (tmp_path / "large.bin").write_bytes(data)
    with wire(mounted("/", str(tmp_path)), engine=engine) as server:
        client = http2(server)
        assert client.ask("/large.bin").body == data
        part = client.ask("/large.bin", fields=[("range", "bytes=10-19")])
        assert (part.status, part.body) == (206, data[10:20])
        assert client.ask("/large.bin", "HEAD").fields["content-length"] == str(len(data))
        assert client.ask("/nothing").status == 404


def test_text_is_compressed(server: Wire, engine: str) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"again and " * 20_000]

    with wire(mounted("/", app), engine=engine, threads=0) as long:
        answer = http2(long).ask(fields=[("accept-encoding", "gzip")])
        assert answer.fields["content-encoding"] == "gzip"
        assert gzip.decompress(answer.body) == b"again and " * 20_000


# 8.2 Fields, 8.3 pseudo-fields


def test_what_apps_see(server: Wire, engine: str) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain"), ("X-One", " padded "), ("Set-Cookie", "a=b")])
        return [repr({name: environ.get(name) for name in SEEN}).encode()]

    with wire(mounted("/", app), engine=engine) as seeing:
        answer = http2(seeing).ask("/a%20b?c=d", fields=[("cookie", "one=1"), ("cookie", "two=2"), ("x-two", "2")])
        assert ast.literal_eval(answer.body.decode()) == {
            "HTTP_COOKIE": "one=1; two=2",
            "HTTP_HOST": "example",
            "HTTP_X_TWO": "2",
            "PATH_INFO": "/a b",
            "QUERY_STRING": "c=d",
            "SERVER_PROTOCOL": "HTTP/2.0",
            "wsgi.url_scheme": "http",
        }
        assert answer.fields["x-one"] == "padded"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (":method", "GET /x"),
        (":method", "G(T"),
        (":path", "path"),
        (":path", "/a b"),
        (":path", "/a\x7f"),
        (":path", "http://example/"),
        (":path", "*"),
        (":path", "/#part"),
        (":authority", "exa mple"),
        (":authority", "a/b"),
    ],
)
def test_pseudo_fields_are_what_they_must_be(server: Wire, field: str, value: str) -> None:
    client = http2(server, checks=False)
    pairs = {":method": "GET", ":scheme": "http", ":authority": "example", ":path": "/", field: value}
    client.send_head(1, list(pairs.items()))
    assert client.wait(1).status == 400
    client.h2.highest_outbound_stream_id = 1
    assert client.ask().status == 200


@pytest.mark.parametrize(
    "pairs",
    [
        [(":method", "GET"), (":scheme", "http"), (":authority", "a")],
        [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "")],
        [(":method", "GET"), (":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")],
        [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/"), ("Upper", "a")],
        [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/"), ("connection", "close")],
        [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/"), ("te", "gzip")],
        [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/"), ("x", "a\r\nb: c")],
        [(":method", "GET"), (":scheme", "http"), (":authority", "a"), ("x", "y"), (":path", "/")],
        [(":method", "GET"), (":scheme", "http"), (":authority", "a"), ("host", "b"), (":path", "/")],
        [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/"), (":status", "200")],
    ],
)
def test_malformed_heads_reach_nobody(server: Wire, pairs: list[tuple[str, str]]) -> None:
    client = http2(server, checks=False)
    client.send_head(1, pairs)
    client.until_closed()
    assert client.ends[-1][1] == ErrorCodes.PROTOCOL_ERROR
    assert client.answers[1].status == 0
    assert server.get()[0] == 200


def test_options_and_methods(server: Wire) -> None:
    client = http2(server)
    assert client.ask("*", "OPTIONS").status == 204
    assert client.ask("/", "TRACE").status == 405
    assert client.ask("/", "BREW").status == 501


def test_heads_have_bounds(server: Wire) -> None:
    client = http2(server)
    assert client.ask("/" + "x" * 8192).status == 431
    assert client.ask(fields=[("x-large", "y" * 8192)]).status == 431
    assert client.ask(fields=[(f"x-{number}", "y") for number in range(100)]).status == 431
    assert client.ask(fields=[(f"x-{number}", "y" * 4096) for number in range(8)]).status == 431
    assert client.ask().status == 200


# 8.4 Server push


def hinting() -> Saddle:
    app = Saddle(__name__)

    @app.route("/page")
    def page(was: Any) -> Any:
        was.response.hint_promise("/style.css")
        was.response.hint_promise("https://elsewhere.example/a.js")
        return "page"

    @app.route("/style.css")
    def style(was: Any) -> Any:
        was.response.hint_promise("/more.css")  # what was pushed pushes nothing itself
        return was.response("200 OK", "style of " + was.request.get_header("user-agent"))

    return app


def test_what_a_page_wants_next_is_pushed(saddle: Callable[..., Wire]) -> None:
    server = saddle(hinting())
    client = http2(server)
    stream = client.begin("/page", fields=[("user-agent", "tester")])
    answer = client.wait(stream)
    assert (answer.status, answer.body) == (200, b"page")
    ((pushed, path),) = client.promises
    assert path == "/style.css"
    assert client.wait(pushed).body == b"style of tester"
    elsewhere = "<https://elsewhere.example/a.js>; rel=preload; as=script"
    assert answer.informed == [(103, {"link": elsewhere})]
    assert answer.fields["link"] == elsewhere
    wait_for(lambda: len(server.log.lines) == 2)


def test_who_wants_no_push_is_told_early(saddle: Callable[..., Wire]) -> None:
    client = http2(saddle(hinting()))
    client.h2.update_settings({2: 0})
    client.flush()
    answer = client.ask("/page")
    assert answer.body == b"page"
    assert not client.promises
    links = ["</style.css>; rel=preload; as=style", "<https://elsewhere.example/a.js>; rel=preload; as=script"]
    assert answer.informed == [(103, {"link": link}) for link in links]
    assert answer.fields["link"] == ", ".join(links)


def test_a_push_that_is_refused_harms_nobody(saddle: Callable[..., Wire]) -> None:
    server = saddle(hinting())
    client = http2(server)
    for _ in range(5):
        stream = client.begin("/page", fields=[("user-agent", "tester")])
        while not client.promises:
            client.receive()
        client.raw(RstStreamFrame(client.promises.pop()[0], error_code=ErrorCodes.CANCEL))
        assert client.wait(stream).body == b"page"
    (connection,) = server.services.connections
    wait_for(lambda: not connection.core.streams and not connection.exchanges)


# 8.5 and on: CONNECT, interim responses


def test_connect_is_not_served(server: Wire) -> None:
    client = http2(server)
    client.send_head(1, [(":method", "CONNECT"), (":authority", "example:443")], ended=False)
    assert client.wait(1).status == 501


def test_who_expects_100_is_told_to_go_on(server: Wire) -> None:
    client = http2(server)
    stream = client.begin("/", "POST", [("expect", "100-continue")], ended=False)
    while not client.answers[stream].informed:
        client.receive()
    client.send(stream, b"whole", ended=True)
    answer = client.wait(stream)
    assert (answer.informed[0][0], answer.body) == (100, b"POST /? whole")
    assert client.ask(fields=[("expect", "something")]).status == 417


# Time


def test_an_idle_connection_ends(server: Wire) -> None:
    client = http2(server)
    client.ask()
    server.tick(29)
    client.answer_pings()
    server.tick(31)
    client.until_closed()
    assert client.ends == [(1, 0)]


def test_an_old_connection_ends_when_its_client_knows(server: Wire) -> None:
    client = http2(server)
    stream = client.begin("/", "POST", ended=False)
    client.answer_pings()
    server.on_loop(lambda: [setattr(each, "opened", -4000) for each in server.services.connections])
    server.tick()
    client.send(stream, b"whole", ended=True)
    assert client.wait(stream).body == b"POST /? whole"
    client.until_closed()
    assert client.ends == [(0x7FFFFFFF, 0), (stream, 0)]


def test_a_body_that_stops_coming(server: Wire) -> None:
    client = http2(server)
    stream = client.begin("/", "POST", ended=False)
    client.send(stream, b"half")
    client.answer_pings()
    server.tick(31)
    assert client.wait(stream).status == 408
    assert client.ask().status == 200


def test_a_head_that_stops_coming(server: Wire) -> None:
    client = http2(server)
    client.ask()
    client.raw(HeadersFrame(3, b"\x82"))
    wait_for(lambda: any(each.core.guard.in_block for each in server.services.connections))
    server.tick(11)
    client.until_closed()
    assert client.ends[-1][1] == ErrorCodes.ENHANCE_YOUR_CALM


def test_a_response_that_nobody_takes(server: Wire) -> None:
    client = http2(server, acknowledge=False)
    stream = client.begin("/", "POST", ended=False)
    client.upload(stream, b"x" * 100_000)
    while len(client.answers[stream].body) < 65535:  # as much as the window holds
        client.receive()
    server.tick(1)
    server.tick(20)
    client.answer_pings()
    assert client.answers[stream].reset is None
    server.tick(40)
    assert client.wait(stream).reset == ErrorCodes.CANCEL
    client.h2.increment_flow_control_window(100_000)
    client.flush()
    assert client.ask().status == 200


def test_no_thread_in_time(engine: str) -> None:
    release, begun = threading.Event(), threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/slow":
            begun.set()
            assert release.wait(10)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"done"]

    with wire(mounted("/", app), engine=engine, threads=1) as server:
        client = http2(server)
        slow = client.begin("/slow")
        assert begun.wait(5)
        waiting = client.begin("/waiting")
        client.answer_pings()
        server.tick(31)
        assert client.wait(waiting).status == 503
        release.set()
        assert client.wait(slow).body == b"done"


# All at once


def work(environ: dict[str, Any], start_response: Any) -> Any:
    """Echoes a body: whole, in pieces, or as a file."""
    body = environ["wsgi.input"].read()
    fields = [("Content-Type", "application/x")]
    start_response("200 OK", fields)
    match environ["PATH_INFO"]:
        case "/pieces":
            return (body[at : at + 5000] for at in range(0, len(body), 5000))
        case "/file":
            file = tempfile.TemporaryFile()  # noqa: SIM115 - the server closes it
            file.write(body)
            file.seek(0)
            return environ["wsgi.file_wrapper"](file)
    return [body]


@pytest.mark.parametrize("seed", range(3))
def test_streams_in_disorder_get_their_own_answers(seed: int, engine: str, threads: int) -> None:
    chance = random.Random(seed)
    with wire(mounted("/", work), engine=engine, threads=threads) as server:
        client = http2(server)
        client.h2.update_settings({4: chance.choice([1000, 65535, 1 << 20])})
        client.flush()
        bodies: dict[int, bytes] = {}
        open_streams: list[tuple[int, bytes]] = []
        for _ in range(150):
            if len(open_streams) < 20 and chance.random() < 0.5:
                body = chance.randbytes(chance.choice([0, 1, 100, 10_000, 70_000]))
                stream = client.begin(chance.choice(["/", "/pieces", "/file"]), "POST", ended=not body)
                bodies[stream] = body
                if body:
                    open_streams.append((stream, body))
            elif open_streams:
                stream, rest = open_streams.pop(chance.randrange(len(open_streams)))
                if chance.random() < 0.1:
                    client.h2.reset_stream(stream)
                    client.flush()
                    del bodies[stream]
                    continue
                size = min(chance.choice([1, 500, 16384]), client.h2.local_flow_control_window(stream), len(rest))
                client.send(stream, rest[:size], ended=size == len(rest))
                if rest[size:]:
                    open_streams.append((stream, rest[size:]))
            if chance.random() < 0.2:
                client.answer_pings()
        for stream, rest in open_streams:
            client.upload(stream, rest)
        client.wait(*bodies)
        assert {stream: client.answers[stream].body for stream in bodies} == bodies
        (connection,) = server.services.connections
        wait_for(lambda: not connection.exchanges and not connection.core.streams and not connection.core.ghosts)
        assert server.services.body_bytes == 0
        assert client.ask("/", "POST", body=b"last").body == b"last"


def test_clients_that_vanish_leave_nothing(engine: str, threads: int) -> None:
    with wire(mounted("/", work), engine=engine, threads=threads) as server:
        for seed in range(10):
            client = http2(server, acknowledge=False)
            for _ in range(5):
                stream = client.begin("/pieces", "POST", ended=False)
                client.send(stream, b"x" * 5_000 * (seed % 2 + 1), ended=bool(seed % 3))
            client.client.close()
        wait_for(lambda: not server.services.connections)
        wait_for(lambda: server.services.body_bytes == 0)
