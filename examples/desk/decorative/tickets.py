"""Tickets: the list, and a ticket with its notes and attachments."""

import secrets

STATES = ("open", "waiting", "closed")


def decorate(app):
    @app.route("/")
    @app.login_required
    def index(was, state="open", page: int = 1):
        size = app.config.page_size
        store = app.storage.store
        found = store.rows(
            "SELECT * FROM ticket WHERE state = ? ORDER BY urgency DESC, id DESC LIMIT ? OFFSET ?",
            state,
            size + 1,
            (max(page, 1) - 1) * size,
        )
        return was.render(
            "tickets.html", tickets=found[:size], more=len(found) > size, state=state, page=page, states=STATES
        )

    @app.route("/tickets", methods=["POST"])
    @app.login_required
    def add(was, title, urgency: int = 1, **form):
        if not title.strip():
            was.mbox.send("A ticket needs a title.", "error")
            return was.redirect(was.ab(index), "303 See Other")
        number = app.storage.store.write(
            "INSERT INTO ticket (title, urgency, owner) VALUES (?, ?, ?)", title.strip(), urgency, was.session["user"]
        )
        app.emit("ticket-changed", was.session["user"], "opened", number)
        if form.get("text"):
            write(was, number, form["text"])
        return was.redirect(was.ab(show, number), "303 See Other")

    @app.route("/tickets/<int:number>")
    @app.login_required
    def show(was, number):
        return was.render("ticket.html", **whole(was, number), states=STATES, guest=False)

    @app.route("/tickets/<int:number>/notes", methods=["POST"])
    @app.login_required
    def note(was, number, text="", **form):
        whole(was, number)
        file = form.get("file") or None
        if text.strip() or file:
            write(was, number, text.strip(), file)
        return was.redirect(was.ab(show, number), "303 See Other")

    @app.route("/tickets/<int:number>/state", methods=["POST"])
    @app.login_required
    def move(was, number, state):
        if state not in STATES:
            was.response.throw("400 Bad Request", f"{state} is none of {', '.join(STATES)}")
        whole(was, number)
        app.storage.store.write("UPDATE ticket SET state = ? WHERE id = ?", state, number)
        app.emit("ticket-changed", was.session["user"], f"set to {state}", number)
        was.mbox.send(f"Ticket {number} is {state}.", "success")
        return was.redirect(was.ab(show, number), "303 See Other")

    @app.route("/tickets/<int:number>/delete", methods=["POST"])
    @app.login_required
    @app.permission_required(["admin"])
    def delete(was, number):
        for each in whole(was, number)["notes"]:
            if each["file"]:
                (app.storage.store.files / each["file"]).unlink(missing_ok=True)
        app.storage.store.write("DELETE FROM note WHERE ticket = ?", number)
        app.storage.store.write("DELETE FROM ticket WHERE id = ?", number)
        app.emit("ticket-changed", was.session["user"], "deleted", number)
        return was.redirect(was.ab(index), "303 See Other")

    @app.route("/files/<int:note>")
    @app.login_required
    def attachment(was, note):
        found = app.storage.store.row("SELECT file, name FROM note WHERE id = ? AND file IS NOT NULL", note)
        if found is None:
            was.response.throw("404 Not Found", f"note {note} has no file")
        return was.response.file(str(app.storage.store.files / found["file"]), filename=found["name"])

    def write(was, number, text, file=None):
        kept = None
        if file:
            kept = secrets.token_hex(16)
            file.save(app.storage.store.files, kept)
        app.storage.store.write(
            "INSERT INTO note (ticket, author, text, file, name, size) VALUES (?, ?, ?, ?, ?, ?)",
            *(number, was.session["user"], text, kept),
            *((file.name, file.size) if file else (None, None)),
        )
        app.emit("ticket-changed", was.session["user"], "wrote a note", number)


def whole(was, number):
    """A ticket and its notes; 404 if there is none."""
    store = was.app.storage.store
    found = store.row("SELECT * FROM ticket WHERE id = ?", number)
    if found is None:
        was.response.throw("404 Not Found", f"there is no ticket {number}")
    return {"ticket": found, "notes": store.rows("SELECT * FROM note WHERE ticket = ? ORDER BY id", number)}
