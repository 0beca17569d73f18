"""SQL, whichever engine: statements and what comes of them, transactions, and the stub that apps hold."""

from __future__ import annotations

import asyncio
import re
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar, Protocol

from skitai.backend.drivers.base import fingerprint
from skitai.backend.drivers.writing import Given, Writing
from skitai.backend.errors import BackendError, Code, TimedOut
from skitai.backend.result import Result, Status, bare
from skitai.config.aliases import Member

Parameters = tuple[Any, ...] | dict[str, Any] | None

_READS = re.compile(r"\s*(?:select|values|show|table)\b", re.IGNORECASE).match
_INTO = re.compile(r"\binto\b", re.IGNORECASE).search
_MODE = re.compile(r"[A-Za-z ,]*").fullmatch
_TO_SAVEPOINT = re.compile(r"\s*rollback\s+(?:work\s+|transaction\s+)?to\b", re.IGNORECASE).match


class Row(dict[str, Any]):
    """A row: `row["city"]` and `row.city` are the same; of two columns with one name, the last counts."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"there is no column {name!r}; there are: {', '.join(self)}") from None


class SqlResult(Result):
    """What came of a statement.

    :ivar data: a list of `Row`; None of a statement that has no rows to give. `content` is the same.
    :ivar columns: the names of the columns, in their order.
    :ivar rowcount: rows that came, or were changed; -1 where nobody knows.
    :ivar lastrowid: of SQLite: the id of the row that was inserted last.
    """

    def __init__(
        self,
        rows: list[Row] | None = None,
        columns: Sequence[str] = (),
        rowcount: int = -1,
        lastrowid: int | None = None,
        error: BaseException | None = None,
        reason: str = "OK",
    ) -> None:
        self.data = self.content = rows
        if error is not None:
            bare(error)
            self.status, self.status_code, self.reason, self.error = int(Status.FAILED), 500, reason, error
        self.columns = columns
        self.rowcount = rowcount
        self.lastrowid = lastrowid


class LeftOpen(Exception):
    """A statement outside of a transaction has begun one, which nothing can be in: the next statement is another's."""


LEFT_OPEN = "the statement left a transaction open, which was rolled back: use transaction()"


def left_open() -> SqlResult:
    return SqlResult(error=LeftOpen(LEFT_OPEN), reason=LEFT_OPEN)


# Operations


@dataclass(eq=False, slots=True)
class Statement:
    """One statement.

    :ivar session: the transaction that it belongs to.
    """

    method: ClassVar = "execute"
    sql: str
    parameters: Parameters = None
    session: Session | None = None

    @property
    def repeatable(self) -> bool:
        return self.session is None and bool(_READS(self.sql)) and not _INTO(self.sql)

    def key(self) -> Any:
        return fingerprint(self.sql, self.parameters) if self.session is None else None


@dataclass(frozen=True, slots=True)
class Begin:
    """Begin a transaction; the result's `data` is its `Lease`.

    :ivar mode: what stands behind BEGIN.
    """

    mode: str = ""

    @property
    def method(self) -> str:
        return "begin"

    @property
    def repeatable(self) -> bool:
        return True

    def key(self) -> Any:
        return None


@dataclass(frozen=True, slots=True)
class Finish:
    """End a transaction."""

    session: Session
    commit: bool

    @property
    def method(self) -> str:
        return "commit" if self.commit else "rollback"

    @property
    def repeatable(self) -> bool:
        return False

    def key(self) -> Any:
        return None


# Transactions


class Line(Protocol):
    """A connection as a transaction sees it.

    :ivar in_transaction: after the last statement.
    """

    @property
    def in_transaction(self) -> bool: ...

    async def run(self, sql: str, parameters: Parameters, deadline: float) -> SqlResult:
        """Run a statement; an error of the database is a result.

        :raises BackendError: the connection broke, or the deadline has passed: it is of no use any more.
        """


