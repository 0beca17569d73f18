"""The exchange: the one object that carries a request through a worker, whatever the protocol and whatever the app.

Here are its interface and the immutable things around it. A protocol implements `Exchange` (`worker.http1`); an app
(`worker.apps`) uses it and sees nothing of sockets or HTTP versions.

Rules, for implementers and users:

1. The response is OPEN, STARTED or FINISHED. Whoever first leaves OPEN wins (the app, or the server, when no
   thread was free in time); the others get False, or `Flow.GONE`.
2. Iterating a body and tunnels belong to the loop's thread; every other verb may be called from any thread.
3. A verb never blocks: data that the client does not take yet is kept, and `Flow.WAIT` asks the app to pause.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import IO, TYPE_CHECKING, Any, Protocol

from skitai.http.dates import parse_http_date
from skitai.http.head import Fields, Head

if TYPE_CHECKING:
    import asyncio

    from skitai.cachefs.cache import Cache
    from skitai.config.tree import Config

__all__ = ["App", "Body", "BodyMode", "Context", "Dated", "Exchange", "Fields", "Flow", "Head", "Peer", "Settled", "Tunnel"]


class Flow(enum.IntEnum):
    """What `Exchange.write` asks of the writer."""

    ON = 0
    WAIT = 1
    GONE = 2


class BodyMode(enum.Enum):
    """How an app wants the request body: complete before it is called, or as it arrives."""

    WHOLE = "whole"
    STREAM = "stream"


class Settled(tuple[tuple[str, str], ...]):
    """Response fields whose content coding is settled: the server considers no other for such a response.

    :cvar note: what the request log says beside; nothing.
    """

    __slots__ = ()
    note = ""


class Dated(Settled):
    """Those of another server's answer, with the Date of that server, beside which ours has no place (RFC 9110, section
    6.6.1)."""

    __slots__ = ()


def passed_on(fields: Iterable[tuple[str, str]]) -> Settled:
    """The fields of another server's answer: `Dated`, unless they have no Date, or none that can be read."""
    found = tuple(fields)
    dates = [value for name, value in found if name.lower() == "date"]
    return (Dated if len(dates) == 1 and parse_http_date(dates[0], 0.0) is not None else Settled)(found)


class Peer:
    """The two ends of a connection.

    :ivar client: address of the client, "" on a Unix socket.
    :ivar server: address that the client connected to, or the path of the Unix socket with port 0.
    :ivar scheme: "http" or "https".
    :ivar certificate: what the client showed and we verified, as `ssl.SSLSocket.getpeercert` tells it; None for nothing.
    :ivar forms: derived forms that depend on the connection only, as in `Fields.forms`.
    :ivar proxy: the trusted proxy at the other end, which has told the rest; None where the client is that end.
    """

    __slots__ = ("certificate", "client", "client_port", "forms", "proxy", "scheme", "server", "server_port")

    def __init__(self, client: str, client_port: int, server: str, server_port: int, scheme: str = "http") -> None:
        self.client = client
        self.client_port = client_port
        self.server = server
        self.server_port = server_port
        self.scheme = scheme
        self.certificate: dict[str, Any] | None = None
        self.forms: dict[Any, Any] = {}
        self.proxy: Peer | None = None


class TunnelGuest(Protocol):
    """Who speaks through a tunnel. All methods are called in the loop's thread."""

    def on_data(self, data: bytes) -> None:
        """The client has sent something."""

    def on_end(self) -> None:
        """The client will send no more; it may still read."""

    def on_lost(self) -> None:
        """The connection is gone; nothing else is called any more."""

    def on_time(self, now: float) -> None:
        """The time that `Tunnel.wake_at` named has come, on the monotonic clock; up to a second late."""

    def on_leave(self, stopping: bool) -> None:
        """The worker wants to leave, for another generation or for good (`stopping`). May come twice."""


