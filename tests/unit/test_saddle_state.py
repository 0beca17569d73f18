"""What a client keeps for an app: cookies, sessions, message boxes, and the seal on them."""

from __future__ import annotations

from copy import copy
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skitai.saddle import values
from skitai.saddle.cookie import Cookie, parse
from skitai.saddle.mbox import Mbox
from skitai.saddle.seal import Keyring, SealBroken, keys_of
from skitai.saddle.session import Session
from skitai.saddle.shelf import Shelf
from skitai.saddle.user import User

KEY = "a long random text, or so we say"


class Browser:
    """A client that keeps cookies, and the app's side of its requests.

    :ivar now: seconds since the epoch; tests let time pass.
    """

    def __init__(self, key: Any = KEY) -> None:
        self.key = key
        self.now = 1_000_000.0
        self.address = "192.0.2.1"
        self.cookies: dict[str, str] = {}
        self.memo: dict[Any, Any] = {}  # of all requests, as if all had the same fields
        self.keyring = Keyring()
        self.said: list[str] = []

    def shelf(self, secure: bool = False) -> Shelf:
        """A new request."""
        field = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        clock = lambda: self.now  # noqa: E731
        self.cookie = Cookie(field, "/app/", clock)
        return Shelf(self.cookie, lambda: keys_of(self.key), self.keyring, lambda: self.address, secure, clock, self.memo)

    def session(self, **options: Any) -> Session:
        return Session(self.shelf(**options))

    def mbox(self) -> Mbox:
        return Mbox(self.shelf())

    def done(self, *states: Session | Mbox) -> None:
        """The request succeeded."""
        for state in states:
            state.commit()
        self.said = [value for _, value in self.cookie.fields()]
        for said in self.said:
            name, _, value = said.partition(";")[0].partition("=")
            if "expires=Thu, 01 Jan 1970" in said:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value


@pytest.fixture
def browser() -> Browser:
    return Browser()


# Values

PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
TYPED = PLAIN | st.dates() | st.datetimes() | st.datetimes(timezones=st.just(UTC)) | st.decimals(allow_nan=False)
VALUES = st.recursive(
    TYPED,
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(max_size=3) | st.just("~"), inner)
        | st.lists(inner).map(tuple)
        | st.sets(TYPED)
    ),
    max_leaves=20,
)


@given(VALUES)
def test_values_come_back_with_their_types(value: Any) -> None:
    back = values.unpack(values.pack(value))
    assert back == value
    assert type(back) is type(value)


class Colour(IntEnum):
    RED = 1


@pytest.mark.parametrize("value", [object(), Colour.RED, {1: "a"}, [frozenset()], {"a": (1, {2: 3})}, lambda: 0])
def test_other_values_are_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="cannot be kept"):
        values.pack(value)


# The seal


def test_what_is_sealed_cannot_be_read() -> None:
    sealed = keys_of(KEY).sealer("one").seal({"user": "hans"})
    assert "hans" not in sealed
    assert keys_of(KEY).sealer("one").open(sealed) == {"user": "hans"}


def test_each_purpose_and_each_secret_has_keys_of_its_own() -> None:
    sealed = keys_of(KEY).sealer("one").seal(1)
    for other in (keys_of(KEY).sealer("two"), keys_of("another secret").sealer("one")):
        with pytest.raises(SealBroken):
            other.open(sealed)


def test_older_secrets_open_and_the_first_seals() -> None:
    old = keys_of("old").sealer("one").seal("kept")
    both = keys_of(["new", b"old"]).sealer("one")
    assert both.open(old) == "kept"
    assert keys_of("new").sealer("one").open(both.seal("fresh")) == "fresh"


@given(st.text() | st.text("abcdefgh-_=", max_size=200))
def test_whatever_a_client_sends_is_opened_or_broken(text: str) -> None:
    with pytest.raises(SealBroken):
        keys_of(KEY).sealer("one").open(text)


def test_any_change_breaks_it() -> None:
    sealer = keys_of(KEY).sealer("one")
    sealed = sealer.seal("value")
    for at in range(len(sealed) - 1):  # the last character may hold bits that stand for nothing
        for changed in (sealed[:at] + ("A" if sealed[at] != "A" else "B") + sealed[at + 1 :], sealed[:at]):
            with pytest.raises(SealBroken):
                sealer.open(changed)


