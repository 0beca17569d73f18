"""ASGI apps (ASGI specification 3.0, HTTP version 2.4): each request is a task of the worker's loop.

The parts of a scope that recur are kept by head and by peer and joined for each request. A response whose only body message
is its last leaves in one write together with its head; anything else is streamed at the client's pace.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from time import monotonic
from typing import Any

from skitai.config.mounted import Mount
from skitai.errors import Gone, Unavailable
from skitai.exchange import BodyMode, Context, Exchange, Flow, Head, Peer
from skitai.loading.app import Loaded
from skitai.was.context import current
from skitai.worker.apps.asgi_websocket import WebSocketCall
from skitai.worker.apps.disconnect import Disconnected, follows_disconnect
from skitai.worker.apps.lifespan import Lifespan, Message
from skitai.worker.apps.tasks import start

log = logging.getLogger("skitai.app")

Scope = dict[str, Any]
App = Callable[[Scope, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

ASGI = {"version": "3.0", "spec_version": "2.4"}
EXTENSIONS: dict[str, dict[str, Any]] = {
    "http.response.trailers": {},
    "http.response.pathsend": {},
    "http.response.early_hint": {},
}

START, BODY = "http.response.start", "http.response.body"
TRAILERS, PATHSEND, EARLY_HINT = "http.response.trailers", "http.response.pathsend", "http.response.early_hint"

# What a response is waiting for.
HEAD, FIRST, MORE, TRAILING, COMPLETE = range(5)
WAITS_FOR = (
    START,
    f"the first {BODY}",
    f"another {BODY}",
    TRAILERS,
    "nothing: the response is complete",
)

LOOK_S = 0.1
"""How often a shutdown looks whether there is less time than it was."""

CANCEL_S, LIFESPAN_S = 0.2, 0.5
"""What cancelled calls and the app's own end may take, however long the requests took; the master waits for a second."""


class Asgi:
    """Serves an ASGI callable at a mount point.

    :ivar running: the calls that have not returned yet; some after their response, with work left to do.
    :ivar loop: in which they run.
    """

    body_mode = BodyMode.STREAM
    in_threads = False

    def __init__(self, loaded: Loaded, mount: Mount) -> None:
        self.app: App = loaded.app
        self.debug = loaded.debug
        self.limits = mount.pref.config
        self.root_path = mount.point.rstrip("/")
        self.running: set[Call | WebSocketCall] = set()
        self.state: dict[str, Any] | None = None
        self._point = mount.point
        self._form = f"asgi {self.root_path}"
        self.loop: asyncio.AbstractEventLoop
        self._lifespan: Lifespan | None = None
        self._context: Context

    async def startup(self, context: Context) -> None:
        """Run the app's own start.

        :raises LoadError: the app says that it failed.
        """
        self.loop = asyncio.get_running_loop()
        self._context = context
        self._lifespan = Lifespan(self.app, ASGI, self._point)
        await self._lifespan.startup()
        if self._lifespan.supported:
            self.state = self._lifespan.state

    def handle(self, exchange: Any) -> None:
        exchange.taken = True
        call = Call(self, exchange)
        call.task = task = start(call.run(), self.loop)
        if not task.done():
            exchange.task = task
            self.running.add(call)

    def upgrade(self, exchange: Any) -> None:
        """A handshake of WebSocket."""
        exchange.taken = True
        call = WebSocketCall(self, exchange)
        call.task = task = start(call.run(), self.loop)
        if not task.done():
            exchange.task = task
            self.running.add(call)

    async def shutdown(self) -> None:
        """Let the calls end, then cancel what is left and run the app's own end.

        A call whose client has its response, or still waits for it, may work on for the grace time; one that works for
        nobody, for that of a fast stop; neither for longer than the worker stays.
        """
        timeouts = self._context.config.timeouts
        began = monotonic()
        for call in tuple(self.running):
            if isinstance(call, WebSocketCall):
                call.leave()
        while self.running:
            cut = all(call.cut for call in self.running)
            left = self._left_s(began, timeouts.fast_grace_s if cut else timeouts.grace_s)
            if left <= 0:
                break
            tasks = [call.task for call in self.running]
            await asyncio.wait(tasks, timeout=min(left, LOOK_S), return_when=asyncio.FIRST_COMPLETED)
        if tasks := [call.task for call in self.running]:
            for task in tasks:
                task.cancel()
            log.warning("%d requests of the app at %s were cancelled", len(tasks), self._point)
            await asyncio.wait(tasks, timeout=CANCEL_S)
        if self._lifespan is not None:
            await self._lifespan.shutdown(max(self._left_s(began, timeouts.grace_s), LIFESPAN_S))

    def _left_s(self, began: float, grace_s: float) -> float:
        """Of a grace time that began at `began`, or of the worker's stay, whichever ends first."""
        return min(began + grace_s, self._context.leave_by) - monotonic()

    def scope(self, exchange: Exchange) -> Scope:
        """A new scope, joined from the parts that head and peer keep. What apps may change in it is theirs alone."""
        head, peer = exchange.head, exchange.peer
        try:
            part = head.forms[self._form]
        except KeyError:
            part = head.forms[self._form] = self._head_part(head)
        try:
            ends = peer.forms["asgi"]
        except KeyError:
            ends = peer.forms["asgi"] = peer_part(peer)
        scope: Scope = part | ends
        scope["headers"] = list(head.fields.pairs)
        scope["extensions"] = EXTENSIONS.copy()
        if self.state is not None:
            scope["state"] = self.state.copy()
        return scope

    def _head_part(self, head: Head) -> Scope:
        return {
            "type": "http",
            "asgi": ASGI,
            "http_version": "2" if head.version == "2.0" else head.version,
            "method": head.method,
            "path": head.path.encode("latin-1").decode("utf-8", "replace"),
            "raw_path": head.raw_path.encode("latin-1"),
            "query_string": head.query.encode("latin-1"),
            "root_path": self.root_path,
        }


