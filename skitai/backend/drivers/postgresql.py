"""PostgreSQL, by psycopg2's asynchronous mode under the loop.

A connection carries one statement at a time and commits each by itself. While it is idle the loop watches it, for a
server that closes a connection says so.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import psycopg2
from psycopg2 import extensions as pg

from skitai.backend import dial
from skitai.backend.drivers import statements
from skitai.backend.drivers.base import DatabaseDriver, Deadlines, Ear, Pools, where
from skitai.backend.drivers.statements import Begin, Parameters, Row, Session, SqlResult, Statement, left_open
from skitai.backend.errors import BackendError, Code, TimedOut
from skitai.backend.pool import Pool
from skitai.backend.room import Room
from skitai.backend.seam import Asker, Begun, Home
from skitai.config.aliases import Member

MANY_ROWS = 2000
"""From so many rows on, a thread makes them what they are."""

FEW_ROWS = 50
"""So many rows of its last result an idle connection may hold."""

HOT_S = 0.01
"""Within so little time the loop looks at a connection again, and sees whether the server has closed it."""

SENT_AT_ONCE = 8192
"""Bytes that the empty buffer of a socket always takes."""

BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
"""Where systems keep the authorities that they trust."""

DENIED = ("password authentication failed", "no password supplied", " does not exist", "pg_hba.conf", "not permitted")
"""What a server says that is there, and will not let us in next time either."""

Stub = statements.Stub

# Made by what is in the statement or its parameters before anything was sent, or said by the server.
WRONG = (psycopg2.Error, TypeError, ValueError, LookupError)


Done = Callable[[psycopg2.Error | None], None]
"""Is told that the result of a statement may be taken, or what has become of the connection."""

Taken = SqlResult | asyncio.Future[SqlResult]
"""A result; of many rows, what it will be."""


class Connection:
    """An open connection."""

    def __init__(self, loop: asyncio.AbstractEventLoop, deadlines: Deadlines, raw: Any) -> None:
        self._loop = loop
        self._deadlines = deadlines
        self._raw = raw
        self._descriptor: int = raw.fileno()
        self._done: Done | None = None
        self._writing = False
        self._watched = True
        self._ear = Ear(self._descriptor)
        self._cursor: Any = raw.cursor()
        self._last = loop.time()
        loop.add_reader(self._descriptor, self._look)

    @property
    def usable(self) -> bool:
        return self._watched

    @property
    def in_transaction(self) -> bool:
        return bool(self._raw.get_transaction_status() != pg.TRANSACTION_STATUS_IDLE)

    async def run(self, sql: str, parameters: Parameters, deadline: float) -> SqlResult:
        """See `statements.Line.run`."""
        waiter: asyncio.Future[psycopg2.Error | None] = self._loop.create_future()
        result: Taken | None = self.send(sql, parameters, partial(came, waiter))
        if result is None:
            self._deadlines.watch(waiter, deadline)
            try:
                error = await waiter
            finally:
                self._done = None
            result = self.take(error)
        return result if isinstance(result, SqlResult) else await result

    def send(self, sql: str, parameters: Parameters, done: Done) -> Taken | None:
        """Send a statement.

        :param done: called when the result may be taken.
        :returns: None, or what there is to take at once, above all why it was refused before it was sent.
        :raises BackendError: the server has closed the connection, before it was sent.
        """
        if self._loop.time() - self._last > HOT_S and self._ear.hears():
            self._leave()
            raise BackendError(Code.REFUSED, "the server has closed the connection")
        cursor = self._cursor
        try:
            cursor.execute(sql, parameters)
        except WRONG as error:
            if self._raw.closed:
                raise BackendError(Code.REFUSED, first_line(error)) from error
            return refused(error)
        if len(cursor.query) > SENT_AT_ONCE:  # part of it may still have to be sent
            try:
                if self._poll() == pg.POLL_OK:
                    return self.take(None)
            except psycopg2.Error as error:
                return self.take(error)
        self._done = done
        return None

    def take(self, error: psycopg2.Error | None) -> Taken:
        """The result of what was sent.

        :param error: what `send` was told.
        :raises BackendError: the connection broke.
        """
        if error is not None:
            if self._raw.closed:
                raise BackendError(Code.REFUSED, first_line(error), sent=True) from error
            return refused(error)
        self._last = self._loop.time()
        cursor = self._cursor
        rows = cursor.rowcount
        if rows > FEW_ROWS:
            self._cursor = self._raw.cursor()  # this one holds them until its next statement
            if rows > MANY_ROWS:
                return self._loop.run_in_executor(None, taken, cursor)
        return taken(cursor)

    def _look(self) -> None:
        """The connection is ready for more, or is to be."""
        done = self._done
        if done is None:
            self._leave()  # nothing was asked: it was closed, or says what nobody listens to
            return
        try:
            if self._poll() != pg.POLL_OK:
                return
            error = None
        except psycopg2.Error as failed:
            error = failed
        self._done = None
        done(error)

    def _poll(self) -> int:
        """Go on with what was sent."""
        state: int = self._raw.poll()
        if (state == pg.POLL_WRITE) != self._writing:
            self._writing = not self._writing
            if self._writing:
                self._loop.add_writer(self._descriptor, self._look)
            else:
                self._loop.remove_writer(self._descriptor)
        return state

    def _leave(self) -> None:
        self._done = None
        if self._watched:
            self._watched = False
            self._loop.remove_reader(self._descriptor)
            if self._writing:
                self._loop.remove_writer(self._descriptor)

    def close(self) -> None:
        self._leave()
        if not self._raw.closed and self._raw.isexecuting():
            # The server goes on with a statement that nobody waits for, until it is told; telling it waits for it.
            threading.Thread(target=cancel, args=(self._raw,), name="cancel", daemon=True).start()
        else:
            self._raw.close()


def came(waiter: asyncio.Future[psycopg2.Error | None], error: psycopg2.Error | None) -> None:
    """What a statement's task waits for, unless it has stopped waiting."""
    if not waiter.done():
        waiter.set_result(error)


