"""How calls of gRPC end: statuses, details, deadlines, cancellation, limits; metadata and compression."""

from __future__ import annotations

import logging
import threading
from typing import Any

import grpc
import pytest
from google.protobuf import wrappers_pb2
from grpc_status import rpc_status

from skitai.errors import NotFound
from skitai.saddle import RpcError, Saddle, StatusCode
from tests.support.guide import asked, channel, pb, stubs
from tests.support.memory import mounted, wait_for, wire

PATIENCE_S = 20
HERE = pb.Point(latitude=7)


def app_of(function: Any, rule: str = "/GetFeature", **options: Any) -> Saddle:
    app = Saddle(__name__)
    app.add_route(rule, function, **options)
    return app


def failure(call: Any, request: Any = HERE, **options: Any) -> Any:
    """The error that a call ends with."""
    options.setdefault("timeout", PATIENCE_S)
    with pytest.raises(grpc.RpcError) as caught:
        answer = call(request, **options)
        if hasattr(answer, "__next__"):
            list(answer)
    return caught.value


def pairs(metadata: Any) -> dict[str, Any]:
    return {each.key: each.value for each in metadata}


# Errors of the app


def test_an_app_says_how_a_call_ends():
    def get(was, point):
        raise RpcError(StatusCode.NOT_FOUND, "kein Ort für 7 %\n☃", metadata=[("reason", "none"), ("id-bin", b"\0\xff")])

    with asked(app_of(get)) as (guide, _):
        error = failure(guide.GetFeature)
    assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "kein Ort für 7 %\n☃")
    assert pairs(error.trailing_metadata()).items() >= {"reason": "none", "id-bin": b"\0\xff"}.items()


def test_details():
    def get(was, point):
        raise RpcError(StatusCode.INVALID_ARGUMENT, "too far", details=[wrappers_pb2.StringValue(value="north"), point])

    with asked(app_of(get)) as (guide, _):
        status = rpc_status.from_call(failure(guide.GetFeature))
    assert (status.code, status.message) == (3, "too far")
    north, place = wrappers_pb2.StringValue(), pb.Point()
    assert status.details[0].Unpack(north) and north.value == "north"
    assert status.details[1].Unpack(place) and place == HERE


def test_an_error_is_unknown_to_the_client_and_in_the_log(caplog):
    def get(was, point):
        raise ZeroDivisionError("the secret")

    with caplog.at_level(logging.ERROR), asked(app_of(get)) as (guide, _):
        error = failure(guide.GetFeature)
    assert error.code() is grpc.StatusCode.UNKNOWN
    assert "secret" not in error.details()
    assert "ZeroDivisionError: the secret" in caplog.text


def test_under_debug_the_client_sees_it(caplog):
    def get(was, point):
        raise ZeroDivisionError("the secret")

    with asked(app_of(get), debug=True) as (guide, _):
        assert "ZeroDivisionError: the secret" in failure(guide.GetFeature).details()


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_an_error_within_a_stream(kind, caplog):
    def plain(was, area):
        yield pb.Feature(name="one")
        raise ZeroDivisionError

    async def later(was, area):
        yield pb.Feature(name="one")
        raise RpcError(StatusCode.ABORTED, "enough")

    with asked(app_of(plain if kind == "plain" else later, "/ListFeatures")) as (guide, _):
        answers = guide.ListFeatures(pb.Area(), timeout=PATIENCE_S)
        assert next(answers).name == "one"
        with pytest.raises(grpc.RpcError) as caught:
            next(answers)
    assert caught.value.code() is (grpc.StatusCode.UNKNOWN if kind == "plain" else grpc.StatusCode.ABORTED)


def test_errors_of_http_have_a_code():
    def get(was, point):
        raise NotFound("no such place")

    with asked(app_of(get)) as (guide, _):
        error = failure(guide.GetFeature)
    assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "no such place")