@pytest.mark.parametrize("secret", [None, "", b"", [], ["good", ""]])
def test_no_secret_is_an_error_that_says_so(secret: Any) -> None:
    with pytest.raises(ValueError, match=r"app\.securekey"):
        keys_of(secret)


def test_a_secret_is_text() -> None:
    with pytest.raises(TypeError, match="not a int"):
        keys_of([12345])  # type: ignore[list-item]


# Cookies


def test_the_cookies_that_came() -> None:
    assert parse('a=1; b="two"; c=%C3%A9+%2B; a=3; flag; =x; d=') == {"a": "1", "b": "two", "c": "é +", "": "x", "d": ""}
    assert parse("") == {}
    assert parse(";;; = ;%zz=%ff") == {"": "", "%zz": "\ufffd"}


def test_a_cookie_is_a_dictionary() -> None:
    cookie = Cookie("a=1; b=2")
    assert cookie["a"] == "1"
    assert cookie.get("z", "no") == "no"
    assert (list(cookie.keys()), list(cookie.values()), list(cookie.items())) == (
        ["a", "b"],
        ["1", "2"],
        [("a", "1"), ("b", "2")],
    )
    assert "a" in cookie and cookie.has_key("b") and not cookie.has_key("z") and len(cookie) == 2
    cookie["c"] = "3"
    assert cookie["c"] == "3"
    del cookie["a"]
    assert "a" not in cookie
    with pytest.raises(KeyError):
        del cookie["a"]


def test_what_is_set_is_sent() -> None:
    cookie = Cookie("", "/admin/", clock=lambda: 784_111_777.0)
    cookie["a"] = "Hans Roh; é"
    cookie.set("b", 12, 60, "/", "example.com", secure=True, http_only=True, same_site="Strict")
    cookie.set("c", "x", "never")
    assert cookie.fields() == [
        ("Set-Cookie", "a=Hans+Roh%3B+%C3%A9; path=/admin"),
        (
            "Set-Cookie",
            "b=12; path=/; expires=Sun, 06 Nov 1994 08:50:37 GMT; domain=example.com; Secure; HttpOnly; SameSite=Strict",
        ),
        ("Set-Cookie", "c=x; path=/admin; expires=Sat, 06 Nov 2094 08:49:37 GMT"),
    ]


@pytest.mark.parametrize("expires", [0, "now", -5])
def test_what_has_expired_is_removed(expires: Any) -> None:
    cookie = Cookie("a=1", "/")
    cookie.set("a", "secret", expires)
    assert "a" not in cookie
    assert cookie.fields() == [("Set-Cookie", "a=; path=/; expires=Thu, 01 Jan 1970 00:00:00 GMT")]


def test_the_last_setting_of_one_cookie_counts_and_paths_are_apart() -> None:
    cookie = Cookie("a=1; b=2", "/x/")
    cookie["a"] = "2"
    cookie.set("a", "3", path="/")
    cookie["a"] = "4"
    assert [value for _, value in cookie.fields()] == ["a=4; path=/x", "a=3; path=/"]


def test_all_are_forgotten() -> None:
    cookie = Cookie("a=1; b=2", "/x/")
    cookie.clear(path="/", domain="example.com")
    gone = "path=/; expires=Thu, 01 Jan 1970 00:00:00 GMT; domain=example.com"
    assert [value for _, value in cookie.fields()] == [f"a=; {gone}", f"b=; {gone}"]
    assert not cookie


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("a\r\nSet-Cookie: b", "1"), "CR, LF"),
        (("a", "1\r\nX: y"), "CR, LF"),
        (("a", "\0"), "CR, LF"),
        (("", "1"), "a name"),
        (("a", "1", None, "/;x"), "path or domain"),
        (("a", "1", None, "/\r\nX: y"), "path or domain"),
        (("a", "1", None, "/", "example.com; Secure"), "path or domain"),
        (("a", "x" * 4096), "4096 at most"),
        (("a", "é" * 700), "4096 at most"),
        (("a", "1", "soon"), "soon"),
        (("a", "1", None, None, None, False, False, "none"), "SameSite"),
        (("a", "1", None, None, None, False, False, "None"), "secure=True"),
    ],
)
def test_what_cannot_be_a_cookie_is_refused(arguments: Any, words: str) -> None:
    cookie = Cookie("")
    with pytest.raises(ValueError, match=words):
        cookie.set(*arguments)
    assert cookie.fields() == []
    assert not cookie


