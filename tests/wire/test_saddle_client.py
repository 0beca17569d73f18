"""`app.make_client()`: an app is asked in memory, and answers as it does in a worker."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault

import pytest

from skitai import was as general
from skitai.errors import LoadError
from skitai.saddle import Saddle, Was
from skitai.saddle.client import RemoteError
from tests.support.memory import mounted, wire


@pytest.fixture
def app() -> Saddle:
    app = Saddle(__name__)
    app.securekey = "a secret of the tests"
    return app


def test_verbs_and_what_comes_back(app: Saddle) -> None:
    @app.route("/pets/<int:id>", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    def pet(was: Was, id: int, name: str = "none") -> Any:
        return was.response.API(method=was.request.method, id=id, name=name)

    with app.make_client() as client:
        got = client.get("/pets/4", params={"name": "rex"})
        assert (got.status_code, got.reason, got.ok) == (200, "OK", True)
        assert got.headers["content-type"] == "application/json"
        assert got.json() == {"method": "GET", "id": 4, "name": "rex"}
        assert got.data.name == "rex"
        assert client.post("/pets/1", {"name": "a b"}).data == {"method": "POST", "id": 1, "name": "a b"}
        assert client.postjson("/pets/2", {"name": "ü"}).data == {"method": "POST", "id": 2, "name": "ü"}
        assert client.put("/pets/3", json={"name": "c"}).data.method == "PUT"
        assert client.patch("/pets/3", {"name": "d"}).data.name == "d"
        assert client.delete("/pets/3").data.method == "DELETE"
        head = client.head("/pets/4?name=rex")
        assert (head.status_code, head.content, head.headers["content-length"]) == (
            200,
            b"",
            str(len(got.content) + 1),
        )  # "HEAD" is longer than "GET"
        options = client.options("/pets/4")
        assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")


def test_errors_are_answers(app: Saddle, caplog: pytest.LogCaptureFixture) -> None:
    @app.route("/broken", methods=["GET"])
    def broken(was: Was) -> str:
        raise LookupError("secret")

    with app.make_client() as client:
        page = client.get("/broken")
        assert page.status_code == 500
        assert "secret" not in page.text
        assert "LookupError: secret" in caplog.text
        assert client.get("/nowhere").status_code == 404
        assert client.post("/broken", b"x").status_code == 405
        app.debug = True
        assert "LookupError: secret" in client.get("/broken").text
        with pytest.raises(AssertionError, match="404 Not Found"):
            client.get("/nowhere").raise_for_status()


def test_below_a_mount_point(app: Saddle) -> None:
    @app.route("/page/<name>")
    def page(was: Was, name: str) -> str:
        return f"{name} {was.ab('page', 'other')} {was.env['SCRIPT_NAME']} {was.app.basepath}"

    with app.make_client("/shop") as client:
        assert client.get("/shop/page/one").text == "one /shop/page/other /shop /shop/"
        assert client.get("page/two").text.startswith("two ")
        assert client.get("/page/one").status_code == 404
        slash = client.get("/shop?a=b", allow_redirects=False)
        assert (slash.status_code, slash.headers["location"]) == (308, "http://localhost/shop/?a=b")
    with pytest.raises(ValueError, match="is no plain path"):
        app.make_client("/a b")


def test_cookies_sessions_and_redirects(app: Saddle) -> None:
    @app.route("/login", methods=["POST"])
    def login(was: Was, name: str) -> Any:
        was.session["name"] = name
        was.cookie["seen"] = "yes"
        return was.redirect(was.ab("index"))

    @app.route("/")
    def index(was: Was) -> str:
        return f"{was.session.get('name')} {was.cookie.get('seen')} {was.request.method}"

    with app.make_client("/shop/") as client:
        assert client.get("/shop/").text == "None None GET"
        assert client.post("/shop/login", {"name": "ann"}).text == "ann yes GET"
        assert client.get("/shop/").text == "ann yes GET"
        assert {cookie.name for cookie in client.cookies} >= {"seen"}
    with app.make_client("/shop/") as other:
        assert other.get("/shop/").text == "None None GET"


def test_uploads_and_limits(app: Saddle, tmp_path: Path) -> None:
    app.config.max_post_body_size = 100

    @app.route("/upload", methods=["POST"])
    def upload(was: Was, title: str, file: Any) -> str:
        return f"{title}: {file.name}, {len(file.read())} bytes"

    @app.route("/echo", methods=["POST"])
    def echo(was: Was) -> Any:
        return was.request.body

    (tmp_path / "notes.txt").write_text("hello")
    with app.make_client() as client, (tmp_path / "notes.txt").open("rb") as file:
        assert client.upload("/upload", {"title": "one", "file": file}).text == "one: notes.txt, 5 bytes"
        assert (
            client.upload("/upload", {"title": "two", "file": ("x.bin", io.BytesIO(b"123"))}).text == "two: x.bin, 3 bytes"
        )
        assert client.post("/echo", b"x" * 100).status_code == 200
        assert client.post("/echo", b"x" * 101).status_code == 413


def test_hooks_and_coroutine_functions_mix(app: Saddle) -> None:
    said: list[str] = []

    @app.before_request
    async def before(was: Was) -> None:
        await asyncio.sleep(0)
        said.append(f"before {general.request.method}")

    @app.finish_request
    def finish(was: Was) -> None:
        said.append("finish")

    @app.route("/")
    async def index(was: Was) -> str:
        await asyncio.sleep(0)
        assert general.request is was.request
        return threading.current_thread().name

    with app.make_client() as client:
        assert client.get("/").text == "skitai-client"
    assert said == ["before GET", "finish"]


def test_a_client_works_inside_a_running_loop(app: Saddle) -> None:
    @app.route("/")
    async def index(was: Was) -> str:
        return "fine"

    async def test() -> str:
        with app.make_client() as client:
            return client.get("/").text

    assert asyncio.run(test()) == "fine"


@pytest.mark.parametrize("kind", ["pieces", "async pieces", "file"])
def test_bodies_that_are_made_while_they_are_sent(app: Saddle, kind: str, tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("from a file")
    closed: list[str] = []

    def pieces(was: Was) -> Iterator[str]:
        try:
            yield "one "
            yield general.request.method
        finally:
            closed.append("pieces")

    async def async_pieces() -> AsyncIterator[str]:
        yield "two "
        await asyncio.sleep(0)
        yield general.request.method

    @app.route("/")
    def index(was: Was) -> Any:
        match kind:
            case "pieces":
                return pieces(was)
            case "async pieces":
                return async_pieces()
        return was.response.file(str(tmp_path / "file.txt"))

    with app.make_client() as client:
        expected = {"pieces": "one GET", "async pieces": "two GET", "file": "from a file"}
        assert client.get("/").text == expected[kind]
    assert closed == (["pieces"] if kind == "pieces" else [])


def test_a_body_that_breaks_raises_what_it_raises(app: Saddle) -> None:
    @app.route("/")
    def index(was: Was) -> Iterator[str]:
        yield "one"
        raise LookupError("out of pieces")

    with app.make_client() as client, pytest.raises(LookupError, match="out of pieces"):
        client.get("/")


def test_a_coroutine_function_that_does_not_end(app: Saddle) -> None:
    @app.route("/")
    async def index(was: Was) -> str:
        await asyncio.sleep(600)
        return "never"

    with app.make_client() as client:
        assert client.get("/", timeout=0.05).status_code == 500


def test_the_apps_life(app: Saddle) -> None:
    life: list[str] = []

    @app.before_mount
    def before_mount(wac: Any) -> None:
        life.append("before mount")

    @app.mounted
    async def are_mounted(was: Was) -> None:
        life.append(f"mounted at {was.app.basepath}")

    @app.umounted
    def umounted(wac: Any) -> None:
        life.append("umounted")

    @app.route("/")
    def index(was: Was) -> str:
        life.append("asked")
        return "x"

    with app.make_client("/here/") as client:
        assert life == ["before mount", "mounted at /here/"]
        client.get("/here/")
    assert life == ["before mount", "mounted at /here/", "asked", "umounted"]

    client = app.make_client("/here/")
    assert len(life) == 4, "nothing happens before the first request"
    client.get("/here/")
    client.close()
    client.close()
    assert life[4:] == ["before mount", "mounted at /here/", "asked", "umounted"]
    assert not [thread for thread in threading.enumerate() if thread.name == "skitai-client"]


def test_two_clients_at_once(app: Saddle) -> None:
    other = Saddle(__name__)
    for each, text in ((app, "one"), (other, "two")):

        @each.route("/")
        async def index(was: Was, text: str = text) -> str:
            return text

    first, second = app.make_client(), other.make_client()
    with first, second:
        assert (first.get("/").text, second.get("/").text) == ("one", "two")
        first.close()
        assert second.get("/").text == "two"


def test_an_app_that_cannot_be_mounted(app: Saddle) -> None:
    app.config.max_post_body_size = "a lot"
    with pytest.raises(LoadError, match="max_post_body_size: 'a lot' is not a size"):
        app.make_client().get("/")
    assert not [thread for thread in threading.enumerate() if thread.name == "skitai-client"]


def test_remote_calls(app: Saddle) -> None:
    @app.route("/math/add", methods=["POST"])
    def add(was: Was, a: int, b: int) -> int:
        return a + b

    @app.route("/fail", methods=["POST"])
    def fail(was: Was) -> int:
        raise was.response.throw("409 Conflict", "taken")

    with app.make_client() as client:
        assert client.xmlrpc().math.add(1, 2) == 3
        assert client.jsonrpc().math.add(1, 2) == 3
        with client.jsonrpc("/") as calls:
            assert calls.math.add(b=1, a=2) == 3
        with pytest.raises(Fault, match="409"):
            client.xmlrpc().fail()
        with pytest.raises(RemoteError) as caught:
            client.jsonrpc().nowhere()
        assert caught.value.code == -32601
        with pytest.raises(TypeError, match="no named arguments"):
            client.xmlrpc().math.add(a=1, b=2)


def test_who_asks(app: Saddle) -> None:
    app.authorization = "basic"
    app.authenticate = True
    app.users = {"ann": ("secret", False)}

    @app.route("/")
    def index(was: Was) -> str:
        return str(was.request.user)

    with app.make_client() as client:
        assert client.get("/").status_code == 401
        assert client.get("/", auth=("ann", "wrong")).status_code == 401
        assert client.get("/", auth=("ann", "secret")).text == "ann"


@pytest.mark.parametrize("url", ["/a b", "/ü", "/a\r\nX: y"])
def test_urls_that_are_none(app: Saddle, url: str) -> None:
    with app.make_client() as client, pytest.raises(ValueError, match="it should be percent-encoded|control character"):
        client.get(url)


def test_fields_that_are_none(app: Saddle) -> None:
    with app.make_client() as client, pytest.raises(ValueError, match="control character in the field x-a"):
        client.get("/", headers={"X-A": "b\r\nX-C: d"})


def test_it_answers_as_a_worker_does(app: Saddle) -> None:
    @app.route("/<int:number>", methods=["GET", "POST"])
    def number(was: Was, number: int, text: str = "") -> Any:
        was.cookie["n"] = str(number)
        return {"number": number, "text": text} if number else ("404 Nothing", "none")

    targets = ["/1", "/1?text=a&b=c", "/0", "/x", "/1/", "/2?text=%FC"]
    with wire(mounted("/", app), kind="saddle") as server:
        from_worker = [server.get(target) for target in targets]
    with app.make_client() as client:
        for target, (status, fields, body) in zip(targets, from_worker, strict=True):
            response = client.get(target, allow_redirects=False)
            assert (response.status_code, response.content) == (status, body), target
            for name in ("content-type", "set-cookie", "location", "allow"):
                assert response.headers[name] == fields.get(name), (target, name)


def test_an_app_whose_hooks_break_its_config_is_taken_down_again(app: Saddle) -> None:
    said: list[str] = []

    @app.mounted
    def set_limit(was: Was) -> None:
        app.config.max_post_body_size = "much"

    app.umounted(lambda wac: said.append("umounted"))
    app.on_broadcast("said")(lambda was: said.append("heard"))

    with pytest.raises(LoadError, match="config.max_post_body_size"):
        app.make_client().open()

    assert said == ["umounted"]
    other = Saddle(__name__)
    with other.make_client():
        general.broadcast("said")
    assert said == ["umounted"]


def test_changes_are_noticed(app: Saddle) -> None:
    worked: list[str] = []

    @app.on_broadcast("model-changed:prices")
    def changed(was: Was, *args: Any) -> None:
        worked.append(f"heard {args}")

    @app.route("/set")
    def set_prices(was: Was) -> bool:
        before = was.getlu("prices")
        was.setlu("prices", 7)
        return was.getlu("prices", "unknown") >= before

    @app.route("/")
    @app.if_updated("prices", lambda was, name: worked.append(name), interval=0)
    def index(was: Was) -> str:
        return " ".join(worked)

    with app.make_client() as client:
        assert client.get("/").text == client.get("/").text == "prices"
        assert client.get("/set").text == "True"
        assert client.get("/").text == "prices heard (7,) prices"
    with pytest.raises(RuntimeError, match="needs a running server"):
        general.setlu("prices")
