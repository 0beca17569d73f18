"""`python -m benchmarks.apps.grpcio_server PORT`: the server of grpcio, with 4 threads."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
from google.protobuf.wrappers_pb2 import StringValue


def hello(name: StringValue, context: grpc.ServicerContext) -> StringValue:
    return StringValue(value=f"Hello, {name.value}!")


if __name__ == "__main__":
    server = grpc.server(ThreadPoolExecutor(4))
    handler = grpc.unary_unary_rpc_method_handler(hello, StringValue.FromString, StringValue.SerializeToString)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("bench.Greeter", {"Hello": handler})])
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    server.start()
    server.wait_for_termination()
