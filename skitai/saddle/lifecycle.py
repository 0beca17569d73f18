"""An app's life in a worker: what it wants called when it is mounted, loaded anew, and taken down.

At the start: the events ``app:starting`` and ``app:started``, then ``before_mount(wac)``, ``mounted(was)``,
``mounted_or_reloaded(was)``, the event ``app:mounted``. When new code takes over: ``before_reload(was)`` and
``app:restarting`` of the old app, then ``app:restarted``, ``reloaded(was)``, ``mounted_or_reloaded(was)`` of the new one;
the modules of the old one are dettached after the last request that it had. At the end, after the last request: the event
``app:umounting``, ``before_umount(was)``, the modules are dettached, ``umounted(wac)``.

There is no request anywhere here. Plain functions are called in a thread, coroutine functions in the loop. Errors are
logged, and the app stays mounted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from time import monotonic
from types import ModuleType
from typing import TYPE_CHECKING, Any

from skitai.errors import LoadError
from skitai.log import journal
from skitai.saddle import broadcasts, events
from skitai.saddle.broadcasts import Receiver
from skitai.saddle.context import Was
from skitai.saddle.hooks import F, Hook, place
from skitai.saddle.house import house
from skitai.saddle.wac import wac
from skitai.was import host, services

if TYPE_CHECKING:
    from skitai.exchange import Context
    from skitai.saddle.app import Saddle

log = logging.getLogger("skitai.app")

LEAST_END_S = 1.0
"""An app has so long to be taken down, even when the worker has to be gone by now."""


class LifecycleFacet:
    """The decorators of `Saddle` for its life in a worker. Of each hook an app has one: the last that it names."""

    def __init__(self) -> None:
        self._life: dict[str, Hook] = {}

    def before_mount(self, function: F) -> F:
        """Call ``function(wac)`` before the app is mounted in a worker."""
        return self._stage("before_mount", function)

    start_up = startup = before_mount

    def mounted(self, function: F) -> F:
        """Call ``function(was)`` once the app is mounted in a worker."""
        return self._stage("mounted", function)

    def mounted_or_reloaded(self, function: F) -> F:
        """Call ``function(was)`` after `mounted`, and after `reloaded`."""
        return self._stage("mounted_or_reloaded", function)

    def before_reload(self, function: F) -> F:
        """Call ``function(was)`` before an app with newer code takes this one's place."""
        return self._stage("before_reload", function)

    onreload = reload = before_reload

    def reloaded(self, function: F) -> F:
        """Call ``function(was)`` when this app has taken the place of one with older code."""
        return self._stage("reloaded", function)

    def before_umount(self, function: F) -> F:
        """Call ``function(was)`` when the worker stops, after the last request."""
        return self._stage("before_umount", function)

    umount = before_umount

    def umounted(self, function: F) -> F:
        """Call ``function(wac)`` last of all."""
        return self._stage("umounted", function)

    shutdown = umounted

    def _stage(self, name: str, function: F) -> F:
        old = self._life.get(name)
        if old is not None and place(old.function) != place(function):
            log.warning("%s: %s takes the place of %s", name, place(function), place(old.function))
        self._life[name] = Hook.of(function)
        return function


