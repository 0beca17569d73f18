"""What clients keep for a Saddle app, and the tokens they bring, through real connections."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from skitai import was as imported
from skitai.errors import LoadError
from skitai.lib.jwt import read_token
from skitai.saddle import Saddle, Was
from tests.support.memory import mounted, wire
from tests.support.visitor import Start, Visitor

KEY = "a long random text that nobody can guess"


@pytest.fixture
def app() -> Saddle:
    app = Saddle(__name__)
    app.securekey = KEY
    return app


# Cookies


def test_a_cookie_belongs_to_its_app(visit: Start, app: Saddle) -> None:
    @app.route("/")
    def index(was: Was) -> str:
        came = was.cookie.get("private", "none")
        was.cookie["private"] = "1"
        was.cookie.set("public", "2", path="/")
        return came

    client = visit(app, "/admin")
    answer = client.get("/admin/")
    assert answer.body == "none"
    assert answer.all("set-cookie") == ["private=1; path=/admin", "public=2; path=/"]
    assert client.get("/admin/").body == "1"


def test_at_the_root_the_path_is_the_root(visit: Start, app: Saddle) -> None:
    @app.route("/")
    def index(was: Was) -> str:
        was.cookie["a"] = "1"
        return ""

    assert visit(app).get("/").get("set-cookie") == "a=1; path=/"


def test_a_failed_request_sets_nothing(visit: Start, app: Saddle) -> None:
    @app.route("/")
    def index(was: Was) -> str:
        was.cookie["a"] = "1"
        was.session["b"] = "2"
        was.mbox.send("c")
        raise LookupError("broken")

    answer = visit(app).get("/")
    assert (answer.status, answer.all("set-cookie")) == (500, [])


@pytest.mark.parametrize("before", [True, False])
def test_a_stream_is_too_late_to_set_anything(app: Saddle, before: bool) -> None:
    @app.route("/")
    def index(was: Was) -> Any:
        if before:
            was.session["a"] = 1

        def pieces() -> Any:
            yield f"{was.session.get('a')}"
            for change in (
                lambda: was.session.set("b", 2),
                lambda: was.mbox.send("c"),
                lambda: was.cookie.set("d", "3"),
                lambda: was.csrf_token,
            ):
                with pytest.raises(RuntimeError, match="cannot be changed: the response has begun"):
                    change()
            yield " and no more"

        return pieces()

    with app.make_client() as client:
        assert client.get("/").text == ("1" if before else "None") + " and no more"


@pytest.mark.parametrize("job", ["cookie", "session", "mbox"])
def test_what_is_too_large_for_a_cookie_is_said_and_not_sent(
    visit: Start, app: Saddle, job: str, caplog: pytest.LogCaptureFixture
) -> None:
    @app.route("/<job>")
    def write(was: Was, job: str) -> str:
        if job == "cookie":
            was.cookie["large"] = "x" * 5000
        elif job == "session":
            was.session["large"] = "x" * 5000
        else:
            was.mbox.send("x" * 5000)
        return "done"

    answer = visit(app).get(f"/{job}")
    assert (answer.status, answer.all("set-cookie")) == (500, [])
    assert "4096 at most" in caplog.text


@pytest.mark.parametrize(
    "field",
    [
        "",
        ";",
        "=",
        "a",
        "a=\x01; b=2",
        'a="',
        "%00=%0d%0a",
        "sdlsess_=; sdlmbox_=",
        "sdlsess_=%ff; sdlmbox_=\xff",
        "x=" + "y" * 7000,
    ],
)
def test_cookies_of_any_form_are_read(visit: Start, app: Saddle, field: str) -> None:
    @app.route("/")
    def index(was: Was) -> str:
        return json.dumps(
            [dict(was.cookie), dict(was.session), was.mbox.get(), was.session.exists(), was.session.source_verified()]
        )

    answer = visit(app).get("/", Cookie=field)
    assert answer.status == (400 if "\x01" in field else 200)


# Sessions


@pytest.fixture
def counting(app: Saddle) -> Saddle:
    @app.route("/")
    def count(was: Was) -> str:
        was.session["visits"] = was.session.get("visits", 0) + 1
        return str(was.session["visits"])

    @app.route("/read")
    async def read(was: Was) -> str:
        return f"{was.session.get('visits')} {was.session.exists()} {list(was.session)}"

    @app.route("/leave")
    def leave(was: Was) -> Any:
        was.session.expire()
        return was.redirect("/read")

    return app


def test_a_session(visit: Start, counting: Saddle) -> None:
    client = visit(counting)
    assert client.get("/read").body == "None False []"
    assert client.cookies == {}
    assert [client.get("/").body for _ in range(3)] == ["1", "2", "3"]
    assert client.get("/read").body == "3 True ['visits']"
    assert client.get("/read").all("set-cookie") == []
    assert client.get("/leave").status == 302
    assert client.get("/read").body == "None False []"
    assert Visitor(client.server).get("/").body == "1", "each client has its own"


def test_nothing_of_one_client_is_seen_by_the_next(visit: Start, app: Saddle) -> None:
    @app.route("/set")
    def fails(was: Was) -> str:
        was.session["user"] = was.cookie["user"] = was.g.user = "ann"
        was.mbox.send("for ann")
        raise LookupError("on the way")

    @app.route("/get")
    def get(was: Was) -> str:
        return f"{dict(was.session)} {dict(was.cookie)} {was.g.get('user')} {was.mbox.get()} {was.user}"

    client = visit(app)
    for _ in range(8):  # on each of the threads
        assert client.get("/set").status == 500
        assert client.get("/get").body == "{} {} None [] None"


def test_the_was_that_is_imported_is_the_same(visit: Start, app: Saddle) -> None:
    @app.route("/")
    def index(was: Was) -> str:
        imported.session["a"] = 1
        imported.cookie["b"] = "2"
        return f"{was.session is imported.session} {was.cookie['b']} {imported.csrf_token == was.csrf_token} {imported.user}"

    assert visit(app).get("/").body == "True 2 True None"


def test_a_session_over_tls_insists_on_it(visit: Start, counting: Saddle) -> None:
    client = visit(counting, trusted_proxies=("unix",))
    assert "; HttpOnly; SameSite=Lax" in client.get("/").get("set-cookie")
    assert "; Secure; HttpOnly; SameSite=Lax" in client.get("/", X_Forwarded_Proto="https").get("set-cookie")


def test_a_session_without_a_key_is_an_error_that_says_so(
    visit: Start, counting: Saddle, caplog: pytest.LogCaptureFixture
) -> None:
    counting.securekey = None
    client = visit(counting)
    assert client.get("/").status == 500
    assert "app.securekey" in caplog.text


@pytest.mark.parametrize(("key", "is_weak"), [("secret", True), (["a" * 32, b"old"], True), ("a" * 32, False), ("", False)])
def test_a_short_key_is_warned_of(
    visit: Start, app: Saddle, key: Any, is_weak: bool, caplog: pytest.LogCaptureFixture
) -> None:
    app.securekey = key
    visit(app)
    assert ("its securekey is short" in caplog.text) is is_weak


@pytest.mark.parametrize("key", [12345, ["good enough for a test", ""], [["nested"]]])
def test_what_is_no_key_is_an_error_at_the_start(visit: Start, app: Saddle, key: Any) -> None:
    app.securekey = key
    with pytest.raises(LoadError, match="the app at /: "):
        visit(app)


def test_sessions_are_shared_by_apps_with_one_key(counting: Saddle, threads: int) -> None:
    other = Saddle(__name__)
    other.securekey = KEY

    @other.route("/")
    def read(was: Was) -> str:
        return str(was.session.get("visits"))

    with wire(mounted("/", counting), mounted("/other", other), kind="saddle", threads=threads) as server:
        client = Visitor(server)
        client.get("/")
        assert client.get("/other/").body == "1"


def test_the_timeout_is_the_apps(visit: Start, counting: Saddle) -> None:
    counting.session_timeout = -1
    client = visit(counting)
    assert client.get("/").body == "1"
    assert client.get("/").body == "1"


def test_a_forged_session_is_an_empty_one(visit: Start, counting: Saddle) -> None:
    client = visit(counting)
    client.get("/")
    good = client.cookies["sdlsess_"]
    for forged in (
        good[:-1],
        good[1:],
        good[:40] + ("A" if good[40] != "A" else "B") + good[41:],
        good + good,
        "x",
        good.lower(),
    ):
        client.cookies["sdlsess_"] = forged
        answer = client.get("/read")
        assert (answer.status, answer.body) == (200, "None False []")
    client.cookies["sdlsess_"] = good
    assert client.get("/").body == "2"


def test_every_name_of_a_session_is_there(visit: Start, app: Saddle) -> None:
    @app.route("/cookie")
    def cookie(was: Was) -> dict[str, Any]:
        cookie = was.cookie
        cookie.set("a", "1", expires=60, path="/", domain="example", secure=True, http_only=True)
        cookie.set("b", "2", "never")
        cookie.remove("b", path="/", domain=None)
        said = [cookie.has_key("a"), "b" in cookie, list(cookie.keys()), list(cookie.values()), list(cookie.items())]
        cookie.clear(path="/", domain=None)
        return {"said": said, "left": dict(cookie), "get": cookie.get("c", "default")}

    @app.route("/session")
    def session(was: Was) -> dict[str, Any]:
        session = was.session
        session.set("a", 1)
        session["b"] = 2
        session.touch()
        session.set_expiry(60)
        said = [session.get("a"), session.get("z", 9), session.getv("b"), session.source_verified(), session.has_key("a")]
        said += [list(session), list(session.keys()), list(session.values()), list(session.items()), len(session)]
        session.remove("a")
        session.clear()
        session["c"] = 3
        session.mount("ADM", "another key", path="/session", domain=None, secure=False, http_only=True, session_timeout=60)
        said += [session.exists("ADM"), session.exists(None)]
        session.expire()
        session.mount(None, KEY)
        return {"said": said, "left": dict(session)}

    @app.route("/mbox")
    def mbox(was: Was) -> dict[str, Any]:
        mbox = was.mbox
        mbox.send("one", "notice", 60, icon="tick")
        removed = mbox.push("two")
        said = [mbox.search("notice") != [], mbox.search("icon", "tick") != [], mbox.search("icon"), mbox.source_verified()]
        mbox.remove(removed)
        said += [[each.msg for each in mbox.get(*args)] for args in ((), ("notice",), ("icon", "tick"), ("info",))]
        said += [[each.msg for each in mbox.getv("notice")], mbox.exists(None)]
        mbox.mount("ADM", "another key", path="/mbox", domain=None, secure=False, http_only=True)
        return {"said": said, "left": mbox.get()}

    client = visit(app)
    said = json.loads(client.get("/cookie").body)
    assert said == {"said": [True, False, ["a"], ["1"], [["a", "1"]]], "left": {}, "get": "default"}
    items = [["a", 1], ["b", 2]]
    said = [1, 9, 2, True, True, ["a", "b"], ["a", "b"], [1, 2], items, 2, False, True]
    assert json.loads(client.get("/session").body) == {"said": said, "left": {"c": 3}}
    one = ["one"]
    assert json.loads(client.get("/mbox").body) == {"said": [True, True, [], True, one, one, one, [], one, True], "left": []}


# Messages


def test_flash_messages(visit: Start, app: Saddle) -> None:
    @app.route("/send")
    def send(was: Was) -> Any:
        was.mbox.send("saved", "notice", icon="tick")
        was.mbox.send("soon down", "alarm", valid=60)
        return was.redirect("/show")

    @app.route("/show")
    def show(was: Was) -> str:
        each = "{% for id, category, created, valid, msg, extra in was.mbox.get() %}"
        text = each + "{{ category }} {{ msg }} {{ extra }};{% endfor %}"
        return str(app.jinja_env.from_string(text).render(was=was))

    @app.route("/fail")
    def fail(was: Was) -> str:
        was.mbox.get()
        raise LookupError

    client = visit(app)
    assert client.get("/show").body == ""
    client.get("/send")
    assert client.get("/fail").status == 500
    shown = client.get("/show").body
    assert "notice saved" in shown and "alarm soon down {}" in shown
    assert client.get("/show").body == "alarm soon down {};"


# Links


@pytest.fixture
def linking(app: Saddle) -> Saddle:
    @app.route("/make")
    def make(was: Was, timeout: float = 60, key: str = "") -> str:
        return was.mktoken(("hans", {1, 2}), timeout, key or None)

    @app.route("/use")
    def use(was: Was, token: Any = None) -> str:
        return repr(was.detoken(token))

    @app.route("/withdraw")
    def withdraw(was: Was, token: Any = None) -> str:
        return repr(was.rmtoken(token))

    return app


def test_a_token_holds_a_value_for_a_while(visit: Start, linking: Saddle) -> None:
    client = visit(linking)
    token = client.get("/make").body
    assert "hans" not in token and token.replace("-", "").replace("_", "").isalnum()
    assert client.get(f"/use?token={token}").body == "('hans', {1, 2})"
    assert client.cookies == {}
    assert client.get(f"/withdraw?token={token}").body == "False"
    assert client.get(f"/use?token={client.get('/make?timeout=0').body}").body == "None"


def test_a_token_of_a_session_can_be_withdrawn(visit: Start, linking: Saddle) -> None:
    client = visit(linking)
    token = client.get("/make?key=rset").body
    other = client.get("/make?key=other").body
    assert client.get(f"/use?token={token}").body == "('hans', {1, 2})"
    assert Visitor(client.server).get(f"/use?token={token}").body == "None"
    assert client.get(f"/withdraw?token={token}").body == "True"
    assert client.get(f"/use?token={token}").body == "None"
    assert client.get(f"/withdraw?token={token}").body == "False"
    assert client.get(f"/use?token={other}").body != "None"
    newer = client.get("/make?key=other").body
    assert client.get(f"/use?token={other}").body == "None"
    assert client.get(f"/use?token={newer}").body != "None"


def test_a_token_outlives_the_sessions_timeout(visit: Start, linking: Saddle) -> None:
    linking.session_timeout = -1
    client = visit(linking)
    token = client.get("/make?key=rset").body
    assert client.get(f"/use?token={token}").body == "('hans', {1, 2})"


@pytest.mark.parametrize("token", ["", "x", "%00", "%E4%B8%AD", "gAAAAA", "a&token=b", "x" * 3000])
def test_forged_tokens_are_none(visit: Start, linking: Saddle, token: str) -> None:
    client = visit(linking)
    for path in ("use", "withdraw"):
        answer = client.get(f"/{path}?token={token}")
        assert (answer.status, answer.body) == (200, "None" if path == "use" else "False")


def test_a_cookie_is_no_token(visit: Start, linking: Saddle) -> None:
    client = visit(linking)
    client.get("/make?key=rset")
    assert client.get(f"/use?token={client.cookies['sdlsess_']}").body == "None"


# Forms


@pytest.fixture
def forms(app: Saddle) -> Saddle:
    @app.route("/form")
    def form(was: Was) -> str:
        return str(app.jinja_env.from_string("{{ was.csrf_token_input }}").render(was=was))

    @app.route("/send", methods=["POST"])
    def send(was: Was, **form: Any) -> str:
        return repr(was.csrf_verify())

    @app.route("/keep", methods=["POST"])
    def keep(was: Was, **form: Any) -> str:
        return repr(was.csrf_verify(keep=True))

    return app


def token_of(page: str) -> str:
    before, _, rest = page.partition('<input type="hidden" name="_csrf_token" value="')
    assert before == "" and rest.endswith('">')
    return rest[:-2]


def test_a_form_of_ours_is_known(visit: Start, forms: Saddle) -> None:
    client = visit(forms)
    assert client.post("/send", {}).body == "False"
    token = token_of(client.get("/form").body)
    assert token == token_of(client.get("/form").body)
    assert client.post("/keep", {"_csrf_token": token}).body == "True"
    assert Visitor(client.server).post("/send", {"_csrf_token": token}).body == "False"
    for wrong in ("", token[:-1], token + "x", "é", token.upper() + "!"):
        assert client.post("/send", {"_csrf_token": wrong}).body == "False"
    assert client.post("/send", {"_csrf_token": token}).body == "True"
    assert client.post("/send", {"_csrf_token": token}).body == "False"
    assert token != token_of(client.get("/form").body)


def test_scripts_send_it_in_a_field(visit: Start, forms: Saddle) -> None:
    client = visit(forms)
    token = token_of(client.get("/form").body)
    assert client.post("/send", {}, X_CSRF_Token="wrong").body == "False"
    assert client.post("/send", {}, X_CSRF_Token=token).body == "True"


def test_a_token_that_comes_twice_is_none(visit: Start, forms: Saddle) -> None:
    client = visit(forms)
    token = token_of(client.get("/form").body)
    body = f"_csrf_token={token}&_csrf_token={token}"
    answer = client.ask("POST", "/send", body, Content_Type="application/x-www-form-urlencoded")
    assert (answer.status, answer.body) == (200, "False")


# Other services


def test_web_tokens_are_those_of_the_standard(visit: Start, app: Saddle) -> None:
    @app.route("/make")
    def make(was: Was, alg: str = "HS256") -> str:
        return was.mkjwt({"username": "hans>>>???", "roles": ["a", "b"]}, alg)

    @app.route("/read")
    def read(was: Was, token: Any = None) -> str:
        claims = was.dejwt(token)
        return f"{claims and claims['roles']} {was.user} {was.user and was.user.roles} {was.user and was.user.unknown}"

    client = visit(app)
    for algorithm in ("HS256", "HS512"):
        token = client.get(f"/make?alg={algorithm}").body
        head, claims, seal = token.split(".")
        assert json.loads(base64.urlsafe_b64decode(head + "==")) == {"alg": algorithm, "typ": "JWT"}
        assert json.loads(base64.urlsafe_b64decode(claims + "==="))["username"] == "hans>>>???"
        assert read_token(KEY, token)["roles"] == ["a", "b"]
        assert client.get(f"/read?token={token}").body == "['a', 'b'] hans>>>??? ['a', 'b'] None"
        assert client.get(f"/read?token={head}.{claims}.{seal[:-2]}").body == "None None None None"
    for forged in ("", "x", "x&token=y", "a.b.c", "%00.%00.%00", "W1tbW1tbW1tb" * 400 + ".e30.x"):
        answer = client.get(f"/read?token={forged}")
        assert (answer.status, answer.body) == (200, "None None None None")
    assert client.get("/read").body == "None None None None"
    for algorithm in ("none", "HS1", "RS256"):
        assert client.get(f"/make?alg={algorithm}").status == 500