class Tunnel(Protocol):
    """A connection that no longer speaks HTTP. But for `write` everything belongs to the loop's thread.

    :ivar waiting: bytes that the client has not taken, beyond what the system holds for it.
    """

    @property
    def waiting(self) -> int: ...

    def begin(self, guest: TunnelGuest) -> None:
        """Hand over to `guest`, with what has been read already."""

    def write(self, data: bytes, *, last: bool = False) -> Flow:
        """Send; never blocks, always takes the data.

        :param last: nothing may follow; whoever writes after that, in whatever thread, gets `Flow.GONE`.
        """

    def when_writable(self, job: Callable[[], None]) -> None:
        """Call `job` in the loop when the client has taken what was written; at once when nothing waits."""

    def pause(self) -> None:
        """Let the client wait: `on_data` is not called for now."""

    def resume(self) -> None: ...

    def wake_at(self, due: float) -> None:
        """Have `on_time` called at a time of the monotonic clock, instead of any that was named before; `inf` for never."""

    def write_eof(self) -> bool:
        """Say that nothing follows what was written; what the client still sends goes on coming.

        :returns: False where there is no way to say that, over HTTP/1 with TLS: then this was `half_close`.
        """

    def half_close(self) -> None:
        """Send no more, but let the client read what was sent although it is still sending; then close."""

    def close(self) -> None:
        """Close once everything is sent."""

    def abort(self) -> None:
        """Close at once."""

    def reset(self) -> None:
        """Close at once, so that the client does not take it for a good end."""


class Body(Protocol):
    """The body of a request.

    :ivar trailers: the fields behind it (RFC 9110, section 6.5), once it has ended; most have none. They are not among the
        fields of the head, and what frames or routes a message is never in them.
    """

    trailers: Fields

    def open(self) -> IO[bytes]:
        """The whole body as a file at its beginning. Only for apps of `BodyMode.WHOLE`; may be called once."""

    def stream(self) -> AsyncIterator[bytes]:
        """The pieces as they arrive; the client is asked for more as they are taken.

        :raises Gone: the client left before the end. Only for apps of `BodyMode.STREAM`, in the loop's thread.
        """

    def lost(self) -> None:
        """Let go of a whole body that nobody will open any more."""


