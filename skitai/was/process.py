"""The back-ends of this process: a worker's, or, where none runs, some of its own in a thread of their own.

Those of their own know what the script of the process says by `skitai.alias` and the functions that set options.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from skitai.backend.backends import Backends
from skitai.backend.seam import Home
from skitai.config.aliases import Alias
from skitai.config.check import build_without_server
from skitai.config.draft import begun
from skitai.config.tree import Config


class Background:
    """A loop in a thread: `backend.seam.Home` for a process that is no worker, such as a script, or a test of an app."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="back-ends", daemon=True)

    @property
    def cache(self) -> None:
        """Servers alone have one."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread, which has nothing to do any more."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def on_loop(self, job: Callable[..., Any], *args: Any) -> None:
        self.loop.call_soon_threadsafe(job, *args)

    def in_loop(self) -> bool:
        return threading.get_ident() == self._thread.ident

    def waiting(self) -> AbstractContextManager[None]:
        return nullcontext()


class _Process:
    """Holds what there is."""

    def __init__(self) -> None:
        self.backends: Backends | None = None
        self.background: Background | None = None
        self.making = threading.Lock()
        self.config: Config | None = None  # of the worker that this process was forked from
        self.parents: object = None

    def forked(self) -> None:
        """A child process has no thread but the one that forked, so that no loop runs in it that its parent has begun."""
        self.parents = self.backends, self.background  # not to be closed here: connections are the parent's
        if self.backends is not None and self.background is None:
            self.config = self.backends.home.config
        self.backends = self.background = None
        self.making = threading.Lock()


_process = _Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_process.forked)


def said() -> Config:
    """What the script of this process says of back-ends, though it starts no server.

    :raises ConfigError: some of it is wrong.
    """
    draft = begun()
    return Config() if draft is None else build_without_server(draft, os.environ)


def said_aliases() -> tuple[Alias, ...]:
    """Those of `said`."""
    return said().aliases


def lend(home: Home, more: Callable[[], Iterable[Alias]] | None = None) -> Backends:
    """Give this process the back-ends of a worker, who tends and closes them.

    :param more: see `Backends`.
    """
    made = _process.backends = Backends(home, more=more)
    return made


def take_back(lent: Backends) -> None:
    """The worker's back-ends are gone."""
    if _process.backends is lent:
        _process.backends = None


def backends() -> Backends:
    """Those that were lent; or, when they are first needed, some in a thread of their own."""
    found = _process.backends
    if found is None:
        with _process.making:
            found = _process.backends
            if found is None:
                made = Background(_process.config or said())
                made.start()
                _process.background = made
                found = _process.backends = Backends(made, more=None if _process.config else said_aliases)
    return found


def close() -> None:
    """End the thread of their own, if there is one."""
    background, _process.background = _process.background, None
    found = _process.backends
    if background is not None and found is not None:
        asyncio.run_coroutine_threadsafe(found.close(), background.loop).result(5)
        background.stop()
        _process.backends = None
