"""WSGI apps (PEP 3333): the environ from cached parts, the call, and every kind of result.

The request body is complete before the app is called, so a thread never waits for a client.
"""

from __future__ import annotations

import io
import logging
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, Protocol

from skitai.config.mounted import Mount
from skitai.exchange import BodyMode, Context, Exchange, Flow
from skitai.saddle.cors import Policy, origins
from skitai.was import environ
from skitai.was.context import current
from skitai.was.environ import Environ
from skitai.worker.apps.pump import Pump, as_bytes
from skitai.worker.apps.wsgi_websocket import WsgiTalk

log = logging.getLogger("skitai.app")

SPOOL_BYTES = 262144


class Loaded(Protocol):
    """What `loading` hands over."""

    app: Any


class ErrorStream(io.TextIOBase):
    """`wsgi.errors`: lines written by the app go to the app log."""

    def __init__(self) -> None:
        self._partial = ""

    def write(self, text: str) -> int:
        *lines, self._partial = (self._partial + text).split("\n")
        for line in lines:
            log.error("%s", line)
        return len(text)

    def flush(self) -> None:
        if self._partial:
            self._partial, rest = "", self._partial
            log.error("%s", rest)


class FileWrapper:
    """`wsgi.file_wrapper` (PEP 3333, "Optional Platform-Specific File Handling")."""

    def __init__(self, file: Any, block_size: int = 65536) -> None:
        self.file = file
        self.block_size = block_size

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.file.read(self.block_size), b"")

    def close(self) -> None:
        if hasattr(self.file, "close"):
            self.file.close()

    def extent(self) -> tuple[int, int] | None:
        """Offset and count of what is left of a regular file; None for anything else."""
        try:
            status = os.fstat(self.file.fileno())
            offset = self.file.tell()
        except (AttributeError, OSError, ValueError):
            return None
        return (offset, status.st_size - offset) if stat.S_ISREG(status.st_mode) else None


class Wsgi:
    """Serves a WSGI callable at a mount point.

    :ivar talks: the WebSocket connections that are open.
    :ivar replaced: newer code serves, or none any more.
    """

    body_mode = BodyMode.WHOLE
    in_threads = True

    def __init__(self, loaded: Loaded, mount: Mount) -> None:
        self.app = loaded.app
        self.debug = bool(getattr(self.app, "debug", False))
        self.point = mount.point.encode("utf-8").decode("latin-1")
        self.script_name = self.point.rstrip("/")
        self.limits = mount.pref.config
        self.talks: set[WsgiTalk] = set()
        self.replaced = False
        self.origins = origins(mount.pref.overrides.get("access_control_allow_origin"))
        self._errors = ErrorStream()
        self._base: Environ = {}
        self._submit: Callable[[Callable[[], None]], None]

    async def startup(self, context: Context) -> None:
        threads = context.config.server.threads
        self._submit = context.run_in_thread
        self._base = {
            "wsgi.version": (1, 0),
            "wsgi.errors": self._errors,
            "wsgi.multithread": threads > 1,
            "wsgi.multiprocess": context.config.server.workers > 1,
            "wsgi.run_once": False,
            "wsgi.file_wrapper": FileWrapper,
            "wsgi.input_terminated": True,
            "SCRIPT_NAME": self.script_name,
            "SERVER_SOFTWARE": context.config.server.server_name or "Skitai",
        }

    async def shutdown(self) -> None:
        self.replaced = True
        for talk in tuple(self.talks):
            talk.leave()
        self._errors.flush()

    def handle(self, exchange: Any) -> None:
        self._submit(Call(self, exchange).run)

    def upgrade(self, exchange: Any) -> None:
        """A handshake of WebSocket.

        :raises ForeignOrigin: another site's.
        """
        head = exchange.head
        own = f"{exchange.peer.scheme}://{head.fields.text('host')}"
        Policy(self.origins).fields(head.fields.text("origin"), own)
        self._submit(Opening(WsgiTalk(self, exchange), exchange).run)

    def environ(self, exchange: Exchange) -> Environ:
        """A new environ, joined from the parts that peer and head keep."""
        head = exchange.head
        forms = exchange.peer.forms
        last = forms.get("environ")
        if last is None or last[0] is not head or last[1] is not self:
            last = forms["environ"] = (head, self, self._template(exchange))
        template: Environ = last[2]
        made = template.copy()
        made["wsgi.input"] = exchange.body.open()
        if head.length < 0:
            made["CONTENT_LENGTH"] = str(getattr(exchange.body, "size", 0))
        return made

    def _template(self, exchange: Exchange) -> Environ:
        """What peer and head say; a client that keeps its connection usually asks with the same head again."""
        head = exchange.head
        part: Environ | None = head.forms.get(self)
        if part is None:
            part = head.forms[self] = environ.of_head(head, self.script_name)
        return self._base | environ.of_peer(exchange.peer) | part


