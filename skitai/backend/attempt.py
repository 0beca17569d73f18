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

    def begin(self) -> bool:
        """Ask, if there is a connection that idles.

        :returns: whether there is; else nothing has happened.
        """
        backends, target, operation = self._backends, self._target, self._operation
        begun: Begun | None
        driver = backends.drivers[target.kind]
        if not isinstance(target, Cluster):
            begun = driver.begin(target, operation, self)
        else:
            if getattr(operation, "session", None) is not None:
                return False
            balance = target.balance
            chosen = balance.choose(backends.now())
            if chosen is None:
                return False
            seat, equals = chosen
            begun = driver.begin(seat.member, operation, self)
            if begun is not None:
                if equals:
                    balance.turn(seat, equals)
                seat.running += 1
                self._seat = seat
        if begun is None:
            return False
        self._begun = begun
        self._task.running = self
        backends.attempts += 1
        return True

    def _leave(self, well: bool | None) -> Member:
        """It is over.

        :param well: as of `Balance.done`.
        :returns: who was asked.
        """
        self._task.running = None
        backends, target, seat = self._backends, self._target, self._seat
        backends.attempts -= 1
        if seat is None:
            assert isinstance(target, Member)
            return target
        assert isinstance(target, Cluster)
        target.balance.done(seat, well, backends.now())
        return seat.member

    # What the driver tells

    def answered(self, result: Result) -> None:
        """See `seam.Asker`."""
        result.member = self._leave(True)
        if result.status != Status.DONE:
            self._backends.unanswered += 1
        self._task.settle(result)

    def failed(self, error: Exception, stale: bool = False) -> None:
        """See `seam.Asker`. What may be asked once more goes on in a task."""
        backends, task, operation, seat = self._backends, self._task, self._operation, self._seat
        refusal = error if isinstance(error, BackendError) and not stale else None
        self._leave(False if refusal is not None and refusal.code in UNREACHABLE else None)
        failed: Failed | None = None
        if seat is not None and refusal is not None and well_repeated(refusal, operation):
            failed = seat, refusal
        if (stale or failed is not None) and task.due > time.monotonic():
            backends.go_on(task, self._target, operation, failed)
            return
        if not isinstance(error, BackendError):
            log.error("a request to a back-end failed: %s", operation.method, exc_info=error)
        backends.unanswered += 1
        task.settle(failure(error))

    # What the handle wants

    def cancel(self) -> None:
        """Nobody waits any more."""
        self._leave(None)
        self._backends.unanswered += 1
        self._begun.cancel()
