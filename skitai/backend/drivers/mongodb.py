"""MongoDB, by pymongo's asynchronous client: one for each server, which keeps its connections.

A server of a replica set is asked directly: whoever is not the primary says so when he should write, and another member of
the alias is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pymongo
import pymongo.monitoring
from bson.errors import BSONError
from bson.int64 import Int64
from bson.objectid import ObjectId
from pymongo import errors
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection

from skitai.backend.dial import Dialler, Tls
from skitai.backend.drivers.base import DatabaseDriver, where
from skitai.backend.drivers.mongodb_verbs import Stub, Verb
from skitai.backend.drivers.statements import Row
from skitai.backend.errors import BackendError, Code, TimedOut
from skitai.backend.result import Result, Status, bare
from skitai.backend.room import Room
from skitai.backend.seam import Home
from skitai.config.aliases import Member

Client = pymongo.AsyncMongoClient[dict[str, Any]]
Documents = list[dict[str, Any]]

CURSOR_S = 600
"""A cursor that nobody asks for so long is given up, as the servers do by themselves."""

CLOSE_S = 0.5
"""A server gets so long to take leave."""

AUTHENTICATION_FAILED = 18
"""A code of the servers."""

WRONG = (errors.PyMongoError, BSONError, TypeError, ValueError, LookupError, OverflowError)
"""What a request can be refused with, by the server or before it is sent."""


class MongoResult(Result):
    """What came of a request.

    :ivar data: what the verb gives, a dict whose items are attributes, too.
    :ivar content: the list of documents, where there is one.
    """

    def __init__(self, data: Row | None = None, error: BaseException | None = None) -> None:
        if error is None:
            super().__init__(data=data, content=data.get("data") if data else None)
        else:
            bare(error)
            super().__init__(500, said(error), status=Status.FAILED, error=error)

    @property
    def cursor_id(self) -> int:
        """Of `findkc` and `get_more`: where more documents come from; 0 when there are none."""
        return int((self.data or {}).get("cursor_id", 0))

    @property
    def number_returned(self) -> int:
        """How many documents came."""
        return int((self.data or {}).get("number_returned", 0))


def said(error: BaseException) -> str:
    """What a server has said, without what pymongo adds."""
    details = getattr(error, "details", None) or {}
    first = next(iter(details.get("writeErrors", ())), details)
    return str(first.get("errmsg") or error)


def found(documents: Documents, cursor_id: int = 0, offset: int = 0) -> Row:
    return Row(starting_from=offset, number_returned=len(documents), cursor_id=cursor_id, data=documents)


class One(Row):
    """What `findone` gives: the fields of the document are its items, too."""

    __slots__ = ()

    def __missing__(self, name: str) -> Any:
        for document in self["data"]:
            return document[name]
        raise KeyError(name)


@dataclass(slots=True)
class Cursor:
    """A cursor that is kept open.

    :ivar last: when it was asked last, on the loop's clock.
    """

    session: AsyncClientSession
    collection: str
    last: float


class Counted(pymongo.monitoring.ConnectionPoolListener):
    """Counts the connections of a client; it calls whatever of these methods has to do with an event.

    :ivar open: those for requests; one or two more watch the server.
    """

    def __init__(self) -> None:
        self.open = 0

    def connection_created(self, event: Any) -> None:
        self.open += 1

    def connection_closed(self, event: Any) -> None:
        self.open -= 1

    def pool_created(self, event: Any) -> None: ...
    def pool_ready(self, event: Any) -> None: ...
    def pool_cleared(self, event: Any) -> None: ...
    def pool_closed(self, event: Any) -> None: ...
    def connection_ready(self, event: Any) -> None: ...
    def connection_check_out_started(self, event: Any) -> None: ...
    def connection_check_out_failed(self, event: Any) -> None: ...
    def connection_checked_out(self, event: Any) -> None: ...
    def connection_checked_in(self, event: Any) -> None: ...


class Server:
    """The client for one server, and what is open in it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, member: Member, options: Any, auth_source: str) -> None:
        self._loop = loop
        self.member = member
        self.auth_source = auth_source
        self.cursors: dict[int, Cursor] = {}
        self.running = 0
        self.last = loop.time()
        self.connections = Counted()
        given: dict[str, Any] = {}
        if member.user:
            given = {"username": member.user, "password": member.password, "authSource": auth_source}
        if member.secure:
            given |= {"tls": True, "tlsAllowInvalidCertificates": not member.verify}
        connect_ms = max(int(options.backend_connect_s * 1000), 1)
        self.client: Client = pymongo.AsyncMongoClient(
            member.host,
            member.port,
            directConnection=True,  # to this one, by the name that the alias gives it
            serverSelectionTimeoutMS=connect_ms,
            connectTimeoutMS=connect_ms,
            maxPoolSize=member.connections or options.backend_connections,
            maxIdleTimeMS=int(options.backend_keep_alive * 1000) or None,
            appname="skitai",
            event_listeners=[self.connections],
            **given,
        )
        self.database = self.client[member.database or "test"]

    def collection(self, name: str) -> AsyncCollection[dict[str, Any]]:
        return self.database[name]

    @property
    def known(self) -> bool:
        """Whether a server answers, as far as the client knows."""
        return self.client.topology_description.has_readable_server()

    async def close(self) -> None:
        with pymongo.timeout(CLOSE_S), suppress(errors.PyMongoError):
            for cursor in self.cursors.values():
                await cursor.session.end_session()
            await self.client.close()