class Query:
    """A statement on a connection that idled, which needs no task.

    :param begun: where it stands while it is under way.
    """

    __slots__ = ("_asker", "_begun", "_connection", "_pool", "_statement")

    def __init__(
        self, connection: Connection, pool: Pool[Connection], begun: set[Any], statement: Statement, asker: Asker
    ) -> None:
        self._connection = connection
        self._pool = pool
        self._begun = begun
        self._statement = statement
        self._asker = asker

    def done(self, error: psycopg2.Error | None) -> None:
        """The connection has an answer."""
        try:
            result = self._connection.take(error)
        except Exception as failed:  # noqa: BLE001 - a value that cannot be read, say: who asks is told
            self._fail(failed)
        else:
            self.take(result)

    def take(self, result: Taken) -> None:
        """The result is there, or will be."""
        if isinstance(result, asyncio.Future):
            result.add_done_callback(self._made)
        elif self in self._begun:
            self._begun.remove(self)
            self._asker.answered(returned(self._pool, self._connection, result))

    def _made(self, result: asyncio.Future[SqlResult]) -> None:
        try:
            made = result.result()
        except Exception as failed:  # noqa: BLE001 - as above
            if self in self._begun:
                self._fail(failed)
        else:
            self.take(made)

    def _fail(self, error: Exception) -> None:
        self.cancel()
        stale = isinstance(error, BackendError) and self._statement.repeatable
        self._asker.failed(error, stale)

    def end(self, error: BackendError) -> None:
        """See `base.Ending`."""
        self.cancel()
        self._asker.failed(error)

    def cancel(self) -> None:
        """See `seam.Begun`."""
        self._begun.remove(self)
        self._pool.drop(self._connection)


