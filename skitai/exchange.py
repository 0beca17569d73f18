"""The exchange: the one object that carries a request through a worker, whatever the protocol and whatever the app.

Here are its interface and the immutable things around it. A protocol implements `Exchange` (`worker.http1`); an app
(`worker.apps`) uses it and sees nothing of sockets or HTTP versions.

Rules, for implementers and users:

1. The response is OPEN, STARTED or FINISHED. Whoever first leaves OPEN wins (the app, the deadline, the shutdown); the
   others get False, or `Flow.GONE`.
2. Iterating a body and tunnels belong to the loop's thread; every other verb may be called from any thread.
3. A verb never blocks: data that the client does not take yet is kept, and `Flow.WAIT` asks the app to pause.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import IO, TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from skitai.config.tree import Config


class Flow(enum.IntEnum):
    """What `Exchange.write` asks of the writer."""

    ON = 0
    WAIT = 1
    GONE = 2


class BodyMode(enum.Enum):
    """How an app wants the request body: complete before it is called, or as it arrives."""

    WHOLE = "whole"
    STREAM = "stream"


class Fields:
    """The field section of a request: immutable, and shared by all requests that carry the same bytes.

    :ivar pairs: (name, value) as bytes, names in lower case, in the order received.
    :ivar forms: whatever an app derives from the fields and wants to find again (WSGI's HTTP_ items, say), by key. Shared
        between requests and threads: put only immutable values or values that nobody changes.
    """

    __slots__ = ("_values", "forms", "pairs")

    def __init__(self, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        self.pairs = tuple(pairs)
        self.forms: dict[str, Any] = {}
        values: dict[bytes, bytes] = {}
        for name, value in self.pairs:
            values[name] = value if name not in values else values[name] + (b"; " if name == b"cookie" else b", ") + value
        self._values = values

    def get(self, name: bytes) -> bytes | None:
        """The value of a field (lower-case name); several of one name joined by ", " (RFC 9110, section 5.3)."""
        return self._values.get(name)

    def text(self, name: str, default: str = "") -> str:
        """The value as text (ISO 8859-1, as HTTP carries it)."""
        value = self._values.get(name.encode("ascii"))
        return default if value is None else value.decode("latin-1")

    def __contains__(self, name: bytes) -> bool:
        return name in self._values

    def __repr__(self) -> str:
        return f"<Fields {' '.join(name.decode('latin-1') for name, _ in self.pairs)}>"


class Head:
    """A request head: immutable, and shared by all requests that carry the same bytes.

    :ivar method: as sent, upper case for all methods known.
    :ivar target: the request target as sent (RFC 9112, section 3.2).
    :ivar form: "origin", "absolute", "authority" or "asterisk".
    :ivar path: percent-decoded path as UTF-8 bytes shown as latin-1 text (the way PEP 3333 wants it), starts with "/".
    :ivar raw_path: path of the target, not decoded.
    :ivar query: after the "?", not decoded, without the "?".
    :ivar host: lower-case host name without port; "" when there is none.
    :ivar version: "1.0", "1.1" or "2".
    :ivar keep_alive: the client lets the connection live on.
    :ivar length: of the body in bytes: 0 for none, -1 for chunked.
    :ivar expects_continue: the client waits for 100 (RFC 9110, section 10.1.1).
    :ivar forms: derived forms, as in `Fields.forms`, that depend on the request line too.
    """

    __slots__ = (
        "expects_continue",
        "fields",
        "form",
        "forms",
        "host",
        "keep_alive",
        "length",
        "method",
        "path",
        "query",
        "raw_path",
        "route",
        "target",
        "version",
    )

    def __init__(
        self,
        method: str,
        target: str,
        form: str,
        path: str,
        raw_path: str,
        query: str,
        host: str,
        version: str,
        fields: Fields,
        *,
        keep_alive: bool = True,
        length: int = 0,
        expects_continue: bool = False,
    ) -> None:
        self.method = method
        self.target = target
        self.form = form
        self.path = path
        self.raw_path = raw_path
        self.query = query
        self.host = host
        self.version = version
        self.fields = fields
        self.keep_alive = keep_alive
        self.length = length
        self.expects_continue = expects_continue
        self.forms: dict[Any, Any] = {}
        self.route: Any = None
        """Where the worker's site sends this head; the site's own memo."""

    def __repr__(self) -> str:
        return f"<Head {self.method} {self.target} HTTP/{self.version}>"


class Peer:
    """The two ends of a connection.

    :ivar client: address of the client, "" on a Unix socket.
    :ivar server: address that the client connected to, or the path of the Unix socket with port 0.
    :ivar scheme: "http" or "https".
    :ivar forms: derived forms that depend on the connection only, as in `Fields.forms`.
    """

    __slots__ = ("client", "client_port", "forms", "scheme", "server", "server_port")

    def __init__(self, client: str, client_port: int, server: str, server_port: int, scheme: str = "http") -> None:
        self.client = client
        self.client_port = client_port
        self.server = server
        self.server_port = server_port
        self.scheme = scheme
        self.forms: dict[Any, Any] = {}


class Body(Protocol):
    """The body of a request."""

    def open(self) -> IO[bytes]:
        """The whole body as a file at its beginning. Only for apps of `BodyMode.WHOLE`; may be called once."""

    def stream(self) -> AsyncIterator[bytes]:
        """The pieces as they arrive; the client is asked for more as they are taken.

        :raises Gone: the client left before the end. Only for apps of `BodyMode.STREAM`, in the loop's thread.
        """


class Exchange(Protocol):
    """One request and its response.

    :ivar txn: global transaction id (see `log.txn`).
    :ivar deadline: on the loop's clock, in seconds; after it the server answers 503 by itself. `inf` for none.
    :ivar gone: the client has left; what is written goes nowhere.
    :ivar user: authenticated user for the request log, or "".
    """

    head: Head
    peer: Peer
    body: Body
    user: str

    @property
    def gone(self) -> bool: ...
    @property
    def txn(self) -> tuple[str, str]:
        """Global and local transaction id."""

    def respond(self, status: int, fields: Iterable[tuple[Any, Any]], body: bytes = b"", reason: str = "") -> bool:
        """Send a complete response in one write; False when the response had begun already.

        :param fields: names and values, str (latin-1) or bytes. Content-Length, Date, Server and Connection are the
            server's. CR, LF and NUL in any of them raise ValueError and nothing is sent.
        :param reason: reason phrase; the standard one by default.
        """

    def start(self, status: int, fields: Iterable[tuple[Any, Any]], reason: str = "") -> bool:
        """Begin a response whose body follows through `write`. The head leaves with the first write or `finish`."""

    def write(self, data: bytes) -> Flow:
        """Send a piece of the body; never blocks, always takes the data."""

    def finish(self, trailers: Iterable[tuple[Any, Any]] = ()) -> bool:
        """End a response that `start` began."""

    def send_file(self, file: IO[bytes], offset: int, count: int) -> None:
        """Send `count` bytes of an open binary file as the rest of a started response, finish it and close the file.

        The file is read off the loop when it is large; the client's pace is kept.
        """

    def inform(self, status: int, fields: Iterable[tuple[Any, Any]] = ()) -> None:
        """Send an interim response: 100, 103 (RFC 9110, section 15.2)."""

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
    """What a mount point leads to."""

    body_mode: BodyMode

    async def startup(self, context: Context) -> None:
        """Runs in the loop before the worker accepts connections."""

    def handle(self, exchange: Any) -> None:
        """Take a request; returns at once. The exchange is finished now, later, or from a thread."""

    async def shutdown(self) -> None:
        """Runs in the loop when no request is left."""


class Context(Protocol):
    """What an app may use of its worker.

    :ivar config: the configuration.
    """

    config: Config
    number: int

    def run_in_thread(self, job: Callable[..., None], *args: Any) -> None:
        """Queue `job` for the worker's threads (runs it at once where there are none)."""

    def on_loop(self, job: Callable[..., None], *args: Any) -> None:
        """Call `job` in the loop's thread, soon; from any thread."""
