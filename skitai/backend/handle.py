"""What there is to wait for: what the handles of one request and of a request to all members have in common."""

from __future__ import annotations

import asyncio
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Collection
from typing import Any

from skitai.backend.result import Result, Results, Status
from skitai.backend.seam import Home
from skitai.errors import Answerable

WAIT_S = 10.0
"""How long a request may take that says nothing else, counted from its beginning."""

STOPS = "would stop the very loop that the answer comes through"

Validate = Callable[[Any], bool]


class Handle:
    """What one request and a request to all members have in common.

    :ivar began: on the monotonic clock.
    :ivar timeout: seconds that the caller has given the request; None leaves it to who waits.
    :ivar limit_s: seconds that it may take unless who waits allows more.
    """

    def __init__(self, home: Home, timeout: float | None) -> None:
        self._home = home
        self.timeout = timeout
        self.limit_s = WAIT_S if timeout is None else timeout
        self.began = time.monotonic()
        self._waiters: list[Callable[[], Any]] = []

    @property
    @abstractmethod
    def done(self) -> bool:
        """Whether the result is there."""

    @abstractmethod
    def _results(self) -> list[Result]: ...

    @abstractmethod
    def _expire(self) -> None:
        """Nobody waits any longer: a result that says so takes the place of what is still to come."""

    @abstractmethod
    def _allow(self, due: float) -> None:
        """Somebody wants to wait until `due` of the monotonic clock."""

    @abstractmethod
    def cache(self, timeout: float = 300, validation: Validate | None = None) -> Any:
        """Keep the result for equal requests; after it has come."""

    # Waiting in a thread

    def _wait(self, timeout: float | None) -> None:
        """Wait for the result, `timeout` seconds from the request's beginning at most; None: as long as it may take.

        :raises RuntimeError: in the loop's thread, which the answer would come through.
        """
        if self.done:
            return
        if self._home.in_loop():
            raise RuntimeError(
                f"waiting here {STOPS}: use `await`, a callback or was.promise, or run the server with threads"
            )
        due = self.began + (self.limit_s if timeout is None else timeout)
        self._allow(due)
        lock = threading.Lock()
        lock.acquire()
        if self._enlist(lock.release):
            return
        with self._home.waiting():
            came = lock.acquire(timeout=max(due - time.monotonic(), 0))
        if not came:
            self._expire()

    def wait(self, timeout: float | None = None, reraise: bool = True) -> None:
        """Wait until the request is over.

        :param timeout: seconds from the beginning of the request; 10 unless the request has a time of its own.
        :param reraise: raise why no answer came. An answer that says no, such as 404, is one.
        :raises BackendError: see `reraise`.
        """
        self._wait(timeout)
        if reraise:
            for result in self._results():
                if result.status != Status.DONE:
                    raise result.exception()

    def getswait(
        self,
        timeout: float | None = None,
        reraise: bool = False,
        cache: float | None = None,
        cache_if: Collection[int] = (200,),
    ) -> Results:
        """Wait for the results of all members; of a request to one, that one's."""
        self._wait(timeout)
        results = Results(self._results(), self._keep)
        if reraise:
            results.reraise()
        self._cache_if(cache, cache_if)
        return results

    def wait_or_throw(self, status: str | int, timeout: float | None = None) -> None:
        """Wait, and answer the client with `status` if the request failed.

        :param status: "502 Bad Gateway", or the number.
        :raises Answerable: no answer came, or an HTTP status from 400, or an error of the database.
        :raises ValueError: `status` is none of an error.
        """
        answer = thrown(status)  # first: that it is none is to be seen before a back-end fails
        self._wait(timeout)
        for result in self._results():
            if result.status != Status.DONE or result.status_code >= 400:
                raise answer from result.exception()

    def getswait_or_throw(
        self,
        status: str | int,
        timeout: float | None = None,
        cache: float | None = None,
        cache_if: Collection[int] = (200,),
    ) -> Results:
        """`getswait` and `wait_or_throw` in one."""
        self.wait_or_throw(status, timeout)
        return self.getswait(timeout, cache=cache, cache_if=cache_if)

    def _cache_if(self, seconds: float | None, cache_if: Collection[int]) -> None:
        if seconds is not None and all(each.is_normal and each.status_code in cache_if for each in self._results()):
            self._keep(seconds)

    @abstractmethod
    def _keep(self, seconds: float) -> None: ...

    def _enlist(self, waiter: Callable[[], Any]) -> bool:
        """Have `waiter` called when the result is there.

        :returns: it is there already, and may have missed him.
        """
        self._waiters.append(waiter)
        return self.done


def tell(came: asyncio.Future[None]) -> None:
    """The result is there, if anybody awaits it any more."""
    if not came.done():
        came.set_result(None)


def tell_loop(loop: asyncio.AbstractEventLoop, job: Callable[[], None]) -> None:
    """Call `job` in a loop that need not run any more: then nobody awaits there, either."""
    try:
        loop.call_soon_threadsafe(job)
    except RuntimeError:
        if not loop.is_closed():
            raise


def thrown(status: str | int) -> Answerable:
    """The answer that a ``..._or_throw`` form gives the client.

    :raises ValueError: `status` is none.
    """
    number, _, reason = str(status).partition(" ")
    if not number.isdigit() or not 400 <= int(number) <= 599:
        raise ValueError(f"{status!r} is no status of an error: write '502 Bad Gateway', or 502")
    return Answerable(reason or "a back-end has failed", status=int(number))
