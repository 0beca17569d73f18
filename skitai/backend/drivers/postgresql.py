"""PostgreSQL: the driver, which opens connections and gives them statements."""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import Any

import psycopg2
from psycopg2 import extensions as pg

from skitai.backend import dial
from skitai.backend.drivers import statements
from skitai.backend.drivers.base import DatabaseDriver, Deadlines, Pools, where
from skitai.backend.drivers.postgresql_connection import Connection
from skitai.backend.drivers.statements import Begin, Parameters, Session, SqlResult, Statement
from skitai.backend.errors import BackendError, Code, TimedOut
from skitai.backend.pool import Pool
from skitai.backend.room import Room
from skitai.backend.seam import Asker, Begun, Home
from skitai.config.aliases import Member

BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
"""Where systems keep the authorities that they trust."""

DENIED = ("password authentication failed", "no password supplied", " does not exist", "pg_hba.conf", "not permitted")
"""What a server says that is there, and will not let us in next time either."""

Stub = statements.Stub


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
        return connection.given_back(result)

    def begin(self, member: Member, operation: Any, asker: Asker) -> Begun | None:
        """See `seam.Driver.begin`."""
        if self._closed or not isinstance(operation, Statement) or operation.session is not None:
            return None
        pool = self._pools[member]
        connection = pool.take_idle()
        if connection is None:
            return None
        try:
            connection.begin(operation, asker)
        except Exception:  # noqa: BLE001 - `ask` will see the same, and tell
            pool.drop(connection)
            return None
        return connection

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
                    raw = await connected(self._loop, self._deadlines, member, address, limit)
                    return Connection(self._loop, self._deadlines, self._pools[member], self._begun, raw)
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
) -> Any:
    """Open a connection of psycopg2.

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
    return raw


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
