"""MongoDB, by pymongo's asynchronous client: one for each server, which keeps its connections.

A server of a replica set is asked directly: whoever is not the primary says so when he should write, and another member of
the alias is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from bson.errors import BSONError
from pymongo import errors

from skitai.backend.dial import Dialler, Tls
from skitai.backend.drivers.base import DatabaseDriver, where
from skitai.backend.drivers.mongodb_server import VERBS, Server
from skitai.backend.drivers.mongodb_verbs import Stub, Verb
from skitai.backend.drivers.statements import Row
from skitai.backend.errors import BackendError, Code, TimedOut
from skitai.backend.result import Result, Status, bare
from skitai.backend.room import Room
from skitai.backend.seam import Home
from skitai.config.aliases import Member

CURSOR_S = 600
"""A cursor that nobody asks for so long is given up, as the servers do by themselves."""

AUTHENTICATION_FAILED = 18
"""A code of the servers."""

WRONG = (errors.PyMongoError, BSONError, TypeError, ValueError, LookupError, OverflowError)
"""What a request can be refused with, by the server or before it is sent."""

TOLD = frozenset({"find", "findone", "findall", "aggregate"})
"""Verbs that a server is told the time of: it ends what nobody waits for any more. A kept cursor would have it for all its
documents together; pymongo's methods for changes do not tell it."""


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
