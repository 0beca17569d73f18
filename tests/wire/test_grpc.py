"""gRPC: all kinds of calls with the official client, to plain and to coroutine functions."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from skitai.saddle import Saddle
from tests.support.guide import channel, pb, stubs

PATIENCE_S = 20


def plain_guide() -> Saddle:
    app = Saddle(__name__)

    @app.route("/GetFeature")
    def get_feature(was, point):
        return pb.Feature(name=f"at {point.latitude}", location=point)

    @app.route("/ListFeatures")
    def list_features(was, area):
        for latitude in range(area.low.latitude, area.high.latitude):
            yield pb.Feature(name=str(latitude))

    @app.route("/RecordRoute")
    def record_route(was, points):
        return pb.Summary(points=sum(1 for _ in points))

    @app.route("/RouteChat")
    def route_chat(was, notes):
        for note in notes:
            yield pb.Note(text=f"heard {note.text}")

    return app


def async_guide() -> Saddle:
    app = Saddle(__name__)

    @app.route("/GetFeature")
    async def get_feature(was, point):
        return pb.Feature(name=f"at {point.latitude}", location=point)

    @app.route("/ListFeatures")
    async def list_features(was, area):
        for latitude in range(area.low.latitude, area.high.latitude):
            yield pb.Feature(name=str(latitude))

    @app.route("/RecordRoute")
    async def record_route(was, points):
        return pb.Summary(points=len([each async for each in points]))

    @app.route("/RouteChat")
    async def route_chat(was, notes):
        async for note in notes:
            yield pb.Note(text=f"heard {note.text}")

    return app


@pytest.fixture(params=["plain", "async"])
def guide(request: pytest.FixtureRequest, saddle: Any) -> Iterator[Any]:
    """A client of a guide."""
    if request.param == "plain":
        app, point, stub = plain_guide(), "/guide.Guide", stubs.GuideStub
    else:
        app, point, stub = async_guide(), "/guide.AsyncGuide", stubs.AsyncGuideStub
    with channel(saddle(app, point)) as made:
        yield stub(made)


def test_one_for_one(guide):
    feature = guide.GetFeature(pb.Point(latitude=7), timeout=PATIENCE_S)
    assert (feature.name, feature.location.latitude) == ("at 7", 7)


def test_one_for_one_again_and_again(guide):
    for latitude in range(50):
        assert guide.GetFeature(pb.Point(latitude=latitude), timeout=PATIENCE_S).name == f"at {latitude}"


def test_many_for_one(guide):
    area = pb.Area(low=pb.Point(latitude=3), high=pb.Point(latitude=203))
    names = [each.name for each in guide.ListFeatures(area, timeout=PATIENCE_S)]
    assert names == [str(each) for each in range(3, 203)]


def test_none_for_one(guide):
    assert list(guide.ListFeatures(pb.Area(), timeout=PATIENCE_S)) == []


def test_one_for_many(guide):
    assert guide.RecordRoute((pb.Point() for _ in range(300)), timeout=PATIENCE_S).points == 300
    assert guide.RecordRoute(iter(()), timeout=PATIENCE_S).points == 0


def test_who_waits_for_an_answer_before_asking_again(guide):
    asking: queue.Queue[Any] = queue.Queue()
    answers = guide.RouteChat(iter(asking.get, None), timeout=PATIENCE_S)
    for number in range(20):
        asking.put(pb.Note(text=str(number)))
        assert next(answers).text == f"heard {number}"
    asking.put(None)
    assert list(answers) == []
    assert answers.code() is grpc.StatusCode.OK
