"""Coming back to a request whose handler has returned: jobs in order, where its app runs, with `was` set for it."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from skitai.was.context import current

if TYPE_CHECKING:
    import asyncio

    from skitai.exchange import Exchange


class Strand:
    """Implements `Exchange.resume`, for the exchanges of all protocols."""

    __slots__ = ("_strand", "task")

    app: Any
    connection: Any
    task: asyncio.Task[Any] | None
    _strand: deque[tuple[Callable[..., None], tuple[Any, ...]]] | None

    @abstractmethod
    def fail(self, error: BaseException) -> None:
        """Answer an error of a job."""

    def resume(self, job: Callable[..., None], *args: Any) -> None:
        self.connection.services.on_loop(self._enqueue, job, args)

    def _enqueue(self, job: Callable[..., None], args: tuple[Any, ...]) -> None:
        if self._strand is None:
            self._strand = deque()
        self._strand.append((job, args))
        if len(self._strand) == 1:
            self.connection.services.run_for(self.app, self._run_strand)

    def _run_strand(self) -> None:
        strand = self._strand
        assert strand is not None
        job, args = strand[0]
        token = current.set(cast("Exchange", self))
        try:
            job(*args)
        except Exception as error:  # noqa: BLE001 - the app's own, whatever it is
            self.fail(error)
        finally:
            current.reset(token)
        self.connection.services.on_loop(self._next_of_strand)

    def _next_of_strand(self) -> None:
        assert self._strand is not None
        self._strand.popleft()
        if self._strand:
            self.connection.services.run_for(self.app, self._run_strand)