# What the verbs do


async def find(server: Server, collection: str, spec: Any, offset: int, limit: int, most_ms: int) -> Row:
    cursor = server.collection(collection).find(spec, skip=offset, limit=max(limit, 0), max_time_ms=most_ms)
    return found(await cursor.to_list(None), offset=offset)


async def findone(server: Server, collection: str, spec: Any, **how: Any) -> Row:
    return One(await find(server, collection, spec, **how))


async def findkc(server: Server, collection: str, spec: Any, offset: int, limit: int) -> Row:
    session = server.client.start_session()
    command = {"find": collection, "filter": spec or {}, "skip": offset, "batchSize": max(limit, 0)}
    return await _batch(server, session, collection, command, "firstBatch", offset)


async def get_more(server: Server, collection: str, cursor_id: int, num_to_return: int) -> Row:
    cursor = server.cursors.pop(cursor_id, None)
    if cursor is None:
        raise errors.CursorNotFound(f"there is no open cursor {cursor_id}")
    command = {"getMore": Int64(cursor_id), "collection": collection, "batchSize": num_to_return}
    return await _batch(server, cursor.session, collection, command, "nextBatch", 0)


async def _batch(
    server: Server, session: AsyncClientSession, collection: str, command: dict[str, Any], name: str, offset: int
) -> Row:
    """Some documents; the session is kept for as long as there may be more, for a cursor belongs to one."""
    try:
        answer = await server.database.command(command, session=session)
        came = answer["cursor"]
    except BaseException:
        await session.end_session()
        raise
    if came["id"]:
        server.cursors[int(came["id"])] = Cursor(session, collection, server.last)
    else:
        await session.end_session()
    return found(came[name], int(came["id"]), offset)


async def kill_cursors(server: Server, collection: str, cursor_ids: Sequence[int]) -> Row:
    killed = []
    for cursor_id in cursor_ids:
        cursor = server.cursors.pop(cursor_id, None)
        if cursor is not None:
            command = {"killCursors": cursor.collection, "cursors": [Int64(cursor_id)]}
            try:
                await server.database.command(command, session=cursor.session)
            finally:
                await cursor.session.end_session()
            killed.append(cursor_id)
    return Row(killed=killed, unknown=[each for each in cursor_ids if each not in killed])