def test_the_request_log_tells_the_status_of_calls():
    def get(was, point):
        raise RpcError(StatusCode.ABORTED, "enough")

    def some(was, area):
        yield pb.Feature(name="one")
        raise RpcError(StatusCode.DATA_LOSS, "enough")

    app = app_of(get)
    app.add_route("/ListFeatures", some)
    with asked(app) as (guide, server):
        assert failure(guide.GetFeature).code() is grpc.StatusCode.ABORTED
        wait_for(lambda: server.log.lines and server.log.lines[-1].endswith(" grpc:10"))
        with pytest.raises(grpc.RpcError):
            list(guide.ListFeatures(pb.Area(), timeout=PATIENCE_S))
        wait_for(lambda: server.log.lines[-1].endswith(" grpc:15"))
        assert " 200 " in server.log.lines[-1]
        server.get("/nowhere")
        wait_for(lambda: "/nowhere" in server.log.lines[-1])
        assert "grpc:" not in server.log.lines[-1]


def test_nothing_is_no_answer(caplog):
    with asked(app_of(lambda was, point: None, name="get")) as (guide, _):
        assert failure(guide.GetFeature).code() is grpc.StatusCode.UNKNOWN
    assert "get() returned None" in caplog.text


def test_neither_is_another_message(caplog):
    with asked(app_of(lambda was, point: point, name="get")) as (guide, _):
        assert failure(guide.GetFeature).code() is grpc.StatusCode.UNKNOWN
    assert "a guide.Feature is wanted, not a Point" in caplog.text


def test_what_a_hook_says_instead_of_a_message():
    app = app_of(lambda was, point: pb.Feature(), name="get")

    @app.before_request
    def closed(was):
        return was.response.Fault("403 Forbidden", "closed today")

    with asked(app) as (guide, _):
        error = failure(guide.GetFeature)
    assert (error.code(), error.details()) == (grpc.StatusCode.PERMISSION_DENIED, "closed today")


def test_credentials():
    app = app_of(lambda was, point: pb.Feature(name=was.user.name), name="get", authenticate="basic")
    app.users = {"ann": "sesame"}
    with asked(app) as (guide, _):
        assert failure(guide.GetFeature).code() is grpc.StatusCode.UNAUTHENTICATED
        known = [("authorization", "Basic YW5uOnNlc2FtZQ==")]
        assert guide.GetFeature(HERE, metadata=known, timeout=PATIENCE_S).name == "ann"


# What is not there


@pytest.mark.parametrize("method", ["/guide.Guide/Nothing", "/guide.Other/GetFeature", "/guide.Guide/RecordRoute"])
def test_what_there_is_not_is_unimplemented(method):
    app = app_of(lambda was, point: pb.Feature(), name="get")
    with wire(mounted("/", app), kind="saddle") as server, channel(server) as made:
        call = made.unary_unary(method, pb.Point.SerializeToString, pb.Feature.FromString)
        assert failure(call).code() is grpc.StatusCode.UNIMPLEMENTED


# Time


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_a_deadline(kind):
    told = threading.Event()

    def plain(was, point):
        assert 0 < was.call.time_left() < 5
        wait_for(lambda: was.call.cancelled)
        told.set()
        return pb.Feature()

    async def later(was, point):
        try:
            await asyncio_forever()
        finally:
            told.set()

    with asked(app_of(plain if kind == "plain" else later)) as (guide, _):
        error = failure(guide.GetFeature, timeout=0.2)
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert told.wait(PATIENCE_S)


async def asyncio_forever() -> None:
    import asyncio

    await asyncio.Event().wait()


def test_without_a_deadline_there_is_time():
    with asked(app_of(lambda was, point: pb.Feature(name=str(was.call.time_left())), name="get")) as (guide, _):
        assert guide.GetFeature(HERE).name == "inf"


def test_a_deadline_that_only_the_server_knows_of():
    """Who asks by hand, and so has no clock of its own."""
    with wire(
        mounted("/guide.Guide", app_of(lambda was, notes: list(notes), "/RouteChat", name="chat")), kind="saddle"
    ) as at:
        from tests.support.http2 import http2

        client = http2(at)
        head = [("content-type", "application/grpc"), ("te", "trailers"), ("grpc-timeout", "100m")]
        answer = client.wait(client.begin("/guide.Guide/RouteChat", "POST", head, ended=False))
    assert answer.fields["grpc-status"] == "4"


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_a_client_that_changes_its_mind(kind):
    told, begun = threading.Event(), threading.Event()

    def plain(was, notes):
        try:
            begun.set()
            for _ in notes:
                yield pb.Note()
        finally:
            told.set()

    async def later(was, notes):
        try:
            begun.set()
            async for _ in notes:
                yield pb.Note()
        finally:
            told.set()

    with asked(app_of(plain if kind == "plain" else later, "/RouteChat")) as (guide, server):
        endless = threading.Event()
        call = guide.RouteChat(iter(lambda: endless.wait(PATIENCE_S) and None or pb.Note(), None))
        assert begun.wait(PATIENCE_S)
        call.cancel()
        assert told.wait(PATIENCE_S)
        endless.set()
        app = server.services.pipeline.site.routes[0].app
        wait_for(lambda: not app.running)


