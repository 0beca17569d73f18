"""A request on a connection that idles: it needs no task, unless it fails and is to be made once more."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from skitai.backend.balance import Seat
from skitai.backend.cluster import UNREACHABLE, Cluster, well_repeated
from skitai.backend.errors import BackendError
from skitai.backend.result import Result, Status, failure
from skitai.backend.seam import Begun, Operation
from skitai.config.aliases import Member

if TYPE_CHECKING:
    from skitai.backend.backends import Backends, Target
    from skitai.backend.task import Task

log = logging.getLogger("skitai.server")

Failed = tuple[Seat[Member], BackendError]
"""Who gave no answer, and why."""


class Attempt:
    """One request, made at once; a `seam.Asker`. Belongs to the loop's thread.

    :param target: whom the caller wants to ask.
    """

    __slots__ = ("_backends", "_begun", "_operation", "_seat", "_target", "_task")

    def __init__(self, backends: Backends, task: Task, target: Target, operation: Operation) -> None:
        self._backends = backends
        self._task = task
        self._target = target
        self._operation = operation
        self._seat: Seat[Member] | None = None
        self._begun: Begun | None = None

    def begin(self) -> bool:
        """Ask, if there is a connection that idles.

        :returns: whether there is; else nothing has happened.
        """
        target = self._target
        if not isinstance(target, Cluster):
            self._begun = self._backends.driver(target.kind).begin(target, self._operation, self)
            return self._begun is not None
        if getattr(self._operation, "session", None) is not None:
            return False
        chosen = target.balance.choose(self._backends.home.loop.time())
        if chosen is None:
            return False
        seat, equals = chosen
        self._begun = self._backends.driver(target.alias.kind).begin(seat.member, self._operation, self)
        if self._begun is None:
            return False
        target.balance.take(seat, equals)
        self._seat = seat
        return True

    def _leave(self, well: bool | None) -> Seat[Member] | None:
        """It is over. Who was asked of a cluster; `well` as of `Balance.done`."""
        self._begun = self._task.running = None
        seat, self._seat = self._seat, None
        if seat is not None:
            assert isinstance(self._target, Cluster)
            self._target.balance.done(seat, well, self._backends.home.loop.time())
        return seat

    # What the driver tells

    def answered(self, result: Result) -> None:
        """See `seam.Asker`."""
        seat = self._leave(True)
        result.member = self._target if seat is None else seat.member  # type: ignore[assignment]
        self._backends.left(result.status == Status.DONE)
        self._task.settle(result)

    def failed(self, error: Exception, stale: bool = False) -> None:
        """See `seam.Asker`. What may be asked once more goes on in a task."""
        backends, task, operation = self._backends, self._task, self._operation
        speaks_against = isinstance(error, BackendError) and error.code in UNREACHABLE and not stale
        seat = self._leave(False if speaks_against else None)
        failed: Failed | None = None
        if seat is not None and not stale and isinstance(error, BackendError) and well_repeated(error, operation):
            failed = seat, error
        if (stale or failed is not None) and task.due > time.monotonic():
            backends.left(None)
            backends.go_on(task, self._target, operation, failed)
            return
        if not isinstance(error, BackendError):
            log.error("a request to a back-end failed: %s", operation.method, exc_info=error)
        backends.left(False)
        task.settle(failure(error))

    # What the handle wants

    def cancel(self) -> None:
        """Nobody waits any more."""
        begun = self._begun
        if begun is not None:
            self._leave(None)
            self._backends.left(False)
            begun.cancel()
