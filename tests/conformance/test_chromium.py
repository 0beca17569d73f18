"""Chromium visits a site by HTTPS: HTTP/2, hints, files, codings, the way there from plain HTTP, cookies, passwords."""

from __future__ import annotations

import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skitai.testing import launch
from tests.support.chromium import HOSTS, SOON_S, Page
from tests.support.ports import free_ports

pytestmark = pytest.mark.process

TOGETHER = 12
"""Requests that wait for each other; over HTTP/1.1 a browser makes six at a time."""

SCRIPT = """\
import threading
import time

import skitai
from skitai.saddle import Saddle

app = Saddle(__name__)
app.securekey = "a long random text that nobody can guess"
app.realm = "a place"
app.users = {{"ann": "open sesame"}}
barrier = threading.Barrier({together})
wanted = threading.Event()

PAGE = "<!doctype html><title>{{0}}</title><link rel=icon href=data:,>{{1}}"


@app.route("/")
def index(was):
    return PAGE.format("A page", "hello")


@app.route("/together")
def together(was):
    pictures = "".join(f"<img src=/meet?number={{number}}>" for number in range({together}))
    return PAGE.format("Pictures", pictures)


@app.route("/meet")
def meet(was, number):
    barrier.wait(10)  # nobody is answered before all have asked
    was.response["Content-Type"] = "image/svg+xml"
    return "<svg xmlns='http://www.w3.org/2000/svg' width='8' height='8'/>"


@app.route("/hinted")
def hinted(was):
    time.sleep({soon})
    was.response.hint_promise("/style.css")
    early = wanted.wait(10)
    return PAGE.format("Hinted", f"<link rel=stylesheet href=/style.css>{{early}}")


@app.route("/style.css")
def style(was):
    wanted.set()
    was.response["Content-Type"] = "text/css"
    was.response.set_cache(60)
    return "body {{ color: rgb(1, 2, 3) }}"


@app.route("/sound")
def sound(was):
    return PAGE.format("Sound", "<audio src=/files/sound.wav preload=metadata></audio>")


@app.route("/text")
def text(was):
    was.response["Content-Type"] = "text/plain"
    return "It was the best of times, it was the worst of times. " * 400


@app.route("/visit")
def visit(was):
    was.session["visits"] = was.session.get("visits", 0) + 1
    was.cookie.set("open", "1", path="/")
    was.cookie.set("strict", "1", path="/", same_site="Strict")
    was.cookie.set("secret", "1", path="/", secure=True, http_only=True)
    return PAGE.format("Visit", was.session["visits"])


@app.route("/seen", methods=["GET", "POST"])
def seen(was):
    kept = sorted(name for name in was.cookie if name in ("open", "strict", "secret"))
    return PAGE.format("Seen", " ".join([*kept, str(was.session.get("visits"))]))


@app.route("/elsewhere")
def elsewhere(was, link):
    return PAGE.format("Elsewhere", f"<a href={{link}}>there</a>")


@app.route("/members", authenticate="digest")
def members(was):
    return PAGE.format("Members", f"welcome, {{was.user.name}}")


if __name__ == "__main__":
    skitai.mount("/", app)
    skitai.mount("/files", "files")
    skitai.enable_ssl("{pair}/server.crt", "{pair}/server.key")
    skitai.enable_forward({forward}, {port})
    skitai.run(threads={together}, hsts_s=3600)
"""


class Place:
    """Where the site is.

    :ivar site: its address; another host of the same site is `other`.
    :ivar plain: the address from which it forwards.
    """

    def __init__(self, port: int, forward: int) -> None:
        self.site = f"https://site.test:{port}"
        self.other = f"https://other.test:{port}"
        self.port = port
        self.plain = f"http://plain.test:{forward}"


