"""Guests: who has a link may look at its ticket, for an hour."""

from .work import whole

GUEST_S = 3600


def decorate(app):
    @app.route("/tickets/<int:number>/share", methods=["POST"])
    @app.login_required
    def share(was, number):
        """A link by which a guest may look, for an hour."""
        whole(was, number)
        was.mbox.send("For guests, for an hour:", "link", url=was.ab(guest, was.mktoken(["guest", number], GUEST_S)))
        return was.redirect(was.ab("show", number), "303 See Other")

    @app.route("/guest")
    def guest(was, token):
        seen = was.detoken(token)
        if not isinstance(seen, list) or seen[:1] != ["guest"]:
            was.response.throw("410 Gone", "this link is no longer good")
        return was.render("ticket.html", **whole(was, seen[1]), guest=True)
