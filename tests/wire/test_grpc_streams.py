"""Long streams of gRPC: their order, their pace, and what they cost."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from skitai.saddle import Saddle
from tests.support.guide import asked, pb
from tests.support.http2 import http2
from tests.support.memory import mounted, wait_for, wire

PATIENCE_S = 60
MANY = 10_000


def served(function: Any, rule: str = "/RouteChat", **options: Any) -> Saddle:
    app = Saddle(__name__)
    app.add_route(rule, function, **options)
    return app


def plain(was, notes):
    for note in notes:
        yield pb.Note(text=note.text)


async def in_loop(was, notes):
    async for note in notes:
        yield pb.Note(text=note.text)


KINDS = pytest.mark.parametrize("function", [plain, in_loop], ids=["plain", "async"])


@KINDS
def test_ten_thousand_messages_both_ways_in_order(function):
    with asked(served(function)) as (guide, _):
        notes = (pb.Note(text=str(each)) for each in range(MANY))
        heard = [each.text for each in guide.RouteChat(notes, timeout=PATIENCE_S)]
    assert heard == [str(each) for each in range(MANY)]


def message(size: int) -> bytes:
    data = pb.Note(data=b"x" * size).SerializeToString()
    return b"\0" + len(data).to_bytes(4, "big") + data


HEAD = [("content-type", "application/grpc"), ("te", "trailers")]


@KINDS
def test_who_does_not_read_is_not_written_to(function):
    """And holds no thread: the iterator is parked."""
    made = 0

    def more():
        nonlocal made
        made += 1
        return pb.Feature(name="x" * 1000)

    def plainly(was, area):
        while True:
            yield more()

    async def in_the_loop(was, area):
        while True:
            yield more()

    app = served(plainly if function is plain else in_the_loop, "/ListFeatures")
    with wire(mounted("/guide.Guide", app), kind="saddle", grpc_threads=1) as server:
        clients = [http2(server, acknowledge=False) for _ in range(3)]
        streams = [client.begin("/guide.Guide/ListFeatures", "POST", HEAD, ended=False) for client in clients]
        for client, stream in zip(clients, streams, strict=True):
            client.send(stream, message(0), ended=True)
            while len(client.answers[stream].body) < 60_000:
                client.receive()
        pace = -1
        while pace != made:
            pace = made
            clients[0].answer_pings()
        assert made < 3 * 600
        for client in clients:
            client.client.close()
        driver = server.services.pipeline.site.routes[0].app
        wait_for(lambda: not driver.running)


@KINDS
def test_who_is_not_read_may_not_send(function):
    """The window opens as messages are taken."""
    taken = threading.Semaphore(0)

    def slowly(was, points):
        for _ in points:
            assert taken.acquire(timeout=PATIENCE_S)
        return pb.Summary(points=1)

    async def slowly_in_the_loop(was, points):
        import asyncio

        async for _ in points:
            while not taken.acquire(blocking=False):
                await asyncio.sleep(0.01)
        return pb.Summary(points=1)

    app = served(slowly if function is plain else slowly_in_the_loop, "/RecordRoute")
    with wire(mounted("/guide.Guide", app), kind="saddle") as server:
        client = http2(server)
        stream = client.begin("/guide.Guide/RecordRoute", "POST", HEAD, ended=False)
        piece = message(8000)
        sent = 0
        for _ in range(40):  # 320 KB, as long as the window lets them through
            client.answer_pings()
            if client.h2.local_flow_control_window(stream) < len(piece):
                break
            client.send(stream, piece)
            sent += 1
        assert sent < 30
        for _ in range(sent + 40):
            taken.release()
        for _ in range(40):
            while client.h2.local_flow_control_window(stream) < len(piece):
                client.receive()
            client.send(stream, piece)
        client.send(stream, b"", ended=True)
        assert client.wait(stream).trailers["grpc-status"] == "0"


def test_a_client_may_be_silent_between_messages_but_not_within_one():
    app = served(plain)
    with wire(mounted("/guide.Guide", app), kind="saddle", request_timeout=1) as server:
        client = http2(server)
        patient = client.begin("/guide.Guide/RouteChat", "POST", HEAD, ended=False)
        client.send(patient, message(10))
        while not client.answers[patient].body:
            client.receive()
        slow = client.begin("/guide.Guide/RouteChat", "POST", HEAD, ended=False)
        client.send(slow, message(10)[:7])
        client.answer_pings()
        server.tick(after_s=100)
        answer = client.wait(slow)
        assert (answer.fields["grpc-status"], client.answers[patient].ended) == ("1", False)
        client.send(patient, b"", ended=True)
        assert client.wait(patient).trailers["grpc-status"] == "0"


def test_messages_in_pieces_of_a_byte():
    app = served(plain)
    with wire(mounted("/guide.Guide", app), kind="saddle") as server:
        client = http2(server)
        stream = client.begin("/guide.Guide/RouteChat", "POST", HEAD, ended=False)
        for each in message(3) + message(0):
            client.send(stream, bytes((each,)))
        client.send(stream, b"", ended=True)
        answer = client.wait(stream)
    assert (answer.trailers["grpc-status"], len(answer.body)) == ("0", 10)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "12"),
        (message(1) * 2, "12"),
        (message(1)[:4], "13"),
        (message(1)[:-1], "13"),
        (b"\x02" + message(1)[1:], "13"),
        (b"\x01" + message(1)[1:], "13"),
        (b"\0\0\0\0\2\xff\xff", "13"),
        (b"\0\xff\xff\xff\xff", "8"),
    ],
)
def test_bodies_that_are_no_message(body, code):
    app = served(lambda was, point: pb.Feature(), "/GetFeature", name="get")
    with wire(mounted("/guide.Guide", app), kind="saddle") as server:
        answer = http2(server).ask("/guide.Guide/GetFeature", "POST", HEAD, body)
        assert (answer.status, answer.fields["grpc-status"]) == (200, code)
        assert answer.fields["content-type"] == "application/grpc"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ([("grpc-encoding", "br")], "12"),
        ([("grpc-timeout", "soon")], "13"),
        ([("grpc-timeout", "123456789S")], "13"),
        ([("thing-bin", "no base64!")], "3"),
    ],
)
def test_heads_that_are_not_understood(fields, code):
    app = served(lambda was, point: pb.Feature(name=str(was.call.metadata)), "/GetFeature", name="get")
    with wire(mounted("/guide.Guide", app), kind="saddle") as server:
        answer = http2(server).ask("/guide.Guide/GetFeature", "POST", [*HEAD, *fields], message(0))
        assert (answer.status, answer.fields["grpc-status"]) == (200, code)


@pytest.mark.parametrize(
    ("method", "kind", "status"),
    [
        ("POST", "application/grpc+json", 415),
        ("POST", "application/json", 415),
        ("POST", "", 415),
        ("GET", "application/grpc", 405),
        ("GET", "", 405),
    ],
)
def test_what_is_no_call(method, kind, status):
    app = served(lambda was, point: pb.Feature(), "/GetFeature", name="get")
    with wire(mounted("/guide.Guide", app), kind="saddle") as server:
        fields = [("content-type", kind)] if kind else []
        body = message(0) if method == "POST" else None
        assert http2(server).ask("/guide.Guide/GetFeature", method, fields, body).status == status


def test_a_route_that_says_what_it_takes_is_for_others_too():
    app = Saddle(__name__)

    @app.route("/GetFeature", methods=["GET", "POST"])
    def get(was, point=None):
        return pb.Feature(name="called") if point is not None else "asked"

    with wire(mounted("/guide.Guide", app), kind="saddle") as server:
        assert http2(server).ask("/guide.Guide/GetFeature").body == b"asked"
        answer = http2(server).ask("/guide.Guide/GetFeature", "POST", HEAD, message(0))
        assert (answer.trailers["grpc-status"], answer.body[7:]) == ("0", b"called")


def test_http_1_has_no_grpc():
    app = served(lambda was, point: pb.Feature(), "/GetFeature", name="get")
    with wire(mounted("/guide.Guide", app), kind="saddle") as server:
        fields = b"Host: x\r\nContent-Type: application/grpc\r\nContent-Length: 5\r\n"
        ask = b"POST /guide.Guide/GetFeature HTTP/1.1\r\n" + fields + b"\r\n"
        status, _, body = server.ask(ask + bytes(5))
    assert (status, b"HTTP/2" in body) == (505, True)


@pytest.mark.parametrize("rule", ["/GetFeature", "/ListFeatures", "/RouteChat"])
def test_a_call_that_is_given_up_before_it_has_begun(rule):
    """Head, message and reset come in one piece, so that its task never takes a step."""

    async def begun(was, wanted):
        called.append(was.call.method)

    called: list[str] = []
    app = served(begun, rule)
    with wire(mounted("/guide.Guide", app), kind="saddle") as server:
        client = http2(server)
        send, pieces = client.client.send, []
        client.client.send = pieces.append
        stream = client.begin(f"/guide.Guide{rule}", "POST", HEAD, ended=False)
        client.send(stream, message(0), ended=True)
        client.h2.reset_stream(stream)
        client.flush()
        client.client.send = send
        client.raw(*pieces)
        assert client.ask("/guide.Guide/").status == 404
        wait_for(lambda: not server.services.pipeline.site.routes[0].app.running)
    assert called == []