async def insert(server: Server, collection: str, docs: Documents, continue_on_error: bool) -> Row:
    done = await server.collection(collection).insert_many(docs, ordered=not continue_on_error)
    return Row(inserted_ids=done.inserted_ids, number_inserted=len(done.inserted_ids))


async def update(server: Server, collection: str, spec: Any, doc: Any, one: bool, upsert: bool) -> Row:
    place = server.collection(collection)
    if not one:
        done = await place.update_many(spec, doc, upsert=upsert)
    elif isinstance(doc, Mapping) and not any(name.startswith("$") for name in doc):
        done = await place.replace_one(spec, doc, upsert=upsert)
    else:
        done = await place.update_one(spec, doc, upsert=upsert)
    return Row(matched=done.matched_count, modified=done.modified_count, upserted_id=done.upserted_id)


async def delete(server: Server, collection: str, spec: Any, one: bool) -> Row:
    place = server.collection(collection)
    done = await (place.delete_one(spec) if one else place.delete_many(spec))
    return Row(deleted=done.deleted_count)


async def aggregate(server: Server, collection: str, pipeline: Documents, most_ms: int) -> Row:
    cursor = await server.collection(collection).aggregate(pipeline, maxTimeMS=most_ms)
    return found(await cursor.to_list(None))


async def collections(server: Server, collection: str) -> Row:
    return Row(data=await server.database.list_collection_names())


def object_ids(text: str) -> list[Any]:
    """The ObjectId that a text is written for, if any."""
    return [ObjectId(text)] if ObjectId.is_valid(text) and len(text) == 24 else []


VERBS: dict[str, Callable[..., Any]] = {
    "find": find,
    "findone": findone,
    "findall": find,
    "findkc": findkc,
    "get_more": get_more,
    "kill_cursors": kill_cursors,
    "insert": insert,
    "update": update,
    "updateone": update,
    "upsert": update,
    "upsertone": update,
    "delete": delete,
    "aggregate": aggregate,
    "collections": collections,
}


TOLD = frozenset({"find", "findone", "findall", "aggregate"})
"""Verbs that a server is told the time of: it ends what nobody waits for any more. A kept cursor would have it for all its
documents together; pymongo's methods for changes do not tell it."""


