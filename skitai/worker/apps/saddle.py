"""Saddle apps: plain functions run in the worker's threads, coroutine functions in its loop.

`saddle.call` says what happens to a request, step by step; the steps are taken in `saddle_call`.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Coroutine
from time import monotonic
from typing import Any

from skitai.config.mounted import AppFile, AppObject, Mount
from skitai.errors import Answerable, LoadError
from skitai.exchange import BodyMode, Context, Head
from skitai.loading.app import Loaded
from skitai.protocols.grpc.framing import PREFIX
from skitai.protocols.grpc.request import Asked
from skitai.saddle import apps
from skitai.saddle.app import Saddle
from skitai.saddle.auth import check_schemes
from skitai.saddle.grpc_methods import Target as CallTarget
from skitai.saddle.grpc_methods import find as find_call
from skitai.saddle.lifecycle import Stay
from skitai.saddle.limits import settle_limits
from skitai.saddle.routing import Route
from skitai.saddle.seal import check_keys
from skitai.saddle.talk import takes_messages
from skitai.saddle.targets import Ready, Target, find
from skitai.worker.apps.saddle_call import Admission, Call
from skitai.worker.apps.saddle_rpc import RpcCall
from skitai.worker.apps.saddle_websocket import Opening, SaddleTalk
from skitai.worker.apps.tasks import start
from skitai.worker.streams import StreamPool

log = logging.getLogger("skitai.app")

LOOK_S = 0.02
"""How often a shutdown looks whether the requests are over."""

CANCEL_S = 0.2
"""What cancelled requests may take; the master waits for a second."""

CALLED = "grpc"

ENDLESS = 1 << 62
"""The limit of a body whose messages are limited."""

PADDING = 8


class SaddleApp:
    """Serves a Saddle app at a mount point.

    :ivar running: the requests that are not over.
    :ivar tasks: what works for them in the loop.
    """

    body_mode = BodyMode.WHOLE
    in_threads = True

    def __init__(self, loaded: Loaded, mount: Mount) -> None:
        self.app: Saddle = loaded.app
        self.debug = loaded.debug
        self.limits: dict[str, Any] = {}
        self.running: set[Call | SaddleTalk] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self._mount = mount
        self._modules = loaded.modules
        self._context: Context
        self._loop: asyncio.AbstractEventLoop
        self._stay: Stay

    async def startup(self, context: Context) -> None:
        """Get ready for requests.

        :raises LoadError: a size limit in the app's config is none, a route wants an authentication that there is not, a
            file of its SQL cannot be used, or one of its modules cannot decorate it.
        """
        self._prepare(context)
        apps.register(self._mount.host, file_name(self._mount), self.app)
        try:
            await self._stay.begin(check=self._settle)
            self._settle()
        except LoadError:
            await self._stay.end()
            apps.unregister(self._mount.host, self.app)
            raise

    async def succeed(self, old: SaddleApp, context: Context) -> None:
        """Get ready to take the place of an older app, which still has its requests.

        :raises LoadError: as `startup`; the older app then goes on.
        """
        self._prepare(context)
        await self._stay.begin(old._stay, self._settle)
        try:
            self._settle()
        except LoadError:
            await self._stay.resign(old._stay)
            raise
        apps.replace(self._mount.host, old.app, self.app)

    def _prepare(self, context: Context) -> None:
        self._context = context
        self._loop = asyncio.get_running_loop()
        self.create_future = self._loop.create_future
        self.streams = StreamPool(context.config.grpc.grpc_threads)
        self.app.mounted_at(self._mount.point)
        self.submit = context.run_in_thread
        self.on_loop = context.on_loop
        self.threads = context.config.server.threads
        self.thread_wait_s = context.config.timeouts.thread_wait_s
        self._settle()
        self.app._templates.prepare()
        self.app._sqlmaps.prepare()
        check_keys(self.app.securekey, self._mount.point)
        self._stay = Stay(self.app, context, self._modules)

    def _settle(self) -> None:
        """Take the limits from the app's config, and see what its routes want; modules and hooks may have changed both."""
        self.limits = settle_limits(self.app, self._mount, self._context.config.bodies)
        check_schemes(self.app, self._mount.point)

    async def shutdown(self) -> None:
        """Let the requests end, cancel what the loop still does for them, then take the app down."""
        grace_s = self._context.config.timeouts.grace_s
        began = monotonic()
        for each in tuple(self.running):
            if isinstance(each, SaddleTalk):
                each.leave()
        while self.running and monotonic() < min(began + grace_s, self._context.leave_by):
            await asyncio.sleep(LOOK_S)
        for each in tuple(self.running):
            if isinstance(each, RpcCall):
                each.leave()
        if self.tasks:
            log.warning("%d requests of the app at %s were cancelled", len(self.tasks), self._mount.point)
            for task in self.tasks:
                task.cancel()
            ends = monotonic() + CANCEL_S
            while self.running and monotonic() < ends:
                await asyncio.sleep(LOOK_S)
        await self._stay.end()
        apps.unregister(self._mount.host, self.app)

    def handle(self, exchange: Any) -> None:
        target = self._target(exchange)
        if isinstance(target, Ready):
            exchange.body.lost()
            exchange.respond(target.status, target.fields)
        else:
            self._begin(Call(self, exchange, target), target[0])

    def upgrade(self, exchange: Any) -> None:
        """A handshake of WebSocket."""
        target = self._target(exchange)
        if isinstance(target, Ready) or not takes_messages(target[0]):
            self.handle(exchange)
        else:
            self._begin(Opening(self, exchange, target), target[0])

    def looks_first(self, exchange: Any) -> bool:
        """Let nobody send a body who is not known, where that is wanted."""
        target = self._target(exchange)
        if isinstance(target, Ready) or self.app._scheme(target[0]) is None:
            return False
        exchange.hold_body()
        self._begin(Admission(self, exchange, target), target[0])
        return True

    def _begin(self, call: Call, route: Route | None) -> None:
        self.running.add(call)
        if route is not None and route.is_async:
            call.begin_in_loop()
        else:
            self.submit(call.begin)

    def hold(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Work in the loop, until the app is taken down."""
        task = start(work, self._loop)
        if not task.done():
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        return task

    # Calls of gRPC

    def offers(self, head: Head) -> bool:
        """Whether a call is for a service that the app has enabled, wherever it is mounted."""
        return head.raw_path in self.app._grpc.built_in

    def call_mode(self, head: Head) -> BodyMode:
        """How a call's body is wanted."""
        method = self._called(head).method
        return BodyMode.STREAM if method is not None and method.takes_stream else BodyMode.WHOLE

    def call_limit(self, head: Head) -> int:
        """Bytes that the body of a call may have: those of a message, where there is but one."""
        if self.call_mode(head) is BodyMode.STREAM:
            return ENDLESS
        return self._message_bytes * 4 // 3 + PREFIX + PADDING  # in base64

    def call(self, exchange: Any) -> None:
        """A call of gRPC."""
        head = exchange.head
        try:
            asked = Asked.of(head)
        except Answerable as error:
            exchange.body.lost()
            exchange.fail(error)
            return
        call = RpcCall(self, exchange, self._called(head), asked, self._message_bytes)
        self.running.add(call)
        call.start()

    def _called(self, head: Head) -> CallTarget:
        """Who answers a call; kept on its head."""
        key = CALLED, self
        target: CallTarget | None = head.forms.get(key)
        if target is None:
            target = head.forms[key] = find_call(self.app, head, self._mount.point)
        return target

    @property
    def _message_bytes(self) -> int:
        own = self.app._grpc.message_bytes
        return self._context.config.grpc.grpc_message_bytes if own is None else own

    # Targets

    def _target(self, exchange: Any) -> Target | Ready:
        """Who answers a request; kept on its head."""
        head = exchange.head
        target: Target | Ready | None = head.forms.get(self)
        if target is None:
            target = find(self.app, head, self._mount.point, exchange.peer.scheme)
            if head.method != "OPTIONS":  # whose answer depends on more
                head.forms[self] = target
        return target


def file_name(mount: Mount) -> str:
    """By what name other apps find an app: that of its file, without folder and ``.py``."""
    target = mount.target
    path = target.path if isinstance(target, AppFile) else target.script if isinstance(target, AppObject) else ""
    return os.path.splitext(os.path.basename(path))[0]
