"""Which mount answers: hosts, mount points, static folders before apps, and what the server answers itself."""

from __future__ import annotations

from typing import Any

import pytest

from skitai.config.mounted import AppObject, Folder, Mount
from skitai.config.pref import AttrDict, Preference
from skitai.config.tree import Config
from skitai.exchange import BodyMode
from skitai.loading.app import Loaded
from skitai.protocols.http1.request import HeadParser
from skitai.was import environ
from skitai.worker.apps.wsgi import Wsgi
from skitai.worker.site import Answer, Plan, Route, Site

PARSER = HeadParser(Config().http1)


class App:
    body_mode = BodyMode.WHOLE

    def handle(self, exchange: Any) -> None: ...


class Files(App):
    def __init__(self, *names: str) -> None:
        self.names = names

    def find(self, raw_path: str) -> str | None:
        return raw_path if raw_path in self.names else None


def app(point: str, host: str = "default", **config: int) -> Route:
    pref = Preference(config=AttrDict(config))
    made = App()
    made.limits = config  # type: ignore[attr-defined]
    return Route(Mount(point, AppObject("", "", None), host=host, pref=pref), made, Config())


def files(point: str, *names: str, host: str = "default") -> Route:
    return Route(Mount(point, Folder("/srv"), host=host), Files(*names), Config())