@pytest.fixture(scope="module")
def place(pair: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("site")
    files = folder / "files"
    files.mkdir()
    (files / "page.css").write_text("body { color: rgb(1, 2, 3) }")
    with wave.open(str(files / "sound.wav"), "wb") as sound:
        sound.setparams((1, 2, 44100, 0, "NONE", ""))
        sound.writeframes(bytes(44100 * 2 * 60))
    port, forward = free_ports(2)
    (folder / "app.py").write_text(SCRIPT.format(pair=pair, together=TOGETHER, soon=SOON_S, port=port, forward=forward))
    with launch(folder / "app.py", port=port, ssl=True):
        yield Place(port, forward)


def responses(page: Page) -> dict[str, Any]:
    """The last response to each path."""
    told = [each["response"] for each in page.happened("Network.responseReceived")]
    return {"/" + each["url"].split("/", 3)[3]: each for each in told if each["url"].startswith("http")}


def protocols(page: Page) -> set[str]:
    script = "performance.getEntries().filter(each => each.nextHopProtocol).map(each => each.nextHopProtocol)"
    return set(page.run(script))


def test_a_page_comes_by_http_2(page: Page, place: Place) -> None:
    response = page.goto(f"{place.site}/")
    assert (response["status"], response["protocol"]) == (200, "h2")
    assert page.text == "hello"
    assert protocols(page) == {"h2"}
    assert response["securityDetails"]["protocol"] == "TLS 1.3"
    assert response["securityDetails"]["sanList"] == list(HOSTS)


def test_what_a_page_needs_comes_by_one_connection_at_once(page: Page, place: Place) -> None:
    page.goto(f"{place.site}/together")
    seen = responses(page)
    assert len(seen) == TOGETHER + 1
    assert {each["status"] for each in seen.values()} == {200}
    assert {each["protocol"] for each in seen.values()} == {"h2"}
    assert len({each["connectionId"] for each in seen.values()}) == 1


def test_early_hints_are_taken(page: Page, place: Place) -> None:
    """103 (RFC 8297): the browser asks for the style before it has seen the page."""
    page.goto(f"{place.site}/hinted")
    assert page.text == "True"
    assert page.run("getComputedStyle(document.body).color") == "rgb(1, 2, 3)"
    hints = page.waits_for("Network.responseReceivedEarlyHints")
    assert hints["headers"] == {"link": "</style.css>; rel=preload; as=style"}


def test_a_file_that_has_not_changed_is_not_sent_again(page: Page, place: Place) -> None:
    page.goto(f"{place.site}/")
    assert page.run("fetch('/files/page.css').then(it => it.text())").startswith("body")
    assert page.run("fetch('/files/page.css', {cache: 'no-cache'}).then(it => it.text())").startswith("body")
    page.waits_for("Network.responseReceivedExtraInfo", lambda it: it["statusCode"] == 304)


def test_a_sound_is_played_from_its_middle(page: Page, place: Place) -> None:
    page.goto(f"{place.site}/sound")
    seek = """new Promise((done, fail) => {
        const sound = document.querySelector('audio')
        sound.onseeked = () => done([sound.duration, sound.currentTime])
        sound.onerror = () => fail(sound.error.message)
        sound.preload = 'auto'
        sound.currentTime = 50
    })"""
    assert page.run(seek) == [60, 50]
    media = [each["response"] for each in page.happened("Network.responseReceived") if each["type"] == "Media"]
    assert {each["status"] for each in media} == {206}


def test_a_part_of_a_file(page: Page, place: Place) -> None:
    page.goto(f"{place.site}/")
    ask = "fetch('/files/page.css', {headers: {Range: 'bytes=0-3'}}).then(async it => [it.status, await it.text()])"
    assert page.run(ask) == [206, "body"]


def test_text_is_compressed_as_the_browser_likes_it(page: Page, place: Place) -> None:
    page.goto(f"{place.site}/text")
    assert responses(page)["/text"]["headers"]["content-encoding"] == "br"
    assert page.text.startswith("It was the best of times")
    assert len(page.text) > 20_000


def test_plain_http_leads_to_https(page: Page, place: Place) -> None:
    response = page.goto(f"{place.plain}/text?a=b")
    assert page.url == f"https://plain.test:{place.port}/text?a=b"
    assert response["protocol"] == "h2"
    sent = page.happened("Network.requestWillBeSent")
    assert [each["redirectResponse"]["status"] for each in sent if "redirectResponse" in each] == [301]


def test_a_form_sent_by_plain_http_arrives_by_https(page: Page, place: Place) -> None:
    """308: the method stays (RFC 9110, section 15.4.9)."""
    page.run(f"document.body.innerHTML = '<form method=post action={place.plain}/seen><button>'")
    page.click("button")
    assert page.url == f"https://plain.test:{place.port}/seen"
    sent = [each["request"]["method"] for each in page.happened("Network.requestWillBeSent") if each["type"] == "Document"]
    assert sent == ["POST", "POST"]


def test_a_browser_that_was_told_never_comes_by_plain_http_again(page: Page, place: Place) -> None:
    """HSTS (RFC 6797): the port of HTTPS is asked by HTTPS, whatever the link says."""
    plainly = f"http://site.test:{place.port}/"
    page.goto(f"{place.site}/")
    page.goto(plainly)
    assert page.url == f"{place.site}/"
    sent = page.happened("Network.requestWillBeSent")
    inside = [each["redirectResponse"] for each in sent if "redirectResponse" in each]
    assert [(each["status"], each["headers"]["Non-Authoritative-Reason"]) for each in inside] == [(307, "HSTS")]


def test_plain_http_at_the_port_of_https_is_told_so(page: Page, place: Place) -> None:
    response = page.goto(f"http://never.test:{place.port}/")
    assert response["status"] == 400
    assert page.text.strip() == "This port speaks HTTPS, not HTTP."


def test_cookies_are_kept_as_the_server_says(page: Page, place: Place) -> None:
    for count in "123":
        page.goto(f"{place.site}/visit")
        assert page.text == count
    kept = page.cookies()
    session = next(cookie for name, cookie in kept.items() if name not in ("open", "strict", "secret"))
    assert (session["httpOnly"], session["secure"], session["sameSite"]) == (True, True, "Lax")
    assert (kept["secret"]["httpOnly"], kept["secret"]["secure"]) == (True, True)
    assert kept["strict"]["sameSite"] == "Strict"
    assert page.run("document.cookie") == "open=1; strict=1"
    page.goto(f"{place.site}/seen")
    assert page.text == "open secret strict 3"


def test_other_sites_make_a_browser_show_fewer_cookies(page: Page, place: Place) -> None:
    page.goto(f"{place.site}/visit")
    elsewhere = f"{place.other}/elsewhere?link={place.site}/seen"
    page.goto(elsewhere)
    page.click("a")
    assert page.text == "open secret 1"  # without the strict one
    page.goto(f"{place.other}/elsewhere?link={place.site}/seen")
    assert page.run(f"fetch('{place.site}/seen', {{mode: 'no-cors', credentials: 'include'}}).then(() => 'sent')") == "sent"
    asked = page.waits_for("Network.requestWillBeSentExtraInfo", lambda it: it["headers"].get(":path") == "/seen")
    assert "session" not in asked["headers"].get("cookie", "").lower()


class Asked:
    """Answers the browser's question for a password."""

    def __init__(self, page: Page, *passwords: str) -> None:
        self._page = page
        self._passwords = list(passwords)
        self.asked: list[tuple[str, str]] = []
        page.on("Fetch.requestPaused", lambda it: page.send("Fetch.continueRequest", requestId=it["requestId"]))
        page.on("Fetch.authRequired", self._answer)
        page.ask("Fetch.enable", handleAuthRequests=True)

    def _answer(self, event: dict[str, Any]) -> None:
        challenge = event["authChallenge"]
        self.asked.append((challenge["scheme"], challenge["realm"]))
        given: dict[str, str] = {"response": "CancelAuth"}
        if self._passwords:
            given = {"response": "ProvideCredentials", "username": "ann", "password": self._passwords.pop(0)}
        self._page.send("Fetch.continueWithAuth", requestId=event["requestId"], authChallengeResponse=given)


def test_the_dialog_for_a_password(page: Page, place: Place) -> None:
    """Digest (RFC 7616): asked once, again after a wrong password, and not at all for what follows."""
    asked = Asked(page, "wrong", "open sesame")
    for _ in range(3):
        assert page.goto(f"{place.site}/members")["status"] == 200
        assert page.text == "welcome, ann"
    assert [(scheme.lower(), realm) for scheme, realm in asked.asked] == [("digest", "a place")] * 2


def test_who_cancels_the_dialog_sees_the_page_behind_it(page: Page, place: Place) -> None:
    asked = Asked(page)
    assert page.goto(f"{place.site}/members")["status"] == 401
    assert "401" in page.text
    assert len(asked.asked) == 1