# Limits


def test_a_message_that_is_too_long():
    app = app_of(lambda was, points: pb.Summary(points=sum(1 for _ in points)), "/RecordRoute", name="record")
    app.add_route("/GetFeature", lambda was, point: pb.Feature(), name="get")
    app.enable_grpc(message_bytes=1000)
    long = pb.Feature(name="x" * 2000)
    with wire(mounted("/guide.Guide", app), kind="saddle") as server, channel(server) as made:
        one = made.unary_unary("/guide.Guide/GetFeature", pb.Feature.SerializeToString, pb.Feature.FromString)
        assert failure(one, long).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        many = made.stream_unary("/guide.Guide/RecordRoute", pb.Feature.SerializeToString, pb.Summary.FromString)
        error = failure(many, iter([pb.Feature(), long]))
        assert (error.code(), "1000 bytes" in error.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, True)
        guide = stubs.GuideStub(made)
        assert guide.GetFeature(HERE, timeout=PATIENCE_S) == pb.Feature()


def test_the_servers_limit_and_a_stream_that_is_longer():
    app = app_of(lambda was, notes: (pb.Note(text=str(len(each.data))) for each in notes), "/RouteChat", name="chat")
    with asked(app, grpc_message_bytes=20_000, max_post_body_size=1000) as (guide, _):
        notes = [pb.Note(data=b"x" * 10_000) for _ in range(20)]
        assert [each.text for each in guide.RouteChat(iter(notes), timeout=PATIENCE_S)] == ["10000"] * 20
        error = failure(guide.RouteChat, iter([pb.Note(data=b"x" * 20_000)]))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_bomb():
    app = app_of(lambda was, notes: [pb.Note() for _ in notes], "/RouteChat", name="chat")
    app.add_route("/GetFeature", lambda was, point: pb.Feature(), name="get")
    bomb = pb.Note(data=bytes(32 << 20))
    with wire(mounted("/guide.Guide", app), kind="saddle") as server, channel(server) as made:
        one = made.unary_unary("/guide.Guide/GetFeature", pb.Note.SerializeToString, pb.Feature.FromString)
        assert failure(one, bomb, compression=grpc.Compression.Gzip).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        chat = stubs.GuideStub(made).RouteChat
        error = failure(chat, iter([bomb]), compression=grpc.Compression.Gzip)
    assert (error.code(), "4194304 bytes" in error.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, True)


# Metadata


def test_metadata_both_ways():
    def get(was, point):
        heard = was.call.metadata
        was.call.add_metadata("begin", str(heard.get("word")))
        was.call.add_metadata("Begin-bin", bytes(reversed(heard.get("raw-bin"))))
        was.call.add_trailer("end", "|".join(heard.all("several")))
        return pb.Feature(name=f"{was.call.service} {was.call.method}")

    with asked(app_of(get)) as (guide, _):
        said = [("word", "hello"), ("raw-bin", b"\x00\x01\xfe"), ("several", "1"), ("several", "2")]
        feature, call = guide.GetFeature.with_call(HERE, metadata=said, timeout=PATIENCE_S)
    assert feature.name == "guide.Guide GetFeature"
    begun = pairs(call.initial_metadata())
    assert (begun["begin"], begun["begin-bin"]) == ("hello", b"\xfe\x01\x00")
    assert pairs(call.trailing_metadata())["end"] == "1|2"


