"""One server of MongoDB: pymongo's asynchronous client for it, what is open in it, and what the verbs do there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pymongo
import pymongo.monitoring
from bson.int64 import Int64
from bson.objectid import ObjectId
from pymongo import errors
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection

from skitai.backend.drivers.statements import Row
from skitai.config.aliases import Member

Client = pymongo.AsyncMongoClient[dict[str, Any]]
Documents = list[dict[str, Any]]

CLOSE_S = 0.5
"""A server gets so long to take leave."""


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
