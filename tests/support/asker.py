"""The back-ends of a process in a loop of their own, for tests that ask real servers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import Any

from skitai.backend.backends import Backends
from skitai.backend.task import Task
from skitai.config.aliases import Member
from skitai.config.tree import Config
from skitai.was.databases import STUBS

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
try:
    import uvloop
except ImportError:
    pass
else:
    LOOPS["uvloop"] = uvloop.new_event_loop


class Asker:
    """A loop in a thread, and the back-ends in it (`backend.seam.Home`).

    :param options: of the section `backends`.
    """

    def __init__(self, loop: str = "asyncio", **options: Any) -> None:
        plain = Config()
        self.config = replace(plain, backends=replace(plain.backends, **options))
        self.loop = LOOPS[loop]()
        self.backends = Backends(self)
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    @property
    def cache(self) -> None:
        """There is none."""

    def on_loop(self, job: Callable[..., Any], *args: Any) -> None:
        self.loop.call_soon_threadsafe(job, *args)

    def in_loop(self) -> bool:
        return threading.get_ident() == self._thread.ident

    def waiting(self) -> AbstractContextManager[None]:
        return nullcontext()

    def stub(self, member: Member, **options: Any) -> Any:
        """What `was.backend(...)` gives."""
        module, name = STUBS[member.kind].split(":")
        return getattr(import_module(module), name)(partial(self.backends.ask, member, **options))

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do something in the loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def call(self, job: Callable[..., Any], *args: Any) -> Any:
        """Call something in the loop."""

        async def called() -> Any:
            return job(*args)

        return self.run(called())

    def abandon(self, handle: Task) -> None:
        """Nobody waits any more."""
        self.call(handle.give_up)

    def tick(self, later: float = 0.0) -> None:
        """What happens once a second, as if it were `later` seconds from now."""
        self.call(lambda: self.backends.tick(self.loop.time() + later))

    def stats(self) -> dict[str, Any]:
        """Of the one driver that was used."""
        drivers = self.call(self.backends.stats)["drivers"]
        (found,) = drivers.values() or ({},)
        return dict(found)

    def close(self) -> None:
        if not self.loop.is_closed():
            self.run(self.backends.close())
            self.call(lambda: None)  # what was closed tells so in the next turn
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join()
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()