def test_a_cookie_holds_text() -> None:
    with pytest.raises(TypeError, match="not a dict"):
        Cookie("").set("a", {})  # type: ignore[arg-type]


def test_nothing_is_set_after_the_response_has_begun() -> None:
    cookie = Cookie("a=1")
    cookie.fields()
    with pytest.raises(RuntimeError, match="response has begun"):
        cookie["a"] = "2"
    assert cookie["a"] == "1"


# Sessions


def test_a_session_outlives_its_request(browser: Browser) -> None:
    session = browser.session()
    session.set("user", "hans")
    session["numbers"] = (1, {2}, b"3")
    browser.done(session)
    session = browser.session()
    assert session.get("user") == "hans"
    assert session["numbers"] == (1, {2}, b"3")
    assert "user" in session and session.has_key("user") and session.get("none", 1) == 1
    assert list(session) == list(session.keys()) == ["user", "numbers"]
    assert dict(session.items())["user"] == next(iter(session.values())) == "hans"


def test_its_cookie_is_for_the_server_alone(browser: Browser) -> None:
    session = browser.session(secure=True)
    session["user"] = "hans"
    browser.done(session)
    (said,) = browser.said
    assert said.startswith("sdlsess_=")
    assert said.endswith("; path=/; expires=Mon, 12 Jan 1970 14:06:40 GMT; Secure; HttpOnly; SameSite=Lax")


def test_reading_writes_nothing(browser: Browser) -> None:
    session = browser.session()
    session["user"] = "hans"
    browser.done(session)
    session = browser.session()
    assert session["user"] == "hans"
    browser.done(session)
    assert browser.said == []


def test_a_failed_request_changes_nothing(browser: Browser) -> None:
    session = browser.session()
    session["user"] = "hans"
    assert browser.cookie.fields() == []


def test_values_that_change_in_place_are_kept(browser: Browser) -> None:
    session = browser.session()
    session["cart"] = ["apple"]
    browser.done(session)
    session = browser.session()
    session["cart"].append("pear")
    browser.done(session)
    assert browser.session()["cart"] == ["apple", "pear"]
    session = browser.session()
    browser.done(session)
    assert browser.said == []


def test_it_ends_after_its_timeout_and_changes_prolong_it(browser: Browser) -> None:
    session = browser.session()
    session["user"] = "hans"
    browser.done(session)
    browser.now += 1100
    session = browser.session()
    session.get("user")
    browser.done(session)
    browser.now += 99
    session = browser.session()
    session["more"] = 1
    browser.done(session)
    browser.now += 1199
    assert browser.session().get("user") == "hans"
    assert browser.session().exists()
    browser.now += 1
    assert browser.session().get("user") is None
    assert not browser.session().exists()


def test_touch_prolongs_it_without_a_change(browser: Browser) -> None:
    session = browser.session()
    session["user"] = "hans"
    browser.done(session)
    browser.now += 1100
    session = browser.session()
    session.touch()
    browser.done(session)
    browser.now += 1100
    assert "user" in browser.session()


def test_a_longer_expiry_stays_until_the_timeout_reaches_further(browser: Browser) -> None:
    session = browser.session()
    session["user"] = "hans"
    session.set_expiry(3000)
    browser.done(session)
    browser.now += 1000
    session = browser.session()
    session["more"] = 1
    browser.done(session)
    browser.now += 1999
    session = browser.session()
    session["more"] = 2
    browser.done(session)
    browser.now += 1199
    assert "user" in browser.session()


def test_a_shorter_expiry_holds_until_the_next_change(browser: Browser) -> None:
    session = browser.session()
    session["user"] = "hans"
    session.set_expiry(10)
    browser.done(session)
    kept = dict(browser.cookies)
    browser.now += 9
    session = browser.session()
    session["more"] = 1
    browser.done(session)
    browser.now += 1000
    assert "user" in browser.session()
    browser.cookies = kept
    assert "user" not in browser.session()


def test_it_can_be_expired(browser: Browser) -> None:
    session = browser.session()
    session["user"] = "hans"
    browser.done(session)
    session = browser.session()
    session.expire()
    assert "user" not in session
    browser.done(session)
    assert browser.cookies == {}
    assert browser.said[0].startswith("sdlsess_=; path=/; expires=Thu, 01 Jan 1970")


