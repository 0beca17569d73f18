"""WebSocket connections of WSGI apps, by the environ: ``websocket.event`` says what a call is for, ``websocket.config`` is
what the app answers a handshake with, and each message is a call whose query has it as one argument more."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode

from skitai.protocols.websocket.names import WS_EVT_INIT, WS_GROUPCHAT
from skitai.was.context import current
from skitai.was.environ import Environ
from skitai.was.websocket import Plan, WebSocket, plan
from skitai.worker.apps.listening import Talk

if TYPE_CHECKING:
    from skitai.worker.apps.wsgi import Wsgi


class WsgiTalk(Talk):
    """A connection of a WSGI app.

    :ivar app: as the call that answers the handshake needs it.
    """

    def __init__(self, wsgi: Wsgi, exchange: Any) -> None:
        super().__init__(exchange)
        self._wsgi = wsgi
        self._submit: Callable[[Callable[[], None]], None] = wsgi._submit
        self._plan = Plan()
        self.app = wsgi.app
        self.socket = WebSocket()

    def environ(self, exchange: Any) -> Environ:
        """The environ of the handshake."""
        return self._environ() | {"websocket.event": WS_EVT_INIT, "websocket.client": self.socket.id}

    def _environ(self) -> Environ:
        """As of a plain GET: Werkzeug keeps handshakes away from usual routes."""
        made = self._wsgi.environ(self.exchange)
        made.pop("HTTP_UPGRADE", None)
        made.pop("HTTP_CONNECTION", None)
        return made

    def taken(self) -> bool:
        """Whether the app has said in its environ that it takes the connection; then it begins.

        :raises ValueError: what it has said cannot be.
        """
        config = self.exchange.environ.get("websocket.config")
        if config is None:
            return False
        self._plan = configured(config)
        self.socket.settle(self._plan, self._room())
        self._on_loop(self.begin, self.socket, self._plan.timeout_s)
        return True

    def begin(self, socket: WebSocket, idle_s: float) -> None:
        self._wsgi.talks.add(self)
        super().begin(socket, idle_s)
        if self._wsgi.replaced:  # while the app decided
            self.leave()

    def _room(self) -> str:
        if self._plan.spec != WS_GROUPCHAT:
            return ""
        head = self.exchange.head
        given = parse_qs(head.query).get(self._plan.names[1], [""]) if len(self._plan.names) > 1 else [""]
        return f"{self._wsgi.script_name}{head.path}:{given[0]}"

    def turn(self, event: str | None, message: str | bytes) -> None:
        self._submit(lambda: self._work(event, message))

    def _work(self, event: str | None, message: str | bytes) -> None:
        current.set(self.exchange)
        try:
            self.said(self._call(event, message))
        except BaseException as error:  # noqa: BLE001 - the app's errors, sys.exit() too, end the connection
            self.failed(error)
        finally:
            current.set(None)

    def _call(self, event: str | None, message: str | bytes) -> Any:
        """What the app answers: text, or bytes where it is none; None for nothing."""
        given = self.exchange.environ = self._environ()
        query, argument = given["QUERY_STRING"], urlencode({self._plan.names[0]: message})
        given |= {
            "QUERY_STRING": f"{query}&{argument}" if query else argument,
            "websocket": self.socket,
            "websocket.event": event,
            "websocket.client": self.socket.id,
        }
        status: list[str] = []
        pieces: list[bytes] = []

        def start_response(line: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], None]:
            if exc_info is not None and exc_info[1] is not None:
                raise exc_info[1]
            status[:] = [line]
            return pieces.append

        result = self.app(given, start_response)
        try:
            pieces.extend(result)
        finally:
            if hasattr(result, "close"):
                result.close()
        if not status or status[0][:1] not in "123":
            raise RuntimeError(f"the app answered a message with {status[0] if status else 'nothing'}")
        content = b"".join(pieces)
        try:
            return content.decode("utf-8") or None
        except UnicodeDecodeError:
            return content

    def over(self) -> None:
        self._wsgi.talks.discard(self)
        self.exchange.environ = {}


def configured(config: Any) -> Plan:
    """What an app said in ``websocket.config``: spec, timeout in seconds, and the names of the arguments.

    :raises ValueError: that cannot be.
    """
    try:
        spec, timeout, names = config
    except (TypeError, ValueError):
        raise ValueError(f"websocket.config is {config!r}; (spec, timeout, ('message',)) is wanted") from None
    if isinstance(names, str) or not names or not all(isinstance(each, str) for each in names):
        raise ValueError(f"websocket.config names {names!r}; a tuple of the arguments' names is wanted, ('message',)")
    return plan(spec, timeout, names=tuple(names))