def returned(pool: Pool[Connection], connection: Connection, result: SqlResult) -> SqlResult:
    """Give a connection back after a statement outside of a transaction; what has come of that."""
    if not connection.in_transaction:
        pool.give(connection)
        return result
    pool.drop(connection)
    return result if result.error is not None else left_open()


def cancel(raw: Any) -> None:
    """Have the server end what runs on a connection, and close it."""
    with suppress(psycopg2.Error):  # it may be gone, and has then ended it
        raw.cancel()
    raw.close()


def taken(cursor: Any) -> SqlResult:
    """The result of a statement that is done."""
    description = cursor.description
    if description is None:
        return SqlResult(rowcount=cursor.rowcount)
    names = [column.name for column in description]
    rows = [Row(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return SqlResult(rows, names, cursor.rowcount)


def refused(error: Exception) -> SqlResult:
    """The result of a statement that failed."""
    diagnosis = getattr(error, "diag", None)
    return SqlResult(error=error, reason=getattr(diagnosis, "message_primary", None) or first_line(error))


def first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


class PostgresqlDriver(DatabaseDriver):
    """Speaks to all PostgreSQL servers."""

    def __init__(self, home: Home, room: Room) -> None:
        super().__init__(home, room)
        self._pools: Pools[Connection] = Pools(self._loop, self._open, self._options, room)
        self._sessions: set[Session] = set()

    async def _answer(self, member: Member, operation: Any, deadline: float) -> SqlResult:
        if isinstance(operation, Begin):
            return await self._begin(member, operation, deadline)
        if operation.session is not None:
            result: SqlResult = await operation.session.ask(operation, deadline)
            return result
        pool = self._pools[member]
        connection, result = await self._run(pool, operation, operation.sql, operation.parameters, deadline)
        return returned(pool, connection, result)

    def begin(self, member: Member, operation: Any, asker: Asker) -> Begun | None:
        """See `seam.Driver.begin`."""
        if self._closed or not isinstance(operation, Statement) or operation.session is not None:
            return None
        pool = self._pools[member]
        connection = pool.take_idle()
        if connection is None:
            return None
        query = Query(connection, pool, self._begun, operation, asker)
        try:
            result = connection.send(operation.sql, operation.parameters, query.done)
        except Exception:  # noqa: BLE001 - `ask` will see the same, and tell
            pool.drop(connection)
            return None
        self._begun.add(query)
        if result is not None:
            self._loop.call_soon(query.take, result)
        return query

    async def _run(
        self, pool: Pool[Connection], operation: Begin | Statement, sql: str, parameters: Parameters, deadline: float
    ) -> tuple[Connection, SqlResult]:
        """Run a statement on a connection, which the caller gives back."""
        fresh = False
        while True:
            connection, used = await pool.take(deadline, fresh)
            try:
                return connection, await connection.run(sql, parameters, deadline)
            except BaseException as error:
                pool.drop(connection)
                if not used or not isinstance(error, BackendError) or error.code != Code.REFUSED:
                    raise
                if error.sent and not operation.repeatable:  # else one that was kept may have died long ago
                    raise
            fresh = True

    async def _begin(self, member: Member, operation: Begin, deadline: float) -> SqlResult:
        pool = self._pools[member]
        connection, result = await self._run(pool, operation, f"BEGIN {operation.mode}", None, deadline)
        if result.error is not None:
            pool.give(connection)
            return result

        def release(healthy: bool) -> None:
            self._sessions.discard(session)
            (pool.give if healthy else pool.drop)(connection)

        session = Session(self._loop, member, connection, release)
        self._sessions.add(session)
        result.data = session.lease(self._home.on_loop)
        return result

    async def _open(self, member: Member, deadline: float) -> Connection:
        limit = self._connect_by(deadline)
        with self._connecting(member, deadline):
            addresses = await self._addresses(member, limit)
            for number, address in enumerate(addresses, 1):
                try:
                    return await connected(self._loop, self._deadlines, member, address, limit)
                except psycopg2.Error as error:
                    if number == len(addresses):
                        raise not_connected(member, error) from error
        raise BackendError(Code.NO_HOST, f"{member.host} has no address")

    async def _addresses(self, member: Member, deadline: float) -> list[str]:
        """libpq would ask for them itself, and have the loop wait."""
        try:
            async with asyncio.timeout_at(deadline):
                found = await dial.addresses_of(self._loop, member.host, member.port)
        except TimeoutError:
            raise TimedOut(sent=False) from None
        return list(dict.fromkeys(str(address[0]) for _, address in found))

    def tick(self, now: float) -> None:
        """See `seam.Driver.tick`."""
        self._pools.tick(now)
        for session in list(self._sessions):
            if session.idle(now) > self._options.backend_idle_s:
                session.end(f"nothing was asked for {self._options.backend_idle_s:g} s")

    def stats(self) -> dict[str, Any]:
        """See `seam.Driver.stats`."""
        return self._pools.stats()

    def connections(self) -> int:
        """See `seam.Driver.connections`."""
        return self._pools.size

    async def _close(self) -> None:
        for session in list(self._sessions):
            session.end("the worker leaves")
        self._pools.close()


async def connected(
    loop: asyncio.AbstractEventLoop, deadlines: Deadlines, member: Member, address: str, deadline: float
) -> Connection:
    """Open a connection.

    :raises psycopg2.Error: it did not come to be.
    :raises TimedOut: not until the deadline.
    """
    raw = psycopg2.connect(**parameters_of(member, address), async_=1)
    try:
        while (state := raw.poll()) != pg.POLL_OK:
            await ready(loop, deadlines, raw.fileno(), state, deadline)  # the descriptor may be another one each time
    except BaseException:
        raw.close()
        raise
    return Connection(loop, deadlines, raw)


async def ready(loop: asyncio.AbstractEventLoop, deadlines: Deadlines, descriptor: int, state: int, deadline: float) -> None:
    """Wait until a descriptor can be read, or written.

    :raises TimedOut: not until the deadline.
    """
    turn: asyncio.Future[None] = loop.create_future()

    def come() -> None:
        if not turn.done():
            turn.set_result(None)

    add, remove = (loop.add_writer, loop.remove_writer) if state == pg.POLL_WRITE else (loop.add_reader, loop.remove_reader)
    add(descriptor, come)
    deadlines.watch(turn, deadline)
    try:
        await turn
    finally:
        remove(descriptor)


def parameters_of(member: Member, address: str) -> dict[str, Any]:
    """What libpq is told; what is not said here is as it always is with libpq."""
    given: dict[str, Any] = {
        "host": member.host,
        "hostaddr": address,
        "port": member.port,
        "user": member.user,
        "password": member.password,
        "dbname": member.database,
        "client_encoding": "UTF8",
        "application_name": "skitai",
        "gssencmode": "disable",
        "keepalives_idle": 60,
    }
    if member.secure and member.verify:
        given |= {"sslmode": "verify-full", "sslrootcert": authorities()}
    elif member.secure:
        given |= {"sslmode": "require", "sslrootcert": os.devnull + "/none"}  # not one that lies in somebody's home
    if member.readonly:
        given["options"] = "-c default_transaction_read_only=on"
    return {name: value for name, value in given.items() if value != ""}


def authorities() -> str:
    """The file with the authorities that the system trusts; `SSL_CERT_FILE` names another."""
    return next(
        (path for path in (ssl.get_default_verify_paths().cafile, *BUNDLES) if path and os.path.exists(path)), "system"
    )


def not_connected(member: Member, error: Exception) -> BackendError:
    """Why there is no connection."""
    said = " ".join(str(error).split()) or type(error).__name__
    if any(word in said for word in DENIED):
        code = Code.FAILED
    elif "SSL" in said or "certificate" in said:
        code = Code.TLS
    else:
        code = Code.REFUSED
    return BackendError(code, f"{where(member)}: {said}")
