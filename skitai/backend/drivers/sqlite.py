"""SQLite: a thread for each file, which its one connection lives in.

One statement after the other, as one writer after the other is what SQLite knows; a transaction has the file to itself.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from itertools import islice
from typing import Any
from urllib.parse import quote

from skitai.backend.drivers import statements
from skitai.backend.drivers.base import DatabaseDriver
from skitai.backend.drivers.statements import Begin, Finish, Parameters, Row, Session, SqlResult, Statement, left_open
from skitai.backend.errors import BackendError, Code, TimedOut
from skitai.backend.room import Room
from skitai.backend.seam import Home
from skitai.config.aliases import Member
from skitai.sql.forms import marks
from skitai.sql.pieces import Script


class Stub(statements.Stub):
    """A file, as apps hold it."""

    engine = "sqlite3"


BUSY_MS = 100
"""SQLite waits so long for a lock of another process, and is asked again until the deadline."""

WRONG = (sqlite3.Error, sqlite3.Warning, TypeError, ValueError, LookupError, OverflowError)
"""What a statement can be refused with."""


class File:
    """One database file.

    :ivar waiting: how many wait for their turn.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, path: str, readonly: bool = False) -> None:
        self._loop = loop
        self._path = path
        self._readonly = readonly
        self._thread = ThreadPoolExecutor(1, "sqlite")
        self._connection: sqlite3.Connection | None = None
        self._turn = asyncio.Lock()
        self._last = loop.time()
        self._given_up = False
        self.in_transaction = False
        self.waiting = 0

    async def take(self, deadline: float) -> None:
        """Have the file alone, until `leave`.

        :raises TimedOut: others had it until the deadline.
        """
        self.waiting += 1
        try:
            async with asyncio.timeout_at(deadline):
                await self._turn.acquire()
        except TimeoutError:
            raise TimedOut(f"{self._path} was in use by others", sent=False) from None
        finally:
            self.waiting -= 1

    def leave(self) -> None:
        self._last = self._loop.time()
        self._turn.release()

    @property
    def busy(self) -> bool:
        """Whether somebody has it."""
        return self._turn.locked()

    def idle(self, now: float) -> float:
        """For how long nobody wanted it, in seconds."""
        return 0.0 if self.busy else now - self._last

    async def run(self, sql: str, parameters: Parameters, deadline: float) -> SqlResult:
        """Run a statement; for whom has the file. See `statements.Line.run`."""
        job = self._loop.run_in_executor(self._thread, self._execute, sql, parameters, deadline)
        try:
            async with asyncio.timeout_at(deadline):
                return await asyncio.shield(job)
        except TimeoutError:
            await self._interrupt(job)
            raise TimedOut(f"{self._path}: the statement took too long") from None
        except asyncio.CancelledError:
            await self._interrupt(job)
            raise

    async def _interrupt(self, job: asyncio.Future[SqlResult]) -> None:
        """End what runs; it ends soon, and until then the file is not free."""
        self._given_up = True
        while not job.done():
            if self._connection is not None:
                self._connection.interrupt()
            await asyncio.wait([job], timeout=0.05)
        if not job.cancelled():
            job.exception()  # it was seen

    # In the thread

    def _execute(self, sql: str, parameters: Parameters, deadline: float) -> SqlResult:
        try:
            connection = self._connection = self._connection or opened(self._path, self._readonly)
        except sqlite3.Error as error:
            raise BackendError(Code.REFUSED, f"{self._path}: {error}") from error
        self._given_up = False
        try:
            return self._run(connection, sql, parameters, deadline)
        except WRONG as error:
            return SqlResult(error=error, reason=str(error) or type(error).__name__)
        finally:
            self.in_transaction = connection.in_transaction

    def _run(self, connection: sqlite3.Connection, sql: str, parameters: Parameters, deadline: float) -> SqlResult:
        """Run a statement, or without parameters or of the builder's templates a script, whose last statement gives the
        result."""
        result = SqlResult()
        for each, given in parted(sql, parameters):
            while True:
                try:
                    result = executed(connection, each, given)
                    break
                except sqlite3.OperationalError as error:
                    busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                    if not busy or connection.in_transaction or self._given_up or self._loop.time() >= deadline:
                        raise
        return result

    def _end(self) -> None:
        if self._connection is not None:
            self._connection.execute("SELECT 1")  # ends an interruption, which else would keep the log beside the file
            self._connection.close()

    # In the loop

    def roll_back(self) -> asyncio.Future[None]:
        """Undo what is open."""

        def back() -> None:
            if self._connection is not None and self._connection.in_transaction:
                self._connection.rollback()
            self.in_transaction = False

        return self._loop.run_in_executor(self._thread, back)

    def close(self) -> None:
        self._thread.submit(self._end)
        self._thread.shutdown(wait=False)

    async def closed(self) -> None:
        """Close, and wait for it."""
        await self._loop.run_in_executor(self._thread, self._end)
        self._thread.shutdown()