class Session:
    """A transaction, in the loop: a connection that is its own until it ends.

    :param release: called once, at the end, with whether the connection may be used again.
    :ivar member: whose connection it is.
    :ivar over: why it has ended; "" while it has not.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, member: Member, line: Line, release: Callable[[bool], None]) -> None:
        self._loop = loop
        self.member = member
        self._line = line
        self._release = release
        self._turn = asyncio.Lock()
        self._failed: SqlResult | None = None
        self._held: Any = None  # a weakref.finalize
        self._last = loop.time()
        self.over = ""

    def lease(self, on_loop: Callable[..., Any]) -> Lease:
        """What holds the transaction: when nobody has it any more, it is rolled back."""
        lease = Lease(self)
        self._held = weakref.finalize(lease, on_loop, self.end, "it was given up")
        self._held.atexit = False
        return lease

    async def ask(self, operation: Statement | Finish, deadline: float) -> SqlResult:
        """Run a statement, or end the transaction, after what was asked before."""
        try:
            async with asyncio.timeout_at(deadline):
                await self._turn.acquire()
        except TimeoutError:
            raise TimedOut("the transaction's earlier statements take too long", sent=False) from None
        try:
            if self.over:
                raise BackendError(Code.FAILED, f"the transaction is over: {self.over}", sent=True)
            if isinstance(operation, Finish):
                return await self._finish(operation.commit, deadline)
            return await self._run(operation.sql, operation.parameters, deadline)
        finally:
            self._last = self._loop.time()
            self._turn.release()

    async def _run(self, sql: str, parameters: Parameters, deadline: float) -> SqlResult:
        try:
            result = await self._line.run(sql, parameters, deadline)
        except BaseException as error:
            self.end(f"a statement got no answer ({type(error).__name__})")
            raise
        if result.error is not None:
            self._failed = self._failed or result
        elif _TO_SAVEPOINT(sql):
            self._failed = None
        if not self._line.in_transaction:
            self.end("a statement has ended it", healthy=True)
        return result

    async def _finish(self, commit: bool, deadline: float) -> SqlResult:
        failed = self._failed
        try:
            result = await self._line.run("COMMIT" if commit and failed is None else "ROLLBACK", None, deadline)
        except BaseException:
            self.end("its end got no answer")
            raise
        self.end("it was " + ("committed" if commit else "rolled back"), healthy=not self._line.in_transaction)
        if commit and failed is not None:
            return SqlResult(error=failed.error, reason=f"rolled back, for a statement has failed: {failed.reason}")
        return result

    def idle(self, now: float) -> float:
        """For how long nothing was asked, in seconds."""
        return 0.0 if self._turn.locked() else now - self._last

    def end(self, why: str, healthy: bool = False) -> None:
        """Release the connection; what was not committed is rolled back."""
        if not self.over:
            self.over = why
            if self._held is not None:
                self._held.detach()
            self._release(healthy)


class Lease:
    """What an app holds of a transaction."""

    def __init__(self, session: Session) -> None:
        self.session = session


Ask = Callable[[Any], Any]


class Transaction(Writing):
    """Statements that happen together or not at all: `with` in a thread, `async with` in a coroutine function.

    It is committed at the block's end, and rolled back when the block raises or a statement in it has failed.

    :raises Failed: at the block's end: it could not be committed, for the reason of the first statement that failed.
    """

    def __init__(self, ask: Ask, mode: str) -> None:
        self._ask = ask
        self._mode = mode
        self._lease: Lease | None = None
        self._ended = False

    def execute(self, sql: Any, parameters: Given = None) -> Any:
        """Ask a statement within the transaction; see `Stub.execute`."""
        if not isinstance(sql, str):
            sql, parameters = self._written(sql, parameters)
        return self._ask(Statement(sql, None if parameters is None else bound(parameters), self._session()))

    do = execute

    def commit(self) -> Any:
        """Commit before the block ends; a handle."""
        return self._finish(True)

    def rollback(self) -> Any:
        """Undo it; a handle."""
        return self._finish(False)

    def _finish(self, commit: bool) -> Any:
        self._ended = True
        return self._ask(Finish(self._session(), commit))

    def _session(self) -> Session:
        if self._lease is None:
            raise RuntimeError("a transaction begins with its block: with stub.transaction() as t, or async with")
        return self._lease.session

    def _begun(self, result: Any) -> Transaction:
        if not isinstance(result, Result):
            raise RuntimeError("a transaction is of one server: it cannot be of all members")
        result.reraise()
        self._lease = result.data
        return self

    def __enter__(self) -> Transaction:
        return self._begun(self._ask(Begin(self._mode)).getwait())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        if not self._ended:
            result = self._finish(kind is None).getwait()
            if kind is None:
                result.reraise()

    async def __aenter__(self) -> Transaction:
        beginning: Awaitable[Any] = self._ask(Begin(self._mode))
        return self._begun(await beginning)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if not self._ended:
            result = await self._finish(kind is None)
            if kind is None:
                result.reraise()


class Stub(Writing):
    """A database with SQL, as apps hold it.

    :param ask: sends an operation on its way and returns its handle.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def execute(self, sql: Any, parameters: Given = None) -> Any:
        """Ask a statement.

        :param sql: with the engine's marks where parameters belong: ``%s`` or ``%(name)s`` for PostgreSQL, where a ``%``
            then is written ``%%``; ``?`` or ``:name`` for SQLite. Or a statement of the builder (`was.sql`).
        :param parameters: a sequence, or a mapping for marks with names; None for none.
        :returns: the handle, whose result is an `SqlResult`.
        """
        if not isinstance(sql, str):
            sql, parameters = self._written(sql, parameters)
        return self._ask(Statement(sql, None if parameters is None else bound(parameters)))

    do = execute

    def transaction(self, mode: str = "") -> Transaction:
        """A transaction, which begins with its block.

        :param mode: what stands behind BEGIN, such as ``"isolation level serializable"`` or, for SQLite, ``"deferred"``.
        """
        if not _MODE(mode):
            raise ValueError(f"{mode!r} is no mode of a transaction")
        made = Transaction(self._ask, mode)
        made.engine, made.maps = self.engine, self.maps
        return made


def bound(parameters: Any) -> Parameters:
    """A copy of parameters, which nobody changes while they are on their way.

    :raises TypeError: they are one value, where a sequence or a mapping belongs.
    """
    if isinstance(parameters, Mapping):
        return dict(parameters)
    if isinstance(parameters, str | bytes) or not isinstance(parameters, Sequence):
        raise TypeError(f"parameters are a sequence or a mapping, not {type(parameters).__name__}: for one, (value,)")
    return tuple(parameters)