def peer_part(peer: Peer) -> Scope:
    """What a scope says of the connection."""
    return {
        "scheme": peer.scheme,
        "client": (peer.client, peer.client_port) if peer.client else None,
        "server": (peer.server, peer.server_port or None) if peer.server else None,
    }


class Call:
    """One call of an app: its `receive` and `send`, and how far the response has come."""

    __slots__ = (
        "_asgi",
        "_body_given",
        "_ended",
        "_exchange",
        "_fields",
        "_left",
        "_phase",
        "_status",
        "_stream",
        "_trailers",
        "task",
    )

    task: asyncio.Task[None]

    def __init__(self, asgi: Asgi, exchange: Any) -> None:
        self._asgi = asgi
        self._exchange = exchange
        self._phase = HEAD
        self._body_given = False
        self._left = exchange.head.length
        self._stream: AsyncIterator[bytes] | None = None
        self._ended: asyncio.Event | None = None
        self._trailers: list[tuple[bytes, bytes]] | None = None

    @property
    def cut(self) -> bool:
        """The client left before its response was complete."""
        return self._phase != COMPLETE and bool(self._exchange.gone)

    async def run(self) -> None:
        """Call the app. Its errors become answers; nothing is raised."""
        exchange = self._exchange
        current.set(exchange)  # in this task's own context, so that there is nothing to reset
        try:
            if exchange.crowded and exchange.held_back(self._again):
                exchange.taken = False
                return
            await self._asgi.app(self._asgi.scope(exchange), self.receive, self.send)
            if self._phase != COMPLETE:
                self._returned_early()
        except asyncio.CancelledError:
            exchange.fail(Unavailable("the request was cancelled"))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the app's errors, whatever they are, become answers
            if follows_disconnect(error):
                log.debug("the client left before its response was complete", extra={"txn": exchange.txn})
            else:
                exchange.fail(error)
        finally:
            self._asgi.running.discard(self)
            exchange.task = None

    def _again(self) -> None:
        if self._exchange.take():
            self._asgi.handle(self._exchange)

    def _returned_early(self) -> None:
        exchange = self._exchange
        if exchange.gone:
            return
        if self._phase == TRAILING:
            exchange.finish(self._trailers or ())
        else:
            exchange.fail(RuntimeError(f"the app returned while its response was waiting for {WAITS_FOR[self._phase]}"))

    # Receiving

    async def receive(self) -> Message:
        """The next event of the request: its body, then the client's leaving or the end of the response."""
        if not self._body_given:
            if self._left:
                return await self._receive_body()
            self._body_given = True
            return {"type": "http.request", "body": b"", "more_body": False}
        if self._phase != COMPLETE:
            if self._ended is None:
                self._ended = asyncio.Event()
                self._exchange.when_gone(self._ended.set)
            await self._ended.wait()
        return {"type": "http.disconnect"}

    async def _receive_body(self) -> Message:
        if self._stream is None:
            self._stream = self._exchange.body.stream()
        try:
            data = await anext(self._stream)
            if self._left > 0:
                self._left -= len(data)
                if not self._left:
                    await anext(self._stream, None)  # takes note of the end, which is known by now
                    self._body_given = True
        except StopAsyncIteration:
            data = b""
            self._body_given = True
        except Gone:
            self._body_given = True
            return {"type": "http.disconnect"}
        except asyncio.CancelledError:
            self._stream = None  # it has ended with this, but the body has not: the next call goes on
            raise
        return {"type": "http.request", "body": data, "more_body": not self._body_given}

    # Sending

    async def send(self, message: Message) -> None:
        """Take a message of the response.

        :raises OSError: nobody will get it any more.
        :raises RuntimeError: it is not the turn of this message.
        :raises ValueError: the head would be malformed.
        """
        kind = message["type"]
        phase = self._phase
        if phase == HEAD and kind == START:
            self._status = message["status"]
            fields = message.get("headers", ())
            self._fields = fields if type(fields) is list else list(fields)
            if message.get("trailers", False):
                self._trailers = []
            self._phase = FIRST
        elif phase == FIRST and kind == BODY and not message.get("more_body", False) and self._trailers is None:
            if not self._exchange.respond(self._status, self._fields, message.get("body", b"")):
                raise self._disconnected()
            self._complete()
        elif kind == BODY and phase in (FIRST, MORE):
            await self._send_piece(message.get("body", b""), message.get("more_body", False))
        else:
            self._send_rarely(kind, message)

    async def _send_piece(self, data: bytes, more: bool) -> None:
        exchange = self._exchange
        if type(data) is not bytes:
            data = bytes(memoryview(data))  # which takes nothing that is no bytes, while a page can still say so
        if self._phase == FIRST:
            if not exchange.start(self._status, self._fields):
                raise self._disconnected()
            self._phase = MORE
        flow = exchange.write(data) if data or more else Flow.ON
        if flow is Flow.GONE:
            raise self._disconnected()
        if not more:
            self._end_body()
        elif flow is Flow.WAIT:
            taken = asyncio.Event()
            exchange.when_writable(taken.set)
            await taken.wait()
            if exchange.gone:
                raise self._disconnected()

    def _end_body(self) -> None:
        if self._trailers is not None:
            self._phase = TRAILING
        elif self._exchange.finish():
            self._complete()
        else:
            raise self._disconnected()

    def _send_rarely(self, kind: str, message: Message) -> None:
        phase = self._phase
        if phase == HEAD and kind == EARLY_HINT:
            self._exchange.inform(103, [(b"link", link) for link in message["links"]])
        elif phase == FIRST and kind == PATHSEND:
            self._send_path(message["path"])
        elif phase == TRAILING and kind == TRAILERS:
            assert self._trailers is not None
            self._trailers += message.get("headers", ())
            if not message.get("more_trailers", False):
                if not self._exchange.finish(self._trailers):
                    raise self._disconnected()
                self._complete()
        elif phase != COMPLETE and self._exchange.gone:
            raise self._disconnected()
        else:
            raise RuntimeError(f"the app sent {kind!r}, but its response is waiting for {WAITS_FOR[phase]}")

    def _send_path(self, path: str) -> None:
        """Answer with a whole file of the app's choice."""
        file = open(path, "rb")  # noqa: SIM115 - `send_file` closes it
        try:
            size = os.fstat(file.fileno()).st_size
            declared = length_in(self._fields)
            if declared is None:
                self._fields = [*self._fields, (b"content-length", b"%d" % size)]
            else:
                size = min(size, declared)  # the file may have grown since the app looked
            if not self._exchange.start(self._status, self._fields):
                raise self._disconnected()
        except BaseException:
            file.close()
            raise
        self._exchange.send_file(file, 0, size)
        self._complete()

    def _complete(self) -> None:
        self._phase = COMPLETE
        if self._ended is not None:
            self._ended.set()

    def _disconnected(self) -> Disconnected:
        return Disconnected("the client has gone, or was answered by the server")


def length_in(fields: Iterable[tuple[bytes, bytes]]) -> int | None:
    """The Content-Length among response fields."""
    return next((int(value) for name, value in fields if name.lower() == b"content-length"), None)