class MongodbDriver(DatabaseDriver):
    """Speaks to all MongoDB servers."""

    def __init__(self, home: Home, room: Room) -> None:
        super().__init__(home, room)
        self._servers: dict[Member, Server] = {}
        self._leaving: set[asyncio.Task[Any]] = set()
        self._late: set[asyncio.Task[Any]] = set()  # of these, what nobody waits for any more
        self._dialler = Dialler(self._loop, self._options.backend_connect_s)

    async def _answer(self, member: Member, operation: Verb, deadline: float) -> MongoResult:
        server = self._servers.get(member)
        if server is None:
            server = self._servers[member] = Server(self._loop, member, self._options, member.database or "admin")
        try:
            return await self._asked(server, operation, deadline)
        except errors.OperationFailure as error:
            # A user is known in the database that he uses or, more often, in "admin"; an alias cannot say in which.
            if server.auth_source == "admin" or not denied(error):
                raise _unanswered(member, error) from error
        if self._servers.get(member) is server:
            self._servers[member] = Server(self._loop, member, self._options, "admin")
            self._leave(server)
        server = self._servers[member]
        try:
            return await self._asked(server, operation, deadline)
        except errors.OperationFailure as error:
            if self._servers.get(member) is server:
                del self._servers[member]
                self._leave(server)
            raise _unanswered(member, error) from error

    async def _asked(self, server: Server, operation: Verb, deadline: float) -> MongoResult:
        """Ask a server.

        :raises OperationFailure: it does not know the user.
        """
        sent = False
        server.running += 1
        try:
            async with asyncio.timeout_at(deadline):
                if not server.known:
                    await self._reach(server.member, deadline)
                sent = True
                arguments = dict(operation.arguments)
                if operation.method in TOLD:
                    arguments["most_ms"] = max(int((deadline - self._loop.time()) * 1000), 1)
                return MongoResult(
                    await self._undisturbed(VERBS[operation.method](server, operation.collection, **arguments))
                )
        except TimeoutError:
            raise TimedOut(sent=sent) from None
        except WRONG as error:
            if denied(error):
                raise
            if isinstance(error, errors.ExecutionTimeout):
                raise TimedOut() from error
            if isinstance(error, errors.ConnectionFailure | errors.WaitQueueTimeoutError):
                raise _unanswered(server.member, error) from error
            return MongoResult(error=error)
        finally:
            server.running -= 1
            server.last = self._loop.time()

    async def _undisturbed(self, work: Coroutine[Any, Any, Row]) -> Row:
        """Do something that goes on for a while when nobody waits any more: pymongo, when it is cancelled while it connects,
        forgets the socket, and closes a connection whose answer would come at once."""
        task = self._loop.create_task(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.done():
                self._late.add(task)
                task.add_done_callback(self._late.discard)
                self._keep(task)
                self._loop.call_later(self._options.backend_connect_s, task.cancel)
            raise

    async def _reach(self, member: Member, deadline: float) -> None:
        """See whether somebody is there, and who: the client would wait for him.

        :raises BackendError: nobody is, or another one.
        """
        tls = Tls(member.verify, ()) if member.secure else None
        (await self._dialler.open(member.host, member.port, tls, None, deadline)).close()

    def _keep(self, task: asyncio.Task[Any]) -> None:
        """See that a task ends, and that what came of it is of no concern."""
        self._leaving.add(task)
        task.add_done_callback(self._left)

    def _left(self, task: asyncio.Task[Any]) -> None:
        self._leaving.discard(task)
        if not task.cancelled():
            task.exception()

    def _leave(self, server: Server) -> None:
        self._keep(self._loop.create_task(server.close()))

    def tick(self, now: float) -> None:
        """See `seam.Driver.tick`. Connections are pymongo's to close, but for those of servers that nobody asks any more."""
        for member, server in list(self._servers.items()):
            for number, cursor in list(server.cursors.items()):
                if now - cursor.last > CURSOR_S:
                    del server.cursors[number]
                    self._keep(self._loop.create_task(cursor.session.end_session()))
            if not server.running and not server.cursors and now - server.last > self._options.backend_keep_alive:
                del self._servers[member]
                self._leave(server)

    def stats(self) -> dict[str, Any]:
        """See `seam.Driver.stats`."""
        return {
            where(member): {
                "running": server.running,
                "open": server.connections.open,
                "cursors": len(server.cursors),
                "reached": server.known,
            }
            for member, server in self._servers.items()
        }

    def connections(self) -> int:
        """See `seam.Driver.connections`."""
        return sum(server.connections.open for server in self._servers.values())

    async def _close(self) -> None:
        for task in self._late:
            task.cancel()
        for server in self._servers.values():
            self._leave(server)
        self._servers.clear()
        if self._leaving:
            await asyncio.wait(self._leaving)
        self._dialler.close()


def denied(error: BaseException) -> bool:
    """Whether the server does not know the user, or his password is another one."""
    return isinstance(error, errors.OperationFailure) and error.code == AUTHENTICATION_FAILED


def _unanswered(member: Member, error: Exception) -> BackendError:
    """Why there is no answer."""
    why = said(error).partition(", Timeout:")[0]
    if denied(error):
        return BackendError(Code.FAILED, f"{where(member)}: {why}")
    if "SSL" in why or "certificate" in why:
        return BackendError(Code.TLS, f"{where(member)}: {why}")
    if isinstance(error, errors.ServerSelectionTimeoutError | errors.WaitQueueTimeoutError):
        return BackendError(Code.SLOW, f"{where(member)}: {why}")
    return BackendError(Code.REFUSED, f"{where(member)}: {why}", sent=not isinstance(error, errors.NotPrimaryError))


__all__ = ["MongodbDriver", "Stub"]