class Exchange(Protocol):
    """One request and its response.

    :ivar gone: the client has left; what is written goes nowhere.
    :ivar user: authenticated user for the request log, or "".
    :ivar app: who answers: the mount's route, whose `debug` lets clients see tracebacks.
    :ivar received: bytes of the body that have come.
    :ivar taken: whether somebody has begun to work on it (`take`).
    :ivar asked: requests to back-ends that were made for it; not there before the first.
    :ivar was: what the app has set on `was`; not there before it sets something.
    :ivar environ: the environ that a WSGI app was called with; not there for others.
    :ivar task: the app's own for the request, which may go on when nobody wants the response any more; None, or not there,
        when none is at work.
    :ivar context: an app framework's own object for the request, whose attributes are those of `was`; None for others.
    """

    head: Head
    peer: Peer
    body: Body
    user: str
    app: Any
    received: int
    taken: bool
    asked: int
    was: dict[str, Any]
    environ: dict[str, Any]
    task: asyncio.Task[Any] | None
    context: Any

    @property
    def gone(self) -> bool: ...
    @property
    def txn(self) -> tuple[str, str]:
        """Global and local transaction id."""

    @property
    def crowded(self) -> bool:
        """Whether much of what the client was answered before still waits for it; then `held_back` is to be asked."""

    def held_back(self, job: Callable[[], None]) -> bool:
        """Whether the request has to wait, because its client takes nothing of what it was answered before.

        :param job: called where the app runs when that has changed, or nobody wants an answer any more.
        """

    def take(self) -> bool:
        """Begin to work on the request, once it leaves its queue; False when nobody wants an answer any more."""

    def hold_body(self) -> None:
        """Leave the body unread for now (`App.looks_first`). In the loop's thread.

        An answer that comes before `receive_body` ends the connection.
        """

    def receive_body(self) -> None:
        """Take the body that was held, then call the app's `handle`."""

    def respond(self, status: int, fields: Sequence[tuple[Any, Any]], body: bytes = b"", reason: str = "") -> bool:
        """Send a complete response in one write; False when the response had begun already.

        :param fields: names and values, str (latin-1) or bytes. Content-Length, Date, Server and Connection are the
            server's. CR, LF and NUL in any of them raise ValueError and nothing is sent.
        :param reason: reason phrase; the standard one by default.
        """

    def start(self, status: int, fields: Sequence[tuple[Any, Any]], reason: str = "") -> bool:
        """Begin a response whose body follows through `write`. The head leaves with the first write or `finish`."""

    def write(self, data: bytes) -> Flow:
        """Send a piece of the body; never blocks, always takes the data."""

    def finish(self, trailers: Iterable[tuple[Any, Any]] = ()) -> bool:
        """End a response that `start` began."""

    def send_file(self, file: IO[bytes], offset: int, count: int) -> None:
        """Send `count` bytes of an open binary file as the rest of a started response, finish it and close the file.

        The file is read off the loop when it is large; the client's pace is kept.
        """

    def inform(self, status: int, fields: Sequence[tuple[Any, Any]] = ()) -> None:
        """Send an interim response: 100, 103 (RFC 9110, section 15.2)."""

    def push(self, uri: str, fields: Sequence[tuple[Any, Any]] = ()) -> bool:
        """Send the client, unasked, what it will want next, or tell it so; nothing where the protocol can do neither.

        :param uri: path on this server, with its query.
        :param fields: of the request that the client would make.
        :returns: whether it is sent.
        """

    def tunnel(self, status: int, fields: Sequence[tuple[Any, Any]]) -> Tunnel | None:
        """Answer with the head alone, and leave HTTP (RFC 9110, section 7.8). In the loop's thread.

        The connection is logged like a response, when it closes.

        :param fields: all of them; the server adds none.
        :returns: to be handed to a guest at once; None when the response had begun already, or nobody waits for it.
        :raises ValueError: as `respond`.
        """

    def fail(self, error: BaseException) -> None:
        """Answer an error: a page while OPEN, an aborted connection once STARTED. Logs what is the server's fault."""

    def when_writable(self, job: Callable[[], None]) -> None:
        """Call `job` in the loop when the client has taken what was written; at once when nothing waits."""

    def when_gone(self, job: Callable[[], None]) -> None:
        """Call `job` in the loop when the client leaves before the response is finished."""

    def resume(self, job: Callable[..., None], *args: Any) -> None:
        """Run `job` where the app runs (its loop or its threads), in order, with `was` set for this request.

        The only way back into a handler that has returned. Errors of `job` are answered like the app's own.
        """


class App(Protocol):
    """What a mount point leads to.

    One that wants to know its predecessor when it is reloaded has ``succeed(old, context)``, too, which then is called in
    place of `startup`. One that wants to look at the head of a request before its body comes has
    ``looks_first(exchange) -> bool``, too. Where that returns True, it has called `Exchange.hold_body`; later it answers, or
    calls `Exchange.receive_body`.

    One that speaks WebSocket has ``upgrade(exchange)``, too, which gets the handshakes in place of `handle`.
    """

    body_mode: BodyMode

    async def startup(self, context: Context) -> None:
        """Runs in the loop before the worker accepts connections."""

    in_threads: bool
    """Where `Exchange.resume` runs jobs: the worker's threads or its loop."""

    def handle(self, exchange: Any) -> None:
        """Take a request; returns at once. The exchange is finished now, later, or from a thread."""

    async def shutdown(self) -> None:
        """Runs in the loop when no request is left."""


class Context(Protocol):
    """What an app may use of its worker.

    :ivar config: the configuration.
    :ivar leave_by: on the monotonic clock: when this worker has to be gone; `inf` while it serves.
    :ivar cache: the HTTP cache; None where there is none.
    """

    cache: Cache | None
    config: Config
    number: int
    leave_by: float

    def run_in_thread(self, job: Callable[[], None]) -> None:
        """Queue `job` for the worker's threads (runs it at once where there are none)."""

    def on_loop(self, job: Callable[..., None], *args: Any) -> None:
        """Call `job` in the loop's thread, soon; from any thread."""
