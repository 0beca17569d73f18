"""SQL text with places for values in it: ``WHERE name = {name}``.

What goes into a place depends on where it stands. Where names stand - after FROM or ORDER BY, in a list of columns - text
is checked to be names; everywhere else it is a value, and bound. Inside of quotes there are no places, for a driver would
put the quotes of a value between the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from skitai.sql.errors import BadStatement
from skitai.sql.pieces import Pieces

_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
    |(?P<comment>--[^\n]*|/\*.*?\*/)
    |(?P<quoted>[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`'"]*`|\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$)
    |\{(?P<slot>[^\W\d]\w*)\}
    |(?P<word>[^\W\d][\w$]*)
    |(?P<number>\d[\w.]*)
    |(?P<open>/\*|['"`]|\$(?:[^\W\d]\w*)?\$)
    |(?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_INNER = re.compile(r"\{([^\W\d]\w*)\}")

_CONDITIONAL = frozenset(("WHERE", "AND", "OR", "NOT", "ON", "HAVING"))
_AFTER_WORDS = "AND OR GROUP ORDER LIMIT OFFSET HAVING RETURNING UNION INTERSECT EXCEPT WINDOW FOR FETCH WHERE"
_AFTER_CONDITION = frozenset((*_AFTER_WORDS.split(), "", ")", ";"))
_NAMING_WORDS = "SELECT DISTINCT ALL RETURNING BY FROM JOIN UPDATE INTO ONLY LATERAL"
_BEFORE_NAMES = frozenset((*_NAMING_WORDS.split(), ","))
_NEUTRAL_WORDS = "WHERE ON HAVING USING VALUES LIMIT OFFSET WINDOW FETCH UNION INTERSECT EXCEPT CONFLICT FOR"
_NEUTRAL = frozenset(_NEUTRAL_WORDS.split())


class Place(Enum):
    VALUE = "a value"
    LIST = "a list of values"
    CONDITION = "a condition"
    NAME = "a name"
    NAMES = "columns or tables"
    ORDER = "columns to order by"


class Slot(NamedTuple):
    """A place in a text.

    :ivar after: the word or sign before it, in capitals.
    :ivar enclosed: parentheses are around it.
    """

    name: str
    place: Place
    after: str
    enclosed: bool


class Form(NamedTuple):
    """A text in its parts.

    :ivar inner: names in braces inside of quotes, which are no places.
    :ivar changes: it updates or deletes rows.
    :ivar several: it is more than one statement.
    """

    parts: tuple[str | Slot, ...]
    inner: frozenset[str]
    changes: bool
    several: bool

    def names(self) -> set[str]:
        """Of its places."""
        return {each.name for each in self.parts if isinstance(each, Slot)}

    def fill(self, given: Callable[[Slot], Pieces]) -> Pieces:
        """The text with what is given for each place."""
        made: Pieces = []
        for each in self.parts:
            if isinstance(each, Slot):
                made += given(each)
            else:
                made.append(each)
        return made

    def check_inner(self, names: set[str]) -> None:
        """:raises BadStatement: one of these names stands in quotes, where nothing can be put in."""
        for each in sorted(self.inner & names):
            raise BadStatement(f"{{{each}}} stands in quotes: leave them away, a value needs none")


class _Token(NamedTuple):
    kind: str
    text: str


@lru_cache(maxsize=1024)
def parse(text: str) -> Form:
    """Take a text apart.

    :raises BadStatement: quotes or a comment do not end.
    """
    tokens = list(_tokens(text))
    reader = _Reader([token for token in tokens if token.kind not in ("space", "comment")])
    parts: list[str | Slot] = []
    inner: set[str] = set()
    for token in tokens:
        if token.kind not in ("space", "comment"):
            slot = reader.read(token)
            if slot is not None:
                parts.append(slot)
                continue
        if token.kind == "quoted":
            inner.update(_INNER.findall(token.text))
        if parts and isinstance(parts[-1], str):
            parts[-1] += token.text
        else:
            parts.append(token.text)
    return Form(tuple(parts), frozenset(inner), reader.changes, reader.several)


def marks(text: str) -> int:
    """How many ``?`` in SQL stand for values.

    :raises BadStatement: quotes or a comment do not end.
    """
    return sum(token == ("other", "?") for token in _tokens(text))


def _tokens(text: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(text):
        kind = str(match.lastgroup)
        if kind == "open" or (match[0].startswith("/*") and "/*" in match[0][2:]):
            line = text.count("\n", 0, match.start()) + 1
            raise BadStatement(f"line {line}: what {match[0][:2]} begins does not end, or begins again inside")
        yield _Token(kind, match[kind])


class _Level:
    """What is known inside of one pair of parentheses.

    :ivar clause: whose names are read now; "" where values are.
    :ivar ranges: BETWEENs that have no AND yet.
    :ivar conditional: a condition may begin the level.
    :ivar listing: it is the list after an IN.
    """

    def __init__(self, clause: str = "", conditional: bool = False, listing: bool = False) -> None:
        self.clause = clause
        self.ranges = 0
        self.conditional = conditional
        self.listing = listing


class _Reader:
    """Knows, token by token, what a place there would be.

    :param tokens: those that will be read.
    """

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._next = 0
        self._before = ""
        self._levels = [_Level()]
        self.changes = False
        self.several = False

    def read(self, token: _Token) -> Slot | None:
        self._next += 1
        if token.kind == "slot":
            slot = self._slot(token.text)
            self._before = "{}"
            return slot
        word = token.text.upper() if token.kind == "word" else token.text
        if self._before == ".":
            self._before = "name"
        elif token.kind == "word":
            self._before = self._word(word)
        elif token.kind == "other":
            self._sign(word)
            self._before = word
        else:
            self._before = token.kind
        return None

    def _ahead(self) -> _Token:
        return self._tokens[self._next] if self._next < len(self._tokens) else _Token("other", "")

    def _slot(self, name: str) -> Slot:
        ahead, before = self._ahead(), self._before
        enclosed = before == "(" and ahead.text == ")"
        return Slot(name, self._place(ahead), before, enclosed)

    def _place(self, ahead: _Token) -> Place:
        before, level = self._before, self._levels[-1]
        if before in (".", "AS") or ahead == ("other", "."):
            return Place.NAME
        if level.clause == "order" and before in ("BY", ","):
            return Place.ORDER
        if level.clause == "columns" and before in ("(", ","):
            return Place.NAMES
        if level.clause in ("select", "tables", "into") and before in _BEFORE_NAMES:
            return Place.NAMES
        if before == "IN" or (level.listing and before in ("(", ",")):
            return Place.LIST
        begins = before in _CONDITIONAL or (before == "(" and level.conditional)
        follows = ahead.text.upper() if ahead.kind in ("word", "other") else ahead.text
        if begins and (follows in _AFTER_CONDITION or (ahead.kind == "slot" and ahead.text.startswith("_"))):
            return Place.CONDITION
        return Place.VALUE

    def _word(self, word: str) -> str:
        """Note a word; what it is to the next token."""
        level = self._levels[-1]
        if word in ("SELECT", "RETURNING"):
            level.clause = "select"
        elif word == "FROM":
            if self._before == "DISTINCT":
                return "IS DISTINCT FROM"
            if level.clause in ("select", "set", "delete"):
                level.clause = "tables"
        elif word == "JOIN":
            level.clause = "tables"
        elif word == "INSERT" or (word == "REPLACE" and self._before in ("", ";", ")")):
            level.clause = "insert"
        elif word == "INTO" and level.clause == "insert":
            level.clause = "into"
        elif word == "BY" and self._before in ("ORDER", "GROUP", "PARTITION"):
            level.clause = "order" if self._before == "ORDER" else "select"
        elif word == "DELETE" and self._before != "ON":
            level.clause, self.changes = "delete", True
        elif word == "UPDATE" and self._before not in ("FOR", "KEY", "ON"):
            level.clause, self.changes = "tables", True
        elif word == "SET":
            level.clause = "set"
        elif word in _NEUTRAL:
            level.clause = ""
        elif word == "BETWEEN":
            level.ranges += 1
        elif word == "AND" and level.ranges:
            level.ranges -= 1
            return "BETWEEN"
        return word

    def _sign(self, sign: str) -> None:
        level = self._levels[-1]
        if sign in ("(", "["):
            conditional = self._before in _CONDITIONAL or (self._before == "(" and level.conditional)
            self._levels.append(_Level("columns" if level.clause == "into" else "", conditional, self._before == "IN"))
            if level.clause == "into":
                level.clause = ""
        elif sign in (")", "]") and len(self._levels) > 1:
            self._levels.pop()
        elif sign == ";":
            self._levels = [_Level()]
            self.several = self.several or self._ahead().text not in ("", ";")
