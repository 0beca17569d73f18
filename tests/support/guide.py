"""The services of `guide.proto`, as modules that protoc generates, and clients of grpcio for them.

grpcio is a client here and never meets a fork: servers in processes of their own do not import this.
"""

from __future__ import annotations

import asyncio
import importlib
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import grpc

from skitai.worker.negotiation import ClientConnection
from tests.support.memory import Wire, mounted, wire

PROTO = Path(__file__).parent / "guide.proto"

MODULES = ("guide_pb2.py", "guide_pb2_grpc.py")


def generate(folder: Path, proto: Path = PROTO) -> None:
    """Write the modules of a description into a folder."""
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{proto.parent}", f"--python_out={folder}"]
    subprocess.run([*command, f"--grpc_python_out={folder}", str(proto)], check=True, capture_output=True)


@lru_cache
def _modules() -> tuple[Any, Any]:
    with tempfile.TemporaryDirectory(prefix="guide-") as folder:
        generate(Path(folder))
        sys.path.insert(0, folder)
        try:
            return importlib.import_module("guide_pb2"), importlib.import_module("guide_pb2_grpc")
        finally:
            sys.path.remove(folder)


pb, stubs = _modules()


@contextmanager
def port_of(server: Wire) -> Iterator[int]:
    """A port at which a server in memory can be asked, too."""
    services, sock = server.services, socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    listening = server.engine.listen(lambda: ClientConnection(services), sock, 64, lambda error: False, None)
    closable = asyncio.run_coroutine_threadsafe(listening, services.loop).result(5)
    try:
        yield sock.getsockname()[1]
    finally:
        server.on_loop(closable.close)


@contextmanager
def channel(server: Wire | int, **options: Any) -> Iterator[grpc.Channel]:
    """A channel of grpcio."""
    pairs = [(f"grpc.{name}", value) for name, value in options.items()]
    if isinstance(server, int):
        with grpc.insecure_channel(f"127.0.0.1:{server}", pairs) as made:
            yield made
    else:
        with port_of(server) as port, channel(port, **options) as made:
            yield made


@contextmanager
def asked(app: Any, point: str = "/guide.Guide", threads: int = 4, **values: Any) -> Iterator[tuple[Any, Wire]]:
    """A client of an app, and the server."""
    options = {name[8:]: values.pop(name) for name in list(values) if name.startswith("channel_")}
    debug = values.pop("debug", False)
    with (
        wire(mounted(point, app), kind="saddle", threads=threads, **values) as server,
        channel(server, **options) as made,
    ):
        for route in server.services.pipeline.site.routes:  # as `loading` reports it
            route.debug = debug
        kind = stubs.AsyncGuideStub if "Async" in point else stubs.GuideStub
        yield kind(made), server
