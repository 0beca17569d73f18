"""The guest book: rules for an entry, and a SQLite file that all workers share."""

import sqlite3
from contextlib import closing
from pathlib import Path

LONGEST_NAME = 40
LONGEST_MESSAGE = 500


def problems(form: dict[str, str]) -> dict[str, str]:
    """What is wrong with a form, by field; empty when it is right."""
    found = {}
    if not form.get("name"):
        found["name"] = "Please say who you are."
    elif len(form["name"]) > LONGEST_NAME:
        found["name"] = f"At most {LONGEST_NAME} characters, please."
    if not form.get("message"):
        found["message"] = "Please write something."
    elif len(form["message"]) > LONGEST_MESSAGE:
        found["message"] = f"At most {LONGEST_MESSAGE} characters, please."
    return found


class GuestBook:
    """Each call opens the file anew: connections of SQLite must not be shared by processes, and hardly by threads."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def add(self, name: str, message: str) -> None:
        with closing(self._open()) as db, db:
            db.execute("INSERT INTO entry (name, message) VALUES (?, ?)", (name, message))

    def latest(self, count: int) -> list[sqlite3.Row]:
        """The newest entries first, with ``name``, ``message`` and ``at`` (UTC)."""
        with closing(self._open()) as db:
            return db.execute("SELECT name, message, at FROM entry ORDER BY id DESC LIMIT ?", (count,)).fetchall()

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.file, timeout=10)
        db.row_factory = sqlite3.Row
        db.execute(
            "CREATE TABLE IF NOT EXISTS entry (id INTEGER PRIMARY KEY, name TEXT NOT NULL, message TEXT NOT NULL,"
            " at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M', 'now')))"
        )
        return db
