"""Tickets: the list, and what becomes of each."""

from .work import whole, write

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