@pytest.mark.parametrize("timeout", [0, -1])
def test_an_expiry_that_has_passed_ends_it(browser: Browser, timeout: float) -> None:
    session = browser.session()
    session["user"] = "hans"
    browser.done(session)
    session = browser.session()
    session.set_expiry(timeout)
    browser.done(session)
    assert browser.cookies == {}


def test_an_emptied_session_is_forgotten(browser: Browser) -> None:
    session = browser.session()
    session.update(user="hans", more=1)
    browser.done(session)
    session = browser.session()
    session.remove("user")
    session.remove("what was never there")
    browser.done(session)
    assert list(browser.session()) == ["more"]
    session = browser.session()
    session.clear()
    browser.done(session)
    assert browser.cookies == {}


def test_a_session_that_never_was_leaves_no_cookie(browser: Browser) -> None:
    session = browser.session()
    session.touch()
    session.clear()
    session.expire()
    browser.done(session)
    assert browser.said == []


def test_a_session_knows_where_it_was_changed_last(browser: Browser) -> None:
    session = browser.session()
    assert session.source_verified()
    session["user"] = "hans"
    assert session.getv("user") == "hans"
    browser.done(session)
    browser.address = "198.51.100.7"
    session = browser.session()
    assert not session.source_verified()
    assert session.getv("user", "nobody") == "nobody"
    assert session.get("user") == "hans"
    browser.done(session)
    browser.address = "192.0.2.1"
    assert browser.session().getv("user") == "hans", "who only reads has changed nothing"
    browser.address = "198.51.100.7"
    session = browser.session()
    session["more"] = 1
    browser.done(session)
    assert browser.session().getv("user") == "hans"


@pytest.mark.parametrize(("key", "value"), [("a", object()), (1, "a"), ("a", Colour.RED)])
def test_what_a_session_cannot_keep_is_refused_at_once(browser: Browser, key: Any, value: Any) -> None:
    with pytest.raises(TypeError):
        browser.session()[key] = value


def test_a_session_too_large_for_a_cookie_is_refused_when_it_is_written(browser: Browser) -> None:
    session = browser.session()
    session["text"] = "x" * 4000
    with pytest.raises(ValueError, match="'sdlsess_' has .* bytes"):
        browser.done(session)


@pytest.mark.parametrize(
    "spoil", [lambda text: text[:-9], lambda text: "A" + text[1:], lambda text: "%00%zz", lambda text: "é"]
)
def test_a_session_that_does_not_verify_is_ignored(browser: Browser, spoil: Any) -> None:
    session = browser.session()
    session["user"] = "hans"
    browser.done(session)
    browser.cookies["sdlsess_"] = spoil(browser.cookies["sdlsess_"])
    session = browser.session()
    assert "user" not in session
    assert not session.exists()
    session["user"] = "new"
    browser.done(session)
    assert browser.session()["user"] == "new"


def test_keys_can_be_changed(browser: Browser) -> None:
    session = browser.session()
    session["user"] = "hans"
    browser.done(session)
    browser.key = ["the new key", KEY]
    session = browser.session()
    assert session["user"] == "hans"
    session.touch()
    browser.done(session)
    browser.key = "the new key"
    assert browser.session()["user"] == "hans"


def test_an_app_without_a_key_is_told(browser: Browser) -> None:
    browser.key = None
    with pytest.raises(ValueError, match=r"app\.securekey"):
        browser.session().get("user")


def test_named_sessions_are_apart(browser: Browser) -> None:
    session = browser.session()
    session["user"] = "hans"
    session.mount("adm", "another key", path="/admin", session_timeout=60)
    assert "user" not in session
    session.set("admin", True)
    session.mount(None)
    assert session["user"] == "hans"
    browser.done(session)
    assert [said.partition("=")[0] for said in browser.said] == ["sdlsess_", "sdlsess__ADM"]
    assert "; path=/admin; expires=Mon, 12 Jan 1970 13:47:40 GMT; HttpOnly; SameSite=Lax" in browser.said[1]

    session = browser.session()
    assert session.exists(None)
    assert session.exists("ADM", "another key")
    assert session.exists("ADM"), "the app knows its key"
    browser.keyring = Keyring()
    assert not browser.session().exists("ADM"), "another worker does not"
    session = browser.session()
    session.mount("ADM", "another key")
    assert session.exists("ADM")
    assert session["admin"] is True
    session.expire()
    browser.done(session)
    assert list(browser.cookies) == ["sdlsess_"]


