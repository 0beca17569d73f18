"""What Redis is asked: commands, which of them may be repeated, wait, or are refused, and the stub that apps hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from skitai.backend.drivers.base import fingerprint
from skitai.backend.drivers.resp import encoded


def names(text: str) -> frozenset[str]:
    return frozenset(text.split())


READS = names(
    """
    BITCOUNT BITPOS DBSIZE ECHO EXISTS EXPIRETIME GEODIST GEOHASH GEOPOS GEOSEARCH GET GETBIT GETRANGE HEXISTS HGET
    HGETALL HKEYS HLEN HMGET HRANDFIELD HSCAN HSTRLEN HVALS INFO KEYS LINDEX LLEN LPOS LRANGE MGET PFCOUNT PING PTTL
    RANDOMKEY SCAN SCARD SDIFF SINTER SISMEMBER SMEMBERS SMISMEMBER SRANDMEMBER SSCAN STRLEN SUNION TIME TTL TYPE XLEN
    XRANGE XREVRANGE ZCARD ZCOUNT ZMSCORE ZRANGE ZRANGEBYSCORE ZRANK ZREVRANGE ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE
    """
)
"""Commands that change nothing, so that asking twice does no harm."""

WAITS = names("BLPOP BRPOP BRPOPLPUSH BLMOVE BLMPOP BZPOPMIN BZPOPMAX BZMPOP WAIT WAITAOF")
"""Commands that wait for something to happen; with the word BLOCK, XREAD and XREADGROUP do, too."""

STREAMS = names("SUBSCRIBE PSUBSCRIBE SSUBSCRIBE UNSUBSCRIBE PUNSUBSCRIBE SUNSUBSCRIBE MONITOR SYNC PSYNC")
COLLECTED = names("MULTI EXEC DISCARD WATCH UNWATCH")
LOGINS = names("AUTH SELECT HELLO")
OTHERS = names("QUIT RESET ASKING READONLY READWRITE CLIENT_REPLY")
SHARED = "the connection is one of many users"
REFUSED = {
    **dict.fromkeys(STREAMS, f"it makes a stream of the connection, and {SHARED}; PUBLISH works"),
    **dict.fromkeys(COLLECTED, "use pipeline(transaction=True), or a script by EVAL"),
    **dict.fromkeys(LOGINS, "the alias says user, password and database"),
    **dict.fromkeys((each.replace("_", " ") for each in OTHERS), SHARED),
}
"""Commands that change the connection for everybody on it, and what to do instead."""

SUFFIXES = ("_ro",)
"""Ends of names in which the underscore is one: `eval_ro` is EVAL_RO, `client_list` CLIENT LIST."""

Words = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its words."""

    words: Words

    @property
    def name(self) -> str:
        return self.words[0].decode().upper()

    @property
    def method(self) -> str:
        return self.name.lower()

    @property
    def repeatable(self) -> bool:
        return self.name in READS

    def key(self) -> Any:
        return fingerprint(*self.words)


@dataclass(frozen=True, slots=True)
class Batch:
    """Commands that are sent at once.

    :ivar transaction: nothing of anybody else comes between them.
    """

    commands: tuple[Words, ...]
    transaction: bool = False

    @property
    def method(self) -> str:
        return "pipeline"

    @property
    def repeatable(self) -> bool:
        return all(Command(words).repeatable for words in self.commands)

    def key(self) -> Any:
        return fingerprint(*self.commands)


def waits(command: Command) -> bool:
    """Whether a command waits for something to happen."""
    name = command.name
    if name in WAITS:
        return True
    return name in {"XREAD", "XREADGROUP"} and any(word.upper() == b"BLOCK" for word in command.words)


def command(name: str, values: tuple[Any, ...]) -> Words:
    """A command that may be sent.

    :raises ValueError: it is one that would take the connection from others.
    """
    first, *more = name.upper().split()
    for each in (first, f"{first} {more[0] if more else str(values[0]).upper() if values else ''}"):
        if each in REFUSED:
            raise ValueError(f"{each} cannot be asked here: {REFUSED[each]}")
    return (first.encode(), *(each.encode() for each in more), *map(encoded, values))


def spelled(name: str) -> str:
    """The command that an attribute stands for: `lrange`, `client_list`, `del_` or `delete`, `eval_ro`."""
    if name == "delete":
        return "DEL"
    name = name.rstrip("_")
    stem, suffix = (name[:-3], name[-3:]) if name.endswith(SUFFIXES) else (name, "")
    return stem.replace("_", " ") + suffix


Ask = Callable[[Any], Any]


class Stub:
    """A Redis server, as apps hold it: each method is the command of its name.

    :param ask: sends an operation on its way and returns its handle.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def command(self, name: str, *values: Any) -> Any:
        """Ask any command: ``command("JSON.GET", "key")``, ``command("CLIENT LIST")``.

        :param values: its words: str, bytes, int or float.
        :returns: the handle; the reply is the result's `data`: str where it is text, else bytes, int, list, None, and a dict
            for HGETALL.
        :raises ValueError: it would take the connection from others.
        """
        return self._ask(Command(command(name, values)))

    def pipeline(self, transaction: bool = False) -> Pipeline:
        """Collect commands that are sent at once, by its `execute`.

        :param transaction: nothing of anybody else comes between them.
        """
        return Pipeline(self._ask, transaction)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return partial(self.command, spelled(name))


class Pipeline:
    """Commands that are sent at once: its methods collect, `execute` sends."""

    def __init__(self, ask: Ask, transaction: bool) -> None:
        self._ask = ask
        self._transaction = transaction
        self._commands: list[Words] = []

    def command(self, name: str, *values: Any) -> Pipeline:
        """One more; see `Stub.command`."""
        collected = command(name, values)
        if waits(Command(collected)):
            raise ValueError(f"{name.upper()} waits, and what is behind it would, too: ask it alone")
        self._commands.append(collected)
        return self

    def execute(self) -> Any:
        """Send them: a handle, whose result has the list of replies as `data`; a reply that is an error is a `ServerError`.

        :raises ValueError: there are none.
        """
        if not self._commands:
            raise ValueError("a pipeline without commands")
        commands, self._commands = tuple(self._commands), []
        return self._ask(Batch(commands, self._transaction))

    def __len__(self) -> int:
        return len(self._commands)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return partial(self.command, spelled(name))
