"""Who did what: told by events, kept by whoever hears them, shown as a page and as a stream."""

import asyncio
import json

LATEST = 30


def decorate(app):
    @app.on("ticket-changed")
    def remember(was, who, what, number):
        app.storage.store.write("INSERT INTO deed (who, what, ticket) VALUES (?, ?, ?)", who, what, number)
        was.setlu("tickets")
        was.log(f"{who} {what}, ticket {number}")

    @app.on_broadcast("model-changed:tickets")
    def forget(was, *args, **kwargs):
        """Some worker changed a ticket: what this one has counted is old."""
        app.storage.pop("counts", None)

    @app.template_global("counts")
    def counts(was):
        """Tickets by state, counted once for each change."""
        known = app.storage.get("counts")
        if known is None:
            rows = app.storage.store.rows("SELECT state, count(*) AS n FROM ticket GROUP BY state")
            known = app.storage["counts"] = {row["state"]: row["n"] for row in rows}
        return known

    @app.route("/")
    @app.login_required
    def deeds(was):
        return was.render("activity.html", deeds=latest())

    @app.route("/stream")
    @app.login_required
    async def stream(was, seconds: int = 60):
        """What happens, as it happens: server-sent events."""
        was.response.set_header("Content-Type", "text/event-stream")
        was.response.set_header("Cache-Control", "no-store")
        return news(min(seconds, 600))

    async def news(seconds):
        seen = max((each["id"] for each in latest()), default=0)
        for _ in range(seconds * 5):
            for each in reversed(latest(seen)):
                seen = each["id"]
                yield f"data: {json.dumps(dict(each))}\n\n"
            await asyncio.sleep(0.2)

    def latest(after=0):
        return app.storage.store.rows("SELECT * FROM deed WHERE id > ? ORDER BY id DESC LIMIT ?", after, LATEST)