class Call(Pump):
    """One call of an app, from its environ to the end of its result."""

    __slots__ = (
        "_fields",
        "_input",
        "_overflow",
        "_reason",
        "_result",
        "_started",
        "_status",
        "_wsgi",
    )

    def __init__(self, wsgi: Wsgi | WsgiTalk, exchange: Any) -> None:
        self._wsgi = wsgi
        self._submit = wsgi._submit
        self.exchange = exchange
        self._status = 0
        self._started = False
        self._overflow: IO[bytes] | None = None
        self._result: Any = None
        self._input: IO[bytes] | None = None

    def run(self) -> None:
        """Call the app and send what it returns. Errors become answers; nothing is raised."""
        exchange = self.exchange
        if exchange.crowded and exchange.held_back(self.run):
            return
        if not exchange.take():
            exchange.body.lost()
            return
        current.set(exchange)
        try:
            wsgi = self._wsgi
            given = exchange.environ = wsgi.environ(exchange)
            if exchange.received:
                self._input = given["wsgi.input"]
            result = self._result = wsgi.app(given, self.start_response)
            kind = type(result)
            if kind is list or kind is tuple:
                self._send_whole(result[0] if len(result) == 1 else join(result))
                self._end()
            elif kind is bytes or kind is str:
                self._send_whole(result)
                self._end()
            else:
                self._send_iterable(result)
        except BaseException as error:  # noqa: BLE001 - the app's errors, sys.exit() too, become answers
            self._end()
            exchange.fail(error)
        finally:
            current.set(None)

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        """PEP 3333's `start_response`."""
        if exc_info is not None:
            try:
                if self._started:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self._status:
            raise AssertionError("start_response was called before, and without exc_info")
        known = STATUS.get(status)
        if known is None:
            known = parse_status(status)
            if len(STATUS) < MOST_STATUSES:
                STATUS[status] = known
        self._status, self._reason = known
        self._fields = headers
        return self.write

    def write(self, data: bytes) -> None:
        """PEP 3333's `write`, for apps that cannot return an iterable. Behind a slow client, the rest is spooled."""
        if self._overflow is not None:
            self._overflow.write(data)
            return
        self._begin()
        if self.exchange.write(data) is Flow.WAIT:
            self._overflow = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115 - `send_file` closes it

    def _begin(self) -> None:
        if not self._started:
            if not self._status:
                raise AssertionError("the app sent a body before it called start_response")
            self._started = True
            self.exchange.start(self._status, self._fields, self._reason)

    def _send_whole(self, body: Any) -> None:
        """Answer with a body that is all there."""
        if type(body) is not bytes:
            body = as_bytes(body)
        if self._started:
            self.write(body)
            self._finish()
            return
        if not self._status:
            raise AssertionError("the app returned before it called start_response")
        self.exchange.respond(self._status, self._fields, body, self._reason)

    def _send_iterable(self, result: Any) -> None:
        if result is None:
            raise TypeError("the app returned None; an iterable of bytes is wanted")
        if isinstance(result, FileWrapper) and not self._started and self._overflow is None:
            extent = result.extent()
            if extent is not None and self._status:
                self._send_file(result, *extent)
                return
        self._pieces = iter(result)
        self._pump()

    def _send_file(self, wrapper: FileWrapper, offset: int, count: int) -> None:
        """A regular file: its length is known, and it is read where no thread of the pool waits."""
        declared = next((value for name, value in self._fields if name.lower() == "content-length"), None)
        if declared is None:
            self._fields = [*self._fields, ("Content-Length", str(count))]
        else:
            count = min(count, int(declared))
        self._begin()
        self._result = None  # closing it is the sender's business now
        self.exchange.send_file(wrapper.file if hasattr(wrapper.file, "fileno") else wrapper, offset, count)

    def _put(self, piece: bytes) -> Flow:
        exchange = self.exchange
        if self._overflow is not None:
            self._overflow.write(piece)
            return Flow.ON
        if not self._started:
            if not self._status:
                raise AssertionError("the app sent a body before it called start_response")
            if len(piece) == self._declared():
                exchange.respond(self._status, self._fields, piece, self._reason)
                return Flow.GONE
            self._begin()
        flow: Flow = exchange.write(piece)
        return flow

    def _declared(self) -> int:
        for name, value in self._fields:
            if name.lower() == "content-length":
                return int(value) if value.isdigit() else -1
        return -1

    def _complete(self) -> None:
        if self._started:
            self._finish()
        elif not self._status:
            raise AssertionError("the app returned before it called start_response")
        else:
            self.exchange.respond(self._status, self._fields, b"", self._reason)

    def _finish(self) -> None:
        if self._overflow is None:
            self.exchange.finish()
            return
        overflow, self._overflow = self._overflow, None
        self.exchange.when_writable(lambda: self.exchange.send_file(overflow, 0, overflow.seek(0, os.SEEK_END)))

    def _end(self) -> None:
        """Close the result, as PEP 3333 demands whatever happened, and the spool file of the body."""
        if self._input is not None:
            self._input.close()
        result, self._result = self._result, None
        close = getattr(result, "close", None)
        if close is not None:
            try:
                close()
            except BaseException:  # noqa: BLE001 - as in `run`
                log.exception("close() of the app's result failed", extra={"txn": self.exchange.txn})


class Opening(Call):
    """The handshake of a WebSocket connection: the app takes it in the environ, or answers like any request."""

    __slots__ = ("_talk",)

    def __init__(self, talk: WsgiTalk, exchange: Any) -> None:
        super().__init__(talk, exchange)
        self._talk = talk

    def _send_whole(self, body: Any) -> None:
        if not self._talk.taken():
            super()._send_whole(body)

    def _send_iterable(self, result: Any) -> None:
        if self._talk.taken():
            self._end()
        else:
            super()._send_iterable(result)


MOST_STATUSES = 256
STATUS: dict[str, tuple[int, str]] = {}
"""Status lines as apps write them, parsed."""


def parse_status(status: Any) -> tuple[int, str]:
    """ "404 Not Found" as (404, "Not Found").

    :raises ValueError: it is not a status line's end.
    """
    if not isinstance(status, str) or len(status) < 3 or not status[:3].isdigit() or status[3:4] not in ("", " "):
        raise ValueError(f"{status!r} is not a status like '200 OK'")
    return int(status[:3]), status[4:]


def join(pieces: Iterable[Any]) -> bytes:
    """All pieces as one."""
    return b"".join(piece if type(piece) is bytes else as_bytes(piece) for piece in pieces)
