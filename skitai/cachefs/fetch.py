"""One request to an origin on behalf of the cache, from its leaving to the answer's end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from skitai.cachefs.asked import Asked, digest, vary_names
from skitai.cachefs.decision import ERRORS, Decision, Verdict, helps, validators
from skitai.cachefs.freshness import initial_age, kept_fields, last_modified, may_store, updated
from skitai.cachefs.infile import InFile
from skitai.cachefs.placing import Answer, heads_of, put_in_files, put_in_ring, selector_of
from skitai.cachefs.record import Selector, Stored
from skitai.cachefs.shared import Count
from skitai.http.head import Fields
from skitai.http.selection import judge

if TYPE_CHECKING:
    import asyncio

    from skitai.cachefs.cache import Cache
    from skitai.cachefs.files import Files

JOIN_S = 5.0
"""So long a request waits for another one that asks the same; then it asks, too."""

BUFFERED_BYTES = 64 << 20
"""Of answers that are coming in, in one worker; beyond them nothing more is stored."""

INLINE_BYTES = 65536
"""What is larger is stored off the loop."""

Waiter = Callable[[bool], None]
"""Called in the loop: the request is to be looked up again, and may wait again for others if this is True."""


class Fetch:
    """What an origin is asked, and what of its answer is stored. Everything belongs to the loop's thread.

    Call `answered` with the head of the answer, or `failed`. Where `answered` returns None, the answer goes to the client,
    and to `add` and `commit`. Whatever happens, the last call is `commit`, `abort` or `failed`.

    :ivar asked: the request.
    :ivar conditions: fields to send in place of the client's own in `asked.CONDITIONAL`, where `replaces` says so.
    :ivar replaces: the client's own are not sent.
    :ivar fills: the whole is asked for although the client has a copy: who passes the answer on compares it with `has_copy`.
    :ivar may_be_joined: the answer may be one for others, too.
    """

    __slots__ = (
        "_alarm",
        "_began",
        "_cache",
        "_decision",
        "_head",
        "_pieces",
        "_size",
        "_storing",
        "_waiters",
        "asked",
        "conditions",
        "fills",
        "may_be_joined",
        "replaces",
    )

    def __init__(self, cache: Cache, asked: Asked, decision: Decision, now: float) -> None:
        stored, terms = decision.stored, asked.terms
        confirmable = stored is not None and asked.method == "GET" and (not terms.authorized or stored.rules.shared)
        self.asked = asked
        self.conditions = validators(stored) if stored is not None and confirmable else ()
        shared = asked.method == "GET" and decision.verdict is not Verdict.BYPASS and not terms.authorized
        self.fills = shared and stored is None and terms.has_copies and not cache.is_alone(decision.key)
        self.replaces = self.fills or bool(self.conditions)
        self.may_be_joined = shared and not terms.no_cache and (self.replaces or not terms.conditional)
        self._cache = cache
        self._decision = decision
        self._began = now
        self._waiters: list[Waiter] = []
        self._alarm: asyncio.TimerHandle | None = None
        self._head: tuple[int, Fields, float] | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._storing = False

    def join(self, waiter: Waiter) -> None:
        """Wait for this answer."""
        if self._alarm is None:
            self._alarm = self._cache.loop.call_later(JOIN_S, self._release)
        self._waiters.append(waiter)

    # What the origin does

    def answered(self, status: int, fields: Fields, now: float) -> Decision | None:
        """The head of the answer has come.

        :param fields: names in lower case.
        :param now: in seconds since the epoch.
        :returns: what is served in its place, after which `abort` ends this; None to pass the answer on.
        """
        stored = self._decision.stored
        if status == 304 and self.conditions and stored is not None:
            return self._confirmed(stored, fields, now)
        if status in ERRORS and (instead := self._instead(now)) is not None:
            return instead
        if self._may_store(status, fields, now):
            self._head = status, fields, now
        else:
            self._cache.alone(self._decision.key)
            self._release()
            replaced = self._decision.verdict is not Verdict.MISS and self.asked.method == "GET"
            if stored is not None and replaced and status in (200, 404, 410):
                self._cache.invalidate(self.asked.key, now)  # the origin has something else for it now
        return None

    @property
    def wanted(self) -> bool:
        """Whether what comes of the content is to be stored."""
        return self._head is not None

    def has_copy(self, status: int, fields: Fields, now: float) -> bool:
        """Whether the client has the answer that comes already, of which it is told by 304.

        :param fields: of the answer.
        """
        if not self.fills or status != 200:
            return False
        etag = fields.text("etag") or None
        return judge("GET", self.asked.terms.wishes, etag, last_modified(fields, now), 0, 1, now).status == 304

    def failed(self, now: float) -> Decision | None:
        """No answer comes.

        :returns: what is served instead; None when there is nothing, and the client gets an error.
        """
        instead = self._instead(now)
        self._leave(False)
        return instead

    def add(self, piece: bytes) -> None:
        """Some of the content, as it came, without the coding of its transfer."""
        if self._head is None:
            return
        self._pieces.append(piece)
        self._size += len(piece)
        self._cache.buffered += len(piece)
        if self._size > self._cache.stores.most_bytes or self._cache.buffered > BUFFERED_BYTES:
            self._cache.alone(self._decision.key)
            self._leave(False)

    def commit(self) -> None:
        """The content is complete: it is stored, and who waits for it gets it."""
        if self._head is None or self._declared() not in (-1, self._size):
            self.abort()
            return
        status, fields, came = self._head
        self._head = None
        kept = Fields(kept_fields(fields))
        self._store(Answer(self.asked, status, kept, came, initial_age(fields, self._began, came), self._pieces))

    def abort(self) -> None:
        """Nothing is stored, because nobody wants the rest of the answer: one of those that wait asks for the others."""
        if not self._storing:
            self._leave(True)

    # What becomes of it

    def _may_store(self, status: int, fields: Fields, now: float) -> bool:
        if not may_store(self.asked, status, fields, now):
            return False
        return length_of(fields) <= self._cache.stores.most_bytes

    def _declared(self) -> int:
        """What the head says of the length; -1 for nothing."""
        return -1 if self._head is None else length_of(self._head[1])

    def _instead(self, now: float) -> Decision | None:
        """What may be served because the origin fails."""
        decision = self._decision
        if decision.stored is None or not helps(self.asked.terms, decision.stored, now):
            return None
        self._cache.count(Count.STALE)
        return decision._replace(verdict=Verdict.STALE, label="STALE")

    def _confirmed(self, stored: Stored, fields: Fields, now: float) -> Decision:
        """A 304: what is stored holds, with the fields that came (RFC 9111, section 4.3.4)."""
        kept = updated(stored.fields, fields)
        age = initial_age(kept if b"age" not in fields else fields, self._began, now)
        content = self._decision.content
        fresh = Stored(stored.key, stored.status, kept, now, age, stored.size, stored.check)
        self._cache.count(Count.REVALIDATED)
        if may_store(self.asked, stored.status, kept, now):
            pieces = content if isinstance(content, InFile) else (content,)
            self._store(Answer(self.asked, stored.status, kept, now, age, pieces, (stored.size, stored.check)))
        else:
            self._cache.invalidate(self.asked.key, now)
            self._cache.alone(self._decision.key)
            self._release()
        return self._decision._replace(verdict=Verdict.FRESH, stored=fresh, label="REVALIDATED")

    def _store(self, answer: Answer) -> None:
        """Store an answer in both tiers: what is small at once in memory, all else off the loop."""
        cache, ring, files = self._cache, self._cache.stores.ring, self._cache.stores.files
        if cache.void(self.asked, self._began, answer.came):
            self.abort()
            return
        known = selector_of(answer, ring, None)
        elsewhere = known is None and files is not None and bool(vary_names(answer.fields))
        size = self._size if answer.known is None else answer.known[0]
        if ring is None or elsewhere or size > INLINE_BYTES:
            self._storing = True
            cache.disk.submit(self._store_in_thread, answer)
            return
        selector, stored = heads_of(answer, known)
        is_stored = put_in_ring(ring, selector, stored, answer.content)
        if files is not None:
            cache.disk.submit(self._write, files, selector, stored, answer)
        self._stored(stored, is_stored)

    def _store_in_thread(self, answer: Answer) -> None:
        ring, files = self._cache.stores.ring, self._cache.stores.files
        selector, stored = heads_of(answer, selector_of(answer, ring, files))
        in_ring = ring is not None and put_in_ring(ring, selector, stored, answer.content)
        in_files = files is not None and self._write(files, selector, stored, answer)
        self._cache.loop.call_soon_threadsafe(self._stored, stored, in_ring or in_files)

    def _write(self, files: Files, selector: Selector | None, stored: Stored, answer: Answer) -> bool:
        """Store in files, unless that is void by the time it is done. In a thread."""
        done = put_in_files(files, selector, stored, answer.content)
        if done and self._cache.void(self.asked, self._began, time.time()):
            files.remove(digest(stored.key))
        return done

    def _stored(self, stored: Stored, is_stored: bool) -> None:
        if is_stored:
            self._cache.count(Count.STORED)
        self._forget()
        shared = is_stored and not stored.rules.no_cache and stored.lifetime > stored.initial_age
        if not shared:
            self._cache.alone(self._decision.key)
        self._release(shared)

    def _leave(self, may_wait: bool) -> None:
        self._head = None
        self._forget()
        self._release(may_wait)

    def _forget(self) -> None:
        """The content is not held here any longer."""
        self._cache.buffered -= self._size
        self._pieces, self._size = [], 0

    def _release(self, may_wait: bool = False) -> None:
        """Let those that wait go on.

        :param may_wait: they may wait for each other: what they want may be shared.
        """
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._cache.ended(self, self._decision.key)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter(may_wait)


def length_of(fields: Fields) -> int:
    """Content-Length; -1 where it is not there, or no number."""
    value = fields.get(b"content-length")
    return int(value) if value is not None and value.isdigit() and len(value) < 19 else -1
