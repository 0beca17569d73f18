"""A database at a mount point: its rows as JSON, to read, for those whom the gateway lets through.

See `worker.views` for what can be wished. Connections are of their own, and cannot write: files of SQLite are opened so, and
transactions of PostgreSQL are begun so; of MongoDB nothing is asked that writes.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2b
from time import monotonic, time
from typing import Any

from skitai.backend.cluster import Cluster
from skitai.backend.drivers.mongodb_verbs import Verb
from skitai.backend.drivers.statements import Statement
from skitai.backend.errors import BackendError, TimedOut
from skitai.backend.result import Result
from skitai.config.mounted import Mount
from skitai.config.mounted import View as Target
from skitai.errors import Answerable, BadRequest, LoadError, NotFound
from skitai.exchange import BodyMode, Context, Exchange
from skitai.http import jsontext
from skitai.http.conditional import Conditions, evaluate
from skitai.was import process
from skitai.worker.apps.tasks import start
from skitai.worker.views import documents, wishes
from skitai.worker.views.tables import TABLES, Table, Writer, tables
from skitai.worker.views.wishes import Wish

ALLOW = ("Allow", "GET, HEAD, OPTIONS")

KNOWN_S = 5.0
"""For so long it is remembered which tables and columns there are."""

UNFIT = ("22", "42804", "42883")
"""Codes of PostgreSQL, or their beginnings, for values that do not fit a column."""


class View:
    """A database at a mount point.

    :param mount: its target is a `config.mounted.View`.
    """

    body_mode = BodyMode.STREAM  # which leaves a body that nobody wants unread
    in_threads = False

    def __init__(self, mount: Mount) -> None:
        if not isinstance(mount.target, Target):
            raise TypeError(f"{mount.target!r} is no database")
        self._mount = mount
        self._point = mount.point
        self._below = len(mount.point.encode("utf-8"))  # of a path that latin-1 shows
        self._alias = mount.target.alias
        self._tasks: set[asyncio.Task[None]] = set()
        self._known: dict[str, Table] = {}
        self._known_until = 0.0

    def __repr__(self) -> str:
        return f"<View {self._point} @{self._alias}>"

    async def startup(self, context: Context) -> None:
        """:raises LoadError: the gateway lets everybody through."""
        if not context.config.gateway.gateway_auth:
            raise LoadError(f"the database @{self._alias} would be everybody's to read: there is no gateway")
        self._loop = asyncio.get_running_loop()
        self._options = context.config.views
        self._backends = process.backends()
        alias = self._backends.cluster(self._alias).alias
        members = tuple(replace(each, readonly=True) for each in alias.members)
        self._cluster = Cluster(replace(alias, members=members), context.config.backends.backend_eject_s)
        self._kind = alias.kind
        self._backends.driver(alias.kind)  # imported now, and not when the first request comes
        self._writer = Writer(alias.kind)

    async def shutdown(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks)

    def handle(self, exchange: Exchange) -> None:
        head = exchange.head
        if head.method == "OPTIONS":
            exchange.respond(204, [ALLOW])
            return
        if head.method not in ("GET", "HEAD"):
            raise Answerable("databases can only be read here", status=405, fields=[ALLOW])
        wish = wishes.read(head.path[self._below :], head.query, self._options.view_rows, self._options.view_page_rows)
        if not exchange.take():
            return
        task = start(self._answer(exchange, wish), self._loop)
        if not task.done():
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer(self, exchange: Exchange, wish: Wish) -> None:
        try:
            found = await (self._of_documents(wish) if self._kind == "mongodb" else self._of_tables(wish))
            self._respond(exchange, jsontext.dumps(plain(found)))
        except Exception as error:  # noqa: BLE001 - the boundary: whatever it is becomes an answer
            exchange.fail(error)

    def _respond(self, exchange: Exchange, body: bytes) -> None:
        head = exchange.head
        etag = f'W/"{blake2b(body, digest_size=16).hexdigest()}"'
        fields = [("ETag", etag), ("Cache-Control", "private, no-cache"), ("X-Content-Type-Options", "nosniff")]
        conditions = Conditions(
            if_match=head.fields.text("if-match") or None, if_none_match=head.fields.text("if-none-match") or None
        )
        status = evaluate(head.method, conditions, etag, None, time())
        if status is None:
            exchange.respond(200, [("Content-Type", "application/json"), *fields], body)
        elif status == 304:
            exchange.respond(304, fields)
        else:
            raise Answerable("it has changed", status=status)

    # SQL

    async def _of_tables(self, wish: Wish) -> Any:
        if monotonic() > self._known_until:
            result = await self._ask(Statement(TABLES[self._kind]))
            self._known, self._known_until = tables(result.data), monotonic() + KNOWN_S
        if not wish.table:
            return {"tables": [self._described(each) for each in self._known.values()]}
        table = self._known.get(wish.table)
        if table is None:
            raise NotFound(f"there is no table {wish.table!r}")
        if wish.key is None:
            result = await self._ask(Statement(*self._writer.rows(table, wish)))
            return wishes.page(self._point, wish, result.data)
        result = await self._ask(Statement(*self._writer.row(table, wish.key)))
        return self._one(wish, result.data)

    def _described(self, table: Table) -> dict[str, Any]:
        url = wishes.url(self._point, table.name)
        return {"name": table.name, "columns": list(table.columns), "key": list(table.key), "url": url}

    @staticmethod
    def _one(wish: Wish, found: list[Any]) -> dict[str, Any]:
        if not found:
            raise NotFound(f"there is no {wish.key!r} in {wish.table}")
        return {"table": wish.table, "row": found[0]}

    # MongoDB

    async def _of_documents(self, wish: Wish) -> Any:
        if not wish.table:
            result = await self._ask(Verb("collections", ""))
            names = sorted(each for each in result.data["data"] if not each.startswith("system."))
            return {"tables": [{"name": each, "url": wishes.url(self._point, each)} for each in names]}
        if wish.table.startswith("system.") or "$" in wish.table:
            raise NotFound(f"there is no collection {wish.table!r}")
        if wish.key is None:
            return wishes.page(self._point, wish, await self._found(wish.table, documents.rows(wish)))
        from skitai.backend.drivers.mongodb_server import object_ids

        return self._one(wish, await self._found(wish.table, documents.row(wish.key, object_ids)))

    async def _found(self, collection: str, pipeline: documents.Pipeline) -> list[Any]:
        result = await self._ask(Verb("aggregate", collection, {"pipeline": pipeline}))
        rows: list[Any] = result.data["data"]
        return rows

    # Asking

    async def _ask(self, operation: Statement | Verb) -> Result:
        """:raises Answerable: there is no answer that can be used."""
        result: Result = await self._backends.ask(self._cluster, operation, self._options.view_wait_s, use_cache=False)
        try:
            result.reraise()
        except TimedOut as error:
            raise Answerable(f"@{self._alias}: {error.message}", status=504) from None
        except BackendError as error:
            raise Answerable(f"@{self._alias}: {error.message}", status=503) from None
        except Exception as error:  # noqa: BLE001 - what the database says, whichever it is
            self._known_until = 0.0  # the tables may be others by now
            if str(getattr(error.__cause__, "pgcode", None) or "").startswith(UNFIT):
                raise BadRequest("a value does not fit its column") from None
            raise Answerable(f"@{self._alias}: {result.reason}", status=502) from None
        return result


def plain(value: Any) -> Any:
    """What JSON can hold: bytes become ``{"base64": ...}``, and what else it does not know becomes text."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return {"base64": b64encode(value).decode("ascii")}
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