class Stay:
    """An app at one mount of this worker, from its start to its end. Belongs to the loop.

    :param modules: of the app's folder, by name, as its file sees them; see `DecorateFacet.decorate`.
    """

    def __init__(self, app: Saddle, context: Context, modules: Mapping[str, ModuleType] | None = None) -> None:
        self.app = app
        self._context = context
        self._modules = modules

    async def begin(self, old: Stay | None = None, check: Callable[[], object] = lambda: None) -> None:
        """Let the app come into being.

        :param old: whose place it takes, which still has its requests.
        :param check: called once the app is complete, before any of its hooks.
        :raises LoadError: a module cannot decorate it, or `check` says that it will not do; nothing has changed then.
        """
        await self._run(partial(self.app.decorate, self._modules))
        try:
            check()
        except LoadError:
            await self._dettach()
            raise
        if not _stays:
            _open(self._context)
        if old is not None:
            await self._replace(old)
        elif not self._elsewhere():
            await self._mount()
        # At the end, and together: whoever is told to stop meanwhile takes down the one that serves.
        _stays.add(self)
        if old is not None:
            _stays.discard(old)

    async def _mount(self) -> None:
        broadcasts.join(self.app, partial(events.hear, self.app))
        was = Was(self.app)
        await self._emit(events.app_starting, wac)
        await self._emit(events.app_started, wac)
        await self._call("before_mount", wac)
        await self._call("mounted", was)
        await self._call("mounted_or_reloaded", was)
        await self._emit(events.app_mounted, was)

    async def _replace(self, old: Stay) -> None:
        await old._call("before_reload", Was(old.app))
        await old._emit(events.app_restarting, wac)
        broadcasts.join(self.app, partial(events.hear, self.app))
        if not old._elsewhere():
            broadcasts.leave(old.app)
        was = Was(self.app)
        await self._emit(events.app_restarted, wac)
        await self._call("reloaded", was)
        await self._call("mounted_or_reloaded", was)

    async def resign(self, old: Stay) -> None:
        """It has taken the place of `old`, and turns out not to do: the older code goes on."""
        _stays.add(old)
        _stays.discard(self)
        broadcasts.join(old.app, partial(events.hear, old.app))
        broadcasts.leave(self.app)
        await self._dettach()

    async def end(self) -> None:
        """The last request of the app is over: take it down. If newer code has taken its place, that goes on."""
        replaced = self not in _stays
        _stays.discard(self)
        if self._elsewhere():
            return
        try:
            async with asyncio.timeout(max(self._context.leave_by - monotonic(), LEAST_END_S)):
                await (self._dettach() if replaced else self._umount())
        except TimeoutError:
            log.error("%r: it was not taken down in time", self.app)
        if not _stays:
            _close()

    async def _umount(self) -> None:
        was = Was(self.app)
        await self._emit(events.app_unmounting, was)
        await self._call("before_umount", was)
        await self._dettach()
        broadcasts.leave(self.app)
        await self._call("umounted", wac)

    async def _dettach(self) -> None:
        for dettach in self.app.dettachments():
            await self._attempt("dettach", dettach)

    def _elsewhere(self) -> bool:
        """Whether the same app is mounted at another point, too: then its hooks were called there, or will be."""
        return any(stay is not self and stay.app is self.app for stay in _stays)

    async def _call(self, name: str, first: Any) -> None:
        hook = self.app._life.get(name)
        if hook is not None:
            await self._attempt(name, partial(hook.function, first), in_loop=hook.is_async)

    async def _emit(self, event: str, first: Any) -> None:
        hooks = self.app._events.own.get(event)
        if hooks:
            await self._attempt(event, partial(events.call_all, hooks, event, first, (), {}))

    async def _attempt(self, name: str, job: Callable[[], Any], *, in_loop: bool = False) -> None:
        try:
            result = await (job() if in_loop else self._run(job))
            if asyncio.iscoroutine(result) or isinstance(result, events.Emitted):
                await result
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the app's own, whatever it is
            journal.traceback("app", error, text=f"{name} of the app at {self.app.basepath}")

    async def _run(self, job: Callable[[], Any]) -> Any:
        """Run plain code of the app where no loop runs: in a thread, or here if the worker has no threads."""
        if self._context.config.server.threads:
            return await asyncio.to_thread(job)
        loop = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        try:
            return job()
        finally:
            asyncio._set_running_loop(loop)


_stays: set[Stay] = set()
_receivers: list[Receiver] = []


def _open(context: Context) -> None:
    """The first app of the worker: from now on coroutine functions have a loop, and other workers are heard."""
    house.open(asyncio.get_running_loop())
    services.share("broadcast", broadcasts.broadcast)  # for apps of other kinds; Saddle's have it anyway
    worker = host.attached()
    if worker is not None:
        receiver = Receiver(context, worker.bus)
        receiver.open()
        _receivers.append(receiver)


def _close() -> None:
    """The last one has gone."""
    while _receivers:
        _receivers.pop().close()
    services.unshare("broadcast")
    house.close()
