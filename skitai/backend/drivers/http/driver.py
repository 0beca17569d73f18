"""The driver of HTTP and HTTPS: requests to any server, with credentials, redirects and unpacking."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urljoin

from skitai.backend.dial import Dialler, Proxy
from skitai.backend.drivers.http import content
from skitai.backend.drivers.http.bodies import Stream
from skitai.backend.drivers.http.cached import Caching, Came, asked_of
from skitai.backend.drivers.http.credentials import Auth, Credentials
from skitai.backend.drivers.http.http1 import Http1Connection
from skitai.backend.drivers.http.incoming import Incoming, Watch
from skitai.backend.drivers.http.origin import Heads, Origin, Server
from skitai.backend.drivers.http.question import Made, Question
from skitai.backend.drivers.http.request import WITHOUT_BODY, Field, HttpRequest, locate
from skitai.backend.drivers.http.result import HttpResult, check
from skitai.backend.drivers.http.traced import Traced, fields_of, head_of, pairs_of
from skitai.backend.errors import BackendError, Code
from skitai.backend.room import Room
from skitai.backend.seam import Asker, Home
from skitai.config.aliases import Member
from skitai.protocols.http1.answer import AnswerHead

REDIRECTS = frozenset((301, 302, 303, 307, 308))

OF_CONTENT = frozenset(("content-type", "content-encoding", "content-language", "content-location"))
"""Fields that go with the body when a redirect makes a GET of a request."""

OF_THE_ORIGIN = frozenset(("authorization", "cookie", "host"))
"""Fields that no other server is told."""

UNPACKED_INLINE_BYTES = 65536
"""More than this is unpacked off the loop."""


class HttpDriver:
    """Speaks to all servers of HTTP.

    :param home: the process it lives in.
    :ivar watch: ends what takes too long.
    :param room: that the connections to all servers have.
    """

    def __init__(self, home: Home, room: Room) -> None:
        self._loop = home.loop
        self._room = room
        self._options = home.config.backends
        self._dialler = Dialler(home.loop, self._options.backend_connect_s)
        self.watch = Watch(home.loop, self._options.backend_idle_s)
        self._heads = Heads()
        self._credentials = Credentials()
        self._caching = Caching(home.cache, home.loop) if home.cache is not None else None
        self._origins: dict[Any, Origin] = {}
        self._lanes: dict[Any, Origin] = {}
        self._closing = False

    async def ask(self, member: Member, operation: HttpRequest | Traced, deadline: float) -> HttpResult:
        """Ask a server; see `backend.seam.Driver`.

        :raises BackendError: there is no answer, or none that the request takes.
        """
        if isinstance(operation, Traced):
            operation = operation.whole()
        if operation.auth or (operation.auth is None and member.user):
            result = await self._ask(member, operation, deadline)
        else:
            result = await self._once(member, operation, "", deadline)
        if operation.allow_redirects and result.status_code in REDIRECTS:
            return await self._follow(member, operation, result, deadline)
        return result

    async def _ask(self, member: Member, request: HttpRequest, deadline: float) -> HttpResult:
        """One answer, with credentials as the server wants them."""
        auth: Auth | None = request.auth
        if auth is None and member.user:
            auth = (member.user, member.password)
        if not auth:  # a redirect has led to another server
            return await self._once(member, request, "", deadline)
        target, server = target_at(member, request), (member.host, member.port, member.secure)
        used = self._credentials.authorization(server, auth, request.verb, target)
        result = await self._once(member, request, used, deadline)
        if result.status_code == 401 and not (isinstance(request.body, Stream) and not request.body.repeatable):
            values = [value.decode("latin-1") for name, value in result.fields.pairs if name == b"www-authenticate"]
            if self._credentials.learn(server, auth, values, used):
                result.close()
                used = self._credentials.authorization(server, auth, request.verb, target)
                result = await self._once(member, request, used, deadline)
        return result

    def begin(self, member: Member, operation: HttpRequest | Traced, asker: Asker) -> Question | None:
        """See `seam.Driver.begin`. What may need several requests, or the cache, goes by `ask`."""
        if not isinstance(operation, Traced):
            return None
        request = operation.request
        if request.stream or request.allow_redirects or request.auth or (request.auth is None and member.user):
            return None
        if self._closing or self._caching is not None:
            return None
        origin = self._origin(member, request)
        connection = origin.free()
        if connection is None:
            return None
        used, target = connection.asked > 0, target_at(member, request) if member.database else request.target
        most_bytes = self._options.backend_body_bytes if request.most_bytes < 0 else self._most_bytes(request)
        question = Question(self, member, request, most_bytes, used, asker)
        if isinstance(connection, Http1Connection):
            if used and request.method not in WITHOUT_BODY and not request.repeatable and not connection.silent:
                origin.drop(connection)
                question.cancel()
                return None
            connection.ask(operation.verb, head_of(operation, origin, target), request.body, question)
        else:
            connection.ask(pairs_of(operation, origin, target), request.body, question)
        return question

    async def _once(self, member: Member, request: HttpRequest, authorization: str, deadline: float) -> HttpResult:
        if self._closing:
            raise BackendError(Code.SHUTDOWN, "the worker leaves")
        most_bytes = self._most_bytes(request)
        fields = fields_of(request, authorization)
        wanted = partial(check, request=request, most_bytes=most_bytes)
        origin, target = self._origin(member, request), target_at(member, request)

        came: Came
        if self._caching is None or request.stream:
            came = await origin.ask(request, target, fields, wanted, most_bytes, deadline)
        else:

            async def ask(fields: Sequence[Field]) -> Came:
                return await origin.ask(request, target, fields, wanted, most_bytes, deadline)

            uri = f"{'https' if member.secure else 'http'}://{request.host or authority(member)}{target}"
            trust = f"was,{request.proxy or member.proxy},{member.verify}"
            asked = asked_of(request, uri, fields, trust)
            if request.method == "get" and request.body is None:
                came = await self._caching.get(asked, fields, ask, wanted)
            else:
                came = await ask(fields)
                self._caching.changed(asked, came)
        if request.stream:
            assert isinstance(came, Incoming)
            return streaming(request, member, came)
        made = self.made(request, most_bytes, member, came)
        return await made if isinstance(made, asyncio.Future) else made

    def _most_bytes(self, request: HttpRequest) -> int:
        """The longest content that is taken."""
        most_bytes = self._options.backend_body_bytes
        return request.most_bytes if 0 <= request.most_bytes < most_bytes else most_bytes

    def made(self, request: HttpRequest, most_bytes: int, member: Member, came: Came) -> Made:
        """The result of a complete answer; of one that takes some unpacking, what it will be.

        :raises BackendError: it cannot be unpacked.
        """
        head, pieces = came.head, came.pieces
        assert head is not None
        codings = codings_of(head, request) if b"content-encoding" in head.fields else ()
        if not codings:
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        elif sum(map(len, pieces)) <= UNPACKED_INLINE_BYTES:
            data = content.unpacked(pieces, codings, most_bytes)
        else:
            return self._loop.run_in_executor(None, unpacked, codings, request, most_bytes, member, came)
        result = HttpResult(head, data, request, came)
        pieces.clear()
        result.member = member
        return result

    def _origin(self, member: Member, request: HttpRequest) -> Origin:
        proxy = request.proxy or member.proxy
        http2 = member.http2 if request.http2 is None else request.http2
        key = (member.host, member.port, member.secure, member.verify, member.connections, proxy, http2)
        origin = self._origins.get(key)
        if origin is None:
            most = member.connections or self._options.backend_connections
            way = proxy_of(proxy) if proxy else None
            server = Server(member.host, member.port, member.secure, member.verify, way, http2, most)
            origin = self._origins[key] = Origin(self._dialler, self.watch, self._options, self._heads, self._room, server)
        return origin

    def lane(self, member: Member, http2: bool | None, most: int) -> Origin:
        """A server, by connections that serve nobody else, for who hands answers on as they come.

        :param http2: see `origin.Server`.
        :param most: connections at once.
        """
        key = (member.host, member.port, member.secure, member.verify, most, member.proxy, http2)
        lane = self._lanes.get(key)
        if lane is None:
            way = proxy_of(member.proxy) if member.proxy else None
            server = Server(member.host, member.port, member.secure, member.verify, way, http2, most)
            lane = self._lanes[key] = Origin(self._dialler, self.watch, self._options, self._heads, self._room, server)
        return lane

    async def _follow(self, member: Member, request: HttpRequest, result: HttpResult, deadline: float) -> HttpResult:
        """Go where answers point to (RFC 9110, section 15.4)."""
        history: list[HttpResult] = []
        jar = dict(request.cookies)
        base = f"{'https' if member.secure else 'http'}://{authority(member)}{target_at(member, request)}"
        while result.status_code in REDIRECTS and "location" in result.headers:
            if len(history) == self._options.backend_redirects:
                raise BackendError(Code.FAILED, f"more than {len(history)} redirects, the last one to {base}", sent=True)
            jar |= result.cookies
            location = result.fields.text("location")
            try:
                base = urljoin(base, location.encode("latin-1").decode("utf-8", "replace"))
                there, target = locate(base)
            except ValueError as error:
                raise BackendError(Code.PROTOCOL, f"a redirect to nowhere: {error}", sent=True) from None
            same = (there.host, there.port, there.secure) == (member.host, member.port, member.secure)
            if not same:
                jar = {}
            following = redirected(request, result.status_code, base, target, same, tuple(jar.items()))
            if following is None:
                break
            result.close()
            history.append(result)
            member, request = (member if same else replace(there, proxy=member.proxy)), following
            result = await self._ask(replace(member, database=""), request, deadline)
        result.redirects = history
        return result

    def tick(self, now: float) -> None:
        for key, origin in tuple(self._origins.items()):
            origin.tick(now)
            if origin.unused:
                del self._origins[key]
        for lane in self._lanes.values():
            lane.tick(now)

    def stats(self) -> dict[str, Any]:
        passing = {f"{lane.name} passing": lane.stats() for lane in self._lanes.values()}
        return {origin.name: origin.stats() for origin in self._origins.values()} | passing

    def connections(self) -> int:
        return sum(origin.size for origin in (*self._origins.values(), *self._lanes.values()))

    async def close(self) -> None:
        self._closing = True
        if self._caching is not None:
            self._caching.close()
        for origin in (*self._origins.values(), *self._lanes.values()):
            origin.close()
        for _ in range(3):
            await asyncio.sleep(0)  # connections hear of their end in the loop's next turns
        self._dialler.close()
        self.watch.close()


def target_at(member: Member, request: HttpRequest) -> str:
    """Path and query at a server: what an alias names behind its server goes before the path."""
    return f"/{member.database.strip('/')}{request.target}" if member.database else request.target


def authority(member: Member) -> str:
    host = f"[{member.host}]" if ":" in member.host else member.host
    return f"{host}:{member.port}"


def redirected(
    request: HttpRequest, status: int, url: str, target: str, same: bool, cookies: tuple[Field, ...]
) -> HttpRequest | None:
    """The request that follows a redirect; None where it cannot be made again.

    :param same: it goes to the same server.
    """
    method, body, gone = request.method, request.body, frozenset[str]()
    if (status == 303 and method != "head") or (status in (301, 302) and method == "post"):
        method, body, gone = "get", None, OF_CONTENT
    if isinstance(body, Stream) and not body.repeatable:
        return None
    if not same:
        gone |= OF_THE_ORIGIN
    fields = tuple(each for each in request.fields if each[0].lower() not in gone)
    auth, host = (request.auth, request.host) if same else ((), "")
    return request._replace(
        method=method, url=url, target=target, fields=fields, body=body, auth=auth, host=host, cookies=cookies
    )


def codings_of(head: AnswerHead, request: HttpRequest) -> Sequence[content.Unpacker]:
    """What unpacks the content of an answer."""
    if not request.decode or request.method == "head":
        return ()
    return content.unpackers(head.fields)


def unpacked(
    codings: Sequence[content.Unpacker], request: HttpRequest, most_bytes: int, member: Member, came: Came
) -> HttpResult:
    """The result of an answer whose content is to be unpacked; for another thread."""
    assert came.head is not None
    result = HttpResult(came.head, content.unpacked(came.pieces, codings, most_bytes), request, came)
    came.pieces.clear()
    result.member = member
    return result


def streaming(request: HttpRequest, member: Member, incoming: Incoming) -> HttpResult:
    """The result of an answer whose content is still to come."""
    head = incoming.head
    assert head is not None
    result = HttpResult(head, b"", request, incoming)
    codings = codings_of(head, request)
    result.pieces = unpacking(incoming, codings) if codings else incoming.stream()
    result.member = member
    return result


async def unpacking(incoming: Incoming, codings: Sequence[content.Unpacker]) -> AsyncIterator[bytes]:
    """The pieces of a stream, unpacked as they come."""
    try:
        async for piece in incoming.stream():
            for each in content.through(piece, codings):
                yield each
        for coding in codings:
            coding.end()
    finally:
        incoming.leave()


def proxy_of(url: str) -> Proxy:
    """:raises BackendError: FAILED, it is no HTTP proxy."""
    try:
        member, _ = locate(url)
    except ValueError as error:
        raise BackendError(Code.FAILED, f"the proxy: {error}") from None
    if member.secure:
        raise BackendError(Code.FAILED, "a proxy is reached by http://, also for HTTPS")
    return Proxy(member.host, member.port, member.user, member.password)
