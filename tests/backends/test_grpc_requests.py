"""Calls of gRPC services of grpcio's own server."""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest

from skitai.backend.errors import Code, Failed
from skitai.protocols.grpc.status import RpcError, StatusCode
from skitai.was import process, was
from tests.support.guide import pb, stubs


class Guide(stubs.GuideServicer):  # type: ignore[misc, name-defined]
    """Answers as the description says; what a point's latitude asks for goes wrong."""

    def GetFeature(self, point: Any, context: Any) -> Any:
        match point.latitude:
            case -1:
                context.abort(grpc.StatusCode.NOT_FOUND, "nothing is there: 100 %")
            case -2:
                raise ZeroDivisionError("on purpose")
            case -3:
                time.sleep(2)
        seen = dict(context.invocation_metadata())
        context.send_initial_metadata([("first", "1"), ("raw-bin", b"\x00\xff")])
        context.set_trailing_metadata([("last", seen.get("mine", "")), ("last-bin", seen.get("mine-bin", b""))])
        name = "x" * 1_000_000 if point.latitude == -4 else f"at {point.latitude}"
        return pb.Feature(name=name, location=point)

    def ListFeatures(self, area: Any, context: Any) -> Iterator[Any]:
        for latitude in range(area.low.latitude, area.high.latitude):
            yield pb.Feature(name=str(latitude))
        if area.low.latitude < 0:
            context.abort(grpc.StatusCode.OUT_OF_RANGE, "no further")

    def RecordRoute(self, points: Any, context: Any) -> Any:
        return pb.Summary(points=sum(1 for _ in points))

    def RouteChat(self, notes: Any, context: Any) -> Iterator[Any]:
        for note in notes:
            yield pb.Note(text=f"heard {note.text}")


@pytest.fixture(scope="module", params=[None, grpc.Compression.Gzip], ids=["plain", "gzip"])
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    made = grpc.server(concurrent.futures.ThreadPoolExecutor(8), compression=request.param)
    stubs.add_GuideServicer_to_server(Guide(), made)
    port = made.add_insecure_port("127.0.0.1:0")
    made.start()
    yield f"http://127.0.0.1:{port}/guide.Guide"
    made.stop(None).wait()


@pytest.fixture(autouse=True)
def own_backends() -> Iterator[None]:
    yield
    process.close()


def area(low: int, high: int) -> Any:
    return pb.Area(low=pb.Point(latitude=low), high=pb.Point(latitude=high))


def test_one_for_one(server: str) -> None:
    guide = was.grpc(server)
    calls = [guide.GetFeature(pb.Point(latitude=number)) for number in range(20)]
    assert [call.getwait(reraise=True).data.name for call in calls] == [f"at {number}" for number in range(20)]


def test_a_message_may_be_large_and_compressed(server: str) -> None:
    result = was.grpc(server).GetFeature(pb.Point(latitude=-4), compression="gzip").getwait(reraise=True)
    assert result.data.name == "x" * 1_000_000


def test_metadata_goes_both_ways(server: str) -> None:
    sent = {"mine": "hello", "mine-bin": b"\x01\x02"}
    result = was.grpc(server).GetFeature(pb.Point(latitude=1), metadata=sent).getwait(reraise=True)
    assert (result.metadata.get("first"), result.metadata.get("raw-bin")) == ("1", b"\x00\xff")
    assert (result.trailing_metadata.get("last"), result.trailing_metadata.get("last-bin")) == ("hello", b"\x01\x02")


def test_many_for_one(server: str) -> None:
    points = [pb.Point(latitude=number) for number in range(300)]
    guide = was.grpc(server)
    assert guide.RecordRoute(points).getwait(reraise=True).data.points == 300
    assert guide.RecordRoute(iter(points)).getwait(reraise=True).data.points == 300
    assert guide.RecordRoute([]).getwait(reraise=True).data.points == 0


def test_one_for_many(server: str) -> None:
    guide = was.grpc(server)
    assert [each.name for each in guide.ListFeatures(area(1, 4)).getwait(reraise=True).data] == ["1", "2", "3"]
    streamed = guide.ListFeatures(area(0, 2000), stream=True).getwait(reraise=True).data
    assert [each.name for each in streamed] == [str(number) for number in range(2000)]


