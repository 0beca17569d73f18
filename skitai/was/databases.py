"""Databases, as `was` asks them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from importlib import import_module
from typing import Any

from skitai.backend.backends import Target
from skitai.config.aliases import DATABASES, Kind, Member, kind_of, member
from skitai.was import process
from skitai.was.caller import PLAIN, Caller, Mode, Options

STUBS = {
    "postgresql": "skitai.backend.drivers.postgresql:Stub",
    "sqlite3": "skitai.backend.drivers.sqlite:Stub",
    "redis": "skitai.backend.drivers.redis:Stub",
    "mongodb": "skitai.backend.drivers.mongodb:Stub",
}
"""By kind: what ``was.backend(...)`` gives, whose methods are the database's own."""

WITH_SQL = ("postgresql", "sqlite3")


def database(
    caller: Caller,
    kind: str,
    mode: Mode,
    server: str,
    dbname: str | None = None,
    auth: tuple[str, str] | None = None,
    *rest: Any,
    **given: Any,
) -> Any:
    """A database, whose methods make requests.

    :param server: ``@alias``; ``host:port``; of SQLite the path of a file.
    :param dbname: which database of the server; of an alias only with MongoDB, whose servers have many.
    :param auth: user and password.
    :param rest: `Options`, in their order or by name.
    :raises KeyError: no such alias.
    :raises TypeError: an argument is of no use.
    :raises ValueError: it is no server, or the alias is of another kind.
    """
    options = PLAIN
    if rest or given:
        options, more = Options.of(rest, given)
        if more:
            raise TypeError(f"was.{kind}() has no argument {', '.join(more)}")
    if not isinstance(server, str):
        raise TypeError(f"a server, or @alias, is text, not {server!r}")
    backends = process.backends()
    target: Target
    if server.startswith("@"):
        target = backends.cluster(server)
        found = target.alias.kind
        if found not in DATABASES or kind not in ("backend", "db", found):
            raise ValueError(f"{server} is a back-end of {found}: was.{kind}() is for others")
        if dbname is not None and auth is None and found == "mongodb":
            target = target.of_database(dbname)
        elif dbname is not None or auth is not None:
            raise TypeError(f"{server} knows its database and user: only options follow, by their names")
    elif mode or kind == "backend":
        raise ValueError(f"was.{kind}{'.' + mode if mode else ''}() wants an alias: '@NAME', not {server!r}")
    else:
        found = kind_of(kind)
        target = located(found, server, dbname, auth)
    if options is PLAIN and caller.direct and mode != "map":
        stub = stub_of(found)(partial(backends.ask, target))
    else:
        stub = stub_of(found)(partial(caller.ask, target, mode, options))
    if caller.maps is not None and found in WITH_SQL:
        stub.maps = caller.maps
    return stub


@cache
def stub_of(kind: Kind) -> Any:
    """The class of what apps hold of a database of that kind."""
    module, name = STUBS[kind].split(":")
    return getattr(import_module(module), name)


def located(kind: Kind, server: str, dbname: str | None, auth: tuple[str, str] | None) -> Member:
    """A database that no alias names."""
    found = member(kind, server)
    user, password = auth or (found.user, found.password)
    return replace(found, database=dbname or found.database, user=user, password=password)


def any_database(caller: Caller, name: str, mode: Mode, server: str, *args: Any, dbtype: str = "db", **given: Any) -> Any:
    """As `database`, of the kind `dbtype`, which an alias knows by itself."""
    return database(caller, dbtype.removeprefix("*"), mode, server, *args, **given)
