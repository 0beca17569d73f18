"""`python -m benchmarks.apps.grpcio_aio_server PORT`: the asynchronous server of grpcio."""

from __future__ import annotations

import asyncio
import sys

import grpc
from google.protobuf.wrappers_pb2 import StringValue


async def hello(name: StringValue, context: grpc.aio.ServicerContext) -> StringValue:
    return StringValue(value=f"Hello, {name.value}!")


async def main(port: int) -> None:
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(hello, StringValue.FromString, StringValue.SerializeToString)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("bench.Greeter", {"Hello": handler})])
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
