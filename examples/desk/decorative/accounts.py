"""Signing up, in and out; who may do what."""

import re
import time

NAME = re.compile(r"[a-z][a-z0-9_-]{1,30}")
TOKEN_S = 86400


def decorate(app):
    @app.login_handler
    def signed_in(was):
        if not was.session.get("user"):
            return was.redirect(was.ab("sign_in", was.request.uri))
        return None

    @app.permission_check_handler
    def may(was, permissions):
        if was.session.get("role") not in permissions:
            return was.response("403 Forbidden", was.render("error.html", title="Forbidden", text="That takes an admin."))
        return None

    @app.route("/sign-in", methods=["GET", "POST"])
    def sign_in(was, next_url="", **form):
        if was.request.method == "GET":
            return was.render("sign_in.html", next_url=next_url, form={})
        user = app.storage.store.find_user(form.get("name", ""), form.get("password", ""))
        if user is None:
            was.mbox.send("No such name and password.", "error")
            return was.response("401 Unauthorized", was.render("sign_in.html", next_url=next_url, form=form))
        return enter(was, user["name"], user["role"], next_url)

    @app.route("/sign-up", methods=["POST"])
    def sign_up(was, name, password, next_url=""):
        fault = ""
        if not NAME.fullmatch(name):
            fault = "A name is 2 to 31 lower-case letters, digits, - and _, and begins with a letter."
        elif len(password) < 8:
            fault = "A password has at least 8 characters."
        else:
            try:
                return enter(was, name, app.storage.store.add_user(name, password), next_url)
            except ValueError as error:
                fault = f"{error}."
        was.mbox.send(fault, "error")
        return was.response("422 Unprocessable Content", was.render("sign_in.html", next_url=next_url, form={"name": name}))

    @app.route("/sign-out", methods=["POST"])
    def sign_out(was):
        was.session.expire()
        was.mbox.send("Signed out.")
        return was.redirect(was.ab("sign_in"), "303 See Other")

    @app.route("/token", methods=["POST"])
    @app.login_required
    def token(was):
        """A token for programs, for a day."""
        claims = {"username": was.session["user"], "role": was.session["role"], "exp": int(time.time()) + TOKEN_S}
        return was.render("token.html", token=was.mkjwt(claims))

    def enter(was, name, role, next_url):
        was.session["user"] = name
        was.session["role"] = role
        was.mbox.send(f"Welcome, {name}.", "success")
        ours = next_url.startswith("/") and not next_url.startswith(("//", "/\\"))
        return was.redirect(next_url if ours else was.ab("index"), "303 See Other")
