"""Who may ask a Saddle app: HTTP authentication, and demands of the app itself."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from skitai.errors import LoadError
from skitai.lib.jwt import gen_token
from skitai.saddle import Saddle, Was
from tests.support.memory import wait_for
from tests.support.visitor import Start, Visitor, basic, challenges, digest

KEY = "a long random text that nobody can guess"


@pytest.fixture
def app() -> Saddle:
    app = Saddle(__name__)
    app.securekey = KEY
    app.realm = "a place"
    app.users = {"hans": ("1234", False, {"role": "root"}), "eve": "apple"}

    @app.route("/open")
    def open_to_all(was: Was) -> str:
        return f"user {was.user}"

    @app.route("/basic", authenticate="basic")
    def by_basic(was: Was) -> str:
        return f"{was.user.name} {was.request.user.realm} {was.user.info} {was.user.role}"

    @app.route("/digest/<name>")
    @app.authorization_required("digest")
    def by_digest(was: Was, name: str, q: str = "") -> str:
        return f"{was.user.username} {was.user.info} {name} {q}"

    @app.route("/bearer")
    @app.authorization_required("bearer")
    def by_bearer(was: Was) -> str:
        return f"{was.user} {was.request.token} {was.request.claim}"

    return app


def log_of(visitor: Visitor) -> str:
    return visitor.server.log.lines[-1]


# Basic


def test_basic_asks_and_lets_in(visit: Start, app: Saddle) -> None:
    client = visit(app)
    answer = client.get("/basic")
    assert answer.status == 401
    assert answer.get("www-authenticate") == 'Basic realm="a place", charset="UTF-8"'
    answer = client.get("/basic", Authorization=basic("hans", "1234"))
    assert (answer.status, answer.body) == (200, "hans a place {'role': 'root'} root")


@pytest.mark.parametrize(
    "field",
    [
        basic("hans", "12345"),
        basic("hans", ""),
        basic("nobody", "1234"),
        basic("", ""),
        "Basic",
        "Basic ====",
        "Basic aGFucw==",
        "Bearer x",
        'Digest username="hans"',
        "\xff\xfe",
        "Basic " + "A" * 5000,
    ],
)
def test_what_is_wrong_does_not_let_in(visit: Start, app: Saddle, field: str) -> None:
    assert visit(app).get("/basic", Authorization=field).status == 401


def test_the_user_is_in_the_request_log(visit: Start, app: Saddle) -> None:
    client = visit(app)
    client.get("/basic", Authorization=basic("hans", "1234"))
    client.server.tick()
    assert ' "hans" ' in log_of(client)


@pytest.mark.parametrize("hashed", [hashlib.md5, hashlib.sha256])
def test_encrypted_passwords(visit: Start, app: Saddle, hashed: Any) -> None:
    app.users = {"hans": (hashed(b"hans:a place:1234").hexdigest().upper(), True)}
    client = visit(app)
    assert client.get("/basic", Authorization=basic("hans", "1234")).status == 200
    assert client.get("/basic", Authorization=basic("hans", "4321")).status == 401


def test_nothing_of_one_request_is_seen_in_the_next(visit: Start, app: Saddle) -> None:
    client = visit(app)
    client.get("/basic", Authorization=basic("hans", "1234"))
    assert client.get("/open", Authorization=basic("hans", "1234")).body == "user None"
    assert client.get("/open").body == "user None"


@pytest.mark.parametrize("users", [{"hans": 12}, {"hans": ()}, {"hans": ("short", True)}, {"hans": (None,)}])
def test_users_that_are_none_are_the_apps_fault(visit: Start, app: Saddle, users: Any) -> None:
    app.users = users
    assert visit(app).get("/basic", Authorization=basic("hans", "1234")).status == 500


def test_a_handler_knows_users(visit: Start, app: Saddle) -> None:
    @app.authorization_handler
    def find(was: Was, username: str) -> tuple[str, bool, str] | None:
        return (username * 2, False, was.request.uri) if username != "nobody" else None

    client = visit(app)
    assert client.get("/basic", Authorization=basic("ab", "abab")).body == "ab a place /basic None"
    assert client.get("/basic", Authorization=basic("nobody", "nobodynobody")).status == 401
    assert client.get("/basic", Authorization=basic("hans", "1234")).status == 401


def test_a_handler_may_be_a_coroutine_function(visit: Start, app: Saddle) -> None:
    @app.authorization_handler
    async def find(was: Was, username: str) -> str:
        return username * 2

    assert visit(app).get("/basic", Authorization=basic("ab", "abab")).status == 200


# Digest


def test_digest_asks_and_lets_in(visit: Start, app: Saddle) -> None:
    client = visit(app)
    answer = client.get("/digest/x?q=1")
    assert answer.status == 401
    offered = challenges(answer)
    assert [each["algorithm"] for each in offered] == ["SHA-256", "MD5"]
    for each in offered:
        assert (each["realm"], each["qop"]) == ("a place", "auth")
        assert "stale" not in each
    for count, each in enumerate(offered, 1):
        given = digest(each, "hans", "1234", "/digest/x?q=1", count)
        answer = client.get("/digest/x?q=1", Authorization=given)
        assert (answer.status, answer.body) == (200, "hans {'role': 'root'} x 1")


def test_a_digest_is_good_once(visit: Start, app: Saddle) -> None:
    client = visit(app)
    (challenge, _) = challenges(client.get("/digest/x"))
    given = digest(challenge, "eve", "apple", "/digest/x")
    assert client.get("/digest/x", Authorization=given).status == 200
    answer = client.get("/digest/x", Authorization=given)
    assert answer.status == 401
    fresh = challenges(answer)[0]
    assert fresh["stale"] == "true"
    assert client.get("/digest/x", Authorization=digest(fresh, "eve", "apple", "/digest/x")).status == 200
    assert client.get("/digest/x", Authorization=digest(challenge, "eve", "apple", "/digest/x", 2)).status == 200


WRONG = [
    {"response": "0" * 64},
    {"response": ""},
    {"response": "é"},
    {"uri": "/digest/other"},
    {"uri": "/digest"},
    {"realm": "elsewhere"},
    {"qop": "auth-int"},
    {"cnonce": ""},
    {"username": "nobody"},
    {"username": "\xe4"},
    {"algorithm": "MD5"},
]


@pytest.mark.parametrize("changes", WRONG)
def test_a_digest_for_something_else_does_not_let_in(visit: Start, app: Saddle, changes: dict[str, str]) -> None:
    client = visit(app)
    challenge = challenges(client.get("/digest/x"))[0]
    given = digest(challenge, "hans", "1234", "/digest/x", **changes)
    if "algorithm" in changes:
        given = given.replace("algorithm=MD5", "algorithm=SHA-256")
    answer = client.get("/digest/x", Authorization=given)
    assert answer.status == 401
    assert "stale" not in challenges(answer)[0], "the password has to be typed again"


@pytest.mark.parametrize(
    "changes", [{"nonce": "made-up"}, {"nc": "00000000"}, {"nc": "1"}, {"algorithm": "SHA-256", "nonce": ""}]
)
def test_a_nonce_of_somebody_elses_is_stale(visit: Start, app: Saddle, changes: dict[str, str]) -> None:
    client = visit(app)
    challenge = challenges(client.get("/digest/x"))[0]
    answer = client.get("/digest/x", Authorization=digest(challenge, "hans", "1234", "/digest/x", **changes))
    assert answer.status == 401
    assert challenges(answer)[0].get("stale") == ("true" if all(changes.values()) else None)


@pytest.mark.parametrize(
    "field", ["Digest", "Digest x", 'Digest username="hans', "Digest " + "a=1, " * 900, "Digest a=1, a=2"]
)
def test_no_credentials_at_all(visit: Start, app: Saddle, field: str) -> None:
    assert visit(app).get("/digest/x", Authorization=field).status == 401


def test_a_digest_is_for_one_method(visit: Start, app: Saddle) -> None:
    client = visit(app)
    challenge = challenges(client.get("/digest/x"))[0]
    given = digest(challenge, "hans", "1234", "/digest/x", method="GET")
    assert client.ask("DELETE", "/digest/x", Authorization=given).status == 401
    given = digest(challenge, "hans", "1234", "/digest/x", method="DELETE")
    assert client.ask("DELETE", "/digest/x", Authorization=given).status == 200


def test_names_beyond_ascii(visit: Start, app: Saddle) -> None:
    app.realm = "Büro"
    app.users = {"jürgen": "pässword"}
    client = visit(app)
    challenge = challenges(client.get("/digest/x"))[0]
    assert challenge["realm"].encode("latin-1").decode() == "Büro"
    challenge["realm"] = "Büro"
    given = digest(challenge, "jürgen", "pässword", "/digest/x").replace("Büro", "Büro".encode().decode("latin-1"))
    assert client.get("/digest/x", Authorization=given).body == "jürgen None x "
    client.server.tick()
    assert ' "jürgen" ' in log_of(client)


@pytest.mark.parametrize(("name", "hashed"), [("MD5", hashlib.md5), ("SHA-256", hashlib.sha256)])
def test_an_encrypted_password_decides_on_the_algorithm(visit: Start, app: Saddle, name: str, hashed: Any) -> None:
    app.users = {"hans": (hashed(b"hans:a place:1234").hexdigest(), True)}
    client = visit(app)
    offered = {each["algorithm"]: each for each in challenges(client.get("/digest/x"))}
    (other,) = offered.keys() - {name}
    answer = client.get("/digest/x", Authorization=digest(offered[other], "hans", "1234", "/digest/x"))
    assert answer.status == 401
    (challenge,) = challenges(answer)
    assert (challenge["algorithm"], challenge["stale"]) == (name, "true")
    assert client.get("/digest/x", Authorization=digest(challenge, "hans", "1234", "/digest/x")).status == 200
    for user in ("hans", "nobody"):
        answer = client.get("/digest/x", Authorization=digest(offered[other], user, "1234", "/digest/x"))
        assert challenges(answer)[0]["stale"] == "true", "what is answered does not tell which users there are"


# Bearer


def test_bearer_tokens_are_the_apps_jwts_unless_it_says_otherwise(visit: Start, app: Saddle) -> None:
    client = visit(app)
    answer = client.get("/bearer")
    assert (answer.status, answer.get("www-authenticate")) == (401, 'Bearer realm="a place"')
    token = gen_token(KEY, {"username": "hans", "level": 3})
    answer = client.get("/bearer", Authorization=f"Bearer {token}")
    assert answer.body == f"hans {token} {{'username': 'hans', 'level': 3}}"
    answer = client.get("/bearer", Authorization="Bearer forged")
    assert answer.status == 401
    assert (
        answer.get("www-authenticate") == 'Bearer realm="a place", error="invalid_token", error_description="invalid token"'
    )
    old = gen_token(KEY, {"username": "hans", "exp": 1})
    assert 'error_description="token expired"' in client.get("/bearer", Authorization=f"Bearer {old}").get(
        "www-authenticate"
    )


def documented(was: Was, token: str) -> str | None:
    claims = was.dejwt(token)
    if claims["expires"] < time.time():  # type: ignore[index]
        return "token expired"
    return None


def by_method(was: Was, token: str) -> str | None:
    claims = was.dejwt(token)
    return "token expired" if claims.get("expires") < time.time() else None  # type: ignore[union-attr, operator]


@pytest.mark.parametrize("handler", [documented, by_method])
@pytest.mark.parametrize(
    ("token", "trouble"),
    [
        (lambda: gen_token(KEY, {"username": "hans", "expires": time.time() + 60}), None),
        (lambda: gen_token(KEY, {"username": "hans", "expires": time.time() - 60}), "token expired"),
        (lambda: gen_token(KEY, {"username": "hans", "exp": 1, "expires": 9e9}), "token expired"),
        (lambda: gen_token("another key that is just as long as it has to be", {"expires": 9e9}), "invalid token"),
        (lambda: gen_token(KEY, {"expires": "soon"}), "invalid token"),
        (lambda: gen_token(KEY, {"expires": 9e9})[:-4], "invalid token"),
        (lambda: "eyJhbGciOiJub25lIn0.eyJleHBpcmVzIjo5ZTl9.", "invalid token"),
        (lambda: "a.b.c", "invalid token"),
        (lambda: "\xe4", "invalid token"),
    ],
)
def test_a_handler_that_trusts_its_claims_is_not_broken_by_forged_ones(
    visit: Start, app: Saddle, handler: Any, token: Callable[[], str], trouble: str | None
) -> None:
    app.bearer_handler(handler)
    answer = visit(app).get("/bearer", Authorization=f"Bearer {token()}")
    if trouble is None:
        assert (answer.status, answer.body.split()[0]) == (200, "hans")
    else:
        assert (answer.status, trouble in answer.get("www-authenticate")) == (401, True)


def test_a_handler_decides_on_tokens(visit: Start, app: Saddle) -> None:
    @app.bearer_handler
    async def decide(was: Was, token: str) -> str | None:
        return None if token == "good" else 'it is "bad"\r\nX: y'

    client = visit(app)
    assert client.get("/bearer", Authorization="Bearer good").body == "None good None"
    answer = client.get("/bearer", Authorization="bearer bad")
    assert answer.status == 401
    assert answer.get("www-authenticate").endswith('error_description="it is ?bad???X: y"')
    assert not answer.get("x")


@pytest.mark.parametrize("verdict", [True, False, 0])
def test_a_handler_that_says_neither_is_an_error(visit: Start, app: Saddle, verdict: Any) -> None:
    app.bearer_handler(lambda was, token: verdict)
    assert visit(app).get("/bearer", Authorization="Bearer x").status == 500


def test_errors_of_a_handler_are_its_own(visit: Start, app: Saddle) -> None:
    @app.bearer_handler
    def decide(was: Was, token: str) -> None:
        raise TypeError("broken")

    assert visit(app).get("/bearer", Authorization="Bearer x").status == 500


def test_an_older_key_still_reads_tokens(visit: Start, app: Saddle) -> None:
    app.securekey = ["a new key, at least as long as the old one was", KEY]
    client = visit(app)
    for key in app.securekey:
        assert client.get("/bearer", Authorization=f"Bearer {gen_token(key, {'username': 'hans'})}").status == 200
    old = gen_token(KEY, {"username": "hans", "exp": 1})
    assert "token expired" in client.get("/bearer", Authorization=f"Bearer {old}").get("www-authenticate")


# Before the body


@pytest.fixture
def taking(app: Saddle) -> Saddle:
    @app.route("/take", methods=["POST"], authenticate="basic")
    def take(was: Was) -> str:
        return f"{was.user} {was.request.body.decode()}"

    @app.route("/take/async", methods=["POST"], authenticate="basic")
    async def take_async(was: Was) -> str:
        return f"{was.user} {was.request.body.decode()}"

    return app


def post(*more: str, path: str = "/take") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: example", "Content-Type: text/plain", *more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


KNOWN = f"Authorization: {basic('hans', '1234')}"
PATHS = pytest.mark.parametrize("path", ["/take", "/take/async"])


@PATHS
@pytest.mark.parametrize("who", ["X: y", f"Authorization: {basic('hans', 'wrong')}", "Authorization: Basic"])
def test_strangers_need_not_send_their_body(visit: Start, taking: Saddle, path: str, who: str) -> None:
    client = visit(taking).server.connect()
    status, fields, _ = client.ask(post("Content-Length: 1000000", "Expect: 100-continue", who, path=path))
    assert (status, fields["www-authenticate"].startswith("Basic")) == (401, True)
    assert client.closed()


@PATHS
def test_who_is_known_is_asked_for_the_body(visit: Start, taking: Saddle, path: str) -> None:
    client = visit(taking).server.connect()
    client.send(post("Content-Length: 4", "Expect: 100-continue", KNOWN, path=path))
    assert client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"body")
    assert client.response()[::2] == (200, b"hans body")


@PATHS
def test_bodies_arrive_as_they_like(visit: Start, taking: Saddle, path: str) -> None:
    client = visit(taking).server.connect()
    for _ in range(2):
        client.send(post("Content-Length: 4", KNOWN, path=path) + b"body" + post("Content-Length: 0", KNOWN, path=path))
        assert client.response()[::2] == (200, b"hans body")
        assert client.response()[::2] == (200, b"hans ")
        client.send(post("Transfer-Encoding: chunked", KNOWN, path=path) + b"4\r\nb")
        client.send(b"ody\r\n3\r\n\r\n\r\r\n0\r\n\r\n")
        assert client.response()[::2] == (200, b"hans body\r\n\r")
        client.send(post("Content-Length: 200000", KNOWN, path=path) + b"x" * 200_000)
        assert client.response()[::2] == (200, b"hans " + b"x" * 200_000)


def test_a_body_that_was_sent_to_no_avail_is_not_read_as_a_request(visit: Start, taking: Saddle) -> None:
    client = visit(taking).server.connect()
    smuggled = post("Content-Length: 0", KNOWN)
    client.send(post(f"Content-Length: {len(smuggled)}") + smuggled)
    assert client.response()[0] == 401
    assert client.read() == b""


@pytest.mark.parametrize(("body", "status"), [(b"body", 200), (b"\r\n\r\n", 200), (b"bo", 0), (b"\r\n\r", 0)])
def test_a_client_that_ends_its_side(visit: Start, taking: Saddle, body: bytes, status: int) -> None:
    client = visit(taking).server.connect()
    client.send(post("Content-Length: 4", KNOWN) + body)
    client.sock.shutdown(socket.SHUT_WR)
    answer = client.read()
    assert answer.startswith(b"HTTP/1.1 200 OK") if status else answer == b""


def test_the_limit_holds_for_those_who_are_known(visit: Start, taking: Saddle) -> None:
    taking.config.max_post_body_size = 10
    visitor = visit(taking)
    assert visitor.server.connect().ask(post("Content-Length: 11"))[0] == 401
    assert visitor.server.connect().ask(post("Content-Length: 11", KNOWN))[0] == 413


def test_an_app_that_is_asked_for_users_may_take_its_time(visit: Start, taking: Saddle) -> None:
    @taking.authorization_handler
    async def find(was: Was, username: str) -> str:
        await asyncio.sleep(0.05)
        return "1234"

    client = visit(taking).server.connect()
    client.send(post("Content-Length: 4", KNOWN) + b"bo")
    time.sleep(0.01)
    client.send(b"dy")
    assert client.response()[::2] == (200, b"hans body")


def test_a_client_that_leaves_meanwhile(visit: Start, taking: Saddle) -> None:
    asked = threading.Event()

    @taking.authorization_handler
    async def find(was: Was, username: str) -> str:
        asked.set()
        await asyncio.sleep(0.05)
        return "1234"

    visitor = visit(taking)
    client = visitor.server.connect()
    client.send(post("Content-Length: 4", KNOWN) + b"bo")
    assert asked.wait(5)
    client.close()
    wait_for(lambda: not visitor.server.services.connections)
    assert visitor.ask("POST", "/take", "body", Authorization=basic("hans", "1234")).body == "hans body"


# Which


def test_an_app_may_want_it_of_all_its_routes(visit: Start, app: Saddle) -> None:
    @app.route("/health")
    @app.auth_not_required
    def health(was: Was) -> str:
        return "well"

    @app.route("/off", authenticate=False)
    def off(was: Was) -> str:
        return "off"

    app.authenticate = "basic"
    client = visit(app)
    assert client.get("/open").status == 401
    assert client.get("/open", Authorization=basic("eve", "apple")).body == "user eve"
    assert client.get("/health").body == "well"
    assert client.get("/off").body == "off"
    assert "Digest" in client.get("/digest/x").get("www-authenticate"), "a route's own wish goes before"
    assert client.get("/nowhere").status == 401, "strangers do not learn which paths there are"
    assert client.get("/nowhere", Authorization=basic("eve", "apple")).status == 404


def test_true_is_the_usual_scheme(visit: Start, app: Saddle) -> None:
    @app.route("/usual", authenticate=True)
    def usual(was: Was) -> str:
        return "in"

    client = visit(app)
    assert client.get("/usual").all("www-authenticate")[0].startswith("Digest")
    app.authorization = "bearer"
    assert client.get("/usual").get("www-authenticate").startswith("Bearer")


def test_an_unknown_scheme_is_refused(visit: Start, app: Saddle) -> None:
    with pytest.raises(ValueError, match="basic, digest, bearer, True or False, not 'ntlm'"):
        app.authorization_required("ntlm")
    app.authenticate = "ntlm"
    with pytest.raises(LoadError, match="the app at /: authenticate is basic"):
        visit(app)


def test_a_route_that_wants_what_there_is_not_is_told_at_the_start(visit: Start, app: Saddle) -> None:
    app.add_route("/x", lambda was: "", name="typo", authenticate="digset")
    with pytest.raises(LoadError, match="the route typo of the app at /: authenticate is .* not 'digset'"):
        visit(app)


def test_routes_of_a_scope_want_what_it_says(visit: Start, app: Saddle) -> None:
    with app.route_scope(authenticate="basic"):
        app.add_route("/a", lambda was: "a", name="a")
        app.add_route("/b", app.auth_not_required(lambda was: "b"), name="b")
        app.add_route("/c", lambda was: "c", name="c", authenticate="bearer")
    client = visit(app)
    assert client.get("/a").get("www-authenticate").startswith("Basic")
    assert client.get("/b").body == "b"
    assert client.get("/c").get("www-authenticate").startswith("Bearer")


def test_users_may_be_of_any_kind_that_is_asked_like_a_dictionary(visit: Start, app: Saddle) -> None:
    class Table:
        def get(self, username: str) -> str:
            return username * 2

    app.users = Table()
    assert visit(app).get("/basic", Authorization=basic("ab", "abab")).status == 200


def test_hooks_are_for_those_who_were_let_in(visit: Start, app: Saddle) -> None:
    seen: list[Any] = []

    @app.before_request
    def before(was: Was) -> None:
        seen.append(was.user)

    client = visit(app)
    client.get("/basic")
    assert seen == []
    client.get("/basic", Authorization=basic("eve", "apple"))
    assert [user.name for user in seen] == ["eve"]


# What the app demands


@pytest.fixture
def demanding(app: Saddle) -> Saddle:
    @app.login_handler
    def login(was: Was) -> str | None:
        return None if was.session.get("user") else "please sign in"

    @app.permission_check_handler
    def permitted(was: Was, permissions: list[str]) -> Any:
        return None if was.session.get("level") in permissions else was.response("403 Permission Denied")

    @app.staff_member_check_handler
    def staff(was: Was) -> str | None:
        return None if was.session.get("level") == "staff" else "staff only"

    def is_hans(was: Was) -> Any:
        return {"hans": True, "eve": False}.get(was.session.get("user"), "who?")

    @app.route("/in/<user>")
    def sign_in(was: Was, user: str, level: str = "") -> str:
        was.session.update(user=user, level=level)
        return "in"

    @app.route("/member/<int:id>")
    @app.login_required
    def member(was: Was, id: int, q: str = "") -> str:
        return f"member {id} {q}"

    @app.route("/admin")
    @app.permission_required("admin")
    @app.login_required
    def admin(was: Was) -> str:
        return "admin"

    @app.route("/either")
    @app.permission_required(["admin", "staff"])
    async def either(was: Was) -> str:
        return "either"

    @app.route("/staff")
    @app.staff_member_required
    def of_staff(was: Was) -> str:
        return "staff"

    @app.route("/hans")
    @app.testpass_required(is_hans)
    def of_hans(was: Was) -> str:
        return "hans"

    return app


def test_login_is_demanded(visit: Start, demanding: Saddle) -> None:
    client = visit(demanding)
    assert client.get("/member/7?q=x").body == "please sign in"
    assert client.get("/in/hans").body == "in"
    assert client.get("/member/7?q=x").body == "member 7 x"
    assert visit(demanding).get("/member/7").body == "please sign in"


def test_permissions_are_demanded(visit: Start, demanding: Saddle) -> None:
    client = visit(demanding)
    client.get("/in/hans?level=guest")
    assert client.get("/admin").status == 403
    assert client.get("/either").status == 403
    client.get("/in/hans?level=admin")
    assert client.get("/admin").body == "admin"
    assert client.get("/either").body == "either"
    assert client.get("/staff").body == "staff only"
    client.get("/in/hans?level=staff")
    assert client.get("/staff").body == "staff"


def test_a_test_is_passed_or_not(visit: Start, demanding: Saddle) -> None:
    client = visit(demanding)
    assert client.get("/hans").body == "who?"
    client.get("/in/hans")
    assert client.get("/hans").body == "hans"
    client.get("/in/eve")
    assert client.get("/hans").status == 403


def test_a_demand_nobody_checks_is_an_error(visit: Start, app: Saddle) -> None:
    @app.route("/")
    @app.login_required
    def index(was: Was) -> str:
        return "open"

    answer = visit(app).get("/")
    assert answer.status == 500
    assert "open" not in answer.body


def test_handlers_may_be_coroutine_functions_where_what_they_guard_is(visit: Start, app: Saddle) -> None:
    @app.login_handler
    async def login(was: Was) -> str | None:
        return None if was.request.args.get("in") else "out"

    async def test(was: Was) -> bool:
        return was.request.args.get("in") == "2"

    @app.route("/async")
    @app.login_required
    @app.testpass_required(test)
    async def coroutine(was: Was, **args: str) -> str:
        return "in"

    @app.route("/sync")
    @app.login_required
    def plain(was: Was, **args: str) -> str:
        return "in"

    client = visit(app)
    assert client.get("/async").body == "out"
    assert client.get("/async?in=1").status == 403
    assert client.get("/async?in=2").body == "in"
    assert client.get("/sync").body == "out"
    assert client.get("/sync?in=1").body == "in"