def head(line: str = "GET /", host: str = "a") -> Any:
    return PARSER.parse(f"{line} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())


def chosen(site: Site, line: str = "GET /", host: str = "a") -> Route | Answer:
    found = head(line, host)
    return site.plan(found).choose(found)


class Said:
    """Takes down what the server answers itself."""

    def respond(self, status: int, fields: Any, body: bytes) -> None:
        self.status, self.fields = status, dict(fields)

    def fail(self, error: Any) -> None:
        self.status, self.fields = error.status, dict(error.fields)


def answered(site: Site, line: str = "GET /", host: str = "a") -> tuple[int, dict[str, str]]:
    target = chosen(site, line, host)
    assert isinstance(target, Answer)
    said = Said()
    target.handle(said)
    return said.status, said.fields


# Mount points


def test_the_longest_mount_point_wins_whatever_the_order() -> None:
    root, a, ab = app("/"), app("/a/"), app("/a/b/")
    for routes in ([root, a, ab], [ab, a, root], [a, ab, root]):
        site = Site(routes)
        assert chosen(site, "GET /x") is root
        assert chosen(site, "GET /a/") is a
        assert chosen(site, "GET /a/bc") is a
        assert chosen(site, "GET /a/b/c?d") is ab
        assert chosen(site, "GET /ab") is root


def test_of_whatever_kind_it_is() -> None:
    site = Site([app("/"), files("/static/", "/static/x")])
    assert chosen(site, "GET /static/x") is site.routes[1]
    nested = Site([files("/", "/api/x"), app("/api/")])
    assert chosen(nested, "GET /api/x") is nested.routes[1], "the app's point is longer than the folder's"


def test_points_compare_with_decoded_paths() -> None:
    site = Site([app("/"), app("/über uns/")])
    assert chosen(site, "GET /%C3%BCber%20uns/x") is site.routes[1]
    assert chosen(site, "GET /%61") is site.routes[0]


# Static folders and apps on one point


@pytest.mark.parametrize("order", [1, -1])
def test_a_file_comes_before_the_app_on_its_point(order: int) -> None:
    folder, behind = files("/", "/logo.png"), app("/")
    site = Site([folder, behind][::order])
    assert chosen(site, "GET /logo.png") is folder
    assert chosen(site, "HEAD /logo.png") is folder
    assert chosen(site, "GET /page") is behind
    assert chosen(site, "POST /logo.png") is behind


def test_of_several_folders_the_first_that_has_it() -> None:
    one, two = files("/", "/x", "/y"), files("/", "/y", "/z")
    site = Site([one, two])
    assert [chosen(site, f"GET {path}") for path in ("/x", "/y", "/z")] == [one, one, two]
    assert answered(site, "GET /none") == (404, {})


def test_a_longer_folder_falls_through_to_a_shorter_one_and_to_the_app() -> None:
    short, long, behind = files("/", "/a/x"), files("/a/", "/a/y"), app("/")
    site = Site([behind, short, long])
    assert chosen(site, "GET /a/y") is long
    assert chosen(site, "GET /a/x") is short
    assert chosen(site, "GET /a/z") is behind


def test_files_come_and_go_without_another_plan() -> None:
    folder, behind = files("/"), app("/")
    site = Site([folder, behind])
    plan = site.plan(head("GET /new"))
    assert plan.choose(head("GET /new")) is behind
    folder.app.names = ("/new",)
    assert plan.choose(head("GET /new")) is folder


# What the server answers itself


def test_a_place_without_its_slash_is_redirected_with_its_query() -> None:
    site = Site([app("/"), app("/a/b/"), app("/über uns/")])
    assert answered(site, "GET /a/b") == (308, {"Location": "/a/b/"})
    assert answered(site, "POST /a/b?x=1&y=%2F") == (308, {"Location": "/a/b/?x=1&y=%2F"})
    assert answered(site, "GET /%C3%BCber%20uns") == (308, {"Location": "/%C3%BCber%20uns/"})


@pytest.mark.parametrize("line", ["GET //a/b", "GET /%2Fa/b", "GET //evil.example/..%2fa/b"])
def test_no_redirect_leads_to_another_host(line: str) -> None:
    site = Site([app("/"), app("/a/b/")])
    assert chosen(site, line) is site.routes[0]


def test_nothing_there_is_404() -> None:
    site = Site([app("/a/"), files("/b/", "/b/x")])
    for line in ("GET /", "POST /c", "GET /b/y", "DELETE /"):
        assert answered(site, line) == (404, {})


def test_a_folder_takes_no_other_methods() -> None:
    site = Site([files("/static/", "/static/x")])
    assert answered(site, "POST /static/x") == (405, {"Allow": "GET, HEAD, OPTIONS"})
    assert answered(site, "DELETE /static/none") == (405, {"Allow": "GET, HEAD, OPTIONS"})
    assert answered(site, "OPTIONS /static/x") == (204, {"Allow": "GET, HEAD, OPTIONS"})


def test_options_of_an_app_are_its_own_business() -> None:
    site = Site([files("/", "/x"), app("/")])
    assert chosen(site, "OPTIONS /x") is site.routes[1]


def test_options_of_the_server() -> None:
    status, fields = answered(Site([]), "OPTIONS *")
    assert status == 204 and "GET" in fields["Allow"]


def test_connect_is_not_served() -> None:
    assert answered(Site([app("/")]), "CONNECT a:443")[0] == 501


# Hosts

NAMES = [app("/", host=host) for host in ("example.org www.example.org", ".example.net", ".deep.example.net", "default")]
ORG, NET, DEEP, DEFAULT = NAMES


@pytest.mark.parametrize(
    ("host", "route"),
    [
        ("example.org", ORG),
        ("www.example.org", ORG),
        ("WWW.Example.ORG", ORG),
        ("example.org:8080", ORG),
        ("example.org.", ORG),
        ("sub.example.org", DEFAULT),
        ("example.net", NET),
        ("a.example.net", NET),
        ("a.b.example.net:1", NET),
        ("deep.example.net", DEEP),
        ("x.deep.example.net", DEEP),
        ("notexample.net", DEFAULT),
        ("net", DEFAULT),
        ("[::1]:5000", DEFAULT),
        ("127.0.0.1", DEFAULT),
    ],
)
@pytest.mark.parametrize("order", [1, -1])
def test_hosts_are_found_by_name_suffix_or_default(host: str, route: Route, order: int) -> None:
    assert chosen(Site(NAMES[::order]), host=host) is route


def test_a_host_with_a_site_of_its_own_gets_nothing_of_the_default() -> None:
    site = Site([app("/"), app("/only/", host="a")])
    assert answered(site, "GET /", host="a")[0] == 404
    assert chosen(site, "GET /only/", host="a") is site.routes[1]
    assert chosen(site, "GET /", host="b") is site.routes[0]


def test_an_unknown_host_without_default_is_404() -> None:
    site = Site([app("/", host="a")])
    assert answered(site, host="b")[0] == 404
    assert answered(site, "POST /", host="b")[0] == 404


def test_the_target_may_name_the_host() -> None:
    assert chosen(Site(NAMES), "GET http://a.example.net/", host="example.org") is NET


# Plans


def test_a_plan_is_kept_with_its_head_for_its_own_site() -> None:
    site = Site([app("/")])
    found = head()
    plan = site.plan(found)
    assert isinstance(plan, Plan) and found.route is plan and plan.site is site


def test_limits_are_the_apps_or_the_servers() -> None:
    bodies = Config().bodies
    plain, own = app("/"), app("/", max_post_body_size=10)
    upload = PARSER.parse(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: Multipart/form-data; boundary=x\r\n\r\n")
    assert plain.limit(head()) == bodies.max_post_body_size
    assert plain.limit(upload) == bodies.max_multipart_body_size
    assert (own.limit(head()), own.limit(upload)) == (10, bodies.max_multipart_body_size)


@pytest.mark.parametrize(
    ("point", "target", "script_name", "path_info"),
    [
        ("/", "/", "", "/"),
        ("/", "/a%20b", "", "/a b"),
        ("/app/", "/app/", "/app", "/"),
        ("/app/", "/app/x/y?z", "/app", "/x/y"),
        ("/app/", "/%61pp//x", "/app", "//x"),
        ("/ü/", "/%C3%BC/x", "/Ã¼", "/x"),
    ],
)
def test_script_name_and_path_info_divide_the_path(point: str, target: str, script_name: str, path_info: str) -> None:
    mount = Mount(point, AppObject("", "", None))
    wsgi = Wsgi(Loaded(None, "wsgi", "", mount), mount)
    assert wsgi.script_name == script_name
    assert environ.of_head(head(f"GET {target}"), wsgi.script_name)["PATH_INFO"] == path_info
