"""Names of tables and columns: checked, so that no text from outside is more than a name, and quoted where they must be."""

from __future__ import annotations

import re

from skitai.sql.errors import BadStatement

_PART = r'(?:[^\W\d]\w*|"(?:[^"\0]|"")+")'
_DOTTED = rf"{_PART}(?:\.{_PART}){{0,2}}"
_COLUMN = rf"(?:(?:{_PART}\.){{0,2}}\*|{_DOTTED})"
_COUNTED = rf"(?i:(count|sum|avg|min|max))\s*\(\s*((?i:distinct)\s+)?({_COLUMN})\s*\)"

_IS_NAME = re.compile(r"[^\W\d]\w*")
_IS_PART = re.compile(_PART)
_IS_DOTTED = re.compile(_DOTTED)
_IS_TABLE = re.compile(rf"\s*({_DOTTED})(?:\s+(?:(?i:as)\s+)?({_PART}))?\s*")
_IS_ITEM = re.compile(rf"\s*(?:{_COUNTED}|({_COLUMN}))(?:\s+(?:(?i:as)\s+)?({_PART}))?\s*")
_IS_TERM = re.compile(rf"\s*(-)?(\d+|{_DOTTED})(?:\s+(?i:(asc|desc)))?(?:\s+(?i:nulls\s+(first|last)))?\s*")
_ITEMS = re.compile(r'(?:"(?:[^"]|"")*"|[^,"])+|^$|(?<=,)(?=,|$)|"')

_RESERVED = """
    add all alter analyse analyze and any array as asc asymmetric authorization autoincrement between binary both case cast
    check collate collation column commit concurrently constraint create cross current_catalog current_date current_role
    current_schema current_time current_timestamp current_user default deferrable delete desc distinct do drop else end
    escape except exists false fetch for foreign freeze from full glob grant group having if ilike in index initially inner
    insert intersect into is isnull join lateral leading left like limit localtime localtimestamp natural not nothing notnull
    null offset on only or order outer overlaps placing primary raise references replace returning right select session_user
    set similar some symmetric system_user table tablesample then to trailing transaction true union unique update user using
    values variadic verbose when where window with
"""
RESERVED = frozenset(_RESERVED.split())
"""Words that PostgreSQL or SQLite does not take as the name of a column or table."""

_EXPRESSIONS = """
    current_catalog current_date current_role current_schema current_time current_timestamp current_user default false
    localtime localtimestamp null session_user system_user true user
"""
EXPRESSIONS = frozenset(_EXPRESSIONS.split())
"""Those of them that are expressions by themselves."""


def plain(name: str) -> str:
    """One name, without points.

    :raises BadStatement: it is none.
    """
    if not isinstance(name, str) or not _IS_NAME.fullmatch(name):
        raise BadStatement(f"{name!r} is no name of a table or column")
    return _quoted(name)


def dotted(text: str) -> str:
    """A name, also with the names of its table and schema before it; parts may be in double quotes.

    :raises BadStatement: it is none.
    """
    if not isinstance(text, str) or not _IS_DOTTED.fullmatch(text):
        raise BadStatement(f"{text!r} is no name of a table or column; SQL of the app's own goes into F(...)")
    return _each_quoted(text)


def table(text: str, alias: str = "") -> str:
    """A table, and what it is called in the statement: ``tbl_file AS t1``.

    :param text: may say both: ``"tbl_file t1"``.
    :raises BadStatement: a name is none, or there are two aliases.
    """
    match = _IS_TABLE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise BadStatement(f"{text!r} is no name of a table")
    if match[2] and alias:
        raise BadStatement(f"{text!r} has a second alias, {alias!r}")
    called = as_alias(match[2] or alias)
    return _each_quoted(match[1]) + (f" AS {called}" if called else "")


def as_alias(text: str) -> str:
    """What a statement calls something; may be in double quotes. "" stays so.

    :raises BadStatement: it is no name.
    """
    if not isinstance(text, str) or (text and not _IS_PART.fullmatch(text)):
        raise BadStatement(f"{text!r} is no name for a table or column")
    return _quoted(text)


def items(text: str) -> str:
    """A list of columns, as it may come from outside: names, ``*``, counts and sums of columns, each with or without alias.

    :raises BadStatement: something else is in it.
    """
    return ", ".join(_item(each) for each in _split(text))


def _item(text: str) -> str:
    match = _IS_ITEM.fullmatch(text)
    if match is None:
        raise BadStatement(f"{text!r} is no column: values go in by V(...), SQL of the app's own by F(...)")
    function, distinct, counted, column, alias = match.groups()
    made = f"{function}({'DISTINCT ' if distinct else ''}{_each_quoted(counted)})" if function else _each_quoted(column)
    return made + (f" AS {_quoted(alias)}" if alias else "")


def terms(text: str) -> str:
    """What rows are ordered by: columns, or their numbers, with a minus before those that descend, or the words after them.

    :raises BadStatement: something else is in it.
    """
    return ", ".join(_term(each) for each in _split(text))


def _term(text: str) -> str:
    match = _IS_TERM.fullmatch(text)
    if match is None or (match[1] and match[3]):
        raise BadStatement(f"{text!r} is no column to order by; an expression goes into F(...), with its DESC")
    minus, name, direction, nulls = match.groups()
    made = name if name.isdecimal() else _each_quoted(name)
    word = "DESC" if minus else (direction or "").upper()
    return " ".join(filter(None, (made, word, f"NULLS {nulls.upper()}" if nulls else "")))


def selected(text: str) -> str:
    """A column of `get` or `returning`: SQL of the app's own; a mere name is quoted where it must be."""
    if not isinstance(text, str) or not text.strip():
        raise BadStatement(f"{text!r} is no column")
    if _IS_NAME.fullmatch(text) and text.lower() not in EXPRESSIONS:
        return _quoted(text)
    return text


def _split(text: str) -> list[str]:
    """At its commas."""
    if not isinstance(text, str):
        raise BadStatement(f"{text!r} is no text with names of columns")
    return _ITEMS.findall(text)


def _each_quoted(text: str) -> str:
    return ".".join(_quoted(part) for part in re.findall(rf"{_PART}|\*", text))


def _quoted(name: str) -> str:
    return f'"{name}"' if name.lower() in RESERVED else name