def test_many_for_many(server: str) -> None:
    notes = [pb.Note(text=text) for text in "abc"]
    result = was.grpc(server).RouteChat(notes).getwait(reraise=True)
    assert [each.text for each in result.data] == ["heard a", "heard b", "heard c"]


def test_who_waits_for_an_answer_before_asking_again(server: str) -> None:
    said: queue.Queue[str] = queue.Queue()

    def notes() -> Iterator[Any]:
        while text := said.get(timeout=10):
            yield pb.Note(text=text)

    said.put("0")
    heard = []
    for answer in was.grpc(server).RouteChat(notes(), stream=True).getwait(reraise=True).data:
        heard.append(answer.text)
        said.put(str(len(heard)) if len(heard) < 10 else "")
    assert heard == [f"heard {number}" for number in range(10)]


def test_coroutines_talk_as_well(server: str) -> None:
    async def talk() -> list[str]:
        said: asyncio.Queue[str] = asyncio.Queue()

        async def notes() -> AsyncIterator[Any]:
            while text := await said.get():
                yield pb.Note(text=text)

        await said.put("0")
        heard: list[str] = []
        result = await was.grpc(server).RouteChat(notes(), stream=True)
        async for answer in result.data:
            heard.append(answer.text)
            await said.put(str(len(heard)) if len(heard) < 10 else "")
        return heard

    work = asyncio.run_coroutine_threadsafe(talk(), process.backends().home.loop)
    assert work.result(20) == [f"heard {number}" for number in range(10)]


# What goes wrong


@pytest.mark.parametrize(("latitude", "code", "status"), [(-1, StatusCode.NOT_FOUND, 404), (-2, StatusCode.UNKNOWN, 500)])
def test_a_status_is_an_error(server: str, latitude: int, code: StatusCode, status: int) -> None:
    result = was.grpc(server).GetFeature(pb.Point(latitude=latitude)).getwait()
    assert (result.status, result.status_code, result.data) == (3, status, None)
    assert isinstance(result.error, RpcError)
    assert result.error.code is code
    with pytest.raises(Failed) as failed:
        result.reraise()
    assert failed.value.__cause__ is result.error
    if latitude == -1:
        assert result.reason == "NOT_FOUND: nothing is there: 100 %"


def test_a_stream_that_ends_with_an_error(server: str) -> None:
    guide = was.grpc(server)
    whole = guide.ListFeatures(area(-2, 0)).getwait()
    assert (whole.data, whole.error.code) == (None, StatusCode.OUT_OF_RANGE)
    heard = []
    with pytest.raises(RpcError, match="no further"):
        for each in guide.ListFeatures(area(-2, 0), stream=True).getwait().data:
            heard.append(each.name)  # noqa: PERF401 - what came before the error counts
    assert heard == ["-2", "-1"]


def test_time_runs_out(server: str) -> None:
    began = time.monotonic()
    result = was.grpc(server).GetFeature(pb.Point(latitude=-3), timeout=0.3).getwait()
    assert result.status in (1, 3)
    assert result.status_code in (Code.TIMEOUT, 504)
    assert time.monotonic() - began < 2


def test_a_method_that_nobody_knows(server: str) -> None:
    with pytest.raises(LookupError, match="no imported module knows guide.Guide/Nothing"):
        was.grpc(server).Nothing(pb.Point())
    with pytest.raises(LookupError):
        was.grpc(server + "s").GetFeature(pb.Point())


def test_what_cannot_be_sent_is_said(server: str) -> None:
    guide = was.grpc(server)
    with pytest.raises(TypeError, match="takes a message"):
        guide.GetFeature("text")
    with pytest.raises(TypeError, match="takes a stream"):
        guide.RecordRoute(pb.Point())
    with pytest.raises(ValueError, match="no compression"):
        guide.GetFeature(pb.Point(), compression="zip")
    with pytest.raises(ValueError, match="metadata cannot have the name"):
        guide.GetFeature(pb.Point(), metadata={"grpc-x": "1"})


def test_a_server_that_does_not_speak_http2() -> None:
    from tests.support.upstream import upstream

    with upstream() as other:
        result = was.grpc(f"{other.url}/guide.Guide").GetFeature(pb.Point()).getwait(5)
        assert (result.status, result.data) == (2, None)
    assert was.grpc("http://127.0.0.1:1/guide.Guide").GetFeature(pb.Point()).getwait().status_code == Code.REFUSED
