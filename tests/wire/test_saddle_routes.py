"""Routes, arguments, origins and URLs of Saddle apps through real connections."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import Any

import pytest

from skitai.saddle import Saddle, Was
from tests.support.memory import Wire, mounted, wire

SITE = "https://site.example"


@dataclass
class Order:
    item: str
    count: int = 1


@dataclass
class Chain:
    item: str
    next: Chain | None = None


def plain_decorator(function: Callable[..., Any]) -> Callable[..., Any]:
    """Refuses zero before it calls the function."""

    @wraps(function)
    def wrapper(was: Was, **arguments: Any) -> Any:
        return "refused" if arguments.get("number") == 0 else function(was, **arguments)

    return wrapper


def routed() -> Saddle:
    app = Saddle(__name__)
    app.access_control_allow_origin = [SITE]
    app.access_control_max_age = 60

    @app.route("/needs")
    def needs(was: Was, a: Any) -> Any:
        return {"a": a, "args": dict(was.request.args)}

    @app.route("/optional")
    def optional(was: Was, a: Any = 1) -> Any:
        return {"a": a, "args": dict(was.request.args)}

    @app.route("/nothing")
    def nothing(was: Was) -> Any:
        return {"args": dict(was.request.args)}

    @app.route("/raw")
    def raw(was: Was) -> Any:
        return was.request.body

    @app.route("/anything")
    def anything(was: Was, **kw: Any) -> Any:
        return {"kw": kw, "args": dict(was.request.args)}

    @app.route("/two/<u>")
    def two(was: Was, u: str, a: Any, b: Any = None) -> Any:
        return {"u": u, "a": a, "b": b, "args": dict(was.request.args)}

    @app.route("/order")
    async def order(was: Was, order: Order, paid: bool = False) -> Any:
        return {"order": order, "paid": paid}

    @app.route("/chain")
    def chain(was: Was, chain: Chain) -> Any:
        return {"item": chain.item}

    @app.route("/decorated")
    @plain_decorator
    async def decorated(was: Was, number: int = 0) -> Any:
        return str(number)

    @app.route("/i/<int:id>", methods=["GET", "POST", "OPTIONS"])
    def number(was: Was, id: int = 0) -> Any:
        return str(id)

    @app.route("/s/<name>")
    def text(was: Was, name: str) -> Any:
        return name

    @app.route("/p/<path:p>")
    def path(was: Was, p: str) -> Any:
        return p

    @app.route("/slash/")
    def slash(was: Was) -> str:
        return "slash"

    @app.route("/xml", methods=["POST"], content_types=["text/xml"])
    def xml(was: Was) -> str:
        return "xml"

    @app.route("/get", methods=["GET"])
    def get_only(was: Was) -> str:
        return "get"

    @app.route("/own", methods=["POST", "OPTIONS"], access_control_allow_origin=["*"])
    def own(was: Was) -> str:
        return "own"

    @app.route("/urls")
    def urls(was: Was, limit: int = 20, page: int = 1) -> Any:
        built = [was.ab("text", "a_b c"), was.ab(text, "x"), was.partial("urls", page=3), was.basepath("path"), was.ab("/x")]
        return {"urls": built}

    return app


@pytest.fixture(scope="module", params=[2, 0], ids=["threads", "inline"])
def server(request: pytest.FixtureRequest) -> Iterator[Wire]:
    with wire(mounted("/app", routed()), kind="saddle", threads=request.param) as running:
        yield running


def ask(
    server: Wire, method: str, target: str, body: bytes | None = None, **fields: str
) -> tuple[int, dict[str, str], bytes]:
    if body is not None:
        fields["Content-Length"] = str(len(body))
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return server.ask(f"{method} /app{target} HTTP/1.1\r\nHost: api.example\r\n{lines}\r\n".encode() + (body or b""))


def said(server: Wire, target: str, body: bytes | None = None, **fields: str) -> Any:
    """The status, or what a 200 says as JSON."""
    status, _, answer = ask(server, "GET" if body is None else "POST", target, body, **fields)
    return json.loads(answer) if status == 200 else status


def form(server: Wire, target: str, body: str) -> Any:
    return said(server, target, body.encode(), Content_Type="application/x-www-form-urlencoded")


def posted(server: Wire, target: str, value: Any) -> Any:
    return said(server, target, json.dumps(value).encode(), Content_Type="application/json")


# Arguments


def test_queries(server: Wire) -> None:
    assert said(server, "/needs") == 400
    assert said(server, "/needs?a=1")["a"] == "1"
    assert said(server, "/needs?a=")["a"] == said(server, "/needs?a")["a"] == ""
    assert said(server, "/anything?was=1&self=2") == 400
    assert said(server, "/anything?self=2&class=3&function=4&args=5&kw=6")["kw"]["args"] == "5"
    assert said(server, "/needs?a=1&a=2")["a"] == ["1", "2"]
    assert said(server, "/needs?a=1&b=2") == said(server, "/optional?b=2") == 400
    assert said(server, "/optional") == {"a": 1, "args": {"a": 1}}
    assert said(server, "/nothing?a=1&b=2") == {"args": {"a": "1", "b": "2"}}
    assert said(server, "/anything?a=1&b=2")["kw"] == {"a": "1", "b": "2"}


def test_forms_and_json(server: Wire) -> None:
    assert form(server, "/needs", "a=1")["a"] == "1"
    assert posted(server, "/needs", {"a": [1]})["a"] == [1]
    assert posted(server, "/needs", {"a": 1, "b": 2}) == posted(server, "/optional", {"a": 1, "b": 2}) == 400
    assert posted(server, "/needs?a=1", {"b": 2}) == {"a": "1", "args": {"a": "1", "b": 2}}
    assert posted(server, "/needs?a=1", {"a": 2}) == {"a": 2, "args": {"a": 2}}
    assert posted(server, "/nothing", {"b": 2}) == {"args": {"b": 2}}


def test_url_query_and_body(server: Wire) -> None:
    assert posted(server, "/two/x?b=1", {"a": 2}) == {"u": "x", "a": 2, "b": "1", "args": {"u": "x", "a": 2, "b": "1"}}
    assert said(server, "/two/x?a=1&u=y")["args"]["u"] == ["x", "y"]
    assert posted(server, "/two/x?a=1", {"u": "z"})["u"] == "x"


def test_bodies_without_names(server: Wire) -> None:
    assert posted(server, "/needs", [1, 2]) == posted(server, "/needs", 5) == 400
    assert posted(server, "/optional", [1, 2])["a"] == 1
    assert said(server, "/needs", b"{", Content_Type="application/json") == 400
    assert said(server, "/needs", b"hello", Content_Type="text/plain") == 415
    assert said(server, "/needs", b"hello") == 415
    assert said(server, "/optional", b"hello", Content_Type="text/plain")["a"] == 1
    for kind in ("application/json", "text/plain", "application/octet-stream", "text/xml"):
        assert ask(server, "POST", "/raw", b"{hello", Content_Type=kind)[2] == b"{hello"


def test_a_refusal_says_which_argument_and_why_as_the_client_reads_it(server: Wire) -> None:
    status, fields, body = ask(server, "GET", "/needs?b=1&c=2", Accept="application/json")
    assert (status, fields["content-type"]) == (400, "application/json")
    assert json.loads(body) == {
        "code": 40000,
        "message": "argument 'a': it is missing; argument 'b': it is unknown; argument 'c': it is unknown",
    }
    assert b"argument &#x27;a&#x27;: it is missing" in ask(server, "GET", "/needs")[2]


def test_types_and_dataclasses(server: Wire) -> None:
    whole = {"order": {"item": "x", "count": 2}, "paid": True}
    assert form(server, "/order", "item=x&count=2&paid=on") == whole
    assert posted(server, "/order", {"order": {"item": "x", "count": 2}, "paid": True}) == whole
    status, _, body = ask(server, "GET", "/order?item=x&count=two", Accept="application/json")
    assert (status, json.loads(body)["message"]) == (400, "argument 'order': 'count': 'two' is not an integer")


def test_a_plain_decorator_may_wrap_a_coroutine_function(server: Wire) -> None:
    assert ask(server, "GET", "/decorated?number=5")[2] == b"5"
    assert ask(server, "GET", "/decorated?number=0")[2] == b"refused"
    assert ask(server, "GET", "/decorated?other=0")[0] == 400


def test_a_body_that_nests_without_end_is_refused(server: Wire) -> None:
    def chained(links: int) -> Any:
        chain = '{"item": "x", "next": ' * links + '{"item": "x"}' + "}" * links
        return said(server, "/chain", f'{{"chain": {chain}}}'.encode(), Content_Type="application/json")

    assert chained(10) == {"item": "x"}
    assert chained(600) == chained(5000) == 400


# Paths and methods


def test_paths(server: Wire) -> None:
    def at(target: str) -> Any:
        status, _, body = ask(server, "GET", target)
        return body.decode() if status == 200 else status

    assert [at(each) for each in ("/i/5", "/i", "/i/", "/i/x", "/i/-3")] == ["5", "0", 404, 404, 404]
    assert [at(each) for each in ("/s/Your_Name", "/s/a%5Fb", "/s/a%2Fb", "/s/%ED%95%9C")] == [
        "Your Name",
        "a_b",
        "a/b",
        "한",
    ]
    assert at("/p/a/b+c%20d") == "a/b c d"
    assert at("/get/") == 404


def test_a_missing_slash_is_added_and_the_query_kept(server: Wire) -> None:
    status, fields, _ = ask(server, "GET", "/slash?x=1")
    assert (status, fields["location"]) == (301, "/app/slash/?x=1")
    assert ask(server, "POST", "/slash", b"")[0] == 308
    assert ask(server, "GET", "/slash/")[2] == b"slash"


def test_methods_and_types(server: Wire) -> None:
    status, fields, _ = ask(server, "POST", "/get", b"")
    assert (status, fields["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert ask(server, "HEAD", "/get")[::2] == (200, b"")
    assert ask(server, "POST", "/xml", b"<a/>", Content_Type="text/xml; charset=utf-8")[0] == 200
    assert ask(server, "POST", "/xml", b"{}", Content_Type="application/json")[0] == 415
    assert ask(server, "POST", "/xml", b"")[0] == 415
    status, fields, body = ask(server, "OPTIONS", "/get")
    assert (status, fields["allow"], body) == (204, "GET, HEAD, OPTIONS", b"")
    assert ask(server, "OPTIONS", "/i/5")[2] == b"5"


# Origins


def cors(answer: tuple[int, dict[str, str], bytes]) -> tuple[int, dict[str, str]]:
    status, fields, _ = answer
    return status, {name: value for name, value in fields.items() if name.startswith("access-") or name == "vary"}


ALLOWED = {"access-control-allow-origin": SITE, "access-control-allow-credentials": "true", "vary": "Origin"}


def test_origins(server: Wire) -> None:
    assert cors(ask(server, "GET", "/get", Origin=SITE)) == (200, ALLOWED)
    assert cors(ask(server, "GET", "/get", Origin="http://api.example")) == (200, {"vary": "Origin"})
    assert cors(ask(server, "GET", "/get", Origin="https://evil.example")) == (403, {"vary": "Origin"})
    assert cors(ask(server, "POST", "/own", b"", Origin="https://any.example")) == (
        200,
        {"access-control-allow-origin": "*"},
    )


def test_redirects_can_be_followed_by_allowed_origins(server: Wire) -> None:
    assert cors(ask(server, "GET", "/slash", Origin=SITE)) == (301, ALLOWED)
    assert cors(ask(server, "GET", "/slash", Origin="https://evil.example"))[0] == 403


def test_errors_can_be_read_by_allowed_origins(server: Wire) -> None:
    assert cors(ask(server, "GET", "/needs", Origin=SITE)) == (400, ALLOWED)
    assert cors(ask(server, "GET", "/nowhere", Origin=SITE)) == (404, ALLOWED)


def preflight(server: Wire, target: str, method: str = "POST", origin: str = SITE) -> tuple[int, dict[str, str]]:
    asked = {"Access_Control_Request_Method": method, "Access_Control_Request_Headers": "X-Token"}
    return cors(ask(server, "OPTIONS", target, Origin=origin, **asked))


def test_preflights(server: Wire) -> None:
    assert preflight(server, "/i/5") == (
        200,
        {
            **ALLOWED,
            "access-control-allow-methods": "GET, HEAD, POST, OPTIONS",
            "access-control-allow-headers": "X-Token",
            "access-control-max-age": "60",
        },
    )
    assert preflight(server, "/get")[0] == 405
    assert preflight(server, "/i/5", "DELETE")[0] == 405
    assert preflight(server, "/i/5", origin="https://evil.example")[0] == 403
    assert preflight(server, "/nowhere")[0] == 404


# URLs


def test_urls_inside_a_request(server: Wire) -> None:
    assert said(server, "/urls?limit=100")["urls"] == [
        "/app/s/a%5Fb_c",
        "/app/s/x",
        "/app/urls?limit=100&page=3",
        "/app/p/",
        "/app/x",
    ]
