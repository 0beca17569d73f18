"""The HTTP cache between clients and who passes their requests on, the reverse proxy or the forward proxy.

Whoever passes requests on gets an exchange either way; where the cache has a say in the answer it is a `Watched` one, which
looks like the client's and tells the cache what comes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from time import time
from typing import Any

from skitai.cachefs.asked import CONDITIONAL, Asked, vary_names
from skitai.cachefs.cache import Cache
from skitai.cachefs.decision import ERRORS, SERVED, Decision, Verdict
from skitai.cachefs.fetch import Fetch
from skitai.cachefs.reply import IN_304
from skitai.errors import Answerable
from skitai.exchange import Dated, Flow, Head, Peer, Settled, passed_on
from skitai.http.head import Fields
from skitai.worker.cached import refuse, serve

_OF_THE_CLIENT = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-by")
_OURS = frozenset(
    (b"x-forwarded-for", b"x-forwarded-by", b"forwarded", b"x-real-ip", b"x-gtxn-id", b"x-ltxn-id", b"traceparent")
)
"""Fields that the origin sees otherwise than the client has sent them: an answer that depends on one is for that client."""
_HOST = re.compile(rb"host=([^;,]+)", re.IGNORECASE).findall

Ask = Callable[[Any], None]
"""Passes a request on: it is called with an exchange."""


class Caching:
    """Answers out of the cache, or has the origin asked.

    :param space: see `cachefs.asked.Asked`.
    """

    def __init__(self, cache: Cache, space: str) -> None:
        self._cache = cache
        name = space.encode("utf-8")
        self._ways = {scheme: (Way(name, scheme, False), Way(name, scheme, True)) for scheme in ("http", "https")}

    def handle(self, exchange: Any, ask: Ask, trusted: bool = False) -> None:
        """Take a request.

        :param ask: asks the origin, where that is necessary; also after this call.
        :param trusted: a trusted proxy has sent it: what that tells of the request reaches the origin, too.
        """
        head: Head = exchange.head
        way = self._ways[exchange.peer.scheme][trusted]
        asked: Asked | None = head.forms.get(way)
        if asked is None:
            asked = head.forms[way] = way.asked(head)
        hit = asked.hit
        if hit is not None and (content := hit.content(now := time())) is not None:
            exchange.respond(hit.stored.status, hit.stored.shown("HIT", now, Dated), content)
            return
        if not exchange.take():
            return
        if head.length and head.method in ("GET", "HEAD"):
            ask(exchange)  # what its body says is in no key
        else:
            self._look(exchange, asked, ask, True)

    def _look(self, exchange: Any, asked: Asked, ask: Ask, may_wait: bool) -> None:
        now = time()
        decision = self._cache.lookup(asked, now)
        if decision.verdict is Verdict.FRESH:
            serve(exchange, asked, decision, now)
        elif decision.verdict is Verdict.LOAD:
            self._cache.load(asked, lambda found: self._go_on(exchange, asked, ask, found, may_wait))
        else:
            self._go_on(exchange, asked, ask, decision, may_wait)

    def _go_on(self, exchange: Any, asked: Asked, ask: Ask, decision: Decision, may_wait: bool) -> None:
        if exchange.gone:
            return
        now = time()
        if decision.verdict in SERVED:
            serve(exchange, asked, decision, now)
            if decision.verdict is Verdict.STALE_WHILE_REVALIDATE and asked.method == "GET":
                fetch = self._cache.fetch(asked, decision, now)
                if fetch is not None:
                    ask(Watched(Nobody(exchange), self._cache, asked, fetch))
        elif decision.verdict is Verdict.ONLY_IF_CACHED:
            refuse(exchange)
        elif decision.verdict is Verdict.BYPASS:
            ask(Watched(exchange, self._cache, asked, None))
        else:
            fetch = self._cache.fetch(
                asked, decision, now, (lambda again: self._woken(exchange, asked, ask, again)) if may_wait else None
            )
            if fetch is not None:
                ask(Watched(exchange, self._cache, asked, fetch))

    def _woken(self, exchange: Any, asked: Asked, ask: Ask, may_wait: bool) -> None:
        if not exchange.gone:
            self._look(exchange, asked, ask, may_wait)


class Way:
    """How requests come: by one scheme, from trusted proxies or not. Their heads are kept by it."""

    __slots__ = ("_scheme", "_space", "_trusted")

    def __init__(self, space: bytes, scheme: str, trusted: bool) -> None:
        self._space = space
        self._scheme = scheme
        self._trusted = trusted

    def asked(self, head: Head) -> Asked:
        """A request as the cache sees it."""
        space = self._space + told(head.fields) if self._trusted else self._space
        return Asked(head.method, uri_of(head, self._scheme), head.fields, space)


class Watched:
    """A client's exchange, for who passes its request on. What is not here is the client's own.

    :param fetch: None for a request whose answer the cache does not want.
    :ivar head: the request, with the conditions of the cache in place of the client's where it has some.
    """

    def __init__(self, exchange: Any, cache: Cache, asked: Asked, fetch: Fetch | None) -> None:
        self._exchange = exchange
        self._cache = cache
        self._asked = asked
        self._fetch = fetch
        self._answered = False
        self.head: Head = exchange.head
        if fetch is not None:
            exchange.when_gone(fetch.abort)
            if fetch.replaces or isinstance(exchange, Nobody):
                self.head = _conditional(exchange.head, fetch.conditions)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._exchange, name)

    def respond(self, status: int, fields: Iterable[tuple[str, str]], body: bytes = b"", reason: str = "") -> bool:
        if not self._begins(status, fields):
            return True
        if self._fetch is not None:  # stored first: who has the answer finds it, whatever worker he asks next
            self._fetch.add(body)
            self._fetch.commit()
        done: bool = self._exchange.respond(status, self._shown(fields), body, reason)
        return done

    def start(self, status: int, fields: Iterable[tuple[str, str]], reason: str = "") -> bool:
        if not self._begins(status, fields):
            return False
        begun: bool = self._exchange.start(status, self._shown(fields), reason)
        return begun

    def write(self, data: bytes) -> Flow:
        if self._fetch is not None:
            self._fetch.add(data)
            if isinstance(self._exchange, Nobody) and not self._fetch.wanted:
                return Flow.GONE
        flow: Flow = self._exchange.write(data)
        if flow is Flow.GONE and self._fetch is not None:
            self._fetch.abort()
        return flow

    def finish(self, trailers: Iterable[tuple[Any, Any]] = ()) -> bool:
        if self._fetch is not None:
            self._fetch.commit()
        done: bool = self._exchange.finish(trailers)
        return done

    def fail(self, error: BaseException) -> None:
        fetch, now = self._fetch, time()
        if fetch is not None and not self._answered:
            self._answered = True
            if isinstance(error, Answerable) and error.status in ERRORS and (instead := fetch.failed(now)) is not None:
                serve(self._exchange, self._asked, instead, now)
                return
        if fetch is not None:
            fetch.abort()
        self._exchange.fail(error)

    def _begins(self, status: int, fields: Iterable[tuple[str, str]]) -> bool:
        """Tell the cache of the head; False where nobody wants what is behind it: there was something else to serve."""
        now = time()
        self._answered = True
        came = Fields([(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in fields])
        if not _OURS.isdisjoint(vary_names(came) or ()):
            came = Fields((*came.pairs, (b"vary", b"*")))
        if self._fetch is None:
            self._cache.changed(self._asked, status, came, now)
            return True
        instead = self._fetch.answered(status, came, now)
        if instead is None:
            if self._fetch.has_copy(status, came, now):
                self._exchange.respond(304, passed_on(each for each in self._shown(fields) if each[0].lower() in IN_304))
                self._exchange = Nobody(self._exchange)  # the rest is for the cache
            return self._fetch.wanted or not isinstance(self._exchange, Nobody)
        self._fetch.abort()
        serve(self._exchange, self._asked, instead, now)
        return False

    def _shown(self, fields: Iterable[tuple[str, str]]) -> Settled:
        """The fields of the answer, with what the cache says of itself."""
        if self._asked.method not in ("GET", "HEAD"):
            return passed_on(fields)
        label = "MISS" if self._fetch is not None else "BYPASS"
        return passed_on((*[each for each in fields if each[0].lower() != "x-cache"], ("X-Cache", label)))


class Nobody:
    """The exchange of a request that no client waits for: an answer that was served stale is asked for anew."""

    def __init__(self, exchange: Any) -> None:
        self.head: Head = exchange.head
        self.peer: Peer = exchange.peer
        self.txn: tuple[str, str] = exchange.txn
        self.gone = False
        self.user = ""

    def respond(self, status: int, fields: Any, body: bytes = b"", reason: str = "") -> bool:
        return True

    def inform(self, status: int, fields: Any = ()) -> None:
        """Nor for what comes ahead of the answer."""

    def start(self, status: int, fields: Any, reason: str = "") -> bool:
        return True

    def write(self, data: bytes) -> Flow:
        return Flow.ON

    def finish(self, trailers: Any = ()) -> bool:
        return True

    def send_file(self, file: Any, offset: int, count: int) -> None:
        file.close()

    def fail(self, error: BaseException) -> None:
        """The next request will see."""

    def when_gone(self, job: Callable[[], None]) -> None:
        """It never leaves."""

    def when_writable(self, job: Callable[[], None]) -> None:
        job()

    def take(self) -> bool:
        return True


def uri_of(head: Head, scheme: str) -> bytes:
    """What a request means, as an absolute URI.

    :param scheme: by which the client has asked.
    """
    if head.form == "absolute":
        scheme, _, rest = head.target.partition("://")
        cut = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
        authority, target = rest[:cut], rest[cut:]
    else:
        authority, target = head.fields.text("host"), head.target
    if not target.startswith("/"):
        target = f"/{target}"
    return f"{scheme.lower()}://{authority.lower()}{target}".encode("latin-1")


def told(fields: Fields) -> bytes:
    """What a proxy in front tells of the URI that its client has asked for, but for the scheme."""
    found = [pair for pair in fields.pairs if pair[0].startswith(b"x-forwarded-") and pair[0] not in _OF_THE_CLIENT]
    found += [(b"forwarded", host) for host in _HOST(fields.get(b"forwarded") or b"")]
    return b"".join(b",%b=%b" % pair for pair in found)


def _conditional(head: Head, conditions: tuple[tuple[bytes, bytes], ...]) -> Head:
    """The same request with other conditions."""
    fields = Fields((*(pair for pair in head.fields.pairs if pair[0] not in CONDITIONAL), *conditions))
    made = head.with_fields(fields)
    made.route = head.route
    return made
