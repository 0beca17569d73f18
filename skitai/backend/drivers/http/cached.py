"""Requests that the HTTP cache may answer."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from skitai.backend.drivers.http.request import Field, HttpRequest
from skitai.backend.errors import BackendError
from skitai.cachefs.asked import CONDITIONAL, Asked
from skitai.cachefs.cache import Cache
from skitai.cachefs.decision import SERVED, Decision, Verdict
from skitai.cachefs.fetch import Fetch
from skitai.http.head import Fields
from skitai.http.status import phrase
from skitai.protocols.http1.answer import AnswerHead


class Came(Protocol):
    """An answer that is complete: `incoming.Incoming`, or `Kept`."""

    head: AnswerHead | None
    pieces: deque[bytes]
    trailers: Fields | None

    def leave(self) -> None: ...


Ask = Callable[[Sequence[Field]], Awaitable[Came]]
"""Asks the server, with these fields."""

Check = Callable[[AnswerHead], None]


class Kept:
    """An answer out of the cache."""

    def __init__(self, head: AnswerHead, content: bytes) -> None:
        self.head: AnswerHead | None = head
        self.pieces = deque((content,))
        self.trailers: Fields | None = None

    def leave(self) -> None:
        """There is no connection."""


class Caching:
    """Asks servers by way of the cache. Everything belongs to the loop's thread."""

    def __init__(self, cache: Cache, loop: asyncio.AbstractEventLoop) -> None:
        self._cache = cache
        self._loop = loop
        self._refreshing: set[asyncio.Task[Came]] = set()

    async def get(self, asked: Asked, fields: Sequence[Field], ask: Ask, check: Check) -> Came:
        """The answer to a GET.

        :param fields: of the request.
        :param check: raises a BackendError for an answer that the caller does not take.
        :raises BackendError: there is none.
        """
        may_wait = True
        while True:
            now = time.time()
            decision = await self._decision(asked, now)
            if decision.verdict in SERVED:
                if decision.verdict is Verdict.STALE_WHILE_REVALIDATE:
                    self._refresh(asked, fields, ask, decision, now)
                return kept(decision, now, check)
            if decision.verdict is Verdict.ONLY_IF_CACHED:
                return Kept(_head(504, Fields(()), 0), b"")
            if decision.verdict is Verdict.BYPASS:
                return await ask(fields)
            woken: asyncio.Future[bool] = self._loop.create_future()
            fetch = self._cache.fetch(asked, decision, now, _waking(woken) if may_wait else None)
            if fetch is not None:
                return await self._fetched(fetch, fields, ask, check)
            may_wait = await woken

    def changed(self, asked: Asked, came: Came) -> None:
        """An answer to another method has come."""
        head = came.head
        assert head is not None
        self._cache.changed(asked, head.status, head.fields, time.time())

    def close(self) -> None:
        """Nothing is asked for anew any more."""
        for task in tuple(self._refreshing):
            task.cancel()

    async def _decision(self, asked: Asked, now: float) -> Decision:
        decision = self._cache.lookup(asked, now)
        if decision.verdict is not Verdict.LOAD:
            return decision
        loaded: asyncio.Future[Decision] = self._loop.create_future()
        self._cache.load(asked, lambda found: None if loaded.done() else loaded.set_result(found), whole=True)
        return await loaded

    async def _fetched(self, fetch: Fetch, fields: Sequence[Field], ask: Ask, check: Check | None) -> Came:
        if fetch.replaces:
            conditions = [(name.decode("ascii"), value.decode("latin-1")) for name, value in fetch.conditions]
            fields = [*(each for each in fields if each[0].lower().encode("latin-1") not in CONDITIONAL), *conditions]
        try:
            came = await ask(fields)
        except BackendError:
            instead = fetch.failed(time.time())
            if instead is None:
                raise
            return kept(instead, time.time(), check)
        except BaseException:
            fetch.abort()
            raise
        head, now = came.head, time.time()
        assert head is not None
        instead = fetch.answered(head.status, head.fields, now)
        if instead is not None:
            fetch.abort()
            return kept(instead, now, check)
        for piece in came.pieces:
            fetch.add(piece)
        fetch.commit()
        came.head = _labelled(head)
        return came

    def _refresh(self, asked: Asked, fields: Sequence[Field], ask: Ask, decision: Decision, now: float) -> None:
        """Ask for a new answer, beside the request that gets the stale one."""
        fetch = self._cache.fetch(asked, decision, now)
        if fetch is not None:
            task = self._loop.create_task(self._fetched(fetch, fields, ask, None))
            self._refreshing.add(task)
            task.add_done_callback(self._refreshed)

    def _refreshed(self, task: asyncio.Task[Came]) -> None:
        self._refreshing.discard(task)
        if not task.cancelled():
            task.exception()  # nobody waits for it: the next request will see


def kept(decision: Decision, now: float, check: Check | None) -> Kept:
    """What is stored, as an answer.

    :raises BackendError: the caller does not take it.
    """
    stored = decision.stored
    assert stored is not None
    more = ((b"age", b"%d" % stored.age(now)), (b"x-cache", decision.label.encode("ascii")))
    head = _head(stored.status, Fields((*stored.fields.pairs, *more)), stored.size)
    if check is not None:
        check(head)
    return Kept(head, bytes(decision.content))


def asked_of(request: HttpRequest, uri: str, fields: Sequence[Field], space: str) -> Asked:
    """A request as the cache sees it."""
    pairs = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in fields]
    return Asked(request.verb, uri.encode("latin-1"), Fields(pairs), space.encode("latin-1"))


def _head(status: int, fields: Fields, length: int) -> AnswerHead:
    return AnswerHead("1.1", status, phrase(status), fields, True, length)


def _labelled(head: AnswerHead) -> AnswerHead:
    fields = Fields((*(pair for pair in head.fields.pairs if pair[0] != b"x-cache"), (b"x-cache", b"MISS")))
    return AnswerHead(head.version, head.status, head.reason, fields, head.keep_alive, head.length)


def _waking(woken: asyncio.Future[bool]) -> Callable[[bool], None]:
    return lambda may_wait: None if woken.done() else woken.set_result(may_wait)
