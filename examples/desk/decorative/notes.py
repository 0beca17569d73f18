"""Notes of a ticket, and their attachments."""

from .work import whole, write


def decorate(app):
    @app.route("/tickets/<int:number>/notes", methods=["POST"])
    @app.login_required
    def note(was, number, text="", **form):
        whole(was, number)
        file = form.get("file") or None
        if text.strip() or file:
            write(was, number, text.strip(), file)
        return was.redirect(was.ab("show", number), "303 See Other")

    @app.route("/files/<int:note>")
    @app.login_required
    def attachment(was, note):
        found = app.storage.store.row("SELECT file, name FROM note WHERE id = ? AND file IS NOT NULL", note)
        if found is None:
            was.response.throw("404 Not Found", f"note {note} has no file")
        return was.response.file(str(app.storage.store.files / found["file"]), filename=found["name"])