def test_metadata_goes_first_when_it_should():
    going_on = threading.Event()

    def chat(was, notes):
        was.call.send_metadata([("begin", "now")])
        assert going_on.wait(PATIENCE_S)
        yield pb.Note(text="later")
        with pytest.raises(RuntimeError):
            was.call.add_metadata("too", "late")

    with asked(app_of(chat, "/RouteChat")) as (guide, _):
        call = guide.RouteChat(iter(()), timeout=PATIENCE_S)
        assert pairs(call.initial_metadata())["begin"] == "now"
        going_on.set()
        assert [each.text for each in call] == ["later"]
        assert call.code() is grpc.StatusCode.OK


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("grpc-status", "0", ValueError),
        ("a b", "x", ValueError),
        ("x", "line\nline", ValueError),
        ("x", "é", ValueError),
        ("x", b"bytes", TypeError),
        ("x-bin", "text", TypeError),
        ("content-type", "text/plain", ValueError),
    ],
)
def test_metadata_that_cannot_be_sent(name, value, kind):
    def get(was, point):
        with pytest.raises(kind):
            was.call.add_metadata(name, value)
        with pytest.raises(kind):
            was.call.add_trailer(name, value)
        return pb.Feature(name="fine")

    with asked(app_of(get)) as (guide, _):
        assert guide.GetFeature(HERE, timeout=PATIENCE_S).name == "fine"


# Compression


@pytest.mark.parametrize("given", [grpc.Compression.Gzip, grpc.Compression.Deflate, grpc.Compression.NoCompression])
def test_compressed_requests_are_answered_alike(given):
    app = app_of(lambda was, point: pb.Feature(name="x" * 5000), name="get")
    with asked(app) as (guide, server):
        assert len(guide.GetFeature(HERE, compression=given, timeout=PATIENCE_S).name) == 5000
        wait_for(lambda: server.log.lines)
        size = int(server.log.lines[0].split(" 200 ")[1].split()[0])
    assert (size < 1000) is (given is not grpc.Compression.NoCompression)


def test_an_app_may_compress_what_it_likes():
    def get(was, point):
        was.call.compress("gzip" if point.latitude else "identity")
        with pytest.raises(ValueError, match="gzip, deflate or identity"):
            was.call.compress("br")
        return pb.Feature(name="x" * 5000)

    app = app_of(get)
    app.enable_grpc(compression="gzip")
    with asked(app) as (guide, server):
        for point in (HERE, pb.Point()):
            assert len(guide.GetFeature(point, timeout=PATIENCE_S).name) == 5000
        wait_for(lambda: len(server.log.lines) == 2)
        sizes = [int(line.split(" 200 ")[1].split()[0]) for line in server.log.lines]
    assert sizes[0] < 1000 < sizes[1]


# Threads


def test_streams_leave_the_threads_of_requests_alone():
    going_on = threading.Event()
    app = Saddle(__name__)

    @app.route("/GetFeature")
    def get(was, point):
        return pb.Feature(name="at once")

    @app.route("/RouteChat")
    def chat(was, notes):
        for _ in notes:
            assert going_on.wait(PATIENCE_S)
            yield pb.Note()

    with asked(app, threads=1) as (guide, _):
        streams = [guide.RouteChat(iter([pb.Note()]), timeout=PATIENCE_S) for _ in range(5)]
        assert guide.GetFeature(HERE, timeout=PATIENCE_S).name == "at once"
        going_on.set()
        assert [len(list(each)) for each in streams] == [1] * 5


def test_a_stream_that_finds_no_thread_for_too_long_is_refused():
    going_on = threading.Event()

    def chat(was, notes):
        assert going_on.wait(PATIENCE_S)
        yield from notes

    with asked(app_of(chat, "/RouteChat"), grpc_threads=1, thread_wait_s=1) as (guide, server):
        first = guide.RouteChat(iter([pb.Note()]), timeout=PATIENCE_S)
        driver = server.services.pipeline.site.routes[0].app
        wait_for(lambda: driver.streams.threads and not driver.streams._idle)
        error = failure(guide.RouteChat, iter([pb.Note()]))
        assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "no thread was free in time")
        going_on.set()
        assert len(list(first)) == 1
        wait_for(lambda: not driver.running)


def test_more_streams_than_threads_wait_for_each_other():
    app = app_of(lambda was, notes: (pb.Note(text=each.text) for each in notes), "/RouteChat", name="chat")
    with asked(app, grpc_threads=2) as (guide, _):
        streams = [guide.RouteChat(iter([pb.Note(text=str(each))]), timeout=PATIENCE_S) for each in range(10)]
        assert [next(each).text for each in streams] == [str(each) for each in range(10)]
