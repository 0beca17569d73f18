"""`app.make_client()`: asks an app in memory, without a server.

What a request goes through is what it goes through in a worker. What is before and behind that - connections, compression,
the request log, other apps of the host - is not there.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.message import Message
from itertools import count
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urljoin
from xmlrpc import client as xmlrpc

from skitai.config.mounted import AppObject, Mount
from skitai.config.mounts import normal_point
from skitai.errors import Answerable, TooLarge
from skitai.exchange import Peer
from skitai.http.parameters import essence
from skitai.http.status import phrase
from skitai.lib.client import Response, Session
from skitai.saddle import apps
from skitai.saddle.call import answer
from skitai.saddle.contents import FileBody
from skitai.saddle.context import Was
from skitai.saddle.hooks import Step, Steps, settled
from skitai.saddle.inmemory import MemoryExchange, MemoryWorker, Place, head_of, loop
from skitai.saddle.lifecycle import Stay
from skitai.saddle.limits import settle_limits
from skitai.saddle.pieces import AsyncPieces
from skitai.saddle.results import Outcome
from skitai.saddle.targets import Ready, find
from skitai.was.context import current

if TYPE_CHECKING:
    from skitai.saddle.app import Saddle

HOST = "http://localhost"
_BODILESS = (204, 304)
_DEFAULT_HOST = "default"


class RemoteError(Exception):
    """A JSON-RPC call was answered with an error.

    :ivar code: of the error.
    :ivar data: more about it, if there is more.
    """

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.data = data


class Client(Session):
    """Asks one app. As a context manager it mounts the app at the begin and takes it down at the end, with all its hooks.

    Without one, the app is mounted with the first request and stays so until `close`.

    Paths that begin with a slash are those of a server; others are below the app's mount point.
    """

    def __init__(self, app: Saddle, point: str, approot: str) -> None:
        """:raises ValueError: the mount point is none."""
        self._mount = Mount(normal_point(point), AppObject("", "", app))
        super().__init__(HOST + self._mount.point)
        self.app = app
        self._root = os.path.abspath(approot)
        self._worker = MemoryWorker()
        self._peer = Peer("127.0.0.1", 50000, "127.0.0.1", 80)
        self._limits: dict[str, int] = {}
        self._stay: Stay | None = None
        self._calls = count(1)

    def open(self) -> Self:
        """Mount the app, if it is not mounted yet.

        :raises LoadError: a size limit in its config is none, a file of its SQL cannot be used, or a module cannot
            decorate it.
        """
        if self._stay is not None:
            return self
        app, bodies = self.app, self._worker.config.bodies
        stay = Stay(app, self._worker)
        sys.path.insert(0, self._root)
        loop.enter()
        try:
            app.mounted_at(self._mount.point)
            settle_limits(app, self._mount, bodies)
            app._templates.prepare()
            app._sqlmaps.prepare()
            apps.register(_DEFAULT_HOST, _file_name(app), app)
            loop.run(stay.begin())
            self._limits = settle_limits(app, self._mount, bodies)  # its hooks may have changed them
        except BaseException:
            loop.run(stay.end())
            self._let_go()
            raise
        self._stay = stay
        return self

    def close(self) -> None:
        """Take the app down."""
        stay, self._stay = self._stay, None
        if stay is not None:
            try:
                loop.run(stay.end())
            finally:
                self._let_go()

    def _let_go(self) -> None:
        apps.unregister(_DEFAULT_HOST, self.app)
        loop.leave()
        sys.path.remove(self._root)

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *error: object) -> None:
        self.close()

    # Asking

    def postjson(self, url: str, data: Any = None, **options: Any) -> Response:
        """Post a value as JSON."""
        return self.request("POST", url, json={} if data is None else data, **options)

    def xmlrpc(self, url: str = "") -> Calls:
        """Remote calls: ``client.xmlrpc("rpc2").add(1, 2)``.

        The calls return what the function did, and raise xmlrpc.client.Fault.
        """
        return Calls(lambda method, args, kwargs: self._xml(url, method, args, kwargs))

    def jsonrpc(self, url: str = "") -> Calls:
        """The same as JSON-RPC 2.0; arguments may have names, and `RemoteError` is what the calls raise."""
        return Calls(lambda method, args, kwargs: self._json(url, method, args, kwargs))

    def _xml(self, url: str, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if kwargs:
            raise TypeError("XML-RPC has no named arguments")
        body = xmlrpc.dumps(args, method, allow_none=True).encode()
        response = self.post(url, body, headers={"Content-Type": "text/xml"})
        response.raise_for_status()
        values, _ = xmlrpc.loads(response.content, use_builtin_types=True)
        return values[0]

    def _json(self, url: str, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args and kwargs:
            raise TypeError("the arguments of a JSON-RPC call have names, all of them or none")
        call = {"jsonrpc": "2.0", "method": method, "params": kwargs or list(args), "id": next(self._calls)}
        response = self.post(url, json.dumps(call), headers={"Content-Type": "application/json-rpc"})
        response.raise_for_status()
        answered = response.json()
        if error := answered.get("error"):
            raise RemoteError(error["code"], error["message"], error.get("data"))
        return answered["result"]

    # Being answered

    def exchange(self, method: str, url: str, fields: Mapping[str, str], body: bytes, timeout_s: float) -> Response:
        """Answer one request.

        :param timeout_s: of each coroutine function.
        :raises Exception: what a body raises while it is made; a server would cut the connection.
        """
        self.open()
        head = head_of(method, url, dict(fields), len(body))
        place = Place(self._mount, self.app.debug)
        exchange = MemoryExchange(head, body, place, self._peer)
        status, reason, pairs, content = self._answered(exchange, timeout_s)
        headers = Message()
        for name, value in pairs:
            headers.add_header(name, value)
        if status not in _BODILESS and headers["Content-Length"] is None:
            headers["Content-Length"] = str(len(content))
        shown = b"" if method == "HEAD" or status in _BODILESS else content
        return Response(method, url, status, reason or phrase(status), headers, shown)

    def _answered(self, exchange: MemoryExchange, timeout_s: float) -> tuple[int, str, list[tuple[str, str]], bytes]:
        head, point = exchange.head, self._mount.point
        if f"{head.raw_path}/" == point:
            return 308, "", [("Location", urljoin(HOST, point) + (f"?{head.query}" if head.query else ""))], b""
        if not head.raw_path.startswith(point):
            return 404, "", [], b"nothing is mounted here"
        target = find(self.app, head, point, exchange.peer.scheme)
        if isinstance(target, Ready):
            return target.status, "", target.fields, b""
        route, values, error = target
        was = Was(self.app, exchange, route, values)  # type: ignore[arg-type]  # as much of an exchange as it needs
        exchange.context = was
        try:
            with _running(exchange):
                outcome = self._taken(answer(was, error or self._too_large(exchange)), exchange, timeout_s)
                content = self._content(outcome, exchange, timeout_s)
        finally:
            exchange.context = None
            was.close()
        return outcome.status, outcome.reason, list(outcome.fields), content

    def _too_large(self, exchange: MemoryExchange) -> Answerable | None:
        kind = essence(exchange.head.fields.text("content-type"))
        limit = self._limits["max_multipart_body_size" if kind.startswith("multipart/") else "max_post_body_size"]
        if exchange.received <= limit:
            return None
        return TooLarge(f"the body is larger than {limit} bytes")

    def _taken(self, steps: Steps, exchange: MemoryExchange, timeout_s: float) -> Outcome:
        """Take the steps of a request: plain functions here, coroutine functions in the loop."""
        try:
            step = next(steps)
            while True:
                try:
                    result = loop.run(_awaited(step, exchange), timeout_s) if step.is_async else _called(step)
                except Exception as failed:  # noqa: BLE001 - the steps decide what becomes of it
                    step = steps.throw(failed)
                else:
                    step = steps.send(result)
        except StopIteration as end:
            made: Outcome = end.value
            return made

    def _content(self, outcome: Outcome, exchange: MemoryExchange, timeout_s: float) -> bytes:
        """The whole body."""
        body = outcome.body
        if isinstance(body, bytes):
            return body
        if isinstance(body, AsyncPieces):
            return bytes(loop.run(_gathered(body, exchange), timeout_s))
        try:
            if isinstance(body, FileBody):
                body.file.seek(body.offset)
                return body.file.read(body.count)
            return b"".join(body)
        finally:
            close = getattr(body, "close", None)
            if close is not None:
                close()

    def __repr__(self) -> str:
        return f"<Client of {self.app!r}>"


class Calls:
    """Remote calls, by name: ``calls.library.find("x")``."""

    __slots__ = ("_method", "_send")

    def __init__(self, send: Any, method: str = "") -> None:
        self._send = send
        self._method = method

    def __getattr__(self, name: str) -> Calls:
        if name.startswith("__"):
            raise AttributeError(name)
        return Calls(self._send, f"{self._method}.{name}" if self._method else name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._send(self._method, args, kwargs)

    def __enter__(self) -> Calls:
        return self

    def __exit__(self, *error: object) -> None:
        """There is nothing to close."""

    def __repr__(self) -> str:
        return f"<Calls {self._method}>"


@contextmanager
def _running(exchange: MemoryExchange) -> Iterator[None]:
    """Let `was` be the request's."""
    token = current.set(exchange)  # type: ignore[arg-type]  # as above
    try:
        yield
    finally:
        current.reset(token)


def _called(step: Step) -> Any:
    return step.function(*step.args, **step.kwargs)


async def _awaited(step: Step, exchange: MemoryExchange) -> Any:
    with _running(exchange):
        return await settled(_called(step))


async def _gathered(pieces: AsyncPieces, exchange: MemoryExchange) -> bytes:
    with _running(exchange):
        try:
            return b"".join([piece async for piece in pieces])
        finally:
            await pieces.aclose()


def _file_name(app: Saddle) -> str:
    """By what name other apps find it: that of its file."""
    file = getattr(sys.modules.get(app.name), "__file__", None) or app.name
    return os.path.splitext(os.path.basename(file))[0]
