"""Chromium talks to a site by WebSocket, from its pages and from those of strangers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skitai.testing import launch
from tests.support.chromium import Browser, Page

pytestmark = pytest.mark.process

SCRIPT = """\
import skitai
from skitai.saddle import Saddle

app = Saddle(__name__)
app.storage.ended = []


@app.route("/")
def index(was):
    return "<!doctype html><title>Talk</title><link rel=icon href=data:,>here"


def ended(was):
    app.storage.ended.append(was.wsclient())


@app.route("/echo")
@app.websocket_config(skitai.WS_SIMPLE, 60, onclose=ended)
def echo(was, message):
    return message


@app.route("/ended")
def how_many(was):
    return str(len(app.storage.ended))


@app.route("/leave")
@app.websocket_config(skitai.WS_SIMPLE, 60)
def leave(was, message):
    code, _, reason = message.partition(" ")
    was.websocket.close(int(code), reason)


@app.route("/fail")
@app.websocket_config(skitai.WS_SIMPLE, 60)
def fail(was, message):
    raise RuntimeError(message)


@app.route("/sum")
@app.websocket_config(skitai.WS_SIMPLE, encoding=skitai.WS_MSG_JSON)
async def add(was, message):
    return {{"sum": sum(message["numbers"])}}


@app.route("/chat")
@app.websocket_config(skitai.WS_GROUPCHAT, 60)
def chat(was, message, room):
    return f"{{room}}: {{message}}"


if __name__ == "__main__":
    skitai.mount("/", app)
    {secure}
    skitai.run()
"""

TALK = """
class Talk {
    constructor(path) {
        this.heard = []
        this.waiting = []
        this.socket = new WebSocket(path)
        this.socket.binaryType = 'arraybuffer'
        this.socket.onmessage = event => {
            this.heard.push(typeof event.data == 'string' ? event.data : [...new Uint8Array(event.data)])
            this.waiting.filter(each => each.count <= this.heard.length).forEach(each => each.done())
        }
        this.closed = new Promise(done => {
            this.socket.onclose = event => done([event.code, event.reason, event.wasClean])
        })
        this.opened = this.before_the_end(new Promise(done => { this.socket.onopen = done }))
    }
    async before_the_end(promise) {
        const ended = this.closed.then(how => { throw new Error('it ended: ' + how) })
        return await Promise.race([promise, ended])
    }
    async hears(count) {
        if (this.heard.length < count) await this.before_the_end(new Promise(done => this.waiting.push({count, done})))
        return this.heard
    }
}
"""


@pytest.fixture(scope="module", params=["http", "https"])
def site(request: pytest.FixtureRequest, pair: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A site's address."""
    scheme = request.param
    secure = f"skitai.enable_ssl('{pair}/server.crt', '{pair}/server.key')" if scheme == "https" else "pass"
    script = tmp_path_factory.mktemp("talk") / "app.py"
    script.write_text(SCRIPT.format(secure=secure))
    with launch(script, port=0, ssl=scheme == "https") as engine:
        yield f"{scheme}://site.test:{engine.port}"


@pytest.fixture(scope="module")
def talk(browser: Browser, site: str) -> Iterator[Page]:
    """A page of the site, whose scripts can talk: one for all, for a tab is dear."""
    with browser.page() as page:
        page.goto(f"{site}/")
        page.run(TALK)
        yield page


def converse(page: Page, path: str, *said: Any, answers: int = -1) -> Any:
    """Open a connection, say everything, and wait for as many answers."""
    words = "; ".join(f"talk.socket.send({each})" for each in said)
    return page.run(
        f"(async () => {{ const talk = new Talk({json.dumps(path)}); await talk.opened; {words};"
        f" const heard = await talk.hears({len(said) if answers < 0 else answers}); talk.socket.close(); return heard }})()"
    )


def ending(page: Page, path: str, said: str) -> Any:
    """Open a connection, say something, and wait for its end: code, reason, whether both sides said so."""
    script = f"const talk = new Talk({json.dumps(path)}); await talk.opened; {said}; return talk.closed"
    return page.run(f"(async () => {{ {script} }})()")


