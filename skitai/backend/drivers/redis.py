"""Redis: all commands of a worker go over one connection to a server, one behind the other, without waiting for replies.

Redis answers in order and one command at a time, so more connections would not make it faster. Commands that wait for
something to happen get one of their own, for everything behind them would wait, too.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from skitai.backend.dial import Dialler, Tls
from skitai.backend.drivers.base import DatabaseDriver, Deadlines, Ear, Pools, where
from skitai.backend.drivers.redis_commands import Batch, Command, Stub, Words, waits
from skitai.backend.drivers.resp import NotRedis, Replies, ServerError, TooLong, pack
from skitai.backend.errors import BackendError, Code, TimedOut
from skitai.backend.result import Result, Status
from skitai.backend.room import Room
from skitai.backend.seam import Home
from skitai.config.aliases import Member

DOUBT_S = 1.0
"""A connection on which nothing has come for so long, when somebody stops waiting for a reply, gets no more commands."""

MOST_WAITING = 10_000
"""Commands on one connection whose replies are still to come."""


class Asked:
    """What waits for its replies.

    :ivar count: how many they will be.
    """

    __slots__ = ("count", "future", "replies")

    def __init__(self, future: asyncio.Future[None], count: int) -> None:
        self.future = future
        self.count = count
        self.replies: list[Any] = []


class Connection(asyncio.Protocol):
    """An open connection.

    :ivar heard: when something came last, on the loop's clock.
    :ivar doubtful: it has answered nothing for as long as somebody waited.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, deadlines: Deadlines, limit: int) -> None:
        self._loop = loop
        self._deadlines = deadlines
        self._replies = Replies(limit)
        self._transport: Any = None
        self._waiting: deque[Asked] = deque()
        self._outgoing: list[bytes] = []
        self._lost: BackendError | None = None
        self.heard = loop.time()
        self.doubtful = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._ear = Ear(transport.get_extra_info("socket").fileno())

    @property
    def usable(self) -> bool:
        if self._lost is not None or self.doubtful or self._transport.is_closing():
            return False
        return bool(self._waiting) or not self._ear.hears()

    @property
    def waiting(self) -> int:
        """Commands whose replies are still to come."""
        return len(self._waiting)

    async def ask(self, data: bytes, count: int, deadline: float) -> list[Any]:
        """Send commands.

        :param count: how many replies they will have.
        :raises BackendError: the connection broke.
        :raises TimedOut: the replies were not there until the deadline; they will be of no concern when they come.
        """
        if self._lost is not None:
            raise BackendError(self._lost.code, self._lost.message)
        if len(self._waiting) >= MOST_WAITING:
            raise BackendError(Code.SLOW, f"{MOST_WAITING} commands wait for their replies")
        asked = self._loop.time()
        entry = Asked(self._loop.create_future(), count)
        self._waiting.append(entry)
        if not self._outgoing:
            self._loop.call_soon(self._send)  # together with what others ask in this turn
        self._outgoing.append(data)
        try:
            self._deadlines.watch(entry.future, deadline)
            await entry.future
        except (TimedOut, asyncio.CancelledError):
            if self.heard <= asked <= self._loop.time() - DOUBT_S:
                self.doubtful = True
            raise
        return entry.replies

    def _send(self) -> None:
        if self._lost is None:
            self._transport.write(b"".join(self._outgoing))
        self._outgoing.clear()

    def data_received(self, data: bytes) -> None:
        self.heard = self._loop.time()
        try:
            replies = self._replies.feed(data)
        except NotRedis as error:
            self._fail(BackendError(Code.PROTOCOL, str(error), sent=True))
            return
        except TooLong as error:
            self._fail(BackendError(Code.TOO_LARGE, str(error), sent=True))
            return
        for reply in replies:
            if not self._waiting:
                self._fail(BackendError(Code.PROTOCOL, f"a reply that nobody has asked for: {reply!r:.80}", sent=True))
                return
            entry = self._waiting[0]
            entry.replies.append(reply)
            if len(entry.replies) == entry.count:
                self._waiting.popleft()
                if not entry.future.done():
                    entry.future.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(BackendError(Code.REFUSED, f"the connection was closed{f': {error}' if error else ''}", sent=True))

    def _fail(self, error: BackendError) -> None:
        if self._lost is None:
            self._lost = error
            self._transport.abort()
        waiting, self._waiting = self._waiting, deque()
        for entry in waiting:
            if not entry.future.done():
                entry.future.set_exception(BackendError(error.code, error.message, error.sent))

    def close(self) -> None:
        self._fail(BackendError(Code.REFUSED, "the connection was closed", sent=True))


