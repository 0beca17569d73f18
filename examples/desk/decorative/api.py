"""The desk for programs: JSON, with a bearer token."""

from dataclasses import dataclass
from typing import Literal


@dataclass
class Letter:
    """What opens a ticket."""

    title: str
    urgency: int = 1


def decorate(app):
    @app.route("/tickets", methods=["GET"])
    def tickets(was, state: Literal["open", "waiting", "closed"] = "open", limit: int = 20):
        """Tickets in a state, the newest first."""
        found = app.storage.store.rows(
            "SELECT * FROM ticket WHERE state = ? ORDER BY id DESC LIMIT ?", state, min(limit, 100)
        )
        return was.response.API(tickets=[dict(each) for each in found])

    @app.route("/tickets", methods=["POST"])
    def open_ticket(was, letter: Letter):
        """Open a ticket."""
        if not letter.title.strip():
            return was.response.Fault("422 Unprocessable Content", "a ticket needs a title", 42201)
        number = app.storage.store.write(
            "INSERT INTO ticket (title, urgency, owner) VALUES (?, ?, ?)",
            letter.title.strip(),
            letter.urgency,
            was.user.name,
        )
        app.emit("ticket-changed", was.user.name, "opened", number)
        return was.response.Fault("201 Created", id=number, url=was.ab("show", number))

    @app.route("/tickets/<int:number>", methods=["GET"])
    def ticket(was, number):
        """One ticket with its notes."""
        found = app.storage.store.row("SELECT * FROM ticket WHERE id = ?", number)
        if found is None:
            return was.response.Fault("404 Not Found", f"there is no ticket {number}", 40401)
        notes = app.storage.store.rows("SELECT author, text, name, size, at FROM note WHERE ticket = ? ORDER BY id", number)
        return was.response.API(dict(found), notes=[dict(each) for each in notes])