def test_text_and_bytes_come_back(talk: Page) -> None:
    """No empty message: in streams of HTTP/2, Chromium now and then keeps one to itself until it has another to send."""
    assert converse(talk, "/echo", "'hello'", "'Grüße, 世界 🌍'", "new Uint8Array([0, 255, 7])") == [
        "hello",
        "Grüße, 世界 🌍",
        [0, 255, 7],
    ]


def test_messages_stay_in_order(talk: Page) -> None:
    said = ", ".join(map(str, range(500)))
    script = f"const talk = new Talk('/echo'); await talk.opened; [{said}].forEach(it => talk.socket.send(it))"
    heard = talk.run(f"(async () => {{ {script}; return await talk.hears(500) }})()")
    assert heard == [str(number) for number in range(500)]


def test_a_long_message_is_compressed_and_whole(talk: Page) -> None:
    """permessage-deflate (RFC 7692), as browsers offer it."""
    script = """(async () => {
        const talk = new Talk('/echo')
        await talk.opened
        const text = 'It was the best of times. '.repeat(40000)
        talk.socket.send(text)
        return [talk.socket.extensions.split(';')[0], (await talk.hears(1))[0] == text]
    })()"""
    assert talk.run(script) == ["permessage-deflate", True]


def test_the_handshake(talk: Page, site: str) -> None:
    """By a connection of its own (RFC 6455, section 4), or by a stream of the page's (RFC 8441)."""
    talk.events.clear()
    converse(talk, "/echo", "'hello'")
    answer = talk.waits_for("Network.webSocketHandshakeResponseReceived")["response"]
    assert answer["status"] == (200 if site.startswith("https") else 101)


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (4000, "enough"), (1013, "später")])
def test_the_server_says_why_it_leaves(talk: Page, code: int, reason: str) -> None:
    assert ending(talk, "/leave", f"talk.socket.send('{code} {reason}')") == [code, reason, True]


def test_the_client_says_why_it_leaves(talk: Page) -> None:
    before = int(talk.run("fetch('/ended').then(it => it.text())"))
    assert ending(talk, "/echo", "talk.socket.close(4321, 'bye')") == [4321, "", True]
    wait = f"(async () => {{ while (await (await fetch('/ended')).text() != {before + 1}); return true }})()"
    assert talk.run(wait)


@pytest.mark.parametrize(
    ("path", "said", "code"),
    [
        ("/fail", "'x'", 1011),
        ("/sum", "'no JSON'", 1007),
        ("/echo", "'x'.repeat(1048577)", 1009),
    ],
    ids=["error", "encoding", "size"],
)
def test_what_goes_wrong_has_a_code(talk: Page, path: str, said: str, code: int) -> None:
    assert ending(talk, path, f"talk.socket.send({said})")[0] == code


def test_values_are_json(talk: Page) -> None:
    assert converse(talk, "/sum", "JSON.stringify({numbers: [1, 2, 3]})") == ['{"sum":6}']


def test_what_one_says_in_a_room_all_hear(talk: Page, browser: Browser, site: str) -> None:
    with browser.page() as other:
        other.goto(f"{site}/")
        other.run(TALK)
        other.run("(async () => { window.talk = new Talk('/chat?room=tea'); await talk.opened })()")
        assert converse(talk, "/chat?room=tea", "'two cups'") == ["tea: two cups"]
        assert other.run("talk.hears(1)") == ["tea: two cups"]


def test_pages_of_strangers_are_refused(page: Page, site: str) -> None:
    """A browser tells the site of a page (RFC 6455, section 10.2), and shows the page no reason."""
    page.goto(f"{site.replace('site.', 'other.')}/")
    page.run(TALK)
    assert page.run(f"new Talk('{site.replace('http', 'ws')}/echo').closed") == [1006, "", False]
    failed = page.waits_for("Network.webSocketFrameError")["errorMessage"]
    assert "403" in failed


def test_a_path_that_does_not_talk_is_refused(talk: Page) -> None:
    assert talk.run("new Talk('/').closed") == [1006, "", False]