class Trunk:
    """The one connection to a server that all share.

    :param open: opens a connection.
    """

    def __init__(self, open: Callable[[float], Any]) -> None:
        self._open = open
        self._opening = asyncio.Lock()
        self._connection: Connection | None = None
        self._old: list[Connection] = []
        self.opened = 0

    async def take(self, deadline: float) -> tuple[Connection, bool]:
        """The connection, and whether others have used it before.

        :raises BackendError: there is none to be had.
        """
        connection = self._connection
        if connection is not None and connection.usable:
            return connection, True
        try:
            async with asyncio.timeout_at(deadline):
                await self._opening.acquire()
        except TimeoutError:
            raise TimedOut(sent=False) from None
        try:
            connection = self._connection
            if connection is not None and connection.usable:
                return connection, True
            if connection is not None:
                self._put_aside(connection)
            connection = self._connection = await self._open(deadline)
            self.opened += 1
            return connection, False
        finally:
            self._opening.release()

    def _put_aside(self, connection: Connection) -> None:
        """Others may still get their replies on it."""
        self._connection = None
        self._old.append(connection)

    def tick(self, now: float, keep_s: float, idle_s: float) -> bool:
        """Close what is of no more use.

        :returns: whether anything is left.
        """
        for old in list(self._old):
            if not old.waiting or now - old.heard > idle_s:
                old.close()
                self._old.remove(old)
        connection = self._connection
        if connection is not None and not connection.waiting and (now - connection.heard > keep_s or not connection.usable):
            connection.close()
            self._connection = None
        return bool(self._connection or self._old or self._opening.locked())

    def close(self) -> None:
        for each in (*self._old, self._connection):
            if each is not None:
                each.close()

    @property
    def size(self) -> int:
        """Connections that are open."""
        return len(self._old) + (self._connection is not None)

    def stats(self) -> dict[str, int]:
        waiting = self._connection.waiting if self._connection is not None else 0
        return {"open": self.size, "waiting": waiting, "opened": self.opened}


