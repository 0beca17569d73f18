"""Rules and the tree of routes: which route answers a path, and with which values."""

from __future__ import annotations

from functools import partial, wraps
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skitai.saddle.routing import NotAllowed, Redirect, Route, Router, UnsupportedType, below
from skitai.saddle.rules import Parameter, parse


def plain(was: Any) -> None: ...


def anything(was: Any, **values: Any) -> None: ...


def router(*rules: str) -> Router:
    """Routes whose names are their rules."""
    return Router(Route(rule, anything, rule) for rule in rules)


def leads(routes: Router, path: str, method: str = "GET") -> Any:
    """Where a path leads: the rule, and the values if there are any; a redirect's path; None."""
    found = routes.find(path)
    if found is None:
        return None
    if isinstance(found, Redirect):
        return f"-> {found.path}"
    route = found.pick(method)
    return (route.name, found.values) if found.values else route.name


# What a rule may be


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("", "does not begin with '/'"),
        ("hello", "does not begin with '/'"),
        ("/<int:>", "no name of an argument"),
        ("/<uuid:x>", "types are int, float, string, path"),
        ("/<x>/<x>", "two parameters of one name"),
        ("/<x", "one '<name>' at most"),
        ("/x>", "a '>' without '<'"),
        ("/<x><y>", "one '<name>' at most"),
        ("/<path:p>/edit", "takes all the rest"),
        ("/<path:p>.html", "takes all the rest"),
        ("/<a-b>", "no name of an argument"),
        ("//evil.example", "which no path has"),
        ("/x?y=<z>", "which no path has"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_where_it_is_written(rule: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Route(rule, anything)


@pytest.mark.parametrize("option", ["methods", "content_types"])
def test_methods_and_content_types_are_lists_of_words(option: str) -> None:
    with pytest.raises(ValueError, match=option):
        Route("/", plain, **{option: "POST"})


def test_a_function_has_to_take_was_and_no_star() -> None:
    with pytest.raises(ValueError, match="no first argument"):
        Route("/", lambda: None, "none")
    with pytest.raises(ValueError, match=r"takes \*args, but arguments come by name.*functools.wraps"):
        Route("/", lambda was, *args: None, "star")


def test_a_route_needs_a_name() -> None:
    class Callable:
        async def __call__(self, was: Any) -> None: ...

    with pytest.raises(ValueError, match="give one with name="):
        Route("/", Callable())
    assert Route("/", Callable(), "named").is_async


def test_who_is_a_coroutine_function() -> None:
    async def inner(was: Any) -> None: ...

    @wraps(inner)
    def wrapper(was: Any) -> Any:
        return inner(was)

    assert [Route("/", each).is_async for each in (inner, wrapper, plain)] == [True, True, False]
    assert Route("/", partial(inner), "partial").is_async


# Types of parameters


@pytest.mark.parametrize(
    ("rule", "path", "value"),
    [
        ("/i/<int:x>", "/i/100", 100),
        ("/i/<int:x>", "/i/007", 7),
        ("/i/<int:x>", "/i/abc", None),
        ("/i/<int:x>", "/i/-3", None),
        ("/i/<int:x>", "/i/1.5", None),
        ("/i/<int:x>", "/i/%31", None),
        ("/i/<int:x>", "/i/²", None),
        ("/i/<int:x>", "/i/" + "9" * 5000, None),
        ("/i/<int:x>", "/i/", None),
        ("/i/<int:x>", "/i", None),
        ("/i/<int:x>", "/i/1/", None),
        ("/f/<float:x>", "/f/1.5", 1.5),
        ("/f/<float:x>", "/f/2", 2.0),
        ("/f/<float:x>", "/f/.5", 0.5),
        ("/f/<float:x>", "/f/1.2.3", None),
        ("/f/<float:x>", "/f/.", None),
        ("/f/<float:x>", "/f/1e3", None),
        ("/f/<float:x>", "/f/nan", None),
        ("/f/<float:x>", "/f/" + "9" * 400, None),
        ("/s/<x>", "/s/Your_Name", "Your Name"),
        ("/s/<string:x>", "/s/Your_Name", "Your Name"),
        ("/s/<x>", "/s/a%20b", "a b"),
        ("/s/<x>", "/s/a%5Fb", "a_b"),
        ("/s/<x>", "/s/a+b", "a+b"),
        ("/s/<x>", "/s/a%2Fb", "a/b"),
        ("/s/<x>", "/s/..", None),
        ("/s/<x>", "/s/%2e%2E", None),
        ("/s/<x>", "/s/..%2F..%2Fetc%2Fpasswd", None),
        ("/s/<x>", "/s/a%2F..", None),
        ("/s/<x>", "/s/a..b%2F...", "a..b/..."),
        ("/s/<x>", "/s/%ED%95%9C", "한"),
        ("/s/<x>", "/s/%FF", "\ufffd"),
        ("/s/<x>", "/s/a/b", None),
        ("/s/<x>", "/s/", None),
        ("/p/<path:x>", "/p/a/b", "a/b"),
        ("/p/<path:x>", "/p/a+b%2Bc_d/", "a b+c_d/"),
        ("/p/<path:x>", "/p//etc", "/etc"),
        ("/p/<path:x>", "/p/a/../b", None),
        ("/p/<path:x>", "/p/%2E%2E/etc", None),
        ("/p/<path:x>", "/p/a%2F..", None),
        ("/p/<path:x>", "/p/a..b/...", "a..b/..."),
        ("/p/<path:x>", "/p/", None),
        ("/p/<path:x>", "/p", None),
        ("/<x>.html", "/a.b.html", "a.b"),
        ("/<x>.html", "/.html", None),
        ("/<x>.html", "/a.htm", None),
        ("/v<int:x>", "/v12", 12),
        ("/v<int:x>", "/vx", None),
        ("/über-<x>", "/%C3%BCber-uns", "uns"),
        ("/at<path:x>", "/at/a/b", "/a/b"),
    ],
)
def test_what_a_parameter_takes(rule: str, path: str, value: Any) -> None:
    assert leads(router(rule), path) == (None if value is None else (rule, {"x": value}))


def test_path_alone_at_the_end_is_a_path() -> None:
    routes = router("/download/<int:major>/<path>", "/where/<path>/is")
    assert leads(routes, "/download/1/version/1.1/win32") == (
        "/download/<int:major>/<path>",
        {"major": 1, "path": "version/1.1/win32"},
    )
    assert leads(routes, "/where/it/is") == ("/where/<path>/is", {"path": "it"})
    assert leads(routes, "/where/it/really/is") is None


def test_literal_text_is_compared_decoded() -> None:
    routes = router("/한글", "/a b", "/x/y", "/c%20d")
    assert leads(routes, "/%ED%95%9C%EA%B8%80") == "/한글"
    assert leads(routes, "/a%20b") == "/a b"
    assert leads(routes, "/%78/y") == "/x/y"
    assert leads(routes, "/c%20d") == leads(routes, "/%63%20d") == "/c%20d"
    assert leads(routes, "/x%2Fy") is None


# Defaults


def test_a_default_of_the_last_parameter_makes_the_shorter_path_work() -> None:
    def episode(was: Any, id: Any = None) -> None: ...

    routes = Router([Route("/episode/<int:id>", episode)])
    assert leads(routes, "/episode/7") == ("episode", {"id": 7})
    assert leads(routes, "/episode") == "episode"
    assert leads(routes, "/episode/") is None


def test_but_not_for_the_root_nor_in_the_middle_nor_for_a_part_of_a_segment() -> None:
    def page(was: Any, x: int = 1, y: int = 2) -> None: ...

    assert leads(Router([Route("/<int:x>", page)]), "/") is None
    assert leads(Router([Route("/a/<int:x>/b", page)]), "/a/b") is None
    assert leads(Router([Route("/a/v<int:x>", page)]), "/a") is None
    both = Router([Route("/a/<int:x>/<int:y>", page)])
    assert leads(both, "/a/1") == ("page", {"x": 1})
    assert leads(both, "/a") is None


def test_keyword_only_arguments_and_positional_only_ones_have_defaults_too() -> None:
    def keyword(was: Any, *, x: int = 1) -> None: ...
    def positional(was: Any, x: int = 1, /) -> None: ...

    assert leads(Router([Route("/k/<x>", keyword), Route("/p/<x>", positional)]), "/k") == "keyword"
    assert leads(Router([Route("/p/<x>", positional)]), "/p") == "positional"


def test_a_rule_comes_before_one_that_was_shortened_to_it() -> None:
    def item(was: Any, id: int = 0) -> None: ...

    for order in (["/items", "/items/<int:id>"], ["/items/<int:id>", "/items"]):
        routes = Router(Route(each, item if "id" in each else plain, each) for each in order)
        assert leads(routes, "/items") == "/items"


# Slashes


def test_a_path_is_redirected_to_the_one_with_a_slash_but_not_back() -> None:
    routes = router("/slash/", "/one", "/user/<name>/")
    assert leads(routes, "/slash") == "-> /slash/"
    assert leads(routes, "/slash/") == "/slash/"
    assert leads(routes, "/one/") is None
    assert leads(routes, "/user/a%2Fb") == "-> /user/a%2Fb/"
    assert Redirect.status("GET") == Redirect.status("HEAD") == 301
    assert Redirect.status("POST") == 308


def test_a_route_without_slash_is_preferred_to_a_redirect() -> None:
    assert leads(router("/both/", "/both"), "/both") == "/both"


@pytest.mark.parametrize("path", ["//evil.example", "//evil.example/x", "/\\evil.example"])
def test_a_redirect_never_leads_to_another_host(path: str) -> None:
    found = router("/<a>/", "/<a>/<b>/").find(path)
    assert found is None or (isinstance(found, Redirect) and not found.path.startswith("//"))


def test_an_empty_segment_is_nobodys_value() -> None:
    assert leads(router("/<a>/<b>"), "//x") is None
    assert leads(router("/<a>/<b>"), "/x/") is None


# Precedence


def test_precedence_does_not_depend_on_the_order_of_definition() -> None:
    rules = [
        "/a/b",
        "/a/b-<x>",
        "/a/<int:x>",
        "/a/<float:x>",
        "/a/<x>",
        "/a/<path:x>",
        "/a/at<path:x>",
        "/a/<x>-long",
        "/a/x-<x>",
        "/a/b/<path:x>",
        "/a/<x>/c",
        "/<path:x>",
    ]
    expected = {
        "/a/b": "/a/b",
        "/a/b-c": ("/a/b-<x>", {"x": "c"}),
        "/a/atlas": ("/a/at<path:x>", {"x": "las"}),
        "/a/x-y-long": ("/a/x-<x>", {"x": "y-long"}),
        "/a/y-long": ("/a/<x>-long", {"x": "y"}),
        "/a/1": ("/a/<int:x>", {"x": 1}),
        "/a/1.5": ("/a/<float:x>", {"x": 1.5}),
        "/a/c": ("/a/<x>", {"x": "c"}),
        "/a/x/c": ("/a/<x>/c", {"x": "x"}),
        "/a/b/c": ("/a/b/<path:x>", {"x": "c"}),
        "/a/x/d": ("/a/<path:x>", {"x": "x/d"}),
        "/other": ("/<path:x>", {"x": "other"}),
    }
    for order in (rules, rules[::-1], sorted(rules, key=len)):
        routes = router(*order)
        assert {path: leads(routes, path) for path in expected} == expected


def test_where_a_branch_leads_nowhere_the_next_one_is_tried() -> None:
    routes = router("/a/b/c", "/a/<x>/d", "/<path:x>")
    assert leads(routes, "/a/b/d") == ("/a/<x>/d", {"x": "b"})
    assert leads(routes, "/a/b/e") == ("/<path:x>", {"x": "a/b/e"})


def test_rules_that_are_alike_keep_their_own_names() -> None:
    routes = Router(
        [
            Route("/u/<name>", anything, "read", methods=["GET"]),
            Route("/u/<id>", anything, "write", methods=["POST"]),
        ]
    )
    assert leads(routes, "/u/x") == ("read", {"name": "x"})
    assert leads(routes, "/u/x", "POST") == ("write", {"id": "x"})


# Methods and content types


def refusal(routes: Router, path: str, method: str, content_type: str = "") -> tuple[int, str]:
    found = routes.find(path)
    assert found is not None and not isinstance(found, Redirect)
    with pytest.raises((NotAllowed, UnsupportedType)) as caught:
        found.pick(method, content_type)
    return caught.value.status, dict(caught.value.fields).get("Allow", "")


def test_one_path_may_have_several_functions_by_method() -> None:
    routes = Router(
        [
            Route("/x", anything, "read", methods=["get"]),
            Route("/x", anything, "write", methods=["POST", "PUT"]),
            Route("/x", anything, "write_too", methods=["PUT", "PURGE"]),
        ]
    )
    assert [leads(routes, "/x", each) for each in ("GET", "HEAD", "POST", "PUT", "PURGE")] == [
        "read",
        "read",
        "write",
        "write",
        "write_too",
    ]
    assert refusal(routes, "/x", "DELETE") == (405, "GET, HEAD, POST, PUT, OPTIONS, PURGE")


def test_without_methods_all_the_usual_ones_reach_the_function() -> None:
    routes = router("/x")
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        assert leads(routes, "/x", method) == "/x"
    assert refusal(routes, "/x", "PURGE") == (405, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")


def test_a_method_that_the_first_rule_does_not_take_goes_to_the_next_that_fits() -> None:
    routes = Router(
        [
            Route("/items/new", plain, "form", methods=["GET"]),
            Route("/items/<id>", anything, "item", methods=["POST"]),
        ]
    )
    assert leads(routes, "/items/new") == "form"
    assert leads(routes, "/items/new", "POST") == ("item", {"id": "new"})
    assert refusal(routes, "/items/new", "PUT") == (405, "GET, HEAD, POST, OPTIONS")
    assert refusal(routes, "/items/old", "GET") == (405, "POST, OPTIONS")


def test_content_types_are_compared_without_parameters() -> None:
    routes = Router([Route("/x", plain, content_types=["Text/XML", "application/json"])])
    found = routes.find("/x")
    assert found is not None and not isinstance(found, Redirect)
    assert found.pick("POST", "text/xml; charset=utf-8").name == "plain"
    assert found.pick("POST", "APPLICATION/JSON").name == "plain"
    assert found.pick("OPTIONS", None).name == "plain"
    assert refusal(routes, "/x", "POST", "text/plain") == (415, "")
    assert refusal(routes, "/x", "POST") == (415, "")
    assert refusal(Router([Route("/x", plain, methods=["PUT"], content_types=["a/b"])]), "/x", "POST", "a/b")[0] == 405


def test_the_body_decides_between_functions_of_one_path() -> None:
    routes = Router(
        [
            Route("/x", anything, "xml", content_types=["text/xml"]),
            Route("/x", anything, "json", content_types=["application/json"]),
        ]
    )
    found = routes.find("/x")
    assert found is not None and not isinstance(found, Redirect)
    assert found.pick("POST", "application/json").name == "json"
    with pytest.raises(UnsupportedType, match="is text/plain, but has to be application/json or text/xml"):
        found.pick("POST", "text/plain")


# Below a mount point


@pytest.mark.parametrize(
    ("raw", "mount", "rest"),
    [
        ("/x/y", "/", "/x/y"),
        ("/x/y", "/x/", "/y"),
        ("/x/", "/x/", "/"),
        ("/x", "/x/", "/"),
        ("/x/y/z%2F", "/x/y", "/z%2F"),
        ("/%78/y", "/x/", "/y"),
        ("/x%2Fy/z", "/x/y/", "/x%2Fy/z"),
    ],
)
def test_the_path_below_a_mount_point_stays_encoded(raw: str, mount: str, rest: str) -> None:
    assert below(raw, mount) == rest


# Both ways


def _fits_a_path(text: str) -> bool:
    return ".." not in text.split("/") and not any("\ud800" <= each <= "\udfff" for each in text)


@given(st.text(min_size=1).filter(_fits_a_path))
def test_what_is_written_into_a_path_is_read_from_it(text: str) -> None:
    for kind in ("string", "path"):
        written = Parameter("x", kind).write(text)
        assert Parameter("x", kind).read(written) == text
        assert written.isascii() and "?" not in written and "#" not in written
        assert kind == "path" or "/" not in written


@given(st.integers(min_value=0), st.floats(min_value=0, allow_nan=False, allow_infinity=False))
def test_numbers_too(whole: int, number: float) -> None:
    assert Parameter("x", "int").read(Parameter("x", "int").write(whole)) == whole
    assert Parameter("x", "float").read(Parameter("x", "float").write(number)) == number


@given(st.text(alphabet="/ab%2F<>_+.", max_size=30))
def test_no_path_is_an_error(text: str) -> None:
    routes = router("/", "/<a>", "/a/<int:b>", "/a/<b>/", "/b/<path:c>")
    routes.find("/" + text)


def test_a_deep_path_takes_no_time() -> None:
    routes = router("/a/<x>/b", "/<x>/a/<y>", "/a/a/a/<int:x>")
    assert leads(routes, "/a" * 4000) is None
    assert leads(routes, "/" * 8000) is None


def test_a_rule_shows_its_beginning() -> None:
    assert parse("/user/<id>/pat").base == "/user/"
    assert parse("/v<int:n>").base == "/v"
    assert parse("/über").base == "/%C3%BCber"
    assert parse("/a%20b/<x>").base == "/a%20b/"
    assert parse("/").base == "/"
