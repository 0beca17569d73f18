"""The apps of a worker: loaded at its start, replaced when their files change, shut down at its end."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from typing import Any

from skitai.config.mounted import Mount
from skitai.config.tree import Config
from skitai.errors import LoadError, Unavailable
from skitai.exchange import BodyMode
from skitai.loading.app import Loaded, home_of, load, reload
from skitai.loading.watch import Watcher, check_syntax
from skitai.worker.apps import make_app
from skitai.worker.gateway import guarded
from skitai.worker.services import Services
from skitai.worker.site import Proxy, Route, Site
from skitai.worker.stale import explain, noting

log = logging.getLogger("skitai.app")


def outside_loop(call: Callable[..., Loaded], *args: Any) -> Loaded:
    """Call as if no loop ran: an app's code may use ``asyncio.run``, or Django's models, while it is imported."""
    loop = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        return call(*args)
    finally:
        asyncio._set_running_loop(loop)


def wants_watching(loaded: Loaded | None) -> bool:
    """Whether changed files matter: the app says so, or is broken."""
    return loaded is None or (loaded.use_reloader and loaded.reloadable)


class Broken:
    """Stands for an app that could not be loaded: 503, while the others serve.

    :ivar debug: its preferences want tracebacks shown; what the app itself says of that is not known.
    """

    body_mode = BodyMode.STREAM
    in_threads = False

    def __init__(self, mount: Mount) -> None:
        self.debug = bool(mount.pref.overrides.get("debug")) and os.environ.get("SKITAI_ENV") != "PRODUCTION"

    def handle(self, exchange: Any) -> None:
        exchange.fail(Unavailable("the app could not be loaded"))

    async def shutdown(self) -> None: ...


class Place:
    """One mount of this worker, with what is served there now and what to watch.

    :ivar loaded: None while the app is broken.
    """

    __slots__ = ("loaded", "mount", "route", "watcher")

    def __init__(self, mount: Mount) -> None:
        self.mount = mount
        self.loaded: Loaded | None = None
        self.route: Route
        self.watcher: Watcher | None = None


class Mounts:
    """All mounts of a worker. Everything here belongs to the loop's thread.

    :ivar proxy: takes requests that are for other servers.
    """

    def __init__(self, services: Services, config: Config) -> None:
        self.proxy: Proxy | None = None
        self._services = services
        self._config = config
        self._places = [Place(mount) for mount in config.mounts]
        self._retired: set[asyncio.Future[None]] = set()

    async def load(self, strict: bool) -> None:
        """Load every app.

        :param strict: raise for the first one that fails, because an older generation serves; otherwise it answers 503.
        :raises LoadError:
        """
        for place in self._places:
            began_ns = time.time_ns()
            trouble = ""
            try:
                place.loaded = outside_loop(load, place.mount)
                app = guarded(make_app(place.loaded, place.mount), place.mount, self._config)
                await app.startup(self._services)
            except LoadError as error:
                if strict:
                    raise
                log.error("%s is not served: %s", place.mount.point, error, exc_info=error.__cause__)
                app = Broken(place.mount)
                place.loaded = None
                trouble = explain(error)
            place.route = Route(place.mount, app, self._config)
            place.route.trouble = trouble
            if wants_watching(place.loaded):
                place.watcher = Watcher([home_of(place.mount)], began_ns)

    def site(self) -> Site:
        """Where requests go, as things stand."""
        return Site([place.route for place in self._places], self.proxy)

    @property
    def watched(self) -> bool:
        """Whether any app is to be replaced when its files change."""
        return any(place.watcher is not None for place in self._places)

    async def renew(self, restart: Callable[[], None]) -> None:
        """Look for changed files, and replace the apps they belong to.

        :param restart: called for an app whose new code needs a new process.
        """
        loop = asyncio.get_running_loop()
        for place in self._places:
            watcher = place.watcher
            if watcher is None:
                continue
            changed = await loop.run_in_executor(self._services.disk, watcher.changed)
            if not changed:
                continue
            if place.loaded is not None and place.loaded.needs_restart:
                try:
                    check_syntax(changed)
                except LoadError as error:
                    self._keep_old(place, error)
                    continue
                log.info("%s: its files changed; this worker makes room for a new one", place.mount.point)
                restart()
                return
            await self._replace(place)

    async def _replace(self, place: Place) -> None:
        old = place.route.app
        try:
            # In a thread: requests of the old code, and of the other apps, go on while the new code is imported.
            work = (load, place.mount) if place.loaded is None else (reload, place.loaded)
            loaded: Loaded = await asyncio.get_running_loop().run_in_executor(self._services.disk, *work)
            app = guarded(make_app(loaded, place.mount), place.mount, self._config)
            if isinstance(old, type(app)) and hasattr(app, "succeed"):
                await app.succeed(old, self._services)
            else:
                await app.startup(self._services)
        except LoadError as error:
            self._keep_old(place, error)
            return
        log.info("%s: reloaded", place.mount.point)
        place.loaded = loaded
        if not wants_watching(loaded):
            place.watcher = None
        place.route.serve(app, self._config)
        self._services.pipeline.site = self.site()
        ending = asyncio.ensure_future(old.shutdown())  # which waits for the requests that the old code still has
        self._retired.add(ending)
        ending.add_done_callback(self._retired.discard)

    @staticmethod
    def _keep_old(place: Place, error: LoadError) -> None:
        kept = "the old code goes on" if place.loaded is not None else "it is not served"
        log.error("%s: %s; %s", place.mount.point, error, kept, exc_info=error.__cause__)
        route = place.route
        route.trouble = explain(error)
        if route.debug and place.loaded is not None:
            route.handle = noting(route.app.handle, error)

    async def shutdown(self) -> None:
        """Tell every app that no request is left."""
        await asyncio.gather(*(place.route.app.shutdown() for place in self._places), *self._retired)