class RedisDriver(DatabaseDriver):
    """Speaks to all Redis servers."""

    def __init__(self, home: Home, room: Room) -> None:
        super().__init__(home, room)
        self._dialler = Dialler(self._loop, self._options.backend_connect_s)
        self._trunks: dict[Member, Trunk] = {}
        self._pools: Pools[Connection] = Pools(self._loop, self._open, self._options, room)

    async def _answer(self, member: Member, operation: Any, deadline: float) -> Result:
        if isinstance(operation, Batch):
            commands = operation.commands
            if operation.transaction:
                commands = ((b"MULTI",), *commands, (b"EXEC",))
            data = b"".join(map(pack, commands))
            return batched(await self._shared(member, data, len(commands), operation.repeatable, deadline), operation)
        data = pack(operation.words)
        if waits(operation):
            replies = await self._alone(member, data, deadline)
        else:
            replies = await self._shared(member, data, 1, operation.repeatable, deadline)
        return answered(shaped(operation.name, replies[0]))

    async def _shared(self, member: Member, data: bytes, count: int, repeatable: bool, deadline: float) -> list[Any]:
        trunk = self._trunks.get(member)
        if trunk is None:
            trunk = self._trunks[member] = Trunk(partial(self._open, member))
        connection, used = await trunk.take(deadline)
        try:
            return await connection.ask(data, count, deadline)
        except BackendError as error:
            # One that was kept may have died long ago.
            if not (used and error.code == Code.REFUSED and (repeatable or not error.sent)):
                raise
        connection, _ = await trunk.take(deadline)
        return await connection.ask(data, count, deadline)

    async def _alone(self, member: Member, data: bytes, deadline: float) -> list[Any]:
        pool = self._pools[member]
        connection, _ = await pool.take(deadline)
        try:
            replies = await connection.ask(data, 1, deadline)
        except BaseException:
            pool.drop(connection)
            raise
        pool.give(connection)
        return replies

    async def _open(self, member: Member, deadline: float) -> Connection:
        """Connect, and say who we are and which database is meant."""
        connection = Connection(self._loop, self._deadlines, self._options.backend_body_bytes)
        tls = Tls(member.verify, ()) if member.secure else None
        await self._dialler.attach(await self._dialler.open(member.host, member.port, tls, None, deadline), connection)
        try:
            words = list(greeting(member))
            if words:
                until = self._connect_by(deadline)
                with self._connecting(member, deadline):
                    replies = await connection.ask(b"".join(map(pack, words)), len(words), until)
                for reply in replies:
                    if isinstance(reply, ServerError):
                        code = Code.REFUSED if reply.code in {"LOADING", "MASTERDOWN", "BUSY"} else Code.FAILED
                        raise BackendError(code, f"{where(member)}: {reply}")
        except BackendError as error:
            connection.close()
            error.sent = False  # of what is to be asked
            raise
        except BaseException:
            connection.close()
            raise
        return connection

    def tick(self, now: float) -> None:
        """See `seam.Driver.tick`."""
        self._pools.tick(now)
        options = self._options
        for member, trunk in list(self._trunks.items()):
            if not trunk.tick(now, options.backend_keep_alive, options.backend_idle_s):
                del self._trunks[member]

    def stats(self) -> dict[str, Any]:
        """See `seam.Driver.stats`."""
        found: dict[str, Any] = {where(member): trunk.stats() for member, trunk in self._trunks.items()}
        for server, stats in self._pools.stats().items():
            found.setdefault(server, {})["blocking"] = stats
        return found

    def connections(self) -> int:
        """See `seam.Driver.connections`."""
        return sum(trunk.size for trunk in self._trunks.values()) + self._pools.size

    async def _close(self) -> None:
        for trunk in self._trunks.values():
            trunk.close()
        self._pools.close()
        self._dialler.close()


def greeting(member: Member) -> list[Words]:
    """What is said on a new connection.

    :raises BackendError: databases of Redis have numbers.
    """
    words: list[Words] = []
    if member.password:
        login = (member.user, member.password) if member.user else (member.password,)
        words.append((b"AUTH", *(each.encode() for each in login)))
    if member.database:
        if not member.database.isdecimal():
            raise BackendError(Code.FAILED, f"{where(member)}: a database of Redis is a number, not {member.database!r}")
        words.append((b"SELECT", member.database.encode()))
    return words


def shaped(name: str, reply: Any) -> Any:
    """A hash comes as a list of names and values in turn."""
    if name == "HGETALL" and isinstance(reply, list):
        return dict(zip(reply[::2], reply[1::2], strict=True))
    return reply


def answered(reply: Any) -> Result:
    """The result of a command."""
    if isinstance(reply, ServerError):
        return Result(500, str(reply), status=Status.FAILED, error=reply)
    return Result(data=reply, content=reply)


def batched(replies: list[Any], batch: Batch) -> Result:
    """The result of a pipeline: a list of replies; of commands that failed, their errors."""
    if batch.transaction:
        done = replies[-1]
        if not isinstance(done, list):  # nothing was done: a command was wrong before any was
            wrong = next((each for each in replies if isinstance(each, ServerError)), None)
            return answered(wrong or ServerError("EXECABORT the transaction was not done"))
        replies = done
    values = [shaped(Command(words).name, each) for words, each in zip(batch.commands, replies, strict=True)]
    wrong = next((each for each in values if isinstance(each, ServerError)), None)
    if wrong is None:
        return Result(data=values, content=values)
    return Result(500, str(wrong), values, values, Status.FAILED, wrong)


__all__ = ["RedisDriver", "Stub"]
