"""Requests of other origins: who is refused, which fields the others get, and what OPTIONS answers."""

from __future__ import annotations

from typing import Any

import pytest

from skitai.http.head import Fields, Head
from skitai.saddle import cors
from skitai.saddle.cors import CorsFacet, ForeignOrigin
from skitai.saddle.routing import Found, NotAllowed, Route, Router

SITE = "https://site.example"
OTHER = "https://other.example"


class App(CorsFacet):
    def __init__(self, origins: list[str] | None = None, max_age: int = 0) -> None:
        super().__init__()
        self.access_control_allow_origin = origins
        self.access_control_max_age = max_age


def head(method: str = "GET", host: str = "api.example", **fields: str) -> Head:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in {"host": host, **fields}.items()]
    return Head(method, "/x", "origin", "/x", "/x", "", host, "1.1", Fields(pairs))


def fields(app: App, origin: str = "", route: Route | None = None, **more: Any) -> dict[str, str]:
    scheme = more.pop("scheme", "http")
    asked = head(**({"origin": origin} if origin else {}), **more)
    found = cors.fields(app, route, asked, scheme)
    assert len(dict(found)) == len(found), "no field comes twice"
    return dict(found)


def route(name: str = "f", **options: Any) -> Route:
    return Route("/x", lambda was: None, name, **options)


ALLOWED = {"Access-Control-Allow-Origin": SITE, "Access-Control-Allow-Credentials": "true", "Vary": "Origin"}
VARY = {"Vary": "Origin"}


def test_without_a_policy_only_the_own_origin_passes() -> None:
    assert fields(App()) == {}
    assert fields(App(), "http://api.example") == {}
    for foreign in (SITE, "http://api.example:8080", "null", "http://api.example.evil"):
        with pytest.raises(ForeignOrigin) as caught:
            fields(App(), foreign)
        assert caught.value.status == 403
        assert foreign in caught.value.message


@pytest.mark.parametrize(
    ("origin", "scheme", "host", "own"),
    [
        ("http://api.example", "http", "api.example:80", True),
        ("https://api.example:443", "https", "API.example", True),
        ("https://api.example", "http", "api.example", True),
        ("http://api.example", "https", "api.example", False),
        ("http://api.example:8080", "http", "api.example", False),
        ("http://api.example:8080", "http", "api.example:8080", True),
        ("ftp://api.example", "http", "api.example", False),
        ("api.example", "http", "api.example", False),
    ],
)
def test_which_origin_is_the_own_one(origin: str, scheme: str, host: str, own: bool) -> None:
    assert cors.is_own(origin, f"{scheme}://{host}") is own


def test_an_allowed_origin_is_named_alone() -> None:
    app = App([SITE, OTHER])
    assert fields(app, SITE) == ALLOWED
    assert fields(app, OTHER)["Access-Control-Allow-Origin"] == OTHER
    assert fields(app, "http://api.example") == VARY
    assert fields(app) == VARY
    with pytest.raises(ForeignOrigin) as caught:
        fields(app, "https://evil.example")
    assert caught.value.fields == [("Vary", "Origin")]


def test_everybody_is_allowed_without_credentials() -> None:
    assert fields(App(["*"]), SITE) == {"Access-Control-Allow-Origin": "*"}
    assert fields(App(["*"])) == {}
    assert fields(App(["*", SITE]), SITE) == ALLOWED
    assert fields(App(["*", SITE]), OTHER) == {"Access-Control-Allow-Origin": "*", "Vary": "Origin"}


def test_a_routes_own_list_replaces_the_apps() -> None:
    special = route(access_control_allow_origin=[OTHER])
    assert fields(App(), OTHER, special)["Access-Control-Allow-Origin"] == OTHER
    with pytest.raises(ForeignOrigin):
        fields(App([SITE]), SITE, special)
    with pytest.raises(ForeignOrigin):
        fields(App(["*"]), SITE, route(access_control_allow_origin=[]))


def test_one_origin_needs_no_list() -> None:
    assert cors.origins("https://Site.example/") == (SITE,)
    assert cors.origins("*") == ("*",)
    assert cors.origins(None) == ()


@pytest.mark.parametrize("given", ["example.com", ["example.com"], 5])
def test_what_is_no_list_of_origins_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match="access_control_allow_origin"):
        cors.origins(given)


# OPTIONS


def options(app: App, *routes: Route, **asked: str) -> Any:
    found = Router(routes).find("/x")
    assert isinstance(found, Found)
    answer = cors.options(app, found, head("OPTIONS", **asked), "http")
    return answer if answer is None else (answer[0], dict(answer[1]))


def preflight(app: App, *routes: Route, method: str = "POST", origin: str = SITE, **asked: str) -> Any:
    return options(app, *routes, origin=origin, access_control_request_method=method, **asked)


def test_plain_options_are_answered_where_no_route_does() -> None:
    assert options(App(), route(methods=["GET"])) == (204, {"Allow": "GET, HEAD, OPTIONS"})
    assert options(App(), route(methods=["GET", "OPTIONS"])) is None
    assert options(App(), route()) is None
    assert options(App(), route(methods=["GET"]), route(methods=["OPTIONS"])) is None


def test_a_preflight_is_answered_for_the_routes() -> None:
    app = App([SITE], max_age=3600)
    asked = preflight(app, route(methods=["POST", "OPTIONS"]), access_control_request_headers="X-A, Content-Type")
    assert asked == (
        200,
        {
            **ALLOWED,
            "Access-Control-Allow-Methods": "POST, OPTIONS",
            "Access-Control-Allow-Headers": "X-A, Content-Type",
            "Access-Control-Max-Age": "3600",
        },
    )
    assert preflight(App([SITE]), route())[1].keys() == {*ALLOWED, "Access-Control-Allow-Methods"}


def test_a_preflight_without_options_among_the_methods_is_not_allowed() -> None:
    with pytest.raises(NotAllowed) as caught:
        preflight(App([SITE]), route(methods=["POST"]))
    assert caught.value.fields == [("Allow", "POST, OPTIONS")]


def test_nor_is_one_for_a_method_that_no_route_takes() -> None:
    with pytest.raises(NotAllowed):
        preflight(App([SITE]), route(methods=["POST", "OPTIONS"]), method="PUT")


def test_nor_one_of_a_foreign_origin() -> None:
    with pytest.raises(ForeignOrigin):
        preflight(App(), route())
    with pytest.raises(ForeignOrigin):
        preflight(App([SITE]), route(), origin=OTHER)


def test_a_preflight_is_about_the_route_of_the_method_asked_for() -> None:
    read = route("read", methods=["GET", "OPTIONS"])
    write = route("write", methods=["POST"], access_control_allow_origin=[SITE], access_control_max_age=60)
    with_body = route("with_body", methods=["PUT"], content_types=["a/b"], access_control_allow_origin=[SITE])
    answer = preflight(App(), read, write, with_body)[1]
    assert answer["Access-Control-Allow-Methods"] == "GET, HEAD, POST, PUT, OPTIONS"
    assert answer["Access-Control-Max-Age"] == "60"
    assert preflight(App(), read, write, with_body, method="PUT")[0] == 200
    with pytest.raises(ForeignOrigin):
        preflight(App(), read, write, with_body, method="GET")
