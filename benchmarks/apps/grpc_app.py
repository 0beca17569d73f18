"""Hello by gRPC: with a plain function, and with a coroutine function."""

from __future__ import annotations

from google.protobuf.wrappers_pb2 import StringValue

from skitai.saddle import Saddle, Was

plain = Saddle(__name__)
coroutine = Saddle(__name__)


@plain.route("/bench.Greeter/Hello")
def hello(was: Was, name: StringValue) -> StringValue:
    return StringValue(value=f"Hello, {name.value}!")


@coroutine.route("/bench.Greeter/Hello")
async def hello_in_loop(was: Was, name: StringValue) -> StringValue:
    return StringValue(value=f"Hello, {name.value}!")
