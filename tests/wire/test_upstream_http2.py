"""HTTP/2 to the servers of a mounted alias: gRPC of all four kinds, trailers, resets, TLS."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import grpc
import pytest
from h2.errors import ErrorCodes

from skitai.config.aliases import Means
from tests.support.guide import channel, pb, stubs
from tests.support.http2 import Http2Client
from tests.support.members import passing, served, settled
from tests.support.memory import Wire, wait_for
from tests.support.ports import free_port
from tests.support.scripted import Peer, upstream
from tests.support.scripted2 import Call, secured, upstream2

PATIENCE_S = 20


class Guide(stubs.GuideServicer):  # type: ignore[misc, name-defined]
    """:ivar cancelled: the client of a stream has left."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()

    def GetFeature(self, point: Any, context: Any) -> Any:
        if point.latitude < 0:
            context.abort(grpc.StatusCode.OUT_OF_RANGE, "below zero")
        context.set_trailing_metadata((("seen", dict(context.invocation_metadata()).get("asked", "")),))
        return pb.Feature(name="x" * point.longitude)

    def ListFeatures(self, area: Any, context: Any) -> Iterator[Any]:
        context.add_callback(self.cancelled.set)
        for number in range(area.low.latitude):
            yield pb.Feature(name=str(number) * 1000)

    def RecordRoute(self, points: Any, context: Any) -> Any:
        return pb.Summary(points=sum(1 for _ in points))

    def RouteChat(self, notes: Any, context: Any) -> Iterator[Any]:
        for note in notes:
            yield pb.Note(text=note.text.upper())


@contextmanager
def guided(**options: Any) -> Iterator[tuple[Any, Guide, Wire]]:
    """A client of a server of grpcio, with a worker between them."""
    guide, server = Guide(), grpc.server(ThreadPoolExecutor(8))
    stubs.add_GuideServicer_to_server(guide, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with passing([f"127.0.0.1:{port}"], "/", **options) as worker, channel(worker) as made:
            yield stubs.GuideStub(made), guide, worker
            settled(worker)
    finally:
        server.stop(None).wait(PATIENCE_S)


def test_all_four_kinds_of_calls() -> None:
    with guided() as (guide, _, _):
        answer, call = guide.GetFeature.with_call(
            pb.Point(latitude=1, longitude=300_000), timeout=PATIENCE_S, metadata=[("asked", "kindly")]
        )
        assert len(answer.name) == 300_000 and ("seen", "kindly") in call.trailing_metadata()
        assert len(list(guide.ListFeatures(pb.Area(low=pb.Point(latitude=500)), timeout=PATIENCE_S))) == 500
        assert guide.RecordRoute(iter([pb.Point()] * 2000), timeout=PATIENCE_S).points == 2000
        notes = (pb.Note(text=f"note {number}") for number in range(200))
        assert [each.text for each in guide.RouteChat(notes, timeout=PATIENCE_S)] == [f"NOTE {n}" for n in range(200)]


def test_a_talk_goes_to_and_fro() -> None:
    go = threading.Semaphore(0)

    def asking() -> Iterator[Any]:
        for number in range(20):
            go.acquire()
            yield pb.Note(text=f"a{number}")

    with guided() as (guide, _, _):
        answers = guide.RouteChat(asking(), timeout=PATIENCE_S)
        for number in range(20):
            go.release()
            assert next(answers).text == f"A{number}"
        assert list(answers) == []


def test_a_status_of_the_server_is_the_clients() -> None:
    with guided() as (guide, _, _), pytest.raises(grpc.RpcError) as caught:
        guide.GetFeature(pb.Point(latitude=-1), timeout=PATIENCE_S)
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.OUT_OF_RANGE, "below zero")


def test_a_call_that_is_cancelled_is_cancelled_behind() -> None:
    with guided() as (guide, there, _):
        answers = guide.ListFeatures(pb.Area(low=pb.Point(latitude=10_000_000)), timeout=PATIENCE_S)
        next(answers)
        answers.cancel()
        assert there.cancelled.wait(PATIENCE_S)


def test_nobody_there_is_unavailable_without_saying_where() -> None:
    port = free_port()
    with passing([f"127.0.0.1:{port}"], "/") as worker, channel(worker) as made, pytest.raises(grpc.RpcError) as caught:
        stubs.GuideStub(made).GetFeature(pb.Point(), timeout=PATIENCE_S)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE and str(port) not in str(caught.value.details())


GET = b"GET /pets/cats HTTP/1.1\r\nHost: zoo\r\nTE: trailers\r\n\r\n"


@contextmanager
def before2(talk: Any, **options: Any) -> Iterator[Wire]:
    """A worker before a server of HTTP/2."""
    by = partial(upstream2, **{name: options.pop(name) for name in ("streams", "window") if name in options})
    with (
        served(talk, by=by) as running,
        passing([f"127.0.0.1:{running[0].port}"], means=Means(http2=True), **options) as made,
    ):
        yield made
        settled(made)


