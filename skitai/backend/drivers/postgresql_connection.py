"""A connection to PostgreSQL, by psycopg2's asynchronous mode under the loop.

It carries one statement at a time and commits each by itself. While it is idle the loop watches it, for a server that closes
a connection says so.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import psycopg2
from psycopg2 import extensions as pg

from skitai.backend.drivers.base import Deadlines, Ear
from skitai.backend.drivers.statements import Parameters, Row, SqlResult, Statement, left_open
from skitai.backend.errors import BackendError, Code
from skitai.backend.pool import Pool
from skitai.backend.seam import Asker

MANY_ROWS = 2000
"""From so many rows on, a thread makes them what they are."""

FEW_ROWS = 50
"""So many rows of its last result an idle connection may hold."""

HOT_S = 0.01
"""Within so little time the loop looks at a connection again, and sees whether the server has closed it."""

SENT_AT_ONCE = 8192
"""Bytes that the empty buffer of a socket always takes."""

# Made by what is in the statement or its parameters before anything was sent, or said by the server.
WRONG = (psycopg2.Error, TypeError, ValueError, LookupError)


Done = Callable[[psycopg2.Error | None], None]
"""Is told that the result of a statement may be taken, or what has become of the connection."""

Taken = SqlResult | asyncio.Future[SqlResult]
"""A result; of many rows, what it will be."""


class Connection:
    """An open connection.

    :param pool: where it goes back to.
    :param busy: where it stands while it carries a statement without a task.
    :ivar usable: the loop watches it.
    :ivar in_transaction: after the last statement.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, deadlines: Deadlines, pool: Pool[Connection], busy: set[Any], raw: Any
    ) -> None:
        self._loop = loop
        self._deadlines = deadlines
        self._pool = pool
        self._busy = busy
        self._raw = raw
        self._descriptor: int = raw.fileno()
        self._done: Done | None = None
        self._statement: Statement
        self._asker: Asker
        self._writing = False
        self._ear = Ear(self._descriptor)
        self._cursor: Any = raw.cursor()
        self._last = loop.time()
        self.usable = True
        self.in_transaction = False
        loop.add_reader(self._descriptor, self._look)

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

    def begin(self, statement: Statement, asker: Asker) -> None:
        """Run a statement without a task; the connection goes back to its pool by itself.

        :raises BackendError: the server has closed the connection, before it was sent.
        """
        result = self.send(statement.sql, statement.parameters, self._came)
        self._statement = statement
        self._asker = asker
        self._busy.add(self)
        if result is not None:
            self._loop.call_soon(self._take, result)

    def _came(self, error: psycopg2.Error | None) -> None:
        try:
            result = self.take(error)
        except Exception as failed:  # noqa: BLE001 - a value that cannot be read, say: who asks is told
            self._fail(failed)
        else:
            self._take(result)

    def _take(self, result: Taken) -> None:
        if isinstance(result, asyncio.Future):
            result.add_done_callback(self._made)
        elif self in self._busy:
            self._busy.remove(self)
            self._asker.answered(self.given_back(result))

    def _made(self, result: asyncio.Future[SqlResult]) -> None:
        try:
            made = result.result()
        except Exception as failed:  # noqa: BLE001 - as above
            if self in self._busy:
                self._fail(failed)
        else:
            self._take(made)

    def _fail(self, error: Exception) -> None:
        self.cancel()
        self._asker.failed(error, isinstance(error, BackendError) and self._statement.repeatable)

    def end(self, error: BackendError) -> None:
        """See `base.Ending`."""
        self.cancel()
        self._asker.failed(error)

    def cancel(self) -> None:
        """See `seam.Begun`."""
        self._busy.remove(self)
        self._pool.drop(self)

    def given_back(self, result: SqlResult) -> SqlResult:
        """Go back to the pool after a statement outside of a transaction; what has come of that."""
        if not self.in_transaction:
            self._pool.give(self)
            return result
        self._pool.drop(self)
        return result if result.error is not None else left_open()

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
                state = self._raw.poll()
            except psycopg2.Error as error:
                return self.take(error)
            if state == pg.POLL_WRITE:
                self._turn()
            elif state == pg.POLL_OK:
                return self.take(None)
        self._done = done
        return None

    def take(self, error: psycopg2.Error | None) -> Taken:
        """The result of what was sent.

        :param error: what `send` was told.
        :raises BackendError: the connection broke.
        """
        raw = self._raw
        if error is not None and raw.closed:
            raise BackendError(Code.REFUSED, first_line(error), sent=True) from error
        self.in_transaction = raw.get_transaction_status() != pg.TRANSACTION_STATUS_IDLE
        if error is not None:
            return refused(error)
        self._last = self._loop.time()
        cursor = self._cursor
        rows = cursor.rowcount
        if rows > FEW_ROWS:
            self._cursor = raw.cursor()  # this one holds them until its next statement
            if rows > MANY_ROWS:
                return self._loop.run_in_executor(None, taken, cursor)
        return taken(cursor)

    def _look(self) -> None:
        """The connection is ready for more, or is to be."""
        done = self._done
        if done is None:
            self._leave()  # nothing was asked: it was closed, or says what nobody listens to
            return
        error = None
        try:
            state = self._raw.poll()
        except psycopg2.Error as failed:
            error = failed
        else:
            if (state == pg.POLL_WRITE) != self._writing:
                self._turn()
            if state != pg.POLL_OK:
                return
        self._done = None
        done(error)

    def _turn(self) -> None:
        """Be told of room for writing, or not any more."""
        self._writing = not self._writing
        if self._writing:
            self._loop.add_writer(self._descriptor, self._look)
        else:
            self._loop.remove_writer(self._descriptor)

    def _leave(self) -> None:
        self._done = None
        if self.usable:
            self.usable = False
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
