"""What statements are made of: SQL text, and values that stay apart from it until the end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from skitai.sql import values
from skitai.sql.errors import BadStatement


@dataclass(frozen=True, slots=True)
class Bound:
    """A value that the driver puts in."""

    value: Any


Pieces = list[str | Bound]


class Rendered(NamedTuple):
    """A statement as drivers take it: ``cursor.execute(sql, parameters)``.

    :ivar sql: with the driver's placeholders: ``%s`` (and ``%%`` for a percent sign) or ``?``.
    :ivar parameters: their values, in order. Also to be passed when there are none: psycopg2 reads ``%%`` only then.
    """

    sql: str
    parameters: tuple[Any, ...]


class Script(str):
    """The SQL of several statements, for databases that have to be asked one by one. No other text may be that."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Engine:
    """A kind of database.

    :ivar adapt: from a value to one that the driver takes.
    :ivar escape: what a LIKE needs whose pattern escapes something; the backslash is PostgreSQL's by itself.
    :ivar unlimited: what an OFFSET needs where there is no limit.
    """

    name: str
    placeholder: str
    adapt: Callable[[Any], Any]
    escape: str
    unlimited: str


POSTGRESQL = Engine("postgresql", "%s", values.for_postgresql, "", "")
SQLITE3 = Engine("sqlite3", "?", values.for_sqlite, r" ESCAPE '\'", "LIMIT -1")

_ENGINES = {each.name: each for each in (POSTGRESQL, SQLITE3)}


def find_engine(name: str) -> Engine:
    """The engine of a name; the star that begins the names of aliases' types may be there.

    :raises BadStatement: there is none.
    """
    try:
        return _ENGINES[name.removeprefix("*")]
    except (KeyError, AttributeError):
        raise BadStatement(f"there is no SQL for {name!r}: the engines are {', '.join(_ENGINES)}") from None


class Manner(NamedTuple):
    """How something is to be written.

    :ivar strict: a condition that is left out is an error: the rows of an update or delete depend on it.
    """

    engine: Engine
    strict: bool = False


class Expression(ABC):
    """What knows how it is written.

    :ivar is_query: it needs parentheses inside another one.
    """

    is_query: ClassVar[bool] = False

    @abstractmethod
    def pieces(self, manner: Manner) -> Pieces:
        """:raises BadStatement: it cannot be written."""

    def __str__(self) -> str:
        return readable(self.pieces(Manner(POSTGRESQL)), POSTGRESQL)


def operand(value: Any, manner: Manner) -> Pieces:
    """A value, or what stands for one."""
    if not isinstance(value, Expression):
        return [Bound(value)]
    inner = value.pieces(manner)
    return ["(", *inner, ")"] if value.is_query else inner


def joined(parts: Iterable[Pieces], between: str = ", ") -> Pieces:
    """All parts, with a text between any two."""
    made: Pieces = []
    for each in parts:
        if made:
            made.append(between)
        made += each
    return made


def assembled(pieces: Pieces, engine: Engine) -> Rendered:
    """The statement for the engine's driver."""
    text: list[str] = []
    parameters: list[Any] = []
    doubled = engine is POSTGRESQL
    for each in pieces:
        if isinstance(each, Bound):
            text.append(engine.placeholder)
            parameters.append(engine.adapt(each.value))
        else:
            text.append(each.replace("%", "%%") if doubled else each)
    return Rendered("".join(text), tuple(parameters))


def readable(pieces: Pieces, engine: Engine) -> str:
    """The statement with its values in it."""
    text = ""
    for each in pieces:
        if isinstance(each, Bound):
            written = values.literal(engine.adapt(each.value), engine is POSTGRESQL)
            text += " " + written if written.startswith("-") and text.endswith("-") else written
        else:
            text += each
    return text