def test_what_a_server_of_http2_is_asked() -> None:
    seen: list[Call] = []

    async def talk(call: Call) -> None:
        seen.append(call)
        await call.answer((await call.body()) * 2, ("x-mood", "fine"))

    with before2(talk) as server:
        status, fields, body = server.ask(
            b"POST /pets/cats HTTP/1.1\r\nHost: zoo\r\nConnection: x-secret\r\nX-Secret: 1\r\nContent-Length: 2\r\n\r\nhi"
        )
        assert (status, fields["x-mood"], body) == (200, "fine", b"hihi")
        assert server.ask(GET)[0] == 200
    first = seen[0].fields
    assert (first[":method"], first[":path"], first[":scheme"]) == ("POST", "/cats", "http")
    assert first["content-length"] == "2" and first["via"] == "1.1 skitai" and first["x-forwarded-host"] == "zoo"
    assert not first.keys() & {"connection", "x-secret", "host", "transfer-encoding"}


def test_trailers_reach_who_is_ready_for_them() -> None:
    async def talk(call: Call) -> None:
        call.head(200)
        await call.data(b"data")
        call.trailers(("x-sum", "1"), ("x-more", "2"))

    with before2(talk) as server:
        client = server.connect()
        client.send(GET)
        assert client.until(b"0\r\nx-sum: 1\r\nx-more: 2\r\n\r\n")
        assert client.ask(GET.replace(b"TE: trailers\r\n", b""))[2] == b"data"
        answer = Http2Client(server.connect()).ask("/pets/cats")
        assert answer.trailers == {"x-sum": "1", "x-more": "2"}


def test_large_bodies_within_small_windows() -> None:
    async def talk(call: Call) -> None:
        await call.answer(await call.body())

    with before2(talk) as server:
        data = bytes(range(256)) * 8000
        request = b"POST /pets/x HTTP/1.1\r\nHost: zoo\r\nContent-Length: %d\r\n\r\n" % len(data)
        client = server.connect()
        threading.Thread(target=client.send, args=(request + data,)).start()
        assert client.response()[2] == data
        assert Http2Client(server.connect()).ask("/pets/x", "POST", body=data).body == data


@pytest.mark.parametrize(("code", "again"), [(ErrorCodes.REFUSED_STREAM, True), (ErrorCodes.INTERNAL_ERROR, False)])
def test_a_stream_that_is_refused_is_asked_for_again(code: ErrorCodes, again: bool) -> None:
    turns = 0

    async def talk(call: Call) -> None:
        nonlocal turns
        turns += 1
        if turns == 1:
            call.refuse(code)
        else:
            await call.answer(b"fine")

    with before2(talk) as server:
        post = b"POST /pets/ HTTP/1.1\r\nHost: zoo\r\nContent-Length: 0\r\n\r\n"
        assert server.ask(post)[0] == (200 if again else 502)
    assert turns == 1 + again


def test_a_reset_within_an_answer_is_a_reset_for_the_client() -> None:
    async def talk(call: Call) -> None:
        call.head(200)
        await call.data(b"some")
        await asyncio.sleep(0.05)
        call.refuse(ErrorCodes.INTERNAL_ERROR)

    with before2(talk) as server:
        answer = Http2Client(server.connect()).ask("/pets/cats")
        assert answer.status == 200 and answer.reset is not None
        client = server.connect()
        client.send(GET)
        assert not client.read().endswith(b"0\r\n\r\n")


def test_a_client_that_leaves_cancels_its_stream_alone() -> None:
    calls: list[Call] = []

    async def talk(call: Call) -> None:
        calls.append(call)
        if call.path == "/slow":
            await asyncio.sleep(PATIENCE_S)
        await call.answer(b"fine")

    with before2(talk) as server:
        client = server.connect()
        client.send(b"GET /pets/slow HTTP/1.1\r\nHost: zoo\r\n\r\n")
        wait_for(lambda: calls)
        client.close()
        wait_for(lambda: calls[0].reset == ErrorCodes.CANCEL)
        assert server.ask(GET)[2] == b"fine"
    assert calls[0].connection == calls[1].connection


@pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
def test_over_tls_as_it_agrees(protocol: str) -> None:
    async def talk1(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.answer(b"http/1.1")

    async def talk2(call: Call) -> None:
        await call.answer(b"h2")

    by = partial(upstream2 if protocol == "h2" else upstream, tls=secured(protocol))
    with served(talk2 if protocol == "h2" else talk1, by=by) as running:
        places = [f"127.0.0.1:{each.port}" for each in running]
        with passing(places, kind="https", means=Means(ssl_verify=False)) as server:
            assert [server.ask(GET)[2] for _ in range(3)] == [protocol.encode()] * 3
            settled(server)
        assert running[0].connections == 1
        with passing(places, kind="https") as server:
            assert server.ask(GET)[0] == 502  # nobody vouches for it
