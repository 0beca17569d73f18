"""`Saddle`: an app of routes, hooks and handlers."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, ClassVar

from skitai.config.mounts import BODY_SIZES
from skitai.config.preset import limits
from skitai.config.values import size
from skitai.errors import NotFound
from skitai.log import journal
from skitai.saddle.auth import AuthFacet
from skitai.saddle.conditions import ConditionFacet
from skitai.saddle.cors import CorsFacet
from skitai.saddle.decorative import DecorateFacet
from skitai.saddle.docs import DocsFacet
from skitai.saddle.errors import ErrorFacet
from skitai.saddle.events import EventFacet
from skitai.saddle.grpc_app import GrpcAppFacet
from skitai.saddle.hooks import HookFacet
from skitai.saddle.lifecycle import LifecycleFacet
from skitai.saddle.login import LoginFacet
from skitai.saddle.routes import RouteFacet
from skitai.saddle.rpc import RpcFacet
from skitai.saddle.seal import Keyring
from skitai.saddle.sqlmaps import SqlFacet
from skitai.saddle.storage import StorageFacet
from skitai.saddle.templates import TemplateFacet
from skitai.saddle.websocket import WebSocketAppFacet
from skitai.was.context import current

if TYPE_CHECKING:
    from skitai.saddle.client import Client


class Outside(NotFound, ValueError):
    """A path that leads out of the folder that it is for."""


class Saddle(
    RouteFacet,
    RpcFacet,
    GrpcAppFacet,
    DocsFacet,
    CorsFacet,
    AuthFacet,
    LoginFacet,
    HookFacet,
    EventFacet,
    LifecycleFacet,
    ConditionFacet,
    DecorateFacet,
    StorageFacet,
    ErrorFacet,
    TemplateFacet,
    SqlFacet,
    WebSocketAppFacet,
):
    """An app.

    It is composed of facets, one for each subject; each brings the decorators and attributes of its subject.

    :param name: of the module that makes it: ``__name__``. Resources and templates lie beside that module's file.
    :ivar home: absolute path of the folder of that file.
    :ivar config: settings of the app's own, and the size limits of requests in bytes; keys are attributes too.
    :ivar debug: show tracebacks to clients.
    :ivar use_reloader: load the app anew when its files change.
    :ivar securekey: the secret of sessions and tokens; the same for all apps of a host. A list: the first seals, all open.
    :ivar session_timeout: seconds; None for 1200.
    """

    skitai_kind: ClassVar[str] = "saddle"

    def __init__(self, name: str) -> None:
        self.name = name
        self.home = _home(name)
        self.config = limits()
        self.debug = False
        self.use_reloader = False
        self._points: list[str] = []
        self.securekey: Any = None
        self._keyring = Keyring()
        self.session_timeout: float | None = None
        RouteFacet.__init__(self)
        RpcFacet.__init__(self)
        GrpcAppFacet.__init__(self)
        CorsFacet.__init__(self)
        AuthFacet.__init__(self)
        LoginFacet.__init__(self)
        HookFacet.__init__(self)
        EventFacet.__init__(self)
        LifecycleFacet.__init__(self)
        DecorateFacet.__init__(self)
        StorageFacet.__init__(self)
        ErrorFacet.__init__(self)
        TemplateFacet.__init__(self)
        SqlFacet.__init__(self)

    @property
    def basepath(self) -> str:
        """Where it is mounted, with its slash at the end; "/" before it is.

        Of several mounts, the one that the running request came by; outside of requests, the first.
        """
        exchange = current.get()
        if exchange is not None and exchange.context is not None and exchange.context.app is self:
            return str(exchange.app.mount.point)
        return self._points[0] if self._points else "/"

    @basepath.setter
    def basepath(self, point: str) -> None:
        self._points = [point]

    def mounted_at(self, point: str) -> None:
        """Note a mount point of this app; the worker says so before it calls anything of the app."""
        if point not in self._points:
            self._points.append(point)

    @property
    def max_client_body_size(self) -> int:
        """Largest request body in bytes. Setting it sets all three limits in `config`, of post bodies, multipart bodies and
        single files; "8M" is accepted.

        :raises ValueError: it is no size.
        """
        return int(max(self.config[each] for each in BODY_SIZES[:2]))

    @max_client_body_size.setter
    def max_client_body_size(self, value: int | str) -> None:
        self.config.update(dict.fromkeys(BODY_SIZES, size(value)))

    def get_resource(self, *parts: str) -> str:
        """Absolute path of a file in the app's folder ``resources``.

        :raises Outside: it would not lie there; a ValueError, and 404 where nobody catches it.
        """
        folder = os.path.join(self.home, "resources")
        path = os.path.normpath(os.path.join(folder, *parts))
        if path != folder and not path.startswith(folder + os.sep):
            raise Outside(f"{'/'.join(parts)} leads out of the folder of resources")
        return path

    def joinpath(self, *parts: str) -> str:
        """Absolute path of a file in the app's folder."""
        return os.path.normpath(os.path.join(self.home, *parts))

    def log(self, msg: object, category: str = "info", at: str = "app") -> None:
        """Write a line to the log, as `was.log` does, which requests should use: theirs carries transaction ids.

        :param category: debug, info, warn, error, fail, fatal, or a word of one's own.
        """
        journal.log(at, category, str(msg))

    def trace(self, id: str = "", at: str = "app") -> None:
        """Write the exception that is being handled, as `was.traceback` does.

        :param id: to find the line by.
        :raises RuntimeError: no exception is being handled.
        """
        error = sys.exception()
        if error is None:
            raise RuntimeError("app.trace() has nothing to show: call it in an except block")
        journal.traceback(at, error, id)

    def set_devel(self, debug: bool = True, use_reloader: bool = True) -> None:
        """Set both switches for development."""
        self.debug, self.use_reloader = debug, use_reloader

    def set_default_session_timeout(self, timeout: float) -> None:
        """Set `session_timeout`, in seconds."""
        self.session_timeout = timeout

    def make_client(self, point: str = "/", approot: str = ".") -> Client:
        """A client for tests, which asks this app in memory: ``with app.make_client() as client: client.get("/")``.

        :param point: where the app is mounted.
        :param approot: folder of the app's modules, in `sys.path` as long as the client is open.
        :raises ValueError: the mount point is none.
        """
        from skitai.saddle.client import Client  # with cookie jars and the like, which no server needs

        return Client(self, point, approot)

    def __repr__(self) -> str:
        return f"<Saddle {self.name} at {self.basepath}>"


def _home(name: str) -> str:
    """The folder of a module's file.

    :raises ValueError: there is no such module.
    """
    module: Any = sys.modules.get(name)
    if module is None:
        raise ValueError(f"Saddle({name!r}): no module of this name is being imported; write Saddle(__name__)")
    file = getattr(module, "__file__", None)
    return os.path.dirname(os.path.abspath(file)) if file else os.getcwd()