def test_one_session_cannot_pass_for_another(browser: Browser) -> None:
    session = browser.session()
    session["admin"] = True
    browser.done(session)
    browser.cookies["sdlsess__ADM"] = browser.cookies["sdlsess_"]
    browser.cookies["sdlmbox_"] = browser.cookies["sdlsess_"]
    session = browser.session()
    session.mount("ADM")
    assert "admin" not in session
    assert browser.mbox().get() == []


def test_names_with_keys_of_their_own_need_no_key_of_the_apps(browser: Browser) -> None:
    browser.key = None
    session = browser.session()
    session.mount("ADM", "another key")
    session["a"] = 1
    browser.done(session)
    assert browser.session().exists("ADM")
    with pytest.raises(ValueError, match=r"app\.securekey"):
        browser.session().exists()
    with pytest.raises(ValueError, match=r"app\.securekey"):
        browser.session().mount("ADM")


def test_ever_new_names_are_not_remembered() -> None:
    keyring, keys = Keyring(), keys_of(KEY)
    for number in range(1000):
        keyring.add(str(number), keys)
    assert (keyring.get("0"), keyring.get("999")) == (keys, None)


def test_what_another_app_keeps_is_left_alone(browser: Browser) -> None:
    session, mbox = browser.session(), None
    session["user"] = "hans"
    browser.done(session)
    mbox = browser.mbox()
    mbox.send("for later")
    browser.done(mbox)
    kept = dict(browser.cookies)
    browser.key = "another app's key"
    session, mbox = browser.session(), Mbox(browser.shelf())
    assert "user" not in session
    session.touch()
    session.expire()
    mbox.send("now")
    assert [each.msg for each in mbox.get()] == ["now"]
    browser.done(session, mbox)
    assert browser.cookies == kept


def test_the_case_of_a_name_does_not_matter(browser: Browser) -> None:
    session = browser.session()
    session.mount("adm")
    session["a"] = 1
    session.mount("ADM")
    assert session["a"] == 1
    assert session.exists("Adm")


@pytest.mark.parametrize("name", ["", "a b", "a;b", "a\r\nb", "ä"])
def test_a_name_has_to_fit_into_a_cookie(browser: Browser, name: str) -> None:
    with pytest.raises(ValueError, match="name of a cookie"):
        browser.session().mount(name)


def test_a_session_does_not_change_behind_the_response(browser: Browser) -> None:
    session = browser.session()
    session["user"] = "hans"
    browser.done(session)
    for change in (
        lambda: session.set("more", 1),
        lambda: session.remove("user"),
        session.clear,
        session.touch,
        session.expire,
        lambda: session.set_expiry(9),
    ):
        with pytest.raises(RuntimeError, match="response has begun"):
            change()
    assert dict(session) == {"user": "hans"}


# Message boxes


def test_a_flash_message_is_shown_by_the_next_page_alone(browser: Browser) -> None:
    mbox = browser.mbox()
    mbox.send("saved", "notice", icon="tick")
    browser.done(mbox)
    assert browser.said[0].startswith("sdlmbox_=")
    assert browser.said[0].endswith("; HttpOnly; SameSite=Lax")
    browser.now += 40 * 365 * 86400
    mbox = browser.mbox()
    ((message_id, category, created, valid, msg, extra),) = mbox.get()
    assert (category, created, valid, msg, extra) == ("notice", 1_000_000, 0, "saved", {"icon": "tick"})
    assert mbox.search("notice") == [message_id]
    browser.done(mbox)
    assert browser.cookies == {}


def test_a_page_that_failed_shows_it_again(browser: Browser) -> None:
    mbox = browser.mbox()
    mbox.push("saved")
    browser.done(mbox)
    browser.mbox().get()
    assert [each.msg for each in browser.mbox().get("info")] == ["saved"]


def test_a_message_may_be_valid_for_a_while(browser: Browser) -> None:
    mbox = browser.mbox()
    mbox.send("maintenance soon", "alarm", valid=60)
    browser.done(mbox)
    for _ in range(2):
        browser.now += 29
        mbox = browser.mbox()
        assert [each.msg for each in mbox.get()] == ["maintenance soon"]
        browser.done(mbox)
        assert browser.said == []
    browser.now += 2
    mbox = browser.mbox()
    assert mbox.get() == []
    browser.done(mbox)
    assert browser.cookies == {}