def opened(path: str, readonly: bool = False) -> sqlite3.Connection:
    """Open a file, which is made where there is none, unless it is only to be read."""
    if readonly:
        connection = sqlite3.connect(
            f"file:{quote(path)}?mode=ro", uri=True, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA query_only = ON")
        return connection
    connection = sqlite3.connect(path, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_BUSY):
            connection.close()
            raise
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def executed(connection: sqlite3.Connection, sql: str, parameters: Parameters) -> SqlResult:
    cursor = connection.execute(sql, stored(parameters))
    if cursor.description is None:
        return SqlResult(rowcount=cursor.rowcount, lastrowid=cursor.lastrowid)
    names = [column[0] for column in cursor.description]
    rows = [Row(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return SqlResult(rows, names, len(rows), cursor.lastrowid)


def parted(sql: str, parameters: Parameters) -> list[tuple[str, Parameters]]:
    """The statements to run, each with its parameters. Others' text with parameters is one statement, whatever is in it."""
    if parameters is None:
        return [(each, None) for each in pieces(sql)]
    if not isinstance(sql, Script) or not isinstance(parameters, tuple):
        return [(sql, parameters)]
    values = iter(parameters)
    return [(each, tuple(islice(values, marks(each)))) for each in pieces(sql)]


def pieces(script: str) -> Iterator[str]:
    """The statements of a script; a semicolon in a text, a comment or a trigger ends none."""
    begun = ""
    for part in script.split(";"):
        begun += part
        if sqlite3.complete_statement(begun + ";"):
            if begun.strip():
                yield begun
            begun = ""
        else:
            begun += ";"
    if begun.strip(" \t\r\n;"):
        yield begun


def stored(parameters: Parameters) -> Any:
    """Points in time as text in ISO's form, as SQLite's own functions understand it."""
    if parameters is None:
        return ()
    if isinstance(parameters, dict):
        return {name: storable(each) for name, each in parameters.items()}
    return [storable(each) for each in parameters]


def storable(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(" ")
    return value.isoformat() if isinstance(value, date) else value


class SqliteDriver(DatabaseDriver):
    """Speaks to all files."""

    def __init__(self, home: Home, room: Room) -> None:
        super().__init__(home, room)
        self._files: dict[tuple[str, bool], File] = {}
        self._sessions: set[Session] = set()
        self._leaving: set[asyncio.Future[None]] = set()

    async def _answer(self, member: Member, operation: Any, deadline: float) -> SqlResult:
        match operation:
            case Begin():
                return await self._begin(member, operation, deadline)
            case Finish() | Statement(session=Session()):
                return await operation.session.ask(operation, deadline)  # type: ignore[union-attr]
        file = await self._take(member, deadline)
        try:
            result = await file.run(operation.sql, operation.parameters, deadline)
        except BaseException:
            self._let_go(file)
            raise
        if not file.in_transaction:
            file.leave()
            return result
        self._let_go(file)
        return result if result.error is not None else left_open()

    async def _take(self, member: Member, deadline: float) -> File:
        place = member.host, member.readonly
        file = self._files.get(place)
        if file is None:
            file = self._files[place] = File(self._loop, *place)
        await file.take(deadline)
        return file

    def _let_go(self, file: File) -> None:
        """Release a file once nothing is open in it."""
        if not file.in_transaction:
            file.leave()
            return
        leaving = file.roll_back()
        self._leaving.add(leaving)

        def left(future: asyncio.Future[None]) -> None:
            self._leaving.discard(future)
            file.leave()

        leaving.add_done_callback(left)

    async def _begin(self, member: Member, operation: Begin, deadline: float) -> SqlResult:
        file = await self._take(member, deadline)
        try:
            result = await file.run(f"BEGIN {operation.mode or 'IMMEDIATE'}", None, deadline)
        except BaseException:
            self._let_go(file)
            raise
        if result.error is not None:
            file.leave()
            return result

        def release(healthy: bool) -> None:
            self._sessions.discard(session)
            self._let_go(file)

        session = Session(self._loop, member, file, release)
        self._sessions.add(session)
        result.data = session.lease(self._home.on_loop)
        return result

    def tick(self, now: float) -> None:
        """See `seam.Driver.tick`."""
        for session in list(self._sessions):
            if session.idle(now) > self._options.backend_idle_s:
                session.end(f"nothing was asked for {self._options.backend_idle_s:g} s")
        for place, file in list(self._files.items()):
            if file.idle(now) > self._options.backend_keep_alive and place[0] != ":memory:":
                del self._files[place]
                file.close()

    def stats(self) -> dict[str, Any]:
        """See `seam.Driver.stats`."""
        return {
            path + " (only read)" * readonly: {"busy": int(file.busy), "waiting": file.waiting}
            for (path, readonly), file in self._files.items()
        }

    def connections(self) -> int:
        """See `seam.Driver.connections`."""
        return len(self._files)

    async def _close(self) -> None:
        for session in list(self._sessions):
            session.end("the worker leaves")
        if self._leaving:
            await asyncio.wait(self._leaving)
        for file in self._files.values():
            await file.closed()
        self._files.clear()
