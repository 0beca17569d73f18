"""The store of the desk: a SQLite file that all workers share, and a folder of attachments."""

import hashlib
import secrets
import sqlite3
from contextlib import closing
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS user (name TEXT PRIMARY KEY, password TEXT NOT NULL, role TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS ticket (
    id INTEGER PRIMARY KEY, title TEXT NOT NULL, urgency INTEGER NOT NULL, state TEXT NOT NULL DEFAULT 'open',
    owner TEXT NOT NULL REFERENCES user, at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M', 'now')));
CREATE TABLE IF NOT EXISTS note (
    id INTEGER PRIMARY KEY, ticket INTEGER NOT NULL REFERENCES ticket, author TEXT NOT NULL, text TEXT NOT NULL,
    file TEXT, name TEXT, size INTEGER, at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M', 'now')));
CREATE TABLE IF NOT EXISTS deed (
    id INTEGER PRIMARY KEY, who TEXT NOT NULL, what TEXT NOT NULL, ticket INTEGER NOT NULL,
    at TEXT NOT NULL DEFAULT (strftime('%H:%M:%S', 'now')));
"""


class Store:
    """Each call opens the file anew: connections of SQLite must not be shared by processes, and hardly by threads."""

    def __init__(self, folder: Path) -> None:
        self.files = folder / "files"
        self.files.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = folder / "desk.sqlite3"
        with closing(self._open()) as db:
            db.executescript(SCHEMA)

    def rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
        with closing(self._open()) as db:
            return db.execute(sql, values).fetchall()

    def row(self, sql: str, *values: object) -> sqlite3.Row | None:
        """The first row, or None."""
        return next(iter(self.rows(sql, *values)), None)

    def write(self, sql: str, *values: object) -> int:
        """Execute one statement; the id of the row that it inserted."""
        with closing(self._open()) as db, db:
            return db.execute(sql, values).lastrowid or 0

    def add_user(self, name: str, password: str) -> str:
        """Keep a user; the role: the first one is an admin.

        :raises ValueError: the name is taken.
        """
        role = "member" if self.rows("SELECT 1 FROM user LIMIT 1") else "admin"
        try:
            self.write("INSERT INTO user VALUES (?, ?, ?)", name, hashed(password), role)
        except sqlite3.IntegrityError:
            raise ValueError(f"{name} is taken") from None
        return role

    def find_user(self, name: str, password: str) -> sqlite3.Row | None:
        """The user whose password that is."""
        user = self.row("SELECT * FROM user WHERE name = ?", name)
        salt = user["password"].partition("$")[0] if user else "00"  # unknown names take as long as known ones
        known = secrets.compare_digest(user["password"] if user else "", hashed(password, salt))
        return user if known else None

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._file, timeout=10)
        db.row_factory = sqlite3.Row
        return db


def hashed(password: str, salt: str = "") -> str:
    """ "salt$hash" of a password (RFC 7914)."""
    salt = salt or secrets.token_hex(16)
    return f"{salt}${hashlib.scrypt(password.encode(), salt=bytes.fromhex(salt), n=4096, r=8, p=1).hex()}"
