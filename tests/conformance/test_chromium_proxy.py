"""Chromium with a server as its proxy, to which it speaks HTTP/2: requests for others, and tunnels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from skitai.testing import launch
from tests.backends.test_websocket_requests import Server
from tests.support.chromium import Browser, Page
from tests.support.upstream import Upstream, upstream

pytestmark = pytest.mark.process

SCRIPT = """\
import skitai
from skitai.saddle import Saddle

app = Saddle(__name__)


@app.route("/")
def index(was):
    return "<!doctype html><link rel=icon href=data:,>this is the proxy itself"


if __name__ == "__main__":
    skitai.enable_proxy(tunnel_ports="*")
    skitai.enable_ssl('{pair}/server.crt', '{pair}/server.key')
    skitai.mount("/", app)
    skitai.run()
"""

SAYING = "new Promise((done, failed) => {{ const it = new WebSocket('{}'); it.onopen = () => it.send('hello');"
SAYING += " it.onmessage = event => {{ done(event.data); it.close() }}; it.onerror = failed }})"


@pytest.fixture(scope="module")
def proxy(pair: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    script = tmp_path_factory.mktemp("proxy") / "app.py"
    script.write_text(SCRIPT.format(pair=pair))
    with launch(script, port=0, ssl=True) as engine:
        yield f"https://site.test:{engine.port}"


@pytest.fixture(scope="module")
def page(browser: Browser, proxy: str) -> Iterator[Page]:
    with browser.page(proxy) as page:
        yield page


@pytest.fixture(scope="module")
def there() -> Iterator[Upstream]:
    with upstream() as server:
        yield server


def test_a_page_of_another_server(page: Page, there: Upstream) -> None:
    assert page.goto(f"{there.url}/text/hello")["status"] == 200
    assert page.text == "hello"
    said = json.loads(page.run("fetch('/a?b=c', {method: 'POST', body: 'hello'}).then(answer => answer.text())"))
    assert (said["method"], said["path"], said["query"], said["body"]) == ("POST", "/a", {"b": "c"}, "hello")
    assert (said["fields"]["via"], said["fields"]["host"]) == ("2 skitai", there.place)
    many = "Promise.all([...Array(20).keys()].map(n => fetch('/text/' + n).then(answer => answer.text())))"
    assert page.run(many) == [str(number) for number in range(20)]


def test_a_tunnel_for_websocket(page: Page, there: Upstream) -> None:
    page.goto(f"{there.url}/text/hello")
    with Server() as talker:
        assert page.run(SAYING.format(f"ws://127.0.0.1:{talker.port}/")) == "hello"


def test_what_may_not_be_reached(page: Page) -> None:
    assert page.goto("http://169.254.169.254/")["status"] == 403


def test_the_proxy_is_a_site_as_ever(browser: Browser, proxy: str) -> None:
    with browser.page() as page:
        page.goto(f"{proxy}/")
        assert page.text == "this is the proxy itself"
