"""A real browser, without a window: Chromium, told what to do by its DevTools protocol.

https://chromedevtools.github.io/devtools-protocol/ names the commands and events. One thread does everything: events are
taken in while an answer or another event is waited for.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from websockets.sync.client import ClientConnection, connect

from tests.support.dialogue import eventually

SOON_S = 0.1
"""Of hints that come within a few milliseconds of its request, Chromium misses one in six."""

PATIENCE_S = 60.0

FLAGS = (
    "--headless",
    "--no-sandbox",  # which root has to do without
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--autoplay-policy=no-user-gesture-required",
    "--remote-debugging-port=0",
    # Names whose sites are one another's strangers, as they are on the internet; and localhost is spared some rules.
    "--host-resolver-rules=MAP *.test 127.0.0.1",
)

HOSTS = ("site.test", "other.test", "plain.test")

Event = dict[str, Any]


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate for HOSTS and its key, as `skitai cert` makes them."""
    folder = tmp_path_factory.mktemp("pair")
    command = [sys.executable, "-m", "skitai", "cert", *HOSTS]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=30)
    return folder


@pytest.fixture(scope="session")
def browser(pair: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser that believes in that certificate."""
    certificate = x509.load_pem_x509_certificate((pair / "server.crt").read_bytes())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with chromium(tmp_path_factory.mktemp("chromium"), base64.b64encode(hashlib.sha256(key).digest()).decode()) as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab of its own."""
    with browser.page() as page:
        yield page


@contextmanager
def chromium(folder: Path, *trusted: str) -> Iterator[Browser]:
    """A running Chromium with a profile of its own.

    :param trusted: base64 of the SHA-256 of public keys whose certificates are believed, whoever vouches for them.
    """
    flags = [*FLAGS, f"--user-data-dir={folder / 'profile'}", f"--ignore-certificate-errors-spki-list={','.join(trusted)}"]
    said = folder / "said"
    with said.open("wb") as output:
        process = subprocess.Popen(
            ["chromium", *flags, "about:blank"],
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            env=os.environ | {"HOME": str(folder)},
        )

    def place() -> str:
        assert process.poll() is None, said.read_text()
        file = folder / "profile" / "DevToolsActivePort"
        port, _, path = file.read_text().partition("\n") if file.exists() else ("", "", "")
        return f"ws://127.0.0.1:{port}{path}" if path else ""

    try:
        with connect(eventually(place, "Chromium listens", 60), max_size=None, proxy=None) as devtools:
            yield Browser(devtools)
            devtools.send(json.dumps({"id": 0, "method": "Browser.close"}))
            process.wait(20)
    finally:
        process.kill()
        process.wait()


class Browser:
    """What is said to a browser and what it says."""

    def __init__(self, devtools: ClientConnection) -> None:
        self._devtools = devtools
        self._count = 0
        self._answers: dict[int, Event] = {}
        self._pages: dict[str, Page] = {}

    def send(self, method: str, session: str = "", **parameters: Any) -> int:
        """Give a command.

        :returns: its number.
        """
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        self._devtools.send(json.dumps(message | ({"sessionId": session} if session else {})))
        return self._count

    def ask(self, method: str, session: str = "", **parameters: Any) -> Any:
        """Give a command and wait for its answer.

        :raises RuntimeError: the browser refuses.
        """
        number = self.send(method, session, **parameters)
        self.listen(lambda: number in self._answers, f"an answer to {method}")
        answer = self._answers.pop(number)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def listen(self, until: Callable[[], Any], what: str) -> Any:
        """Take in answers and events until something is true; its value."""
        end = time.monotonic() + PATIENCE_S
        while not (value := until()):
            try:
                message = json.loads(self._devtools.recv(max(end - time.monotonic(), 0)))
            except TimeoutError:
                raise AssertionError(f"not within {PATIENCE_S:g} s: {what}") from None
            if "id" in message:
                self._answers[message["id"]] = message
            elif message.get("sessionId") in self._pages:
                self._pages[message["sessionId"]].heard(message)
        return value

    @contextmanager
    def page(self, proxy: str = "") -> Iterator[Page]:
        """A tab that shares no cookies, passwords or files with others.

        :param proxy: which it uses for all others, those on this host, too.
        """
        through = {"proxyServer": proxy, "proxyBypassList": "<-loopback>"} if proxy else {}
        context = self.ask("Target.createBrowserContext", **through)["browserContextId"]
        try:
            target = self.ask("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
            session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            page = self._pages[session] = Page(self, session)
            for domain in ("Page", "Network", "DOM", "Runtime"):
                page.ask(f"{domain}.enable")
            yield page
            del self._pages[session]
        finally:
            self.ask("Target.disposeBrowserContext", browserContextId=context)


class Page:
    """A tab.

    :ivar events: what happened so far, in order.
    """

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session
        self._handlers: dict[str, Callable[[Event], None]] = {}
        self.events: list[Event] = []

    def ask(self, method: str, **parameters: Any) -> Any:
        return self._browser.ask(method, self._session, **parameters)

    def on(self, event: str, handler: Callable[[Event], None]) -> None:
        """Have something done whenever this happens; with `send` only, for nothing is waited for meanwhile."""
        self._handlers[event] = handler

    def send(self, method: str, **parameters: Any) -> None:
        self._browser.send(method, self._session, **parameters)

    def heard(self, event: Event) -> None:
        self.events.append(event)
        if handler := self._handlers.get(event["method"]):
            handler(event["params"])

    def happened(self, method: str) -> list[Event]:
        """What is known of all events of a kind."""
        return [each["params"] for each in self.events if each["method"] == method]

    def waits_for(self, method: str, true: Callable[[Event], Any] = bool) -> Event:
        """Wait until there is an event of a kind of which something is true; the first such."""
        found: Event = self._browser.listen(
            lambda: next((each for each in self.happened(method) if true(each)), None), f"{method} in {self.events[-20:]}"
        )
        return found

    # Pages

    def goto(self, url: str) -> Event:
        """Type an address and wait for the page.

        :returns: the response to the last request of it.
        """
        self.events.clear()
        told = self.ask("Page.navigate", url=url)
        assert "errorText" not in told, f"{url}: {told['errorText']}"
        return self._arrived()

    def click(self, selector: str) -> Event:
        """Click on what leads to another page, and wait for it."""
        self.events.clear()
        self.run(f"document.querySelector({json.dumps(selector)}).click()")
        return self._arrived()

    def _arrived(self) -> Event:
        self.waits_for("Page.loadEventFired")
        response: Event = [each for each in self.happened("Network.responseReceived") if each["type"] == "Document"][-1]
        return response["response"]  # type: ignore[no-any-return]

    def run(self, script: str) -> Any:
        """The value of an expression, awaited if it is a promise."""
        told = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    @property
    def text(self) -> str:
        """What a reader sees."""
        return str(self.run("document.body.innerText"))

    @property
    def url(self) -> str:
        return str(self.run("location.href"))

    def fill(self, **fields: str) -> None:
        """Type into fields, by their names."""
        for name, text in fields.items():
            self.run(f"document.querySelector('main [name={name}]').focus()")
            self.ask("Input.insertText", text=text)

    def choose_file(self, selector: str, file: Path) -> None:
        root = self.ask("DOM.getDocument")["root"]["nodeId"]
        node = self.ask("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.ask("DOM.setFileInputFiles", nodeId=node, files=[str(file)])

    def cookies(self) -> dict[str, Event]:
        """All that it keeps, by name."""
        return {each["name"]: each for each in self.ask("Network.getAllCookies")["cookies"]}
