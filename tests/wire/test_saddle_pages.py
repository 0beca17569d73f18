"""Pages from templates, through real connections: of handlers, and of errors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from skitai.saddle import Saddle, Was
from tests.support.memory import Wire

Serve = Callable[..., Wire]
Write = Callable[..., None]


@pytest.fixture
def app(tmp_path: Path) -> Saddle:
    app = Saddle(__name__)
    app.home = str(tmp_path)
    return app


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write templates, by the names of their files with "_" for the point."""

    def put(**templates: str) -> None:
        (tmp_path / "templates").mkdir(exist_ok=True)
        for name, text in templates.items():
            (tmp_path / "templates" / name.replace("_", ".")).write_text(text)

    return put


def test_a_page_reaches_everything_of_was(saddle: Serve, app: Saddle, write: Write) -> None:
    write(
        index_html="{% set g = was.g %}{{ was.request.args.get('choice', 'N/A') }} {{ g.many }}"
        " {{ was.ab('index', 'tea') }} {{ was.cookie.get('user', 'nobody') }} {{ was.request.method }}"
        " {{ was.app.debug }} {{ was.response.status }} {{ was.env['REQUEST_METHOD'] }} {{ was.txnid() | length > 5 }}",
        index_pt="<p>${ was.request.args['choice'] } ${ was.ab('index', 'tea') }</p>",
    )

    @app.route("/")
    def index(was: Was, choice: str = "") -> str:
        was.g.many = 10
        return was.render("index.html")

    @app.route("/later")
    async def later(was: Was) -> str:
        was.g.many = 11
        await asyncio.sleep(0)
        return was.render("index.html")

    @app.route("/page")
    def page(was: Was, choice: str) -> str:
        return was.render("index.pt")

    wire = saddle(app)
    assert wire.get("/?choice=a%26b", Cookie="user=hans")[2] == b"a&amp;b 10 /?choice=tea hans GET False 200 OK GET True"
    assert wire.get("/later")[2].startswith(b"N/A 11")
    assert wire.get("/page?choice=%3C")[2] == b"<p>&lt; /?choice=tea</p>"


def test_macros_without_the_pages_context_have_was(saddle: Serve, app: Saddle, write: Write) -> None:
    write(
        parts_html="{% macro who() %}{{ was.g.who }} {{ path() }}{% endmacro %}",
        a_html="{% import 'parts.html' as p %}{{ p.who() }}",
    )

    @app.template_global("path")
    def path(was: Was) -> str:
        return was.request.uri

    @app.route("/<who>")
    def index(was: Was, who: str) -> str:
        was.g.who = who
        return was.render("a.html")

    wire = saddle(app)
    assert [wire.get(f"/{who}")[2] for who in ("me", "you")] == [b"me /me", b"you /you"]


def test_a_template_may_throw(saddle: Serve, app: Saddle, write: Write) -> None:
    write(a_html="{% if not was.g.found %}{{ was.response.throw('404 Not Found', 'no such thing') }}{% endif %}")

    @app.route("/")
    def index(was: Was) -> str:
        was.g.found = False
        return was.render("a.html")

    status, _, body = saddle(app).get("/")
    assert status == 404 and b"no such thing" in body


def test_error_pages_of_the_apps_own(saddle: Serve, app: Saddle, write: Write) -> None:
    write(
        any_htm="any {{ error.code }} {{ error.message }}: {{ error.detail }} {{ error.url }} {{ error.time | length }}",
        lost_htm="lost {{ error.code }} {{ error.message }}",
    )

    @app.default_error_handler
    def default(was: Was, error: Any) -> str:
        was.response.set_header("X-Handled", "yes")
        return was.render("any.htm", error=error)

    @app.error_handler(404)
    def lost(was: Was, error: Any) -> str:
        return was.render("lost.htm", error=error)

    @app.route("/closed")
    def closed(was: Was) -> Any:
        was.response.set_header("Content-Type", "application/json")
        was.response.set_header("Content-Length", "5")
        return was.response.with_explain("503 Service Unavailable", "Come on Thursday")

    @app.route("/gone")
    def gone(was: Was) -> Any:
        return was.response("404 Gone Fishing")

    @app.route("/broken")
    def broken(was: Was) -> str:
        was.response.set_header("Content-Type", "application/json")
        raise LookupError("nobody may read this")

    wire = saddle(app)
    status, fields, body = wire.get("/closed")
    assert (status, fields["content-type"], fields["x-handled"]) == (503, "text/html; charset=utf-8", "yes")
    assert body == b"any 503 Service Unavailable: Come on Thursday /closed 29"
    assert wire.get("/gone")[::2] == (404, b"lost 404 Gone Fishing")
    assert wire.get("/nowhere")[::2] == (404, b"lost 404 Not Found")
    status, fields, body = wire.get("/broken")
    assert (status, body, fields["content-type"]) == (
        500,
        b"any 500 Internal Server Error:  /broken 29",
        "text/html; charset=utf-8",
    )


def test_a_broken_template_is_an_error_that_clients_do_not_read(saddle: Serve, app: Saddle, write: Write) -> None:
    write(a_html="{{ was.secret.detail }}", b_html="{% nonsense %}")

    @app.route("/<name>")
    def index(was: Was, name: str) -> str:
        return was.render(f"{name}.html")

    wire = saddle(app)
    for name in ("a", "b", "missing"):
        status, _, body = wire.get(f"/{name}")
        assert status == 500 and b"secret" not in body and b"nonsense" not in body and b"Traceback" not in body
