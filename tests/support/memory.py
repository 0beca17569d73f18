"""A worker's HTTP side without ports and processes: real connections over socket pairs, a real loop in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from skitai.cachefs.cache import Cache
from skitai.cachefs.host import Host
from skitai.config.aliases import Alias
from skitai.config.mounted import AppObject, Folder, Mount, Upstream, View
from skitai.config.pref import Preference
from skitai.config.tree import SECTIONS, Config, options
from skitai.loading.app import Loaded
from skitai.loading.importer import load_object
from skitai.log.requests import RequestLog
from skitai.was import process
from skitai.worker import engines
from skitai.worker.apps import make_app
from skitai.worker.gateway import guarded
from skitai.worker.negotiation import ClientConnection
from skitai.worker.pipeline import Pipeline
from skitai.worker.proxy import forward
from skitai.worker.server import Server
from skitai.worker.services import Dispatcher, Services
from skitai.worker.site import Route, Site

SECTION_OF = {option.name: option.section for option in options()}


def make_config(**values: Any) -> Config:
    """A configuration with these options; `max_ages` and `log_off` too."""
    config = Config()
    for name, value in values.items():
        if name in SECTION_OF:
            section = SECTION_OF[name]
            config = replace(config, **{section: replace(getattr(config, section), **{name: value})})
        else:
            assert name not in SECTIONS
            config = replace(config, **{name: value})
    return config


class Line(RequestLog):
    """A request log whose lines the test reads."""

    def __init__(self) -> None:
        super().__init__("W0", console=True)
        self.lines: list[str] = []

    def _show(self, data: bytes) -> None:  # type: ignore[override]
        self.lines += data.decode("latin-1").splitlines()


class Client:
    """The client's end: raw bytes out, raw bytes in."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.settimeout(20)
        self.received = b""

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def read(self) -> bytes:
        """Everything until the server closes."""
        with contextlib.suppress(ConnectionResetError):
            while data := self.sock.recv(65536):
                self.received += data
        data, self.received = self.received, b""
        return data

    def until(self, end: bytes) -> bytes:
        """Everything up to and with `end`."""
        while end not in self.received:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError(f"{end!r} did not come; got {self.received!r}")
            self.received += data
        at = self.received.index(end) + len(end)
        data, self.received = self.received[:at], self.received[at:]
        return data

    def exactly(self, size: int) -> bytes:
        while len(self.received) < size:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError(f"{size} bytes did not come; got {self.received!r}")
            self.received += data
        data, self.received = self.received[:size], self.received[size:]
        return data

    def response(self, head_only: bool = False) -> tuple[int, dict[str, str], bytes]:
        """One response: status, fields (lower-case names), body as its Content-Length or chunks say."""
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        status = int(lines[0].split()[1])
        fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:-2])}
        if head_only or status in (204, 304) or status < 200:
            return status, fields, b""
        if fields.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self.until(b"\r\n"), 16):
                body += self.exactly(size)
                assert self.exactly(2) == b"\r\n"
            assert self.exactly(2) == b"\r\n"
            return status, fields, body
        if "content-length" in fields:
            return status, fields, self.exactly(int(fields["content-length"]))
        return status, fields, self.read()

    def ask(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send a request, read its response."""
        self.send(request)
        return self.response(request.startswith(b"HEAD "))

    def closed(self) -> bool:
        """Whether the server has closed; waits for it."""
        try:
            return self.sock.recv(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self.sock.close()


class Wire:
    """A running worker side.

    :ivar log: lines of the request log.
    """

    def __init__(self, services: Services, log: Line, engine: engines.Engine) -> None:
        self.services = services
        self.engine = engine
        self.log = log
        self.server = Server(services, engine, [], 1_000_000)
        self.clients: list[Client] = []

    def connect(self, dispatcher: Dispatcher | None = None) -> Client:
        """A new connection.

        :param dispatcher: brings its requests to whoever answers; the worker's by default.
        """
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        future = asyncio.run_coroutine_threadsafe(
            self.engine.adopt(lambda: ClientConnection(self.services, dispatcher), theirs), self.services.loop
        )
        future.result(5)
        client = Client(ours)
        self.clients.append(client)
        return client

    def ask(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        """A request on a connection of its own."""
        return self.connect().ask(request)

    def get(self, target: str = "/", **fields: str) -> tuple[int, dict[str, str], bytes]:
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
        return self.ask(f"GET {target} HTTP/1.1\r\nHost: example\r\n{lines}\r\n".encode("latin-1"))

    def tick(self, after_s: float = 0.0) -> None:
        """What the worker does once a second, as if so many seconds had passed."""
        self.on_loop(lambda: self.server.tick(time.monotonic() + after_s))

    def on_loop(self, job: Callable[[], Any]) -> Any:
        """Run `job` in the loop's thread and return what it returns."""

        async def run() -> Any:
            return job()

        return asyncio.run_coroutine_threadsafe(run(), self.services.loop).result(5)


def wait_for(condition: Callable[[], Any], patience_s: float = 5) -> None:
    """Wait until `condition` holds, or fail."""
    end_s = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end_s, "it did not come to pass"
        time.sleep(0.005)


def mounted(point: str, what: Any, **values: Any) -> Mount:
    """A mount of a callable, a folder or an alias."""
    if isinstance(what, Upstream):
        return Mount(point, what, **values)
    if isinstance(what, str):
        return Mount(point, Folder(what), **values)
    return Mount(point, AppObject("", "", what), **values)


@contextlib.contextmanager
def wire(
    *mounts: Mount,
    kind: str = "wsgi",
    engine: str = "asyncio",
    aliases: tuple[Alias, ...] = (),
    listening: Sequence[socket.socket] = (),
    **values: Any,
) -> Iterator[Wire]:
    """Serve these mounts; the kind is that of all callables.

    :param listening: what a forward proxy takes for its own sockets.
    """
    config = replace(make_config(**values), mounts=mounts, aliases=aliases)
    made = engines.find(engine, load_object)
    loop = made.new_loop()
    log = Line()
    started = threading.Event()
    worker: list[Wire] = []
    stopping = asyncio.Event()
    failure: list[BaseException] = []

    async def run() -> None:
        services = Services(config, loop, log)
        cachefs = Host.open(config.cachefs, config.cachefs.cachefs_path)
        if cachefs is not None:
            services.cache = Cache(cachefs.stores(), loop, services.disk)
        services.pool.start()
        backends = process.lend(services)
        routes = []
        for mount in mounts:
            app = mount.target.app if isinstance(mount.target, AppObject) else None
            kinds = {Folder: "static", Upstream: "upstream", View: "view"}
            driver = guarded(make_app(Loaded(app, kinds.get(type(mount.target), kind), "", mount), mount), mount, config)
            await driver.startup(services)
            routes.append(Route(mount, driver, config))
        proxy = forward.make(services, listening)
        services.pipeline = Pipeline(Site(routes, proxy))
        worker.append(Wire(services, log, made))
        started.set()
        await stopping.wait()
        for connection in tuple(services.connections):
            connection.abort()
        await asyncio.sleep(0.01)
        for route in routes:
            await route.app.shutdown()
        if proxy is not None:
            proxy.close()
        await backends.close()
        process.take_back(backends)
        services.pool.stop()
        services.disk.shutdown(wait=True)
        if cachefs is not None:
            cachefs.close()

    def main() -> None:
        try:
            loop.run_until_complete(run())
        except BaseException as error:  # noqa: BLE001 - raised again in the test
            failure.append(error)
            started.set()
        finally:
            made.close()
            loop.close()

    thread = threading.Thread(target=main, daemon=True)
    thread.start()
    assert started.wait(10)
    if failure:
        raise failure[0]
    try:
        yield worker[0]
    finally:
        for client in worker[0].clients:
            client.close()
        loop.call_soon_threadsafe(stopping.set)
        thread.join(10)


__all__ = ["Client", "Preference", "Wire", "make_config", "mounted", "wait_for", "wire"]
