"""What a driver is to the rest of the room, and what it is asked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from skitai.backend.result import Result
from skitai.config.aliases import Member

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from skitai.cachefs.cache import Cache
    from skitai.config.tree import Config


class Operation(Protocol):
    """One thing to ask: an HTTP request, a statement. Immutable: it may be asked of several members, one after the other
    or all.

    :ivar method: for results and the log: "get", "execute", ...
    :ivar repeatable: whether asking twice does no harm (RFC 9110, section 9.2.2).
    """

    @property
    def method(self) -> str: ...

    @property
    def repeatable(self) -> bool: ...

    def key(self) -> Any:
        """What equal operations have in common, hashable; None for what is never equal to another (a body that streams)."""


class Asker(Protocol):
    """Who has begun a request without a task, and hears once what comes of it; never before `Driver.begin` has returned."""

    def answered(self, result: Result) -> None:
        """An answer has come."""

    def failed(self, error: Exception, stale: bool = False) -> None:
        """There is no answer.

        :param stale: the connection may have died long ago, and asking once more does no harm.
        """


class Begun(Protocol):
    """A request that is under way."""

    def cancel(self) -> Any:
        """Nobody waits any more; nothing leaks."""


class Driver(Protocol):
    """Speaks to all servers of one kind, over connections that it keeps. Everything belongs to the loop's thread."""

    def begin(self, member: Member, operation: Any, asker: Asker) -> Begun | None:
        """Ask one server on a connection that idles. Who asks ends it in time, by `Begun.cancel`.

        :returns: None where that cannot be: no connection idles, or the operation takes more than one question. Then nothing
            was sent, and `ask` does it.
        """

    async def ask(self, member: Member, operation: Any, deadline: float) -> Result:
        """Ask one server.

        :param deadline: on the loop's clock (`loop.time()`); the driver ends in time, by `errors.TimedOut`, and leaves no
            connection in the pool whose answer is still to come.
        :raises BackendError: there is no answer. An answer that says no (404, an SQL error) is a result.
        :raises asyncio.CancelledError: nobody waits any more; nothing leaks.
        """

    def tick(self, now: float) -> None:
        """Once a second: close what was idle for too long. `now` is of the loop's clock."""

    def stats(self) -> dict[str, Any]:
        """Counters for `was.status()`: by server, connections that are open, idle, waited for."""

    def connections(self) -> int:
        """How many are open, or being opened."""

    async def close(self) -> None:
        """Close every connection; what runs fails with `Code.SHUTDOWN`."""


class Home(Protocol):
    """What the room needs of the process it lives in: a worker, or anything that plays one."""

    @property
    def config(self) -> Config: ...

    @property
    def cache(self) -> Cache | None:
        """The HTTP cache; None where there is none."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """In which drivers work."""

    def on_loop(self, job: Callable[..., Any], *args: Any) -> None:
        """Call `job` in the loop's thread, soon and in order; from any thread."""

    def in_loop(self) -> bool:
        """Whether the caller is the loop's thread."""

    def waiting(self) -> AbstractContextManager[None]:
        """Around what a thread waits for: another thread may take requests meanwhile."""
