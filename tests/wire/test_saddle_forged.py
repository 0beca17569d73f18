"""Whatever clients make up: credentials, cookies, tokens. Nothing is an error of the app's, and nothing lets in."""

from __future__ import annotations

from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skitai.lib.jwt import gen_token
from skitai.saddle import Saddle, Was
from tests.support.visitor import basic

KEY = "a long random text that nobody can guess"

FIELD = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=60).map(str.strip)
NAME = st.sampled_from(
    ["username", "username*", "realm", "nonce", "uri", "response", "nc", "cnonce", "qop", "algorithm", "x"]
)
VALUE = (
    st.sampled_from(["hans", "App", "/digest", "auth", "00000001", "SHA-256", "MD5", "UTF-8''hans", "0" * 64, ""]) | FIELD
)
PAIR = st.tuples(NAME, VALUE, st.booleans()).map(
    lambda each: f'{each[0]}="{each[1]}"' if each[2] else f"{each[0]}={each[1]}"
)
PARAMETERS = st.lists(PAIR, max_size=11).map(", ".join)
RIGHT = {
    "username": "hans",
    "realm": "App",
    "nonce": "bm9uY2U=",
    "uri": "/digest",
    "response": "0" * 64,
    "nc": "00000001",
    "cnonce": "x",
    "qop": "auth",
    "algorithm": "SHA-256",
}
NEARLY_RIGHT = st.fixed_dictionaries({name: st.just(value) | st.just(value) | FIELD for name, value in RIGHT.items()}).map(
    lambda given: ", ".join(f'{name}="{value}"' for name, value in given.items())
)
TOKEN = gen_token(KEY, {"username": "hans"})
CUT = st.integers(0, len(TOKEN) - 2).map(lambda at: TOKEN[:at])
CREDENTIALS = st.tuples(
    st.sampled_from(["Basic", "basic", "Digest", "Bearer", "", "Other"]),
    FIELD | PARAMETERS | NEARLY_RIGHT | CUT | st.just(basic("hans", "wrong").split()[1]),
).map(" ".join)

fuzzed = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    app = Saddle(__name__)
    app.securekey = KEY
    app.users = {"hans": ("1234", False)}

    def who(was: Was) -> str:
        return f"let in {was.user}"

    for scheme in ("basic", "digest", "bearer"):
        app.add_route(f"/{scheme}", who, name=scheme, authenticate=scheme)

    @app.route("/kept")
    def kept(was: Was, token: Any = "") -> list[Any]:
        found = [dict(was.session), was.mbox.get(), was.session.exists(), was.mbox.exists()]
        was.session.mount("OTHER")
        return [*found, dict(was.session), was.detoken(token), was.rmtoken(token), was.dejwt(token), was.csrf_verify()]

    @app.route("/passed/<where>", methods=["GET", "POST"])
    def passed(was: Was, where: str, what: str = "") -> Any:
        if where == "location":
            return was.redirect(what)
        if where == "cookie":
            was.cookie["what"] = what
        elif where == "path":
            was.cookie.set("what", "x", path=f"/{what}")
        elif where == "own":
            was.response.set_header("X-What", "a mistake\r\nof the app")
        else:
            was.response.set_header("X-What", what)
        return "sent"

    with app.make_client() as client:
        yield client


@fuzzed
@given(CREDENTIALS.filter(lambda text: text.strip().isprintable()))
def test_made_up_credentials(client: Any, credentials: str) -> None:
    for scheme in ("basic", "digest", "bearer"):
        answer = client.get(f"/{scheme}", headers={"Authorization": credentials.strip()})
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].lower().startswith(scheme)


SEALED = st.sampled_from(["sdlsess_", "sdlmbox_", "sdlsess__OTHER", "a", "_csrf_token"])


@fuzzed
@given(st.lists(st.tuples(SEALED, FIELD | CUT), max_size=4), FIELD | CUT)
def test_made_up_cookies_and_tokens(client: Any, cookies: list[tuple[str, str]], token: str) -> None:
    field = "; ".join(f"{name}={value}" for name, value in cookies)
    answer = client.get("/kept", params={"token": token}, headers={"Cookie": field})
    assert answer.status_code == 200
    assert answer.json() == [{}, [], False, False, {}, None, False, None, False]
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("where", ["location", "cookie", "path", "header"])
@pytest.mark.parametrize("what", ["a\r\nSet-Cookie: b=c", "a\nb", "a\r", "\0"])
def test_what_would_break_the_response_is_the_fault_of_the_client_that_sent_it(client: Any, where: str, what: str) -> None:
    for answer in (
        client.get(f"/passed/{where}", params={"what": what}),
        client.post(f"/passed/{where}", {"what": what}),
        client.postjson(f"/passed/{where}", {"what": what}),
    ):
        assert answer.status_code == 400
        assert "argument 'what'" in unescape(answer.text)
        assert "Set-Cookie" not in answer.headers
        assert "X-What" not in answer.headers


def test_what_no_field_can_hold_is_not_passed_on(client: Any) -> None:
    assert client.get("/passed/header", params={"what": "\u4f60"}).status_code == 400
    assert client.get("/passed/header", params={"what": "\xfc"}).headers["X-What"] == "\xfc"


def test_a_mistake_of_the_app_stays_its_own(client: Any) -> None:
    assert client.get("/passed/own", params={"what": "fine"}).status_code == 500
    answer = client.post("/passed/own", b"{", headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    answer = client.post("/passed/own", b"text", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 500
