"""What several pages do with a ticket."""

import secrets


def whole(was, number):
    """A ticket and its notes; 404 if there is none."""
    store = was.app.storage.store
    found = store.row("SELECT * FROM ticket WHERE id = ?", number)
    if found is None:
        was.response.throw("404 Not Found", f"there is no ticket {number}")
    return {"ticket": found, "notes": store.rows("SELECT * FROM note WHERE ticket = ? ORDER BY id", number)}


def write(was, number, text, file=None):
    """Add a note, and keep its file."""
    kept = None
    if file:
        kept = secrets.token_hex(16)
        file.save(was.app.storage.store.files, kept)
    was.app.storage.store.write(
        "INSERT INTO note (ticket, author, text, file, name, size) VALUES (?, ?, ?, ?, ?, ?)",
        *(number, was.session["user"], text, kept),
        *((file.name, file.size) if file else (None, None)),
    )
    was.app.emit("ticket-changed", was.session["user"], "wrote a note", number)
