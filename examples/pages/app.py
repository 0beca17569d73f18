"""The pages: a plain WSGI app (PEP 3333) on the standard library and Jinja2."""

from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from guestbook import GuestBook, problems
from jinja2 import Environment, FileSystemLoader
from place import data_folder

from skitai import was

LONGEST_FORM_BYTES = 16384
HEADERS = [
    ("Content-Type", "text/html; charset=utf-8"),
    ("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
]

templates = Environment(loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True)
book = GuestBook(data_folder() / "guestbook.sqlite3")


class Refused(Exception):
    """The request cannot be served. ``args`` are its status and the reason."""


def home(environ):
    return page("home.html", entries=book.latest(3))


def guestbook(environ):
    return page("guestbook.html", entries=book.latest(50), form={}, problems={}, signed="signed" in environ["QUERY_STRING"])


def sign(environ):
    """Validate the form, keep the entry, and send the browser on, so that a reload does not sign twice."""
    form = read_form(environ)
    found = problems(form)
    if found:
        return page("guestbook.html", HTTPStatus.UNPROCESSABLE_ENTITY, entries=book.latest(50), form=form, problems=found)
    book.add(form["name"], form["message"])
    was.setlu("guestbook")
    was.log(f"{form['name']!r} signed the guest book")
    return HTTPStatus.SEE_OTHER, [("Location", "/guestbook?signed")], b""


def status(environ):
    """All about the server, for its operator: nothing that a stranger should read."""
    if environ["REMOTE_ADDR"] not in ("127.0.0.1", "::1"):
        raise Refused(HTTPStatus.FORBIDDEN, "This page is for the operator's own machine.")
    html = was.status(["server", "workers", "mounts", "last_updates"])
    return HTTPStatus.OK, [("Content-Type", "text/html; charset=utf-8")], html.encode()


ROUTES = {
    "/": {"GET": home},
    "/guestbook": {"GET": guestbook, "POST": sign},
    "/status": {"GET": status},
}


def app(environ, start_response):
    """Find the function for path and method, and send what it returns: status, headers and body."""
    try:
        code, headers, body = find(environ)(environ)
    except Refused as refused:
        code, reason = refused.args
        code, headers, body = page("refused.html", code, reason=reason)
    start_response(f"{code.value} {code.phrase}", headers)
    return [body]


def find(environ):
    methods = ROUTES.get(environ["PATH_INFO"])
    if methods is None:
        raise Refused(HTTPStatus.NOT_FOUND, "There is no such page.")
    method = environ["REQUEST_METHOD"].replace("HEAD", "GET")
    if method not in methods:
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, f"This page takes {' and '.join(methods)}.")
    return methods[method]


def read_form(environ):
    """The fields of an HTML form, stripped; refuses what another site's page sent in the visitor's name."""
    origin = environ.get("HTTP_ORIGIN")
    if origin and urlsplit(origin).netloc != environ.get("HTTP_HOST"):
        raise Refused(HTTPStatus.FORBIDDEN, "This form was sent by another site.")
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if length > LONGEST_FORM_BYTES:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "That is too long for a guest book.")
    text = environ["wsgi.input"].read(length).decode("utf-8", "replace")
    return {name: values[0].strip() for name, values in parse_qs(text).items()}


def page(template, code=HTTPStatus.OK, **values):
    return code, HEADERS, templates.get_template(template).render(values).encode()
