"""URLs of routes: by name, by function, across namespaces and apps; what cannot be built says why."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from skitai.config.pref import AttrDict
from skitai.saddle import apps
from skitai.saddle.routes import RouteFacet
from skitai.saddle.routing import Found
from skitai.saddle.urls import UrlFacet


class App(RouteFacet):
    """An app that has routes only."""

    basepath = "/"  # type: ignore[assignment]

    def __init__(self, basepath: str = "/") -> None:
        super().__init__()
        self.basepath = basepath


class Was(UrlFacet):
    def __init__(self, app: Any, **args: Any) -> None:
        self.app = app
        self.request = ModuleType("request")
        self.request.args = AttrDict(args)  # type: ignore[attr-defined]


@pytest.fixture
def app() -> App:
    app = App()

    @app.route("/one")
    def one(was: Any, a: Any) -> None: ...
    @app.route("/dft")
    def dft(was: Any, a: Any = 1) -> None: ...
    @app.route("/add")
    def add(was: Any, num1: Any, num2: Any) -> None: ...
    @app.route("/i/<int:a>")
    def ii(was: Any, a: Any) -> None: ...
    @app.route("/idef/<int:a>")
    def idef(was: Any, a: Any = 7) -> None: ...
    @app.route("/s/<name>")
    def st(was: Any, name: Any) -> None: ...
    @app.route("/p/<path:p>")
    def pp(was: Any, p: Any) -> None: ...
    @app.route("/f/<float:x>")
    def ff(was: Any, x: Any) -> None: ...
    @app.route("/two/<int:a>/x/<b>")
    def two(was: Any, a: Any, b: Any) -> None: ...
    @app.route("/any")
    def anything(was: Any, **kw: Any) -> None: ...
    @app.route("/mid/<a>/end")
    def mid(was: Any, a: Any = "x") -> None: ...
    @app.route("/<int:n>")
    def root(was: Any, n: Any = 1) -> None: ...
    @app.route("/navigate")
    def navigate(was: Any, limit: Any = 20, pageno: Any = 1) -> None: ...

    return app


class Colour(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("call", "url"),
    [
        (("one", 1), "/one?a=1"),
        (("one",), "/one"),
        (("dft",), "/dft"),
        (("dft", None), "/dft"),
        (("add", 10, 40), "/add?num1=10&num2=40"),
        (("add", 10, {"num2": 60}), "/add?num1=10&num2=60"),
        (("ii", 5), "/i/5"),
        (("ii", "5"), "/i/5"),
        (("idef",), "/idef"),
        (("idef", 7), "/idef/7"),
        (("idef", None), "/idef"),
        (("st", "Your Name"), "/s/Your_Name"),
        (("st", "Your_Name"), "/s/Your%5FName"),
        (("st", "a/b?c#d%"), "/s/a%2Fb%3Fc%23d%25"),
        (("st", "한"), "/s/%ED%95%9C"),
        (("st", ".."), "/s/%2E%2E"),
        (("pp", "a/b c"), "/p/a/b+c"),
        (("pp", "/etc/../x"), "/p/%2Fetc/%2E%2E/x"),
        (("ff", 0.5), "/f/0.5"),
        (("ff", 1e-7), "/f/0.0000001"),
        (("two", 1, "b"), "/two/1/x/b"),
        (("mid",), "/mid/x/end"),
        (("root",), "/1"),
        (("root", 5), "/5"),
        (("anything", {"x": [1, 2], "y": None}), "/any?x=1&x=2"),
        (("one", True), "/one?a=true"),
        (("one", Colour.RED), "/one?a=red"),
        (("one", datetime.date(2030, 1, 2)), "/one?a=2030-01-02"),
        (("one", datetime.timedelta(seconds=2)), "/one?a=2.0"),
        (("one", b"x y"), "/one?a=x%20y"),
        (("one", "a&b=c"), "/one?a=a%26b%3Dc"),
        (("/abs",), "/abs"),
        (("/abs", {"x": 1}), "/abs?x=1"),
    ],
)
def test_a_url_is_built_like_a_call(app: App, call: tuple[Any, ...], url: str) -> None:
    *args, last = call
    kwargs = last if isinstance(last, dict) else {}
    assert app.build_url(*(args if kwargs else call), **kwargs) == url


@pytest.mark.parametrize(
    ("call", "error", "why"),
    [
        (("nowhere",), NameError, "no route leads to 'nowhere'"),
        (("one", 1, 2), ValueError, "takes 1 arguments, and 2 were given"),
        (("one", {"b": 1}), ValueError, "takes no b"),
        (("add", 1, {"num1": 2}), ValueError, "num1 given twice"),
        (("ii",), ValueError, "needs 'a'"),
        (("two", 1), ValueError, "needs 'b'"),
        (("ii", "x"), ValueError, "'x' is not digits"),
        (("ii", -1), ValueError, "-1 is not digits"),
        (("ff", "x"), ValueError, "could not convert"),
        (("ff", -1), ValueError, "is not a number of digits"),
        (("st", ""), ValueError, "'name' is empty"),
        (("/abs", 1), ValueError, "is a path"),
    ],
)
def test_what_cannot_be_built_says_why(app: App, call: tuple[Any, ...], error: type[Exception], why: str) -> None:
    *args, last = call
    kwargs = last if isinstance(last, dict) else {}
    with pytest.raises(error, match=why):
        app.build_url(*(args if kwargs else call), **kwargs)


def test_what_is_built_leads_to_its_route(app: App) -> None:
    for call in [("ii", 5), ("st", "a_b/c d"), ("pp", "x/y z_"), ("two", 3, ". ."), ("idef",)]:
        path = app.build_url(*call)
        found = app._routes.find(path)
        assert isinstance(found, Found)
        assert found.pick("GET").name == call[0]
        assert list(found.values.values()) == list(call[1:])


def test_functions_are_targets(app: App) -> None:
    @app.route("/func")
    def func(was: Any, a: Any) -> None: ...

    assert app.build_url(func, 3) == "/func?a=3"
    with pytest.raises(NameError, match="stranger"):

        def stranger(was: Any) -> None: ...

        app.build_url(stranger)


def test_the_mount_point_goes_first(app: App) -> None:
    app.basepath = "/math/"
    assert app.build_url("add", 1, 2) == "/math/add?num1=1&num2=2"
    assert app.build_url("/abs") == "/math/abs"
    assert app.base_url("st") == "/math/s/"


def test_the_later_function_of_a_name_is_meant(app: App, caplog: pytest.LogCaptureFixture) -> None:
    @app.route("/newer")
    def one(was: Any) -> None: ...

    assert app.build_url("one") == "/newer"
    assert "the name one now leads to /newer, no longer to /one" in caplog.text


def test_an_annotation_that_leads_nowhere_is_said(app: App, caplog: pytest.LogCaptureFixture) -> None:
    def function(was: Any, item: Nowhere) -> None:  # type: ignore[name-defined]  # noqa: F821
        ...

    app.add_route("/item", function)
    assert "function: no class has the name that annotates item" in caplog.text


def test_one_function_at_two_rules_is_no_cause_for_a_warning(app: App, caplog: pytest.LogCaptureFixture) -> None:
    @app.route("/outer")
    @app.route("/inner")
    def both(was: Any) -> None: ...

    assert app.build_url("both") == app.build_url(both) == "/outer"
    assert not caplog.text


def test_a_scope_gives_mount_namespace_and_options() -> None:
    app = App()
    with app.route_scope(mount="/regist/", ns="regist", authenticate="bearer", level=1):

        @app.route("/login", level=2)
        def login(was: Any) -> None: ...

        with app.route_scope(mount="/deep", ns="deep"):
            app.add_route("/x", login, name="other")

    @app.route("/plain")
    def outside(was: Any) -> None: ...

    assert app.build_url("regist.login") == "/regist/login"
    assert app.build_url("regist.deep.other") == "/regist/deep/x"
    assert app.build_url("outside") == "/plain"
    assert app._routes.named("regist.login").options == {"authenticate": "bearer", "level": 2}
    assert app._routes.named("outside").options == {}
    with pytest.raises(NameError):
        app.build_url("login")


def test_a_rule_that_cannot_be_is_refused_at_the_decoration() -> None:
    app = App()
    with pytest.raises(ValueError, match="does not begin"):
        app.route("x")(lambda was: "")
    with pytest.raises(ValueError, match="no origin like"):
        app.route("/x", access_control_allow_origin=["example.com"])(lambda was: "")


def test_any_word_may_be_an_option() -> None:
    app = App()
    app.route("/x", function=1, options=2, self=3, binder=4)(lambda was: "")
    assert app._routes.named("<lambda>").options == {"function": 1, "options": 2, "self": 3, "binder": 4}


def test_a_mount_point_of_the_whole_app() -> None:
    app = App()
    app.set_mount_point("/v1/")
    app.add_route("/", lambda was: "", name="index")
    assert app.build_url("index") == "/v1/"
    with pytest.raises(ValueError, match="does not begin"):
        app.set_mount_point("v1")
    with pytest.raises(ValueError, match="does not begin"), app.route_scope(mount="v1"):
        pass


# From inside a request


def test_partial_keeps_the_arguments_of_the_running_request(app: App) -> None:
    was = Was(app, limit="100", pageno="2", other="x")
    assert was.partial("navigate", pageno=3) == "/navigate?limit=100&pageno=3"
    assert was.partial("navigate", limit=None) == "/navigate?pageno=2"
    assert was.partial("navigate") == "/navigate?limit=100&pageno=2"
    with pytest.raises(ValueError, match="takes no x"):
        was.partial("navigate", x=1)


def test_basepath_is_what_stands_before_the_first_parameter(app: App) -> None:
    was = Was(app)
    assert was.basepath("two") == was.baseurl("two") == "/two/"
    assert was.basepath("navigate") == "/navigate"


@pytest.fixture
def neighbours(app: App) -> Iterator[tuple[Any, Any]]:
    search: Any = App("/search/")
    search.add_route("/query", lambda was, q: "", name="query")
    main: Any = app
    apps.register("here.example", "main", main)
    apps.register("here.example", "search", search)
    apps.register("there.example", "alone", elsewhere := App())  # type: ignore[arg-type]
    yield main, search
    for host, each in (("here.example", main), ("here.example", search), ("there.example", elsewhere)):
        apps.unregister(host, each)  # type: ignore[arg-type]


def test_other_apps_of_the_host_are_reached_by_their_file(neighbours: tuple[Any, Any]) -> None:
    main, search = neighbours
    was = Was(main)
    assert was.ab("search:query", "Your Name") == "/search/query?q=Your%20Name"
    assert was.apps["search"].build_url("query", "x") == "/search/query?q=x"
    assert main.build_url("search:query", "x") == search.build_url("query", "x")
    assert was.basepath("search:query") == "/search/query"
    assert sorted(was.apps) == ["main", "search"]
    with pytest.raises(NameError, match="no app 'alone' is mounted at this host; there are main, search"):
        was.ab("alone:index")
    with pytest.raises(NameError, match="'nothing'"):
        was.ab("search:nothing")


def test_a_reloaded_app_is_found_in_place_of_the_old(neighbours: tuple[Any, Any]) -> None:
    main, search = neighbours
    newer: Any = App("/search/")
    apps.replace("here.example", search, newer)
    assert Was(main).apps["search"] is newer
    apps.unregister("here.example", newer)
    assert "search" not in Was(main).apps


def test_an_app_that_is_mounted_nowhere_has_no_neighbours() -> None:
    assert not Was(App()).apps
