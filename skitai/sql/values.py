"""Values as the engines' drivers take them, and as literals for people."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from skitai.http import jsontext
from skitai.sql.errors import BadStatement

LARGEST = 2**63 - 1


def for_postgresql(value: Any) -> Any:
    """A value for psycopg2, which knows most types by itself. Dictionaries become JSON, tuples arrays like lists."""
    if isinstance(value, dict):
        return jsontext.dumps(value).decode("utf-8")
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, UUID):
        return str(value)
    return value


def for_sqlite(value: Any) -> Any:
    """A value for sqlite3, which has numbers, text and bytes.

    Dates and times become text whose order is theirs, in UTC where they have a time zone. Dictionaries and lists become
    JSON.
    """
    if value is None or isinstance(value, (str, int, float, bytes)):
        return value
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo is not None else value).isoformat(" ")
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, (dict, list, tuple)):
        return jsontext.dumps(value).decode("utf-8")
    return value


def _number(value: Decimal) -> int | float:
    """SQLite's own numbers: as text, a Decimal would be larger than every number."""
    if not value.is_finite():
        raise BadStatement(f"{value} is no number of SQLite")
    if value == value.to_integral_value() and abs(value) <= LARGEST:
        return int(value)
    return float(value)


def literal(value: Any, is_postgresql: bool) -> str:
    """A value, as the driver takes it, in SQL."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower() if is_postgresql else str(int(value))
    if isinstance(value, (int, Decimal)) or (isinstance(value, float) and abs(value) <= LARGEST):
        return str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"'\\x{bytes(value).hex()}'::bytea" if is_postgresql else f"X'{bytes(value).hex()}'"
    if isinstance(value, list):
        return f"ARRAY[{', '.join(literal(each, is_postgresql) for each in value)}]"
    if isinstance(value, datetime):
        return f"{'TIMESTAMPTZ' if value.tzinfo else 'TIMESTAMP'} {quoted(value.isoformat(' '))}"
    if isinstance(value, (date, time)):
        return f"{type(value).__name__.upper()} {quoted(value.isoformat())}"
    return quoted(str(value))


def quoted(text: str) -> str:
    """A text literal.

    :raises BadStatement: it contains a NUL, which none can.
    """
    if "\0" in text:
        raise BadStatement(f"{text!r} contains a NUL: it can be bound, but not be written in SQL")
    return "'" + text.replace("'", "''") + "'"
