"""Calls of gRPC as load, made by grpcio: the next one on each channel when the last is answered.

`python -m benchmarks.calls PORT PATH CHANNELS SECONDS` prints one line of JSON (see `load.Result`).
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter

import grpc
from google.protobuf.wrappers_pb2 import StringValue

from benchmarks.client import REPLY_S, percentile

ASKED, ANSWERED = "World", "Hello, World!"
OF_ITS_OWN = [("grpc.use_local_subchannel_pool", 1)]
"""Else all channels of a process share a connection."""


def asked(port: int, path: str) -> str:
    """What the server answers to one call.

    :raises grpc.RpcError: it does not.
    """
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(path, StringValue.SerializeToString, StringValue.FromString)
        return str(call(StringValue(value=ASKED), timeout=REPLY_S).value)


async def run(port: int, path: str, channels: int, seconds: float) -> dict[str, float]:
    histogram: Counter[int] = Counter()
    errors = 0
    clock = time.perf_counter
    began = clock()
    end = began + seconds

    async def ask() -> None:
        nonlocal errors
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", OF_ITS_OWN) as channel:
            call = channel.unary_unary(path, StringValue.SerializeToString, StringValue.FromString)
            while (asked := clock()) < end:
                try:
                    await call(StringValue(value=ASKED), timeout=REPLY_S)
                except grpc.aio.AioRpcError:
                    errors += 1
                else:
                    histogram[round((clock() - asked) * 1e6)] += 1

    await asyncio.gather(*(ask() for _ in range(channels)))
    return {
        "requests": sum(histogram.values()),
        "seconds": clock() - began,
        "p50_us": percentile(histogram, 0.5),
        "p99_us": percentile(histogram, 0.99),
        "errors": errors,
    }


if __name__ == "__main__":
    port, path, channels, seconds = sys.argv[1:]
    print(json.dumps(asyncio.run(run(int(port), path, int(channels), float(seconds)))))