def test_messages_read_in_their_own_request_may_be_of_any_size(browser: Browser) -> None:
    mbox = browser.mbox()
    mbox.send("x" * 10_000)
    assert mbox.get()[0].msg == "x" * 10_000
    browser.done(mbox)
    assert browser.said == []
    mbox = browser.mbox()
    mbox.send("x" * 10_000)
    with pytest.raises(ValueError, match="'sdlmbox_' has .* bytes"):
        browser.done(mbox)


def test_messages_are_found_by_what_is_known_of_them(browser: Browser) -> None:
    mbox = browser.mbox()
    first = mbox.send("one", "notice", to="hans")
    second = mbox.send("two", "error", 0, to="eve")
    third = mbox.send("three", "notice")
    assert mbox.search("notice") == [first, third]
    assert mbox.search("to", "eve") == [second]
    assert [each.id for each in mbox.get("to", "hans")] == [first]
    browser.done(mbox)
    mbox = browser.mbox()
    assert [each.id for each in mbox.get("notice")] == [third]
    mbox.remove(second)
    mbox.remove("none")
    assert mbox.get("error") == []
    browser.done(mbox)
    assert browser.cookies == {}


def test_a_box_knows_where_it_was_changed_last(browser: Browser) -> None:
    mbox = browser.mbox()
    assert mbox.source_verified()
    mbox.send("for this place", valid=60)
    assert len(mbox.getv()) == 1
    browser.done(mbox)
    assert len(browser.mbox().getv("info")) == 1
    browser.address = "198.51.100.7"
    assert not browser.mbox().source_verified()
    assert browser.mbox().getv() == []
    assert len(browser.mbox().get()) == 1


def test_a_box_does_not_change_behind_the_response(browser: Browser) -> None:
    mbox = browser.mbox()
    message = mbox.send("one")
    browser.done(mbox)
    for change in (lambda: mbox.send("two"), lambda: mbox.remove(message)):
        with pytest.raises(RuntimeError, match="response has begun"):
            change()
    assert [each.msg for each in mbox.get()] == ["one"]


def test_named_boxes_are_apart(browser: Browser) -> None:
    mbox = browser.mbox()
    mbox.send("for all")
    mbox.mount("ADM", "another key", path="/admin")
    mbox.send("for the few", "warning")
    browser.done(mbox)
    mbox = browser.mbox()
    assert mbox.exists("ADM", "another key") and mbox.exists("ADM") and mbox.exists()
    mbox.mount("ADM", "another key", path="/admin")
    assert mbox.exists("ADM")
    assert [each.msg for each in mbox.get()] == ["for the few"]
    browser.done(mbox)
    assert list(browser.cookies) == ["sdlmbox_"]


def test_a_box_that_does_not_verify_is_empty(browser: Browser) -> None:
    browser.cookies["sdlmbox_"] = "gAAAA-forged"
    mbox = browser.mbox()
    assert mbox.get() == []
    browser.done(mbox)
    assert browser.said == []


def test_what_a_box_cannot_keep_is_refused_at_once(browser: Browser) -> None:
    with pytest.raises(TypeError):
        browser.mbox().send("text", icon=object())


def test_what_they_show_of_themselves(browser: Browser) -> None:
    session, mbox = browser.session(), browser.mbox()
    session["user"] = "secret"
    mbox.send("secret")
    assert repr(session) == "<Session (default): user>"
    assert repr(mbox) == "<Mbox (default): 1 messages>"
    assert repr(Cookie("a=secret; b=2")) == "<Cookie a b>"
    assert repr(User("hans")) == "<User hans>"


def test_what_is_unknown_of_a_user_is_none() -> None:
    user = User("hans", "here", {"level": 3, "name": "other"})
    assert (str(user), user.name, user.username, user.level, user.unknown) == ("hans", "hans", "hans", 3, None)
    assert User("hans", info=["a", "list"]).level is None
    assert copy(user).level == 3


def test_dates_survive(browser: Browser) -> None:
    session = browser.session()
    kept = {"d": date(2026, 1, 2), "t": datetime(2026, 1, 2, 3, 4, tzinfo=UTC), "m": Decimal("1.10")}
    session["all"] = kept
    browser.done(session)
    assert browser.session()["all"] == kept
