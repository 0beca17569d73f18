"""What comes with a server of gRPC: reflection and health, with the clients that belong to them. And another client."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.const import Cardinality
from grpclib.exceptions import GRPCError

from skitai.saddle import RpcError, Saddle, StatusCode
from tests.support.guide import channel, pb, port_of
from tests.support.memory import mounted, wire

PATIENCE_S = 20


def guide(**options: Any) -> Saddle:
    app = Saddle(__name__)
    app.enable_grpc(**options)

    @app.route("/GetFeature")
    def get(was, point):
        if not point.latitude:
            raise RpcError(StatusCode.NOT_FOUND, "nothing there")
        return pb.Feature(name=f"at {point.latitude}")

    @app.route("/RouteChat")
    async def chat(was, notes):
        async for note in notes:
            yield pb.Note(text=f"heard {note.text}")

    return app


# Reflection


@pytest.mark.parametrize("point", ["/guide.Guide", "/"])
def test_who_knows_nothing_can_ask_and_call(point):
    app = guide(reflection=True)
    if point == "/":
        app = Saddle(__name__)
        app.enable_grpc(reflection=True)
        app.add_route("/guide.Guide/GetFeature", lambda was, point: pb.Feature(name=f"at {point.latitude}"), name="get")
    with wire(mounted(point, app), kind="saddle") as server, channel(server) as made:
        database = ProtoReflectionDescriptorDatabase(made)
        names = set(database.get_services())
        assert names == {"guide.Guide", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"}
        pool = DescriptorPool(database)
        method = pool.FindServiceByName("guide.Guide").FindMethodByName("GetFeature")
        takes, gives = (message_factory.GetMessageClass(each) for each in (method.input_type, method.output_type))
        call = made.unary_unary("/guide.Guide/GetFeature", takes.SerializeToString, gives.FromString)
        assert call(takes(latitude=4), timeout=PATIENCE_S).name == "at 4"


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_what_can_be_asked(version):
    asked = [
        reflection_pb2.ServerReflectionRequest(file_by_filename="guide.proto"),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="guide.Guide.GetFeature"),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="grpc.reflection.v1.ServerReflection"),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="guide.Nothing"),
        reflection_pb2.ServerReflectionRequest(all_extension_numbers_of_type="guide.Point"),
        reflection_pb2.ServerReflectionRequest(
            file_containing_extension=reflection_pb2.ExtensionRequest(containing_type="guide.Point", extension_number=9)
        ),
        reflection_pb2.ServerReflectionRequest(),
    ]
    kinds = reflection_pb2.ServerReflectionRequest, reflection_pb2.ServerReflectionResponse
    with wire(mounted("/guide.Guide", guide(reflection=True)), kind="saddle") as server, channel(server) as made:
        path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
        call = made.stream_stream(path, kinds[0].SerializeToString, kinds[1].FromString)
        answers = list(call(iter(asked), timeout=PATIENCE_S))
    assert [each.WhichOneof("message_response") for each in answers] == [
        "file_descriptor_response",
        "file_descriptor_response",
        "file_descriptor_response",
        "error_response",
        "all_extension_numbers_response",
        "error_response",
        "error_response",
    ]
    assert [each.original_request for each in answers] == asked
    assert answers[0].file_descriptor_response.file_descriptor_proto[0] == pb.DESCRIPTOR.serialized_pb
    assert [each.error_response.error_code for each in (answers[3], answers[5], answers[6])] == [5, 5, 3]


@pytest.mark.parametrize("options", [{}, {"health": True}])
def test_what_is_not_enabled_is_not_there(options):
    with wire(mounted("/guide.Guide", guide(**options)), kind="saddle") as server, channel(server) as made:
        stub = reflection_pb2_grpc.ServerReflectionStub(made)
        call = stub.ServerReflectionInfo(
            iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=PATIENCE_S
        )
        with pytest.raises(grpc.RpcError) as caught:
            next(call)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


# Health


def test_health():
    app = guide(health=True)
    states = health_pb2.HealthCheckResponse
    with wire(mounted("/guide.Guide", app), kind="saddle") as server, channel(server) as made:
        stub = health_pb2_grpc.HealthStub(made)

        def check(service: str) -> int:
            request = health_pb2.HealthCheckRequest(service=service)
            return int(stub.Check(request, timeout=PATIENCE_S).status)

        assert check("") == check("guide.Guide") == states.SERVING
        with pytest.raises(grpc.RpcError) as caught:
            check("guide.Other")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        app.set_health("guide.Guide", False)
        assert (check(""), check("guide.Guide")) == (states.SERVING, states.NOT_SERVING)
        app.set_health("guide.Other", True)
        assert check("guide.Other") == states.SERVING


def test_who_watches_hears_of_changes():
    app = guide(health=True)
    states = health_pb2.HealthCheckResponse
    with wire(mounted("/guide.Guide", app), kind="saddle") as server, channel(server) as made:
        stub = health_pb2_grpc.HealthStub(made)
        heard = stub.Watch(health_pb2.HealthCheckRequest(service="soon"), timeout=PATIENCE_S)
        assert next(heard).status == states.SERVICE_UNKNOWN
        app.set_health("soon", True)
        assert next(heard).status == states.SERVING
        server.services.retiring = True
        with pytest.raises(grpc.RpcError) as caught:
            next(heard)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_health_has_to_be_enabled():
    with pytest.raises(RuntimeError, match="health=True"):
        guide().set_health("", True)


def test_settings_that_cannot_be():
    with pytest.raises(ValueError, match="compression"):
        guide(compression="br")
    with pytest.raises(ValueError, match="lots"):
        guide(message_bytes="lots")


def test_without_protobuf_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.protobuf", None)
    monkeypatch.delitem(sys.modules, "skitai.saddle.grpc_services", raising=False)
    monkeypatch.delattr("skitai.saddle.grpc_services", raising=False)
    with pytest.raises(ImportError, match=r"skitai\[grpc\]"):
        guide(health=True)


# Another client


def test_grpclib():
    async def talk(port: int) -> None:
        client = Channel("127.0.0.1", port)
        try:
            get = UnaryUnaryMethod(client, "/guide.Guide/GetFeature", pb.Point, pb.Feature)
            assert (await get(pb.Point(latitude=5), timeout=PATIENCE_S)).name == "at 5"
            with pytest.raises(GRPCError, match="nothing there"):
                await get(pb.Point(), timeout=PATIENCE_S)
            path = "/guide.Guide/RouteChat"
            async with client.request(path, Cardinality.STREAM_STREAM, pb.Note, pb.Note, timeout=PATIENCE_S) as stream:
                for number in range(5):
                    await stream.send_message(pb.Note(text=str(number)))
                    answer = await stream.recv_message()
                    assert answer is not None
                    assert answer.text == f"heard {number}"
                await stream.end()
        finally:
            client.close()

    with wire(mounted("/guide.Guide", guide()), kind="saddle") as server, port_of(server) as port:
        asyncio.run(talk(port))


# Without generated modules


def test_annotations_say_what_nothing_else_does():
    app = Saddle(__name__)

    @app.route("/One")
    def one(was, point: pb.Point) -> pb.Feature:
        return pb.Feature(name=f"at {point.latitude}")

    @app.route("/All")
    async def every(was, notes: AsyncIterator[pb.Note]) -> AsyncIterator[pb.Note]:
        async for note in notes:
            yield note

    @app.route("/Count")
    def count(was, notes: Iterator[pb.Note]) -> pb.Summary:
        return pb.Summary(points=len(list(notes)))

    @app.route("/None")
    def nothing(was, point):
        return pb.Feature()

    with wire(mounted("/my.Own", app), kind="saddle") as server, channel(server) as made:
        call = made.unary_unary("/my.Own/One", pb.Point.SerializeToString, pb.Feature.FromString)
        assert call(pb.Point(latitude=3), timeout=PATIENCE_S).name == "at 3"
        chat = made.stream_stream("/my.Own/All", pb.Note.SerializeToString, pb.Note.FromString)
        assert [each.text for each in chat(iter([pb.Note(text="x")]), timeout=PATIENCE_S)] == ["x"]
        tell = made.stream_unary("/my.Own/Count", pb.Note.SerializeToString, pb.Summary.FromString)
        assert tell(iter([pb.Note()] * 3), timeout=PATIENCE_S).points == 3
        unknown = made.unary_unary("/my.Own/None", pb.Point.SerializeToString, pb.Feature.FromString)
        with pytest.raises(grpc.RpcError) as caught:
            unknown(pb.Point(), timeout=PATIENCE_S)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
